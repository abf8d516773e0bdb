"""What `info` and the figures say, against brute force, and for results of any kind."""

import json
import os
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest

import sweep
from sweep.analysis.by_error import compare, count_by_error, epochs_by_error, share_by_epochs
from sweep.analysis.by_start import epochs_by_start
from sweep.analysis.findings import findings, format_findings
from sweep.analysis.row_groups import open_result
from sweep.cli import main
from sweep.experiment.labels import below_one, labels
from sweep.figures import FIGURES
from sweep.figures.draw import draw, plot

PAIRS = {
    "sigmoid": ["quadratic", "cross_entropy"],
    "tanh": ["quadratic", "tanh_cross_entropy"],
    "softsign": ["quadratic", "softsign_matching"],
}


@pytest.fixture(scope="module", params=list(PAIRS))
def awkward(request, tmp_path_factory):
    """Return a result with censored cells, ties, starts that are not finite and further axes."""
    act = request.param
    w = np.append(np.linspace(-6, 6, 14), 1.7e308)
    axes = {"w": w, "b": np.append(np.linspace(-3, 3, 9), 1.7e308), "cost": PAIRS[act]}
    axes |= {"learning_rate": [0.05, 0.4], "y": [0.1, 0.9], "tolerance": [0.1, 0.3]}
    spec = sweep.Spec(axes=axes, task={"activation": act}, stop={"max_epochs": 60})
    folder = tmp_path_factory.mktemp(act)
    sweep.run(spec, folder)
    frame = sweep.load(folder)
    frame["known"] = np.where(frame.status == "converged", frame.epochs, np.inf)
    assert set(frame.status) == {"converged", "max_epochs", "non_finite"}
    return open_result(folder), frame


def shown(frame):
    """Return the rows that figures show, the middle value of the tolerance."""
    return frame[(frame.tolerance == 0.3) & frame.initial_error.notna()]


def median(values):
    return np.quantile(values, 0.5, method="inverted_cdf") if len(values) else None


def test_info_is_what_brute_force_says(awkward):
    result, frame = awkward
    found = findings(result)
    held = frame[frame.tolerance == 0.3]
    assert found["non_finite"] == held.initial_error.isna().sum() > 0
    for cost in found["costs"]:
        mine = shown(frame)[shown(frame).cost == cost["cost"]]
        assert cost["starts"] == len(mine)
        assert cost["share_unconverged"] == pytest.approx((mine.status != "converged").mean())
        learns = mine[mine.known > 0]
        for name, some in (("median_small", learns[learns.initial_error <= 0.5]),
                           ("median_large", learns[learns.initial_error > 0.9])):  # fmt: skip
            right = median(some.known)
            assert cost[name] == ("not reached" if right == np.inf else right)
    text = format_findings(found, result.grid)
    assert f"{found['non_finite']:,} starts are not finite" in text
    assert ", tolerance = 0.3" in text.splitlines()[0]


def test_tables_are_what_brute_force_says(awkward):
    result, frame = awkward
    mine, by = shown(frame), ["cost", "learning_rate", "y"]
    counted = count_by_error(result)
    for row in epochs_by_error(counted).itertuples():
        some = mine[(mine.cost == row.cost) & (mine.learning_rate == row.learning_rate)]
        some = some[(some.y == row.y) & (some.initial_error <= row.error_high)]
        some = some[(some.initial_error > row.error_low) | (row.bin == 0)]
        assert row.count == len(some)
        assert row.converged == (some.status == "converged").sum()
        assert row.median == median(some.known)
    for row in share_by_epochs(counted).itertuples():
        some = mine[(mine.cost == row.cost) & (mine.learning_rate == row.learning_rate)]
        some = some[(some.y == row.y) & (some.known > 0)]
        assert row.share == pytest.approx((some.known <= row.epochs).mean())
    wide = mine.pivot(index=[*by[1:], "w0", "b0"], columns="cost", values="known").reset_index()
    over, under = (wide[cost] for cost in result.grid.values["cost"])
    names = dict(zip(("over", "under"), result.grid.values["cost"].tolist(), strict=True))
    table = compare(result, **names, by=("learning_rate", "tolerance"), edges=[0, np.inf])
    table = table[table.tolerance == 0.3]
    for row in table.itertuples():
        here = wide.learning_rate == row.learning_rate
        assert row.pairs == here.sum()
        assert row.over_fewer == (over < under)[here].sum()
        assert row.under_fewer == (over > under)[here].sum()
        assert row.already == ((over == 0) & (under == 0))[here].sum()
        assert row.neither == (np.isinf(over) & np.isinf(under))[here].sum()
    cells = epochs_by_start(result)
    cells = cells[cells.initial_error.notna()]
    keys = [*by, "w0", "b0"]
    both = cells.merge(mine.astype({"cost": str}), on=keys, suffixes=("", "_right"))
    assert len(both) == len(cells) == len(mine)
    assert (both.epochs == both.known).all()
    assert (both.initial_error == both.initial_error_right).all()


def test_panels_beyond_the_flip_are_named(tmp_path):
    axes = {
        "w": np.linspace(-2, 2, 5),
        "b": [0.0, 1.0],
        "learning_rate": [1.0, 5.3, 5.4, 28.0, 29.0],
    }
    spec = sweep.Spec(axes=axes | {"y": [0.0, 0.75]}, stop={"max_epochs": 20})
    sweep.run(spec, tmp_path)
    found = findings(open_result(tmp_path))
    beyond = {(p["cost"], p["learning_rate"], p["y"]) for p in found["beyond_flip"]}
    rates = {"cross_entropy": [5.4, 28.0, 29.0], "quadratic": [29.0]}  # 2/s and 2/s², κ = 2η
    assert beyond == {(cost, rate, 0.75) for cost in rates for rate in rates[cost]}
    flips = {p["cost"]: p["flip"] for p in found["beyond_flip"]}
    assert flips == pytest.approx({"cross_entropy": 10.666667, "quadratic": 56.888889}, abs=1e-6)
    text = format_findings(found, open_result(tmp_path).grid)
    assert "cross-entropy: in 3 panels, from learning rate 5.4 on, steps overshoot" in text
    assert "(κ = 10.8 is above 10.67)" in text
    json.dumps(found, allow_nan=False)


def test_rounding_of_large_medians_is_said(tmp_path):
    axes = {"w": np.linspace(5.0, 5.1, 40), "b": [3.0], "learning_rate": 0.1, "cost": "quadratic"}
    sweep.run(sweep.Spec(axes=axes, stop={"max_epochs": 100_000}), tmp_path)
    found = findings(open_result(tmp_path))
    right = median(sweep.load(tmp_path).epochs)
    (cost,) = found["costs"]
    assert right > 4096
    assert right * (1 - found["precision"]) <= cost["median_large"] <= right
    assert "medians above 4,096 epochs may be 0.049 % too low" in format_findings(
        found, open_result(tmp_path).grid
    )


def test_the_method_is_that_of_all_parts(tmp_path, capsys):
    axes = {
        "w": {"start": -5.0, "stop": 5.0, "num": 140},
        "b": {"start": -5.0, "stop": 5.0, "num": 120},
    }
    axes |= {"learning_rate": [0.1, 40.0], "cost": "quadratic"}
    sweep.run(sweep.Spec(axes=axes, stop={"max_epochs": 30}), tmp_path)
    assert main(["info", str(tmp_path)]) == 0
    assert "orbit and train; written" in capsys.readouterr().out


# --- labels ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0.01, 0.0316227766, 0.1], ["0.01", "0.0316", "0.1"]),
        ([7.99, 7.995, 8.0, 8.0001], ["7.99", "7.995", "8", "8.0001"]),
        ([1e-8, 2e-8], ["1e-08", "2e-08"]),
        ([2.0000000001, 2.0000000002], ["2.0000000001", "2.0000000002"]),
        ([0.1, 0.30000000000000004, 0.3], ["0.1", "0.30000000000000004", "0.3"]),
        ([10_000.0, 20_000.0, 123_456.0], ["10000", "20000", "123000"]),
        ([-0.0, 1e300, 1e-300], ["0", "1e+300", "1e-300"]),
    ],
)
def test_labels_tell_the_values_of_an_axis_apart(values, texts):
    assert labels(values) == texts


def texts_of(figure):
    figure.canvas.draw()
    found = [text for ax in figure.axes for text in ax.get_title().split("\n")]
    found += [label.get_text() for ax in figure.axes for label in ax.get_xticklabels()]
    return found


def test_titles_lines_and_ticks_tell_values_apart(tmp_path, capsys):
    axes = {"w": np.linspace(2.0000000001, 2.0000000009, 9), "b": np.linspace(-3, 3, 9)}
    axes |= {"learning_rate": [7.99, 7.995, 8.0, 8.0001]}
    sweep.run(sweep.Spec(axes=axes, stop={"max_epochs": 40}), tmp_path)
    result = open_result(tmp_path)
    from sweep.figures.draw import Tables

    heat = texts_of(plot("heatmap", Tables(result), "paper"))
    for text in ("learning rate 7.99", "learning rate 7.995", "learning rate 8.0001",
                 "2.0000000002", "2.0000000008"):  # fmt: skip
        assert text in heat
    assert {"7.99", "7.995", "8", "8.0001"} <= set(texts_of(plot("error", Tables(result), "paper")))
    assert main(["info", str(tmp_path)]) == 0
    captured = capsys.readouterr().out
    assert "7.99, 7.995, 8, 8.0001" in captured
    assert "2.0000000001 … 2.0000000009" in captured
    for rate in ("7.99 ", "7.995 ", "8 ", "8.0001 "):
        assert f"\n  quadratic      {rate}" in captured


def test_the_one_value_that_is_shown_is_told_apart(tmp_path):
    axes = {"w": [0.0, 1.0], "b": [0.0, 1.0], "learning_rate": [0.1, 0.2], "y": [0.0, 1.0]}
    axes |= {"x": [1.0, 1.00000001, 1.00000002]}
    sweep.run(sweep.Spec(axes=axes | {"tolerance": [0.1, 0.2]}, stop={"max_epochs": 9}), tmp_path)
    from sweep.figures.draw import Tables

    figure = plot("slowdown", Tables(open_result(tmp_path)), "paper")
    titles = " ".join(ax.get_title() for ax in figure.axes) + figure.get_suptitle()
    assert "x = 1.00000001" in titles


# --- figures in any environment, of any result ------------------------------------------------

HOSTILE = """
image.origin: lower
image.cmap: jet
text.usetex: True
axes.grid: True
axes.facecolor: red
axes.formatter.use_locale: True
axes.titlelocation: left
font.family: monospace
savefig.bbox: tight
savefig.transparent: True
lines.marker: x
figure.constrained_layout.w_pad: 1
svg.fonttype: none
path.simplify: False
"""
DRAW = """
import sys
from sweep.figures.draw import draw
from sweep.analysis.row_groups import open_result
for format in ("png", "svg", "pdf"):
    draw(open_result(sys.argv[1]), sys.argv[2], ["heatmap", "slowdown"], format=format, dpi=50)
"""


def test_a_caller_s_settings_change_no_byte(tmp_path):
    axes = {"w": np.linspace(-4, 4, 9), "b": np.linspace(-4, 4, 9), "learning_rate": [0.1, 0.5]}
    sweep.run(sweep.Spec(axes=axes, stop={"max_epochs": 300}), tmp_path / "result")
    result = open_result(tmp_path / "result")
    (tmp_path / "matplotlibrc").write_text(HOSTILE)
    for name, rc in (("plain", "/nowhere"), ("hostile", str(tmp_path / "matplotlibrc"))):
        environment = os.environ | ({"MATPLOTLIBRC": rc} if name == "hostile" else {})
        command = [sys.executable, "-c", DRAW, str(result.folder), str(tmp_path / name)]
        subprocess.run(command, env=environment, check=True, capture_output=True)
    for path in (tmp_path / "plain").iterdir():
        assert path.read_bytes() == (tmp_path / "hostile" / path.name).read_bytes(), path.name
    with mpl.rc_context({"image.origin": "lower", "axes.grid": True, "font.size": 30}):
        draw(result, tmp_path / "mine", ["heatmap"], dpi=50)
        assert mpl.rcParams["font.size"] == 30
    right = (tmp_path / "plain" / "heatmap.png").read_bytes()
    assert (tmp_path / "mine" / "heatmap.png").read_bytes() == right
    command = [sys.executable, "-m", "sweep", "plot", str(result.folder), "--figure", "heatmap"]
    command += ["--dpi", "50", "-o", str(tmp_path / "mine")]
    subprocess.run(command, env=os.environ | {"MPLBACKEND": "nonsense"}, check=True)
    assert (tmp_path / "mine" / "heatmap.png").read_bytes() == right
    (tmp_path / "matplotlibrc").write_bytes(b"axes.facecolor: \xff")
    environment = os.environ | {"MATPLOTLIBRC": str(tmp_path / "matplotlibrc")}
    refused = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "sweep: matplotlib cannot read its settings: 'utf-8' codec" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    "fields",
    [
        {"axes": {"w": [1.7e308, 1.75e308], "b": [1.7e308, 1.6e308]}},
        {"axes": {"w": [-8e307, 8e307], "b": [-8e307, 8e307]}},
        {"axes": {"w": [1e-310, 2e-310, 3e-310], "b": [0.0, 5e-324]}},
        {"axes": {"w": [0.5], "b": [0.5]}},
        {"axes": {"w": [0.5, 1.0], "b": [0.5, 1.0]}, "stop": {"max_epochs": 0}},
        {"axes": {"w": [0.5, 1.0], "b": [0.5, 1.0]}, "stop": {"max_epochs": 1, "tolerance": 1e-9}},
        {"axes": {"w": [0.5, 1.0], "b": [0.5], "y": [0.0, 0.5, 1.0], "x": [1.0, 2.0, 3.0],
                  "tolerance": [0.1, 0.2, 0.3]}},
        {"axes": {"w": [0.5, 1.0], "b": [0.5], "x": [1.0, 2.0, 3.0], "y": [0.0, 0.5, 1.0],
                  "learning_rate": [0.1, 0.2]}},
    ],
)  # fmt: skip
def test_any_result_is_drawn_or_says_why_not(fields, tmp_path, capsys):
    axes = {"learning_rate": [0.1]} | fields["axes"]
    spec = sweep.Spec(axes=axes, stop={"max_epochs": 20} | fields.get("stop", {}))
    (tmp_path / "spec.toml").write_text(spec.toml())
    out = str(tmp_path / "out")
    assert main(["run", str(tmp_path / "spec.toml"), "-o", out]) == 0
    assert main(["info", out]) == 0
    capsys.readouterr()
    for figure in FIGURES:
        assert main(["plot", out, "--figure", figure, "--dpi", "30"]) in (0, 2)
        captured = capsys.readouterr()
        assert captured.err.count("\n") <= 1
        assert bool(captured.err) != ("figures:" in captured.out)


def test_nothing_is_written_through_a_planted_link(awkward, tmp_path):
    result, _ = awkward
    victim, out = tmp_path / "victim", tmp_path / "out"
    out.mkdir()
    victim.write_text("mine")
    for name in (f".writable.{os.getpid()}.tmp", "slowdown.png"):
        (out / name).symlink_to(victim)
    draw(result, out, ["slowdown"], dpi=30)
    assert victim.read_text() == "mine"
    assert not (out / "slowdown.png").is_symlink()


def test_labels_of_many_values_take_work_in_proportion():
    def calls(count):
        made = 0

        def count_calls(frame, event, argument):
            nonlocal made
            made += event == "call"

        sys.setprofile(count_calls)
        try:
            texts = labels(np.linspace(-5.0, 5.0, count))
        finally:
            sys.setprofile(None)
        assert len(set(texts)) == count
        return made

    assert calls(2000) < 20 * calls(200)  # 100 times, if each value looks for its own digits


@pytest.mark.parametrize(
    ("error", "text"),
    [(0.5, "0.5"), (0.99966, "0.9997"), (1 - 1e-9, "0.999999999"), (1.0, "1"), (2, "2")],
)
def test_an_error_below_one_never_reads_one(error, text):
    assert below_one(error) == text
