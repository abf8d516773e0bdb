"""Many samples looked up against the same neurons trained: tables, starts and all."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.kernels.orbit import plane
from sweep.kernels.training import train

__all__ = ["lookup_ratios", "overlapping"]

# Samples, cost and tolerance. Those of two classes overlap, so that no error is as small as one may
# wish: the tolerances are met by all starts.
WORKLOADS = (
    (16, "cross_entropy", 0.15),
    (16, "quadratic", 0.15),
    (569, "cross_entropy", 0.2),
    (569, "quadratic", 0.2),
)


def overlapping(n: int) -> dict[str, NDArray[np.float64]]:
    """Return n samples of one input, x and y, of two classes that overlap."""
    x = np.random.default_rng(0).normal(size=n)
    above = x + 0.3 * np.random.default_rng(1).normal(size=n) > 0.2
    return {"x": x, "y": above.astype(np.float64)}


def lookup_ratios(threads: int, rounds: int, *, full: bool) -> list[dict[str, Any]]:
    """Time `method="orbit"` against "train" in turns; epochs must be equal in each cell.

    From 1024 × 1024 starts in the full benchmark; else only the first of the workloads, from
    256 × 256. A round trains once and looks up three times, tables and all: the first time after a
    training of half a minute takes up to 0.15 s longer than the others.

    Returns
    -------
    list of dicts
        workload; ratio, the time of training over that of looking up, the median; least and
        largest.
    """
    axis = np.linspace(-5.0, 5.0, 1024 if full else 256)
    w, b = (values.ravel() for values in np.meshgrid(axis, axis, indexing="ij"))
    found = []
    for n, cost, tolerance in WORKLOADS if full else WORKLOADS[:1]:
        kwargs: dict[str, Any] = {
            **overlapping(n), "cost": cost, "tolerance": tolerance, "learning_rate": 0.15,
            "max_epochs": 100_000, "threads": threads,
        }  # fmt: skip
        some = slice(None, None, 1 if n < 100 else 16)  # of many samples, a part is trained
        train(w[:999], b[:999], method="train", **kwargs)
        train(w, b, method="orbit", **kwargs)  # few starts do not compile all that is needed
        ratios: list[float] = []
        for _ in range(rounds):
            began = time.perf_counter()
            trained = train(w[some], b[some], method="train", **kwargs)
            training = (time.perf_counter() - began) * len(w) / len(trained.epochs)
            for _ in range(3):
                plane.forget()
                began = time.perf_counter()
                looked_up = train(w, b, method="orbit", **kwargs)
                ratios.append(training / (time.perf_counter() - began))
                if (trained.epochs != looked_up.epochs[some]).any():
                    raise AssertionError(f"{n} × 1 {cost}: the epochs that were looked up differ")
        epochs = float(looked_up.epochs.mean())
        name = f"{n} × 1 {cost}, {len(w):,} starts of {epochs:,.0f} epochs"
        found.append({"workload": name, "ratio": median(ratios)})
        found[-1] |= {"least": min(ratios), "largest": max(ratios)}
    return found
