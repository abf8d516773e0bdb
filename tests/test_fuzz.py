"""Specs, calls and command lines of a right structure with wrong things in it: a result or a line.

As a program, `python tests/test_fuzz.py SPECS CALLS`, the same at large (`scripts/fuzz`).
"""

import contextlib
import io
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sweep
from sweep.cli import main
from sweep.experiment.grid import Grid

LONGEST = 700
SECONDS = 5.0  # of a refusal on a busy machine; of a result, which may have to compile, 60

numbers = st.one_of(
    st.floats(-10, 10),
    st.floats(),
    st.integers(-3, 300),
    st.sampled_from([0.0, -0.0, 1.0, 1e-320, 1e308, -1e308, 10**30, 2**63, 10**400, True, False]),
)
NAMES = ["w", "b", "w1", "w2", "x", "y", "learning_rate", "cost", "tolerance", "optimizer", "start"]
NAMES += ["stop", "num", "scale", "name", "self", "cls", "axes", "task", "random", "count", "seed"]
NAMES += ["max_epochs", "activation", "int", "float", "str", "a.b", "[0]", "__class__"]
TEXTS = ["quadratic", "cross_entropy", "sigmoid", "tanh", "softsign", "auto", "train", "orbit"]
TEXTS += ["float32", "float64", "log", "linear", "normal", "uniform", "sobol", "0.5", "../x"]
names = st.one_of(st.sampled_from(NAMES), st.text(max_size=8))
texts = st.one_of(st.sampled_from(TEXTS), st.text(max_size=30))
anything = st.recursive(
    st.one_of(numbers, texts, st.booleans(), st.none(), st.dates(), st.datetimes()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=3)),
    max_leaves=6,
)
spans = st.fixed_dictionaries(
    {"start": numbers, "stop": numbers, "num": st.one_of(st.integers(-1, 40), numbers)},
    optional={"scale": st.one_of(st.sampled_from(["linear", "log"]), texts)},
)
axes = st.one_of(spans, st.lists(numbers, max_size=5), numbers, st.lists(texts, max_size=3))
RIGHT = {
    "axes": {"w": [0.5, 2.0], "b": [0.0], "learning_rate": [0.1]},
    "stop": {"max_epochs": 20},
}


@st.composite
def specs(draw):
    """Return a right spec in which up to three things are other ones."""
    spec = {
        "axes": dict(RIGHT["axes"]),
        "stop": dict(RIGHT["stop"]),
        "task": draw(st.sampled_from([{}, {"activation": "tanh"}, {"x": [1.0, 2.0], "y": [0, 1]}])),
    }
    for _ in range(draw(st.integers(0, 3))):
        table = draw(st.sampled_from(["axes", "axes", "stop", "task", "start", "optimizer", "top"]))
        if table == "top":
            field = draw(
                st.one_of(st.sampled_from(["name", "method", "dtype", "part_rows"]), names)
            )
            spec[field] = draw(st.one_of(texts, numbers, anything))
            continue
        known = {
            "axes": ["w", "b", "learning_rate", "cost", "optimizer", "x", "y", "tolerance"],
            "stop": ["tolerance", "max_epochs"],
            "task": ["x", "y", "activation"],
            "start": ["random", "count", "scale", "seed"],
            "optimizer": ["beta", "beta1", "beta2", "epsilon"],
        }[table]
        held = spec.get(table)
        held = dict(held) if isinstance(held, dict) else {}
        field = draw(st.one_of(st.sampled_from(known), names))
        held[field] = draw(st.one_of(axes if table == "axes" else numbers, texts, anything))
        spec[table] = held
    return spec


def in_one_line(call):
    """Return what a call gives, or None if it refuses, in one line and in time."""
    began = time.perf_counter()
    found, line = None, ""
    try:
        found = call()
    except sweep.SpecError as error:
        line = str(error) or "\n"
    assert line.isprintable(), repr(line)
    assert len(line) < LONGEST, line
    assert time.perf_counter() - began < (SECONDS if found is None else 60.0)
    return found


def try_spec(fields):
    """Make a spec in Python, write it as TOML and read it back; run it if it is small."""
    spec = in_one_line(lambda: sweep.Spec(**fields))
    with contextlib.suppress(TypeError, ValueError, AttributeError):  # what TOML cannot say
        in_one_line(lambda: sweep.Spec.parse(tomli_w.dumps(fields)))
    if spec is None:
        return
    assert sweep.Spec.parse(spec.toml()).id == spec.id
    grid = Grid(spec)
    if grid.size > 2000 or spec.stop.max_epochs > 1000 or (spec.start and spec.start.count > 2000):
        return
    with tempfile.TemporaryDirectory() as folder:
        if in_one_line(lambda: sweep.run(spec, folder, threads=1)):
            assert len(sweep.load(folder)) == grid.size
            assert sweep.check(folder) == []


@st.composite
def calls(draw):
    """Return arguments of `train`, a few of which are anything."""
    kwargs = {"w": [0.6, 2.0], "b": [0.9, 2.0], "learning_rate": 0.15, "cost": "quadratic"}
    kwargs |= {"x": 1.0, "y": 0.0, "tolerance": 0.1, "max_epochs": 20}
    fields = [*kwargs, "activation", "dtype", "method", "optimizer", "threads"]
    for _ in range(draw(st.integers(1, 3))):
        value = draw(st.one_of(numbers, texts, axes, anything))
        forms = [lambda v: v, np.asarray, lambda v: (v,), np.ma.masked_invalid]
        form = draw(st.sampled_from(forms))
        with contextlib.suppress(Exception):  # what NumPy itself cannot make
            kwargs[draw(st.sampled_from(fields))] = form(value)
    if isinstance(kwargs["max_epochs"], int):
        kwargs["max_epochs"] = min(kwargs["max_epochs"], 1000)
    return kwargs


def try_call(kwargs):
    given = dict(kwargs)
    trained = in_one_line(lambda: sweep.train(given.pop("w"), given.pop("b"), **given))
    if trained is not None:
        unknown = trained.status == sweep.Status.non_finite
        assert (np.isnan(trained.final_error) == unknown).all()


COMMANDS = ["run", "info", "check", "plot"]
OPTIONS = ["--threads", "--shard", "-o", "--method", "--figure", "--dpi", "--format", "--style"]
OPTIONS += ["--json", "--skip-damaged", "--print-spec", "--nonsense"]
words = st.one_of(
    st.sampled_from(["0", "1", "1/2", "0/0", "9" * 5000, "-1", "nan", "spec.toml", "out", "", ".",
                     "/dev/null", "s4://x", "s3:/k:secret@b/x", "auto", "error", "png", "\ud800"]),
    st.text(st.characters(exclude_characters="\0"), max_size=12),
)  # fmt: skip


def try_command(arguments):
    """Run a command in a folder with a spec and a result."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(arguments)
        except SystemExit as exit_:  # of argparse, which prints its usage
            code = exit_.code
    captured = err.getvalue()
    assert code in (0, 1, 2), arguments
    assert code == 0 or captured.count("\n") == 1, (arguments, captured)
    assert "Traceback" not in captured
    assert len(captured) < 2 * LONGEST


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(specs())
def test_specs(fields):
    try_spec(fields)


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(calls())
def test_calls(kwargs):
    try_call(kwargs)


def prepared(folder):
    os.chdir(folder)
    Path("spec.toml").write_text(sweep.Spec(**RIGHT).toml())
    main(["run", "spec.toml", "-o", "out"])


def test_command_lines(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prepared(tmp_path)

    @settings(max_examples=80, suppress_health_check=list(HealthCheck))
    @given(
        st.sampled_from(COMMANDS),
        st.lists(st.one_of(words, st.sampled_from(OPTIONS)), max_size=4),
    )
    def check(command, rest):
        try_command([command, *rest])

    check()


if __name__ == "__main__":
    many, few = (int(number) for number in sys.argv[1:3])
    large = {"suppress_health_check": list(HealthCheck), "deadline": None, "database": None}
    settings(max_examples=many, **large)(given(specs())(try_spec))()
    print(f"{many:,} specs: each a spec or one line")
    settings(max_examples=few, **large)(given(calls())(try_call))()
    print(f"{few:,} calls: each a result or one line")
    with tempfile.TemporaryDirectory() as here:
        prepared(here)
        for number in range(few // 10):
            rng = np.random.default_rng(number)
            pick = [*OPTIONS, "0", "1/2", "9" * 5000, "spec.toml", "out", "", "nan", "s3:/k:s@b/x"]
            try_command([str(rng.choice(COMMANDS)), *map(str, rng.choice(pick, rng.integers(5)))])
        os.chdir("/")
    print(f"{few // 10:,} command lines: each a result or one line")
