"""The workloads as data, their starts, and the type of a peer's result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["SHAPES", "PeerResult", "Trainer", "Workload", "starts", "workloads"]


class PeerResult(NamedTuple):
    """N trained neurons: epochs (N,), and the final w (N, d) and b (N,)."""

    epochs: NDArray[Any]
    w: NDArray[Any]
    b: NDArray[Any]


# From the starts (w, b), each (N, d) and (N,), to the neurons trained.
Trainer: TypeAlias = Callable[[NDArray[Any], NDArray[Any]], PeerResult]


@dataclass(frozen=True)
class Workload:
    """One task that all rows are timed on; x (n, d) and y (n,) are tuples.

    Attributes
    ----------
    kind : str
        "raw" (no neuron converges), "sweep" (early exit), "samples" (many samples with labels drawn
        at random, no neuron converges), "optimizer" (as raw, with another than gradient descent).
    side : int
        There are side² neurons.
    """

    kind: str
    cost: str
    dtype: str
    side: int
    max_epochs: int
    tolerance: float
    x: tuple[tuple[float, ...], ...] = ((1.3,),)
    y: tuple[float, ...] = (0.0,)
    learning_rate: float = 0.15
    optimizer: str = "gd"

    @property
    def what(self) -> str:
        """Its kind, or its numbers of samples and inputs, or its optimiser."""
        if self.kind == "optimizer":
            return self.optimizer
        return f"{len(self.y)} × {len(self.x[0])}" if self.kind == "samples" else self.kind

    @property
    def name(self) -> str:
        """The workload's name in tables and JSON."""
        return f"{self.what} {self.cost} {self.dtype}"


# No neuron reaches this tolerance within any workload's epochs.
UNREACHABLE = 1e-12

# With their usual parameters, beside gradient descent.
OPTIMIZERS = ("momentum", "nesterov", "adam")

# Samples × inputs that the goals are set for, and more for a figure of time against either.
SHAPES = ((16, 1), (100, 1), (1000, 1), (100, 10), (569, 30))
FURTHER_SHAPES = ((4, 1), (10_000, 1), (100, 3), (100, 30), (100, 100))

# Operations of all samples, inputs, epochs and neurons of a workload of many samples, in the full
# benchmark: a tenth of a second.
MANY_OPERATIONS = 12e9


def _samples(n: int, d: int, dtype: str, full: bool) -> Workload:
    points, side = np.random.default_rng(n), 64
    amount = MANY_OPERATIONS if full else MANY_OPERATIONS / 4
    return Workload(
        "samples", "cross_entropy", dtype, side,
        max_epochs=max(5, round(amount / (side**2 * n * (17 + 2 * d)))), tolerance=UNREACHABLE,
        x=tuple(map(tuple, points.normal(0.0, 1.0, (n, d)).tolist())),
        y=tuple(points.integers(0, 2, n).astype(float).tolist()),
    )  # fmt: skip


def workloads(full: bool) -> list[Workload]:
    """Return the workloads of the benchmark, float64 first."""
    raw = Workload("raw", "quadratic", "float64", 256, 2000 if full else 1000, UNREACHABLE)
    sweep = Workload("sweep", "quadratic", "float64", 1024 if full else 256, 20_000, 0.1)
    one = [raw, sweep, replace(sweep, cost="cross_entropy")]
    if full:
        one.insert(1, replace(raw, cost="cross_entropy"))
    shapes, further = (SHAPES, FURTHER_SHAPES) if full else (SHAPES[3:4], ())
    optimizers = [replace(raw, kind="optimizer", optimizer=name) for name in OPTIMIZERS]
    return [
        *one,
        *optimizers,
        *(_samples(n, d, "float64", full) for n, d in (*shapes, *further)),
        *(replace(work, dtype="float32") for work in (*one, *optimizers)),
        *(_samples(n, d, "float32", full) for n, d in shapes),
    ]


def starts(work: Workload) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return w (N, d) and b (N,) of a workload's neurons, in its dtype."""
    d = len(work.x[0])
    if d == 1:
        axis = np.linspace(-5.0, 5.0, work.side, dtype=work.dtype)
        w, b = np.meshgrid(axis, axis, indexing="ij")
        return w.reshape(-1, 1).copy(), b.ravel().copy()
    drawn = np.random.default_rng(d).uniform(-5.0, 5.0, (work.side**2, d + 1)).astype(work.dtype)
    return drawn[:, :d].copy(), drawn[:, d].copy()
