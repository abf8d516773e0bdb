"""A sweep on a Dask cluster: its workers compute parts and write them themselves.

A task gets the spec and the numbers of some parts, and returns a few numbers; no table passes
through the scheduler. A part may be computed twice: it is written whole, with the same bytes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import lru_cache, partial
from importlib import import_module
from multiprocessing import resource_tracker
from operator import attrgetter
from pathlib import Path
from threading import Lock
from types import ModuleType

import numpy as np

import sweep
from sweep.errors import SpecError, SweepError
from sweep.experiment.grid import Grid
from sweep.experiment.spec import Spec, differences
from sweep.kernels.pool import check_threads
from sweep.running import dask_tasks
from sweep.running.dask_tasks import Parts, run_on_cluster
from sweep.running.part import Job, Progress, make_part, orbit_lookup
from sweep.store.folder import Folder, files, remove_unfinished
from sweep.store.parts import part_name
from sweep.store.schema import packages
from sweep.store.spec_file import read_spec

try:
    from distributed import Client, LocalCluster, Security, get_worker
    from distributed.core import connect
except ImportError:
    raise SpecError("a cluster needs Dask: pip install distributed") from None

__all__ = ["compute_parts", "connected"]


@contextmanager
def connected(address: str, threads: int | None = None) -> Iterator[Client]:
    """Yield a client of the scheduler at an address; for "", of a cluster on this machine.

    Raises
    ------
    SpecError
        No scheduler answers; or a number of threads is given for workers that have their own.
    """
    with ExitStack() as stack:
        stack.enter_context(_dask_logs_disabled())  # errors are one line
        if not address:
            address = stack.enter_context(_local_cluster(check_threads(threads))).scheduler_address
        elif threads is not None:
            raise SpecError(f"threads = {threads}: the workers at {address} have their own number")
        try:
            asyncio.run(_check_scheduler(address))
            client = Client(address, timeout=dask_tasks.WAIT, set_as_default=False)
        except OSError:
            raise SpecError(
                f"{address}: no scheduler answers there within {dask_tasks.WAIT:.0f} s"
            ) from None
        except (ValueError, TypeError) as error:
            raise SpecError(f"{address}: is no address of a scheduler: {error}") from None
        yield stack.enter_context(client)


@contextmanager
def _dask_logs_disabled() -> Iterator[None]:
    """Disable the loggers of Dask, and none of the caller's own."""
    packages_of_dask = ("asyncio", "distributed", "tornado")
    loggers = [
        logging.getLogger(name)
        for name in sorted(logging.root.manager.loggerDict)
        if name.split(".")[0] in packages_of_dask
    ]
    loggers = [logger for logger in loggers if not logger.disabled]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger in loggers:
            logger.disabled = False


def _local_cluster(workers: int) -> LocalCluster:
    """Start workers on this machine that ignore Ctrl-C, which a terminal sends to them too.

    The signals that a thread blocks are inherited by the threads and processes that it starts.
    Starting Python's resource tracker unblocks them, so it is started before.
    """
    resource_tracker.ensure_running()
    block = getattr(signal, "pthread_sigmask", lambda *_: None)  # none on Windows
    block(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=0,
            dashboard_address="127.0.0.1:0",  # not the default's port, which may be in use
            scheduler_kwargs={"dashboard": False},
            silence_logs=logging.CRITICAL,
        )
    finally:
        block(signal.SIG_UNBLOCK, {signal.SIGINT})


async def _check_scheduler(address: str) -> None:
    """Raise TimeoutError if nothing answers, which Client would wait for without end."""
    security = Security().get_connection_args("client")

    async def identity() -> str:
        comm = await connect(address, timeout=dask_tasks.WAIT, **security)
        try:
            await comm.write({"op": "identity", "reply": True})
            return str((await comm.read())["type"])
        finally:
            comm.abort()

    kind = await asyncio.wait_for(identity(), dask_tasks.WAIT)
    if kind != "Scheduler":
        raise ValueError(f"a {kind} answers there")


def compute_parts(
    client: Client, folder: Folder, grid: Grid, parts: Iterable[int], progress: Progress
) -> set[str]:
    """Compute and write parts on a cluster and return the methods; progress as for `make_part`.

    Raises
    ------
    SpecError
        The workers have other versions than this process, or cannot see or write the folder.
    SweepError
        A part failed again and again, or the scheduler is gone.
    """
    if not isinstance(client, Client) or client.asynchronous:
        raise SpecError(f"client = {client!r}: must be a distributed.Client, and not asynchronous")
    _check_workers(client, grid)
    names, methods = {part: part_name(grid, part) for part in parts}, set[str]()
    work = partial(_compute, _serialized(folder, grid))
    for part, (epochs, methods_of_part) in run_on_cluster(
        client, work, names, lambda part: folder / names[part]
    ):
        progress(len(grid.part(part)), epochs)
        methods |= methods_of_part
    listing = files(folder)
    remove_unfinished(folder, listing)  # of workers that died
    for name in names.values():
        if name not in listing:
            raise SweepError(
                f"{folder / name}: a worker wrote it, but it is not there; the workers and this "
                "process must see the same folder"
            )
    return methods


def _check_workers(client: Client, grid: Grid) -> None:
    """Refuse workers whose versions differ from ours, without running our code on them.

    Each task checks again, for workers that join later.
    """
    version_of = attrgetter("__version__")
    for name, module in _modules(grid).items():
        try:
            versions = client.run(
                version_of, module, on_error="return", callback_timeout=dask_tasks.WAIT
            )
        except OSError:  # a worker hangs, or died just now
            return
        for worker, version in versions.items():
            _check_version(worker, name, version, version_of(module))


def _modules(grid: Grid) -> dict[str, ModuleType]:
    """Return the packages that could change a byte of a part."""
    return {"neuron-sweep": sweep, **{name: import_module(name) for name in packages(grid)}}


def _check_version(worker: str, name: str, theirs: object, ours: str) -> None:
    if theirs != ours:
        has = f"{name} {theirs}" if isinstance(theirs, str) else f"no {name} ({theirs})"
        raise SpecError(f"worker {worker}: has {has}, but the run {ours}; they must be the same")


def _serialized(folder: Folder, grid: Grid) -> bytes:
    """Return versions, spec and folder for the workers; the folder with its absolute path."""
    if folder.secret:
        raise SpecError(
            f"{folder}: the scheduler would see the credentials in this URI; leave them out, and "
            "give them to the workers as their environment or configuration has them"
        )
    if folder.local:
        folder = replace(folder, path=str(Path(folder.path).absolute()))
    versions = {name: module.__version__ for name, module in _modules(grid).items()}
    return pickle.dumps((versions, grid.spec.toml(), pickle.dumps(folder)))


# All below runs on the workers.
_LOCK = Lock()


def _compute(
    serialized: bytes, parts: Parts, pause: float
) -> tuple[float, list[tuple[int, set[str]]]]:
    """Compute and write parts; return the seconds, and each part's neuron-epochs and methods."""
    time.sleep(pause)
    began, worker = time.perf_counter(), get_worker().address
    with _LOCK:
        job = _job(serialized, worker)
    results, stop, epochs = [], np.zeros(1, np.uint8), 0

    def progress(_cells: int, neuron_epochs: int) -> None:
        nonlocal epochs
        epochs += neuron_epochs

    for part in parts:
        epochs = 0
        try:
            methods = make_part(job, part, stop, progress)
        except Exception as error:
            name = job.folder / part_name(job.grid, part)
            message = str(error) if isinstance(error, SweepError) else f"{name}: {error!r}"
            raise SweepError(f"{message} (worker {worker})") from None
        results.append((epochs, methods))
    return time.perf_counter() - began, results


@lru_cache(maxsize=4)
def _job(serialized: bytes, worker: str) -> Job:
    """Return what `_serialized` packed, once versions, spec and folder are those of the run."""
    versions, toml, pickled = pickle.loads(serialized)
    _check_version(worker, "neuron-sweep", sweep.__version__, versions["neuron-sweep"])
    folder = pickle.loads(pickled)
    try:
        there = read_spec(folder)
        spec = Spec.parse(toml, folder, samples=there.task.samples)
    except SpecError as error:
        raise SpecError(f"{error}: so worker {worker} sees it; {_SHARED}") from None
    if differences(spec, there):
        raise SpecError(f"{folder}: worker {worker} sees another sweep there; {_SHARED}")
    grid = Grid(spec)
    for name, module in _modules(grid).items():
        _check_version(worker, name, module.__version__, versions[name])
    if folder.local and not os.access(folder.path, os.W_OK):
        raise SpecError(f"{folder}: cannot be written by worker {worker}; {_SHARED}")
    return Job(folder, grid, orbit_lookup(grid))


_SHARED = "the workers and the run must share one folder, or a bucket"
