"""Blocks of work on a pool of threads, interruptible from the keyboard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from sweep.errors import SweepError
from sweep.neuron.problem import whole_number
from sweep.resources import usable_cpus

__all__ = [
    "LARGEST_BLOCK",
    "ORBIT_BLOCK",
    "PART_BLOCK",
    "block_sizes",
    "blocks",
    "check_threads",
    "run_blocks",
    "run_strided",
]

# Neurons in a block. Large: each block costs 12 µs under the interpreter's lock, where threads wait
# for one another; 32,768 neurons of 21 epochs take 500. Small towards the end, so that threads
# finish together.
LARGEST_BLOCK, SMALLEST_BLOCK = 32768, 4096

# With the orbit a neuron takes nanoseconds, so blocks are large, and all the same (a million
# neurons, two threads: 8.0 ms in blocks of 32,768, 7.5 ms in these).
ORBIT_BLOCK = 131072

# In a part they are larger: starts that many samples leave uncertain are walked together (10⁸
# starts of 16 samples, from start to Parquet: 0.95 of the time).
PART_BLOCK = 4 * ORBIT_BLOCK

# Of many samples an epoch takes long enough for small blocks, as for few neurons on many threads.
# Of many inputs a block is large, and of many samples it takes long: progress would be seen after
# minutes (569 samples and 10,000 epochs: 7,371 neurons in 20 s, 32,768 in 90, as fast to 1 %).
FEWEST, MOST_NUMBERS = 512, 2**22

MAX_THREADS = 1024


def block_sizes(samples: int, parameters: int) -> tuple[int, int]:
    """Return the neurons in the largest and the smallest block that is trained."""
    largest = max(min(LARGEST_BLOCK, MOST_NUMBERS // max(parameters, samples)), FEWEST)
    return largest, min(max(min(SMALLEST_BLOCK, 8 * SMALLEST_BLOCK // samples), FEWEST), largest)


def blocks(
    count: int, threads: int, largest: int, smallest: int = SMALLEST_BLOCK
) -> Iterator[tuple[int, int]]:
    """Cut `count` neurons into blocks (first, last), smaller and smaller ones."""
    first, smallest = 0, min(smallest, max(-(-count // threads), FEWEST))
    while first < count:
        fair = (count - first) // (4 * threads)
        last = min(first + max(smallest, min(largest, fair)), count)
        yield first, last
        first = last


def check_threads(threads: int | None) -> int:
    """Return the number of threads to use; None means all usable CPUs."""
    if threads is None:
        return usable_cpus()
    return whole_number("threads", threads, 1, MAX_THREADS)


@contextmanager
def _enough_threads(threads: int) -> Iterator[None]:
    """Raise SweepError where the system starts no more threads."""
    try:
        yield
    except RuntimeError as error:
        if "start new thread" not in str(error):
            raise
        raise SweepError(f"threads = {threads}: the system starts no more of them") from None


def run_blocks(
    work: Callable[[int, int, NDArray[np.uint8]], object],
    cuts: Iterable[tuple[int, int]],
    threads: int,
) -> None:
    """Call work(first, last, stop) for each block on a pool of threads.

    Free threads take the next block, so blocks of unequal cost balance themselves. Work must
    return soon after stop[0] becomes 1, which an error in any block or Ctrl-C makes it.
    """
    stop, lock, cuts = np.zeros(1, np.uint8), Lock(), list(cuts)
    left = iter(cuts)

    def work_on() -> None:
        while stop[0] == 0:
            with lock:
                cut = next(left, None)
            if cut is None:
                return
            work(*cut, stop)

    with ThreadPoolExecutor(threads) as pool, _enough_threads(threads):
        try:
            # One task a thread, for a task costs 20 µs under the interpreter's lock.
            futures = [pool.submit(work_on) for _ in range(min(threads, len(cuts)))]
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        finally:
            stop[0] = 1
            pool.shutdown(cancel_futures=True)


def run_strided(
    work: Callable[[slice], object], count: int, threads: int, least: int = FEWEST
) -> None:
    """Call work(here) for equal parts of `count` items, each thread's spread over all of them.

    Fewer items than `least` are left to this thread: starting others takes 100 µs. This
    thread takes a part in any case: two that start at once may share a CPU for some 2 ms.
    """
    parts = max(min(threads, count // least), 1)
    if parts == 1:
        work(slice(None))
        return
    with ThreadPoolExecutor(parts - 1) as pool, _enough_threads(threads):
        others = [pool.submit(work, slice(part, None, parts)) for part in range(1, parts)]
        work(slice(0, None, parts))
        for other in others:
            other.result()
