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
from sweep.kernels.threads import default_threads
from sweep.parts import part_table, staircases
from sweep.running import run
from sweep.store.dataset import WRITING, part_name

__all__ = ["against_pyarrow", "encodings", "measured"]

NAMES = ["cost", "status"]
# Tables in memory while pyarrow writes them.
TOGETHER = 16


def encodings(column: pa.ChunkedArray) -> Iterator[tuple[str, pa.ChunkedArray, dict[str, Any]]]:
    """Yield the name of each encoding that fits a column, the column for it and the settings."""
    plain = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
    indices, settings = plain.dictionary_encode(), {"use_dictionary": True, "column_encoding": None}
    yield "dictionary", plain, settings
    yield "dictionary, as indices", indices, settings
    fitting = {
        pa.float64(): ("PLAIN", "BYTE_STREAM_SPLIT"),
        pa.int32(): ("PLAIN", "BYTE_STREAM_SPLIT", "DELTA_BINARY_PACKED"),
        pa.string(): ("PLAIN", "DELTA_BYTE_ARRAY"),
    }
    for name in fitting[plain.type]:
        said = name.lower().replace("_", " ").removesuffix(" packed")
        yield said, plain, {"use_dictionary": False, "column_encoding": {"it": name}}


def measured(column: pa.ChunkedArray, rounds: int = 7) -> dict[str, tuple[float, float]]:
    """Return rows a second on one thread, and bytes a row, by the name of the encoding."""
    found = {}
    for name, values, settings in encodings(column):
        field = pa.field("it", values.type, nullable=False)
        table = pa.Table.from_arrays([values], schema=pa.schema([field]))
        took = []
        for _ in range(rounds):
            file, began = pa.BufferOutputStream(), time.thread_time()
            pq.write_table(table, file, **{**WRITING, **settings})
            took.append(time.thread_time() - began)
        found[name] = len(values) / median(took), file.getvalue().size / len(values)
    return found


def one_part(spec: Spec, place: float = 0.25) -> pa.Table:
    """Return a part out of a sweep, some way into it."""
    parts = Grid(spec).parts
    with tempfile.TemporaryDirectory() as folder:
        run(spec, folder, shard=(1 + int(place * parts), parts))
        (file,) = Path(folder).glob("part-*")
        return pq.read_table(file, read_dictionary=NAMES)


def columns(spec: Spec) -> Iterator[tuple[str, pa.ChunkedArray]]:
    """Yield a column of each kind that results have, and what it is."""
    said = spec.model_dump(exclude_unset=True)
    crossed = one_part(spec)
    for name in ("cost", "learning_rate", "w0", "b0", "epochs", "initial_error"):
        yield name, crossed[name]
    between = one_part(Spec(**{**said, "task": said["task"] | {"x": 1.3}}))
    yield "initial_error, x = 1.3", between["initial_error"]
    axes = {name: values for name, values in said["axes"].items() if name not in ("w", "b")}
    start = {"random": "normal", "count": 2**20, "scale": 3.0}
    drawn = one_part(Spec(**{**said, "axes": axes, "start": start}))
    yield "w0, drawn", drawn["w0"]
    yield "initial_error, drawn", drawn["initial_error"]
    several = {"x": [i / 4 for i in range(16)], "y": [float(i > 7) for i in range(16)]}
    stop = {"tolerance": 0.2, "max_epochs": 300}
    many = one_part(Spec(**{**said, "task": several, "stop": stop}))
    yield "epochs, 16 samples", many["epochs"]
    yield "final_error, 16 samples", many["final_error"]


def print_encodings(spec: Spec) -> None:
    """Print rows a second and bytes a row of each encoding of each kind of column."""
    for label, column in columns(spec):
        print(label)
        for name, (rate, size) in measured(column).items():
            print(f"  {name:24} {rate / 1e6:7.0f} million rows a second  {size:8.4f} bytes a row")


Seconds = NDArray[np.float64]


def clock() -> Seconds:
    """Return the time by the wall and by the CPUs."""
    return np.array([time.perf_counter(), time.process_time()])


def alone(grid: Grid, folder: Path, threads: int) -> Seconds:
    """Let pyarrow write the tables of all parts, and return how long that took; not the making."""
    stairs, took = staircases(grid), np.zeros(2)

    def made(part: int) -> pa.Table:
        found = part_table(grid, part, stairs, np.zeros(1, np.uint8), lambda *_: None)
        assert found is not None
        return found[1]

    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, grid.parts, TOGETHER):
            parts = range(first, min(first + TOGETHER, grid.parts))
            tables = list(pool.map(made, parts))
            files = [folder / part_name(grid, part) for part in parts]
            began = clock()
            list(pool.map(partial(pq.write_table, **WRITING), tables, files))
            took += clock() - began
    return took


def against_pyarrow(spec: Spec, rounds: int) -> Iterator[tuple[Seconds, Seconds]]:
    """Yield the times of a whole run and of pyarrow writing the same tables, in turns."""
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as ran, tempfile.TemporaryDirectory() as written:
            began = clock()
            run(spec, ran)
            whole = clock() - began
            yield whole, alone(Grid(spec), Path(written), default_threads())
            for path in Path(written).iterdir():
                assert path.stat().st_size == (Path(ran) / path.name).stat().st_size


def print_against_pyarrow(spec: Spec, rounds: int) -> None:
    """Print the medians of both and of their ratio, with least and most."""
    print(f"{Grid(spec).size:,} rows, {default_threads()} threads, {rounds} rounds in turns")
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
