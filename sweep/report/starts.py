"""Reduce a result to the plane of its starts, at the resolution of a picture."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from sweep.errors import SpecError
from sweep.report.columns import (
    Floats,
    axes_of,
    axis,
    epochs_allowed,
    group_of,
    is_start,
    known_epochs,
    numbers,
    pooled_axes,
)
from sweep.report.stream import batches, pooled


def epochs_by_start(dataset: ds.Dataset, *, cells: int | None = None) -> pd.DataFrame:
    """Tabulate the epochs to converge over the plane of starts, at a picture's resolution.

    The plane is that of the first two start axes (w0 …, b0) that vary. On a grid each value has a
    cell of its own up to `cells` values; longer axes are cut into blocks of equal length. Random
    starts fall into even bins, fewer where starts are few.

    Parameters
    ----------
    dataset
        A result, pooled over every axis but the cost, the learning rate and the plane.
    cells
        The most cells along each axis. 512 if None, but 256 for more than 4 pairs of cost and
        learning rate, whose panels are small.

    Returns
    -------
    DataFrame
        One row for each cell that holds a start: `cost`, `learning_rate`, the two start axes by
        name (middle of the cell), `count`, `epochs`, `share_unconverged`, `initial_error` (mean),
        `max_epochs` (as in `epochs_by_error`). `epochs` is the geometric mean of epochs + 1, less
        1, over those that converged: the number itself where the cell is one start. It is infinite
        where half of the starts or more did not converge. `attrs`: `pooled`, the names of further
        axes that were pooled.

    Raises
    ------
    SpecError
        If the result is empty or fewer than two start axes vary.
    SweepError
        If a part cannot be read.
    """
    axes = axes_of(dataset, ("cost", "learning_rate"))
    groups = int(np.prod([len(values) for values in axes.values()]))
    cells = cells or (512 if groups <= 4 else 256)
    (first, (rows, row_edges)), (second, (columns, column_edges)) = _plane(dataset, groups, cells)
    shape = (*(len(values) for values in axes.values()), len(rows), len(columns))

    def chunk(batch: pa.RecordBatch) -> tuple[int, list[npt.NDArray[Any]], int]:
        row = np.searchsorted(row_edges, numbers(batch[first]))
        column = np.searchsorted(column_edges, numbers(batch[second]))
        cell = (group_of(batch, axes) * len(rows) + row) * len(columns) + column
        # Rows are sorted, so a batch meets a short stretch of the cells; count no more than that.
        lowest = int(cell.min())
        cell -= lowest
        epochs = known_epochs(batch)
        converged = np.isfinite(epochs)
        sums = [
            np.bincount(cell),
            np.bincount(cell, converged),
            np.bincount(cell, np.log1p(np.where(converged, epochs, 0))),
            np.bincount(cell, numbers(batch["initial_error"])),
        ]
        return lowest, sums, epochs_allowed(batch)

    totals = np.zeros((4, int(np.prod(shape))))
    limit = -1
    names = [*axes, first, second, "initial_error", "epochs", "status"]
    for lowest, sums, used_up in pooled(chunk, batches(dataset, names)):
        totals[:, lowest : lowest + len(sums[0])] += sums
        limit = max(limit, used_up)

    met = np.flatnonzero(totals[0])
    count, converged, logs, error = totals[:, met]
    cost, rate, row, column = np.unravel_index(met, shape)
    mean = np.expm1(logs / np.maximum(converged, 1))
    mean = np.where(count == 1, np.rint(mean), mean)  # one start: undo the rounding of the log
    table = pd.DataFrame(
        {
            "cost": pd.Categorical.from_codes(cost, axes["cost"]),
            "learning_rate": axes["learning_rate"][rate],
            first: rows[row],
            second: columns[column],
            "count": count.astype(np.int64),
            "epochs": np.where(2 * converged > count, mean, np.inf),
            "share_unconverged": 1 - converged / count,
            "initial_error": error / count,
            "max_epochs": float(limit) if limit >= 0 else np.nan,
        },
        copy=False,
    )
    table.attrs = {"pooled": pooled_axes(dataset, [*axes, first, second])}
    return table


def _plane(dataset: ds.Dataset, groups: int, cells: int) -> list[tuple[str, tuple[Floats, Floats]]]:
    """Return the two start axes of a picture: name, middles of the cells, edges between cells."""
    starts = {name: axis(dataset, name) for name in dataset.schema.names if is_start(name)}
    varied = [name for name, values in starts.items() if values is None or len(values) > 1][:2]
    if len(varied) < 2:
        raise SpecError("a picture over the starts needs two start axes (w0, b0) that vary")
    grid = [values for values in map(starts.get, varied) if isinstance(values, np.ndarray)]
    each = dataset.count_rows() // groups
    # A grid has a start wherever two values cross, but for a run that stopped early; random draws
    # are all distinct and leave nearly every crossing empty.
    if len(grid) == 2 and len(grid[0]) * len(grid[1]) <= 4 * each:
        return [(name, _blocks(values, cells)) for name, values in zip(varied, grid, strict=True)]
    cells = min(cells, max(2, int(np.sqrt(each / 4))))
    return [(name, _even_cells(dataset, name, cells)) for name in varied]


def _even_cells(dataset: ds.Dataset, name: str, cells: int) -> tuple[Floats, Floats]:
    ranges = [pc.min_max(batch[name]).as_py() for batch in batches(dataset, [name])]
    low, high = min(r["min"] for r in ranges), max(r["max"] for r in ranges)
    edges = np.linspace(low, high, cells + 1)
    return (edges[1:] + edges[:-1]) / 2, edges[1:-1]


def _blocks(values: Floats, cells: int) -> tuple[Floats, Floats]:
    first = np.arange(0, len(values), -(-len(values) // cells))
    last = np.append(first[1:], len(values)) - 1
    return (values[first] + values[last]) / 2, (values[last[:-1]] + values[first[1:]]) / 2
