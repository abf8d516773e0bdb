"""What the figures share: style, colours, tick marks on scales of error and epochs, hatching."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import seaborn as sns
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

COST_COLOURS = {"quadratic": "#c1440e", "cross_entropy": "#0a5fa5"}
EPOCHS_MAP, RATIO_MAP = "viridis", "RdBu"
INK = "#333333"

_ERROR_TICKS = (1e-6, 1e-4, 1e-3, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.999999)


@contextmanager
def style() -> Iterator[None]:
    """Draw in the style of a paper; the caller's settings come back afterwards."""
    own = {
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.labelsize": 9,
        "legend.fontsize": 8,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "figure.titlesize": 11,
        "axes.linewidth": 0.6,
        "xtick.major.size": 3,
        "ytick.major.size": 3,
        "xtick.minor.size": 2,
        "ytick.minor.size": 2,
        "hatch.linewidth": 0.5,
        "hatch.color": "#777777",
        "pdf.fonttype": 42,
        "svg.fonttype": "none",
        "svg.hashsalt": "sweep",
    }
    with mpl.rc_context(), sns.axes_style("ticks"), sns.plotting_context("paper", rc=own):
        mpl.rcParams.update(cast(Any, own))
        yield


def cost_name(cost: str) -> str:
    """Return a cost as it is written in a text: `cross_entropy` is cross-entropy."""
    return cost.replace("_", "-")


def order_costs(costs: Sequence[str]) -> list[str]:
    """Return the costs with the two of the article first, quadratic before cross-entropy."""
    known = [cost for cost in COST_COLOURS if cost in costs]
    return known + [cost for cost in costs if cost not in known]


def cost_colour(cost: str) -> str:
    """Return the colour that a cost has in every figure."""
    return COST_COLOURS.get(cost, "#6a3d9a")


def plain(number: float) -> str:
    """Return a number for a tick: 0.01, 30, 10,000; no exponent between 1e-4 and 1e6."""
    text = f"{number:,.0f}" if 1000 <= abs(number) < 1e6 else f"{number:g}"
    return text.replace("-", "−")


def whole(number: float) -> str:
    """Return a whole number for a cell of a heatmap."""
    return f"{number:,.0f}" if number < 1e6 else f"{number:.1e}"


def short(number: float) -> str:
    """Return a ratio for a cell of a heatmap: two digits below 10, whole numbers above."""
    return f"{number:.2g}" if number < 1 else f"{number:.1f}" if number < 10 else whole(number)


def spread(values: Sequence[Any] | npt.NDArray[Any], most: int) -> list[Any]:
    """Return at most so many of the values, evenly spread, the first and the last among them."""
    where = np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int)
    return [values[i] for i in where]


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
    decades = np.log10(high / low)
    subs = (1.0,) if decades > 3 else (1.0, 3.0) if decades > 1.5 else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(subs=subs, numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda number, _: plain(number)))
    axis.set_minor_locator(NullLocator())


def colour_bar(figure: Figure, norm: LogNorm, cmap: str, axes: Any, label: str, **kw: Any) -> None:
    """Add a colour bar with honest logarithmic ticks beside the axes."""
    bar = figure.colorbar(ScalarMappable(norm, cmap), ax=axes, **kw)
    log_ticks(bar.long_axis, norm.vmin or 1.0, norm.vmax or 10.0)
    # Minor ticks show that a bar is logarithmic; on every panel they cost 0.3 s a figure.
    bar.long_axis.set_minor_locator(LogLocator(subs=tuple(range(1, 10)), numticks=20))
    bar.long_axis.set_minor_formatter(NullFormatter())
    bar.set_label(label)
    bar.outline.set_linewidth(0.5)


def error_ticks(
    axis: Any, edges: npt.NDArray[np.float64], first: int, last: int, sparse: bool = False
) -> None:
    """Mark round initial errors on an axis that counts bins `first` … `last` from 0."""
    scale = 2.0 if edges[-1] > 1 else 1.0
    ticks = np.sort([*_ERROR_TICKS, *(() if sparse else (0.3, 0.7))]) * scale
    where = np.interp(ticks, edges, np.arange(len(edges))) - first
    inside = (where >= 0) & (where <= last - first + 1)
    axis.set_major_locator(FixedLocator(where[inside].tolist()))
    axis.set_major_formatter(
        FuncFormatter(lambda p, _: plain(ticks[int(np.abs(where - p).argmin())]))
    )


def value_ticks(axis: Any, values: npt.NDArray[np.float64]) -> None:
    """Mark round values on an axis that counts the cells of a heatmap, each centred at k + 0.5."""
    low, high = values[0], values[-1]
    ticks = mpl.ticker.MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(low, high)
    ticks = [t for t in ticks if low <= t <= high] or [low]
    axis.set_major_locator(FixedLocator(np.interp(ticks, values, np.arange(len(values)) + 0.5)))
    axis.set_ticklabels([plain(round(t, 12)) for t in ticks], rotation=0)
