"""One block of neurons on one thread: from their starts (w, b) to what became of them."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.kernels.compile import hold_over_forks
from sweep.kernels.descent import PAD_TO, Block, compile_kernels, empty_lanes
from sweep.kernels.results import TrainResult
from sweep.neuron.problem import Problem, Status

__all__ = ["trainer"]

# While the last of a block train, lanes are empty, so the queue goes by falling distance,
# roughly: those in the same of so many bins as they come. Useful lane-epochs on 65,536 neurons of
# the benchmark's sweep: 91 % in the grid's order, 99 % in this one (float32: 84 % and 99 %).
DISTANCES = 256

# What keeps one sample's z, in octaves, within the range of a power of 2. A step goes towards the
# target, which lies below the middle, and is at most 2 rates: none goes above 2 rates that did not
# start there. Once rate·2^z is below 1, an epoch adds at most the rate to 2^−z, so that 2³¹ epochs
# lead to −38 at the lowest, or to where the last long step led. tanh takes the power of 2z.
NEAR = {"float64": (500.0, 100.0), "float32": (60.0, 10.0)}

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
    """Return signs (n,) of z and targets (n,) so that no target lies in the upper half."""
    act, y = problem.act, problem.y
    mirrored = np.array([act.mirrors(target) for target in y])
    return np.where(mirrored, -1.0, 1.0), np.where(mirrored, act.low + act.high - y, y)


# One thread at a time is in NumPy: two would wait for one another at each of its calls. A million
# neurons of 20 epochs on two threads: 24 ms, without this 28.
_NUMPY_LOCK = Lock()
hold_over_forks(_NUMPY_LOCK)

Floats = NDArray[np.float64]
Train = Callable[[TrainResult, Floats, Floats, Floats, NDArray[np.uint8]], int]


def trainer(problem: Problem, dtype: str) -> Train:
    """Return a function that trains blocks of neurons of one problem, each on its thread.

    It takes (out, w, b, learning_rate, stop), writes the results into `out` and returns the
    lane-epochs walked, those of lanes without work too.

    out : TrainResult
        Of N neurons, `w` of shape (N, d), or empty w and b; views into larger arrays will do.
    w, b, learning_rate : (N, d), (N,) and (N,) arrays
    stop : (1,) uint8 array
        The work is abandoned soon after it becomes 1.
    """
    n, d = problem.x.shape
    one_sample = n == 1
    sign, y = _oriented(problem)
    exp2_scale = problem.act.exp2_scale
    if one_sample:
        features = np.ones((1, 1))
        step = (float((problem.x**2).sum()) + 1.0) * exp2_scale
    else:
        features = np.hstack([problem.x, np.ones((n, 1))]) * sign[:, None] * exp2_scale
        step = 1.0 / (n * exp2_scale)
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
    largest_feature_sum = abs(features).max() * p

    @np.errstate(over="ignore", invalid="ignore")
    def train(
        out: TrainResult, w: Floats, b: Floats, learning_rate: Floats, stop: NDArray[np.uint8]
    ) -> int:
        with _NUMPY_LOCK:
            size, columns = len(b), -(-len(b) // PAD_TO) * PAD_TO
            error = np.empty((1, columns), number)
            block = Block(
                start=np.zeros((p, columns), number),
                total=np.zeros((p, columns), number),
                rate=np.zeros((1, columns), number),
                error=error,
                criterion=np.empty((1, columns), number) if by_gradient else error,
                epochs=out.epochs,
                x=features,
                y=y,
            )
            start, errors = block.start[:, :size], error[0, :size]
            criterion = block.criterion[0, :size]
            if one_sample:
                z = _weighted_sum(w.T, problem.x[0], b)
                np.multiply(z, sign[0] * exp2_scale, out=start[0], casting="same_kind")
            else:
                start[:-1], start[-1] = w.T, b
            np.multiply(learning_rate, step, out=block.rate[0, :size], casting="same_kind")
            farthest = max(start.max(initial=0.0), -start.min(initial=0.0))
            surely_finite = farthest * largest_feature_sum <= SURELY_FINITE
            non_finite = None if surely_finite else _non_finite(start, features)
            if non_finite is not None:
                start[:, non_finite] = 0.0  # a placeholder, not trained
            near_z, near_rate = NEAR[dtype]
            near = farthest <= near_z and block.rate.max(initial=0.0) <= near_rate
            kind = ("near" if near else "one") if one_sample else "two" if p == 2 else "many"
            measure, walk = compile_kernels(
                problem.cost, problem.activation, kind, dtype, problem.rule
            )
            lanes = empty_lanes(p, dtype)
            measure(lanes, block)
            np.divide(errors, n, out=out.initial_error)
            out.epochs.fill(0)
            distance = start[0] if one_sample else errors
            queue = training_order(criterion, limit, distance, non_finite)
        walked = 0
        if problem.max_epochs > 0:
            walked = walk(lanes, block, queue, limit, problem.max_epochs, stop)
            measure(lanes, block)
        with _NUMPY_LOCK:
            np.divide(errors, n, out=out.final_error)
            np.greater(criterion, limit, out=out.status.view(np.bool_))  # max_epochs, or converged
            if not np.isfinite(errors.sum()):  # of NaN, `greater` is False too
                nan = np.isnan(errors)
                non_finite = nan if non_finite is None else non_finite | nan
            if non_finite is not None:
                out.status[non_finite] = Status.non_finite
                out.initial_error[non_finite] = out.final_error[non_finite] = np.nan
            if len(out.b):
                moved = block.total[:, :size] * learning_rate
                moved *= sign[0] if one_sample else step
                for j in range(d):
                    change = moved[0] * problem.x[0, j] if one_sample else moved[j]
                    np.subtract(w[:, j], change, out=out.w[:, j], casting="same_kind")
                np.subtract(b, moved[-1], out=out.b, casting="same_kind")
        return walked

    return train


def _weighted_sum(parts: NDArray[Any], weights: NDArray[Any], first: Any) -> NDArray[Any]:
    """Return weights·parts + first; summed in the same order on every machine, as BLAS is not."""
    total: NDArray[Any] = parts[0] * weights[0]
    for part, weight in zip(parts[1:], weights[1:], strict=True):
        total += part * weight
    total += first
    return total


def _non_finite(start: NDArray[Any], features: NDArray[Any]) -> NDArray[np.bool_]:
    """Say whose z is not finite for some sample."""
    non_finite = np.zeros(start.shape[1], np.bool_)
    for sample in features:
        non_finite |= ~np.isfinite(_weighted_sum(start, sample, 0.0))
    return non_finite


def training_order(
    criterion: NDArray[Any],
    limit: Any,
    distance: NDArray[Any],
    non_finite: NDArray[np.bool_] | None,
) -> NDArray[np.uint64]:
    """Return the numbers of those to be trained, in the order to train: the farthest first."""
    unconverged = criterion > limit
    if non_finite is not None:
        unconverged &= ~non_finite
    waiting = np.flatnonzero(unconverged)
    far = distance[waiting]
    high, low = far.max(initial=-np.inf), far.min(initial=np.inf)
    if high > low:
        bins = (high - far) * ((DISTANCES - 1) / (high - low))
        waiting = waiting[np.argsort(bins.astype(np.uint8), kind="stable")]
    return waiting.view(np.uint64)
