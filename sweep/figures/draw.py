"""The figures that can be asked for, listed in FIGURES, and drawn to files by `draw`."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave

from sweep.analysis.by_error import Counted, count_by_error, epochs_by_error, share_by_epochs
from sweep.analysis.by_start import epochs_by_start
from sweep.analysis.row_groups import Result
from sweep.errors import SpecError
from sweep.figures import scales
from sweep.figures.curves import curves, learning_curves
from sweep.figures.error import error
from sweep.figures.heatmap import heatmap, ratio
from sweep.figures.slowdown import distribution, slowdown
from sweep.figures.theory import measured_points, theory
from sweep.store.folder import Folder, files, open_folder, write_whole

FORMATS = ("png", "svg", "pdf")


@dataclass(frozen=True)
class Tables:
    """The tables of a result that figures share, each made when it is first asked for."""

    result: Result

    @cached_property
    def _counted(self) -> Counted:
        return count_by_error(self.result)

    @cached_property
    def by_start(self) -> pd.DataFrame:
        """From `epochs_by_start`."""
        return epochs_by_start(self.result)

    @cached_property
    def by_error(self) -> pd.DataFrame:
        """From `epochs_by_error`."""
        return epochs_by_error(self._counted)

    @cached_property
    def by_epochs(self) -> pd.DataFrame:
        """From `share_by_epochs`."""
        return share_by_epochs(self._counted)


class Kind(NamedTuple):
    """A figure that can be asked for: what it shows, and how it is drawn in a style."""

    description: str
    plot: Callable[[Tables, str], Figure]


FIGURES = {
    "heatmap": Kind(
        "epochs over the starts, by cost and learning rate",
        lambda tables, style: heatmap(tables.by_start, style),
    ),
    "error": Kind(
        "epochs by initial error and learning rate, and the ratio of the costs",
        lambda tables, style: error(tables.by_error, style),
    ),
    "slowdown": Kind(
        "epochs against initial error as lines",
        lambda tables, style: slowdown(tables.by_error, style),
    ),
    "ratio": Kind(
        "epochs of quadratic ÷ cross-entropy over the starts",
        lambda tables, style: ratio(tables.by_start, style),
    ),
    "distribution": Kind(
        "which share of the starts converged within how many epochs",
        lambda tables, style: distribution(tables.by_epochs, style),
    ),
    "curves": Kind(
        "learning curves of a few starts",
        lambda tables, style: curves(learning_curves(tables.result), style),
    ),
    "theory": Kind(
        "measured epochs over the closed form of the gradient flow",
        lambda tables, style: theory(measured_points(tables.result), style),
    ),
}


def draw(
    result: Result,
    folder: str | Path | Folder,
    names: Sequence[str] | None = None,
    *,
    format: str = "png",  # noqa: A002, as matplotlib has it
    dpi: int = 150,
    style: str = "paper",
    leave_out: bool = False,
) -> tuple[list[str], list[str]]:
    """Draw figures of a result into a folder.

    Parameters
    ----------
    result
        From `open_result`.
    folder
        Where the figures go, a path or URI, made if there is none. A figure appears whole or not
        at all.
    names
        Figures out of FIGURES; all that this result can give if None.
    format
        png, svg or pdf.
    dpi
        Pixels per inch, of the rasterised cells too.
    style
        paper or talk.
    leave_out
        Leave out also named figures that this result cannot give.

    Returns
    -------
    (figures, reasons)
        Where each was written, and why figures were left out, if any were.

    Raises
    ------
    SpecError
        If a name, the format, dpi or the style is unknown, or a named figure cannot be drawn from
        this result.
    SweepError
        If a part cannot be read or a figure cannot be written.
    """
    for name in names or ():
        _known("figure", name, FIGURES)
    _known("format", format, FORMATS)
    _known("style", style, scales.STYLES)
    if not 10 <= dpi <= 2400:
        raise SpecError(f"dpi = {dpi}: must lie within 10 and 2400")
    folder = open_folder(folder)
    _writable(folder)
    tables = Tables(result)
    drawn, reasons = [], []
    for name in dict.fromkeys(names or FIGURES):
        try:
            figure = FIGURES[name].plot(tables, style)
        except SpecError as error:
            if names is not None and not leave_out:
                raise SpecError(f"figure {name}: {error}") from error
            reasons.append(f"figure {name}: {error}")
            continue
        drawn.append(write_figure(figure, folder, f"{name}.{format}", dpi, style))
    return drawn, reasons


def _known(
    field: str, value: str, names: Sequence[str] | dict[str, Kind] | dict[str, float]
) -> None:
    if value not in names:
        near = get_close_matches(value, names, 1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise SpecError(f"{field} = {value!r}: must be one of {', '.join(names)}{hint}")


def _writable(folder: Folder) -> None:
    """Make the folder, and say so at once if nothing can be written to it."""
    if not folder.local:
        files(folder)
        return
    try:
        Path(folder.path).mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder.path):  # of a name that nobody can have planted
            pass
    except OSError as error:
        raise SpecError(f"{folder}: cannot be written to: {error.strerror or error}") from None


def write_figure(figure: Figure, folder: Folder, name: str, dpi: int, style: str = "paper") -> str:
    """Write a figure in the format of the name's ending, whole or not at all; say where it is."""
    format_ = name.rpartition(".")[2]
    # A date in the file would make the same figure a different file each time.
    dated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[format_]
    file = io.BytesIO()
    with scales.style(style):
        if format_ == "png":
            # savefig draws twice, once for the layout: 1.6 times as long here.
            figure.set_dpi(dpi)
            canvas = FigureCanvasAgg(figure)
            canvas.draw()  # type: ignore[no-untyped-call]
            pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
            imsave(file, pixels, format="png", dpi=dpi)
        else:
            figure.savefig(file, format=format_, dpi=dpi, metadata=dated)
    write_whole(folder, name, file.getbuffer())
    return folder / name
