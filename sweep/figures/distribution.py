"""distribution.png: which share of the starts converged within how many epochs."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sweep.errors import SpecError
from sweep.figures import scales
from sweep.figures.line_panels import line_panels
from sweep.figures.style import Look, cost_line, styled


def distribution(table: pd.DataFrame, style: str | Look = "paper") -> Figure:
    """Draw which share of the starts converged within how many epochs.

    Parameters
    ----------
    table
        From `share_by_epochs`.
    style
        "paper", "talk" or a `Look`.

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
        line = cost_line(cost, table["cost"].cat.categories)
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
    with styled(style):
        return line_panels(table, draw, scale, what, labels, "", [], never)
