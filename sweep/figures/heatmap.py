"""The figures over the plane of starts: the epochs of each cost, and their ratio."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sweep.errors import SpecError
from sweep.figures import cells, scales

Floats = npt.NDArray[np.float64]


def heatmap(table: pd.DataFrame, style: str = "paper") -> Figure:
    """Draw the epochs to converge over the starts, a panel for each cost and learning rate.

    Parameters
    ----------
    table
        From `epochs_by_start`.
    style
        "paper" or "talk".

    Returns
    -------
    Figure
        Rows are costs (and the values of a second axis), columns learning rates (or the values of
        whichever axis varies); one logarithmic colour scale; lines of equal initial error; starts
        that did not converge hatched, those that needed 0 epochs pale.
    """
    across, down = _panel_axes(table)
    costs = scales.order_costs(list(table["cost"].cat.categories))
    norm = scales.log_norm(table["epochs"].to_numpy())
    lines = [(cost, value) for value in _values(table, down) for cost in costs]
    columns = _values(table, across)
    grid = _sides(table)
    kinds: set[str] = set()
    with scales.style(style):
        # One learning rate would make a tall column of panels: lay it down.
        shape = (len(lines), len(columns)) if len(columns) > 1 else (len(columns), len(lines))
        figure, panels = _panels(*shape)
        for i, (cost, value) in enumerate(lines):
            for j, rate in enumerate(columns):
                ax = panels[i, j] if len(columns) > 1 else panels[j, i]
                part = table[table["cost"] == cost]
                part = _at(_at(part, across, rate), down, value)
                epochs = _square(part, "epochs", grid)
                marks = cells.epochs_marks(epochs)
                kinds |= cells.paint(ax, epochs, marks, norm, scales.EPOCHS_MAP)
                _finish(ax, part, grid, table)
                name = scales.cost_name(cost)
                among = _values(table, down)
                name += f"\n{scales.axis_value(down, value, among)}" if down else ""
                if len(columns) == 1:
                    ax.set_title(f"{name}\n{scales.axis_value(across, rate, columns)}")
                elif i == 0:
                    ax.set_title(scales.axis_value(across, rate, columns))
                if len(columns) > 1 and j == 0:
                    ax.set_ylabel(f"{name}\n{ax.get_ylabel()}")
                ax.label_outer()
        label = "epochs to converge"
        scales.colour_bar(figure, norm, scales.EPOCHS_MAP, panels, label, pad=0.01)
        cells.legend(figure, [*cells.swatches(table, kinds), _contour_key()])
        figure.suptitle(scales.title("Epochs to converge from every start", table))
    return figure


def ratio(table: pd.DataFrame, style: str = "paper") -> Figure:
    """Draw the epochs under the quadratic cost ÷ those under cross-entropy, over the starts.

    Parameters
    ----------
    table
        From `epochs_by_start`.
    style
        "paper" or "talk".

    Returns
    -------
    Figure
        A panel for each learning rate (and value of a second axis). Where a cell holds several
        starts, the ratio is that of their geometric means. Hatched where a cost did not converge.

    Raises
    ------
    SpecError
        The result lacks one of the two costs.
    """
    costs = list(table["cost"].cat.categories)
    if not {"quadratic", "cross_entropy"} <= set(costs):
        raise SpecError(
            f"needs both quadratic and cross_entropy, this result has {', '.join(costs)}"
        )
    across, down = _panel_axes(table)
    grid = _sides(table)
    spots = [(value, rate) for value in _values(table, down) for rate in _values(table, across)]
    drawn = []
    for value, rate in spots:
        part = _at(_at(table, across, rate), down, value)
        sides = (part[part["cost"] == cost] for cost in ("quadratic", "cross_entropy"))
        drawn.append((part, cells.ratio_of(*(_square(side, "epochs", grid) for side in sides))))
    every = np.concatenate([values.ravel() for _, (values, _) in drawn])
    norm = scales.ratio_norm(every)
    columns = len(_values(table, across)) if down else min(len(spots), 3)
    kinds: set[str] = set()
    with scales.style(style):
        figure, panels = _panels(-(-len(spots) // columns), columns)
        for ax, (value, rate), (part, (values, marks)) in zip(
            panels.flat, spots, drawn, strict=False
        ):
            kinds |= cells.paint(ax, values, marks, norm, scales.RATIO_MAP)
            _finish(ax, part[part["cost"] == "quadratic"], grid, table)
            more = f", {scales.axis_value(down, value, _values(table, down))}" if down else ""
            ax.set_title(scales.axis_value(across, rate, _values(table, across)) + more)
        for k, ax in enumerate(panels.flat):
            if k >= len(spots):
                ax.set_axis_off()
            if k % columns:
                ax.set_ylabel("")
                ax.tick_params(labelleft=False)
            if k + columns < len(spots):
                ax.set_xlabel("")
                ax.tick_params(labelbottom=False)
        label = "ratio of the epochs"
        scales.ratio_bar(figure, norm, every, panels, label, pad=0.01)
        cells.legend(figure, [*cells.swatches(table, kinds), _contour_key()])
        figure.suptitle(scales.title("Epochs of quadratic ÷ those of cross-entropy", table))
    return figure


def _panel_axes(table: pd.DataFrame) -> tuple[str, str | None]:
    _, across, *down = table.attrs["by"]
    return across, down[0] if down else None


def _values(table: pd.DataFrame, name: str | None) -> list[Any]:
    return [None] if name is None else sorted(table[name].unique().tolist())


def _at(table: pd.DataFrame, name: str | None, value: Any) -> pd.DataFrame:
    return table if name is None else table[table[name] == value]


def _start_columns(table: pd.DataFrame) -> tuple[str, str]:
    first = len(table.attrs["by"])
    across, up = table.columns[first : first + 2]
    return across, up


def _sides(table: pd.DataFrame) -> tuple[Floats, Floats]:
    """Return the values up and across the plane."""
    across, up = _start_columns(table)
    return np.sort(table[up].unique()), np.sort(table[across].unique())


def _square(part: pd.DataFrame, value: str, grid: tuple[Floats, Floats]) -> Floats:
    across, up = _start_columns(part)
    return cells.rectangle(part, up, across, value, *grid)


def _panels(rows: int, columns: int) -> tuple[Figure, npt.NDArray[Any]]:
    side = 1.7 if columns > 3 or rows > 2 else 2.5
    figure = scales.page(max(side * columns + 1.6, 4.8), side * rows + 1.3)
    return figure, figure.subplots(rows, columns, squeeze=False)


def _finish(ax: Axes, part: pd.DataFrame, grid: tuple[Floats, Floats], table: pd.DataFrame) -> None:
    across, up = _start_columns(table)
    cells.contours(ax, _square(part, "initial_error", grid))
    scales.value_ticks(ax.xaxis, grid[1])
    scales.value_ticks(ax.yaxis, grid[0])
    ax.set_aspect("auto")
    ax.set_xlabel(scales.start_name(across))
    ax.set_ylabel(scales.start_name(up))


def _contour_key() -> Artist:
    return Line2D([], [], color=scales.INK, linewidth=0.8, label="lines of equal initial error")
