"""What the columns of a result mean: which are axes, their values, and where a row belongs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds

from sweep.errors import SpecError
from sweep.report.stream import batches, pooled

Floats = npt.NDArray[np.float64]
Axes = Mapping[str, Any]  # the name of an axis -> its values, a list of texts or an array

MEASURES = ("initial_error", "epochs", "status", "final_error")
"""The columns that are answers; every other column is an axis."""


def is_start(name: str) -> bool:
    """Say whether a column is a coordinate of the start: w0, or w0_1 … w0_d, or b0."""
    return name in ("w0", "b0") or name.startswith("w0_")


def numbers(column: pa.Array) -> npt.NDArray[Any]:
    """Return a numeric column as an array, whether it is stored plain or as a dictionary."""
    if isinstance(column, pa.DictionaryArray):
        column = column.dictionary_decode()
    values: npt.NDArray[Any] = np.asarray(column)
    return values


def is_status(column: pa.Array, status: str) -> npt.NDArray[np.bool_]:
    """Say of each row whether its status is this one."""
    wanted: npt.NDArray[np.bool_] = codes(column, [status]) == 0
    return wanted


def codes(column: pa.Array, values: list[str] | npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Return the position of each row's value in `values`, -1 where it is not among them."""
    if isinstance(column, pa.DictionaryArray):
        known = pd.Index(values).get_indexer(pd.Index(column.dictionary.to_pylist()))
        where: npt.NDArray[np.intp] = known[np.asarray(column.indices)]
        return where
    if isinstance(values, list):
        return codes(column.dictionary_encode(), values)
    found = np.searchsorted(values, np.asarray(column))
    return np.where(values[np.minimum(found, len(values) - 1)] == column, found, -1)


def axis(
    dataset: ds.Dataset, name: str, most: int = 1 << 16
) -> list[str] | npt.NDArray[Any] | None:
    """Return the distinct values of a column: texts as they first appear, numbers in order.

    None if there are more than `most`: the column holds random draws and is no axis of a grid.
    """
    seen: dict[Any, None] = {}
    for values in pooled(_distinct, (batch.column(0) for batch in batches(dataset, [name]))):
        seen.update(dict.fromkeys(values))
        if len(seen) > most:
            return None
    if all(isinstance(value, str) for value in seen):
        return list(seen)
    return np.sort(np.array(list(seen)))


def _distinct(column: pa.Array) -> list[Any]:
    if not isinstance(column, pa.DictionaryArray) and not pa.types.is_floating(column.type):
        column = column.dictionary_encode()
    if isinstance(column, pa.DictionaryArray):
        used, first = np.unique(np.asarray(column.indices), return_index=True)
        dictionary = column.dictionary.to_pylist()
        return [dictionary[i] for i in used[np.argsort(first)]]
    values = np.asarray(column)
    # Rows are sorted: most equal their neighbour, and the sort inside unique is spared for them.
    changed = values[np.flatnonzero(values[1:] != values[:-1]) + 1]
    return list(np.unique(np.append(changed, values[0])).tolist())


def known_epochs(batch: pa.RecordBatch) -> Floats:
    """Return the epochs of each row as a number, infinite where the neuron did not converge."""
    converged = is_status(batch["status"], "converged")
    return np.where(converged, numbers(batch["epochs"]), np.inf)


def epochs_allowed(batch: pa.RecordBatch) -> int:
    """Return the epochs that were given to those that did not converge, -1 if all did."""
    given = numbers(batch["epochs"])[is_status(batch["status"], "max_epochs")]
    return int(given.max(initial=-1))


def axes_of(dataset: ds.Dataset, names: Sequence[str]) -> dict[str, Any]:
    """Return the values of each named axis.

    Raises
    ------
    SpecError
        If the result is empty, lacks the column, or it has too many values to keep apart.
    """
    axes = {}
    for name in names:
        if name not in dataset.schema.names:
            raise SpecError(f"{name}: this result has no such column")
        values = axis(dataset, name)
        if values is None:
            raise SpecError(f"{name}: too many different values to keep apart")
        if not len(values):
            raise SpecError("this result has no rows")
        axes[name] = values
    return axes


def group_of(batch: pa.RecordBatch, axes: Axes) -> npt.NDArray[np.intp]:
    """Return the group of each row: its flat index into the product of the axes."""
    group = np.zeros(batch.num_rows, np.intp)
    for name, values in axes.items():
        group *= len(values)
        group += codes(batch[name], values)
    return group


def pooled_axes(dataset: ds.Dataset, kept: Sequence[str]) -> list[str]:
    """Return the names of the axes that vary and are not among those kept apart."""
    others = [name for name in dataset.schema.names if name not in (*kept, *MEASURES)]
    return [name for name in others if axis(dataset, name, most=1) is None]
