"""The workloads as data, their starts, and the type of a peer's result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["PeerResult", "Trainer", "Workload", "starts", "workloads"]


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
        "raw" (no neuron converges), "sweep" (early exit) or "samples" (many samples, no neuron
        converges).
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

    @property
    def name(self) -> str:
        """The workload's name in tables and JSON."""
        return f"{self.kind} {self.cost} {self.dtype}"


# No neuron reaches this tolerance within any workload's epochs.
UNREACHABLE = 1e-12

# 16 points and labels that no line separates, so that no neuron stops learning.
_points = np.random.default_rng(16)
_X = tuple(map(tuple, _points.normal(0.0, 1.0, (16, 2)).round(3).tolist()))
_Y = tuple(_points.integers(0, 2, 16).astype(float).tolist())


def workloads(full: bool) -> list[Workload]:
    """Return the workloads of the benchmark, float64 first."""
    raw = Workload("raw", "quadratic", "float64", 256, 2000 if full else 1000, UNREACHABLE)
    sweep = Workload("sweep", "quadratic", "float64", 1024 if full else 256, 20_000, 0.1)
    samples = replace(raw, kind="samples", x=_X, y=_Y, max_epochs=200 if full else 60)
    float64 = [raw, sweep, replace(sweep, cost="cross_entropy"), samples]
    if full:
        float64.insert(1, replace(raw, cost="cross_entropy"))
    return float64 + [replace(work, dtype="float32") for work in float64]


def starts(work: Workload) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return w (N, d) and b (N,) of a workload's neurons, in its dtype."""
    d = len(work.x[0])
    if d == 1:
        axis = np.linspace(-5.0, 5.0, work.side, dtype=work.dtype)
        w, b = np.meshgrid(axis, axis, indexing="ij")
        return w.reshape(-1, 1).copy(), b.ravel().copy()
    drawn = np.random.default_rng(d).uniform(-5.0, 5.0, (work.side**2, d + 1)).astype(work.dtype)
    return drawn[:, :d].copy(), drawn[:, d].copy()
