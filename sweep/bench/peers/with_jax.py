"""JAX: blocks of neurons in a jitted `while_loop`, several epochs an iteration."""

# jax's types are those of its arrays
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any

import numpy as np

from sweep.bench.workloads import PeerResult, Trainer, Workload

__all__ = ["missing", "trainer"]

BLOCK = 1024
EPOCHS_PER_ITERATION = 8  # with one sample; with many, 1

# From so many inputs on, outputs and gradients of all samples are matrix products (n = 100, d = 10:
# 1.2 times as fast, n = 569, d = 30: 1.8 times); with fewer, samples are scanned (d = 1: 1.3 times
# as fast). Blocks of 256 and 4,096 neurons are no faster.
MATRIX_INPUTS = 8


def missing() -> str | None:
    """Return how to install it, None if it is installed."""
    return None if find_spec("jax") else "not installed: pip install jax"


def _compile_training(work: Workload) -> Callable[..., Any]:
    """Return a function start (p, N) -> (theta (p, N), epochs (N,)), compiled at its first call."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    number = np.dtype(work.dtype)
    one = len(work.y) == 1
    epochs_per_iteration = EPOCHS_PER_ITERATION if one else 1
    x = np.hstack([np.array(work.x), np.ones((len(work.y), 1))]).astype(number)
    y = np.array(work.y, number)
    rate = number.type(work.learning_rate / len(y) * (float(np.square(x[0]).sum()) if one else 1))
    limit = number.type(work.tolerance * len(y))
    counts = jnp.int64 if number.itemsize == 8 else jnp.int32  # as wide as the floats

    def add_sample(sums, sample, theta):
        error, gradient = sums
        x_s, y_s = sample
        e = jnp.exp(-jnp.dot(x_s, theta))
        a = 1 / (1 + e)
        delta = (a - y_s) * e * a * a if work.cost == "quadratic" else a - y_s
        return error + abs(a - y_s), gradient + x_s[:, None] * delta

    def epoch(theta, count):
        sums = jnp.zeros_like(theta[0]), jnp.zeros_like(theta)
        if one:
            sums = add_sample(sums, (np.ones(1, number), y[0]), theta)
        elif x.shape[1] > MATRIX_INPUTS:
            e = jnp.exp(-(jnp.asarray(x) @ theta))
            a = 1 / (1 + e)
            residual = a - y[:, None]
            delta = residual * e * a * a if work.cost == "quadratic" else residual
            sums = abs(residual).sum(axis=0), jnp.asarray(x.T) @ delta
        else:  # 2.3 times as fast as with the samples unrolled
            add = lambda sums, sample: (add_sample(sums, sample, theta), None)  # noqa: E731
            sums, _ = jax.lax.scan(add, sums, (jnp.asarray(x), jnp.asarray(y)))
        unconverged = sums[0] > limit
        return jnp.where(unconverged, theta - rate * sums[1], theta), count + unconverged

    def iteration(state):
        done, theta, count, _ = state
        before = count
        for _ in range(epochs_per_iteration):
            theta, count = epoch(theta, count)
        return done + epochs_per_iteration, theta, count, (count > before).any()

    def unfinished(state):
        done, _, _, working = state
        return working & (done + epochs_per_iteration <= work.max_epochs)

    def train(theta):
        state = (0, theta, jnp.zeros(theta.shape[1], counts), True)
        done, theta, count, _ = jax.lax.while_loop(unfinished, iteration, state)
        stopped = done + epochs_per_iteration <= work.max_epochs
        # the remaining epochs up to max_epochs, one by one
        _, theta, count = jax.lax.while_loop(
            lambda s: s[0] < work.max_epochs,
            lambda s: (s[0] + 1, *epoch(s[1], s[2])),
            (jnp.where(stopped, work.max_epochs, done), theta, count),
        )
        return theta, count

    compiled: Callable[..., Any] = jax.jit(train)
    return compiled


def trainer(work: Workload, threads: int) -> Trainer:
    """Return a function that trains the neurons of a workload."""
    train = _compile_training(work)
    one = len(work.y) == 1

    def run(w: Any, b: Any) -> PeerResult:
        z = w[:, 0] * w.dtype.type(work.x[0][0]) + b
        # Neurons with similar z end together, so no block waits long for a few; the longest first.
        order = np.argsort(-z) if one else np.arange(len(b))
        start = z[None, order] if one else np.vstack([w[order].T, b[order]])
        stop, epochs = np.empty((len(start), len(b)), w.dtype), np.empty(len(b), np.int32)

        def train_block(first: int) -> None:
            block = slice(first, first + BLOCK)
            theta, count = train(start[:, block])
            stop[:, order[block]], epochs[order[block]] = theta, count

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(train_block, range(0, len(b), BLOCK)))
        if not one:
            return PeerResult(epochs, stop[:-1].T, stop[-1])
        moved = (z - stop[0]) / w.dtype.type(work.x[0][0] ** 2 + 1)
        return PeerResult(epochs, w - moved[:, None] * w.dtype.type(work.x[0][0]), b - moved)

    return run
