"""Work on a Dask cluster: a few parts to a task, given out as others end, and anew when lost.

However many parts there are, only as many tasks are under way as keep the workers busy. A part may
be worked on twice (a worker taken for dead was only slow): work must be such as bears it.
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
    raise SpecError("a cluster needs Dask: pip install 'neuron-sweep[dask]'") from None

__all__ = ["WAIT", "Parts", "Work", "run_on_cluster"]

# Seconds in which a scheduler answers, and in which workers hand over a task's few numbers.
WAIT = 10.0

# Seconds in which some task ends. If none does, all that are under way are given out once more, to
# whoever is free, and it is waited twice as long. What hangs may be a worker's process, which Dask
# notices after five minutes, or only a thread of it in a file system, which Dask does not notice.
PATIENCE = 300.0

# Seconds that a task which failed waits, on a worker, before the next try. Then the run fails.
PAUSES = (1.0, 5.0, 20.0)

# Seconds that a task should take, and how many parts it may have for that: with more, the change
# from cheap to expensive parts would come as tasks of minutes.
TASK, MOST_PARTS = 2.0, 16

# Tasks under way for each of the workers' threads: one is computed, one waits.
AHEAD = 2

Parts: TypeAlias = tuple[int, ...]
Work: TypeAlias = Callable[[Parts, float], tuple[float, list[Any]]]


def run_on_cluster(
    client: Client, work: Work, parts: Iterable[int], name: Callable[[int], str]
) -> Iterator[tuple[int, Any]]:
    """Have workers do their work on parts, and yield each part with what became of it, as they end.

    `work` gets some parts, and the seconds that it is to wait before; it returns the seconds that
    it took, and an answer for each part. `name` is what messages call a part.

    Raises
    ------
    SpecError
        Work raised it.
    SweepError
        A part failed again and again, or the scheduler is gone.
    """
    left, failed, size, tasks = deque(parts), Counter[Parts](), 1, _Tasks(client, work)
    try:
        while left or tasks.under_way:
            threads = max(tasks.threads(), 1)
            while left and len(tasks.under_way) < AHEAD * threads:
                # smaller ones towards the end, so that all workers end together
                count = max(1, size // 4, min(size, len(left) // (8 * threads)))
                tasks.submit(tuple(left.popleft() for _ in range(min(count, len(left)))))
            ended = tasks.ended()
            for group, (seconds, answers) in tasks.answers(ended).items():
                tasks.release(group)
                size = max(1, min(MOST_PARTS, int(TASK * len(group) / seconds)))
                yield from zip(group, answers, strict=True)
            for group in ended.keys() & tasks.under_way.keys():
                error = ended[group].exception() if ended[group].status == "error" else None
                tasks.release(group)
                if error is None:  # what it returned was lost with its worker
                    tasks.submit(group)
                elif isinstance(error, KilledWorker) and len(group) > 1:  # by which of its parts?
                    for part in group:
                        tasks.submit((part,))
                else:
                    _raise_if_hopeless(error, name(group[0]), failed[group])
                    tasks.submit(group, PAUSES[failed[group]])
                    failed[group] += 1
    finally:
        for group in list(tasks.under_way):
            tasks.release(group)


class _Tasks:
    """The tasks under way on a cluster: by their parts, each as often as it was given out."""

    def __init__(self, client: Client, work: Work):
        self.client, self.work = client, work
        self.address: str = client.scheduler.address
        self.under_way: dict[Parts, list[Future]] = {}
        self.over = SimpleQueue[tuple[Parts, Future]]()
        self.last_event, self.patience = time.monotonic(), PATIENCE
        self.known, self.asked, self.told = 0, -np.inf, False

    def submit(self, parts: Parts, pause: float = 0.0) -> None:
        futures = self.under_way.setdefault(parts, [])
        later = -len(futures)  # a second one is for who has nothing else to do
        future = self.client.submit(self.work, parts, pause, pure=False, priority=later)
        future.add_done_callback(lambda future: self.over.put((parts, future)))
        futures.append(future)

    def release(self, parts: Parts) -> None:
        for future in self.under_way.pop(parts):
            future.release()

    def threads(self) -> int:
        """Return how many threads the workers have, as it was a second ago at the most."""
        now, before = time.monotonic(), self.known
        if now < self.asked + 1.0:
            return before
        self.asked = now
        try:
            self.known = sum(self.client.nthreads(callback_timeout=PATIENCE).values())
        except TimeoutError:
            raise SweepError(f"{self.address}: the scheduler is silent; {_RESUME}") from None
        except OSError:  # the connection is cut, as `ended` will find
            return before
        if (self.known == 0) != (before == 0):
            self.last_event = now
        if not self.known and not self.told and now > self.last_event + WAIT:
            self.told = True
            if sys.stderr is not None:
                tqdm.write(f"sweep: {self.address}: has no workers; waiting for some", sys.stderr)
        return self.known

    def ended(self) -> dict[Parts, Future]:
        """Wait for a second at the most and return the tasks that ended.

        Those that hang, or to which the connection was cut, are given out anew.
        """
        found = {}
        with suppress(Empty):
            parts, future = self.over.get(timeout=1.0)
            while True:
                if future in self.under_way.get(parts, ()):
                    found[parts] = future
                parts, future = self.over.get_nowait()
        if any(future.cancelled() for future in found.values()):
            self._reconnected()
            return {}
        now = time.monotonic()
        if found:
            self.last_event = now
        elif self.known and now > self.last_event + self.patience:
            self.last_event, self.patience = now, 2 * self.patience
            for parts in self.under_way:
                self.submit(parts)
        return found

    def _reconnected(self) -> None:
        """Give all out anew once Dask, which cancels them when a connection is cut, has another."""
        while self.client.status == "connecting":
            time.sleep(0.05)
        if self.client.status != "running":
            raise SweepError(f"{self.address}: the scheduler is gone; {_RESUME}")
        for parts in list(self.under_way):
            self.release(parts)
            self.submit(parts)

    def answers(self, ended: dict[Parts, Future]) -> dict[Parts, Any]:
        """Return what tasks returned, less those that failed or whose worker is gone since."""
        good = {parts: future for parts, future in ended.items() if future.status == "finished"}

        async def gather() -> dict[Parts, Any]:
            try:
                return dict(await self.client.gather(good, errors="skip", asynchronous=True))
            except asyncio.CancelledError:  # by Dask, whose sync then ends in an UnboundLocalError
                return {}

        try:
            found = self.client.sync(gather, callback_timeout=WAIT) if good else {}
        except OSError:
            return {}
        return {parts: answer for parts, answer in found.items() if answer is not None}


_RESUME = "what was written stays, and the same command goes on from there"


def _raise_if_hopeless(error: BaseException, name: str, failed: int) -> None:
    """Raise what a task failed with, in one line, if it is not to be tried once more."""
    if isinstance(error, SpecError):
        raise SpecError(str(error)) from None
    if isinstance(error, KilledWorker):
        raise SweepError(
            f"{name}: {error.allowed_failures + 1} workers died while they computed it, the last "
            f"at {error.last_worker.address}; is their memory too small?"
        ) from None
    if failed == len(PAUSES):
        text = str(error) if isinstance(error, SweepError) else f"{name}: {error!r}"
        raise SweepError(f"{text}; tried {failed + 1} times") from None
