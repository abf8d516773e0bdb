"""lyapunov.png: the Lyapunov exponent after the training, against the learning rate."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sweep.analysis.outcomes import lyapunov_by_rate as table_of
from sweep.experiment.labels import cost_name, order_costs
from sweep.figures import cells, scales
from sweep.figures.style import INK, Look, cost_line, page, styled, title

__all__ = ["lyapunov", "table_of"]


def lyapunov(table: pd.DataFrame, style: str | Look = "paper") -> Figure:
    """Draw the mean Lyapunov exponent over the starts, and its range, against the learning rate.

    Parameters
    ----------
    table
        From `table_of`.
    style
        "paper", "talk" or a `Look`.

    Returns
    -------
    Figure
        A line for each cost, with a band from the least to the largest. Above 0 orbits are
        irregular; at 0 a cycle begins or doubles. Exponents below −5 are cut.
    """
    costs = order_costs(list(table["cost"].cat.categories))
    with styled(style):
        figure = page(6.0, 3.8)
        ax = figure.subplots(1, 1, squeeze=False)[0, 0]
        for cost in costs:
            part = table[table["cost"] == cost]
            line = cost_line(cost, costs)
            ax.fill_between(
                part["learning_rate"], part["least"], part["largest"],
                color=line["color"], alpha=0.2, linewidth=0,
            )  # fmt: skip
            ax.plot(part["learning_rate"], part["mean"], **line)
        ax.axhline(0.0, color=INK, linewidth=0.7)
        lowest, highest = table["least"].min(), table["largest"].max()
        ax.set_ylim(max(lowest, -5.0) - 0.05, max(highest, 0.0) + 0.05)
        scales.rate_axis(ax, table["learning_rate"].to_numpy())
        ax.set_ylabel("Lyapunov exponent, per epoch")
        ax.grid(color="#e4e4e4", linewidth=0.5)
        handles = [
            Line2D(
                [],
                [],
                label=f"{cost_name(cost)}: mean and range of the starts",
                **cost_line(cost, costs),
            )
            for cost in costs
        ]
        cells.legend(figure, handles)
        figure.suptitle(title("Growth of a small difference, after the training", table))
    return figure
