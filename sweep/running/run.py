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
from sweep.running.part import Job, make_part, staircase_lookup
from sweep.store.folder import Folder, open_folder
from sweep.store.parts import refuse_older, valid_parts
from sweep.store.schema import methods_text
from sweep.store.spec_file import prepare

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["RunResult", "run"]

# Parts in flight for each thread: one is computed, the others wait for the disk or the network.
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
    trained : int
        Cells computed by this run.
    computed, reused : int
        Parts computed by this run, and valid parts of earlier runs.
    missing : int
        Parts of other shards, computed or not: this run does not look at them.
    neuron_epochs : int
        The sum of epochs over the cells computed by this run.
    seconds : float
    method : str
        "orbit", "train" or "orbit and train": of the parts computed by this run.

    Examples
    --------
    >>> import sweep, tempfile
    >>> spec = sweep.Spec(axes={"w": [0.6, 2.0], "b": [0.9, 2.0], "learning_rate": [0.15]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = sweep.run(spec, folder)
    >>> isinstance(result, sweep.RunResult), result.trained, result.neuron_epochs, result.method
    (True, 8, 1575, 'train')
    """

    folder: Folder
    cells: int
    parts: int
    trained: int
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
    """Compute a sweep into a folder; valid parts that are there already are kept.

    Parameters
    ----------
    spec : Spec
    out : path or URI
        Created if it does not exist. URIs are those of Arrow's filesystems: ``s3://bucket/name``.
    threads : int, optional
        Default: the CPUs that this process may use. The results do not depend on it.
    shard : (I, N)
        Compute only the I-th of N slices of the parts, I from 1 to N.
    client : distributed.Client, optional
        Compute on the workers of this Dask cluster, which must see the folder too.

    Returns
    -------
    RunResult

    Raises
    ------
    SpecError
        The folder belongs to another spec or cannot be written, or an argument is wrong.

    Examples
    --------
    >>> import sweep, tempfile
    >>> axes = {"w": [0.6, 2.0], "b": [0.9, 2.0], "learning_rate": [0.15]}
    >>> folder = tempfile.mkdtemp()
    >>> result = sweep.run(sweep.Spec(axes=axes), folder)
    >>> result.cells, result.computed, result.missing
    (8, 8, 0)
    >>> sweep.run(sweep.Spec(axes=axes), folder).reused
    8
    """
    if client is not None and threads is not None:
        raise SpecError(f"threads = {threads!r}: a cluster's workers have threads of their own")
    threads = check_threads(threads)
    number, of = shard
    if not 1 <= number <= of:
        raise SpecError(f"shard = {number}/{of}: must be I/N with I from 1 to N")
    began = time.perf_counter()
    folder, grid = open_folder(out), Grid(spec)
    job = Job(folder, grid, staircase_lookup(grid))
    prepare(folder, spec)
    shard_parts = range(number - 1, grid.parts, of)
    valid = valid_parts(folder, grid, shard_parts)
    missing = [part for part in shard_parts if part not in valid]
    if missing:
        refuse_older(folder, grid, sorted(valid))
    methods, epochs, lock, semaphore = set[str](), 0, Lock(), Semaphore(threads)
    trained = sum(len(grid.part(part)) for part in missing)
    bar = tqdm(total=trained, unit="cells", unit_scale=True,
               disable=True if sys.stderr is None else None, desc=spec.name)  # fmt: skip

    def progress(cells: int, neuron_epochs: int) -> None:
        nonlocal epochs
        with lock:
            epochs += neuron_epochs
            rate = epochs / (time.perf_counter() - began)
            bar.set_postfix_str(f"{rate / 1e6:.0f} M neuron-epochs/s", refresh=False)
            bar.update(cells)

    def compute(first: int, last: int, stop: NDArray[np.uint8]) -> None:
        for part in missing[first:last]:
            methods.update(make_part(job, part, stop, progress, semaphore))

    with bar:
        if client is None:
            run_blocks(compute, [(i, i + 1) for i in range(len(missing))], PER_THREAD * threads)
        else:
            from sweep.running.cluster import compute_parts

            methods |= compute_parts(client, folder, grid, missing, progress)
    return RunResult(
        folder=folder,
        cells=grid.size,
        parts=grid.parts,
        trained=trained,
        computed=len(missing),
        reused=len(valid),
        missing=grid.parts - len(missing) - len(valid),
        neuron_epochs=epochs,
        seconds=time.perf_counter() - began,
        method=methods_text(methods) or spec.method,
    )
