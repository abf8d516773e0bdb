"""Samples of one's own: the rows of a CSV or Parquet file, or of a table in memory."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import fsum
from os import strerror
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv, fs, parquet

from sweep.errors import SpecError, did_you_mean, printable, short
from sweep.neuron.activations import ACTIVATIONS
from sweep.neuron.problem import finite

__all__ = ["Samples", "decoded_samples", "encoded_samples", "read_samples", "samples_of"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Samples:
    """n samples of d inputs, as the neurons see them.

    Attributes
    ----------
    x : (n, d) float64 array
        Standardised, if that was asked for.
    y : (n,) float64 array
        Within the range of the activation.
    names : tuple of str
        Of the inputs.
    target : str
        The name of y.
    means, deviations : (d,) float64 array or None
        With which x was standardised: (x − mean) / deviation.
    """

    x: Floats
    y: Floats
    names: tuple[str, ...]
    target: str
    means: Floats | None = None
    deviations: Floats | None = None

    @cached_property
    def sha256(self) -> str:
        """A hash of all numbers and of their shape."""
        digest = hashlib.sha256(repr(self.x.shape).encode())
        for array in (self.x, self.y):
            digest.update(np.ascontiguousarray(array, "<f8").tobytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.y)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Samples) and self.sha256 == other.sha256

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Samples({len(self):,} × {len(self.names)} inputs)"


def samples_of(x: Any, y: Any, standardize: bool, positive: str | None, activation: str) -> Samples:
    """Return the samples in arrays, or in tables of pandas, Polars or Arrow.

    Raises
    ------
    SpecError
        Names the column, its value and what is allowed.
    """
    if not hasattr(x, "columns"):
        inputs = finite("task.x", x, 2)
        inputs = inputs.reshape(len(inputs), -1) if inputs.ndim else inputs.reshape(1, 1)
        names = [f"x{j}" for j in range(1, inputs.shape[1] + 1)]
        table = pa.table(dict(zip(names, inputs.T, strict=True)))
    else:
        table = _distinct("task.x", _arrow("task.x", x))
        names = table.column_names
        if not names:
            raise SpecError("task.x: has no columns; at least one input is needed")
    if hasattr(y, "columns"):
        y = _arrow("task.y", y)
        if y.num_columns != 1:
            raise SpecError(f"task.y: has {y.num_columns} columns; must have one")
        y = y.column(0)
    name = getattr(y, "name", None)
    target = name if isinstance(name, str) and name not in names else "y"
    try:
        column = y if isinstance(y, pa.ChunkedArray) else pa.array(y)
    except (pa.ArrowException, TypeError, ValueError):
        raise SpecError(f"task.y = {short(y)}: must be numbers, booleans or names") from None
    if len(column) != len(table):
        raise SpecError(f"task.y: {len(column)} targets for {len(table)} samples of x")
    rows = table.append_column(target if target not in names else "target", column)
    return _samples("task.x", rows, names, rows.column_names[-1], standardize, positive, activation)


def read_samples(
    data: str,
    x: Sequence[str] | None,
    y: str,
    standardize: bool,
    positive: str | None,
    activation: str,
) -> Samples:
    """Return the samples in a CSV or Parquet file.

    Parameters
    ----------
    data : str
        Path, or URI that Arrow takes.
    x : sequence of str, optional
        The columns of the inputs; default: all that hold numbers, but y.
    y : str
        The column of the targets.
    standardize : bool
        Whether each input is brought to the mean 0 and the deviation 1.
    positive : str, optional
        Of targets that are two names, the one that is the upper end of the activation's range.
    activation : str

    Raises
    ------
    SpecError
        The file cannot be read, or names the column, the row and what is allowed.
    """
    table = _table(data)
    field = f"task.data = {printable(_public(data))}"
    there = _distinct(field, table).column_names
    wanted = [name for name in there if name != y and _is_number(table[name].type)]
    names = wanted if x is None else list(x)
    for key, name in [("x", name) for name in names] + [("y", y)]:
        if name not in there:
            known = ", ".join(map(printable, there[:20])) or "none"
            raise SpecError(
                f"task.{key} = {short(name)}: {field[12:]} has no such column; it has "
                f"{known}{did_you_mean(name, there)}"
            )
    if y in names:
        raise SpecError(f"task.x: holds {short(y)}, which is y; targets are no inputs")
    if len(set(names)) < len(names):
        raise SpecError(f"task.x = {short(names)}: holds a column twice")
    if not names:
        raise SpecError(f"task.x: {field[12:]} has no column of numbers but {short(y)}")
    return _samples(field, table, names, y, standardize, positive, activation)


def _samples(
    field: str,
    table: pa.Table,
    names: list[str],
    target: str,
    standardize: bool,
    positive: str | None,
    activation: str,
) -> Samples:
    if not len(table):
        raise SpecError(f"{field}: has no rows; at least one sample is needed")
    x = np.empty((len(table), len(names)))
    for j, name in enumerate(names):
        x[:, j] = _numbers(field, name, table[name])
    means = deviations = None
    if standardize:
        # Correctly rounded sums: NumPy's depend on the CPU, and these numbers are stored.
        count = len(x)
        means = np.array([fsum(column) / count for column in x.T])
        squares = [fsum((column - m) ** 2) for column, m in zip(x.T, means, strict=True)]
        deviations = np.sqrt(np.array(squares) / count)
        constant = np.flatnonzero(~(deviations > 0))
        if len(constant):
            raise SpecError(
                f"{field}: column {printable(names[constant[0]])} is {x[0, constant[0]]:g} in "
                "every row; a constant cannot be standardised"
            )
        x = (x - means) / deviations
    y = _targets(field, target, table[target], positive, activation)
    for array in (x, y):
        array.flags.writeable = False
    return Samples(x, y, tuple(names), target, means, deviations)


def _numbers(field: str, name: str, column: pa.ChunkedArray) -> Floats:
    """Return a column of numbers; raise SpecError with the row of one that is missing."""
    shown = printable(name)
    if not _is_number(column.type):
        example = next((v for v in column.to_pylist() if v is not None), None)
        raise SpecError(
            f"{field}: column {shown} holds {column.type}, such as {short(example)}; must hold "
            "numbers"
        )
    numbers: Floats = column.cast(pa.float64(), safe=False).to_numpy().astype(np.float64)
    invalid = np.flatnonzero(~np.isfinite(numbers))  # a null is NaN
    if len(invalid):
        value = column[int(invalid[0])].as_py()
        what = "is missing" if value is None or value != value else f"is {value:g}"
        raise SpecError(
            f"{field}: column {shown} {what} in row {invalid[0] + 1:,}; every value must be finite"
        )
    return numbers


def _targets(
    field: str, name: str, column: pa.ChunkedArray, positive: str | None, activation: str
) -> Floats:
    """Return targets as numbers: booleans and two names are the ends of the activation's range."""
    act, shown = ACTIVATIONS[activation], printable(name)
    if isinstance(column.type, pa.DictionaryType):
        column = column.cast(column.type.value_type)
    missing = np.flatnonzero(column.is_null().to_numpy())
    if len(missing):
        raise SpecError(f"{field}: column {shown} is missing in row {missing[0] + 1:,}")
    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    if positive is not None and not text:
        raise SpecError(f"task.positive = {short(positive)}: column {shown} holds {column.type}")
    if pa.types.is_boolean(column.type):
        return np.where(column.to_numpy().astype(bool), act.high, act.low)
    if text:
        values = np.array(column.to_pylist(), dtype=object)
        classes = sorted(set(values))
        listed = ", ".join(map(short, classes[:6])) + (" …" if len(classes) > 6 else "")
        if positive is None or positive not in classes:
            given = "missing" if positive is None else f"= {short(positive)}"
            raise SpecError(
                f"task.positive {given}: must say which name of column {shown} is "
                f"{act.high:g}: {listed}"
            )
        if len(classes) > 2:
            raise SpecError(f"{field}: column {shown} holds {len(classes)} names; must be two")
        return np.where(values == positive, act.high, act.low).astype(np.float64)
    y = _numbers(field, name, column)
    outside = np.flatnonzero((y < act.low) | (y > act.high))
    if len(outside):
        raise SpecError(
            f"{field}: column {shown} is {y[outside[0]]:g} in row {outside[0] + 1:,}; must lie in "
            f"[{act.low:g}, {act.high:g}], the range of {activation}"
        )
    return y


def _distinct(field: str, table: pa.Table) -> pa.Table:
    """Return a table; raise SpecError if two of its columns have one name."""
    there = table.column_names
    twice = sorted({name for name in there if there.count(name) > 1})
    if twice:
        raise SpecError(f"{field}: has two columns {printable(twice[0])}")
    return table


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)
    )


def _arrow(field: str, value: Any) -> pa.Table:
    try:
        if hasattr(value, "__arrow_c_stream__") and not hasattr(value, "iloc"):
            return pa.table(value)
        return pa.Table.from_pandas(value, preserve_index=False)
    except (pa.ArrowException, TypeError, ValueError) as error:
        reason = printable(error)[:200]
        raise SpecError(f"{field}: is no table that Arrow can take: {reason}") from None


# --- files ---------------------------------------------------------------------------------


def _public(data: str) -> str:
    """Return a path, or a URI without what follows its path; refuse one that holds a secret."""
    if "://" not in data:
        return data
    if "@" in data or re.search(r"[?&](\w*(key|secret|token|pass)\w*)=", data, re.I):
        raise SpecError(
            "task.data: a URI must hold no credentials, for the spec is stored with the result; "
            "they belong in the environment"
        )
    return data.partition("?")[0]


def _table(data: str) -> pa.Table:
    shown = printable(_public(data))
    kind = _public(data).rpartition(".")[2].lower()
    if kind not in ("csv", "parquet"):
        raise SpecError(f"task.data = {shown}: must end in .csv or .parquet")
    try:
        system, path = (
            fs.FileSystem.from_uri(data) if "://" in data else (fs.LocalFileSystem(), data)
        )
        with system.open_input_file(path) as file:
            return csv.read_csv(file) if kind == "csv" else parquet.read_table(file)
    except (OSError, pa.ArrowException, ValueError) as error:
        number = getattr(error, "errno", None)
        reason = strerror(number) if number else printable(error).partition("\n")[0][:200]
        raise SpecError(f"task.data = {shown}: cannot be read: {reason}") from None


# --- in the folder of a result ----------------------------------------------------------------


def encoded_samples(samples: Samples) -> memoryview:
    """Return samples as the bytes of a Parquet file."""
    columns = [*samples.x.T, samples.y]
    scaled = {"means": samples.means, "deviations": samples.deviations}
    about = {
        f"sweep.{name}": np.asarray(numbers, "<f8").tobytes()
        for name, numbers in scaled.items()
        if numbers is not None
    }
    table = pa.table([pa.array(c) for c in columns], names=[*samples.names, samples.target])
    file = pa.BufferOutputStream()
    parquet.write_table(table.replace_schema_metadata(about or None), file)
    return memoryview(file.getvalue()).cast("B")


def decoded_samples(content: Any) -> Samples:
    """Return the samples that `encoded_samples` encoded."""
    table = parquet.read_table(pa.BufferReader(content))
    about = table.schema.metadata or {}
    scaled = (about.get(f"sweep.{name}".encode()) for name in ("means", "deviations"))
    means, deviations = (None if text is None else np.frombuffer(text, "<f8") for text in scaled)
    *names, target = table.column_names
    x = np.column_stack([table[name].to_numpy() for name in names])
    y = table[target].to_numpy()
    x.flags.writeable = False
    return Samples(np.ascontiguousarray(x), y, tuple(names), target, means, deviations)
