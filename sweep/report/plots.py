"""The figures that can be asked for, listed in FIGURES, and drawn to files by `draw`."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow.dataset as ds
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave

from sweep.errors import SpecError, SweepError
from sweep.report import scales
from sweep.report.analysis import epochs_by_error
from sweep.report.figures import error, heatmap, slowdown
from sweep.report.starts import epochs_by_start

FORMATS = ("png", "svg", "pdf")


class Kind(NamedTuple):
    """A figure that can be asked for: what it shows, the table it needs, how it is drawn."""

    description: str
    reduce: Callable[[ds.Dataset], pd.DataFrame]
    plot: Callable[[pd.DataFrame], Figure]


FIGURES = {
    "heatmap": Kind("epochs over the starts, by cost and learning rate", epochs_by_start, heatmap),
    "error": Kind(
        "epochs by initial error and learning rate, and the ratio", epochs_by_error, error
    ),
    "slowdown": Kind("epochs against initial error as lines", epochs_by_error, slowdown),
}


def draw(
    dataset: ds.Dataset,
    folder: str | os.PathLike[str],
    names: Sequence[str] | None = None,
    *,
    format: str = "png",  # noqa: A002, as matplotlib has it
    dpi: int = 150,
) -> list[Path]:
    """Draw figures of a result into a folder and return the paths that were written.

    Parameters
    ----------
    dataset
        The result.
    folder
        Where the figures go, made if there is none. A figure appears whole or not at all.
    names
        Figures out of FIGURES; all that this result can give if None.
    format
        png, svg or pdf.
    dpi
        Pixels per inch, of the rasterised cells too.

    Raises
    ------
    SpecError
        If a name, the format or dpi is unknown, a named figure cannot be drawn from this result,
        or the result is empty.
    SweepError
        If a part cannot be read or a figure cannot be written.
    """
    for name in names or ():
        if name not in FIGURES:
            raise SpecError(f"figure: {name!r} is unknown; choose from {', '.join(FIGURES)}")
    if format not in FORMATS:
        raise SpecError(f"format: {format!r} is unknown; choose from {', '.join(FORMATS)}")
    if not 1 <= dpi <= 2400:
        raise SpecError(f"dpi: {dpi} is not within 1 to 2400")
    tables: dict[Callable[[ds.Dataset], pd.DataFrame], pd.DataFrame] = {}
    figures = {}
    for name in dict.fromkeys(names or FIGURES):
        kind = FIGURES[name]
        try:
            if kind.reduce not in tables:
                tables[kind.reduce] = kind.reduce(dataset)
        except SpecError as error:
            if names is None and dataset.count_rows():
                continue
            raise SpecError(f"figure {name}: {error}") from error
        figures[name] = kind.plot(tables[kind.reduce])
    return [
        write_figure(figure, Path(folder) / f"{name}.{format}", dpi)
        for name, figure in figures.items()
    ]


def write_figure(figure: Figure, path: Path, dpi: int) -> Path:
    """Write a figure in the format of the path's ending, whole or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    # A date in the file would make the same figure a different file each time.
    dated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[path.suffix[1:]]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with scales.style():
                if path.suffix == ".png":
                    # savefig draws twice, once for the layout: 1.6 times as long here.
                    figure.set_dpi(dpi)
                    canvas = FigureCanvasAgg(figure)
                    canvas.draw()  # type: ignore[no-untyped-call]
                    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
                    imsave(unfinished, pixels, format="png", dpi=dpi)
                else:
                    figure.savefig(unfinished, format=path.suffix[1:], dpi=dpi, metadata=dated)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise SweepError(f"cannot write {path}: {error.strerror or error}") from error
    return path
