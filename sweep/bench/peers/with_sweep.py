"""`sweep.train` on a workload."""

from __future__ import annotations

from typing import Any

from sweep.bench.workloads import PeerResult, Trainer, Workload
from sweep.kernels.training import train

__all__ = ["missing", "trainer"]


def missing() -> str | None:
    """Return how to install it, None if it is installed."""
    return None


def trainer(work: Workload, threads: int, method: str = "train") -> Trainer:
    """Return a function that trains the neurons of a workload."""

    def run(w: Any, b: Any) -> PeerResult:
        result = train(
            w, b, learning_rate=work.learning_rate, cost=work.cost, x=work.x, y=work.y,
            tolerance=work.tolerance, max_epochs=work.max_epochs, dtype=work.dtype,
            method=method, threads=threads, optimizer=work.optimizer,
        )  # fmt: skip
        return PeerResult(result.epochs, result.w, result.b)

    return run
