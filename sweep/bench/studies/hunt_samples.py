"""The hunt for many samples: random problems of one input, starts near the steps of epochs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.bench.studies.hunt import Differences, differences
from sweep.kernels.orbit import why_trained
from sweep.kernels.orbit.plane import Plane, build_plane, lookup_plane_into
from sweep.kernels.orbit.plane.falling import largest_curvature
from sweep.kernels.orbit.plane.tables import NOTHING, evaluate_on, find_squares
from sweep.kernels.results import empty_results
from sweep.kernels.training import train
from sweep.neuron.activations import ACTIVATIONS
from sweep.neuron.costs import COSTS
from sweep.neuron.problem import make_problem
from sweep.resources import usable_cpus

__all__ = ["compare_samples", "random_samples", "random_starts"]

Floats = NDArray[np.float64]

# Costs with the activations that have no corner.
SMOOTH = [
    (cost, name) for cost, each in COSTS.items() for name in each.pairs if ACTIVATIONS[name].pole
]

# Where starts near a step lie: so many epochs from it, as powers of ten.
NEAREST, FARTHEST = -15.0, -5.0


def random_samples(rng: np.random.Generator, updates: float) -> tuple[dict[str, Any], Floats]:
    """Return random arguments of `train` for many samples, and a box (2, 2) of starts.

    The rows of the box are the least (w, b) and the greatest; `updates` is the largest max_epochs.
    """
    cost, activation = SMOOTH[rng.integers(len(SMOOTH))]
    act, n = ACTIVATIONS[activation], int(2 ** rng.uniform(1, 6))
    x = rng.normal(rng.choice([0.0, 0.0, 1.0]), 10 ** rng.uniform(-0.5, 0.5), n)
    noise = rng.choice([0.0, 0.3, 1.0]) * x.std() * rng.normal(size=n)
    share = (x + noise > x.mean() + 0.5 * x.std() * rng.normal()) * 1.0
    kind = rng.choice(["hard", "hard", "hard", "smoothed", "soft"])
    share = {"hard": share, "smoothed": 0.1 + 0.8 * share, "soft": rng.uniform(0, 1, n)}[kind]
    kwargs: dict[str, Any] = {
        "cost": cost,
        "activation": activation,
        "x": x,
        "y": act.low + share * (act.high - act.low),
        "tolerance": float(10 ** rng.uniform(-3, np.log10(0.4))) * (act.high - act.low),
        "max_epochs": int(10 ** rng.uniform(0.5, np.log10(updates))),
    }
    fastest = 1.0 / largest_curvature(make_problem(**kwargs))
    kwargs["learning_rate"] = float(10 ** rng.uniform(-3, np.log10(fastest)))
    half = rng.choice([1.0, 3.0, 5.0, 8.0, 20.0]) * np.where(  # some boxes are thin, or a line
        rng.random(2) < 0.15, rng.choice([0.0, 0.01]), 1.0
    )
    box = rng.normal(0.0, 1.0, 2) + half * np.array([[-1.0], [1.0]])
    if rng.random() < 0.7:  # a tolerance that some starts meet
        some = rng.uniform(box[0], box[1], (200, 2)).T
        walked = {**kwargs, "tolerance": 1e-12, "max_epochs": int(10 ** rng.uniform(1, 3.5))}
        errors = train(*some, **walked).final_error
        kwargs["tolerance"] = float(max(np.quantile(errors, rng.uniform(0.1, 0.9)), 1e-3))
    return kwargs, box


def random_starts(rng: np.random.Generator, box: Floats, plane: Plane, count: int) -> Floats:
    """Return starts (2, count) of a box: half of them within 10⁻⁵ to 10⁻¹⁵ epochs of a step."""
    starts: Floats = rng.uniform(box[0], box[1], (count, 2)).T.copy()
    table = plane.known.table
    near = np.arange(count // 2)
    for _ in range(4):  # the secant method in b, to a whole number of epochs
        square = find_squares(table, *starts[:, near])
        near, square = near[square != NOTHING], square[square != NOTHING]
        if not len(near):
            break
        w, b = starts[:, near]
        aside = b + 1e-6 * (box[1, 1] - box[0, 1])
        (time, _), (other, _) = (evaluate_on(table, square, w, at) for at in (b, aside))
        with np.errstate(all="ignore"):
            moved = b + (np.rint(time) - time) * (aside - b) / (other - time)
        good = (moved > box[0, 1]) & (moved < box[1, 1])
        near = near[good]
        starts[1, near] = moved[good]
    slope = 10.0 ** rng.uniform(NEAREST, FARTHEST, len(near)) * rng.choice([-1.0, 1.0], len(near))
    starts[1, near] += slope
    return starts


def compare_samples(
    kwargs: dict[str, Any], box: Floats, count: int, rng: np.random.Generator
) -> Differences | None:
    """Train starts by both methods, and count where they differ; None where they are trained."""
    rate = kwargs["learning_rate"]
    problem = make_problem(**{k: v for k, v in kwargs.items() if k != "learning_rate"})
    if why_trained("orbit", problem, np.array([rate]), count, "float64", *box):
        return None
    stop, threads = np.zeros(1, np.uint8), usable_cpus()
    # There are tables of what max_epochs cuts off only where many starts pay for them.
    many = rng.choice([count, 10**9])
    plane = build_plane(problem, rate, box[0], box[1], many, threads, stop)
    w, b = random_starts(rng, box, plane, count)
    looked_up = empty_results(count, 1)
    lookup_plane_into(looked_up, w[:, None].copy(), b, rate, problem, stop, plane)
    trained = train(w[:, None], b, **kwargs, method="train")
    return differences(trained, looked_up, 1.0)
