"""One part of a sweep, computed on one thread and written."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import lru_cache
from itertools import product
from threading import Lock
from typing import NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sweep.experiment.grid import Grid, Segment
from sweep.experiment.spec import Spec
from sweep.kernels.block import trainer
from sweep.kernels.orbit import Orbit, Plane, build_orbit, choose_orbit, lookup_into
from sweep.kernels.pool import PART_BLOCK, block_sizes
from sweep.kernels.results import FollowResult, TrainResult, empty_results, rows
from sweep.neuron.problem import Problem
from sweep.store.encoding import encoded
from sweep.store.folder import Folder, write_whole
from sweep.store.parts import part_name
from sweep.store.schema import table

__all__ = ["Job", "OrbitLookup", "Progress", "make_part", "orbit_lookup", "part_table"]

OrbitLookup: TypeAlias = Callable[[Segment, NDArray[np.uint8]], Orbit | Plane | None]
Progress: TypeAlias = Callable[[int, int], None]


class Job(NamedTuple):
    """What all parts of a run share."""

    folder: Folder
    grid: Grid
    orbits: OrbitLookup


def orbit_lookup(grid: Grid, threads: int = 1) -> OrbitLookup:
    """Return a function that gives the orbit of a segment, None where it is to be trained.

    Its second argument is a flag: building ends soon after it becomes 1, with None.

    That of a combination of outer axes is built once, by the first thread that needs it.

    Raises
    ------
    SpecError
        The spec says method = "orbit" and it does not apply somewhere.
    """
    spec, lock, stop = grid.spec, Lock(), np.zeros(1, np.uint8)
    starts = grid.start_range()

    def choose(outer: tuple[tuple[str, int], ...]) -> tuple[Problem, float, bool]:
        problem, rate = grid.problem(dict(outer))
        rates = np.array([rate])
        return (
            problem,
            rate,
            choose_orbit(
                spec.method, problem, rates, grid.starts_count, spec.dtype, *starts, threads
            ),
        )

    @lru_cache(maxsize=64)
    def build(outer: tuple[tuple[str, int], ...]) -> Orbit | Plane | None:
        problem, rate, applies = choose(outer)
        if not applies:
            return None
        orbit = build_orbit(problem, rate, *starts, grid.starts_count, threads, stop)
        if stop[0]:
            raise InterruptedError  # which is not remembered
        return orbit

    if spec.method == "orbit":
        sizes = [range(len(grid.values[name])) for name in grid.outer_names]
        for index in product(*sizes):
            choose(tuple(zip(grid.outer_names, index, strict=True)))

    def lookup(segment: Segment, flag: NDArray[np.uint8]) -> Orbit | Plane | None:
        nonlocal stop
        with lock, suppress(InterruptedError):
            stop = flag
            return build(tuple(segment.outer.items()))
        return None

    return lookup


def make_part(
    job: Job,
    part: int,
    stop: NDArray[np.uint8],
    progress: Progress,
    semaphore: AbstractContextManager[object] | None = None,
) -> set[str]:
    """Compute and write a part on this thread.

    Parameters
    ----------
    job : Job
    part : int
    stop : array (1,)
        Computing ends soon after it becomes 1; nothing is written then.
    progress : callable
        Called with (cells, neuron-epochs) of each block.
    semaphore : context manager, optional
        Held while the CPU computes, not while the disk or the network is waited for.

    Returns
    -------
    set of str
        The methods, "orbit" or "train" or both; empty if stopped.
    """
    grid = job.grid
    with semaphore or nullcontext():
        buffer = _buffer(len(grid.part(part)), grid.spec)
        computed = part_table(grid, part, job.orbits, stop, progress, buffer)
        if computed is None:
            return set()
        methods, columns = computed
        content = encoded(grid, columns)
        _buffers.append(buffer)
    write_whole(job.folder, part_name(grid, part), content)
    return methods


# Results of parts that are encoded, to be overwritten: clearing fresh memory takes the system a
# twentieth of a run.
_buffers: list[TrainResult] = []


def _buffer(count: int, spec: Spec) -> TrainResult:
    with suppress(IndexError):
        used = _buffers.pop()
        kept = count if spec.weights else 0
        fits = len(used) >= count and len(used.w) >= kept and used.w.shape[1] == spec.inputs
        fits = fits and isinstance(used, FollowResult) == (spec.follow is not None)
        if fits and used.b.dtype == spec.dtype:
            return used
    follow = spec.follow is not None
    return empty_results(count, spec.inputs, spec.dtype, weights=spec.weights, follow=follow)


def part_table(
    grid: Grid,
    part: int,
    orbits: OrbitLookup,
    stop: NDArray[np.uint8],
    progress: Progress,
    buffer: TrainResult | None = None,
) -> tuple[set[str], pa.Table] | None:
    """Return the methods and the table of a part, which lies in `buffer`; None if stopped."""
    if stop[0]:
        return None
    cells = grid.part(part)
    axes = grid.columns(cells)
    *weights, b = (axes[name] for name in grid.start_names)
    w = weights[0][:, None] if len(weights) == 1 else np.column_stack(weights)
    buffer = _buffer(len(cells), grid.spec) if buffer is None else buffer
    out = rows(buffer, slice(len(cells)))
    methods, row = set[str](), 0
    for segment in grid.segments(cells):
        problem, learning_rate = grid.problem(segment.outer)
        orbit = orbits(segment, stop)
        if stop[0]:
            return None
        methods.add("train" if orbit is None else "orbit")
        n, d = problem.x.shape
        size = block_sizes(n, d + 1)[0] if orbit is None else PART_BLOCK
        end = row + segment.last - segment.first
        while row < end:
            block = slice(row, min(row + size, end))
            results = rows(out, block)
            if orbit is None:
                rates = np.array([learning_rate])
                trainer(problem, grid.spec.dtype)(results, w[block], b[block], rates, stop)
            else:
                lookup_into(results, w[block], b[block], learning_rate, problem, stop, orbit)
            row = block.stop
            if stop[0]:
                return None
            progress(len(results.epochs), int(results.epochs.sum()))
    return methods, table(grid, part, axes, out, methods)
