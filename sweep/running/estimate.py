"""What a sweep will take, before it runs: cells, bytes, memory, methods, and time by a sample."""

from __future__ import annotations

import re
import shutil
import time
from collections import Counter
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sweep.experiment.checks import CHOICES
from sweep.experiment.grid import GOLDEN, Grid
from sweep.experiment.labels import cost_name, labels
from sweep.experiment.spec import Spec
from sweep.kernels.block import trainer
from sweep.kernels.orbit import build_orbit, lookup_into, why_trained
from sweep.kernels.pool import check_threads, run_blocks
from sweep.kernels.results import TrainResult, empty_results
from sweep.kernels.results import rows as rows_of
from sweep.neuron.problem import Problem, Status
from sweep.running.progress import duration
from sweep.store.encoding import encoded
from sweep.store.folder import Folder
from sweep.store.schema import schema, table

__all__ = ["Estimate", "Method", "concern", "estimate", "size"]

# Sweeps of more cells are to be confirmed.
CONFIRMED = 10**10

# Combinations of the outer axes that are sampled, and that are looked at for the method.
SAMPLED, LOOKED_AT = 24, 1000
# Neurons of a sample: as many as lanes at the least, for fewer take as long.
FEWEST, MOST = 64, 8192
# Seconds of one thread for the epochs of all samples, and the most for one of them.
BUDGET, LONGEST = 2.0, 4.0
# Tables of many samples may take minutes, too long for an estimate: as long as training so many
# starts (10,000 to 70,000), and seconds for a start that is looked up in them.
OF_TABLES, LOOKED_UP = 30_000, 1e-7
# Rows that are encoded to see how many bytes they take.
ENCODED = 2**18
# What a process holds beside its parts: 240 MB resident.
PROCESS = 2.5e8
# Parts that each thread holds, as columns or as a file: 1.5 of large ones, 4.8 of small ones.
IN_FLIGHT = 5.0
# Of lane-epochs that a whole block walks.
USEFUL = 0.97


@dataclass(frozen=True)
class Method:
    """How some combinations of the outer axes are computed, and why.

    Attributes
    ----------
    name : str
        "orbit" or "train".
    reason : str
        Why they are trained, empty for the orbit.
    panels : int
        How many.
    example : str
        One of them.
    """

    name: str
    reason: str
    panels: int
    example: str


@dataclass(frozen=True)
class Estimate:
    """What a sweep will take on this machine.

    Attributes
    ----------
    cells, parts : int
    bytes : float
        Of all parts on disk.
    memory : float
        Bytes of main memory at the most.
    neuron_epochs, seconds : float
        By a sample: within a factor of two, or an upper bound where `at_most` is True, for some of
        the sample did not end in time. Without compiling, which takes seconds, once.
    at_most : bool
    threads : int
    methods : tuple of Method
        The most frequent first.
    looked_at, panels : int
        The methods are those of so many of all combinations of the outer axes.

    Examples
    --------
    >>> import sweep
    >>> axes = {"w": [0.6, 2.0], "b": [0.9, 2.0], "learning_rate": [0.15]}
    >>> estimate = sweep.Spec(axes=axes).estimate()
    >>> estimate.cells, estimate.neuron_epochs, [method.name for method in estimate.methods]
    (8, 1575.0, ['train'])
    """

    cells: int
    parts: int
    bytes: float
    memory: float
    neuron_epochs: float
    seconds: float
    at_most: bool
    threads: int
    methods: tuple[Method, ...]
    looked_at: int
    panels: int

    def __str__(self) -> str:
        bound = "at most " if self.at_most else "some "
        lines = [
            f"cells   {self.cells:,} in {self.parts:,} part{'s' if self.parts > 1 else ''}",
            f"disk    some {size(self.bytes)}",
            f"memory  up to {size(self.memory)}",
            f"time    {bound}{duration(self.seconds)} on {self.threads} "
            f"thread{'s' if self.threads > 1 else ''} "
            f"({bound}{self.neuron_epochs:.2g} neuron-epochs, by a sample)",
        ]
        looked_at = "" if self.looked_at == self.panels else f" of {self.looked_at:,} looked at"
        for method in self.methods:
            why = f": {method.reason}" if method.reason else ""
            lines.append(
                f"method  {method.name} in {method.panels:,}{looked_at} of {self.panels:,} "
                f"panels, as {method.example}{why}"
            )
        return "\n".join(lines)


def size(count: float) -> str:
    """Return a number of bytes in words.

    Examples
    --------
    >>> size(999), size(1.5e6), size(2e13)
    ('999 bytes', '1.5 MB', '20 TB')
    """
    power = min(max(int(np.log10(max(count, 1.0))) // 3, 0), 5)
    return f"{count / 1000**power:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB', 'PB')[power]}"


class _Sample(NamedTuple):
    """What a cell of one combination of the outer axes takes, and whether that is a bound."""

    epochs: float
    seconds: float
    bytes: float
    at_most: bool


def estimate(spec: Spec, threads: int | None = None) -> Estimate:
    """Estimate what a sweep will take; `Spec.estimate` describes it."""
    grid, threads = Grid(spec), check_threads(threads)
    panels = prod(len(grid.values[name]) for name in grid.outer_names)
    looked_at = [_outer(grid, panel) for panel in _spread(panels, LOOKED_AT)]
    reasons = [_why_trained(grid, outer) for outer in looked_at]
    chosen = _spread(panels, SAMPLED)
    samples: list[_Sample] = []

    def work(first: int, last: int, stop: NDArray[np.uint8]) -> None:
        samples.extend(_sample(grid, panel, stop, len(chosen)) for panel in chosen[first:last])

    kinds = [tuple(_outer(grid, panel).get(name) for name in CHOICES) for panel in chosen]
    run_blocks(work, [(k, k + 1) for k in map(kinds.index, set(kinds))], 1)  # compiles
    samples.clear()
    run_blocks(work, [(k, k + 1) for k in range(len(chosen))], threads)
    epochs, seconds, stored = np.mean([sample[:3] for sample in samples], axis=0).tolist()
    fixed = len(_encoded(grid, range(1), _empty(grid, 1)))
    row = sum(8 if pa.types.is_floating(field.type) else 4 for field in schema(grid))
    return Estimate(
        cells=grid.size,
        parts=grid.parts,
        bytes=grid.size * stored + grid.parts * fixed,
        memory=PROCESS + threads * IN_FLIGHT * row * grid.part_rows,
        neuron_epochs=grid.size * epochs,
        seconds=grid.size * seconds / min(threads, grid.parts),
        at_most=any(sample.at_most for sample in samples),
        threads=threads,
        methods=_methods(grid, looked_at, reasons),
        looked_at=len(looked_at),
        panels=panels,
    )


def concern(spec: Spec, folder: Folder) -> str | None:
    """Return why a sweep should be confirmed before it runs, if it should."""
    grid = Grid(spec)
    if grid.size > CONFIRMED:
        return f"{grid.size:,} cells in {grid.parts:,} parts (sweep run --dry-run says more)"
    if not folder.local:
        return None
    there = Path(folder.path)
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if 64.0 * grid.size < free:  # more than any cell takes
        return None
    needed = estimate(spec).bytes
    if needed < free:
        return None
    return f"{folder}: some {size(needed)} are needed, and {size(free)} are free"


def _spread(count: int, most: int) -> list[int]:
    """Return at most so many of the numbers below count, evenly spread."""
    if count <= most:
        return list(range(count))
    return sorted({int(k * GOLDEN % 1 * count) for k in range(most)})


def _outer(grid: Grid, panel: int) -> dict[str, int]:
    shape = [len(grid.values[name]) for name in grid.outer_names]
    index = (int(i) for i in np.unravel_index(panel, shape))
    return dict(zip(grid.outer_names, index, strict=True))


def _why_trained(grid: Grid, outer: dict[str, int]) -> str | None:
    problem, rate = grid.problem(outer)
    spec = grid.spec
    rates = np.array([rate])
    starts = grid.start_range()
    return why_trained(spec.method, problem, rates, grid.starts_count, spec.dtype, *starts)


def _methods(
    grid: Grid, looked_at: list[dict[str, int]], reasons: list[str | None]
) -> tuple[Method, ...]:
    """Count the methods and their reasons, in which numbers differ from panel to panel."""
    kinds = [reason and re.sub(r"[\d.]+(e[-+]\d+)?", "#", reason) for reason in reasons]
    methods = []
    for kind, count in Counter(kinds).most_common():
        at = kinds.index(kind)
        example = ", ".join(
            cost_name(str(grid.values[name][k]))
            if name in CHOICES
            else f"{name} {labels(grid.values[name])[k]}"
            for name, k in looked_at[at].items()
        )
        methods.append(Method("train" if kind else "orbit", reasons[at] or "", count, example))
    return tuple(methods)


def _sample(grid: Grid, panel: int, stop: NDArray[np.uint8], panels: int) -> _Sample:
    """Compute and encode some starts of one combination of the outer axes."""
    outer, every = _outer(grid, panel), grid.starts_count
    problem, rate = grid.problem(outer)

    def computed(starts: NDArray[np.float64], problem: Problem) -> tuple[TrainResult, float, int]:
        w, b = (np.ascontiguousarray(values) for values in (starts[:, :-1], starts[:, -1]))
        out, began, walked = _empty(grid, len(b)), time.perf_counter(), 0
        if orbit is None:
            rates = np.array([rate])
            walked = trainer(problem, grid.spec.dtype)(out, w, b, rates, stop)
        else:
            lookup_into(out, w, b, rate, problem, stop, orbit)
        return out, time.perf_counter() - began, max(walked, 1)

    began, orbit = time.perf_counter(), None
    looked_up = _why_trained(grid, outer) is None
    if looked_up and len(problem.x) == 1:
        orbit = build_orbit(problem, rate, *grid.start_range(), every, 1, stop)
        built = time.perf_counter() - began
        rows = min(ENCODED, every)
        out, seconds, _ = computed(grid.spread_starts(rows), problem)
        epochs, per_cell, at_most = out.epochs.mean(), seconds / rows + built / every, False
    else:
        seconds, limit, few = 0.0, 32, grid.spread_starts(min(FEWEST, every))
        while seconds < 0.005 and limit < 8 * problem.max_epochs:  # a call alone takes 0.3 ms
            limit *= 8
            short = replace(problem, max_epochs=min(problem.max_epochs, limit))
            _, seconds, walked = computed(few, short)
        speed = walked / seconds
        count = int(speed * BUDGET / panels / max(problem.max_epochs, 1))
        count = min(max(count, FEWEST), MOST, every)
        limit = min(problem.max_epochs, int(speed * LONGEST / FEWEST))
        out, seconds, walked = computed(
            grid.spread_starts(count), replace(problem, max_epochs=limit)
        )
        cut = (out.status == Status.max_epochs) & (limit < problem.max_epochs)
        known = np.where(cut, problem.max_epochs, out.epochs)
        epochs, at_most = known.mean(), bool(cut.any())
        # The lanes of a whole block are rarely idle; those of a sample wait for its slowest.
        idle = min(out.epochs.sum(dtype=float) / USEFUL / walked, 1.0) if count < every else 1.0
        per_cell = seconds / count * idle * known.sum() / max(out.epochs.sum(dtype=float), 1.0)
        if looked_up:
            per_cell = per_cell * min(OF_TABLES / every, 1.0) + LOOKED_UP
        rows = int(min(max(0.1 * speed / max(epochs, 1.0), 256), ENCODED, every))
    first = (every - rows) // 2
    out, _, _ = computed(grid.starts(first, first + rows), problem)
    cells = range(panel * every + first, panel * every + first + rows)
    began = time.perf_counter()
    one = len(_encoded(grid, cells[:1], out))
    middle = time.perf_counter()
    content = len(_encoded(grid, cells, out))
    encoding = max(time.perf_counter() - middle - (middle - began), 0.0)
    return _Sample(float(epochs), per_cell + encoding / rows, max(content - one, 0) / rows, at_most)


def _empty(grid: Grid, count: int) -> TrainResult:
    spec = grid.spec
    follow = spec.follow is not None
    out = empty_results(count, spec.inputs, spec.dtype, weights=spec.weights, follow=follow)
    for values in vars(out).values():
        values.fill(0)  # a code that no name has would be written as one
    return out


def _encoded(grid: Grid, cells: range, out: TrainResult) -> memoryview:
    results = rows_of(out, slice(len(cells)))
    return encoded(grid, table(grid, 0, grid.columns(cells), results, {"train"}))
