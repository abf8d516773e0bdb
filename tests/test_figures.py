"""What the figures show: cells, colours, marks, labels and limits; and how they are written."""

import os
import re
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_rgba
from matplotlib.contour import QuadContourSet
from matplotlib.image import imread, imsave
from matplotlib.patches import PathPatch
from matplotlib.text import Text

import sweep
from sweep.analysis.by_start import epochs_by_start
from sweep.analysis.row_groups import open_result
from sweep.cli import main
from sweep.errors import SpecError, SweepError
from sweep.experiment.labels import cost_name
from sweep.figures import FIGURES as EVERY
from sweep.figures import cells, scales, style
from sweep.figures import curves as curves_
from sweep.figures import theory as theory_
from sweep.figures.curves import curves
from sweep.figures.draw import Tables, draw, plot
from sweep.figures.heatmap import heatmap
from sweep.figures.theory import theory
from sweep.neuron import flow

# Those of followed neurons are drawn in tests/test_following.py.
FIGURES = [name for name, figure in EVERY.items() if not figure.follow]

COSTS = ["quadratic", "cross_entropy"]
RATES = [0.1, 0.5, 2.0]
LIMIT = 1000


def axes(num=16, **more):
    span = {"start": -5.0, "stop": 5.0, "num": num}
    return {"w": span, "b": span, "learning_rate": RATES, **more}


@pytest.fixture(scope="module")
def make(make_result, plateau, tmp_path_factory):
    def made(**fields):
        fields = {"axes": axes(), "stop": {"max_epochs": LIMIT}} | fields
        return open_result(make_result(tmp_path_factory.mktemp("result"), plateau, **fields))

    return made


@pytest.fixture(scope="module")
def result(make):
    return make()


@pytest.fixture(scope="module")
def tables(result):
    return Tables(result)


@pytest.fixture(scope="module")
def small(make):
    return make(axes=axes(8, learning_rate=[0.1, 2.0]))


@pytest.fixture(scope="module")
def figures(tables):
    return {name: plot(name, tables, "paper") for name in FIGURES}


def panels(figure):
    return [ax for ax in figure.axes if ax.get_label() != "<colorbar>" and ax.axison]


def bars(figure):
    return [ax for ax in figure.axes if ax.get_label() == "<colorbar>"]


def mesh(ax):
    (found,) = (c for c in ax.collections if isinstance(c, QuadMesh))
    return found


def painted(ax):
    """Return the numbers of a heatmap, NaN where it shows none."""
    return mesh(ax).get_array().astype(float).filled(np.nan)


def marked(ax, kind, shape):
    """Return which cells of a heatmap lie under the patch of a mark."""
    middles = np.stack(np.meshgrid(np.arange(shape[1]), np.arange(shape[0])), -1) + 0.5
    inside = np.zeros(shape, bool)
    for patch in ax.get_children():
        if isinstance(patch, PathPatch) and patch.get_label() == kind:
            assert patch.get_facecolor() == to_rgba(cells.MARKS[kind]["facecolor"])
            assert patch.get_hatch() == cells.MARKS[kind].get("hatch")
            for box in patch.get_path().to_polygons():
                inside |= mpl.path.Path(box).contains_points(middles.reshape(-1, 2)).reshape(shape)
    return inside


def legend(figure):
    legends = [*figure.legends, *(ax.get_legend() for ax in figure.axes if ax.get_legend())]
    return [text.get_text() for one in legends for text in one.get_texts()]


def square(table, cost, rate, value):
    part = table[(table.cost == cost) & (table.learning_rate == rate)]
    return part.pivot_table(index="b0", columns="w0", values=value).to_numpy()


def by_bin(table, cost):
    """Return the medians of the bins that are shown, bin × learning rate."""
    shown = table[table.error_low >= 0.1]  # what was within the tolerance has nothing to show
    part = shown[shown.cost == cost]
    wide = part.pivot_table(index="bin", columns="learning_rate", values="median")
    return wide.reindex(range(shown.bin.min(), shown.bin.max() + 1)).to_numpy()


# --- heatmap and ratio ---------------------------------------------------------------------


def test_heatmap_paints_each_cell(tables, figures):
    table, figure = tables.by_start, figures["heatmap"]
    assert len(panels(figure)) == 6
    finite = table.epochs[np.isfinite(table.epochs) & (table.epochs > 0)]
    spots = [(cost, rate) for cost in COSTS for rate in RATES]
    for ax, (cost, rate) in zip(panels(figure), spots, strict=True):
        epochs = square(table, cost, rate, "epochs")
        number = np.isfinite(epochs) & (epochs > 0)
        np.testing.assert_array_equal(painted(ax), np.where(number, epochs, np.nan))
        np.testing.assert_array_equal(marked(ax, "zero", epochs.shape), epochs == 0)
        np.testing.assert_array_equal(marked(ax, "not reached", epochs.shape), np.isinf(epochs))
        assert mesh(ax).norm is mesh(panels(figure)[0]).norm
        assert (mesh(ax).norm.vmin, mesh(ax).norm.vmax) == (finite.min(), finite.max())
        assert (ax.get_xlim(), ax.get_ylim()) == ((0, 16), (0, 16))  # w and b grow from the corner
    assert np.isinf(square(table, "quadratic", 0.1, "epochs")).any()


def test_heatmap_says_what_is_what(figures):
    axes = panels(figures["heatmap"])
    assert [ax.get_title() for ax in axes[:3]] == [f"learning rate {rate:g}" for rate in RATES]
    assert axes[0].get_ylabel() == "quadratic\ninitial bias b₀"
    assert axes[3].get_ylabel() == "cross-entropy\ninitial bias b₀"
    assert axes[4].get_xlabel() == "initial weight w₀"
    assert [text.get_text() for text in axes[3].get_xticklabels()] == ["−5", "0", "5"]
    np.testing.assert_allclose(axes[3].get_xticks(), [0.5, 8, 15.5])
    assert legend(figures["heatmap"]) == [
        "0 epochs: within tolerance at the start",
        "not reached within 1,000 epochs",
        "lines of equal initial error",
    ]
    (bar,) = bars(figures["heatmap"])
    assert bar.get_ylabel() == "epochs to converge"
    assert bar.get_yscale() == "log"


def test_heatmap_contours_follow_the_initial_error(figures):
    first = panels(figures["heatmap"])[0]
    (lines,) = (c for c in first.collections if isinstance(c, QuadContourSet))
    assert list(lines.levels) == [0.1, 0.5, 0.9, 0.99]
    assert sorted(text.get_text() for text in lines.labelTexts) == ["0.1", "0.5", "0.9", "0.99"]
    half = lines.get_paths()[1].vertices - 0.5  # w0 + b0 = 0, in steps of the grid from -5
    np.testing.assert_allclose(half.sum(axis=1), 15, atol=0.05)
    for text in lines.labelTexts:  # in the middle of its line
        x, y = text.get_position()
        assert abs(x - y) < 2


def test_ratio_paints_the_quotient_of_the_costs(tables, figures):
    figure = figures["ratio"]
    assert [ax.get_title() for ax in panels(figure)] == [f"learning rate {r:g}" for r in RATES]
    for ax, rate in zip(panels(figure), RATES, strict=True):
        over, under = (square(tables.by_start, cost, rate, "epochs") for cost in COSTS)
        number = np.isfinite(over) & (under > 0)
        quotient = np.divide(over, under, where=number, out=np.full_like(over, np.nan))
        np.testing.assert_allclose(painted(ax), quotient)
        np.testing.assert_array_equal(marked(ax, "zero", over.shape), over == 0)
        np.testing.assert_array_equal(marked(ax, "only under", over.shape), np.isinf(over))
        norm = mesh(ax).norm
        assert norm.vmin * norm.vmax == pytest.approx(1)  # centred at 1
    (bar,) = bars(figure)
    assert bar.get_ylim()[0] == 0.9  # cut to what there is, and 1
    assert "only cross-entropy converged" in legend(figure)


def test_ratio_marks_tell_who_converged():
    over = np.array([[6.0, np.inf, 3.0, np.inf, 0.0, np.nan]])
    under = np.array([[2.0, 5.0, np.inf, np.inf, 0.0, 1.0]])
    values, marks = cells.ratio_of(over, under)
    np.testing.assert_array_equal(values, [[3.0, *[np.nan] * 5]])
    kinds = ["only under", "only over", "not reached", "zero", "empty"]
    assert [np.flatnonzero(marks[kind]).tolist() for kind in kinds] == [[1], [2], [3], [4], [5]]


# --- error, slowdown, distribution ---------------------------------------------------------


def test_error_paints_medians_and_their_ratio(tables, figures):
    figure = figures["error"]
    quadratic, cross_entropy, ratio = panels(figure)
    medians = {cost: by_bin(tables.by_error, cost) for cost in COSTS}
    for ax, cost in ((quadratic, COSTS[0]), (cross_entropy, COSTS[1])):
        never = np.isinf(medians[cost])
        np.testing.assert_array_equal(painted(ax), np.where(never, np.nan, medians[cost]))
        np.testing.assert_array_equal(marked(ax, "not reached", never.shape), never)
        assert ax.get_title() == cost_name(cost)
        numbers = [f"{median:,.0f}" for median in medians[cost][np.isfinite(medians[cost])]]
        assert [text.get_text() for text in ax.texts] == numbers
    never = np.isinf(medians[COSTS[0]])
    assert never.any()
    assert not never.all()
    expected = np.where(never, np.nan, medians[COSTS[0]] / medians[COSTS[1]])
    np.testing.assert_allclose(painted(ratio), expected)
    np.testing.assert_array_equal(marked(ratio, "only under", never.shape), never)
    assert mesh(quadratic).norm is mesh(cross_entropy).norm
    assert mesh(ratio).norm.vmax == pytest.approx(np.nanmax(expected))
    labels = [bar.get_xlabel() for bar in bars(figure)]
    assert labels == ["median epochs to converge", "ratio of the medians"]


def test_error_axes(figures):
    first = panels(figures["error"])[0]
    figures["error"].canvas.draw()
    ticks = zip(first.get_yticklabels(), first.get_yticks(), strict=True)
    labels = {text.get_text(): y for text, y in ticks}
    assert labels["0.1"] == 0  # bins are quarters of a factor 9 in the odds
    assert labels["0.5"] == pytest.approx(4)
    assert labels["0.9"] == pytest.approx(8)
    assert labels["0.99"] == pytest.approx(4 + 4 * np.log(99) / np.log(9), abs=0.1)
    assert [t.get_text() for t in first.get_xticklabels()] == ["0.1", "0.5", "2"]
    assert first.get_ylabel() == "initial error (log-odds scale)"


def test_error_tells_no_start_from_not_reached(make):
    tables = Tables(make(axes=axes(40)))
    table = tables.by_error
    hole = (table.cost == "quadratic") & (table.learning_rate == 2) & (table.error_low == 0.5)
    tables.__dict__["by_error"] = table[~hole]
    figure = plot("error", tables, "paper")
    shape = painted(panels(figure)[0]).shape
    for ax in (panels(figure)[0], panels(figure)[2]):
        assert np.isnan(painted(ax)[4, 2])
        assert not marked(ax, "not reached", shape)[4, 2]
    assert painted(panels(figure)[1])[4, 2] > 0
    assert "no start here" in legend(figure)


def test_slowdown_draws_medians_and_marks_the_end(tables, figures):
    table, figure = tables.by_error, figures["slowdown"]
    first = table[table.error_low >= 0.1].bin.min()
    assert [ax.get_title() for ax in panels(figure)] == [
        f"learning rate {rate:g}" for rate in RATES
    ]
    for ax, rate in zip(panels(figure), RATES, strict=True):
        assert ax.get_yscale() == "log"
        assert ax.get_ylim()[1] == 2 * LIMIT
        for cost in COSTS:
            part = table[(table.cost == cost) & (table.learning_rate == rate)]
            part = part[part.error_low >= 0.1]
            (line,) = (line for line in ax.lines if line.get_label() == cost)
            never = np.isinf(part["median"]).to_numpy()
            np.testing.assert_array_equal(line.get_ydata(), part["median"].where(~never))
            np.testing.assert_array_equal(line.get_xdata(), part.bin - first + 0.5)
            marks = [
                mark
                for mark in ax.lines
                if mark.get_marker() == "^" and mark.get_color() == line.get_color()
            ]
            np.testing.assert_array_equal(marks[0].get_xdata(), line.get_xdata()[never])
            assert (marks[0].get_ydata() == LIMIT).all()
    assert legend(figure) == [
        "quadratic, median",
        "cross-entropy, median",
        "middle 80 % of starts",
        "not reached within 1,000 epochs",
    ]


def test_distribution_draws_the_share_that_converged(tables, figures):
    figure = figures["distribution"]
    for ax, rate in zip(panels(figure), RATES, strict=True):
        assert (ax.get_xscale(), ax.get_ylim()) == ("log", (0, 1.02))
        for cost in COSTS:
            table = tables.by_epochs
            part = table[(table.cost == cost) & (table.learning_rate == rate)]
            (line,) = (line for line in ax.lines if line.get_label() == cost)
            np.testing.assert_array_equal(line.get_xdata(), part.epochs)
            np.testing.assert_array_equal(line.get_ydata(), part.share)
            assert line.get_color() == style.COST_COLOURS[cost]
            ends = [mark for mark in ax.lines if mark.get_marker() == "^"]
            ends = [mark for mark in ends if mark.get_color() == line.get_color()]
            assert len(ends) == (part.share.max() < 1)
    assert legend(figure)[-1] == "not converged after 1,000 epochs"
    assert panels(figure)[0].get_ylabel() == "share of starts converged"


# --- curves and theory ---------------------------------------------------------------------


def test_curves_are_those_that_trace_gives(result):
    table = curves_.table_of(result)
    figure = curves(table)
    assert len(panels(figure)) == 9
    starts = table.groupby("start").initial_error.first()
    np.testing.assert_allclose(starts, [0.5, 0.9, 0.99], atol=0.03)
    for ax, (rate, start) in zip(
        panels(figure), [(rate, start) for rate in RATES for start in range(3)], strict=True
    ):
        for cost in COSTS:
            part = table[(table.start == start) & (table.cost == cost)]
            part = part[part.learning_rate == rate]
            w, b = part.w0.iloc[0], part.b0.iloc[0]
            problem = {"learning_rate": rate, "cost": cost, "x": 1.0, "y": 0.0}
            traced = sweep.trace(w, b, epochs=int(part.epoch.max()), **problem)
            (line,) = (line for line in ax.lines if line.get_label() == cost)
            np.testing.assert_array_equal(line.get_xdata(), part.epoch)
            np.testing.assert_array_equal(line.get_ydata(), traced.error[part.epoch])
            if traced.error[-1] <= 0.1:
                met = np.flatnonzero(traced.error <= 0.1)[0]
                dots = [m for m in ax.lines if m.get_marker() == "o"]
                assert met in [x for dot in dots for x in dot.get_xdata()]
    assert panels(figure)[0].get_xlim()[0] == 0


@pytest.mark.parametrize("samples", [1, 569])
def test_curves_go_on_after_the_tolerance_and_say_where_they_are_cut(
    make_result, tmp_path, monkeypatch, samples
):
    x = np.linspace(-2, 1, samples).tolist() if samples > 1 else 1.0
    y = [float(v > 0) for v in x] if samples > 1 else 0.0
    task, stop = {"x": x, "y": y}, {"max_epochs": 3000, "tolerance": 0.2}
    spec = {"axes": axes(5), "task": task, "stop": stop}
    result = open_result(make_result(tmp_path, lambda z, rate, cost: 1 + 0 * z, 3000, **spec))
    table = curves_.table_of(result)
    by = table.groupby(["cost", "learning_rate", "start"])
    met = table[table.reached].set_index(["cost", "learning_rate", "start"])
    ends = by.epoch.max().drop(met.index)
    assert (ends == 3000).all()
    assert (by.epoch.max()[met.index] == np.minimum(2 * met.epoch + 10, 3000)).all()
    assert (met.error <= 0.2).all()
    assert len(met) >= 3
    assert "followed" not in curves(table).get_suptitle()
    monkeypatch.setattr(curves_, "MAX_TRACED", 20 * samples)
    cut = curves(curves_.table_of(result)).get_suptitle()
    assert "followed for 20 of 3,000 epochs" in cut


def test_theory_lays_the_flow_over_measured_points(make_result, tmp_path):
    def flowing(z, rate, cost):
        return np.ceil(flow.epochs(cost, z, 0.1, rate * (1 + 0.7**2)))

    fields = {"axes": axes(60), "task": {"x": 0.7}, "stop": {"max_epochs": 5000}}
    table = theory_.table_of(open_result(make_result(tmp_path, flowing, 1000, **fields)))
    assert set(table.groupby(["cost", "learning_rate"]).size().between(150, 300)) == {True}
    np.testing.assert_allclose(table.kappa, table.learning_rate * 1.49)
    reached = table[np.isfinite(table.epochs)]
    assert (reached.epochs == np.ceil(reached.flow)).all()
    assert (table.flow[np.isinf(table.epochs)] > 5000).all()
    figure = theory(table)
    for ax, cost in zip(panels(figure)[:2], COSTS, strict=True):
        (line,) = (line for line in ax.lines if line.get_label() == "flow")
        np.testing.assert_allclose(line.get_ydata(), flow.epochs(cost, line.get_xdata(), 0.1, 1.0))
        for rate in RATES:
            mine = reached[(reached.cost == cost) & (reached.learning_rate == rate)]
            (dots,) = (dots for dots in ax.lines if dots.get_label() == f"{rate:g}")
            np.testing.assert_allclose(dots.get_xdata(), mine.z0)
            np.testing.assert_allclose(dots.get_ydata(), mine.kappa * mine.epochs)
    assert [ax.get_title() for ax in panels(figure)[:2]] == ["quadratic", "cross-entropy"]


def test_theory_mirrors_the_target(make_result, tmp_path):
    def flowing(z, rate, cost):
        return np.ceil(flow.epochs(cost, z, 0.1, rate * 2, y=1))

    fields = {"axes": axes(20), "task": {"y": 1.0}, "stop": {"max_epochs": 5000}}
    table = theory_.table_of(open_result(make_result(tmp_path, flowing, **fields)))
    reached = table[np.isfinite(table.epochs)]
    assert (reached.epochs == np.ceil(reached.flow)).all()
    assert reached.z0.min() > -2.2


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ({"x": [1.0, 2.0], "y": [0.0, 1.0]}, "this result has 2 samples"),
        ({"y": 0.5}, "this result has y = 0.5"),
        ({"activation": "tanh"}, "this result has activation = tanh"),
    ],
)
def test_theory_says_why_there_is_none(make, task, reason):
    small = axes(4, cost=["quadratic"], learning_rate=[1.0])
    with pytest.raises(SpecError, match=reason):
        theory_.table_of(make(axes=small, task=task))


# --- any result ----------------------------------------------------------------------------

OTHERS = {
    "one rate": {"axes": axes(8, learning_rate=[0.2])},
    "one cost": {"axes": axes(8, cost=["quadratic"])},
    "twelve rates": {"axes": axes(8, learning_rate=np.geomspace(0.01, 3, 12).tolist())},
    "tolerances": {"axes": axes(8, tolerance=[0.2, 0.1, 0.05])},
    "inputs x": {"axes": axes(8, learning_rate=[0.5], x=[-2.0, 0.0, 1.0, 3.0])},
    "four axes": {"axes": axes(6, x=[0.5, 1.0], y=[0.0, 1.0], tolerance=[0.1, 0.2])},
    "samples": {"axes": axes(8), "task": {"x": [1.0, -1.0], "y": [0.0, 1.0]}},
    "two inputs": {
        "axes": {"w1": [-2.0, 0, 2], "w2": [-1.0, 0, 1], "b": [0.0, 1.0], "learning_rate": [1.0]},
        "task": {"x": [[1.0, 2.0]], "y": [0.0]},
    },
    "random": {"axes": {"learning_rate": RATES}, "start": {"random": "uniform", "count": 300}},
    "tanh": {"axes": axes(8, cost=["quadratic"]), "task": {"activation": "tanh", "y": -1.0}},
    "a line": {"axes": axes(20, b=[0.0])},
    "far": {
        "axes": {
            "w": {"start": 1e-3, "stop": 1e3, "num": 13, "scale": "log"},
            "b": {"start": -1e6, "stop": 1e6, "num": 13},
            "learning_rate": np.geomspace(0.0064, 12, 9).tolist(),
        }
    },
    "one neuron": {"axes": {"w": [2.0], "b": [2.0], "learning_rate": [0.5]}},
    "never": {"axes": axes(6), "stop": {"max_epochs": 0}},
    "already": {"axes": axes(6), "stop": {"tolerance": 1.0}},
}
PANELS = {  # heatmap, error, slowdown, ratio, distribution, curves, theory
    "one rate": (2, 3, 1, 1, 1, 3, 4),
    "one cost": (3, 1, 3, 0, 3, 9, 2),
    "twelve rates": (12, 3, 6, 6, 6, 9, 4),
    "tolerances": (12, 9, 9, 6, 9, 9, 4),
    "inputs x": (8, 3, 4, 4, 4, 9, 4),
    "four axes": (12, 6, 6, 6, 6, 9, 4),
    "samples": (6, 3, 3, 3, 3, 9, 0),
    "two inputs": (2, 3, 1, 1, 1, 3, 4),
    "random": (6, 3, 3, 3, 3, 6, 4),
    "tanh": (3, 1, 3, 0, 3, 9, 0),
    "a line": (0, 3, 3, 0, 3, 9, 4),
    "far": (12, 3, 6, 6, 6, 9, 4),
    "one neuron": (0, 3, 1, 0, 1, 1, 4),
    "never": (6, 3, 3, 3, 3, 9, 0),
    "already": (6, 3, 3, 3, 0, 9, 0),
}

# Those that differ most in their layout, which takes most of the time.
LAID_OUT = ("one rate", "twelve rates", "tolerances", "two inputs", "tanh", "never", "far")


@pytest.mark.parametrize("name", OTHERS)
def test_any_result_gets_panels_that_fit(make, name):
    tables = Tables(make(**OTHERS[name]))
    counts = []
    for figure_name in FIGURES:
        try:
            figure = plot(figure_name, tables, "paper")
        except SpecError:
            counts.append(0)
            continue
        counts.append(len(panels(figure)))
        if name in LAID_OUT:
            within_the_page(figure)
    assert tuple(counts) == PANELS[name]


def within_the_page(figure):
    """Nothing sticks out, and no two tick labels of an axis run into one another."""
    figure.draw_without_rendering()
    page = figure.bbox.padded(1)
    everything = figure.get_tightbbox().transformed(figure.dpi_scale_trans)
    assert page.x0 <= everything.x0
    assert page.y0 <= everything.y0
    assert everything.x1 <= page.x1
    assert everything.y1 <= page.y1
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            boxes = [text.get_window_extent() for text in axis.get_ticklabels() if text.get_text()]
            boxes = [box for box in boxes if box.width > 0]
            assert not any(a.overlaps(b) for a, b in pairwise(boxes))


def test_what_stands_still_or_is_pooled_is_said(make):
    tables = Tables(make(**OTHERS["four axes"]))
    for name in FIGURES:
        assert "y = 1, tolerance 0.2)" in plot(name, tables, "paper").get_suptitle()
    figure = heatmap(epochs_by_start(make(**OTHERS["two inputs"])))
    assert "(all values of initial bias b₀ pooled)" in figure.get_suptitle()


def test_values_that_are_left_out_are_counted(make):
    rates = {"learning_rate": np.geomspace(0.1, 2, 8).tolist(), "tolerance": [0.05, 0.1, 0.2, 0.3]}
    tables = Tables(make(axes=axes(6, **rates)))
    said = {}
    for name in FIGURES:
        text = plot(name, tables, "paper").get_suptitle()
        said[name] = re.findall(r"(\d) of (\d) values of (\w+)", text)
    assert said == {
        "heatmap": [("3", "8", "learning"), ("2", "4", "tolerance")],
        "error": [("3", "4", "tolerance")],
        "slowdown": [("4", "8", "learning"), ("3", "4", "tolerance")],
        "ratio": [("3", "8", "learning"), ("2", "4", "tolerance")],
        "distribution": [("4", "8", "learning"), ("3", "4", "tolerance")],
        "curves": [("3", "8", "learning")],
        "theory": [("3", "8", "learning"), ("2", "4", "tolerance")],
    }


TICKS = {
    "linear": (np.linspace(-5, 5, 21), ["−5", "0", "5"]),
    "far": (np.linspace(-1e6, 1e6, 41), ["−10⁶", "−500,000", "0", "500,000", "10⁶"]),
    "rates": (np.geomspace(0.0064, 12, 12), ["0.01", "0.03", "0.1", "0.3", "1", "3", "10"]),
    "six decades": (
        np.geomspace(1e-3, 1e3, 13),
        ["0.001", "0.01", "0.1", "1", "10", "100", "1,000"],
    ),
    "one decade": (np.geomspace(0.5, 6, 9), ["0.5", "1", "2", "5"]),
    "huge": (np.geomspace(1e-30, 1e30, 61), ["10⁻²⁷", "10⁻¹⁸", "10⁻⁹", "1", "10⁹", "10¹⁸", "10²⁷"]),
    "close": (np.linspace(2.0000000001, 2.0000000009, 9), ["2.0000000002", "2.0000000006"]),
    "tiny": (np.geomspace(1.1e-9, 1.8e-9, 5), ["1.2×10⁻⁹", "1.6×10⁻⁹"]),
}


@pytest.mark.parametrize("name", TICKS)
def test_ticks_are_round_and_apart(name):
    values, expected = TICKS[name]
    with style.styled():
        ax = style.page(4, 2).subplots()
        ax.set_xlim(0, len(values))
        scales.value_ticks(ax.xaxis, values)
    assert [text.get_text() for text in ax.get_xticklabels()] == expected
    logarithmic = not np.allclose(np.diff(values), values[1] - values[0])
    there = np.interp(
        ax.get_xticks() - 0.5, range(len(values)), np.log(values) if logarithmic else values
    )
    np.testing.assert_allclose(np.exp(there) if logarithmic else there, [*map(number_of, expected)])


def number_of(text):
    """Return what a tick says: 2.5×10⁶ is 2.5e6."""
    digits, power = re.fullmatch(r"([−\d.,]*?)×?(?:10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))?", text).groups()
    sign = {"": "1", "−": "-1"}.get(digits, digits).replace("−", "-").replace(",", "")
    return float(f"{sign}e{(power or '0').translate(str.maketrans('⁻⁰¹²³⁴⁵⁶⁷⁸⁹', '-0123456789'))}")


def test_the_contours_of_errors_up_to_two_are_doubled(make):
    task = {"task": {"activation": "tanh"}}
    costs = ["quadratic", "tanh_cross_entropy"]
    figure = heatmap(epochs_by_start(make(axes=axes(20, cost=costs, y=[-0.9, 0.0]), **task)))
    levels = [
        list(lines.levels)
        for ax in panels(figure)
        for lines in ax.collections
        if isinstance(lines, QuadContourSet)
    ]
    assert [0.2, 1.0, 1.8] in levels  # of y = −0.9; of y = 0 the largest error is 1
    assert {level for each in levels for level in each} <= {0.2, 1.0, 1.8, 1.98}


def test_the_rule_of_the_gradient_is_said(tmp_path, capsys):
    task = {"x": [0.5, -1.0, 0.8], "y": [1.0, 0.0, 0.0]}
    stop = {"rule": "gradient", "tolerance": 0.01, "max_epochs": 300}
    sweep.run(sweep.Spec(axes=axes(5), task=task, stop=stop), tmp_path)
    tables = Tables(open_result(tmp_path))
    for name in FIGURES:
        if name != "theory":
            said = plot(name, tables, "paper").get_suptitle()
            assert "(converged: the gradient is at most the tolerance)" in said
    curves_figure = plot("curves", tables, "paper")
    assert "tolerance 0.01" not in legend(curves_figure)  # of a gradient, where errors are drawn
    with pytest.raises(SpecError, match="this result has rule = gradient"):
        plot("theory", tables, "paper")
    assert main(["info", str(tmp_path)]) == 0
    captured = capsys.readouterr().out
    assert "epochs to converge (gradient at most 0.01), by the error mean |y - a|" in captured
    assert "rule = gradient" in captured


def test_axes_say_what_they_show(make, figures):
    assert panels(figures["theory"])[0].get_ylabel().endswith("κ = η(|x|² + 1)")
    assert panels(figures["curves"])[0].get_ylabel().endswith("\nerror |y − a|")
    several = plot("curves", Tables(make(**OTHERS["samples"])), "paper")
    assert panels(several)[0].get_ylabel().endswith("\nerror, mean |y − a|")


def test_a_talk_has_larger_letters(tables):
    for name in FIGURES:
        figure = plot(name, tables, "talk")
        assert figure.get_suptitle()
        assert figure._suptitle.get_fontsize() == 16.5
        within_the_page(figure)


def test_a_huge_heatmap_is_reduced_before_it_is_drawn(make_result, plateau, tmp_path):
    span = {"start": -5.0, "stop": 5.0, "num": 700}
    rates = {"learning_rate": [1.0], "cost": ["quadratic"]}
    table = epochs_by_start(
        open_result(make_result(tmp_path, plateau, axes={"w": span, "b": span, **rates}))
    )
    (ax,) = panels(heatmap(table))
    assert painted(ax).shape == (350, 350)
    assert (table["count"] == 4).all()


# --- pictures ------------------------------------------------------------------------------


def without_letters(figure):
    """Return the pixels of a figure without any text, so that no font has a say in them."""
    figure.set_dpi(40)
    for one in figure.legends + [ax.get_legend() for ax in figure.axes if ax.get_legend()]:
        one.remove()
    for _ in range(2):  # ticks may be made anew in the larger room
        figure.draw_without_rendering()
        for text in figure.findobj(Text):
            text.set_visible(False)
    with style.styled():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3] / 255


@pytest.mark.parametrize("name", FIGURES)
def test_pictures_look_as_they_did(name, small):
    """Against tests/pictures: with SWEEP_PICTURES=1 they are drawn anew; then look at them."""
    ours = without_letters(plot(name, Tables(small), "paper"))
    path = Path(__file__).with_name("pictures") / f"{name}.png"
    if os.environ.get("SWEEP_PICTURES"):
        imsave(path, ours)
    theirs = imread(path)[..., :3]
    assert ours.shape == theirs.shape
    off = np.abs(ours - theirs).max(axis=-1)
    assert off.mean() < 0.0005
    assert (off > 0.1).mean() < 0.001


# --- files ---------------------------------------------------------------------------------


def test_draw_writes_what_was_asked(small, tmp_path):
    settings = dict(mpl.rcParams)
    paths, reasons = draw(small, tmp_path / "new" / "figures", dpi=40)
    assert [Path(path).name for path in paths] == [f"{name}.png" for name in FIGURES]
    assert reasons == []
    assert sorted(map(Path, paths)) == sorted((tmp_path / "new" / "figures").iterdir())
    assert all(Path(path).read_bytes().startswith(b"\x89PNG") for path in paths)
    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == settings
    draw(small, tmp_path, ["error"], format="svg")
    assert "cross-entropy" in (tmp_path / "error.svg").read_text()


def test_draw_removes_what_a_killed_run_left(small, tmp_path):
    (tmp_path / ".error.png.123-0123abcd.tmp").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("mine")
    draw(small, tmp_path, ["slowdown"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "slowdown.png"]


def test_a_pdf_is_small_and_its_fonts_are_in_it(make_result, tmp_path):
    def noise(z, rate, cost):  # nothing to compress, and a mark beside every number
        return np.random.default_rng(0).integers(0, 12_000, len(z))

    rates = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5]
    result = open_result(make_result(tmp_path, noise, axes=axes(120, learning_rate=rates)))
    (pdf,), _ = draw(result, tmp_path, ["heatmap"], format="pdf")
    content = Path(pdf).read_bytes()
    assert content.startswith(b"%PDF")
    assert len(content) < 2e6
    assert b"/FontFile2" in content
    assert b"/Type3" not in content
    assert content.count(b"/Subtype /Image") >= 12


def test_a_figure_is_the_same_bytes_each_time(small, tmp_path):
    for format_ in ("svg", "pdf"):
        (first,), _ = draw(small, tmp_path / "a", ["slowdown"], format=format_)
        (second,), _ = draw(small, tmp_path / "b", ["slowdown"], format=format_)
        assert Path(first).read_bytes() == Path(second).read_bytes()


def test_draw_leaves_out_what_the_result_cannot_give(make, tmp_path):
    line = make(**OTHERS["a line"])
    paths, reasons = draw(line, tmp_path, dpi=40)
    assert [Path(path).stem for path in paths] == [
        "error",
        "slowdown",
        "distribution",
        "curves",
        "theory",
    ]
    assert [re.match(r"figure (\w+): a picture over", reason)[1] for reason in reasons] == [
        "heatmap",
        "ratio",
    ]
    with pytest.raises(SpecError, match=r"figure heatmap: .* two start axes"):
        draw(line, tmp_path, ["heatmap"])


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (
            {"names": ["error", "slowdwn"]},
            r"figure = 'slowdwn': .* bifurcation \(did you mean 'slowdown'",
        ),
        ({"names": ["xyz"]}, "figure = 'xyz': must be one of heatmap, error, slowdown, ratio"),
        ({"format": "gif"}, "format = 'gif': must be one of png, svg, pdf"),
        ({"look": "poster"}, "style = 'poster': must be one of paper, talk"),
        ({"dpi": 0}, "dpi = 0: must lie within 10 and 2400"),
    ],
)
def test_draw_refuses(small, tmp_path, kwargs, message):
    with pytest.raises(SpecError, match=message):
        draw(small, tmp_path / "new", **kwargs)
    assert list(tmp_path.iterdir()) == []


def test_draw_to_where_it_cannot_write(small, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SpecError, match="file: cannot be written to: "):
        draw(small, tmp_path / "file", ["error"])
    (tmp_path / "error.png").mkdir()
    with pytest.raises(SweepError, match=r"error\.png: cannot be written: Is a directory"):
        draw(small, tmp_path, ["error"], dpi=20)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["error.png", "file"]


@pytest.mark.parametrize("name", [style.EPOCHS_MAP, style.RATIO_MAP])
def test_colours_survive_greyscale(name):
    colours = (mpl.colormaps[name] if isinstance(name, str) else name)(np.linspace(0, 1, 64))
    steps = np.diff(colours[:, :3] @ [0.299, 0.587, 0.114])
    assert (steps > 0).all() or (steps < 0).all()


def test_costs_are_told_apart_without_colour():
    assert len({str(style.cost_line(cost)["linestyle"]) for cost in COSTS}) == 2


@pytest.fixture(scope="module")
def two_rates(tmp_path_factory):
    span = {"start": -4.0, "stop": 4.0, "num": 9}
    axes = {"w": span, "b": span, "learning_rate": [0.1, 0.5]}
    folder = tmp_path_factory.mktemp("look") / "result"
    return sweep.run({"axes": axes, "stop": {"max_epochs": 300}}, folder, quiet=True).open()


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("width", [3.5, 7.0])
def test_a_figure_has_the_width_that_is_wished(two_rates, name, width):
    figure = two_rates.plot(name, width=width, title=None)
    assert figure.get_figwidth() == width
    assert not figure.get_suptitle()
    figure.canvas.draw()
    sizes = [text.get_fontsize() for text in figure.findobj(mpl.text.Text) if text.get_text()]
    assert min(sizes) >= 4.5  # the numbers of contours and cells; else 6
    assert np.percentile(sizes, 50) >= 6


@pytest.mark.parametrize("kind", ["svg", "pdf", "png"])
def test_files_say_of_which_spec_they_are_whatever_the_caller_s_settings(two_rates, kind, tmp_path):
    figure = two_rates.plot("slowdown")
    figure.savefig(tmp_path / f"plain.{kind}")
    hostile = {
        "svg.fonttype": "path",
        "pdf.fonttype": 3,
        "savefig.facecolor": "red",
        "font.size": 30,
    }
    with mpl.rc_context(hostile):
        two_rates.plot("slowdown").savefig(tmp_path / f"hostile.{kind}")
    content = (tmp_path / f"plain.{kind}").read_bytes()
    assert content == (tmp_path / f"hostile.{kind}").read_bytes()
    assert f"sweep:{two_rates.spec.id}".encode() in content
    assert b"sweep: slowdown" in content
    if kind == "svg":
        assert b"learning rate 0.1</text>" in content
    draw(two_rates._rows, tmp_path, ["slowdown"], format=kind)
    assert f"sweep:{two_rates.spec.id}".encode() in (tmp_path / f"slowdown.{kind}").read_bytes()


def test_a_figure_of_one_panel_is_drawn_into_a_caller_s_axes(two_rates):
    mine = mpl.figure.Figure((6, 3))
    ax, other = mine.subplots(1, 2)
    one = {"cost": "quadratic", "learning_rate": 0.1}
    assert two_rates.plot("heatmap", where=one, ax=ax) is mine
    assert ax.get_title() == "quadratic\nlearning rate 0.1"
    two_rates.plot("curves", where=one, starts=[(2, 2)], ax=other)
    (line,) = (line for line in other.lines if line.get_label() == "quadratic")
    assert line.get_ydata()[0] == pytest.approx(0.982, abs=1e-3)
    with pytest.raises(SpecError, match="ax: this figure has 4 panels; pick values by `where`"):
        two_rates.plot("heatmap", ax=ax)


def test_a_figure_shows_itself_in_a_notebook_and_takes_a_colour_map(two_rates):
    figure = two_rates.plot("heatmap", cmap="magma")
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert "magma" in {m.get_cmap().name for m in figure.findobj(mpl.collections.QuadMesh)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cmap": "virids"}, r"cmap = 'virids': is no colour map .*\(did you mean 'viridis'\?\)"),
        ({"width": 0.5}, "width = 0.5: must lie within 1 and 100 inches"),
        ({"style": "poster"}, "style = 'poster': must be one of paper, talk"),
        ({"ax": 3}, "ax = 3: must be Axes of Matplotlib"),
        ({"starts": [(1, 2)]}, "starts: only the figure curves has starts of its own"),
        ({"figure": "curves", "starts": [(1, 2, 3)]}, r"must be a list of \(w, b\)"),
    ],
)
def test_what_a_look_refuses(two_rates, options, message):
    with pytest.raises(SpecError, match=message):
        two_rates.plot(**{"figure": "heatmap"} | options)
