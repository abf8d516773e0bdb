"""slowdown.png: epochs against the initial error as lines, both costs."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from sweep.figures import cells, scales
from sweep.figures.line_panels import line_panels
from sweep.figures.style import Look, cost_line, styled


def slowdown(table: pd.DataFrame, style: str | Look = "paper") -> Figure:
    """Draw epochs against initial error as lines, both costs, a panel for each learning rate.

    Parameters
    ----------
    table
        From `epochs_by_error`, with quantiles 0.1, 0.5, 0.9.
    style
        "paper", "talk" or a `Look`.

    Returns
    -------
    Figure
        Medians as lines, the middle 80 % of the starts as bands; bins whose median is not reached
        as triangles at the number of epochs that was allowed.
    """
    edges, first, last = scales.shown_bins(table)
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
        line = cost_line(cost, table["cost"].cat.categories)
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
    with styled(style):
        return line_panels(table, draw, scale, what, labels, "median", more, never)
