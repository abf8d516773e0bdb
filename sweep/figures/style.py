"""What figures look like and how they name things: styles, pages, colours, titles, labels."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from sweep.experiment.labels import labels

# Distinct for the colour-blind, and in greyscale, where the line's style differs too.
COST_COLOURS = {"quadratic": "#d95f02", "cross_entropy": "#0a5fa5"}
COST_LINES = {"quadratic": "-", "cross_entropy": (0, (4, 1.2))}
EPOCHS_MAP = "viridis"
# Diverging at the middle and yet darker all the way, so that greyscale keeps the order.
RATIO_MAP = LinearSegmentedColormap.from_list("ratio", ["#ffd08a", "#c8c8c8", "#4a8cc0", "#08306b"])
INK = "#333333"

STYLES = {"paper": 1.0, "talk": 1.5}
"""The styles, and how large their letters and lines are."""


@contextmanager
def styled(name: str = "paper") -> Iterator[None]:
    """Draw for a paper or a talk; the caller's settings come back afterwards."""
    scale = STYLES[name]
    own = {
        "font.size": 9 * scale,
        "axes.titlesize": 9 * scale,
        "axes.labelsize": 9 * scale,
        "legend.fontsize": 8 * scale,
        "xtick.labelsize": 8 * scale,
        "ytick.labelsize": 8 * scale,
        "figure.titlesize": 11 * scale,
        "axes.linewidth": 0.6 * scale,
        "lines.linewidth": 1.4 * scale,
        "lines.markersize": 3.5 * scale,
        "xtick.major.size": 3 * scale,
        "ytick.major.size": 3 * scale,
        "xtick.minor.size": 2 * scale,
        "ytick.minor.size": 2 * scale,
        "hatch.linewidth": 0.5 * scale,
        "hatch.color": "#777777",
        "pdf.fonttype": 42,  # fonts go into the file; with SVG letters become shapes
        "svg.fonttype": "path",
        "svg.hashsalt": "sweep",
    }
    with mpl.rc_context():
        mpl.rcdefaults()  # whatever a matplotlibrc or the caller's own settings say
        mpl.rcParams.update(sns.axes_style("ticks"))
        mpl.rcParams.update(sns.plotting_context("paper"))
        mpl.rcParams.update(cast(Any, own))
        yield


def page(width: float, height: float) -> Figure:
    """Return an empty figure; a talk's letters are larger, and its pages somewhat."""
    grow = np.sqrt(mpl.rcParams["font.size"] / 9)
    return Figure((width * grow, height * grow), layout="constrained")


def letters(share: float) -> float:
    """Return a font size that is this share of the style's."""
    return float(share * mpl.rcParams["font.size"])


def axis_name(axis: str) -> str:
    """Return an axis as it is written beside a figure."""
    return {"learning_rate": "learning rate", "x": "input x", "y": "target y"}.get(axis, axis)


def axis_value(axis: str, value: Any, among: Iterable[Any] = ()) -> str:
    """Return one value of an axis as the title of a panel, distinct from the others shown."""
    if axis in ("learning_rate", "tolerance"):
        return f"{axis_name(axis)} {tick(labels([value, *among])[0])}"
    return f"{axis} = {tick(labels([value, *among], 6)[0])}"


def tick(text: str) -> str:
    """Return the label of a number as a figure has it: 10,000 and −1."""
    number = float(text)
    if 1000 <= abs(number) < 1e6 and number.is_integer():
        text = f"{number:,.0f}"
    return text.replace("-", "−")


def start_symbol(column: str) -> str:
    """Return a column of starts as a symbol: w0_2 is w₂ at the start."""
    kind, _, number = column.partition("_")
    return f"{kind[0]}₀" + (f",{number}" if number else "")


def start_name(column: str) -> str:
    """Return a column of starts as an axis is labelled: w0_2 is initial weight w₀, input 2."""
    number = column.partition("_")[2]
    word = "initial weight" if column[0] == "w" else "initial bias"
    return f"{word} {column[0]}₀" + (f", input {number}" if number else "")


def title(text: str, table: pd.DataFrame) -> str:
    """Return a figure's title; it says which axes are held at a value, and which are pooled."""
    among = table.attrs.get("axes", {})
    fixed = table.attrs.get("fixed", {}).items()
    notes = [axis_value(name, value, among.get(name, ())) for name, value in fixed]
    notes += [f"all values of {start_name(name)} pooled" for name in table.attrs.get("pooled", ())]
    return f"{text}\n({', '.join(notes)})" if notes else text


def order_costs(costs: Sequence[str]) -> list[str]:
    """Return the costs with the two of the article first, quadratic before cross-entropy."""
    known = [cost for cost in COST_COLOURS if cost in costs]
    return known + [cost for cost in costs if cost not in known]


def cost_colour(cost: str) -> str:
    """Return the colour that a cost has in every figure."""
    return COST_COLOURS.get(cost, "#6a3d9a")


def cost_line(cost: str) -> dict[str, Any]:
    """Return the colour and the dashes that a cost's line has in every figure."""
    return {"color": cost_colour(cost), "linestyle": COST_LINES.get(cost, ":")}
