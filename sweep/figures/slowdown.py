"""The figures that draw lines, both costs in one panel: slowdown and distribution."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from sweep.analysis.cell_index import evenly_spaced
from sweep.errors import SpecError
from sweep.figures import cells, scales
from sweep.figures.error import shown_bins


def slowdown(table: pd.DataFrame, style: str = "paper") -> Figure:
    """Draw epochs against initial error as lines, both costs, a panel for each learning rate.

    Parameters
    ----------
    table
        From `epochs_by_error`, with quantiles 0.1, 0.5, 0.9.
    style
        "paper" or "talk".

    Returns
    -------
    Figure
        Medians as lines, the middle 80 % of the starts as bands; bins whose median is not reached
        as triangles at the number of epochs that was allowed.
    """
    edges, first, last = shown_bins(table)
    stops = (table["converged"] < table["count"]).any()
    numbers = table[["median", "q10", "q90"]].to_numpy()
    ceiling = float(
        max(numbers[np.isfinite(numbers)].max(initial=1.0), stops and table.attrs["max_epochs"])
    )
    low, high = 0.7 * numbers[numbers > 0].min(initial=ceiling), 2 * ceiling

    def draw(ax: Axes, cost: str, part: pd.DataFrame) -> bool:
        part = part[part["bin"].between(first, last)]
        middle = part["bin"].to_numpy() - first + 0.5
        median, q10, q90 = (part[name].to_numpy() for name in ("median", "q10", "q90"))
        line = scales.cost_line(cost)
        reached = np.where(np.isfinite(median) & (median > 0), median, np.nan)
        dots: dict[str, Any] = {"marker": "o", "markersize": 2} if len(middle) < 40 else {}
        ax.plot(middle, reached, label=cost, **line, **dots)
        top = np.where(np.isinf(q90), ceiling, q90)
        band = {"color": line["color"], "alpha": 0.25, "linewidth": 0}
        ax.fill_between(middle, np.maximum(q10, 0.1), top, **band)
        never = np.isinf(median)
        ax.plot(middle[never], np.full(never.sum(), ceiling), "^", color=line["color"])
        return bool(never.any())

    def scale(ax: Axes) -> None:
        ax.set_yscale("log")
        ax.set_ylim(low, high)
        ax.set_xlim(0, last - first + 1)
        scales.log_ticks(ax.yaxis, low, high)
        scales.error_ticks(ax.xaxis, edges, first, last, sparse=True)

    what = "Learning slowdown: epochs to converge by initial error"
    labels = "initial error (log-odds scale)", "epochs to converge"
    more = [Patch(facecolor="#999999", alpha=0.4, label="middle 80 % of starts")]
    never = [
        Line2D([], [], marker="^", linestyle="", color="#777777", label=cells.not_reached(table))
    ]
    with scales.style(style):
        return _line_panels(table, draw, scale, what, labels, "median", more, never)


def distribution(table: pd.DataFrame, style: str = "paper") -> Figure:
    """Draw which share of the starts converged within how many epochs.

    Parameters
    ----------
    table
        From `share_by_epochs`.
    style
        "paper" or "talk".

    Returns
    -------
    Figure
        A panel for each learning rate, a line for each cost. A triangle ends a line below 1: the
        rest of the starts did not converge.

    Raises
    ------
    SpecError
        There is nothing to learn.
    """
    if not len(table):
        raise SpecError("no start is to be trained: all are within the tolerance, or not finite")
    stopped = table.groupby(table.attrs["by"], observed=True)["share"].max().min() < 1
    needed = table.loc[table["share"].between(0.001, 1, inclusive="left"), "epochs"]
    short = table.loc[table["share"] < 1, "epochs"].max()
    first = max(needed.min() / 1.5, 0.8) if len(needed) else 0.8
    last = np.fmax(table.attrs["max_epochs"] if stopped else short * 1.2, 10 * first)

    def draw(ax: Axes, cost: str, part: pd.DataFrame) -> bool:
        epochs, share = part["epochs"].to_numpy(), part["share"].to_numpy()
        line = scales.cost_line(cost)
        ax.plot(epochs, share, label=cost, drawstyle="steps-post", **line)
        if len(share) and share[-1] < 1:
            ax.plot(epochs[-1], share[-1], "^", color=line["color"], clip_on=False)
        return bool(len(share) and share[-1] < 1)

    def scale(ax: Axes) -> None:
        ax.set_xscale("log")
        ax.set_xlim(first, last)
        ax.set_ylim(0, 1.02)
        ax.set_yticks([0, 0.25, 0.5, 0.75, 1])
        scales.log_ticks(ax.xaxis, first, last)

    what = "Distribution of the epochs to converge"
    labels = "epochs", "share of starts converged"
    text = f"not converged after {table.attrs['max_epochs']:,} epochs"
    never = [Line2D([], [], marker="^", linestyle="", color="#777777", label=text)]
    with scales.style(style):
        return _line_panels(table, draw, scale, what, labels, "", [], never)


def _line_panels(
    table: pd.DataFrame,
    draw: Callable[[Axes, str, pd.DataFrame], bool],
    scale: Callable[[Axes], None],
    what: str,
    labels: tuple[str, str],
    line: str,
    more: Sequence[Artist],
    never: Sequence[Artist],
) -> Figure:
    """Draw each cost into a panel for each value of the axes that get panels."""
    _, across, *down = table.attrs["by"]
    costs = scales.order_costs(list(table["cost"].cat.categories))
    rates = evenly_spaced(sorted(table[across].unique()), 4 if down else 6)
    values = evenly_spaced(sorted(table[down[0]].unique()), 3) if down else [None]
    spots = [(value, rate) for value in values for rate in rates]
    columns = len(rates) if down else min(len(rates), 2 if len(rates) == 4 else 3)
    rows = -(-len(spots) // columns)
    figure = scales.page(*((2.6 * columns + 0.8, 2.2 * rows + 1.2) if columns > 1 else (4.8, 4.0)))
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    stopped = False
    for ax, (value, rate) in zip(panels.flat, spots, strict=False):
        part = table[table[across] == rate]
        part = part[part[down[0]] == value] if down else part
        for cost in costs:
            stopped |= draw(ax, cost, part[part["cost"] == cost])
        more_said = f", {scales.axis_value(down[0], value, values)}" if down else ""
        ax.set_title(scales.axis_value(across, rate, rates) + more_said)
        ax.grid(color="#e4e4e4", linewidth=0.5)
        scale(ax)
    for k, ax in enumerate(panels.flat):
        if k >= len(spots):
            ax.set_axis_off()
        elif k + columns >= len(spots):
            ax.tick_params(labelbottom=True)
            ax.set_xlabel(labels[0])
        if k % columns == 0:
            ax.set_ylabel(labels[1])
    handles: list[Artist] = [
        Line2D(
            [],
            [],
            label=f"{scales.cost_name(cost)}{', ' if line else ''}{line}",
            **scales.cost_line(cost),
        )
        for cost in costs
    ]
    handles += [*more, *(never if stopped else ())]
    if len(spots) < panels.size and scales.letters(1) < 10:  # a talk's letters need more room
        legend = panels.flat[-1].legend(handles=handles, loc="center", frameon=False)
        legend.set_in_layout(False)  # or panels grow apart for it
    else:
        cells.legend(figure, handles)
    figure.suptitle(scales.title(what, table))
    return figure
