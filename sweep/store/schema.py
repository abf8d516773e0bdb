"""The columns of a result, declared once, and what stands in each file's metadata."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sweep import __version__
from sweep.experiment.grid import Grid
from sweep.kernels.results import TrainResult
from sweep.neuron.problem import Status
from sweep.store.checksum import BLANK, FOOTER_KEY, SEAL_KEY

__all__ = [
    *(
        "FORMAT",
        "METADATA_KEY",
        "OLDEST",
        "axis_column",
        "metadata",
        "packages",
        "schema",
        "table",
        "versions",
    ),
]

# 2: a seal in each file. 3: a seal of the footer, hashes of the axes' values; ids leave defaults
# out. Readers take all from OLDEST on.
FORMAT, OLDEST = 3, 2
METADATA_KEY = b"sweep"

NAMES = pa.dictionary(pa.int8(), pa.string())

# What is known of each cell besides where it lies on the axes.
MEASURED: Mapping[str, pa.DataType] = {
    "initial_error": pa.float64(),
    "epochs": pa.int32(),
    "status": NAMES,
    "final_error": pa.float64(),
}


def axis_column(axis: str) -> str:
    """Return the column of an axis: w0 and b0 (or w0_1 … w0_d) for starts."""
    if axis in ("w", "b"):
        return f"{axis}0"
    return f"w0_{axis[1:]}" if axis[0] == "w" else axis


def schema(grid: Grid) -> pa.Schema:
    """Return the columns of a sweep's result: its axes, then what was measured."""
    axes = [*grid.outer_names, *grid.start_names]
    fields = [(axis_column(axis), NAMES if axis == "cost" else pa.float64()) for axis in axes]
    return pa.schema([pa.field(*field, nullable=False) for field in (*fields, *MEASURED.items())])


ROW_GROUP = 2**20

# A spec longer than this stands in its folder alone; parts have its id.
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


def metadata(grid: Grid, part: int, method: str) -> dict[bytes, bytes]:
    """Return what a part's file says of itself."""
    toml = grid.spec.toml()
    about = {
        "format": FORMAT,
        "id": grid.spec.id,
        "part": part,
        "parts": grid.parts,
        "rows": len(grid.part(part)),
        "method": method,
        "versions": versions(grid),
        "axes": grid.hashes,
    }
    if len(toml) <= LONGEST_SPEC:
        about["spec"] = toml
    return {METADATA_KEY: json.dumps(about).encode(), FOOTER_KEY: BLANK, SEAL_KEY: BLANK}


def table(
    grid: Grid, part: int, axes: Mapping[str, NDArray[Any]], out: TrainResult, method: str
) -> pa.Table:
    """Return a part's axes and results as the table that is written."""
    names = {"cost": list(map(str, grid.values["cost"])), "status": [s.name for s in Status]}
    arrays = []
    for name, values in (*axes.items(), *((name, getattr(out, name)) for name in MEASURED)):
        array = _array(values)
        if name in names:  # numbers of ours: Arrow need not look whether each is in range
            array = pa.DictionaryArray.from_arrays(array, _strings(names[name]), safe=False)
        arrays.append(array)
    return pa.Table.from_arrays(
        arrays, schema=schema(grid).with_metadata(metadata(grid, part, method))
    )


# As pa.array() makes them; but that imports pandas, 0.25 s that a run has no other need of.


def _array(values: NDArray[Any]) -> pa.Array:
    buffers = [None, pa.py_buffer(values)]
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), buffers)


def _strings(names: list[str]) -> pa.StringArray:
    ends = np.cumsum([0, *map(len, names)], dtype=np.int32)
    text = "".join(names).encode()
    return pa.StringArray.from_buffers(len(names), pa.py_buffer(ends), pa.py_buffer(text))
