"""A sweep on a Dask cluster: its workers compute parts and write them themselves.

A task gets the spec and the numbers of some parts, and returns a few numbers; no table passes
through the scheduler. A part that is computed twice does no harm: it appears whole, with the same
bytes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import signal
import time
from collections.abc import Callable, Iterable, Iterator
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
from sweep.running.part import StaircaseLookup, make_part, staircases
from sweep.store.folder import Folder, files, remove_unfinished
from sweep.store.parts import part_name, read_spec
from sweep.store.schema import packages

try:
    from distributed import Client, LocalCluster, Security, get_worker
    from distributed.core import connect
except ImportError:
    raise SpecError("a cluster needs Dask: pip install 'neuron-sweep[dask]'") from None

__all__ = ["compute_parts", "connected"]


@contextmanager
def connected(address: str, threads: int | None = None) -> Iterator[Client]:
    """Give a client of the scheduler at an address; of a cluster on this machine for "".

    Raises
    ------
    SpecError
        No scheduler answers; or a number of threads is given to a cluster that has its own.
    """
    with ExitStack() as stack:
        stack.enter_context(_quiet())  # of what Dask logs, the user is told in one line
        if not address:
            address = stack.enter_context(_local_cluster(check_threads(threads))).scheduler_address
        elif threads is not None:
            raise SpecError(f"threads = {threads}: the workers at {address} have their own number")
        try:
            asyncio.run(_knock(address))
            client = Client(address, timeout=dask_tasks.WAIT, set_as_default=False)
        except OSError:
            raise SpecError(
                f"{address}: no scheduler answers there within {dask_tasks.WAIT:.0f} s"
            ) from None
        except (ValueError, TypeError) as error:
            raise SpecError(f"{address}: is no address of a scheduler: {error}") from None
        yield stack.enter_context(client)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what Dask logs, and nothing of the caller's own."""
    names = ("asyncio", "distributed", "tornado")
    found = [logging.getLogger(name) for name in sorted(logging.root.manager.loggerDict)]
    ours = [each for each in found if each.name.split(".")[0] in names and not each.disabled]
    for each in ours:
        each.disabled = True
    try:
        yield
    finally:
        for each in ours:
            each.disabled = False


def _local_cluster(workers: int) -> LocalCluster:
    """Start workers on this machine that are deaf to a terminal's Ctrl-C, which reaches them too.

    A thread's blocked signals are inherited by the threads and processes that it starts; but the
    one that starts Python's resource tracker, which the first process brings, unblocks them.
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


async def _knock(address: str) -> None:
    """Raise TimeoutError if nothing answers, which Client would wait for without end."""
    how = Security().get_connection_args("client")

    async def ask() -> str:
        comm = await connect(address, timeout=dask_tasks.WAIT, **how)
        try:
            await comm.write({"op": "identity", "reply": True})
            return str((await comm.read())["type"])
        finally:
            comm.abort()

    who = await asyncio.wait_for(ask(), dask_tasks.WAIT)
    if who != "Scheduler":
        raise ValueError(f"a {who} answers there")


def compute_parts(
    client: Client,
    folder: Folder,
    grid: Grid,
    parts: Iterable[int],
    progress: Callable[[int, int], None],
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
    work = partial(_compute, _order(folder, grid))
    for part, (epochs, method) in run_on_cluster(
        client, work, names, lambda part: folder / names[part]
    ):
        progress(len(grid.part(part)), epochs)
        methods.update(method.split(" and "))
    there = files(folder)
    remove_unfinished(folder, there)  # of workers that died
    for name in names.values():
        if name not in there:
            raise SweepError(
                f"{folder / name}: a worker wrote it, but it is not there; the workers and this "
                "process must see the same folder"
            )
    return methods


def _check_workers(client: Client, grid: Grid) -> None:
    """Refuse workers with other versions than ours, without any need of ours on the workers.

    Tasks look again, for workers that come later.
    """
    ask = attrgetter("__version__")
    for name, module in _modules(grid).items():
        try:
            told = client.run(ask, module, on_error="return", callback_timeout=dask_tasks.WAIT)
        except OSError:  # a worker hangs, or died just now
            return
        for worker, version in told.items():
            _check_version(worker, name, version, ask(module))


def _modules(grid: Grid) -> dict[str, ModuleType]:
    """Return the packages that could change a byte of a part."""
    return {"neuron-sweep": sweep, **{name: import_module(name) for name in packages(grid)}}


def _check_version(worker: str, name: str, there: object, here: str) -> None:
    if there != here:
        has = f"{name} {there}" if isinstance(there, str) else f"no {name} ({there})"
        raise SpecError(f"worker {worker}: has {has}, but the run {here}; they must be the same")


def _order(folder: Folder, grid: Grid) -> bytes:
    """Return what tasks must know; with the folder's whole path, for workers stand elsewhere."""
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


def _compute(order: bytes, parts: Parts, pause: float) -> tuple[float, list[tuple[int, str]]]:
    """Compute and write parts; return the seconds, and each part's neuron-epochs and method."""
    time.sleep(pause)
    began, worker = time.perf_counter(), get_worker().address
    with _LOCK:
        folder, grid, stairs = _ordered(order, worker)
    found, stop, epochs = [], np.zeros(1, np.uint8), 0

    def count(_cells: int, more: int) -> None:
        nonlocal epochs
        epochs += more

    for part in parts:
        epochs = 0
        try:
            method = make_part(folder, grid, part, stairs, stop, count)
        except Exception as error:
            name = folder / part_name(grid, part)
            told = str(error) if isinstance(error, SweepError) else f"{name}: {error!r}"
            raise SweepError(f"{told} (worker {worker})") from None
        found.append((epochs, method))
    return time.perf_counter() - began, found


@lru_cache(maxsize=4)
def _ordered(order: bytes, worker: str) -> tuple[Folder, Grid, StaircaseLookup]:
    """Return what a worker needs for each task of a sweep, its staircases among it."""
    versions, toml, pickled = pickle.loads(order)
    _check_version(worker, "neuron-sweep", sweep.__version__, versions["neuron-sweep"])
    folder, spec = pickle.loads(pickled), Spec.parse(toml, "the run's spec")
    grid = Grid(spec)
    for name, module in _modules(grid).items():
        _check_version(worker, name, module.__version__, versions[name])
    try:
        same = not differences(spec, read_spec(folder))
    except SpecError as error:
        raise SpecError(f"{error}: so worker {worker} sees it; {_SHARED}") from None
    if not same:
        raise SpecError(f"{folder}: worker {worker} sees another sweep there; {_SHARED}")
    if folder.local and not os.access(folder.path, os.W_OK):
        raise SpecError(f"{folder}: cannot be written by worker {worker}; {_SHARED}")
    return folder, grid, staircases(grid)


_SHARED = "the workers and the run must share one folder, or a bucket"
