"""The cost of storing: each encoding of each column, and a run against pyarrow alone."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sweep.experiment.grid import Grid
from sweep.experiment.spec import Spec
from sweep.resources import usable_cpus
from sweep.running.part import StaircaseLookup, part_table, staircases
from sweep.running.run import run
from sweep.store.encoding import encoded, settings
from sweep.store.parts import part_name

__all__ = ["against_pyarrow", "encodings", "measured"]

# Tables in memory while pyarrow writes them.
TOGETHER = 16

WAYS = ("plain", "split", "delta", "dictionary", "indices")
NUMBERS = {"plain": "PLAIN", "split": "BYTE_STREAM_SPLIT", "delta": "DELTA_BINARY_PACKED"}
TEXT = {"plain": "PLAIN", "delta": "DELTA_BYTE_ARRAY"}


def table_of(grid: Grid, part: int, stairs: StaircaseLookup) -> pa.Table:
    """Return the table of a part, as a run hands it to pyarrow."""
    found = part_table(grid, part, stairs, np.zeros(1, np.uint8), lambda *_: None)
    assert found is not None
    return found[1]


def encodings(column: pa.ChunkedArray) -> Iterator[tuple[str, pa.ChunkedArray, dict[str, Any]]]:
    """Yield the name of each encoding that fits a column, the column for it and the settings."""
    indices = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    plain = column.cast(indices.type.value_type)
    for name, parquet in (TEXT if pa.types.is_string(plain.type) else NUMBERS).items():
        if name != "delta" or not pa.types.is_floating(plain.type):
            yield name, plain, {"use_dictionary": False, "column_encoding": {"it": parquet}}
    for name, values in (("dictionary", plain), ("indices", indices)):
        yield name, values, {"use_dictionary": True, "column_encoding": None}


def measured(
    column: pa.ChunkedArray, otherwise: dict[str, Any], rounds: int = 7
) -> dict[str, tuple[float, float]]:
    """Return rows a second on one thread, and bytes a row, by the name of the encoding."""
    found = {}
    for name, values, encoding in encodings(column):
        field = pa.field("it", values.type, nullable=False)
        table = pa.Table.from_arrays([values], schema=pa.schema([field]))
        took = []
        for _ in range(rounds):
            file, began = pa.BufferOutputStream(), time.thread_time()
            pq.write_table(table, file, **{**otherwise, **encoding})
            took.append(time.thread_time() - began)
        found[name] = len(values) / median(took), file.getvalue().size / len(values)
    return found


def kinds(spec: Spec) -> Iterator[tuple[str, Spec, list[str]]]:
    """Yield sweeps of the kinds that there are, with the columns that are measured in each."""
    said = spec.model_dump(exclude_unset=True)

    def other(**change: Any) -> Spec:
        return Spec(**{**said, **change})

    crossed = ["cost", "learning_rate", "w0", "b0", "epochs", "status", "initial_error"]
    yield "", spec, [*crossed, "final_error"]
    yield "x = 1.3", other(task={**said["task"], "x": 1.3}), ["initial_error"]
    axes = {name: values for name, values in said["axes"].items() if name not in ("w", "b")}
    start = {"random": "normal", "count": 2**21, "scale": 3.0}
    yield "drawn starts", other(axes=axes, start=start), ["w0", "epochs", "initial_error"]
    task = {"x": [i / 4 for i in range(16)], "y": [float(i > 7) for i in range(16)]}
    stop = {"tolerance": 0.2, "max_epochs": 300}
    yield "16 samples", other(task=task, stop=stop), ["epochs", "final_error"]


def print_encodings(spec: Spec) -> None:
    """Print a table: million rows a second and bytes a row; the encoding in use in bold."""
    print("", "column", *WAYS, "", sep=" | ")
    print("", "---", *("---" for _ in WAYS), "", sep="|")
    sizes = {}
    for label, one, names in kinds(spec):
        grid = Grid(one)
        how = settings(grid)
        table = table_of(grid, grid.parts // 4, staircases(grid))
        sizes[label or "x = 1"] = len(encoded(grid, table)) / len(table)
        for name in names:
            taken = "split" if name in how["column_encoding"] else "plain"
            taken = "indices" if name in how["use_dictionary"] else taken
            cells = {
                way: f"{rate / 1e6:.0f}, {size:.{1 if size < 0.1 else 3}g}"
                for way, (rate, size) in measured(table[name], how).items()
            }
            cells[taken] = f"**{cells[taken]}**"
            told = f"{name}, {label}".strip(", ")
            print("", told, *(cells.get(way, "") for way in WAYS), "", sep=" | ")
    print("bytes a row of whole files:", ", ".join(f"{k} {v:.2f}" for k, v in sizes.items()))


Seconds = NDArray[np.float64]


def clock() -> Seconds:
    """Return the time by the wall and by the CPUs."""
    return np.array([time.perf_counter(), time.process_time()])


def alone(grid: Grid, folder: Path, threads: int) -> Seconds:
    """Let pyarrow write the tables of all parts, and return how long that took; not the making."""
    stairs, took = staircases(grid), np.zeros(2)

    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, grid.parts, TOGETHER):
            parts = range(first, min(first + TOGETHER, grid.parts))
            tables = list(pool.map(partial(table_of, grid, stairs=stairs), parts))
            files = [folder / part_name(grid, part) for part in parts]
            began = clock()
            list(pool.map(partial(pq.write_table, **settings(grid)), tables, files))
            took += clock() - began
    return took


def against_pyarrow(spec: Spec, rounds: int) -> Iterator[tuple[Seconds, Seconds]]:
    """Yield the times of a whole run and of pyarrow writing the same tables, in turns."""
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as ran, tempfile.TemporaryDirectory() as written:
            began = clock()
            run(spec, ran)
            whole = clock() - began
            yield whole, alone(Grid(spec), Path(written), usable_cpus())
            for path in Path(written).iterdir():
                assert path.stat().st_size == (Path(ran) / path.name).stat().st_size


def print_against_pyarrow(spec: Spec, rounds: int) -> None:
    """Print the medians of both and of their ratio, with least and most."""
    print(f"{Grid(spec).size:,} rows, {usable_cpus()} threads, {rounds} rounds in turns")
    whole, writing = map(np.array, zip(*against_pyarrow(spec, rounds), strict=True))
    for name, values in (
        ("sweep run, s", whole),
        ("pyarrow alone, s", writing),
        ("ratio", whole / writing),
    ):
        by_wall, by_cpu = (f"{median(v):.2f} ({min(v):.2f} to {max(v):.2f})" for v in values.T)
        print(f"{name:18}{by_wall:24}of CPU {by_cpu}")


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("spec", help="the sweep to measure on")
    parser.add_argument("--side", type=int, default=3162, help="starts along w and b (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    asked = parser.parse_args()
    spec = Spec.load(asked.spec)
    print_encodings(spec)
    said = spec.model_dump(exclude_unset=True)
    for axis in ("w", "b"):
        said["axes"][axis]["num"] = asked.side
    less = Spec(**said)
    print_against_pyarrow(less, asked.rounds)


if __name__ == "__main__":
    main()
