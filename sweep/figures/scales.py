"""What the figures share: style, colours, tick marks on scales of error and epochs, hatching."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
import seaborn as sns
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from sweep.experiment.labels import labels

# Apart for the colour-blind, and in greyscale, where the line's style tells them apart too.
COST_COLOURS = {"quadratic": "#d95f02", "cross_entropy": "#0a5fa5"}
COST_LINES = {"quadratic": "-", "cross_entropy": (0, (4, 1.2))}
EPOCHS_MAP = "viridis"
# Diverging at the middle and yet darker all the way, so that greyscale keeps the order.
RATIO_MAP = LinearSegmentedColormap.from_list("ratio", ["#ffd08a", "#c8c8c8", "#4a8cc0", "#08306b"])
INK = "#333333"

_ERROR_TICKS = (1e-6, 1e-4, 1e-3, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.999999)

STYLES = {"paper": 1.0, "talk": 1.5}
"""The styles, and how large their letters and lines are."""


@contextmanager
def style(name: str = "paper") -> Iterator[None]:
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


def cost_name(cost: str) -> str:
    """Return a cost as it is written in a text: `cross_entropy` is cross-entropy."""
    return cost.replace("_", "-")


def axis_name(axis: str) -> str:
    """Return an axis as it is written beside a figure."""
    return {"learning_rate": "learning rate", "x": "input x", "y": "target y"}.get(axis, axis)


def axis_value(axis: str, value: Any, among: Iterable[Any] = ()) -> str:
    """Return one value of an axis as the title of a panel, told apart from the others shown."""
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
    """Return a figure's title, which says what stands still and what is pooled."""
    among = table.attrs.get("axes", {})
    fixed = table.attrs.get("fixed", {}).items()
    said = [axis_value(name, value, among.get(name, ())) for name, value in fixed]
    said += [f"all values of {start_name(name)} pooled" for name in table.attrs.get("pooled", ())]
    return f"{text}\n({', '.join(said)})" if said else text


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


def plain(number: float) -> str:
    """Return a number for a tick: 0.01, 30, 10,000; no exponent between 1e-4 and 1e6."""
    text = f"{number:,.0f}" if 1000 <= abs(number) < 1e6 else f"{number:.7g}"
    return text.replace("-", "−")


def whole(number: float) -> str:
    """Return a whole number for a cell of a heatmap."""
    return f"{number:,.0f}" if number < 1e6 else f"{number:.1e}"


def short(number: float) -> str:
    """Return a ratio for a cell of a heatmap: two digits below 10, whole numbers above."""
    return f"{number:.2g}" if number < 1 else f"{number:.1f}" if number < 10 else whole(number)


def log_norm(values: npt.NDArray[np.float64]) -> LogNorm:
    """Return the logarithmic colour scale of the numbers that are finite and at least 1."""
    shown = values[np.isfinite(values) & (values >= 1)]
    low, high = (shown.min(), shown.max()) if len(shown) else (1.0, 10.0)
    return LogNorm(low, max(high, low * 1.01))


def ratio_norm(values: npt.NDArray[np.float64]) -> LogNorm:
    """Return a logarithmic colour scale that is centred at 1 and holds every finite ratio."""
    shown = values[np.isfinite(values) & (values > 0)]
    far = max(np.exp(np.abs(np.log(shown)).max()) if len(shown) else 1.0, 2.0)
    return LogNorm(1 / far, far)


def log_ticks(axis: Any, low: float, high: float) -> None:
    """Label decades, and 1-3 or 1-2-5 where there are few."""
    decades = np.log10(high / low) * letters(1) / 9  # larger letters leave room for fewer
    subs = (1.0,) if decades > 3 else (1.0, 3.0) if decades > 1.5 else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(subs=subs, numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda number, _: plain(number)))
    axis.set_minor_locator(NullLocator())


def colour_bar(figure: Figure, norm: LogNorm, cmap: Any, axes: Any, label: str, **kw: Any) -> Any:
    """Add a colour bar with honest logarithmic ticks beside the axes."""
    bar = figure.colorbar(ScalarMappable(norm, cmap), ax=axes, **kw)
    log_ticks(bar.long_axis, norm.vmin or 1.0, norm.vmax or 10.0)
    # Minor ticks show that a bar is logarithmic; on every panel they cost 0.3 s a figure.
    bar.long_axis.set_minor_locator(LogLocator(subs=tuple(range(1, 10)), numticks=20))
    bar.long_axis.set_minor_formatter(NullFormatter())
    bar.set_label(label)
    bar.outline.set_linewidth(0.5)
    return bar


def ratio_bar(
    figure: Figure, norm: LogNorm, values: npt.NDArray[np.float64], axes: Any, label: str, **kw: Any
) -> None:
    """Add a colour bar for ratios, cut to those there are and 1."""
    bar = colour_bar(figure, norm, RATIO_MAP, axes, label, **kw)
    shown = values[np.isfinite(values) & (values > 0)]
    low, high = min(shown.min(initial=1.0), 0.9), max(shown.max(initial=1.0), 1.1)
    (bar.ax.set_ylim if bar.orientation == "vertical" else bar.ax.set_xlim)(low, high)
    log_ticks(bar.long_axis, low, high)
    bar.ax.axhline(1, color=INK, linewidth=0.8) if bar.orientation == "vertical" else (
        bar.ax.axvline(1, color=INK, linewidth=0.8)
    )


def error_ticks(
    axis: Any, edges: npt.NDArray[np.float64], first: int, last: int, sparse: bool = False
) -> None:
    """Mark round initial errors on an axis that counts bins `first` … `last` from 0."""
    scale = 2.0 if edges[-1] > 1 else 1.0
    ticks = np.sort([*_ERROR_TICKS, *(() if sparse else (0.3, 0.7))]) * scale
    where = np.interp(ticks, edges, np.arange(len(edges))) - first
    length = last - first + 1
    inside = (where >= 0) & (where <= length)
    taken = -np.inf
    for k in np.flatnonzero(inside):
        inside[k] = where[k] - taken >= (0.17 if sparse else 0.03) * letters(1) / 9 * length
        taken = where[k] if inside[k] else taken
    axis.set_major_locator(FixedLocator(where[inside].tolist()))
    axis.set_major_formatter(
        FuncFormatter(lambda p, _: plain(ticks[int(np.abs(where - p).argmin())]))
    )


def value_ticks(axis: Any, values: npt.NDArray[np.float64]) -> None:
    """Mark round values on an axis that counts the cells of a heatmap, each centred at k + 0.5."""
    far = np.abs(values).max()
    unit = 1e300 if far > 1e300 else 1e-290 if 0 < far < 1e-290 else 1.0  # the locator's own limits
    values = values / unit
    low, high = values[0], values[-1]
    ticks = mpl.ticker.MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(low, high)
    least = 1e-9 * (high - low)  # 0 comes as 1e-17
    shown = [t if abs(t) > least else 0.0 for t in map(float, ticks) if low <= t <= high] or [low]
    axis.set_major_locator(FixedLocator(np.interp(shown, values, np.arange(len(values)) + 0.5)))
    axis.set_ticklabels([tick(text) for text in labels([t * unit for t in shown], 6)], rotation=0)
