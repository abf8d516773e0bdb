"""How a sweep scales on Dask: workers against threads, the cost of a task, very many parts.

Very many parts are measured with hundreds of simulated workers in one process, whose tasks sleep.
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

__all__ = ["parallel_efficiency", "time_sleeping_parts"]

# Parts of equal work, half a second each on a core.
PART_ROWS = 2**16
COMPUTE_BOUND: dict[str, Any] = {
    "method": "train",
    "part_rows": PART_ROWS,
    "axes": {"learning_rate": [0.01], "cost": ["quadratic"]},
    "stop": {"tolerance": 0.1, "max_epochs": 20_000},
}


def parallel_efficiency(parts: int, rounds: int) -> Iterator[str]:
    """Time compute-bound parts on 1 and 2 threads and worker processes; the best of some rounds.

    The rounds are interleaved, so that other users of the machine disturb all alike.
    """
    warm, timed = (
        Spec(**COMPUTE_BOUND, start={"random": "normal", "count": count * PART_ROWS, "scale": 4.0})
        for count in (4, parts)
    )
    with connected("", 1) as one, connected("", 2) as two:
        setups: dict[str, dict[str, Any]] = {
            "1 thread": {"threads": 1},
            "2 threads": {"threads": 2},
            "1 worker": {"client": one},
            "2 workers": {"client": two},
        }
        times: dict[str, list[float]] = {setup: [] for setup in setups}
        for spec in (warm, *[timed] * rounds):
            for setup, kwargs in setups.items():
                with tempfile.TemporaryDirectory() as folder:
                    result = run(spec, folder, **kwargs)
                times[setup].append(result.seconds)
    best = {setup: min(seconds[1:]) for setup, seconds in times.items()}
    for setup, single in zip(setups, ("1 thread", "1 thread", "1 worker", "1 worker"), strict=True):
        share = best[single] / int(setup[0]) / best[setup]
        rate = result.neuron_epochs / best[setup] / 1e6
        yield (
            f"{setup}: {parts} parts in {best[setup]:.2f} s, {rate:,.0f} million neuron-epochs a "
            f"second, efficiency {share:.3f}"
        )


def time_sleeping_parts(parts: int, seconds: float, parts_per_task: int, workers: int) -> str:
    """Time parts that only sleep, `parts_per_task` at most to a task, on simulated workers."""
    before, dask_tasks.MAX_PARTS = dask_tasks.MAX_PARTS, parts_per_task
    try:
        with _simulated_cluster(workers) as (client, processes):
            cpu_before = {name: sum(process.cpu_times()[:2]) for name, process in processes.items()}
            most_known, tasks, began = 0, 0.0, time.perf_counter()
            for part, share in run_on_cluster(client, partial(_sleep, seconds), range(parts), str):
                tasks += share
                if part % (parts // 20) == 0:
                    known = client.run_on_scheduler(
                        lambda dask_scheduler: len(dask_scheduler.tasks)
                    )
                    most_known = max(most_known, known)
            took = time.perf_counter() - began
            cost = ", ".join(
                f"{name} {(sum(process.cpu_times()[:2]) - cpu_before[name]) / tasks * 1e3:.2f} ms"
                for name, process in processes.items()
            )
            memory = processes["scheduler"].memory_info().rss / 2**20
    finally:
        dask_tasks.MAX_PARTS = before
    return (
        f"{parts:,} parts of {seconds} s on {workers} workers: {took:.1f} s, "
        f"{parts * seconds / workers / took:.2f} of the time busy; {tasks:,.0f} tasks, "
        f"{tasks / took:,.0f} a second, {most_known:,} at once; CPU for a task: {cost}; "
        f"the scheduler has {memory:.0f} MiB"
    )


def _sleep(seconds: float, parts: Parts, _pause: float) -> tuple[float, list[float]]:
    began = time.perf_counter()
    time.sleep(seconds * len(parts))
    return time.perf_counter() - began, [1 / len(parts)] * len(parts)


@contextmanager
def _simulated_cluster(workers: int) -> Iterator[tuple[Client, dict[str, psutil.Process]]]:
    """Yield a client of a scheduler with simulated workers, and the processes of all three."""
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "scheduler.json")
        options = ["--host", "127.0.0.1", "--port", "0", "--scheduler-file", file]
        code = f"from sweep.bench.studies.scaling import simulate; simulate({workers}, {file!r})"
        scheduler, simulation = (
            subprocess.Popen(
                [sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            for arguments in (["-m", "dask", "scheduler", "--no-dashboard", *options], ["-c", code])
        )
        try:
            with Client(scheduler_file=file, timeout=60, set_as_default=False) as client:
                client.wait_for_workers(workers, timeout=120)
                pids = {"client": None, "scheduler": scheduler.pid, "all workers": simulation.pid}
                yield client, {name: psutil.Process(pid) for name, pid in pids.items()}
        finally:
            for process in (scheduler, simulation):
                process.kill()
                process.wait()


def simulate(workers: int, scheduler_file: str) -> None:
    """Run simulated workers of one thread each in this process, until the scheduler ends."""
    # Each worker's own periodic tasks, many times a second, would be too much for one process.
    dask.config.set(
        {
            "distributed.worker.profile.enabled": False,
            "distributed.admin.tick.interval": "10s",
            "distributed.admin.tick.limit": "1h",
            "distributed.admin.system-monitor.interval": "1h",
        }
    )

    async def serve(folder: str) -> None:
        simulated = [
            Worker(scheduler_file=scheduler_file, nthreads=1, memory_limit=0, dashboard=False,
                   local_directory=folder)
            for _ in range(workers)
        ]  # fmt: skip
        await asyncio.gather(*simulated)
        await asyncio.gather(*(worker.finished() for worker in simulated))

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(serve(folder))


def main() -> None:
    """Print what was measured, line by line."""
    for line in parallel_efficiency(16, rounds=5):
        print(line, flush=True)
    for parts, seconds, parts_per_task, workers in (
        (1_000, 0.0, 1, 1),
        (5_000, 0.05, 1, 256),
        (100_000, 0.05, dask_tasks.MAX_PARTS, 256),
        (10_000, 1.0, 1, 256),
    ):
        print(time_sleeping_parts(parts, seconds, parts_per_task, workers), flush=True)
