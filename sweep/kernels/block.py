"""One block of neurons on one thread: from their starts (w, b) to what became of them."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.kernels.compile import hold_over_forks
from sweep.kernels.descent import COLUMNS, empty_lanes, kernels
from sweep.kernels.results import TrainResult
from sweep.neuron.problem import Problem, Status

__all__ = ["trainer"]

# While the last of a block train, lanes stand empty, so the queue goes by falling distance,
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
    act = problem.act
    mirrored = np.array([act.mirrors(y) for y in problem.y])
    return np.where(mirrored, -1.0, 1.0), np.where(
        mirrored, act.low + act.high - problem.y, problem.y
    )


# One thread at a time is in NumPy: two would wait for one another at each of its calls. A million
# neurons of 20 epochs on two threads: 24 ms, without this 28.
_NUMPY_LOCK = Lock()
hold_over_forks(_NUMPY_LOCK)

Train = Callable[
    [TrainResult, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.uint8]],
    int,
]


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
    one = n == 1
    sign, y = _oriented(problem)
    if one:
        features = np.ones((1, 1))
        step = (float((problem.x**2).sum()) + 1.0) * problem.act.exp2_scale
    else:
        features = np.hstack([problem.x, np.ones((n, 1))]) * sign[:, None] * problem.act.exp2_scale
        step = 1.0 / (n * problem.act.exp2_scale)
    number = np.dtype(dtype)
    features, y = features.astype(number), y.astype(number)
    # No error is larger than the range; float32 has no number for some tolerances that are.
    tolerance = min(problem.tolerance, 2.0 * (problem.act.high - problem.act.low))
    limit, p = _largest_sum(tolerance, n, number), features.shape[1]
    reach = abs(features).max() * p

    @np.errstate(over="ignore", invalid="ignore")
    def train(
        out: TrainResult,
        w: NDArray[np.float64],
        b: NDArray[np.float64],
        learning_rate: NDArray[np.float64],
        stop: NDArray[np.uint8],
    ) -> int:
        with _NUMPY_LOCK:
            size, columns = len(b), -(-len(b) // COLUMNS) * COLUMNS
            start, total = np.zeros((p, columns), number), np.zeros((p, columns), number)
            rate, error = np.zeros((1, columns), number), np.empty((1, columns), number)
            begin, errors = start[:, :size], error[0, :size]
            if one:
                z = _weighted(w.T, problem.x[0], b)
                np.multiply(z, sign[0] * problem.act.exp2_scale, out=begin[0], casting="same_kind")
            else:
                begin[:-1], begin[-1] = w.T, b
            np.multiply(learning_rate, step, out=rate[0, :size], casting="same_kind")
            farthest = max(begin.max(initial=0.0), -begin.min(initial=0.0))
            lost = None if farthest * reach <= SURELY_FINITE else _lost(begin, features)
            if lost is not None:
                begin[:, lost] = 0.0  # a stand-in, not trained
            near = farthest <= NEAR[dtype][0] and rate.max(initial=0.0) <= NEAR[dtype][1]
            kind = ("near" if near else "one") if one else "many"
            measure, walk = kernels(problem.cost, problem.activation, kind, dtype)
            measure(start, rate, total, features, y, error)
            np.divide(errors, n, out=out.initial_error)
            out.epochs.fill(0)
            queue = training_order(errors, limit, begin[0] if one else errors, lost)
        walked = 0
        if problem.max_epochs > 0:
            walked = walk(
                *(empty_lanes(p, dtype), start, rate, queue, total, out.epochs),
                *(features, y, limit, problem.max_epochs, stop),
            )
            measure(start, rate, total, features, y, error)
        with _NUMPY_LOCK:
            np.divide(errors, n, out=out.final_error)
            np.greater(errors, limit, out=out.status.view(np.bool_))  # max_epochs, or converged
            if not np.isfinite(errors.sum()):  # of NaN, `greater` is False too
                nan = np.isnan(errors)
                lost = nan if lost is None else lost | nan
            if lost is not None:
                out.status[lost] = Status.non_finite
                out.initial_error[lost] = out.final_error[lost] = np.nan
            if len(out.b):
                moved = total[:, :size] * learning_rate
                moved *= sign[0] if one else step
                for j in range(d):
                    way = moved[0] * problem.x[0, j] if one else moved[j]
                    np.subtract(w[:, j], way, out=out.w[:, j], casting="same_kind")
                np.subtract(b, moved[-1], out=out.b, casting="same_kind")
        return walked

    return train


def _weighted(parts: NDArray[Any], weights: NDArray[Any], first: Any) -> NDArray[Any]:
    """Return weights·parts + first; summed in the same order on every machine, as BLAS is not."""
    total: NDArray[Any] = parts[0] * weights[0]
    for part, weight in zip(parts[1:], weights[1:], strict=True):
        total += part * weight
    total += first
    return total


def _lost(start: NDArray[Any], features: NDArray[Any]) -> NDArray[np.bool_]:
    """Say whose z is not finite for some sample."""
    lost = np.zeros(start.shape[1], np.bool_)
    for sample in features:
        lost |= ~np.isfinite(_weighted(start, sample, 0.0))
    return lost


def training_order(
    errors: NDArray[Any], limit: Any, distance: NDArray[Any], lost: NDArray[np.bool_] | None
) -> NDArray[np.uint64]:
    """Return the numbers of those to be trained, in the order to train."""
    wrong = errors > limit
    if lost is not None:
        wrong &= ~lost
    waiting = np.flatnonzero(wrong)
    far = distance[waiting]
    high, low = far.max(initial=-np.inf), far.min(initial=np.inf)
    if high > low:
        bins = (high - far) * ((DISTANCES - 1) / (high - low))
        waiting = waiting[np.argsort(bins.astype(np.uint8), kind="stable")]
    return waiting.view(np.uint64)
