"""One block of neurons on one thread: from their starts (w, b) to what became of them."""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba.core import types
from numpy.typing import NDArray

from sweep.kernels.cache import compiled, once
from sweep.kernels.lanes import COLUMNS, kernels
from sweep.neuron.problem import Problem, Status

__all__ = ["STARTS", "Trained", "rows", "train_into", "untrained"]

CONVERGED, MAX_EPOCHS, NON_FINITE = (np.int8(s) for s in Status)

# How compiled code takes w and b: with any strides, and not to be written.
STARTS = [types.Array(types.float64, ndim, "C", readonly=True) for ndim in (2, 1)]

# While the last of a block train, lanes stand empty, so the queue goes by falling distance,
# roughly: those in the same of so many bins as they come. Useful lane-epochs on 65,536 neurons of
# the benchmark's sweep: 91 % in the grid's order, 99 % in this one (float32: 84 % and 99 %).
DISTANCES = 1024


@dataclass(frozen=True)
class Trained:
    """What became of N neurons.

    Attributes
    ----------
    epochs : (N,) int32 array
        Updates applied when the error first was at most the tolerance; max_epochs if it never was.
    status : (N,) int8 array
        A `sweep.Status` each: 0 converged, 1 max_epochs, 2 non_finite.
    initial_error, final_error : (N,) array
        Mean over the samples of |y − a| before the first update and at the stop; NaN where the
        start is not finite.
    w : (N,) or (N, d) array, as the starts
    b : (N,) array
        Weights and bias at the stop.
    """

    epochs: NDArray[np.int32]
    status: NDArray[np.int8]
    initial_error: NDArray[np.float64]
    final_error: NDArray[np.float64]
    w: NDArray[np.float64]
    b: NDArray[np.float64]


def untrained(count: int, inputs: int, dtype: str = "float64", weights: bool = True) -> Trained:
    """Return room for the results of `count` neurons; without weights, w and b are empty."""
    kept = count if weights else 0
    return Trained(
        epochs=np.empty(count, np.int32),
        status=np.empty(count, np.int8),
        initial_error=np.empty(count, dtype),
        final_error=np.empty(count, dtype),
        w=np.empty((kept, inputs), dtype),
        b=np.empty(kept, dtype),
    )


def rows(out: Trained, here: slice) -> Trained:
    """Return the results of some neurons as views."""
    return Trained(**{name: value[here] for name, value in vars(out).items()})


class _Ends(NamedTuple):
    """The compiled functions before and after training, for one dtype."""

    lay_out: Callable[..., None]
    line_up: Callable[..., int]
    settle: Callable[..., None]


@once
def _ends(dtype: str) -> _Ends:
    number = getattr(types, dtype)
    matrix, vector = types.Array(number, 2, "C"), types.Array(number, 1, "C")
    doubles = types.Array(types.float64, 1, "C")
    samples = types.Array(types.float64, 2, "C")
    integer = types.int64 if number.bitwidth == 64 else types.int32
    counts, queue_type = types.Array(integer, 2, "C"), types.Array(types.uint64, 1, "C")
    statuses, epochs_type = types.Array(types.int8, 1, "C"), types.Array(types.int32, 1, "C")
    rates = types.Array(types.float64, 1, "A", readonly=True)

    @compiled(types.void(*STARTS, rates, samples, doubles, matrix, matrix, matrix, statuses))
    def lay_out(w, b, learning_rate, x, sign, features, start, rate, status):
        """Set the start, step and status of each neuron, as the lanes take them."""
        n, d = x.shape
        p, step = len(start), 1.0 / n
        if n == 1:
            step = 0.0
            for j in range(d):
                step += x[0, j] * x[0, j]
            step += 1.0
        for i in range(len(b)):
            if n == 1:
                z = w[i, 0] * x[0, 0]
                for j in range(1, d):
                    z += w[i, j] * x[0, j]
                start[0, i] = sign[0] * (z + b[i])
            else:
                for j in range(d):
                    start[j, i] = w[i, j]
                start[d, i] = b[i]
            rate[0, i] = learning_rate[i] * step
            status[i] = CONVERGED
            for k in range(n):
                z = 0.0
                for j in range(p):
                    z += start[j, i] * features[k, j]
                if not np.isfinite(z):
                    status[i] = NON_FINITE
            if status[i] == NON_FINITE:  # a stand-in, not trained
                for j in range(p):
                    start[j, i] = 0.0

    @compiled(types.int64(statuses, matrix, number, vector, queue_type))
    def line_up(status, error, limit, distance, queue):
        """Set the queue of those to be trained; return how many they are."""
        low, high = np.inf, -np.inf
        for i in range(len(status)):
            if error[0, i] > limit and status[i] == CONVERGED:
                low, high = min(low, distance[i]), max(high, distance[i])
        scale = (DISTANCES - 1) / (high - low) if high > low else 0.0
        after = np.zeros(DISTANCES + 1, np.int64)
        bins = np.empty(len(status), np.int16)
        for i in range(len(status)):
            bins[i] = -1
            if error[0, i] > limit and status[i] == CONVERGED:
                bins[i] = int((high - distance[i]) * scale)
                after[bins[i] + 1] += 1
        for k in range(DISTANCES):
            after[k + 1] += after[k]
        for i in range(len(status)):
            if bins[i] >= 0:
                queue[after[bins[i]]] = i
                after[bins[i]] += 1
        return after[DISTANCES]

    @compiled(
        types.void(
            *(*STARTS, rates, samples, doubles, matrix, matrix, counts, matrix, number),
            *(epochs_type, statuses, vector, matrix, vector),
        )
    )
    def settle(
        w, b, learning_rate, x, sign, rate, total, count, error, limit,
        epochs, status, final_error, final_w, final_b,
    ):  # fmt: skip
        """Write what became of each neuron."""
        n, d = x.shape
        for i in range(len(b)):
            epochs[i] = count[0, i]
            final_error[i] = error[0, i] / n
            if status[i] == NON_FINITE:
                final_error[i] = np.nan
            elif error[0, i] > limit:
                status[i] = MAX_EPOCHS
        for i in range(len(final_b)):
            if n == 1:
                moved = learning_rate[i] * (sign[0] * total[0, i])
                for j in range(d):
                    final_w[i, j] = w[i, j] - moved * x[0, j]
                final_b[i] = b[i] - moved
            else:
                for j in range(d):
                    final_w[i, j] = w[i, j] - rate[0, i] * total[j, i]
                final_b[i] = b[i] - rate[0, i] * total[d, i]

    return _Ends(lay_out, line_up, settle)


def _largest_sum(mean: float, n: int, dtype: np.dtype[Any]) -> Any:
    """Return the largest float whose n-th part is at most mean: the bound for Σ|a − y|."""
    number = dtype.type
    total = number(mean) * number(n)
    while total / number(n) > mean:
        total = np.nextafter(total, number(-np.inf))
    while np.nextafter(total, number(np.inf)) / number(n) <= mean:
        total = np.nextafter(total, number(np.inf))
    return total


def _oriented(ask: Problem) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return signs (n,) of z and targets (n,) so that no target lies in the upper half."""
    act = ask.act
    mirrored = np.array([act.mirrors(y) for y in ask.y])
    return np.where(mirrored, -1.0, 1.0), np.where(mirrored, act.low + act.high - ask.y, ask.y)


def train_into(
    out: Trained,
    w: NDArray[np.float64],
    b: NDArray[np.float64],
    learning_rate: NDArray[np.float64],
    ask: Problem,
    stop: NDArray[np.uint8],
) -> int:
    """Train one block of neurons on this thread and write the results into `out`.

    Parameters
    ----------
    out : Trained
        Of N neurons, `w` of shape (N, d), or empty w and b; views into larger arrays will do.
    w, b, learning_rate : (N, d), (N,) and (N,) arrays
    stop : (1,) uint8 array
        The work is abandoned soon after it becomes 1.

    Returns
    -------
    int
        Lane-epochs walked, those of lanes without work too.
    """
    size, dtype = len(b), out.initial_error.dtype
    n, d = ask.x.shape
    sign, y = _oriented(ask)
    padded = -(-size // COLUMNS) * COLUMNS
    p = 1 if n == 1 else d + 1
    start, total = np.zeros((p, padded), dtype), np.zeros((p, padded), dtype)
    rate, error = np.zeros((1, padded), dtype), np.empty((1, padded), dtype)
    count = np.zeros((1, padded), np.int64 if dtype == np.float64 else np.int32)
    features = np.ones((1, 1), dtype)
    if n > 1:
        features = (np.hstack([ask.x, np.ones((n, 1))]) * sign[:, None]).astype(dtype)
    ends = _ends(str(dtype))
    measure, train = kernels(ask.cost, ask.activation, "one" if n == 1 else "many", str(dtype))
    limit, y = _largest_sum(ask.tolerance, n, dtype), y.astype(dtype)
    ends.lay_out(w, b, learning_rate, ask.x, sign, features, start, rate, out.status)
    measure(start, rate, total, features, y, error)
    np.divide(error[0, :size], n, out=out.initial_error)
    walked = 0
    if ask.max_epochs > 0:
        queue = np.empty(size, np.uint64)
        distance = start[0] if n == 1 else error[0]
        waiting = ends.line_up(out.status, error, limit, distance, queue)
        walked = train(
            *(start, rate, queue[:waiting], total, count),
            *(features, y, limit, ask.max_epochs, stop),
        )
        measure(start, rate, total, features, y, error)
    ends.settle(
        *(w, b, learning_rate, ask.x, sign, rate, total, count, error, limit),
        *(out.epochs, out.status, out.final_error, out.w, out.b),
    )
    out.initial_error[out.status == NON_FINITE] = np.nan
    return walked
