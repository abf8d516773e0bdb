"""Blocks of work on a pool of threads, interruptible from the keyboard."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sweep.errors import SpecError

__all__ = [
    "LARGEST_BLOCK",
    "ORBIT_BLOCK",
    "blocks",
    "check_threads",
    "default_threads",
    "run_blocks",
]

# Neurons in a block. Large: each block costs the interpreter 0.1 ms, and threads wait for one
# another there (65,536 neurons of 20 epochs: 10 ms in blocks of 2048, 4 ms in blocks of 8192).
# Small towards the end, so that threads finish together.
LARGEST_BLOCK, SMALLEST_BLOCK = 32768, 4096

# With the orbit, a block's few undecided neurons are trained together: the more the better.
ORBIT_BLOCK = 262144


def blocks(count: int, threads: int, largest: int) -> Iterator[tuple[int, int]]:
    """Cut `count` neurons into blocks (first, last), smaller and smaller ones."""
    first = 0
    while first < count:
        fair = (count - first) // (4 * threads)
        last = min(first + max(SMALLEST_BLOCK, min(largest, fair)), count)
        yield first, last
        first = last


def default_threads() -> int:
    """Return how many CPUs this process may use: its affinity, cut by the cgroup's quota."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        allowed = math.ceil(int(quota) / int(period))
    except (OSError, ValueError):  # no cgroup v2, or no quota ("max")
        return cpus or 1
    return max(1, min(cpus or 1, allowed))


def check_threads(threads: int | None) -> int:
    """Return the number of threads to use; None means `default_threads()`."""
    if threads is None:
        return default_threads()
    if not isinstance(threads, int) or isinstance(threads, bool) or threads < 1:
        raise SpecError(f"threads = {threads!r}: must be a whole number of at least 1")
    return threads


def run_blocks(
    work: Callable[[int, int, NDArray[np.uint8]], object],
    cuts: Iterable[tuple[int, int]],
    threads: int,
) -> None:
    """Call work(first, last, stop) for each block on a pool of threads.

    Free threads take the next block, so blocks of unequal cost balance themselves. Work must
    return soon after stop[0] becomes 1, which an error in any block or Ctrl-C makes it.
    """
    stop = np.zeros(1, np.uint8)
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(work, first, last, stop) for first, last in cuts]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        finally:
            stop[0] = 1
            pool.shutdown(cancel_futures=True)
