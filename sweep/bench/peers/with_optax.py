"""JAX with optax: blocks of neurons in a jitted loop.

No neuron of these workloads converges, so none is tested.
"""

# jax's types are those of its arrays
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any

import numpy as np

from sweep.bench.workloads import PeerResult, Trainer, Workload

__all__ = ["missing", "trainer"]

# Neurons in a block; with 1,024, or four or eight epochs an iteration, it is no faster.
BLOCK = 4096


def missing() -> str | None:
    """Return how to install it, None if it is installed."""
    found = find_spec("jax") and find_spec("optax")
    return None if found else "not installed: pip install jax optax"


def trainer(work: Workload, threads: int) -> Trainer:
    """Return a function that trains the neurons of a workload."""
    import jax
    import jax.numpy as jnp
    import optax

    jax.config.update("jax_enable_x64", True)
    number = np.dtype(work.dtype).type
    x, y, rate = number(work.x[0][0]), number(work.y[0]), work.learning_rate
    if work.optimizer == "adam":
        optimizer = optax.adam(rate)
    else:
        optimizer = optax.sgd(rate, momentum=0.9, nesterov=work.optimizer == "nesterov")

    def epoch(_, state):
        theta, moments = state
        e = jnp.exp(-(theta[0] * x + theta[1]))
        a = 1 / (1 + e)
        residual = a - y
        delta = residual * e * a * a if work.cost == "quadratic" else residual
        steps, moments = optimizer.update((delta * x, delta), moments)
        return optax.apply_updates(theta, steps), moments

    @jax.jit
    def train(w, b):
        theta = w, b
        state = jax.lax.fori_loop(0, work.max_epochs, epoch, (theta, optimizer.init(theta)))
        return state[0]

    def run(w: Any, b: Any) -> PeerResult:
        out = np.empty((2, len(b)), w.dtype)

        def train_block(first: int) -> None:
            block = slice(first, first + BLOCK)
            out[:, block] = train(w[block, 0], b[block])

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(train_block, range(0, len(b), BLOCK)))
        return PeerResult(np.full(len(b), work.max_epochs, np.int32), out[:1].T, out[1])

    return run
