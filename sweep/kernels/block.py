"""One block of neurons on one thread: from their starts (w, b) to what became of them."""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba.core import types
from numba.extending import register_jitable
from numpy.typing import NDArray

from sweep.kernels.cache import compiled, once
from sweep.kernels.lanes import COLUMNS, measure, walk
from sweep.kernels.vectormath import width_of
from sweep.neuron.problem import Problem, Status

__all__ = ["STARTS", "Trained", "rows", "train_into", "trainer", "untrained"]

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
    # Columns in one piece of memory, which the system hands out in a third of the page faults: a
    # million neurons' results for 5 ms of CPU instead of 9.
    kept = count if weights else 0
    room = np.empty(2 * count + (inputs + 1) * kept, dtype)
    initial, final, b, w = np.split(room, np.cumsum([count, count, kept]))
    return Trained(
        epochs=np.empty(count, np.int32),
        status=np.empty(count, np.int8),
        initial_error=initial,
        final_error=final,
        w=w.reshape(kept, inputs),
        b=b,
    )


def rows(out: Trained, here: slice) -> Trained:
    """Return the results of some neurons as views."""
    return Trained(**{name: value[here] for name, value in vars(out).items()})


@register_jitable
def _lay_out(w, b, learning_rate, x, sign, per_z, step, features, start, rate, status):
    """Set the start, rate and status of each neuron, as the lanes take them.

    Returns the largest of each, of one sample and without regard to the sign.
    """
    n, d = x.shape
    p, farthest, fastest = len(start), start.dtype.type(0), start.dtype.type(0)
    for i in range(len(b)):
        status[i] = CONVERGED
        rate[0, i] = learning_rate[i] * step
        fastest = max(fastest, rate[0, i])
        if n == 1:
            z = w[i, 0] * x[0, 0]
            for j in range(1, d):
                z += w[i, j] * x[0, j]
            start[0, i] = (sign * (z + b[i])) * per_z
            if np.isfinite(start[0, i]):
                farthest = max(farthest, abs(start[0, i]))
            else:
                status[i] = NON_FINITE
        else:
            for j in range(d):
                start[j, i] = w[i, j]
            start[d, i] = b[i]
            for k in range(n):
                z = 0.0
                for j in range(p):
                    z += start[j, i] * features[k, j]
                if not np.isfinite(z):
                    status[i] = NON_FINITE
        if status[i] == NON_FINITE:  # a stand-in, not trained
            for j in range(p):
                start[j, i] = 0.0
    return farthest, fastest


@register_jitable
def _line_up(status, error, limit, n, distance, initial_error):
    """Set initial errors; return the numbers of those to be trained, in the order to train."""
    low, high = np.inf, -np.inf
    for i in range(len(status)):
        initial_error[i] = error[0, i] / n
        if status[i] == NON_FINITE:
            initial_error[i] = np.nan
        elif error[0, i] > limit:
            low, high = min(low, distance[i]), max(high, distance[i])
    scale = (DISTANCES - 1) / (high - low) if high > low else 0.0
    after = np.zeros(DISTANCES + 1, np.int64)
    bins = np.empty(len(status), np.int16)
    for i in range(len(status)):
        bins[i] = -1
        if status[i] == CONVERGED and error[0, i] > limit:
            bins[i] = int((high - distance[i]) * scale)
            after[bins[i] + 1] += 1
    for k in range(DISTANCES):
        after[k + 1] += after[k]
    queue = np.empty(after[DISTANCES], np.uint64)
    for i in range(len(status)):
        if bins[i] >= 0:
            queue[after[bins[i]]] = i
            after[bins[i]] += 1
    return queue


@register_jitable
def _settle(
    w, b, learning_rate, x, sign, rate, total, error, limit, status, final_error, final_w, final_b
):
    """Write what became of each neuron."""
    n, d = x.shape
    for i in range(len(b)):
        final_error[i] = error[0, i] / n
        if status[i] == NON_FINITE:
            final_error[i] = np.nan
        elif error[0, i] > limit:
            status[i] = MAX_EPOCHS
    for i in range(len(final_b)):
        if n == 1:
            moved = learning_rate[i] * (sign * total[0, i])
            for j in range(d):
                final_w[i, j] = w[i, j] - moved * x[0, j]
            final_b[i] = b[i] - moved
        else:
            for j in range(d):
                final_w[i, j] = w[i, j] - rate[0, i] * total[j, i]
            final_b[i] = b[i] - rate[0, i] * total[d, i]


# What keeps one sample's z, in octaves, within the range of a power of 2. A step goes towards the
# target, which lies below the middle, and is at most 2 rates: none goes above 2 rates that did not
# start there. Once rate·2^z is below 1, an epoch adds at most the rate to 2^−z, so that 2³¹ epochs
# lead to −38 at the lowest, or to where the last long step led. tanh takes the power of 2z.
NEAR = {"float64": (500.0, 100.0), "float32": (60.0, 10.0)}
TOO_FAR = -1


@once
def _trainer(cost: str, activation: str, kind: str, dtype: str) -> Callable[..., int]:
    """Compile the training of a block, or take it from the disk; `kind` as for `lanes.walk`."""
    pair = f"{cost} {activation}"
    number, double, whole = getattr(types, dtype), types.float64, types.int64
    matrix, vector = types.Array(number, 2, "C"), types.Array(number, 1, "C")
    rates = types.Array(double, 1, "A", readonly=True)
    width = width_of(number)
    most, fastest = NEAR[dtype]

    @compiled(
        whole(
            *(*STARTS, rates, types.Array(double, 2, "C"), double, double, double),
            *(matrix, vector, number, whole, types.Array(types.uint8, 1, "C")),
            *(types.Array(types.int32, 1, "C"), types.Array(types.int8, 1, "C")),
            *(vector, vector, matrix, vector),
        )
    )
    def train(
        w, b, learning_rate, x, sign, per_z, step, features, y, limit, max_epochs, stop,
        epochs, status, initial_error, final_error, final_w, final_b,
    ):  # fmt: skip
        n, padded = len(x), -(-len(b) // COLUMNS) * COLUMNS
        p = features.shape[1]
        start, total = np.empty((p, padded), number), np.zeros((p, padded), number)
        rate, error = np.empty((1, padded), number), np.empty((1, padded), number)
        largest = _lay_out(w, b, learning_rate, x, sign, per_z, step, features, start, rate, status)
        if kind == "near" and not (largest[0] <= most and largest[1] <= fastest):
            return TOO_FAR
        measure(pair, kind, width, start, rate, total, features, y, error)
        queue = _line_up(status, error, limit, n, start[0] if n == 1 else error[0], initial_error)
        epochs[:] = 0
        walked = 0
        if max_epochs > 0:
            walked = walk(
                pair, kind, width, start, rate, queue, total, epochs,
                features, y, limit, max_epochs, stop,
            )  # fmt: skip
            measure(pair, kind, width, start, rate, total, features, y, error)
        _settle(
            w, b, learning_rate, x, sign, rate, total, error, limit,
            status, final_error, final_w, final_b,
        )  # fmt: skip
        return walked

    return train


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


Train = Callable[
    [Trained, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.uint8]], int
]


def trainer(ask: Problem, dtype: str) -> Train:
    """Return a function that trains blocks of neurons of one problem, each on its thread.

    It takes (out, w, b, learning_rate, stop), writes the results into `out` and returns the
    lane-epochs walked, those of lanes without work too.

    out : Trained
        Of N neurons, `w` of shape (N, d), or empty w and b; views into larger arrays will do.
    w, b, learning_rate : (N, d), (N,) and (N,) arrays
    stop : (1,) uint8 array
        The work is abandoned soon after it becomes 1.
    """
    n = len(ask.x)
    sign, y = _oriented(ask)
    if n > 1:
        features = np.hstack([ask.x, np.ones((n, 1))]) * sign[:, None] * ask.act.octaves
        per_z, step = 1.0, 1.0 / (n * ask.act.octaves)
    else:
        features = np.ones((1, 1))
        per_z, step = ask.act.octaves, (float((ask.x**2).sum()) + 1.0) * ask.act.octaves
    number = np.dtype(dtype)
    setting = (
        *(ask.x, float(sign[0]), per_z, step, features.astype(number), y.astype(number)),
        *(_largest_sum(ask.tolerance, n, number), ask.max_epochs),
    )
    kinds = ("many",) if n > 1 else ("near", "one")

    def train(
        out: Trained,
        w: NDArray[np.float64],
        b: NDArray[np.float64],
        learning_rate: NDArray[np.float64],
        stop: NDArray[np.uint8],
    ) -> int:
        results = tuple(vars(out).values())
        walked = TOO_FAR
        for kind in kinds:
            if walked == TOO_FAR:
                compiled_for = _trainer(ask.cost, ask.activation, kind, dtype)
                walked = compiled_for(w, b, learning_rate, *setting, stop, *results)
        return walked

    return train


def train_into(
    out: Trained,
    w: NDArray[np.float64],
    b: NDArray[np.float64],
    learning_rate: NDArray[np.float64],
    ask: Problem,
    stop: NDArray[np.uint8],
) -> int:
    """Train one block, as `trainer` says."""
    return trainer(ask, str(out.initial_error.dtype))(out, w, b, learning_rate, stop)
