"""PyTorch: `torch.compile` fuses several epochs; matrix products where there are many samples."""

# torch's compiled functions are untyped
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any

import numpy as np

from sweep.bench.peers.with_blas import block_size
from sweep.bench.workloads import PeerResult, Trainer, Workload

__all__ = ["missing", "trainer"]

BLOCK = 8192  # with one sample; with many, as many as NumPy
EPOCHS_PER_CALL, EPOCHS_PER_CALL_OF_MANY = 16, 4


def missing() -> str | None:
    """Return how to install it, None if it is installed."""
    return None if find_spec("torch") else "not installed: pip install torch"


def _compile_training(work: Workload) -> Callable[..., Any]:
    """Compile a function (theta (p, N), count (N,), epochs) -> (theta, count) after them."""
    import torch

    number, one = np.dtype(work.dtype), len(work.y) == 1
    x = np.array([[1.0]]) if one else np.hstack([np.array(work.x), np.ones((len(work.x), 1))])
    x, y = (torch.from_numpy(values.astype(number)) for values in (x, np.array([work.y]).T))
    x_transposed = x.T.contiguous()
    square = sum(v * v for v in work.x[0]) + 1.0
    rate = work.learning_rate / len(work.y) * (square if one else 1.0)
    limit = float(number.type(work.tolerance * len(work.y)))

    def train(theta, count, epochs: int):
        for _ in range(epochs):
            e = torch.exp(-theta if one else -(x @ theta))
            a = 1 / (1 + e)
            residual = a - y
            delta = residual * e * a * a if work.cost == "quadratic" else residual
            unconverged = residual.abs().sum(0) > limit
            gradient = delta if one else x_transposed @ delta
            theta = torch.where(unconverged, theta - rate * gradient, theta)
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
    size = BLOCK if one else block_size(len(work.y))
    epochs_per_call = EPOCHS_PER_CALL if one else EPOCHS_PER_CALL_OF_MANY

    def run(w: Any, b: Any) -> PeerResult:
        torch.set_num_threads(1)  # threads take blocks; OpenMP's would meet after each call
        z = w[:, 0] * w.dtype.type(work.x[0][0]) + b
        # Neurons with similar z end together, so no block waits long for a few.
        order = np.argsort(-z) if one else np.arange(len(b))
        padded = np.resize(order, -(-len(b) // size) * size)  # one size, compiled once
        start = torch.from_numpy(z[None, padded] if one else np.vstack([w[padded].T, b[padded]]))
        stop = torch.empty_like(start)
        epochs = torch.empty(len(padded), dtype=torch.int32)

        def train_block(first: int) -> None:
            block = slice(first, first + size)
            theta, done = start[:, block].contiguous(), 0
            count = torch.zeros(size, dtype=torch.int64 if b.itemsize == 8 else torch.int32)
            while done < work.max_epochs:
                steps = epochs_per_call if done + epochs_per_call <= work.max_epochs else 1
                theta, count = train(theta, count, steps)
                done += steps
                if int(count.max()) < done:
                    break
            stop[:, block], epochs[block] = theta, count

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(train_block, range(0, len(padded), size)))
        inverse = np.empty(len(b), np.int64)
        inverse[order] = np.arange(len(b))
        theta, counted = stop.numpy()[:, inverse], epochs.numpy()[inverse]
        if not one:
            return PeerResult(counted, theta[:-1].T, theta[-1])
        moved = (z - theta[0]) / w.dtype.type(work.x[0][0] ** 2 + 1)
        return PeerResult(counted, w - moved[:, None] * w.dtype.type(work.x[0][0]), b - moved)

    return run
