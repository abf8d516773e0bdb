"""One part of a sweep, on one thread: its cells trained or answered, and written."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import lru_cache
from itertools import product
from threading import Lock

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sweep.experiment.grid import Grid, Segment
from sweep.kernels.block import trainer
from sweep.kernels.orbit import build_staircases, choose_orbit, lookup_into
from sweep.kernels.orbit.staircase import Staircase
from sweep.kernels.pool import LARGEST_BLOCK, ORBIT_BLOCK
from sweep.kernels.results import TrainResult, empty_results, rows
from sweep.neuron.problem import Problem
from sweep.store.encoding import encoded
from sweep.store.folder import Folder, write_whole
from sweep.store.parts import part_name
from sweep.store.schema import table

__all__ = ["StaircaseLookup", "make_part", "part_table", "staircases"]

StaircaseLookup = Callable[[Segment], list[Staircase] | None]


def staircases(grid: Grid) -> StaircaseLookup:
    """Return a function that gives the staircases of a segment, None where it is to be trained.

    Each panel's are built once, by the first thread that needs them.

    Raises
    ------
    SpecError
        The spec says method = "orbit" and it does not apply somewhere.
    """
    spec, lock = grid.spec, Lock()

    def ask(outer: tuple[tuple[str, int], ...]) -> tuple[Problem, float, bool]:
        problem, rate = grid.problem(dict(outer))
        applies = choose_orbit(
            spec.method, problem, np.array([rate]), grid.starts_count, spec.dtype
        )
        return problem, rate, applies

    @lru_cache(maxsize=64)
    def build(outer: tuple[tuple[str, int], ...]) -> list[Staircase] | None:
        problem, rate, applies = ask(outer)
        return build_staircases(problem, rate, *grid.reach(problem.x[0])) if applies else None

    if spec.method == "orbit":
        sizes = [range(len(grid.values[name])) for name in grid.outer_names]
        for index in product(*sizes):
            ask(tuple(zip(grid.outer_names, index, strict=True)))

    def stairs(segment: Segment) -> list[Staircase] | None:
        with lock:
            return build(tuple(segment.outer.items()))

    return stairs


def make_part(
    folder: Folder,
    grid: Grid,
    part: int,
    stairs: StaircaseLookup,
    stop: NDArray[np.uint8],
    progress: Callable[[int, int], None],
    turn: AbstractContextManager[object] | None = None,
) -> str:
    """Compute and write a part on this thread and say by which method; "" if stopped before.

    Progress is told of (cells, neuron-epochs). What takes the CPU is done within `turn`, if given;
    what waits for the disk or the network, outside.
    """
    with turn or nullcontext():
        room = _room(len(grid.part(part)), grid.spec.inputs, grid.spec.dtype)
        made = part_table(grid, part, stairs, stop, progress, room)
        if made is None:
            return ""
        content = encoded(grid, made[1])
        _buffers.append(room)
    write_whole(folder, part_name(grid, part), content)
    return made[0]


# Room for results, of parts that are encoded: fresh memory, which the system clears first, takes a
# twentieth of a run.
_buffers: list[TrainResult] = []


def _room(count: int, inputs: int, dtype: str) -> TrainResult:
    with suppress(IndexError):
        spare = _buffers.pop()
        if len(spare.epochs) >= count and spare.w.shape[1] == inputs and spare.b.dtype == dtype:
            return spare
    return empty_results(count, inputs, dtype, weights=False)


def part_table(
    grid: Grid,
    part: int,
    stairs: StaircaseLookup,
    stop: NDArray[np.uint8],
    progress: Callable[[int, int], None],
    room: TrainResult | None = None,
) -> tuple[str, pa.Table] | None:
    """Compute a part on this thread: its method and table, in `room`; None if stopped before."""
    if stop[0]:  # while it waited for its turn
        return None
    cells = grid.part(part)
    axes = grid.columns(cells)
    *weights, b = (axes[name] for name in grid.start_names)
    w = weights[0][:, None] if len(weights) == 1 else np.column_stack(weights)
    room = room or _room(len(cells), grid.spec.inputs, grid.spec.dtype)
    out = rows(room, slice(len(cells)))
    methods, row = set(), 0
    for segment in grid.segments(cells):
        problem, learning_rate = grid.problem(segment.outer)
        steps = stairs(segment)
        methods.add("train" if steps is None else "orbit")
        block = LARGEST_BLOCK if steps is None else ORBIT_BLOCK
        end = row + segment.last - segment.first
        while row < end:
            here = slice(row, min(row + block, end))
            view = rows(out, here)
            if steps is None:
                rates = np.full(len(view.epochs), learning_rate)
                trainer(problem, grid.spec.dtype)(view, w[here], b[here], rates, stop)
            else:
                lookup_into(view, w[here], b[here], learning_rate, problem, stop, steps)
            row = here.stop
            if stop[0]:
                return None
            progress(len(view.epochs), int(view.epochs.sum()))
    method = " and ".join(sorted(methods))
    return method, table(grid, part, axes, out, method)
