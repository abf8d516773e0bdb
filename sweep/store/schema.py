"""The columns of a result, declared once, and what stands in each file's metadata."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa

from sweep import __version__
from sweep.experiment.grid import Grid
from sweep.kernels.block import Trained
from sweep.neuron.problem import Status
from sweep.store.seal import BLANK, SEAL_KEY

__all__ = ["FORMAT", "METADATA_KEY", "axis_column", "metadata", "schema", "table"]

# 2: a seal in each file.
FORMAT = 2
METADATA_KEY = b"sweep"

_NAMES = pa.dictionary(pa.int8(), pa.string())

# What is known of each cell besides where it lies on the axes.
MEASURED: Mapping[str, pa.DataType] = {
    "initial_error": pa.float64(),
    "epochs": pa.int32(),
    "status": _NAMES,
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
    fields = [(axis_column(axis), _NAMES if axis == "cost" else pa.float64()) for axis in axes]
    return pa.schema([*fields, *MEASURED.items()])


def metadata(grid: Grid, part: int, method: str) -> dict[bytes, bytes]:
    """Return what a part's file says of itself."""
    about = {
        "format": FORMAT,
        "id": grid.spec.id,
        "part": part,
        "parts": grid.parts,
        "rows": len(grid.part(part)),
        "method": method,
        "versions": {
            "python": platform.python_version(),
            "neuron-sweep": __version__,
            **{name: version(name) for name in ("numpy", "numba", "pyarrow")},
        },
        "spec": grid.spec.toml(),
    }
    return {METADATA_KEY: json.dumps(about).encode(), SEAL_KEY: BLANK}


def _dictionary(indices: Any, values: Any) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(indices), pa.array(values))


def table(grid: Grid, part: int, out: Trained, method: str) -> pa.Table:
    """Return a part's results as the table that is written."""
    cells = grid.part(part)
    columns: dict[str, list[Any]] = {axis: [] for axis in (*grid.outer_names, *grid.start_names)}
    for segment in grid.segments(cells):
        rows = segment.last - segment.first
        for axis, at in segment.outer.items():
            columns[axis].append(np.full(rows, at, np.int32))
        if grid.spec.start is None:
            found = grid.start_indices(segment.first, segment.last)
        else:
            drawn = grid.starts(segment.first, segment.last)
            found = dict(zip(grid.start_names, drawn.T, strict=True))
        for axis, index in found.items():
            columns[axis].append(index)
    arrays: list[pa.Array] = []
    for axis, pieces in columns.items():
        whole = np.concatenate(pieces)
        if axis == "cost":
            arrays.append(_dictionary(whole.astype(np.int8), grid.values[axis].tolist()))
        else:
            # Plain: Parquet's writer would spread an Arrow dictionary of numbers out again first
            # (rows of the billion: 17 ns a value against 7).
            arrays.append(pa.array(grid.values[axis][whole] if axis in grid.values else whole))
    for name in MEASURED:
        values = getattr(out, name)
        names = name == "status"
        arrays.append(_dictionary(values, [s.name for s in Status]) if names else pa.array(values))
    return pa.Table.from_arrays(
        arrays, schema=schema(grid).with_metadata(metadata(grid, part, method))
    )
