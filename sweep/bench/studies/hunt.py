"""The hunt for a start where `orbit` and `train` disagree: random settings, starts at the steps."""

from __future__ import annotations

import argparse
import time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sweep.kernels.orbit.applicability import obstacle
from sweep.kernels.orbit.branch import step_size
from sweep.kernels.orbit.staircase import steps
from sweep.kernels.results import TrainResult
from sweep.kernels.training import train
from sweep.neuron.activations import ACTIVATIONS
from sweep.neuron.costs import COSTS
from sweep.neuron.problem import make_problem

__all__ = ["Found", "compare", "draw", "hunt"]


class Found(NamedTuple):
    """What a comparison of the two methods found."""

    cells: int
    epochs_differ: int
    status_differ: int
    error_apart: float
    weights_apart: float


def draw(rng: np.random.Generator, updates: float) -> dict[str, Any] | None:
    """Return random arguments of `train` for which the orbit is proven; None if it is not.

    `updates` is about how many updates training may take for the lot.
    """
    cost = str(rng.choice(list(COSTS)))
    activation = str(rng.choice(list(COSTS[cost].pairs)))
    act = ACTIVATIONS[activation]
    inputs = int(rng.choice([1, 1, 1, 2, 5]))
    x = rng.normal(0, 1.5, (1, inputs))
    share = float(rng.choice([0.0, 1.0, rng.uniform(), rng.uniform(0, 0.02)]))
    asked: dict[str, Any] = {
        "cost": cost,
        "activation": activation,
        "x": x,
        "y": act.low + share * (act.high - act.low),
        "tolerance": float(10 ** rng.uniform(-6, np.log10(0.4))),
        "max_epochs": int(10 ** rng.uniform(0, np.log10(updates))),
        # the bend of κ = η(|x|² + 1) between slow and folding lies in here
        "learning_rate": float(10 ** rng.uniform(-4, 1.3)),
    }
    problem = make_problem(**{k: v for k, v in asked.items() if k != "learning_rate"})
    return None if obstacle(problem, asked["learning_rate"], "float64") else asked


def starts(rng: np.random.Generator, asked: dict[str, Any], count: int) -> NDArray[np.float64]:
    """Return z₀ of starts: all over, dense where it matters, and within ulps of the steps."""
    problem = make_problem(**{k: v for k, v in asked.items() if k != "learning_rate"})
    rate = asked["learning_rate"]
    counted = problem.max_epochs + 100  # and a few rows of those that max_epochs cuts off
    near = np.concatenate(
        [*(side * steps(problem, rate, side, counted, 50.0) for side in (1.0, -1.0)), [0.0]]
    )
    if problem.act.mirrors(float(problem.y[0])):
        near = -near
    near = rng.choice(near, count // 2)
    ulps = rng.integers(-8, 9, len(near)) * np.spacing(near)
    near = near + ulps * 10.0 ** rng.integers(0, 8, len(near))
    wide = rng.uniform(-50, 50, count // 8)
    usual = rng.normal(0, 4, count - len(near) - len(wide))
    return np.concatenate([near, wide, usual])


def compare(asked: dict[str, Any], z: NDArray[np.float64], rng: np.random.Generator) -> Found:
    """Train starts by both methods and say where they differ."""
    x = asked["x"]
    w = rng.normal(0, 1, (len(z), x.shape[1]))
    w[: len(z) // 2] = 0.0  # there z₀ is b itself, to the last bit
    b = z - w @ x[0]
    walked, told = (train(w, b, **asked, method=m) for m in ("train", "orbit"))
    problem = make_problem(**{k: v for k, v in asked.items() if k != "learning_rate"})
    kappa = step_size(problem, asked["learning_rate"])
    return Found(
        cells=len(z),
        epochs_differ=int((walked.epochs != told.epochs).sum()),
        status_differ=int((walked.status != told.status).sum()),
        error_apart=_apart(walked.final_error, told.final_error),
        weights_apart=_weights_apart(walked, told) / max(1.0, kappa),
    )


def _apart(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    # Relative, but for errors below 1e-4: training itself, which rounds T in every epoch, has
    # them no better than to 1e-13.
    return float((abs(a - b) / (abs(a) + 1e-4)).max(initial=0.0))


def _weights_apart(a: TrainResult, b: TrainResult) -> float:
    size = 1.0 + abs(a.b) + abs(a.w).max(axis=1)
    return float((abs(a.b - b.b) / size).max(initial=0.0))


def hunt(cells: int, settings: int, seed: int = 0) -> Found:
    """Compare the two methods on so many cells in so many random settings."""
    rng = np.random.default_rng(seed)
    total, met, began = Found(0, 0, 0, 0.0, 0.0), 0, time.perf_counter()
    while met < settings:
        asked = draw(rng, 3e3)
        if asked is None:
            continue
        found = compare(asked, starts(rng, asked, cells // settings), rng)
        met += 1
        total = Found(
            *(a + b for a, b in zip(total[:3], found[:3], strict=True)),
            *(max(a, b) for a, b in zip(total[3:], found[3:], strict=True)),
        )
        if found.epochs_differ or found.status_differ or found.error_apart > 1e-9:
            print(f"{found}\n  {asked}")
        if met % max(1, settings // 10) == 0:
            print(f"{met} settings, {time.perf_counter() - began:.0f} s: {total}", flush=True)
    return total


def main() -> int:
    """Run the hunt from the command line; exit code 1 if it finds a difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=float, default=1e8, help="default: 1e8")
    parser.add_argument("--settings", type=int, default=1000, help="default: 1000")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    found = hunt(int(asked.cells), asked.settings, asked.seed)
    return 1 if found.epochs_differ or found.status_differ else 0


if __name__ == "__main__":
    raise SystemExit(main())
