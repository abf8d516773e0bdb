"""What the figures show: cells, colours, marks, labels and limits; and how they are written."""

from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pads
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_rgba
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch

from sweep.errors import SpecError, SweepError
from sweep.report import cells, scales
from sweep.report.analysis import epochs_by_error
from sweep.report.figures import error, heatmap, slowdown
from sweep.report.plots import FIGURES, draw
from sweep.report.starts import epochs_by_start

COSTS = ["quadratic", "cross_entropy"]
RATES = [0.1, 0.5, 2.0]
MAX_EPOCHS = 1000


def result(
    costs: list[str] = COSTS, rates: list[float] = RATES, num: int = 16, **more: list[float]
) -> pads.Dataset:
    """Make a sweep whose quadratic cost is e^z times slower, as the plateau is."""
    w = b = np.linspace(-5, 5, num)
    rows = pd.MultiIndex.from_product(
        [costs, rates, *more.values(), w, b],
        names=["cost", "learning_rate", *more, "w0", "b0"],
    ).to_frame(index=False)
    z = rows.w0 + rows.b0
    rows["initial_error"] = 1 / (1 + np.exp(-z))
    slow = np.where(rows.cost == "quadratic", np.exp(z.clip(0)), 1 + z.clip(0))
    epochs = np.where(rows.initial_error <= 0.1, 0, np.ceil(4 * slow / rows.learning_rate))
    rows["status"] = np.where(epochs > MAX_EPOCHS, "max_epochs", "converged")
    rows["epochs"] = np.minimum(epochs, MAX_EPOCHS).astype(np.int32)
    rows["final_error"] = 0.1
    return pads.dataset(pa.Table.from_pandas(rows, preserve_index=False))


@pytest.fixture(scope="module")
def dataset() -> pads.Dataset:
    return result()


@pytest.fixture(scope="module")
def small() -> pads.Dataset:
    return result(rates=[0.1, 2.0], num=8)


@pytest.fixture(scope="module")
def heatmaps(dataset: pads.Dataset) -> Figure:
    return heatmap(epochs_by_start(dataset))


def panels(figure: Figure) -> list[Axes]:
    return [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]


def bars(figure: Figure) -> list[Axes]:
    return [ax for ax in figure.axes if ax.get_label() == "<colorbar>"]


def mesh(ax: Axes) -> QuadMesh:
    (found,) = (c for c in ax.collections if isinstance(c, QuadMesh))
    return found


def painted(ax: Axes) -> np.ndarray:
    """Return the numbers of a heatmap, NaN where it shows none."""
    return mesh(ax).get_array().astype(float).filled(np.nan)


def marked(ax: Axes, kind: str, shape: tuple[int, ...]) -> np.ndarray:
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


def legend(figure: Figure) -> list[str]:
    legends = [*figure.legends, *(ax.get_legend() for ax in figure.axes if ax.get_legend())]
    return [text.get_text() for one in legends for text in one.get_texts()]


def square(table: pd.DataFrame, cost: str, rate: float, value: str) -> np.ndarray:
    part = table[(table.cost == cost) & (table.learning_rate == rate)]
    return part.pivot_table(index="b0", columns="w0", values=value).to_numpy()


def test_heatmap_paints_each_cell(dataset: pads.Dataset, heatmaps: Figure) -> None:
    table = epochs_by_start(dataset)
    figure = heatmaps
    assert len(panels(figure)) == 6
    finite = table.epochs[np.isfinite(table.epochs) & (table.epochs > 0)]
    for ax, (cost, rate) in zip(
        panels(figure), [(cost, rate) for cost in COSTS for rate in RATES], strict=True
    ):
        epochs = square(table, cost, rate, "epochs")
        number = np.isfinite(epochs) & (epochs > 0)
        np.testing.assert_array_equal(painted(ax), np.where(number, epochs, np.nan))
        np.testing.assert_array_equal(marked(ax, "zero", epochs.shape), epochs == 0)
        np.testing.assert_array_equal(marked(ax, "not reached", epochs.shape), np.isinf(epochs))
        assert mesh(ax).norm is mesh(panels(figure)[0]).norm
        assert (mesh(ax).norm.vmin, mesh(ax).norm.vmax) == (finite.min(), finite.max())
        assert (ax.get_xlim(), ax.get_ylim()) == ((0, 16), (0, 16))  # w and b grow from the corner
    assert np.isinf(square(table, "quadratic", 0.1, "epochs")).any()


def test_heatmap_says_what_is_what(heatmaps: Figure) -> None:
    axes = panels(heatmaps)
    assert [ax.get_title() for ax in axes[:3]] == [f"learning rate {rate:g}" for rate in RATES]
    assert axes[0].get_ylabel() == "quadratic\ninitial bias b₀"
    assert axes[3].get_ylabel() == "cross-entropy\ninitial bias b₀"
    assert axes[4].get_xlabel() == "initial weight w₀"
    assert [text.get_text() for text in axes[3].get_xticklabels()] == ["−5", "0", "5"]
    np.testing.assert_allclose(axes[3].get_xticks(), [0.5, 8, 15.5])
    assert legend(heatmaps) == [
        "0 epochs: within tolerance at the start",
        "not reached within 1,000 epochs",
        "lines of equal initial error",
    ]
    (bar,) = bars(heatmaps)
    assert bar.get_ylabel() == "epochs to converge"
    assert bar.get_yscale() == "log"


def test_heatmap_contours_follow_the_initial_error(heatmaps: Figure) -> None:
    (lines,) = (c for c in panels(heatmaps)[0].collections if isinstance(c, QuadContourSet))
    assert list(lines.levels) == [0.1, 0.5, 0.9, 0.99]
    assert sorted(text.get_text() for text in lines.labelTexts) == ["0.1", "0.5", "0.9", "0.99"]
    half = lines.get_paths()[1].vertices - 0.5  # w0 + b0 = 0, in steps of the grid from -5
    np.testing.assert_allclose(half.sum(axis=1), 15, atol=0.05)
    for text in lines.labelTexts:  # in the middle of its line
        x, y = text.get_position()
        assert abs(x - y) < 2


def test_error_paints_medians_and_their_ratio(dataset: pads.Dataset) -> None:
    table = epochs_by_error(dataset)
    figure = error(table)
    quadratic, cross_entropy, ratio = panels(figure)
    shown = table[table.error_low >= 0.1]  # what was within the tolerance has nothing to show
    bins = range(shown.bin.min(), shown.bin.max() + 1)
    medians = {
        cost: part.pivot_table(index="bin", columns="learning_rate", values="median")
        .reindex(bins)
        .to_numpy()
        for cost, part in shown.groupby("cost", observed=True)
    }
    for ax, cost in ((quadratic, COSTS[0]), (cross_entropy, COSTS[1])):
        never = np.isinf(medians[cost])
        np.testing.assert_array_equal(painted(ax), np.where(never, np.nan, medians[cost]))
        np.testing.assert_array_equal(marked(ax, "not reached", never.shape), never)
        assert ax.get_title() == scales.cost_name(cost)
    never = np.isinf(medians[COSTS[0]])
    assert never.any()
    assert not never.all()
    expected = np.where(never, np.nan, medians[COSTS[0]] / medians[COSTS[1]])
    np.testing.assert_allclose(painted(ratio), expected)
    np.testing.assert_array_equal(marked(ratio, "not reached", never.shape), never)
    assert mesh(quadratic).norm is mesh(cross_entropy).norm
    norm = mesh(ratio).norm
    assert norm.vmin * norm.vmax == pytest.approx(1)  # centred at 1
    assert norm.vmax == pytest.approx(np.nanmax(expected))
    assert [bar.get_xlabel() for bar in bars(figure)] == [
        "median epochs to converge",
        "ratio of the medians",
    ]


def test_a_ratio_to_what_was_not_reached_is_no_number(dataset: pads.Dataset) -> None:
    rows = dataset.to_table().to_pandas()
    rows["cost"] = rows["cost"].map({"quadratic": "cross_entropy", "cross_entropy": "quadratic"})
    figure = error(epochs_by_error(pads.dataset(pa.Table.from_pandas(rows, preserve_index=False))))
    _, cross_entropy, ratio = panels(figure)
    shape = painted(ratio).shape
    never = marked(cross_entropy, "not reached", shape)
    assert never.any()
    np.testing.assert_array_equal(marked(ratio, "not reached", shape), never)
    assert np.nanmax(painted(ratio)) <= 1


def test_error_axes(dataset: pads.Dataset) -> None:
    figure = error(epochs_by_error(dataset))
    first = panels(figure)[0]
    figure.canvas.draw()
    labels = {
        t.get_text(): y for t, y in zip(first.get_yticklabels(), first.get_yticks(), strict=True)
    }
    assert labels["0.1"] == 0  # bins are quarters of a factor 9 in the odds
    assert labels["0.5"] == pytest.approx(4)
    assert labels["0.9"] == pytest.approx(8)
    assert labels["0.99"] == pytest.approx(4 + 4 * np.log(99) / np.log(9), abs=0.1)
    assert [t.get_text() for t in first.get_xticklabels()] == ["0.1", "0.5", "2"]
    assert first.get_ylabel() == "initial error (log-odds scale)"


def test_error_tells_no_start_from_not_reached() -> None:
    table = epochs_by_error(result(num=40))
    hole = (table.cost == "quadratic") & (table.learning_rate == 2) & (table.error_low == 0.5)
    attrs = table.attrs
    table = table[~hole]
    table.attrs = attrs
    figure = error(table)
    shape = painted(panels(figure)[0]).shape
    for ax in (panels(figure)[0], panels(figure)[2]):
        assert np.isnan(painted(ax)[4, 2])
        assert not marked(ax, "not reached", shape)[4, 2]
    assert painted(panels(figure)[1])[4, 2] > 0
    assert legend(figure) == ["not reached within 1,000 epochs", "no start here"]


def test_slowdown_draws_medians_and_marks_the_end(dataset: pads.Dataset) -> None:
    table = epochs_by_error(dataset)
    table_first = table[table.error_low >= 0.1].bin.min()
    figure = slowdown(table)
    axes = panels(figure)
    assert [ax.get_title() for ax in axes] == [f"learning rate {rate:g}" for rate in RATES]
    for ax, rate in zip(axes, RATES, strict=True):
        assert ax.get_yscale() == "log"
        assert ax.get_ylim()[1] == 2 * MAX_EPOCHS
        for cost in COSTS:
            part = table[(table.cost == cost) & (table.learning_rate == rate)]
            part = part[part.error_low >= 0.1]
            (line,) = (line for line in ax.lines if line.get_label() == cost)
            never = np.isinf(part["median"]).to_numpy()
            expected = part["median"].where(~never).to_numpy()
            np.testing.assert_array_equal(line.get_ydata(), expected)
            np.testing.assert_array_equal(line.get_xdata(), part.bin - table_first + 0.5)
            marks = [
                mark
                for mark in ax.lines
                if mark.get_marker() == "^" and mark.get_color() == line.get_color()
            ]
            np.testing.assert_array_equal(marks[0].get_xdata(), line.get_xdata()[never])
            assert (marks[0].get_ydata() == MAX_EPOCHS).all()
    assert legend(figure) == [
        "quadratic, median",
        "cross-entropy, median",
        "middle 80 % of starts",
        "not reached within 1,000 epochs",
    ]


@pytest.mark.parametrize(
    ("costs", "rates", "heatmaps", "errors", "lines"),
    [
        (COSTS, [0.2], 2, 3, 1),
        (["quadratic"], RATES, 3, 1, 3),
        (["cross_entropy"], [1.0], 1, 1, 1),
        (COSTS, np.geomspace(0.01, 3, 12).tolist(), 12, 3, 6),  # six of the twelve rates
    ],
)
def test_panels_fit_the_result(
    costs: list[str], rates: list[float], heatmaps: int, errors: int, lines: int, tmp_path: Path
) -> None:
    dataset = result(costs, rates, num=8)
    figures = {name: kind.plot(kind.reduce(dataset)) for name, kind in FIGURES.items()}
    counts = {name: len(panels(figure)) for name, figure in figures.items()}
    assert counts == {"heatmap": heatmaps, "error": errors, "slowdown": lines}
    for figure in figures.values():
        within_the_page(figure)


def within_the_page(figure: Figure) -> None:
    """Nothing sticks out, and no two tick labels of an axis run into one another."""
    figure.savefig("/dev/null", format="png", dpi=50)
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


def test_pooled_axes_are_named() -> None:
    dataset = result(rates=[0.5], num=6, tolerance=[0.1, 0.2])
    for kind in FIGURES.values():
        figure = kind.plot(kind.reduce(dataset))
        assert "(all values of tolerance pooled)" in figure.get_suptitle()


def test_nothing_converged_and_nothing_to_learn() -> None:
    rows = result(rates=[0.5], num=6).to_table().to_pandas()
    never = rows.assign(status="max_epochs", epochs=10)
    never.loc[:50, ["status", "epochs"]] = ["non_finite", 3]
    for changed in (never, rows.assign(status="converged", epochs=0)):
        dataset = pads.dataset(pa.Table.from_pandas(changed, preserve_index=False))
        for kind in FIGURES.values():
            figure = kind.plot(kind.reduce(dataset))
            figure.savefig("/dev/null", format="png", dpi=40)


def test_draw_writes_what_was_asked(small: pads.Dataset, tmp_path: Path) -> None:
    settings = dict(mpl.rcParams)
    paths = draw(small, tmp_path / "new" / "figures", dpi=40)
    assert [path.name for path in paths] == ["heatmap.png", "error.png", "slowdown.png"]
    assert sorted(paths) == sorted((tmp_path / "new" / "figures").iterdir())
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == settings
    assert draw(small, tmp_path, ["error"], format="svg") == [tmp_path / "error.svg"]
    assert "cross-entropy" in (tmp_path / "error.svg").read_text()
    (pdf,) = draw(small, tmp_path, ["heatmap"], format="pdf", dpi=100)
    assert pdf.read_bytes().startswith(b"%PDF")
    assert pdf.stat().st_size < 2e6


def test_a_figure_is_the_same_bytes_each_time(small: pads.Dataset, tmp_path: Path) -> None:
    (first,) = draw(small, tmp_path / "a", ["slowdown"], format="svg")
    (second,) = draw(small, tmp_path / "b", ["slowdown"], format="svg")
    assert first.read_bytes() == second.read_bytes()


def test_draw_leaves_out_what_the_result_cannot_give(tmp_path: Path) -> None:
    line = result(num=8).to_table().to_pandas().query("b0 == 5")
    dataset = pads.dataset(pa.Table.from_pandas(line, preserve_index=False))
    names = [path.stem for path in draw(dataset, tmp_path, dpi=40)]
    assert names == ["error", "slowdown"]
    with pytest.raises(SpecError, match=r"figure heatmap: .* two start axes"):
        draw(dataset, tmp_path, ["heatmap"])


def test_draw_refuses(small: pads.Dataset, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="'histogram' is unknown; choose from heatmap, error, slow"):
        draw(small, tmp_path, ["error", "histogram"])
    with pytest.raises(SpecError, match="format: 'gif' is unknown; choose from png, svg, pdf"):
        draw(small, tmp_path, format="gif")
    with pytest.raises(SpecError, match="dpi: 0 is not within"):
        draw(small, tmp_path, dpi=0)
    with pytest.raises(SpecError, match="no rows"):
        draw(small.filter(pads.field("cost") == "none"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_draw_to_where_it_cannot_write(small: pads.Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SweepError, match=r"cannot write .*file/error\.png"):
        draw(small, tmp_path / "file", ["error"])
    (tmp_path / "error.png").mkdir()
    with pytest.raises(SweepError, match=r"cannot write .*error\.png"):
        draw(small, tmp_path, ["error"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["error.png", "file"]


def test_colours_survive_greyscale() -> None:
    ramp = mpl.colormaps[scales.EPOCHS_MAP](np.linspace(0, 1, 64))[:, :3] @ [0.299, 0.587, 0.114]
    assert (np.diff(ramp) > 0).all()
