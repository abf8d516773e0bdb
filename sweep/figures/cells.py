"""Paint a rectangle of epochs as a heatmap, and mark the cells that are no number."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path
from matplotlib.patheffects import AbstractPathEffect, withStroke

from sweep.figures import scales
from sweep.figures.style import INK, letters

Floats = npt.NDArray[np.float64]

CONTOURS = (0.1, 0.5, 0.9, 0.99)
"""The initial errors that get a line, as shares of the largest."""

MARKS: dict[str, dict[str, Any]] = {
    "zero": {"facecolor": "#efe6f5", "linewidth": 0},
    "not reached": {"facecolor": "#c9c9c9", "linewidth": 0, "hatch": "////"},
    "only under": {"facecolor": "#8fa3b8", "linewidth": 0, "hatch": "\\\\\\\\"},
    "only over": {"facecolor": "#ffe3b8", "linewidth": 0, "hatch": "...."},
    "empty": {"facecolor": "#ffffff", "linewidth": 0},
}
"""How cells are painted that are no number."""

Masks = dict[str, npt.NDArray[np.bool_]]


def epochs_marks(epochs: Floats) -> Masks:
    """Return which cells of a rectangle of epochs are no number."""
    return {"zero": epochs < 0.5, "not reached": np.isinf(epochs), "empty": np.isnan(epochs)}


def ratio_of(over: Floats, under: Floats) -> tuple[Floats, Masks]:
    """Return the ratio of two rectangles of epochs, and which of its cells are no number."""
    never = np.isinf(over), np.isinf(under)
    marks = {
        "zero": (over < 0.5) & (under < 0.5),
        "not reached": never[0] & never[1],
        "only under": never[0] & np.isfinite(under),
        "only over": never[1] & np.isfinite(over),
        "empty": np.isnan(over) | np.isnan(under),
    }
    number = ~np.logical_or.reduce(list(marks.values()))
    return np.divide(over, under, out=np.full_like(over, np.nan), where=number), marks


def rectangle(
    part: pd.DataFrame,
    row: str,
    column: str,
    value: str,
    rows: npt.NDArray[Any],
    columns: npt.NDArray[Any],
) -> Floats:
    """Return a column of the table as a rectangle, NaN where the table has no row."""
    filled = np.full((len(rows), len(columns)), np.nan)
    places = pd.Index(rows).get_indexer(part[row]), pd.Index(columns).get_indexer(part[column])
    held = (places[0] >= 0) & (places[1] >= 0)
    filled[places[0][held], places[1][held]] = part[value].to_numpy()[held]
    return filled


def paint(
    ax: Axes,
    values: Floats,
    marks: Masks,
    norm: LogNorm,
    cmap: Any,
    written: Callable[[float], str] | None = None,
) -> set[str]:
    """Paint numbers as colours, and mark what is no number; return which marks were needed."""
    number = ~np.logical_or.reduce(list(marks.values()))
    shown = np.where(number, values, 1)
    text: dict[str, Any] = {}
    if written:
        text = {
            "annot": np.vectorize(written)(shown),
            "fmt": "",
            "annot_kws": {"size": letters(0.72)},
        }
    sns.heatmap(
        shown,
        mask=~number,
        norm=norm,
        vmin=norm.vmin,  # or seaborn looks for them among the numbers, of which there may be none
        vmax=norm.vmax,
        cmap=cmap,
        ax=ax,
        cbar=False,
        xticklabels=False,
        yticklabels=False,
        rasterized=True,  # in PDF and SVG too, where a million vector cells would be a huge file
        **text,
    )
    for artist in ax.texts:
        artist.set_in_layout(False)  # they lie inside the panel; measuring them takes long
    ax.set_ylim(0, len(values))  # seaborn counts rows from the top
    for kind, mask in marks.items():
        if kind != "empty":
            _mark(ax, mask, kind)
    sns.despine(ax=ax, top=False, right=False)
    return {name for name, mask in marks.items() if mask.any()}


def contours(ax: Axes, error: Floats, largest: float) -> None:
    """Draw labelled lines of equal initial error over the cells of a heatmap.

    `largest` is 1, or 2 where errors reach beyond 1 (tanh).
    """
    if min(error.shape) < 2 or not np.isfinite(error).any():
        return
    low, high = np.nanmin(error), np.nanmax(error)
    levels = [level * largest for level in CONTOURS if low < level * largest < high]
    if not levels:
        return
    middles = (np.arange(length) + 0.5 for length in error.T.shape)
    lines = ax.contour(*middles, np.ma.masked_invalid(error), levels, colors=INK, linewidths=0.7)
    halo: list[AbstractPathEffect] = [withStroke(linewidth=1.8, foreground="white", alpha=0.8)]
    lines.set_path_effects(halo)
    # Labels go to the middle of each line: those that clabel places itself may stick out.
    longest = [max(segments, key=len, default=()) for segments in lines.allsegs]
    middle: list[Any] = []
    for line in longest:
        # Where lines lie close together, the label of one would cover the next one's.
        spot = line[len(line) // 2] if len(line) else None
        if spot is not None and all(_far(spot, other, error.shape) for other in middle):
            middle.append(tuple(spot))
    ax.clabel(lines, fontsize=letters(0.72), fmt=scales.plain, inline_spacing=2, manual=middle)
    for text in lines.labelTexts:
        text.set_path_effects(halo)


def _far(spot: Any, other: Any, shape: tuple[int, ...]) -> bool:
    across, up = (spot[0] - other[0]) / shape[1], (spot[1] - other[1]) / shape[0]
    return bool(np.hypot(across, up) > 0.05)


def swatches(table: pd.DataFrame, kinds: set[str]) -> list[Artist]:
    """Return legend entries for the marks that `paint` needed."""
    texts = {
        "zero": "0 epochs: within tolerance at the start",
        "not reached": not_reached(table),
        "only under": "only cross-entropy converged",
        "only over": "only quadratic converged",
        "empty": "no start here",
    }
    border = {"edgecolor": "#777777", "linewidth": 0.5}
    return [Patch(**MARKS[kind] | border, label=texts[kind]) for kind in MARKS if kind in kinds]


def not_reached(table: pd.DataFrame) -> str:
    """Say what the mark of a number that was not reached means."""
    return f"not reached within {table.attrs['max_epochs']:,} epochs"


def legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """Put a legend below the panels, in as many columns as the figure is wide."""
    if handles:
        widest = max(len(str(handle.get_label())) for handle in handles)
        width = figure.get_figwidth() * 9 / letters(1)
        fit = int(width / (0.65 + 0.06 * widest))  # inches: swatch, letters
        columns = min(max(fit, 1), len(handles))
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)


def _mark(ax: Axes, cells: npt.NDArray[np.bool_], kind: str) -> None:
    """Fill and hatch the marked cells, (rows, columns), as one patch of exactly their shape."""
    boxes = []
    for column in np.flatnonzero(cells.any(axis=0)):
        ends = np.flatnonzero(np.diff(np.r_[False, cells[:, column], False]))
        for low, high in ends.reshape(-1, 2):
            box = [(column, low), (column + 1, low), (column + 1, high), (column, high)]
            boxes.append(Path([*box, box[0]], closed=True))
    if boxes:
        mark = MARKS[kind] | {"rasterized": len(boxes) > 2000}  # a PDF of them would be large
        # As an artist, not by add_patch, which measures every box to fit limits that are set.
        ax.add_artist(PathPatch(Path.make_compound_path(*boxes), label=kind, **mark))
