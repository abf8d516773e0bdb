"""Tasks on a Dask cluster, some parts each: submitted as others end, resubmitted when lost.

However many parts there are, only as many tasks are submitted as keep the workers busy. A part may
be computed twice (a worker taken for dead was only slow): work must be idempotent.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias

import numpy as np
from tqdm import tqdm

from sweep.errors import SpecError, SweepError

try:
    from distributed import Client, Future, KilledWorker
except ImportError:
    raise SpecError("a cluster needs Dask: pip install distributed") from None

__all__ = ["WAIT", "Parts", "Work", "run_on_cluster"]

# Seconds within which a scheduler answers, and workers hand over a task's few numbers.
WAIT = 10.0

# Seconds within which some task ends. If none does, all that are submitted are submitted once more,
# and the next wait is twice as long. What hangs may be a worker's process, which Dask notices after
# five minutes, or only a thread of it in a file system, which Dask does not notice.
PATIENCE = 300.0

# Seconds that a failed task waits, on a worker, before each further try. Then the run fails.
PAUSES = (1.0, 5.0, 20.0)

# Seconds that a task should take, and the most parts that it may have: with more, the change from
# cheap to expensive parts would make tasks of minutes.
TASK_SECONDS, MAX_PARTS = 2.0, 16

# Tasks submitted for each of the workers' threads: one is computed, one waits.
TASKS_PER_THREAD = 2

Parts: TypeAlias = tuple[int, ...]
Work: TypeAlias = Callable[[Parts, float], tuple[float, list[Any]]]


def run_on_cluster(
    client: Client, work: Work, parts: Iterable[int], name: Callable[[int], str]
) -> Iterator[tuple[int, Any]]:
    """Have workers compute parts, and yield each part with its result as tasks end.

    Parameters
    ----------
    client : distributed.Client
    work : callable
        Called on a worker with some parts and the seconds to wait before; returns the seconds that
        it took and a result for each part.
    parts : iterable of int
    name : callable
        Gives the name of a part, for messages.

    Raises
    ------
    SpecError
        Work raised it.
    SweepError
        A part failed again and again, or the scheduler is gone.
    """
    left, failures, size, tasks = deque(parts), Counter[Parts](), 1, _Tasks(client, work)
    try:
        while left or tasks.submitted:
            threads = max(tasks.threads(), 1)
            while left and len(tasks.submitted) < TASKS_PER_THREAD * threads:
                # smaller ones towards the end, so that all workers end together
                count = max(1, size // 4, min(size, len(left) // (8 * threads)))
                tasks.submit(tuple(left.popleft() for _ in range(min(count, len(left)))))
            ended = tasks.ended()
            for group, (seconds, results) in tasks.results(ended).items():
                tasks.release(group)
                size = max(1, min(MAX_PARTS, int(TASK_SECONDS * len(group) / seconds)))
                yield from zip(group, results, strict=True)
            for group in ended.keys() & tasks.submitted.keys():
                error = ended[group].exception() if ended[group].status == "error" else None
                tasks.release(group)
                if error is None:  # its result was lost with its worker
                    tasks.submit(group)
                elif isinstance(error, KilledWorker) and len(group) > 1:  # by which of its parts?
                    for part in group:
                        tasks.submit((part,))
                else:
                    _raise_if_final(error, name(group[0]), failures[group])
                    tasks.submit(group, PAUSES[failures[group]])
                    failures[group] += 1
    finally:
        for group in list(tasks.submitted):
            tasks.release(group)


class _Tasks:
    """The tasks on a cluster: a future for each time that a group of parts was submitted."""

    def __init__(self, client: Client, work: Work):
        self.client, self.work = client, work
        self.address: str = client.scheduler.address
        self.submitted: dict[Parts, list[Future]] = {}
        self.done = SimpleQueue[tuple[Parts, Future]]()
        self.last_event, self.patience = time.monotonic(), PATIENCE
        self.last_count, self.counted_at, self.warned = 0, -np.inf, False

    def submit(self, parts: Parts, pause: float = 0.0) -> None:
        futures = self.submitted.setdefault(parts, [])
        priority = -len(futures)  # repeated tasks come after all others
        future = self.client.submit(self.work, parts, pause, pure=False, priority=priority)
        future.add_done_callback(lambda future: self.done.put((parts, future)))
        futures.append(future)

    def release(self, parts: Parts) -> None:
        for future in self.submitted.pop(parts):
            future.release()

    def threads(self) -> int:
        """Return how many threads the workers have, counted at most a second ago."""
        now, before = time.monotonic(), self.last_count
        if now < self.counted_at + 1.0:
            return before
        self.counted_at = now
        try:
            self.last_count = sum(self.client.nthreads(callback_timeout=PATIENCE).values())
        except TimeoutError:
            raise SweepError(f"{self.address}: the scheduler is silent; {_RESUME}") from None
        except OSError:  # the connection is cut, as `ended` will find
            return before
        if (self.last_count == 0) != (before == 0):
            self.last_event = now
        if not self.last_count and not self.warned and now > self.last_event + WAIT:
            self.warned = True
            if sys.stderr is not None:
                tqdm.write(f"sweep: {self.address}: has no workers; waiting for some", sys.stderr)
        return self.last_count

    def ended(self) -> dict[Parts, Future]:
        """Wait for at most a second and return the tasks that ended.

        Tasks that hang, or were cancelled with a cut connection, are resubmitted.
        """
        ended = {}
        with suppress(Empty):
            parts, future = self.done.get(timeout=1.0)
            while True:
                if future in self.submitted.get(parts, ()):
                    ended[parts] = future
                parts, future = self.done.get_nowait()
        if any(future.cancelled() for future in ended.values()):
            self._resubmit_when_reconnected()
            return {}
        now = time.monotonic()
        if ended:
            self.last_event = now
        elif self.last_count and now > self.last_event + self.patience:
            self.last_event, self.patience = now, 2 * self.patience
            for parts in self.submitted:
                self.submit(parts)
        return ended

    def _resubmit_when_reconnected(self) -> None:
        """Resubmit all tasks, which Dask cancels when the connection is cut, over a new one."""
        while self.client.status == "connecting":
            time.sleep(0.05)
        if self.client.status != "running":
            raise SweepError(f"{self.address}: the scheduler is gone; {_RESUME}")
        for parts in list(self.submitted):
            self.release(parts)
            self.submit(parts)

    def results(self, ended: dict[Parts, Future]) -> dict[Parts, Any]:
        """Return what tasks returned, less those that failed or whose worker is gone since."""
        finished = {parts: future for parts, future in ended.items() if future.status == "finished"}

        async def gather() -> dict[Parts, Any]:
            try:
                return dict(await self.client.gather(finished, errors="skip", asynchronous=True))
            except asyncio.CancelledError:  # by Dask, whose sync then ends in an UnboundLocalError
                return {}

        try:
            results = self.client.sync(gather, callback_timeout=WAIT) if finished else {}
        except OSError:
            return {}
        return {parts: result for parts, result in results.items() if result is not None}


_RESUME = "finished parts are kept, and the same command resumes the run"


def _raise_if_final(error: BaseException, name: str, failures: int) -> None:
    """Raise a task's error, in one line, unless the task is to be tried once more."""
    if isinstance(error, SpecError):
        raise SpecError(str(error)) from None
    if isinstance(error, KilledWorker):
        raise SweepError(
            f"{name}: {error.allowed_failures + 1} workers died while they computed it, the last "
            f"at {error.last_worker.address}; is their memory too small?"
        ) from None
    if failures == len(PAUSES):
        text = str(error) if isinstance(error, SweepError) else f"{name}: {error!r}"
        raise SweepError(f"{text}; tried {failures + 1} times") from None
