"""NumPy, many samples: matrix products by BLAS, in blocks of neurons, in-place operations."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.bench.workloads import PeerResult, Trainer, Workload

__all__ = ["block_size", "missing", "trainer"]


def missing() -> str | None:
    """Return how to install it, None if it is installed."""
    return None if find_spec("threadpoolctl") else "not installed: pip install threadpoolctl"


def block_size(n: int) -> int:
    """Return how many neurons are trained at a time: of 64 to 4,096 among the fastest for each n.

    Fewer cost more for the calls; with more, a million outputs leave the second cache.
    """
    return int(np.clip(2**17 // n, 256, 2048))


def _train(work: Workload, w: NDArray[Any], b: NDArray[Any], epochs: NDArray[Any]) -> None:
    number = b.dtype.type
    x = np.hstack([np.array(work.x, number), np.ones((len(work.x), 1), number)])
    y, x_transposed = np.array(work.y, number)[:, None], np.ascontiguousarray(x.T)
    step, limit = number(work.learning_rate / len(y)), number(work.tolerance * len(y))
    theta = np.vstack([w.T, b])
    stop, neuron, done = theta.copy(), np.arange(len(b)), 0
    z, e, a = np.empty((3, len(y), len(b)), number)
    while theta.size:
        if z.shape[1] != theta.shape[1]:
            z, e, a = np.empty((3, len(y), theta.shape[1]), number)
        np.matmul(x, theta, out=z)
        np.negative(z, out=e)
        np.exp(e, out=e)
        np.add(e, 1, out=a)
        np.reciprocal(a, out=a)
        if work.cost == "quadratic":
            np.multiply(e, a, out=e)
            np.multiply(e, a, out=e)
        np.subtract(a, y, out=a)
        unconverged = np.abs(a, out=z).sum(axis=0) > limit
        if work.cost == "quadratic":
            np.multiply(a, e, out=a)
        if done == work.max_epochs:
            unconverged[:] = False
        if not unconverged.all():
            ended = neuron[~unconverged]
            stop[:, ended], epochs[ended] = theta[:, ~unconverged], done
            theta, neuron, a = theta[:, unconverged], neuron[unconverged], a[:, unconverged]
        theta -= step * (x_transposed @ a)
        done += 1
    w[:], b[:] = stop[:-1].T, stop[-1]


def trainer(work: Workload, threads: int) -> Trainer:
    """Return a function that trains the neurons of a workload of many samples."""
    from threadpoolctl import threadpool_limits

    block = block_size(len(work.y))

    def run(w: Any, b: Any) -> PeerResult:
        w, b, epochs = w.copy(), b.copy(), np.empty(len(b), np.int32)
        cuts = [slice(first, first + block) for first in range(0, len(b), block)]
        # Threads take blocks, and BLAS starts none of its own: up to 2.1 times as fast.
        with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda cut: _train(work, w[cut], b[cut], epochs[cut]), cuts))
        return PeerResult(epochs, w, b)

    return run
