"""Plain Numba: a `prange` over neurons, a loop over epochs, the textbook's updates."""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from sweep.bench.workloads import PeerResult, Trainer, Workload

__all__ = ["missing", "trainer"]


@numba.njit(parallel=True)
def _one(w, b, x, y, learning_rate, tolerance, max_epochs, quadratic, epochs):
    for i in numba.prange(len(b)):
        for epoch in range(max_epochs + 1):
            a = 1 / (1 + math.exp(-(w[i] * x + b[i])))
            if abs(a - y) <= tolerance or epoch == max_epochs:
                epochs[i] = epoch
                break
            delta = a - y
            if quadratic:
                delta *= a * (1 - a)
            w[i] -= learning_rate * delta * x
            b[i] -= learning_rate * delta


@numba.njit(parallel=True)
def _many(w, b, x, y, learning_rate, tolerance, max_epochs, quadratic, epochs):
    n, d = x.shape
    for i in numba.prange(len(b)):
        gradient = np.empty(d + 1, w.dtype)
        for epoch in range(max_epochs + 1):
            error = 0 * b[i]
            gradient[:] = 0
            for s in range(n):
                z = b[i]
                for j in range(d):
                    z += w[i, j] * x[s, j]
                a = 1 / (1 + math.exp(-z))
                error += abs(a - y[s])
                delta = a - y[s]
                if quadratic:
                    delta *= a * (1 - a)
                for j in range(d):
                    gradient[j] += delta * x[s, j]
                gradient[d] += delta
            if error <= tolerance * n or epoch == max_epochs:
                epochs[i] = epoch
                break
            for j in range(d):
                w[i, j] -= learning_rate * gradient[j] / n
            b[i] -= learning_rate * gradient[d] / n


def missing() -> str | None:
    """Return how to install it, None if it is installed."""
    return None


def trainer(work: Workload, threads: int) -> Trainer:
    """Return a function that trains the neurons of a workload."""
    number = np.dtype(work.dtype).type
    x, y = np.array(work.x, number), np.array(work.y, number)
    one = len(y) == 1 and x.shape[1] == 1

    def run(w: Any, b: Any) -> PeerResult:
        before = numba.get_num_threads()
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
        w, b, epochs = w.copy(), b.copy(), np.empty(len(b), np.int32)
        train = _one if one else _many
        train(
            w[:, 0] if one else w, b, x[0, 0] if one else x, y[0] if one else y,
            number(work.learning_rate), number(work.tolerance), work.max_epochs,
            work.cost == "quadratic", epochs,
        )  # fmt: skip
        numba.set_num_threads(before)
        return PeerResult(epochs, w, b)

    return run
