"""PyTorch: `torch.compile` fuses several epochs into one loop; similar z share a block."""

# torch's compiled functions are untyped
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any

import numpy as np

from sweep.bench.workloads import PeerResult, Trainer, Workload

__all__ = ["missing", "trainer"]

BLOCK = 8192
EPOCHS_PER_CALL = 16


def missing() -> str | None:
    """Return how to install it, None if it is installed."""
    return None if find_spec("torch") else "not installed: pip install torch"


def _compile_training(work: Workload) -> Callable[..., Any]:
    """Compile a function (theta: p of (N,), count (N,), epochs) -> (theta, count) after them."""
    import torch

    one = len(work.y) == 1
    xs = [[1.0]] if one else [[*x, 1.0] for x in work.x]
    square = sum(v * v for v in work.x[0]) + 1.0
    rate = work.learning_rate / len(work.y) * (square if one else 1.0)
    limit = float(np.dtype(work.dtype).type(work.tolerance * len(work.y)))

    def train(theta, count, epochs: int):
        for _ in range(epochs):
            error, gradient = 0.0, [0.0] * len(theta)
            for x, y in zip(xs, work.y, strict=True):
                z = sum(t * v for t, v in zip(theta, x, strict=True))
                e = torch.exp(-z)
                a = 1 / (1 + e)
                delta = (a - y) * e * a * a if work.cost == "quadratic" else a - y
                error = error + (a - y).abs()
                gradient = [g + delta * v for g, v in zip(gradient, x, strict=True)]
            unconverged = error > limit
            theta = [
                torch.where(unconverged, t - rate * g, t)
                for t, g in zip(theta, gradient, strict=True)
            ]
            count = count + unconverged
        return theta, count

    torch.compiler.reset()  # else it gives up: too many versions of one function
    compiled: Callable[..., Any] = torch.compile(train, dynamic=False)
    return compiled


def trainer(work: Workload, threads: int) -> Trainer:
    """Return a function that trains the neurons of a workload."""
    import torch

    train = _compile_training(work)
    one = len(work.y) == 1
    epochs_per_call = EPOCHS_PER_CALL if one else 1

    def run(w: Any, b: Any) -> PeerResult:
        torch.set_num_threads(1)  # threads take blocks; OpenMP's would meet after each call
        z = w[:, 0] * w.dtype.type(work.x[0][0]) + b
        # Neurons with similar z end together, so no block waits long for a few.
        order = np.argsort(-z) if one else np.arange(len(b))
        padded = np.resize(order, -(-len(b) // BLOCK) * BLOCK)  # one size, compiled once
        start = torch.from_numpy(z[None, padded] if one else np.vstack([w[padded].T, b[padded]]))
        stop = torch.empty_like(start)
        epochs = torch.empty(len(padded), dtype=torch.int32)

        def train_block(first: int) -> None:
            block = slice(first, first + BLOCK)
            theta, done = [t[block] for t in start], 0
            count = torch.zeros(BLOCK, dtype=torch.int64 if b.itemsize == 8 else torch.int32)
            while done < work.max_epochs:
                steps = epochs_per_call if done + epochs_per_call <= work.max_epochs else 1
                theta, count = train(theta, count, steps)
                done += steps
                if int(count.max()) < done:
                    break
            stop[:, block], epochs[block] = torch.stack(theta), count

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(train_block, range(0, len(padded), BLOCK)))
        inverse = np.empty(len(b), np.int64)
        inverse[order] = np.arange(len(b))
        theta, counted = stop.numpy()[:, inverse], epochs.numpy()[inverse]
        if not one:
            return PeerResult(counted, theta[:-1].T, theta[-1])
        moved = (z - theta[0]) / w.dtype.type(work.x[0][0] ** 2 + 1)
        return PeerResult(counted, w - moved[:, None] * w.dtype.type(work.x[0][0]), b - moved)

    return run
