"""One block of neurons on one thread: from their starts (w, b) to what became of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.kernels.columns import FIRST_EPOCHS
from sweep.kernels.descent import LaneState, compile_training, empty_lanes
from sweep.kernels.following import follower, never_rises_up_to
from sweep.kernels.passes import (
    Results,
    Scales,
    compile_mark,
    compile_prepare,
    empty_block,
    empty_queue,
)
from sweep.kernels.results import FollowResult, TrainResult, empty_results
from sweep.neuron.optimizers import GD
from sweep.neuron.problem import MAX_EPOCHS, Problem

__all__ = ["FEW_NEURONS", "trainer"]

# What keeps one sample's z, in octaves, within the range of a power of 2. A step goes towards the
# target, which lies below the middle, and is at most 2 rates: none goes above 2 rates that did not
# start there. Once rate·2^z is below 1, an epoch adds at most the rate to 2^−z, so that 2³¹ epochs
# lead to −38 at the lowest, or to where the last long step led. tanh takes the power of 2z.
NEAR = {"float64": (500.0, 100.0), "float32": (60.0, 10.0)}

# So many neurons are few: they are in lanes of some registers, and the slowest take longest.
FEW_NEURONS = 32

# Sums of products up to this are finite in float32 too.
SURELY_FINITE = 1e30


def _largest_sum(mean: float, n: int, dtype: np.dtype[Any]) -> Any:
    """Return the largest float whose n-th part is at most mean: the bound for Σ|a − y|."""
    number = dtype.type
    total = number(mean) * number(n)
    while total / number(n) > mean:
        total = np.nextafter(total, number(-np.inf))
    while np.nextafter(total, number(np.inf)) / number(n) <= mean:
        total = np.nextafter(total, number(np.inf))
    return total


def _oriented(problem: Problem) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return signs (n,) of z and targets (n,) so that no target that is mirrored remains."""
    act, y, mirrored = problem.act, problem.y, problem.mirrored
    return np.where(mirrored, -1.0, 1.0), np.where(mirrored, act.low + act.high - y, y)


Floats = NDArray[np.float64]
Train = Callable[[TrainResult, Floats, Floats, Floats, NDArray[np.uint8]], int]


def trainer(problem: Problem, dtype: str, given: str = "float64", *, few: bool = False) -> Train:
    """Return a function that trains blocks of neurons of one problem, each on its thread.

    It takes (out, w, b, learning_rate, stop), writes the results into `out` and returns the
    lane-epochs walked, those of lanes without work too. For `few` neurons of two parameters and
    several samples, trained by gradient descent, there is a faster one.

    out : TrainResult
        Of N neurons, `w` of shape (N, d), or empty w and b; views into larger arrays will do.
    w, b : (N, d) and (N,) arrays
        Of the dtype `given`, C-ordered.
    learning_rate : (N,) or (1,) array
    stop : (1,) uint8 array
        The work is abandoned soon after it becomes 1.
    """
    n, optimizer = len(problem.x), problem.optimizer
    linear = optimizer.update.linear
    one_sample = n == 1 and linear
    sign, y = _oriented(problem)
    exp2_scale = problem.act.exp2_scale
    if one_sample:
        features = np.ones((1, 1))
        step = (float((problem.x**2).sum()) + 1.0) * exp2_scale
    else:
        features = np.hstack([problem.x, np.ones((n, 1))]) * sign[:, None] * exp2_scale
        step = 1.0 / (n * exp2_scale) if linear else 1.0
    constants = np.array([*optimizer.constants, 1.0 / (n * exp2_scale)])
    number = np.dtype(dtype)
    features, y = features.astype(number), y.astype(number)
    p, by_gradient = features.shape[1], problem.rule == "gradient"
    if by_gradient:
        # Of one sample the criterion is |δ|, of many the gradient times n, of scaled features.
        size = 1 / max(abs(problem.x).max(), 1.0) if one_sample else n * exp2_scale
        limit = number.type(min(problem.tolerance * size, SURELY_FINITE))
    else:
        # No error is larger than the range; float32 has no number for some tolerances that are.
        tolerance = min(problem.tolerance, 2.0 * (problem.act.high - problem.act.low))
        limit = _largest_sum(tolerance, n, number)
    span = problem.act.high - problem.act.low
    largest_feature_sum = abs(features).max() * p

    scales = Scales(
        x=problem.x[0].copy() if one_sample else np.empty(0),
        z=float(sign[0] * exp2_scale),
        rate=step,
        back=float(sign[0]) if one_sample else step,
    )
    prepare, idle = compile_prepare(dtype, given, one_sample), list[LaneState]()
    proven_near = problem.declared and optimizer == GD
    near_z, near_rate = NEAR[dtype] if proven_near else (-1.0, -1.0)
    kept = optimizer.update.kept
    follow = follower(problem, features, sign, limit)
    proven = never_rises_up_to(problem) if problem.follow else 0.0

    def train(
        out: TrainResult, w: Floats, b: Floats, learning_rate: Floats, stop: NDArray[np.uint8]
    ) -> int:
        block = empty_block(
            len(b), features, y, problem.constants, constants, out.epochs, by_gradient
        )
        start = block, w, b, learning_rate, scales
        results = Results(out.initial_error, out.status, out.final_error, out.w, out.b)
        # Of one rate no maximum: a call of NumPy takes 1 µs.
        highest = learning_rate[0] if len(learning_rate) == 1 else learning_rate.max()
        farthest, fastest = prepare(*start), highest * step
        results.status.fill(0)
        first = min(FIRST_EPOCHS, problem.max_epochs)
        if not farthest * largest_feature_sum <= SURELY_FINITE:
            farthest, first = compile_mark(dtype)(block, results.status), 0
        of_two = "pair" if n == 1 else "few" if few else "two"
        near = farthest <= near_z and fastest <= near_rate
        kind = ("near" if near else "one") if one_sample else of_two if p == 2 else "many"
        train = compile_training(
            problem.cost, problem.activation, kind, dtype, problem.rule, given, optimizer.name
        )
        lanes, queue = idle.pop() if idle else empty_lanes(p, dtype, kept), empty_queue(len(b))
        widest = number.type(farthest if one_sample else n * span)
        walked = train(
            *start, results, lanes, queue, limit, widest, problem.max_epochs, first, stop
        )
        if isinstance(out, FollowResult):
            follow(out, block, kind, stop)
            out.first_rise.fill(0)
            if highest > proven:
                # Trained anew, up to the first rise; by the gradient, for all epochs.
                train = compile_training(
                    problem.cost, problem.activation, kind, dtype, "rise", given
                )
                block.total.fill(0)
                again = empty_results(len(b), 0, dtype, weights=False)
                again.status[:] = out.status
                block = block._replace(epochs=again.epochs, criterion=block.error)
                results = Results(*(getattr(again, name) for name in Results._fields))
                met = number.type(-1) if by_gradient else limit
                longest = min(int(out.epochs.max(initial=0)) + 1, MAX_EPOCHS)
                start = block, w, b, learning_rate, scales
                walked += train(*start, results, lanes, queue, met, widest, longest, 0, stop)
                rose = (again.epochs < 0) & (-again.epochs <= out.epochs)
                out.first_rise[rose] = -again.epochs[rose]
        idle.append(lanes)
        return walked

    return train
