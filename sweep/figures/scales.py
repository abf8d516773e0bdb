"""Scales of error and epochs: colour norms, tick marks, colour bars, numbers in cells."""

from collections.abc import Iterator
from itertools import pairwise
from math import ceil, floor, log10
from typing import Any, cast

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from sweep.errors import SpecError
from sweep.experiment.labels import labels
from sweep.figures.style import INK, RATIO_MAP, axis_name, crowding, letters, tick

Floats = npt.NDArray[np.float64]

_ERROR_TICKS = (1e-6, 1e-4, 1e-3, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.999999)


def plain(number: float) -> str:
    """Return a number for a tick: 0.01, 30, 10,000, 10⁶; no exponent between 1e-4 and 1e6."""
    return tick(f"{number:.7g}" if abs(number) < 1e6 else f"{number:.3g}")


def whole(number: float) -> str:
    """Return a whole number for a cell of a heatmap."""
    return f"{number:,.0f}" if number < 1e6 else tick(f"{number:.1e}")


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
    """Label decades, and 1-3 or 1-2-5 where there are few; round values where there are none."""
    decades = np.log10(high / low) * letters(1) / 9  # larger letters leave room for fewer
    digits = (1,) if decades > 3 else (1, 3) if decades > 1.5 else (1, 2, 5)
    ticks = _between(low, high, digits)
    if len(ticks) < 2:
        ticks = [*map(float, mpl.ticker.MaxNLocator(int(4 / crowding())).tick_values(low, high))]
    # Matplotlib's own LogLocator places them differently from release to release.
    axis.set_major_locator(FixedLocator(ticks[:: -(-len(ticks) // (20 if crowding() == 1 else 4))]))
    axis.set_major_formatter(FuncFormatter(lambda number, _: plain(number)))
    axis.set_minor_locator(NullLocator())


def rate_axis(ax: Axes, rates: Floats) -> None:
    """Scale and label an axis of learning rates across, logarithmic where they span decades."""
    low, high = float(rates.min()), float(rates.max())
    if high > 30 * low:
        ax.set_xscale("log")
        log_ticks(ax.xaxis, low, high)
    ax.set_xlim(low, high)
    ax.set_xlabel(axis_name("learning_rate"))


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
    middles = np.arange(len(values)) + 0.5
    logarithmic = _even_in_logarithm(values)
    choices = list(_round_logarithms(values) if logarithmic else _round_numbers(values))
    every = sorted({t * unit for ticks in choices for t in ticks})
    named = {t: tick(text) for t, text in zip(every, labels(every, 6), strict=True)}
    for ticks in choices:
        if logarithmic:
            where = np.interp(np.log(ticks), np.log(values), middles)
        else:
            where = np.interp(ticks, values, middles)
        texts = [named[t * unit] for t in ticks]
        if _apart(axis, where / len(values), texts):
            break
    axis.set_major_locator(FixedLocator(where.tolist()))
    axis.set_ticklabels(texts, rotation=0)


def _even_in_logarithm(values: Floats) -> bool:
    if len(values) < 3 or values[0] <= 0 or values[-1] < 10 * values[0]:
        return False
    steps = np.diff(np.log(values))
    return bool(steps.max() < 1.5 * steps.min())


def _round_numbers(values: Floats) -> Iterator[list[float]]:
    """Yield round values, evenly spaced, then each second of them and so on, at last one."""
    low, high = values[0], values[-1]
    every = mpl.ticker.MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(low, high)
    least = 1e-9 * (high - low)  # 0 comes as 1e-17
    numbers = [float(t) if abs(t) > least else 0.0 for t in every]
    for step in range(1, len(numbers)):
        kept = [t for t in numbers if round(t / (every[1] - every[0])) % step == 0]
        yield [t for t in kept if low <= t <= high] or [low]
    yield [low]


def _round_logarithms(values: Floats) -> Iterator[list[float]]:
    """Yield 1, 2, 5 of each decade, 1 and 3, 1, then each second decade and so on, at last one."""
    low, high = values[0], values[-1]
    choices = [_between(low, high, digits) for digits in ((1, 2, 5), (1, 3), (1,))]
    decades = choices[-1]
    choices += [[t for t in decades if round(log10(t)) % n == 0] for n in range(2, len(decades))]
    yield from filter(None, choices)
    yield [values[0]]


def _between(low: float, high: float, digits: tuple[int, ...]) -> list[float]:
    """Return the numbers with these digits, in each decade, from low to high."""
    low, high = low * (1 - 1e-9), high * (1 + 1e-9)
    decades = range(floor(log10(low)), ceil(log10(high)) + 1)
    return [t for n in decades for d in digits if low <= (t := float(f"{d}e{n}")) <= high]


def _apart(axis: Axis, where: Floats, texts: list[str]) -> bool:
    """Return whether labels at these shares of an axis' length have room, by their letters."""
    box, figure = axis.axes.get_position(), cast(Figure, axis.axes.get_figure(root=True))
    inch = letters(8 / 9) / 72
    if axis is axis.axes.xaxis:
        length = box.width * figure.get_figwidth()
        needs = [(0.6 * len(text) + 1) * inch for text in texts]
    else:
        length, needs = box.height * figure.get_figheight(), [1.5 * inch for _ in texts]
    room = np.diff(where) * length
    return bool((room >= [(a + b) / 2 for a, b in pairwise(needs)]).all())


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
