"""Specs: what is accepted, and one clear line for each thing that is not."""

import time
import tomllib
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf

import sweep
from sweep.experiment.grid import Grid
from sweep.experiment.spec import ARTICLE, differences

SMALL = """
[axes]
w = [0.6, 2.0]
b = { start = 0.0, stop = 1.0, num = 3 }
learning_rate = [0.15]
"""


def test_the_article_s_sweep_is_the_article_s():
    grid = Grid(sweep.Spec.load(ARTICLE))
    assert grid.size == 655_360
    assert list(grid.values) == ["cost", "learning_rate", "w", "b"]
    assert grid.values["w"][[0, -1]].tolist() == [-5.0, 5.0]
    assert len(grid.values["w"]) == len(grid.values["b"]) == 256
    assert grid.values["learning_rate"] == pytest.approx([0.01, 10**-1.5, 0.1, 10**-0.5, 1.0])
    assert grid.values["cost"].tolist() == ["quadratic", "cross_entropy"]
    problem, rate = grid.problem({"cost": 1, "learning_rate": 4})
    assert (problem.cost, problem.activation, rate) == ("cross_entropy", "sigmoid", 1.0)
    assert (problem.x.tolist(), problem.y.tolist()) == ([[1.0]], [0.0])
    assert (problem.tolerance, problem.max_epochs) == (0.1, 10_000)


def test_toml_and_python_make_the_same_spec():
    parsed = sweep.Spec.parse(SMALL)
    made = sweep.Spec(
        axes={"w": [0.6, 2.0], "b": {"start": 0.0, "stop": 1.0, "num": 3}, "learning_rate": 0.15}
    )
    assert made.id == parsed.id
    assert sweep.Spec.parse(parsed.toml()).id == parsed.id
    assert differences(made, parsed) == []


def test_the_id_follows_the_numbers_and_only_them():
    spec = sweep.Spec.parse(SMALL)
    same = sweep.Spec.parse('name = "other"\npart_rows = 2' + SMALL)
    other = sweep.Spec.parse(SMALL + "[stop]\ntolerance = 0.2")
    assert spec.id == same.id != other.id
    assert differences(spec, other) == ["stop.tolerance is 0.2 there, 0.1 here"]


def test_ids_stay_what_they_are():
    # Whatever fields and defaults later versions bring: an id that changes orphans results.
    assert sweep.Spec.load(ARTICLE).id == "2283a0883968db0e"
    assert sweep.Spec.parse(SMALL).id == "4601fecd442e9b6e"
    written_out = sweep.Spec.parse(sweep.Spec.parse(SMALL).toml())
    assert written_out.id == "4601fecd442e9b6e"

    class Later(sweep.Spec):
        later: int | None = None

    assert Later(**written_out.model_dump()).id == "4601fecd442e9b6e"
    assert Later(**written_out.model_dump(), later=3).id != "4601fecd442e9b6e"


def test_logarithmic_axes_are_correctly_rounded():
    with mp.workdps(60):
        for start, stop, num in ((0.01, 1.0, 50), (7.7, 0.013, 555), (5e-324, 1.7e308, 40)):
            low, high = mpf(start), mpf(stop)
            exact = [float(low * (high / low) ** (mpf(k) / (num - 1))) for k in range(num)]
            axis = {"start": start, "stop": stop, "num": num, "scale": "log"}
            spec = sweep.Spec(axes={"w": axis, "b": [0.0], "learning_rate": [0.1]})
            assert spec.values("w").tolist() == exact
            assert spec.values("w")[[0, -1]].tolist() == [start, stop]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[axes]", "[axes", "is not TOML: .*line 2"),
        ("[axes]", "[axis]", r"axis: unknown key; known here: .*did you mean 'axes'"),
        ("num = 3", "nun = 3", "axes.b.nun: unknown key; .*did you mean 'num'"),
        (", num = 3", "", "axes.b.num: missing"),
        (
            "learning_rate",
            "lerning_rate",
            "lerning_rate: unknown axis; .*did you mean 'learning_rate",
        ),
        ("learning_rate = [0.15]", "", "axes.learning_rate: missing"),
        ("[0.6, 2.0]", '"many"', "axes.w = .*must be numbers"),
        ("[0.6, 2.0]", "true", "axes.w.0 = True: must be a number"),
        ("start = 0.0", 'start = "0"', "axes.b.start = '0': must be a number"),
        ("num = 3", "num = 2.5", "axes.b.num = 2.5: must be a whole number"),
        ("[0.6, 2.0]", "[nan]", "axes.w.0 = nan: must be a finite number"),
        ("stop = 1.0", "stop = inf", "axes.b.stop = inf: must be a finite number"),
        ("[0.15]", "[-inf]", "axes.learning_rate.0 = -inf"),
        ("[0.6, 2.0]", "[]", r"axes.w = \[\]: must not be empty"),
        ("[0.6, 2.0]", "[1.0, 1.0]", "axes.w = .*holds a value twice"),
        ("num = 3", "num = 0", "axes.b.num = 0: must be at least 1"),
        ("num = 3", "num = 3, scale = 'log'", "axes.b = .*must be greater than 0"),
        ("num = 3", "num = 3, scale = 'cubic'", "axes.b.scale = 'cubic': must be 'linear' or"),
        ("[0.15]", "[0.0]", "learning_rate = 0: must be finite and greater than 0"),
        ("[0.15]", "[-1]", "learning_rate = -1"),
        ("[0.15]", "[0.1]\ncost = 'quadratik'", "cost = 'quadratik'.*did you mean 'quadratic'"),
        ("[0.15]", "[0.1]\ncost = 3", "axes.cost = .*must be names of costs"),
        ("[0.15]", "[0.1]\ny = [0.0, 1.5]", r"y = 1.5: must lie in \[0, 1\]"),
        ("[0.15]", "[0.1]\ntolerance = [0.1, 0]", "tolerance = 0.0: must be greater than 0"),
        ("[0.15]", "[0.1]\nx = 1\n[task]\nx = 2", "axes.x and task.x: only one"),
        ("[0.15]", "[0.1]\n[task]\ny = 2", "y = 2: must lie in"),
        ("[0.15]", "[0.1]\n[task]\ny = nan", "task.y.*= nan: must be a finite number"),
        ("[0.15]", "[0.1]\n[task]\nx = [1, 2]", "y: 1 targets for 2 samples"),
        ("[0.15]", "[0.1]\n[task]\nx = []", "x: has shape"),
        ("[0.15]", "[0.1]\n[task]\nx = [[1, 2], [3]]\ny = [0, 1]", "axes.w: unknown axis"),
        ("[0.15]", "[0.1]\n[task]\nactivation = 'sigmod'", "did you mean 'sigmoid'"),
        (
            "[0.15]",
            "[0.1]\ncost = 'cross_entropy'\n[task]\nactivation = 'tanh'",
            "cross_entropy needs.*between 0 and 1",
        ),
        ("[0.15]", "[0.1]\n[task]\nactivation = ['tanh']", "task.activation = .*must be a string"),
        ("[0.15]", "[0.1]\n[stop]\ntolerance = -1", "tolerance = -1.0: must be greater than 0"),
        ("[0.15]", "[0.1]\n[stop]\nmax_epochs = -1", "max_epochs = -1: must be a whole number"),
        ("[0.15]", "[0.1]\n[stop]\nmax_epochs = 2147483648", "from 0 to 2147483647"),
        ("[0.15]", "[0.1]\n[stop]\nmax_epochs = 1e4", "stop.max_epochs = 10000.0: must be a whole"),
        (
            "[0.15]",
            "[0.1]\n[start]\nrandom='normal'\ncount=9",
            "axes.w: unknown axis .*has the starts",
        ),
        ("[axes]", "method = 'guess'\n[axes]", "method = 'guess': must be one of"),
        ("[axes]", "dtype = 'float16'\n[axes]", "dtype = 'float16': must be one of"),
        ("[axes]", "name = 'a/b'\n[axes]", "name = 'a/b': must match"),
        ("[axes]", "part_rows = 0\n[axes]", "part_rows = 0: must be at least 1"),
    ],
)
def test_bad_specs(old, new, message):
    assert old in SMALL
    with pytest.raises(sweep.SpecError, match=message) as caught:
        sweep.Spec.parse(SMALL.replace(old, new, 1))
    assert "\n" not in str(caught.value)


MILLION = "{ start = 0.1, stop = 1.0, num = 1_000_000 }"
WIDE = SMALL.replace("[0.6, 2.0]", MILLION).replace("{ start = 0.0, stop = 1.0, num = 3 }", MILLION)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task = 3" + SMALL, "task = 3: must be a table"),
        (SMALL + "[[task]]", r"task = \[\{\}\]: must be a table"),
        (SMALL.replace("num = 3", "num = 10000000000000"), "num = 1.*: must be at most 1,000,000"),
        (SMALL.replace("num = 3", "num = " + "9" * 4000), "num = 99+.*9: must be at most 1,000"),
        (SMALL.replace("num = 3", "num = " + "9" * 5000), "is not TOML: Exceeds the limit"),
        (SMALL.replace("0.15", "9" * 400), "learning_rate.0 = 9.*: must be a number"),
        (SMALL.replace("[0.6, 2.0]", "[" * 1000 + "]" * 1000), "nested more than 32 deep"),
        (SMALL + "x = " + "{a = " * 40 + "1" + "}" * 40, "nested more than 32 deep"),
        ("a." * 20_000 + "a = 1" + SMALL, "nested more than 32 deep"),
        (WIDE.replace("[0.15]", MILLION), "2,000,000 combinations of the axes other than the star"),
        (WIDE.replace("[0.15]", MILLION.replace("000_000", "000")), "2,000,000,000,000,000 n"),
        ("part_rows = 9" + WIDE.replace("1_000_", "100_"), "part_rows = 9: makes 2,222,222,223 p"),
        (SMALL + "tolerance = " + MILLION, "2,000,000 combinations"),
        ("[axes]\nlearning_rate = 1\n[start]\nrandom = 'normal'\ncount = 1000000000000000000",
         "start.count = 1000000000000000000: must be at most 1,000,000,000,000"),
        (SMALL.replace("0.6, 2.0", "0.0, -0.0"), "holds a value twice"),
        (SMALL.replace("start = 0.0, stop = 1.0", "start = -1.7e308, stop = 1.7e308"),
         "axes.b = .*stop - start overflows"),
        ("self = 3" + SMALL, "self: unknown key"),
        (SMALL + "int = 1", "axes.int: unknown axis"),
        (SMALL + "float = 'a'", "axes.float: unknown axis"),
        (SMALL + '"a\\nb\\u001b[31m" = 1', r"axes.a\\nb\\x1b\[31m: unknown axis"),
        ('"a\\nb" = 1' + SMALL, r"a\\nb: unknown key"),
        (SMALL + "x = 1979-05-27", "axes.x = .*: must be a list"),
        (SMALL + "[task]\nactivation = '" + "s" * 10**6 + "'", "must be one of sigmoid"),
        (SMALL + "#" * 2**24, "has more than 16,777,216 bytes"),
    ],
    ids=lambda _: "",
)  # fmt: skip
def test_monstrous_specs_are_refused_at_once(text, message):
    began = time.perf_counter()
    with pytest.raises(sweep.SpecError, match=message) as caught:
        sweep.Spec.parse(text)
    assert time.perf_counter() - began < 1.0
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("field", ["axes", "task", "stop", "start", "name", "method", "part_rows"])
@pytest.mark.parametrize(
    "value",
    [None, 3, "a", [], {}, [[]], np.zeros(3), object(), int],
    ids=lambda value: type(value).__name__,
)
def test_whatever_a_field_holds_there_is_a_spec_or_one_line(field, value):
    value = 10**5000 if value is int else value  # of more digits than Python prints
    fields = {"axes": {"w": [0.6], "b": [0.9], "learning_rate": [0.15]}} | {field: value}
    try:
        assert sweep.Spec(**fields).id
    except sweep.SpecError as error:
        line = str(error)
    else:
        return
    assert line.isprintable()
    assert len(line) < 300


def test_numbers_of_numpy_and_pandas_are_taken():
    made = sweep.Spec(
        axes={"w": np.array([0.6, 2.0]), "b": {"start": 0.0, "stop": 1.0, "num": np.int64(3)},
              "learning_rate": pd.Series([0.15])},
        stop={"max_epochs": np.int32(10_000)},
    )  # fmt: skip
    assert made.id == sweep.Spec.parse(SMALL).id


def test_a_byte_order_mark_is_no_part_of_a_spec(tmp_path):
    (tmp_path / "bom.toml").write_bytes(b"\xef\xbb\xbf" + SMALL.replace("\n", "\r\n").encode())
    assert sweep.Spec.load(tmp_path / "bom.toml").id == sweep.Spec.parse(SMALL).id
    with pytest.raises(sweep.SpecError, match="has more than 16,777,216 bytes"):
        sweep.Spec.load("/dev/zero")


def test_differences_are_cut():
    axes = {"w": [0.6], "b": [0.9], "learning_rate": [0.15]}
    many = np.linspace(0, 1, 20_000).tolist()
    ours, theirs = (sweep.Spec(axes=axes, task={"x": x, "y": many}) for x in (many, many[::-1]))
    (line,) = differences(ours, theirs)
    assert len(line) < 300


@pytest.mark.parametrize(
    ("activation", "costs"),
    [
        ("sigmoid", ["quadratic", "cross_entropy"]),
        ("tanh", ["quadratic", "tanh_cross_entropy"]),
        ("softsign", ["quadratic", "softsign_matching"]),
    ],
)
def test_without_a_cost_axis_quadratic_and_the_matching_cost_are_crossed(activation, costs):
    spec = sweep.Spec.parse(f"{SMALL}[task]\nactivation = '{activation}'")
    assert spec.values("cost").tolist() == costs


def test_unreadable_files(tmp_path):
    with pytest.raises(sweep.SpecError, match=r"none.toml: cannot be read: No such file"):
        sweep.Spec.load(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(sweep.SpecError, match="is not a text file"):
        sweep.Spec.load(tmp_path / "binary.toml")


def test_ragged_samples_are_refused():
    with pytest.raises(sweep.SpecError, match=r"x = .*must be a number or an array"):
        sweep.Spec(
            axes={"w1": [0], "w2": [0], "b": [0], "learning_rate": [1]},
            task={"x": [[1.0, 2.0], [3.0]], "y": [0.0, 1.0]},
        )


# --- the grid --------------------------------------------------------------------------------


@given(
    sizes=st.tuples(*[st.integers(1, 4)] * 5), part_rows=st.integers(1, 100), drawn=st.booleans()
)
@settings(max_examples=60)
def test_every_cell_lies_in_exactly_one_part(sizes, part_rows, drawn):
    names = ["w", "b", "learning_rate", "tolerance", "y"]
    axes = {n: {"start": 0.1, "stop": 0.9, "num": k} for n, k in zip(names, sizes, strict=True)}
    start = None
    if drawn:
        start = {"random": "uniform", "count": axes.pop("w")["num"] * axes.pop("b")["num"]}
    grid = Grid(sweep.Spec(axes=axes, start=start, part_rows=part_rows))
    assert grid.size == 2 * np.prod(sizes)
    seen, whole = [], list(grid.segments(range(grid.size)))
    for part in range(grid.parts):
        assert 0 < len(grid.part(part)) <= part_rows
        for piece in grid.segments(grid.part(part)):
            seen += [(*piece.outer.values(), s) for s in range(piece.first, piece.last)]
    assert len(seen) == len(set(seen)) == grid.size
    assert seen == [(*p.outer.values(), s) for p in whole for s in range(p.first, p.last)]


def test_starts_are_the_axes_crossed():
    grid = Grid(sweep.Spec.parse(SMALL))
    assert grid.starts(0, 6).tolist() == [
        [0.6, 0.0], [0.6, 0.5], [0.6, 1.0], [2.0, 0.0], [2.0, 0.5], [2.0, 1.0],
    ]  # fmt: skip
    assert grid.starts(2, 4).tolist() == [[0.6, 1.0], [2.0, 0.0]]


@pytest.mark.parametrize("random", ["normal", "uniform", "sobol"])
def test_drawn_starts_are_the_same_wherever_they_are_cut(random):
    spec = sweep.Spec(
        axes={"learning_rate": [0.1]},
        task={"x": [[1.0, 2.0], [3.0, 4.0]], "y": [0.0, 1.0]},
        start={"random": random, "count": 140_000, "scale": 2.0, "seed": 3},
    )
    grid = Grid(spec)
    whole = grid.starts(0, 140_000)
    assert whole.shape == (140_000, 3)
    for first, last in ((0, 10), (65_530, 65_540), (131_000, 140_000), (65_536, 131_072)):
        assert (grid.starts(first, last) == whole[first:last]).all()
    spread = 2.0 if random == "normal" else 2.0 / np.sqrt(3)
    assert whole.std(axis=0) == pytest.approx([spread] * 3, rel=0.01)
    assert len(np.unique(whole[:, 0])) > 139_000
    other = Grid(spec.model_copy(update={"start": spec.start.model_copy(update={"seed": 4})}))
    assert (other.starts(0, 10) != whole[:10]).all()


def test_the_spec_that_can_be_copied_is_toml():
    assert tomllib.loads(ARTICLE.read_text())["name"] == "article"


@pytest.mark.parametrize(
    ("settings", "fields"),
    [
        (["axes.w.num=7"], {"w": 7}),
        (["axes.y=[0.0, 0.5]", "task.x=2"], {"y": 2}),
        (["axes.tolerance=[0.1, 0.2]", "stop.max_epochs=9"], {"tolerance": 2}),
        (["name=other", "dtype=float32", 'method="train"'], {}),
        (["axes.cost=quadratic"], {"cost": 1}),
        (["axes.y=[0, 1]", "task.y=1"], {}),
    ],
)
def test_settings_overrule_fields(settings, fields):
    text = ARTICLE.read_text(encoding="utf-8")
    spec = sweep.Spec.overridden(text, settings)
    assert sweep.Spec.overridden(text, []) == sweep.Spec.parse(text) != spec
    for axis, count in fields.items():
        assert spec.count(axis) == count
    assert ("y" in spec.axes) == ("y" in fields)
    assert sweep.Spec.parse(spec.toml()) == spec


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("task.y", r"--set 'task.y': must be KEY=VALUE, as in task.y=1"),
        ("=1", "--set '=1': must be KEY=VALUE"),
        ("task.z=1", "--set: task.z: unknown key; known here: x, y, activation"),
        ("axes.wx=1", r"--set: axes.wx: unknown axis; known here: w, b"),
        ("name.x=1", "--set 'name.x=1': name is no table here"),
        ("stop.tolerance=abc", "--set: stop.tolerance = 'abc': must be a number"),
    ],
)
def test_settings_that_are_none(setting, message):
    with pytest.raises(sweep.SpecError, match=message):
        sweep.Spec.overridden(ARTICLE.read_text(encoding="utf-8"), [setting])


def test_what_python_has_for_numbers_and_lists_is_taken():
    plain = sweep.Spec(
        axes={"w": [0, 1, 2], "b": {"start": 0, "stop": 1, "num": 3}, "learning_rate": [0.5]},
        stop={"max_epochs": 5},
    )
    num, span = np.int64(3), sweep.Span(start=0, stop=1, num=3)
    for w, b, rate in (
        (range(3), {"start": np.float32(0), "stop": Decimal(1), "num": num}, np.float32(0.5)),
        ((0, 1, 2), span, Fraction(1, 2)),
        (
            pd.Series([0, 1, 2]),
            MappingProxyType({"start": 0, "stop": 1, "num": 3}),
            pd.Index([0.5]),
        ),
    ):
        axes = MappingProxyType({"w": w, "b": b, "learning_rate": rate})
        assert sweep.Spec(axes=axes, stop=sweep.Stop(max_epochs=np.int64(5))) == plain


@pytest.mark.parametrize("num", [10**13, 10**400])
def test_too_many_values_are_one_line_at_once(num):
    axes = {"w": {"start": 0, "stop": 1, "num": num}, "b": [0], "learning_rate": 0.1}
    with pytest.raises(
        sweep.SpecError, match=r"axes.w.num = .*: must be at most 1,000,000 \(so ma"
    ):
        sweep.Spec(axes=axes)
    with pytest.raises(sweep.SpecError, match="a list of 10,000,000,000,000 values"):
        sweep.Spec(axes=axes | {"w": range(10**13)})
    with pytest.raises(sweep.SpecError, match=r"num = .*: must be at most 1,000,000"):
        sweep.Span(start=0, stop=1, num=num)
