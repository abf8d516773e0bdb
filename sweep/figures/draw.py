"""Draw figures of a result into files: their tables, each made once, and whole files."""

import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import cast

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave

from sweep.analysis.by_error import Counted, count_by_error, epochs_by_error, share_by_epochs
from sweep.analysis.by_start import epochs_by_start
from sweep.analysis.row_groups import ResultRows
from sweep.errors import SpecError, check_choice
from sweep.figures import FIGURES
from sweep.figures.style import Look, Page, check_look, metadata, styled
from sweep.store.folder import Folder, files, open_folder, remove_unfinished, write_whole

FORMATS = ("png", "svg", "pdf")


@dataclass(frozen=True)
class Tables:
    """The tables of a result that figures share, each made when it is first needed."""

    result: ResultRows

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


def plot(
    name: str,
    tables: Tables,
    look: str | Look,
    starts: Sequence[Sequence[float]] | None = None,
) -> Figure:
    """Draw one of FIGURES; `starts` are those of its curves.

    Raises
    ------
    SpecError
        The result cannot give this figure, or not with this look.
    """
    module, needed = import_module(f"sweep.figures.{name}"), FIGURES[name].table
    if starts is not None and name != "curves":
        raise SpecError("starts: only the figure curves has starts of its own")
    more = {} if starts is None else {"starts": starts}
    table = getattr(tables, needed) if needed else module.table_of(tables.result, **more)
    figure: Figure = getattr(module, name)(table, look)
    if isinstance(look, Look) and look.ax is not None:
        return cast(Figure, look.ax.figure)
    spec = tables.result.grid.spec
    cast(Page, figure).about = {"title": f"{spec.name}: {name}", "id": tables.result.id}
    return figure


def draw(
    result: ResultRows,
    folder: str | Path | Folder,
    names: Sequence[str] | None = None,
    *,
    format: str = "png",  # noqa: A002, as matplotlib has it
    dpi: int = 150,
    look: str | Look = "paper",
    starts: Sequence[Sequence[float]] | None = None,
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
    look
        paper, talk or a `Look`.
    starts
        Of the learning curves.
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
        check_choice("figure", name, FIGURES)
    check_choice("format", format, FORMATS)
    if starts is not None and names is not None and "curves" not in names:
        raise SpecError("starts: only the figure curves has starts of its own")
    check_look(Look(look) if isinstance(look, str) else look)
    if not 10 <= dpi <= 2400:
        raise SpecError(f"dpi = {dpi}: must lie within 10 and 2400")
    folder = open_folder(folder)
    _make_writable(folder)
    remove_unfinished(folder, files(folder))
    tables = Tables(result)
    drawn, reasons = [], []
    try:
        followed = result.grid.spec.follow is not None
        possible = [name for name, figure in FIGURES.items() if followed or not figure.follow]
        for name in dict.fromkeys(names or possible):
            try:
                figure = plot(name, tables, look, starts if name == "curves" else None)
            except SpecError as error:
                if names is not None and not leave_out:
                    raise SpecError(f"figure {name}: {error}") from error
                reasons.append(f"figure {name}: {error}")
                continue
            drawn.append(write_figure(figure, folder, f"{name}.{format}", dpi))
    finally:
        if folder.local and not drawn:
            with suppress(OSError):  # it is not empty
                Path(folder.path).rmdir()
    return drawn, reasons


def _make_writable(folder: Folder) -> None:
    """Make the folder; raise SpecError at once if nothing can be written to it."""
    if not folder.local:
        files(folder)
        return
    try:
        Path(folder.path).mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder.path):  # of a name that nobody can have planted
            pass
    except OSError as error:
        raise SpecError(f"{folder}: cannot be written to: {error.strerror or error}") from None


def write_figure(figure: Figure, folder: Folder, name: str, dpi: int) -> str:
    """Write a figure in the format of the name's ending, whole or not at all; say where it is."""
    format_ = name.rpartition(".")[2]
    about, file = metadata(format_, getattr(figure, "about", {})), io.BytesIO()
    with styled():
        if format_ == "png":
            # savefig draws twice, once for the layout: 1.6 times as long here.
            figure.set_dpi(dpi)
            canvas = FigureCanvasAgg(figure)
            canvas.draw()  # type: ignore[no-untyped-call]
            pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
            texts = {key: text for key, text in about.items() if text}
            imsave(file, pixels, format="png", dpi=dpi, metadata=texts)
        else:
            figure.savefig(file, format=format_, dpi=dpi, metadata=about)
    write_whole(folder, name, file.getbuffer())
    return folder / name
