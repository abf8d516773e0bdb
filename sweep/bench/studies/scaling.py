"""How a sweep scales on Dask: workers against threads, the cost of a task, very many parts.

The very many parts are for simulated workers, hundreds in one process, whose tasks only sleep.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import dask
import psutil
from distributed import Client, Worker

from sweep.experiment.spec import Spec
from sweep.running import dask_tasks
from sweep.running.cluster import connected
from sweep.running.dask_tasks import Parts, run_on_cluster
from sweep.running.run import run

__all__ = ["efficiency", "many"]

# Parts alike, each of half a second on a core.
PART = 2**16
BOUND = {
    "method": "train",
    "part_rows": PART,
    "axes": {"learning_rate": [0.01], "cost": ["quadratic"]},
    "stop": {"tolerance": 0.1, "max_epochs": 20_000},
}


def efficiency(parts: int, rounds: int) -> Iterator[str]:
    """Time compute-bound parts on 1 and 2 threads and worker processes; the best of some rounds.

    In turns, so that whoever else uses the machine disturbs all alike.
    """
    warm, timed = (
        Spec(**BOUND, start={"random": "normal", "count": count * PART, "scale": 4.0})
        for count in (4, parts)
    )
    with connected("", 1) as one, connected("", 2) as two:
        ways: dict[str, dict[str, Any]] = {
            "1 thread": {"threads": 1},
            "2 threads": {"threads": 2},
            "1 worker": {"client": one},
            "2 workers": {"client": two},
        }
        times: dict[str, list[float]] = {way: [] for way in ways}
        for spec in (warm, *[timed] * rounds):
            for way, how in ways.items():
                with tempfile.TemporaryDirectory() as folder:
                    ran = run(spec, folder, **how)
                times[way].append(ran.seconds)
    best = {way: min(seconds[1:]) for way, seconds in times.items()}
    for way, alone in zip(ways, ("1 thread", "1 thread", "1 worker", "1 worker"), strict=True):
        share = best[alone] / int(way[0]) / best[way]
        rate = ran.neuron_epochs / best[way] / 1e6
        yield (
            f"{way}: {parts} parts in {best[way]:.2f} s, {rate:,.0f} million neuron-epochs a "
            f"second, efficiency {share:.3f}"
        )


def many(parts: int, seconds: float, together: int, workers: int) -> str:
    """Say how simulated workers get through parts that sleep so long, so many at most in a task."""
    before, dask_tasks.MOST_PARTS = dask_tasks.MOST_PARTS, together
    try:
        with _crowd(workers) as (client, processes):
            used = {name: sum(process.cpu_times()[:2]) for name, process in processes.items()}
            most, given, began = 0, 0.0, time.perf_counter()
            for part, share in run_on_cluster(client, partial(_sleep, seconds), range(parts), str):
                given += share
                if part % (parts // 20) == 0:
                    known = client.run_on_scheduler(
                        lambda dask_scheduler: len(dask_scheduler.tasks)
                    )
                    most = max(most, known)
            took = time.perf_counter() - began
            cost = ", ".join(
                f"{name} {(sum(process.cpu_times()[:2]) - used[name]) / given * 1e3:.2f} ms"
                for name, process in processes.items()
            )
            memory = processes["scheduler"].memory_info().rss / 2**20
    finally:
        dask_tasks.MOST_PARTS = before
    return (
        f"{parts:,} parts of {seconds} s on {workers} workers: {took:.1f} s, "
        f"{parts * seconds / workers / took:.2f} of what they could do; {given:,.0f} tasks, "
        f"{given / took:,.0f} a second, {most:,} at once; CPU for a task: {cost}; "
        f"the scheduler has {memory:.0f} MiB"
    )


def _sleep(seconds: float, parts: Parts, _pause: float) -> tuple[float, list[float]]:
    began = time.perf_counter()
    time.sleep(seconds * len(parts))
    return time.perf_counter() - began, [1 / len(parts)] * len(parts)


@contextmanager
def _crowd(workers: int) -> Iterator[tuple[Client, dict[str, psutil.Process]]]:
    """Give a client of a scheduler with simulated workers, and the processes of all three."""
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder) / "scheduler.json"
        place = ["--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(where)]
        code = (
            f"from sweep.bench.studies.scaling import simulate; simulate({workers}, {str(where)!r})"
        )
        both = [
            subprocess.Popen(
                [sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            for arguments in (
                ["-m", "dask", "scheduler", "--no-dashboard", *place],
                ["-c", code],
            )
        ]
        try:
            with Client(scheduler_file=str(where), timeout=60, set_as_default=False) as client:
                client.wait_for_workers(workers, timeout=120)
                pids = {"client": None, "scheduler": both[0].pid, "all workers": both[1].pid}
                yield client, {name: psutil.Process(pid) for name, pid in pids.items()}
        finally:
            for process in both:
                process.kill()
                process.wait()


def simulate(workers: int, scheduler_file: str) -> None:
    """Be so many workers in one process, each with a thread, as long as there is a scheduler."""
    # what each worker does for itself many times a second would be too much for one process
    dask.config.set(
        {
            "distributed.worker.profile.enabled": False,
            "distributed.admin.tick.interval": "10s",
            "distributed.admin.tick.limit": "1h",
            "distributed.admin.system-monitor.interval": "1h",
        }
    )

    async def be(folder: str) -> None:
        crowd = [
            Worker(scheduler_file=scheduler_file, nthreads=1, memory_limit=0, dashboard=False,
                   local_directory=folder)
            for _ in range(workers)
        ]  # fmt: skip
        await asyncio.gather(*crowd)
        await asyncio.gather(*(worker.finished() for worker in crowd))

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(be(folder))


def main() -> None:
    """Print what was measured, line by line."""
    for line in efficiency(16, rounds=5):
        print(line, flush=True)
    for parts, seconds, together, workers in (
        (1_000, 0.0, 1, 1),
        (5_000, 0.05, 1, 256),
        (100_000, 0.05, dask_tasks.MOST_PARTS, 256),
        (10_000, 1.0, 1, 256),
    ):
        print(many(parts, seconds, together, workers), flush=True)
