"""Reduce a result to the plane of its starts, at the resolution of a picture."""

from collections.abc import Callable
from math import isqrt, prod
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweep.analysis.by_error import axes_attrs, axis_columns, fixed_values
from sweep.analysis.cell_index import (
    by_row,
    panel_of,
    panels_of,
    pictured,
    shown_counts,
    start_index,
)
from sweep.analysis.row_groups import Columns, ResultRows, column_range, reduced
from sweep.errors import SpecError
from sweep.experiment.grid import Grid
from sweep.store.schema import axis_column

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Locate = Callable[[range, Columns], Ints]


MAX_CELLS = 2**24


def epochs_by_start(
    result: ResultRows, *, cells: int | None = None, every: bool = False
) -> pd.DataFrame:
    """Tabulate the epochs to converge over the plane of starts, at a picture's resolution.

    The plane is that of the first two start axes (w …, b) that vary. On a grid each value has a
    cell of its own up to `cells` values; longer axes are cut into blocks of equal length. Random
    starts fall into even bins, fewer where starts are few.

    Parameters
    ----------
    result
        Of the axes that get panels only those values are read that a picture shows.
    cells
        The most cells along each axis. 512 if None, but 256 for more than 4 panels, which are
        small.
    every
        All values of all axes, not those alone that a picture shows; in at most 2²⁴ cells.

    Returns
    -------
    DataFrame
        One row for each cell that holds a start: the axes that get panels, the two start columns
        (middle of the cell), `count`, `epochs`, `share_unconverged`, `initial_error` (mean).
        `epochs` is the geometric mean of epochs + 1, less 1, over those that converged: the number
        itself where the cell is one start. It is infinite where half of the starts or more did not
        converge. `attrs`: `by`, `fixed`, `max_epochs` as in `epochs_by_error`, and
        `pooled`, the start columns that the plane leaves out.

    Raises
    ------
    SpecError
        If fewer than two start axes vary.
    SweepError
        If a part cannot be read.
    """
    grid = result.grid
    shown = (
        {name: list(range(len(grid.values[name]))) for name in grid.outer_names}
        if every
        else pictured(grid)
    )
    panel = panel_of(grid, shown)
    panels = prod(map(len, shown.values()))
    names = _plane(grid)
    size = cells or (512 if panels <= 4 else 256)
    if every and cells is None:
        size = max(min(512, isqrt(MAX_CELLS // panels)), 1)
    drawn = grid.spec.start is not None
    (rows, row_of), (columns, column_of) = (
        (even if drawn else blocks)(result, name, size) for name in names
    )

    def chunk(cells: range, read: Columns) -> tuple[int, list[npt.NDArray[Any]]]:
        picture = by_row(grid, cells, panel)
        cell = (picture * len(rows) + row_of(cells, read)) * len(columns) + column_of(cells, read)
        epochs, error = read["epochs"], read["initial_error"]
        if picture.min() < 0:
            cell, epochs, error = (column[picture >= 0] for column in (cell, epochs, error))
        # Rows are sorted: a row group meets a short stretch of the cells. Count no more of them.
        lowest = int(cell.min())
        cell -= lowest
        converged = np.isfinite(epochs)
        sums = [
            np.bincount(cell),
            np.bincount(cell, converged),
            np.bincount(cell, np.log1p(np.where(converged, epochs, 0))),
            np.bincount(cell, error),
        ]
        return lowest, sums

    totals = np.zeros((4, panels * len(rows) * len(columns)))
    needed = ["initial_error", "epochs", *(axis_column(name) for name in names if drawn)]
    for lowest, sums in reduced(result, needed, chunk, panel):
        totals[:, lowest : lowest + len(sums[0])] += sums

    met = np.flatnonzero(totals[0])
    count, converged, logs, error = totals[:, met]
    *places, row, column = np.unravel_index(
        met, (*map(len, shown.values()), len(rows), len(columns))
    )
    mean = np.expm1(logs / np.maximum(converged, 1))
    mean = np.where(count == 1, np.rint(mean), mean)  # one start: undo the rounding of the log
    index = [np.array(shown[name])[place] for name, place in zip(shown, places, strict=True)]
    table = pd.DataFrame(
        {
            **axis_columns(grid, list(shown), index),
            axis_column(names[0]): rows[row],
            axis_column(names[1]): columns[column],
            "count": count.astype(np.int64),
            "epochs": np.where(2 * converged > count, mean, np.inf),
            "share_unconverged": 1 - converged / count,
            "initial_error": error / count,
        },
        copy=False,
    )
    if not every:
        table = table.drop(columns=list(panels_of(grid).fixed))
    table.attrs = {
        "shown": {} if every else shown_counts(grid),
        "by": list(panels_of(grid).axes),
        **axes_attrs(grid, fixed_values(grid)),
        "pooled": [axis_column(name) for name in varied_starts(grid) if name not in names],
        "max_epochs": grid.spec.stop.max_epochs,
    }
    return table


def varied_starts(grid: Grid) -> list[str]:
    """Return the start axes that vary."""
    return [name for name in grid.start_names if len(grid.values.get(name, (0, 1))) > 1]


def _plane(grid: Grid) -> list[str]:
    if len(varied_starts(grid)) < 2:
        raise SpecError("a picture over the starts needs two start axes (w, b) that vary")
    return varied_starts(grid)[:2]


def even(result: ResultRows, name: str, size: int) -> tuple[Floats, Locate]:
    """Cut the range of a drawn coordinate evenly: the middles, and where rows lie among them."""
    size = min(size, max(2, int(np.sqrt(result.grid.starts_count / 4))))
    low, high = column_range(result, axis_column(name))
    edges = np.linspace(low, high, size + 1)

    def locate(cells: range, read: Columns) -> Ints:
        return np.searchsorted(edges[1:-1], read[axis_column(name)])

    return (edges[1:] + edges[:-1]) / 2, locate


def blocks(result: ResultRows, name: str, size: int) -> tuple[Floats, Locate]:
    """Cut the values of a start axis into blocks: the middles, and where rows lie among them."""
    values = result.grid.values[name]
    each = -(-len(values) // size)
    ordered = np.sort(values)
    block = np.empty(len(values), np.int64)
    block[np.argsort(values)] = np.arange(len(values)) // each
    last = np.minimum(np.arange(each, len(values) + each, each), len(values)) - 1

    def locate(cells: range, read: Columns) -> Ints:
        index: Ints = block[start_index(result.grid, cells, name)]
        return index

    return 0.5 * ordered[::each] + 0.5 * ordered[last], locate
