"""Looks for starts where `orbit` and `train` disagree: random settings, starts near the steps."""

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
from sweep.neuron.problem import Problem, make_problem

__all__ = ["Differences", "compare", "differences", "hunt", "random_settings", "random_starts"]

Floats = NDArray[np.float64]


class Differences(NamedTuple):
    """How many of the cells differ between the two methods, and the largest relative deviations."""

    cells: int = 0
    epochs_differ: int = 0
    status_differ: int = 0
    error_apart: float = 0.0
    weights_apart: float = 0.0

    def merge(self, other: Differences) -> Differences:
        """Add the counts, take the larger deviations."""
        return Differences(
            cells=self.cells + other.cells,
            epochs_differ=self.epochs_differ + other.epochs_differ,
            status_differ=self.status_differ + other.status_differ,
            error_apart=max(self.error_apart, other.error_apart),
            weights_apart=max(self.weights_apart, other.weights_apart),
        )


def random_settings(rng: np.random.Generator, updates: float) -> dict[str, Any] | None:
    """Return random arguments of `train`, or None if the orbit is not proven for them.

    `updates` is the largest `max_epochs`.
    """
    cost = str(rng.choice(list(COSTS)))
    activation = str(rng.choice(list(COSTS[cost].pairs)))
    act = ACTIVATIONS[activation]
    inputs = int(rng.choice([1, 1, 1, 2, 5]))
    x = rng.normal(0, 1.5, (1, inputs))
    share = float(rng.choice([0.0, 1.0, rng.uniform(), rng.uniform(0, 0.02)]))
    kwargs: dict[str, Any] = {
        "cost": cost,
        "activation": activation,
        "x": x,
        "y": act.low + share * (act.high - act.low),
        "tolerance": float(10 ** rng.uniform(-6, np.log10(0.4))),
        "max_epochs": int(10 ** rng.uniform(0, np.log10(updates))),
        # spans κ = η(|x|² + 1) from slow steps to those where z − κδ(z) is no longer increasing
        "learning_rate": float(10 ** rng.uniform(-4, 1.3)),
    }
    return None if obstacle(_problem(kwargs), kwargs["learning_rate"], "float64") else kwargs


def _problem(kwargs: dict[str, Any]) -> Problem:
    return make_problem(**{k: v for k, v in kwargs.items() if k != "learning_rate"})


def random_starts(rng: np.random.Generator, kwargs: dict[str, Any], count: int) -> Floats:
    """Return z₀ of starts: 1/2 within 8 · 10⁷ ulps of a step, 1/8 uniform in ±50, 3/8 normal."""
    problem, rate = _problem(kwargs), kwargs["learning_rate"]
    limit = problem.max_epochs + 100  # some steps beyond max_epochs too
    near = np.concatenate(
        [*(side * steps(problem, rate, side, limit, 50.0) for side in (1.0, -1.0)), [0.0]]
    )
    if problem.mirrors(float(problem.y[0])):
        near = -near
    near = rng.choice(near, count // 2)
    ulps = rng.integers(-8, 9, len(near)) * np.spacing(near)
    near = near + ulps * 10.0 ** rng.integers(0, 8, len(near))
    wide = rng.uniform(-50, 50, count // 8)
    normal = rng.normal(0, 4, count - len(near) - len(wide))
    return np.concatenate([near, wide, normal])


def compare(kwargs: dict[str, Any], z: Floats, rng: np.random.Generator) -> Differences:
    """Train starts z₀ with random w by both methods, and count where they differ."""
    x = kwargs["x"]
    w = rng.normal(0, 1, (len(z), x.shape[1]))
    w[: len(z) // 2] = 0.0  # half of them have z₀ = b, exact to the last bit
    b = z - w @ x[0]
    trained, orbit = (train(w, b, **kwargs, method=m) for m in ("train", "orbit"))
    kappa = step_size(_problem(kwargs), kwargs["learning_rate"])
    return differences(trained, orbit, max(1.0, kappa))


def differences(trained: TrainResult, looked_up: TrainResult, unit: float) -> Differences:
    """Compare the results of the two methods; deviations of w and b are in this unit."""
    return Differences(
        cells=len(trained),
        epochs_differ=int((trained.epochs != looked_up.epochs).sum()),
        status_differ=int((trained.status != looked_up.status).sum()),
        error_apart=_apart(trained.final_error, looked_up.final_error),
        weights_apart=_weights_apart(trained, looked_up) / unit,
    )


def _apart(a: Floats, b: Floats) -> float:
    # Relative above 1e-4, absolute below: training rounds the sum T in every epoch, and its own
    # small errors are accurate to no better than 1e-13.
    return float((abs(a - b) / (abs(a) + 1e-4)).max(initial=0.0))


def _weights_apart(a: TrainResult, b: TrainResult) -> float:
    size = 1.0 + abs(a.b) + abs(a.w).max(axis=1)
    return float((abs(a.b - b.b) / size).max(initial=0.0))


def hunt(cells: int, settings: int, seed: int = 0, *, samples: bool = False) -> Differences:
    """Compare the two methods on `cells` starts, spread over `settings` random settings.

    samples : bool
        Whether the settings have many samples of one input, and not one sample.
    """
    from sweep.bench.studies.hunt_samples import compare_samples, random_samples

    rng = np.random.default_rng(seed)
    total, compared, began = Differences(), 0, time.perf_counter()
    while compared < settings:
        if samples:
            kwargs, box = random_samples(rng, 3e3)
            found = compare_samples(kwargs, box, cells // settings, rng)
        else:
            one = random_settings(rng, 3e3)
            kwargs = one or {}
            found = compare(one, random_starts(rng, one, cells // settings), rng) if one else None
        if found is None:
            continue
        compared += 1
        total = total.merge(found)
        if found.epochs_differ or found.status_differ or found.error_apart > 1e-9:
            print(f"{found}\n  {kwargs}")
        if compared % max(1, settings // 10) == 0:
            print(f"{compared} settings, {time.perf_counter() - began:.0f} s: {total}", flush=True)
    return total


def main() -> int:
    """Run the comparison from the command line; exit code 1 if epochs or status differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", action="store_true", help="of many samples, not of one")
    parser.add_argument("--cells", type=float, default=1e8, help="default: 1e8")
    parser.add_argument("--settings", type=int, default=1000, help="default: 1000")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    total = hunt(int(args.cells), args.settings, args.seed, samples=args.samples)
    return 1 if total.epochs_differ or total.status_differ else 0


if __name__ == "__main__":
    raise SystemExit(main())
