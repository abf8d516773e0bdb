"""Scales of error and epochs: colour norms, tick marks, colour bars, numbers in cells."""

from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from sweep.errors import SpecError
from sweep.experiment.labels import labels
from sweep.figures.style import INK, RATIO_MAP, crowding, letters, tick

Floats = npt.NDArray[np.float64]

_ERROR_TICKS = (1e-6, 1e-4, 1e-3, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.999999)


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


def log_norm(values: Floats) -> LogNorm:
    """Return the logarithmic colour scale of the numbers that are finite and at least 1."""
    shown = values[np.isfinite(values) & (values >= 1)]
    low, high = (shown.min(), shown.max()) if len(shown) else (1.0, 10.0)
    return LogNorm(low, max(high, low * 1.01))


def ratio_norm(values: Floats) -> LogNorm:
    """Return a logarithmic colour scale that is centred at 1 and holds every finite ratio."""
    shown = values[np.isfinite(values) & (values > 0)]
    far = max(np.exp(np.abs(np.log(shown)).max()) if len(shown) else 1.0, 2.0)
    return LogNorm(1 / far, far)


def log_ticks(axis: Axis, low: float, high: float) -> None:
    """Label decades, and 1-3 or 1-2-5 where there are few."""
    decades = np.log10(high / low) * letters(1) / 9  # larger letters leave room for fewer
    subs = (1.0,) if decades > 3 else (1.0, 3.0) if decades > 1.5 else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(subs=subs, numticks=20 if crowding() == 1 else 4))
    axis.set_major_formatter(FuncFormatter(lambda number, _: plain(number)))
    axis.set_minor_locator(NullLocator())


def colour_bar(
    figure: Figure, norm: LogNorm, cmap: str | Colormap, axes: Any, label: str, **kw: Any
) -> Colorbar:
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
    figure: Figure, norm: LogNorm, values: Floats, axes: Any, label: str, **kw: Any
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


def error_ticks(axis: Axis, edges: Floats, first: int, last: int, sparse: bool = False) -> None:
    """Mark round initial errors on an axis that counts bins `first` … `last` from 0."""
    scale = 2.0 if edges[-1] > 1 else 1.0
    ticks = np.sort([*_ERROR_TICKS, *(() if sparse else (0.3, 0.7))]) * scale
    where = np.interp(ticks, edges, np.arange(len(edges))) - first
    length = last - first + 1
    inside = (where >= 0) & (where <= length)
    taken = -np.inf
    for k in np.flatnonzero(inside):
        inside[k] = (
            where[k] - taken >= (0.17 if sparse else 0.03) * crowding() * letters(1) / 9 * length
        )
        taken = where[k] if inside[k] else taken
    axis.set_major_locator(FixedLocator(where[inside].tolist()))
    axis.set_major_formatter(
        FuncFormatter(lambda p, _: plain(ticks[int(np.abs(where - p).argmin())]))
    )


def value_ticks(axis: Axis, values: Floats) -> None:
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


def shown_bins(table: pd.DataFrame) -> tuple[Floats, int, int]:
    """Return the bin edges, and the first and last bin to show: those with anything to learn.

    Raises
    ------
    SpecError
        There is no start in any.
    """
    edges = np.asarray(table.attrs["edges"])
    learns = table[(table["converged"] < table["count"]) | (table["max"] > 0)]
    if not len(table):
        raise SpecError("no start is finite")
    shown = learns if len(learns) else table
    return edges, int(shown["bin"].min()), int(shown["bin"].max())
