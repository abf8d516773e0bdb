"""NumPy, one sample: blocks that stay in the cache, in place; converged neurons are removed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.bench.workloads import PeerResult, Trainer, Workload

__all__ = ["missing", "trainer"]

BLOCK = 8192
EPOCHS_BETWEEN_COMPACTIONS = 16


def missing() -> str | None:
    """Return how to install it, None if it is installed."""
    return None


def _train(work: Workload, w: NDArray[Any], b: NDArray[Any], epochs: NDArray[Any]) -> None:
    number = b.dtype.type
    x, y = number(work.x[0][0]), number(work.y[0])
    kappa, tolerance = number(work.learning_rate * (work.x[0][0] ** 2 + 1)), number(work.tolerance)
    start = w[:, 0] * x + b
    stop = start.copy()
    z, neuron = start.copy(), np.arange(len(b))
    done = 0
    e_, a_, d_ = np.empty((3, len(b)), number)
    unconverged_, count_ = np.empty(len(b), bool), np.empty(len(b), np.uint8)
    while len(z):
        size, steps = len(z), min(EPOCHS_BETWEEN_COMPACTIONS, work.max_epochs - done)
        e, a, d = e_[:size], a_[:size], d_[:size]
        unconverged, count = unconverged_[:size], count_[:size]
        count[:] = 0
        for _ in range(steps):
            np.negative(z, out=e)
            np.exp(e, out=e)
            np.add(e, 1, out=a)
            np.reciprocal(a, out=a)
            np.subtract(a, y, out=d)
            if work.cost == "quadratic":
                np.multiply(e, a, out=e)
                np.multiply(e, a, out=e)
                np.abs(d, out=a)
                np.multiply(d, e, out=d)
            else:
                np.abs(d, out=a)
            np.greater(a, tolerance, out=unconverged)
            np.multiply(d, kappa, out=d)
            np.multiply(d, unconverged, out=d)
            np.subtract(z, d, out=z)
            np.add(count, unconverged, out=count)
        done += steps
        ended = count < steps
        if done == work.max_epochs:
            ended[:] = True
        if ended.any():
            stop[neuron[ended]] = z[ended]
            epochs[neuron[ended]] = done - steps + count[ended].astype(np.int32)
            z, neuron = z[~ended], neuron[~ended]
    moved = (start - stop) / (x * x + 1)
    w[:, 0] -= moved * x
    b -= moved


def trainer(work: Workload, threads: int) -> Trainer:
    """Return a function that trains the neurons of a workload of one sample."""

    def run(w: Any, b: Any) -> PeerResult:
        # Neurons with similar z end together, so blocks shrink fast at the end; the longest first.
        order = np.argsort(w[:, 0] * -work.x[0][0] - b)
        w, b, epochs = w[order], b[order], np.empty(len(b), np.int32)
        with ThreadPoolExecutor(threads) as pool:
            cuts = [slice(first, first + BLOCK) for first in range(0, len(b), BLOCK)]
            list(pool.map(lambda cut: _train(work, w[cut], b[cut], epochs[cut]), cuts))
        inverse = np.argsort(order)
        return PeerResult(epochs[inverse], w[inverse], b[inverse])

    return run
