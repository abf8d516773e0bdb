"""The figures, each a function of a tidy table that returns a Matplotlib figure."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from sweep.report import cells, scales

Floats = npt.NDArray[np.float64]

MOST_RATES = 6
"""Of more learning rates so many are shown, evenly spread, where each is a panel or a label."""


def heatmap(table: pd.DataFrame) -> Figure:
    """Draw the epochs to converge over the starts, a panel for each cost and learning rate.

    Parameters
    ----------
    table
        From `epochs_by_start`. Of more than 6 learning rates 6 are shown, evenly spread.

    Returns
    -------
    Figure
        Rows are costs, columns learning rates; one logarithmic colour scale; lines of equal
        initial error; starts that did not converge hatched, those that needed 0 epochs pale.
    """
    across, up = table.columns[2:4]
    costs = scales.order_costs(list(table["cost"].cat.categories))
    rates = scales.spread(np.sort(table["learning_rate"].unique()), MOST_RATES)
    groups = dict(iter(table.groupby(["cost", "learning_rate"], observed=True)))
    grid = np.sort(table[up].unique()), np.sort(table[across].unique())
    norm = scales.log_norm(table["epochs"].to_numpy())
    # A single learning rate would make one tall column: lay it down, a column for each cost.
    rows, columns = (len(costs), len(rates)) if len(rates) > 1 else (1, len(costs))
    side = 1.7 if columns > 3 else 2.5
    kinds: set[str] = set()
    with scales.style():
        figure = Figure((side * columns + 1.6, side * rows + 1.3), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False)
        for i, cost in enumerate(costs):
            for j, rate in enumerate(rates):
                row, column = divmod(i * len(rates) + j, columns)
                ax, part = panels[row, column], groups.get((cost, rate), table[:0])
                epochs = cells.rectangle(part, up, across, "epochs", *grid)
                kinds |= cells.paint(ax, epochs, epochs < 0.5, norm, scales.EPOCHS_MAP)
                cells.contours(ax, cells.rectangle(part, up, across, "initial_error", *grid))
                scales.value_ticks(ax.xaxis, grid[1])
                scales.value_ticks(ax.yaxis, grid[0])
                ax.set_aspect("auto")
                named = f"learning rate {rate:.3g}"
                if len(rates) == 1:
                    ax.set_title(f"{scales.cost_name(cost)}, {named}")
                elif row == 0:
                    ax.set_title(named)
                ax.set_xlabel(_symbol(across))
                ax.set_ylabel(_symbol(up))
                if len(rates) > 1 and column == 0:
                    ax.set_ylabel(f"{scales.cost_name(cost)}\n{_symbol(up)}")
                ax.label_outer()
        scales.colour_bar(figure, norm, scales.EPOCHS_MAP, panels, "epochs to converge", pad=0.01)
        line = Line2D([], [], color=scales.INK, linewidth=0.8, label="lines of equal initial error")
        cells.legend(figure, [*cells.swatches(table, kinds), line])
        figure.suptitle(_title("Epochs to converge from every start", table))
    return figure


def error(table: pd.DataFrame) -> Figure:
    """Draw the median epochs by initial error and learning rate, and the ratio of the two costs.

    Parameters
    ----------
    table
        From `epochs_by_error`.

    Returns
    -------
    Figure
        A panel for each cost on one logarithmic colour scale and, where quadratic and
        cross-entropy are both there, the ratio of their medians on a scale centred at 1. Bins
        whose median is not reached are hatched, bins without a start are white.
    """
    costs = scales.order_costs(list(table["cost"].cat.categories))
    rates = np.sort(table["learning_rate"].unique())
    edges, first, last = _bins(table)
    bins = np.arange(first, last + 1)
    medians = {
        cost: cells.rectangle(part, "bin", "learning_rate", "median", bins, rates)
        for cost, part in table.groupby("cost", observed=True)
    }
    norm = scales.log_norm(np.concatenate([m.ravel() for m in medians.values()]))
    compared = all(cost in medians for cost in scales.COST_COLOURS)
    written = len(rates) <= MOST_RATES and len(bins) <= 30  # then there is room for numbers
    width = float(np.clip(0.45 * len(rates), 1.8, 3.2))
    kinds: set[str] = set()
    with scales.style():
        count = len(costs) + compared
        figure = Figure((max(width * count + 1.2, 4.8), 5.8), layout="constrained")
        panels = figure.subplots(1, count, squeeze=False)[0]
        for ax, cost in zip(panels, costs, strict=False):
            zero = medians[cost] == 0
            kinds |= cells.paint(
                ax, medians[cost], zero, norm, scales.EPOCHS_MAP, scales.whole if written else None
            )
            ax.set_title(scales.cost_name(cost))
        below = {"location": "bottom", "aspect": 30, "pad": 0.02}
        mine = panels[: len(costs)]
        scales.colour_bar(
            figure, norm, scales.EPOCHS_MAP, mine, "median epochs to converge", **below
        )
        if compared:
            over, under = (medians[cost] for cost in scales.COST_COLOURS)
            with np.errstate(invalid="ignore", divide="ignore"):
                ratio = np.where(np.isinf(under), np.inf, over / under)
            ratio[np.isnan(over) | np.isnan(under)] = np.nan
            far = scales.ratio_norm(ratio)
            zero = (over == 0) & (under == 0)
            number = scales.short if written else None
            kinds |= cells.paint(panels[-1], ratio, zero, far, scales.RATIO_MAP, number)
            panels[-1].set_title("quadratic ÷ cross-entropy")
            below["aspect"] = 15
            mine = panels[-1:]
            scales.colour_bar(figure, far, scales.RATIO_MAP, mine, "ratio of the medians", **below)
        shown = scales.spread(range(len(rates)), MOST_RATES)
        for ax in panels:
            scales.error_ticks(ax.yaxis, edges, first, last)
            ax.set_xticks([k + 0.5 for k in shown], [f"{rates[k]:.2g}" for k in shown], rotation=0)
            ax.set_xlabel("learning rate")
            ax.set_ylabel("initial error (log-odds scale)" if ax is panels[0] else "")
            ax.label_outer()
        cells.legend(figure, cells.swatches(table, kinds))
        figure.suptitle(_title("Epochs to converge, by initial error and learning rate", table))
    return figure


def slowdown(table: pd.DataFrame) -> Figure:
    """Draw epochs against initial error as lines, both costs, a panel for each learning rate.

    Parameters
    ----------
    table
        From `epochs_by_error`, with quantiles 0.1, 0.5, 0.9. Of more than 6 learning rates 6 are
        shown, evenly spread.

    Returns
    -------
    Figure
        Medians as lines, the middle 80 % of the starts as bands; bins whose median is not reached
        as triangles at the number of epochs that was allowed.
    """
    costs = scales.order_costs(list(table["cost"].cat.categories))
    rates = scales.spread(np.sort(table["learning_rate"].unique()), MOST_RATES)
    edges, first, last = _bins(table)
    columns = min(len(rates), 3)
    rows = -(-len(rates) // columns)
    limit = table["max_epochs"].iloc[0]
    numbers = table[["median", "q10", "q90"]].to_numpy()
    numbers = np.append(numbers[np.isfinite(numbers)], 1 if np.isnan(limit) else max(limit, 1))
    with scales.style():
        size = (2.6 * columns + 0.8, 2.2 * rows + 1.2) if columns > 1 else (4.8, 4.0)
        figure = Figure(size, layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        stopped = False
        for ax, rate in zip(panels.flat, rates, strict=False):
            for cost in costs:
                mine = (table["learning_rate"] == rate) & (table["cost"] == cost)
                stopped |= _line(ax, table[mine], cost, first, last, numbers.max())
            ax.set_title(f"learning rate {rate:.3g}")
            ax.grid(color="#e4e4e4", linewidth=0.5)
        for ax in panels.flat[len(rates) :]:
            ax.set_axis_off()
        ax = panels[0, 0]
        ax.set_yscale("log")
        low, high = 0.7 * numbers[numbers > 0].min(), 2 * numbers.max()
        ax.set_ylim(low, high)
        ax.set_xlim(0, last - first + 1)
        for ax in panels.flat[: len(rates)]:
            scales.log_ticks(ax.yaxis, low, high)
            scales.error_ticks(ax.xaxis, edges, first, last, sparse=True)
        for ax in panels.flat[max(len(rates) - columns, 0) : len(rates)]:
            ax.tick_params(labelbottom=True)
            ax.set_xlabel("initial error (log-odds scale)")
        for ax in panels[:, 0]:
            ax.set_ylabel("epochs to converge")
        handles: list[Artist] = [
            Line2D([], [], color=scales.cost_colour(c), label=f"{scales.cost_name(c)}, median")
            for c in costs
        ]
        handles.append(Patch(facecolor="#999999", alpha=0.4, label="middle 80 % of starts"))
        if stopped:
            mark: dict[str, Any] = {
                "color": "#777777",
                "marker": "^",
                "markersize": 4,
                "linestyle": "",
            }
            handles.append(Line2D([], [], label=cells.not_reached(table), **mark))
        if len(rates) < panels.size:
            panels.flat[-1].legend(handles=handles, loc="center", frameon=False)
        else:
            cells.legend(figure, handles)
        figure.suptitle(_title("Learning slowdown: epochs to converge by initial error", table))
    return figure


def _bins(table: pd.DataFrame) -> tuple[Floats, int, int]:
    """Return the bin edges, and the first and last bin to show: those with anything to learn."""
    edges = np.asarray(table.attrs["edges"])
    learns = table[(table["converged"] < table["count"]) | (table["max"] > 0)]
    shown = learns if len(learns) else table
    return edges, int(shown["bin"].min()), int(shown["bin"].max())


def _line(ax: Axes, part: pd.DataFrame, cost: str, first: int, last: int, ceiling: float) -> bool:
    """Draw one cost's median and band; return whether some median was not reached."""
    part = part[part["bin"].between(first, last)]
    middle = part["bin"].to_numpy() - first + 0.5
    median, low, high = (part[name].to_numpy() for name in ("median", "q10", "q90"))
    colour = scales.cost_colour(cost)
    reached = np.where(np.isfinite(median) & (median > 0), median, np.nan)
    marker: dict[str, Any] = {"marker": "o", "markersize": 2} if len(middle) < 40 else {}
    ax.plot(middle, reached, color=colour, linewidth=1.4, label=cost, **marker)
    top = np.where(np.isinf(high), ceiling, high)
    ax.fill_between(middle, np.maximum(low, 0.1), top, color=colour, alpha=0.25, linewidth=0)
    never = np.isinf(median)
    ax.plot(middle[never], np.full(never.sum(), ceiling), "^", color=colour, markersize=3.5)
    return bool(never.any())


def _symbol(name: str) -> str:
    kind, _, number = name.partition("_")
    word = "initial weight" if kind == "w0" else "initial bias"
    return f"{word} {kind[0]}₀" + (f", input {number}" if number else "")


def _title(text: str, table: pd.DataFrame) -> str:
    pooled = table.attrs.get("pooled")
    return f"{text}\n(all values of {', '.join(pooled)} pooled)" if pooled else text
