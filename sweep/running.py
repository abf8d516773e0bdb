"""From a spec to a folder of results: parts on a pool of threads, resumed where they stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import product
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from sweep.errors import SpecError
from sweep.experiment.grid import Grid, Segment
from sweep.experiment.spec import Spec
from sweep.kernels.orbit import both_sides, choose_orbit
from sweep.kernels.staircase import Staircase
from sweep.kernels.threads import LARGEST_BLOCK, ORBIT_BLOCK, check_threads, run_blocks
from sweep.kernels.training import Trained, train_into, untrained
from sweep.neuron.problem import Problem
from sweep.store.dataset import prepare, standing_parts, write_part
from sweep.store.schema import table

__all__ = ["Ran", "run"]


@dataclass(frozen=True)
class Ran:
    """What a run did.

    Attributes
    ----------
    folder : Path
    cells, parts : int
        Of the whole sweep.
    computed, reused : int
        Parts computed now, and parts that stood already.
    missing : int
        Parts that are still to be computed (of other shards).
    neuron_epochs : int
        Updates counted in the parts computed now.
    seconds : float
    method : str
    """

    folder: Path
    cells: int
    parts: int
    computed: int
    reused: int
    missing: int
    neuron_epochs: int
    seconds: float
    method: str


Stairs = Callable[[Segment], list[Staircase] | None]


def staircases(grid: Grid) -> Stairs:
    """Return a function that gives the staircases of a segment, None where it is to be trained.

    Each panel's are built once, by the first thread that needs them.

    Raises
    ------
    SpecError
        The spec says method = "orbit" and it does not apply somewhere.
    """
    spec, lock = grid.spec, Lock()

    def ask(outer: tuple[tuple[str, int], ...]) -> tuple[Problem, float, bool]:
        ask, rate = grid.ask(dict(outer))
        applies = choose_orbit(spec.method, ask, np.array([rate]), grid.starts_count, spec.dtype)
        return ask, rate, applies

    @lru_cache(maxsize=64)
    def build(outer: tuple[tuple[str, int], ...]) -> list[Staircase] | None:
        problem, rate, applies = ask(outer)
        return both_sides(problem, rate, *grid.reach(problem.x[0])) if applies else None

    if spec.method == "orbit":
        sizes = [range(len(grid.values[name])) for name in grid.outer_names]
        for index in product(*sizes):
            ask(tuple(zip(grid.outer_names, index, strict=True)))

    def stairs(segment: Segment) -> list[Staircase] | None:
        with lock:
            return build(tuple(segment.outer.items()))

    return stairs


def compute_part(
    grid: Grid,
    cells: range,
    stairs: Stairs,
    stop: NDArray[np.uint8],
    progress: Callable[[int, int], None],
) -> tuple[Trained, str]:
    """Compute the cells of a part on this thread and say by which method.

    Progress is told of (cells, neuron-epochs).
    """
    out = untrained(len(cells), grid.spec.inputs, grid.spec.dtype)
    row = 0
    methods = set()
    for segment in grid.segments(cells):
        ask, learning_rate = grid.ask(segment.outer)
        steps = stairs(segment)
        methods.add("train" if steps is None else "orbit")
        block = LARGEST_BLOCK if steps is None else ORBIT_BLOCK
        for first in range(segment.first, segment.last, block):
            starts = grid.starts(first, min(first + block, segment.last))
            here = slice(row, row + len(starts))
            view = Trained(*(getattr(out, field.name)[here] for field in fields(out)))
            rates = np.full(len(starts), learning_rate)
            train_into(view, starts[:, :-1], starts[:, -1], rates, ask, stop, steps)
            row += len(starts)
            if stop[0]:
                break
            progress(len(starts), int(view.epochs.sum()))
    return out, " and ".join(sorted(methods))


def run(
    spec: Spec,
    out: str | Path,
    *,
    threads: int | None = None,
    shard: tuple[int, int] = (1, 1),
) -> Ran:
    """Compute a sweep into a folder; parts that stand there already are kept.

    Parameters
    ----------
    spec : Spec
    out : path
        Made if it is not there.
    threads : int, optional
        Default: the CPUs that this process may use. The results do not depend on it.
    shard : (I, N)
        Compute only the I-th of N slices of the parts, I from 1 to N.

    Raises
    ------
    SpecError
        The folder belongs to another spec or cannot be written, or an argument is wrong.
    """
    threads = check_threads(threads)
    number, of = shard
    if not 1 <= number <= of:
        raise SpecError(f"shard = {number}/{of}: must be I/N with I from 1 to N")
    began = time.perf_counter()
    folder, grid = Path(out), Grid(spec)
    stairs = staircases(grid)
    prepare(folder, spec)
    standing = standing_parts(folder, grid)
    mine = [part for part in range(number - 1, grid.parts, of) if part not in standing]
    methods, epochs, lock = set[str](), 0, Lock()
    bar = tqdm(total=sum(len(grid.part(part)) for part in mine), unit="cells", unit_scale=True,
               disable=None, desc=spec.name)  # fmt: skip

    def progress(cells: int, neuron_epochs: int) -> None:
        nonlocal epochs
        with lock:
            epochs += neuron_epochs
            rate = epochs / (time.perf_counter() - began)
            bar.set_postfix_str(f"{rate / 1e6:.0f} M neuron-epochs/s", refresh=False)
            bar.update(cells)

    def compute(first: int, last: int, stop: NDArray[np.uint8]) -> None:
        for part in mine[first:last]:
            trained, method = compute_part(grid, grid.part(part), stairs, stop, progress)
            if stop[0]:
                return
            methods.update(method.split(" and "))
            write_part(folder, grid, part, table(grid, part, trained, method))

    with bar:
        run_blocks(compute, [(i, i + 1) for i in range(len(mine))], threads)
    return Ran(
        folder=folder,
        cells=grid.size,
        parts=grid.parts,
        computed=len(mine),
        reused=len(standing),
        missing=grid.parts - len(mine) - len(standing),
        neuron_epochs=epochs,
        seconds=time.perf_counter() - began,
        method=" and ".join(sorted(methods)) or grid.spec.method,
    )
