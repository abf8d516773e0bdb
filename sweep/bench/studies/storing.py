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
from sweep.running.part import OrbitLookup, orbit_lookup, part_table
from sweep.running.run import run
from sweep.store.encoding import encoded, settings
from sweep.store.parts import part_name

__all__ = ["encodings", "time_encodings", "time_run_and_pyarrow"]

# How many tables are in memory at once while pyarrow writes them.
TABLES_IN_MEMORY = 16

ENCODINGS = ("plain", "split", "delta", "dictionary", "indices")
NUMBERS = {"plain": "PLAIN", "split": "BYTE_STREAM_SPLIT", "delta": "DELTA_BINARY_PACKED"}
TEXT = {"plain": "PLAIN", "delta": "DELTA_BYTE_ARRAY"}


def part_as_table(grid: Grid, part: int, lookup: OrbitLookup) -> pa.Table:
    """Return the table of a part, as a run hands it to pyarrow."""
    result = part_table(grid, part, lookup, np.zeros(1, np.uint8), lambda *_: None)
    assert result is not None
    return result[1]


def encodings(column: pa.ChunkedArray) -> Iterator[tuple[str, pa.ChunkedArray, dict[str, Any]]]:
    """Yield the name of each encoding that fits a column, the column for it and the settings."""
    indices = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    plain = column.cast(indices.type.value_type)
    for name, parquet in (TEXT if pa.types.is_string(plain.type) else NUMBERS).items():
        if name != "delta" or not pa.types.is_floating(plain.type):
            yield name, plain, {"use_dictionary": False, "column_encoding": {"it": parquet}}
    for name, values in (("dictionary", plain), ("indices", indices)):
        yield name, values, {"use_dictionary": True, "column_encoding": None}


def time_encodings(
    column: pa.ChunkedArray, defaults: dict[str, Any], rounds: int = 7
) -> dict[str, tuple[float, float]]:
    """Return rows a second on one thread and bytes a row of each encoding, `defaults` otherwise."""
    measured = {}
    for name, values, encoding in encodings(column):
        field = pa.field("it", values.type, nullable=False)
        table = pa.Table.from_arrays([values], schema=pa.schema([field]))
        timings = []
        for _ in range(rounds):
            file, began = pa.BufferOutputStream(), time.thread_time()
            pq.write_table(table, file, **{**defaults, **encoding})
            timings.append(time.thread_time() - began)
        measured[name] = len(values) / median(timings), file.getvalue().size / len(values)
    return measured


def sweeps_to_measure(spec: Spec) -> Iterator[tuple[str, Spec, list[str]]]:
    """Yield a label, a sweep and the columns measured in it, for each kind of sweep."""
    given = spec.model_dump(exclude_unset=True)

    def changed(**change: Any) -> Spec:
        return Spec(**{**given, **change})

    crossed = ["cost", "learning_rate", "w0", "b0", "epochs", "status", "initial_error"]
    yield "", spec, [*crossed, "final_error"]
    yield "x = 1.3", changed(task={**given["task"], "x": 1.3}), ["initial_error"]
    axes = {name: values for name, values in given["axes"].items() if name not in ("w", "b")}
    start = {"random": "normal", "count": 2**21, "scale": 3.0}
    yield "drawn starts", changed(axes=axes, start=start), ["w0", "epochs", "initial_error"]
    task = {"x": [i / 4 for i in range(16)], "y": [float(i > 7) for i in range(16)]}
    stop = {"tolerance": 0.2, "max_epochs": 300}
    yield "16 samples", changed(task=task, stop=stop), ["epochs", "final_error"]


def print_encodings(spec: Spec) -> None:
    """Print a table: million rows a second and bytes a row; the encoding in use in bold."""
    print("", "column", *ENCODINGS, "", sep=" | ")
    print("", "---", *("---" for _ in ENCODINGS), "", sep="|")
    sizes = {}
    for label, one, names in sweeps_to_measure(spec):
        grid = Grid(one)
        in_use = settings(grid)
        table = part_as_table(grid, grid.parts // 4, orbit_lookup(grid))
        sizes[label or "x = 1"] = len(encoded(grid, table)) / len(table)
        for name in names:
            used = "split" if name in in_use["column_encoding"] else "plain"
            used = "indices" if name in in_use["use_dictionary"] else used
            cells = {
                encoding: f"{rate / 1e6:.0f}, {size:.{1 if size < 0.1 else 3}g}"
                for encoding, (rate, size) in time_encodings(table[name], in_use).items()
            }
            cells[used] = f"**{cells[used]}**"
            row = f"{name}, {label}".strip(", ")
            print("", row, *(cells.get(encoding, "") for encoding in ENCODINGS), "", sep=" | ")
    print("bytes a row of whole files:", ", ".join(f"{k} {v:.2f}" for k, v in sizes.items()))


Seconds = NDArray[np.float64]


def clock() -> Seconds:
    """Return wall-clock time and CPU time, in seconds."""
    return np.array([time.perf_counter(), time.process_time()])


def time_pyarrow(grid: Grid, folder: Path, threads: int) -> Seconds:
    """Return how long pyarrow takes to write the tables of all parts, without computing them."""
    lookup, took = orbit_lookup(grid), np.zeros(2)

    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, grid.parts, TABLES_IN_MEMORY):
            parts = range(first, min(first + TABLES_IN_MEMORY, grid.parts))
            tables = list(pool.map(partial(part_as_table, grid, lookup=lookup), parts))
            files = [folder / part_name(grid, part) for part in parts]
            began = clock()
            list(pool.map(partial(pq.write_table, **settings(grid)), tables, files))
            took += clock() - began
    return took


def time_run_and_pyarrow(spec: Spec, rounds: int) -> Iterator[tuple[Seconds, Seconds]]:
    """Yield the times of a run and of pyarrow writing the same tables, interleaved."""
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as run_folder, tempfile.TemporaryDirectory() as written:
            began = clock()
            run(spec, run_folder)
            run_took = clock() - began
            yield run_took, time_pyarrow(Grid(spec), Path(written), usable_cpus())
            for path in Path(written).iterdir():
                assert path.stat().st_size == (Path(run_folder) / path.name).stat().st_size


def print_run_and_pyarrow(spec: Spec, rounds: int) -> None:
    """Print the medians of both and of their ratio, with minimum and maximum."""
    print(f"{Grid(spec).size:,} rows, {usable_cpus()} threads, {rounds} interleaved rounds")
    run_took, writing = map(np.array, zip(*time_run_and_pyarrow(spec, rounds), strict=True))
    for name, values in (
        ("sweep run, s", run_took),
        ("pyarrow alone, s", writing),
        ("ratio", run_took / writing),
    ):
        by_wall, by_cpu = (f"{median(v):.2f} ({min(v):.2f} to {max(v):.2f})" for v in values.T)
        print(f"{name:18}{by_wall:24}of CPU {by_cpu}")


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("spec", help="the sweep to measure on")
    parser.add_argument("--side", type=int, default=3162, help="starts along w and b (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    args = parser.parse_args()
    spec = Spec.load(args.spec)
    print_encodings(spec)
    smaller_spec = spec.model_dump(exclude_unset=True)
    for axis in ("w", "b"):
        smaller_spec["axes"][axis]["num"] = args.side
    smaller = Spec(**smaller_spec)
    print_run_and_pyarrow(smaller, args.rounds)


if __name__ == "__main__":
    main()
