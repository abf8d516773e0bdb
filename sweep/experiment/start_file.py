"""Starts of one's own: the rows of a Parquet file, in place of the w and b axes."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sweep.errors import SpecError, did_you_mean, printable

__all__ = ["file_starts"]


def file_starts(file: str, names: tuple[str, ...]) -> tuple[NDArray[np.float64], str]:
    """Return the starts in a Parquet file, and a hash of their numbers.

    Parameters
    ----------
    file : str
    names : tuple of str
        The names of a start's numbers: w (or w1 … wd) and b. A column may also be named as in a
        result, w0 (or w0_1 … w0_d) and b0. Other columns are not read.

    Returns
    -------
    starts : (count, d + 1) float64 array
    sha256 : str
        Of those numbers, little-endian, as 64 hexadecimal digits.

    Raises
    ------
    SpecError
        The file cannot be read, lacks a column, or holds what is no finite number.
    """
    try:
        about = Path(file).stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "is no path"
        raise SpecError(f"start.file = {printable(file)}: cannot be read: {reason}") from None
    return _read(file, names, about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=2)  # each part takes its rows from it
def _read(
    file: str, names: tuple[str, ...], changed: int, size: int
) -> tuple[NDArray[np.float64], str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    field = f"start.file = {printable(file)}"
    try:
        with pq.ParquetFile(file) as parquet:
            there = parquet.schema_arrow.names
            wanted = [_column(field, name, there) for name in names]
            table = parquet.read(wanted)
    except (OSError, pa.ArrowException) as error:
        raise SpecError(f"{field}: is not a Parquet file: {printable(error)[:200]}") from None
    if not len(table):
        raise SpecError(f"{field}: has no rows")
    starts = np.empty((len(table), len(names)))
    for j, name in enumerate(wanted):
        column = table[name]
        if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
            raise SpecError(f"{field}: column {name} holds {column.type}; must hold numbers")
        starts[:, j] = column.to_numpy()  # a null becomes NaN
        invalid = np.flatnonzero(~np.isfinite(starts[:, j]))
        if len(invalid):
            raise SpecError(
                f"{field}: column {name} holds {starts[invalid[0], j]:g} in row {invalid[0]:,} "
                "(counted from 0); every start must be finite"
            )
    starts.flags.writeable = False
    return starts, hashlib.sha256(starts.astype("<f8").tobytes()).hexdigest()


def _column(field: str, name: str, there: list[str]) -> str:
    """Return which column of a file holds a start's number."""
    stored = "b0" if name == "b" else f"w0_{name[1:]}".rstrip("_")
    for column in (name, stored):
        if column in there:
            return column
    known = ", ".join(map(printable, there[:20])) or "none"
    raise SpecError(
        f"{field}: has no column {name} or {stored}; it has {known}{did_you_mean(name, there)}"
    )
