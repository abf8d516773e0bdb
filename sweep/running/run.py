"""From a spec to a folder of results: parts on threads or a cluster, resumed where they stopped."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Semaphore
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from sweep.errors import SpecError
from sweep.experiment.grid import Grid
from sweep.experiment.spec import Spec
from sweep.kernels.pool import check_threads, run_blocks
from sweep.running.part import make_part, staircases
from sweep.store.folder import Folder, open_folder
from sweep.store.parts import prepare, refuse_older, valid_parts

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["RunResult", "run"]

# Parts in flight for each that is being computed: the others wait for the disk or the network.
# 10^8 rows into a bucket that takes 100 ms to answer: 8.3 s with 1, 4.2 with 2, 3.2 with 4, 3.4
# with 8; onto a disk that takes 20 ms to sync: 5.6 s with 1, 2.6 with 2.
PER_THREAD = 4


@dataclass(frozen=True)
class RunResult:
    """What a run did.

    Attributes
    ----------
    folder : Folder
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

    folder: Folder
    cells: int
    parts: int
    computed: int
    reused: int
    missing: int
    neuron_epochs: int
    seconds: float
    method: str


def run(
    spec: Spec,
    out: str | Path | Folder,
    *,
    threads: int | None = None,
    shard: tuple[int, int] = (1, 1),
    client: Client | None = None,
) -> RunResult:
    """Compute a sweep into a folder; parts that stand there already are kept.

    Parameters
    ----------
    spec : Spec
    out : path or URI
        Made if it is not there. Of URIs, those that Arrow's filesystems take: ``s3://bucket/name``.
    threads : int, optional
        Default: the CPUs that this process may use. The results do not depend on it.
    shard : (I, N)
        Compute only the I-th of N slices of the parts, I from 1 to N.
    client : distributed.Client, optional
        Compute on the workers of this Dask cluster, which must see the folder too, not on threads.

    Raises
    ------
    SpecError
        The folder belongs to another spec or cannot be written, or an argument is wrong.
    """
    if client is not None and threads is not None:
        raise SpecError(f"threads = {threads!r}: a cluster's workers have threads of their own")
    threads = check_threads(threads)
    number, of = shard
    if not 1 <= number <= of:
        raise SpecError(f"shard = {number}/{of}: must be I/N with I from 1 to N")
    began = time.perf_counter()
    folder, grid = open_folder(out), Grid(spec)
    stairs = staircases(grid)
    prepare(folder, spec)
    ours = range(number - 1, grid.parts, of)
    standing = valid_parts(folder, grid, ours)
    mine = [part for part in ours if part not in standing]
    if mine:
        refuse_older(folder, grid, sorted(standing))
    methods, epochs, lock, turn = set[str](), 0, Lock(), Semaphore(threads)
    bar = tqdm(total=sum(len(grid.part(part)) for part in mine), unit="cells", unit_scale=True,
               disable=True if sys.stderr is None else None, desc=spec.name)  # fmt: skip

    def progress(cells: int, neuron_epochs: int) -> None:
        nonlocal epochs
        with lock:
            epochs += neuron_epochs
            rate = epochs / (time.perf_counter() - began)
            bar.set_postfix_str(f"{rate / 1e6:.0f} M neuron-epochs/s", refresh=False)
            bar.update(cells)

    def compute(first: int, last: int, stop: NDArray[np.uint8]) -> None:
        for part in mine[first:last]:
            method = make_part(folder, grid, part, stairs, stop, progress, turn)
            if stop[0]:
                return
            methods.update(method.split(" and "))

    with bar:
        if client is None:
            run_blocks(compute, [(i, i + 1) for i in range(len(mine))], PER_THREAD * threads)
        else:
            from sweep.running.cluster import compute_parts

            methods |= compute_parts(client, folder, grid, mine, progress)
    return RunResult(
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
