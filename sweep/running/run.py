"""From a spec to a folder of results: parts on threads or a cluster, resumed where they stopped."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from threading import Lock, Semaphore
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sweep.errors import SpecError
from sweep.experiment.grid import Grid
from sweep.experiment.spec import Spec
from sweep.kernels.pool import check_threads, run_blocks
from sweep.running.part import Job, make_part, orbit_lookup
from sweep.running.progress import shown_progress
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

    # Both are of floors above this one, to which no file of it refers: they are for users.

    def open(self) -> Any:
        """Open what was computed: a `sweep.Result`."""
        return import_module("sweep.result").open(self.folder)

    def plot(self, figure: str = "error", **options: Any) -> Any:
        """Draw a figure of what was computed, as `sweep.Result.plot` does."""
        return self.open().plot(figure, **options)


def as_spec(spec: Spec | Mapping[str, Any] | str | Path) -> Spec:
    """Return a spec that is given as such, as its fields, or as the path of a TOML file."""
    if isinstance(spec, Spec):
        return spec
    return Spec(**spec) if isinstance(spec, Mapping) else Spec.load(spec)


def run(
    spec: Spec | Mapping[str, Any] | str | Path,
    out: str | Path | Folder | None = None,
    *,
    threads: int | None = None,
    shard: tuple[int, int] = (1, 1),
    client: Client | None = None,
    quiet: bool = False,
) -> RunResult:
    """Compute a sweep into a folder; valid parts that are there already are kept.

    Parameters
    ----------
    spec : Spec, mapping of its fields, or path of a TOML file
    out : path or URI, optional
        Created if it does not exist. URIs are those of Arrow's filesystems: ``s3://bucket/name``.
        Default: results/NAME, the spec's name.
    threads : int, optional
        Default: the CPUs that this process may use. The results do not depend on it.
    shard : (I, N)
        Compute only the I-th of N slices of the parts, I from 1 to N.
    client : distributed.Client, optional
        Compute on the workers of this Dask cluster, which must see the folder too.
    quiet : bool
        Show no progress.

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
    spec = as_spec(spec)
    folder, grid = open_folder(Path("results") / spec.name if out is None else out), Grid(spec)
    job = Job(folder, grid, orbit_lookup(grid, threads))
    prepare(folder, spec)
    shard_parts = range(number - 1, grid.parts, of)
    valid = valid_parts(folder, grid, shard_parts)
    missing = [part for part in shard_parts if part not in valid]
    if missing:
        refuse_older(folder, grid, sorted(valid))
    methods, epochs, lock, semaphore = set[str](), 0, Lock(), Semaphore(threads)
    trained = sum(len(grid.part(part)) for part in missing)

    def compute(first: int, last: int, stop: NDArray[np.uint8]) -> None:
        for part in missing[first:last]:
            methods.update(make_part(job, part, stop, progress, semaphore))

    with shown_progress(spec.name, trained, quiet=quiet) as show:

        def progress(cells: int, neuron_epochs: int) -> None:
            nonlocal epochs
            with lock:
                epochs += neuron_epochs
            show(cells, neuron_epochs)

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
