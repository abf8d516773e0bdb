"""The Parquet schema of a result, and the metadata in each file's footer."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sweep import __version__
from sweep.experiment.checks import CHOICES
from sweep.experiment.grid import Grid
from sweep.kernels.results import COLUMNS, FOLLOWED, Column, TrainResult
from sweep.store.checksum import BLANK, CHECKSUM_KEY, FOOTER_KEY

__all__ = [
    "FORMAT",
    "METADATA_KEY",
    "NAMES",
    "OLDEST",
    "ROW_GROUP",
    "axis_column",
    "axis_description",
    "columns_of",
    "metadata",
    "methods_of",
    "methods_text",
    "names_of",
    "nulls_of",
    "packages",
    "schema",
    "table",
    "versions",
]

# 2: a checksum in each file. 3: a checksum of the footer, hashes of the axes' values; ids leave
# defaults out. Readers take all from OLDEST on.
FORMAT, OLDEST = 3, 2
METADATA_KEY = b"sweep"

NAMES = pa.dictionary(pa.int8(), pa.string())

# What an axis' column holds, beside the starts w and b.
AXES = {
    "cost": "cost function that training descends",
    "learning_rate": "learning rate of gradient descent",
    "optimizer": "how gradients become steps",
    "x": "input of the one sample",
    "y": "target of the one sample",
    "tolerance": "error at which a neuron has converged",
}


def axis_column(axis: str) -> str:
    """Return the column of an axis: w0 and b0 (or w0_1 … w0_d) for starts."""
    if axis in ("w", "b"):
        return f"{axis}0"
    return f"w0_{axis[1:]}" if re.fullmatch(r"w[0-9]+", axis) else axis


def axis_description(axis: str) -> str:
    """Return what the column of an axis holds."""
    if axis == "b":
        return "bias at the start"
    if re.fullmatch(r"w[0-9]*", axis):
        return f"weight{f' of input {axis[1:]}' if axis[1:] else ''} at the start"
    return AXES.get(axis, f"parameter {axis} of the cost")


def columns_of(grid: Grid) -> dict[str, Column]:
    """Return what a result holds of each neuron: `COLUMNS`, and what else the spec has it hold."""
    columns = {**COLUMNS, **(FOLLOWED if grid.spec.follow else {})}
    if not grid.spec.weights:
        return columns
    *weights, _ = grid.start_names
    inputs = {
        f"w_{name[1:]}".rstrip("_"): f"weight{name[1:] and ' of input '}{name[1:]}"
        for name in weights
    }
    last = {
        name: Column("1", f"{text} at the stop", split="always")
        for name, text in (inputs | {"b": "bias"}).items()
    }
    return {**columns, **last}


def _results(grid: Grid, out: TrainResult) -> Iterator[tuple[str, NDArray[Any]]]:
    columns = columns_of(grid)
    ours = [name for name in columns if name in COLUMNS or name in FOLLOWED]
    for name in ours:
        yield name, getattr(out, name)
    if grid.spec.weights:
        names = [name for name in columns if name not in ours]
        yield from zip(names, [*map(np.ascontiguousarray, out.w.T), out.b], strict=True)


def schema(grid: Grid) -> pa.Schema:
    """Return the columns of a sweep's result: its axes, then what became of each neuron."""
    axes = [*grid.outer_names, *grid.start_names]
    fields = [
        _field(
            axis_column(axis), NAMES if axis in CHOICES else pa.float64(), axis_description(axis)
        )
        for axis in axes
    ]
    for name, column in columns_of(grid).items():
        stored = NAMES if column.names else pa.from_numpy_dtype(column.dtype or np.float64)
        nullable = column.none is not None
        fields.append(_field(name, stored, column.description, column.unit, nullable))
    return pa.schema(fields)


def _field(
    name: str, stored: pa.DataType, description: str, unit: str = "1", nullable: bool = False
) -> pa.Field:
    about = {"description": description, "unit": unit}
    return pa.field(name, stored, nullable=nullable, metadata=about)


def names_of(grid: Grid) -> dict[str, list[str]]:
    """Return the columns that hold names, and the names in the order of their codes."""
    columns = columns_of(grid).items()
    coded = {name: list(column.names) for name, column in columns if column.names}
    choices = {name: grid.values[name].tolist() for name in CHOICES if name in grid.values}
    return {**choices, **coded}


def nulls_of(grid: Grid) -> dict[str, int]:
    """Return the columns that may hold nulls, and the number that stands for one in arrays."""
    columns = columns_of(grid).items()
    return {name: column.none for name, column in columns if column.none is not None}


ROW_GROUP = 2**20

# A longer spec is in the folder's own file alone; parts have its id.
LONGEST_SPEC = 10_000


def packages(grid: Grid) -> list[str]:
    """Return the packages that determine a part's bytes; where starts are drawn, SciPy too."""
    drawn = grid.spec.start is not None and grid.spec.start.random == "sobol"
    return ["numpy", "numba", "llvmlite", "pyarrow", *(["scipy"] if drawn else [])]


@cache  # 0.2 ms
def _version(package: str) -> str:
    return version(package)


def versions(grid: Grid) -> dict[str, str]:
    """Return the versions of what determines a part's bytes."""
    ours = {"python": platform.python_version(), "neuron-sweep": __version__}
    return ours | {name: _version(name) for name in packages(grid)}


def methods_text(methods: Iterable[str]) -> str:
    """Return methods as metadata and messages have them: "orbit", "train", "orbit and train"."""
    return " and ".join(sorted(methods))


def methods_of(text: str) -> set[str]:
    """Return the methods that `methods_text` wrote."""
    return set(text.split(" and "))


def metadata(grid: Grid, part: int, methods: Iterable[str]) -> dict[bytes, bytes]:
    """Return the metadata of a part's file."""
    toml = grid.spec.toml()
    about = {
        "format": FORMAT,
        "id": grid.spec.id,
        "part": part,
        "parts": grid.parts,
        "rows": len(grid.part(part)),
        "method": methods_text(methods),
        "versions": versions(grid),
        "axes": grid.hashes,
    }
    if len(toml) <= LONGEST_SPEC:
        about["spec"] = toml
    return {METADATA_KEY: json.dumps(about).encode(), FOOTER_KEY: BLANK, CHECKSUM_KEY: BLANK}


def table(
    grid: Grid, part: int, axes: Mapping[str, NDArray[Any]], out: TrainResult, methods: set[str]
) -> pa.Table:
    """Return a part's axes and results as the table that is written."""
    names, nulls, arrays = names_of(grid), nulls_of(grid), []
    for name, values in (*axes.items(), *_results(grid, out)):
        array = _array(values, nulls.get(name))
        if name in names:  # our own codes: Arrow need not check that each is in range
            array = pa.DictionaryArray.from_arrays(array, _strings(names[name]), safe=False)
        arrays.append(array)
    return pa.Table.from_arrays(
        arrays, schema=schema(grid).with_metadata(metadata(grid, part, methods))
    )


# As pa.array() makes them; but that imports pandas, 0.25 s that a run has no other need of.


def _array(values: NDArray[Any], none: int | None = None) -> pa.Array:
    valid = None if none is None else _bits(values != none)
    buffers = [valid, _bits(values) if values.dtype == bool else pa.py_buffer(values)]
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), buffers)


def _bits(flags: NDArray[np.bool_]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(flags, bitorder="little"))


def _strings(names: list[str]) -> pa.StringArray:
    ends = np.cumsum([0, *map(len, names)], dtype=np.int32)
    text = "".join(names).encode()
    return pa.StringArray.from_buffers(len(names), pa.py_buffer(ends), pa.py_buffer(text))
