"""The orbit: one sample's starts answered from their staircase, where that is proven."""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba.core import types
from numba.extending import overload, register_jitable
from numpy.typing import NDArray

from sweep.errors import SpecError
from sweep.kernels.abel import ORDERS
from sweep.kernels.block import Trained, train_into, untrained
from sweep.kernels.cache import compiled, once
from sweep.kernels.conditions import lower_target, obstacle
from sweep.kernels.staircase import HEAD, Staircase, bins_per, staircase
from sweep.kernels.vectormath import load, select, store, width_of
from sweep.neuron.activations import ACTIVATIONS
from sweep.neuron.arithmetic import fma
from sweep.neuron.problem import Problem, Status

__all__ = ["answer_into", "both_sides", "choose_orbit"]

WIDTH = width_of(types.float64)

CONVERGED, MAX_EPOCHS = np.int8(Status.converged), np.int8(Status.max_epochs)

ONE = np.uint64(1)  # signed indices are tested for being negative: 1.3× the time

# Cells that go through all stages together, within the first cache.
CHUNK = 256

# The share of an epoch of those that are not to be told from it.
MET, CUT, UNSURE = -1.0, -2.0, -3.0

# Starts beyond are trained: δ there is below what exp can say.
HIGHEST = 1000.0

# Coefficients that are unrolled (1.6× the speed of a loop).
UNROLLED = ORDERS

# An orbit takes 3 to 30 ms to build. Time of training over that of the orbit, the median of six
# learning rates and costs: 0.39 with 1,000 neurons (0.09 to 0.65), 0.77 with 32,000 (0.35 to 4.3),
# 0.99 with 64,000 (0.44 to 6.6).
FEWEST_STARTS = 32_768


@register_jitable
def _polynomial(table, row, begin, t):
    """Return the polynomial with the coefficients table[row, begin:], highest first."""
    value, last = table[row, begin], np.uint64(table.shape[1])
    m = begin + ONE
    while m <= last - np.uint64(UNROLLED):
        value = fma(value, t, table[row, m])
        m += ONE
    for _ in range(UNROLLED - 1):
        value = fma(value, t, table[row, m])
        m += ONE
    return value


@register_jitable
def _find(side, stairs, z, residual, size, limit, max_epochs, share, count, end):
    """Set share, count and end of those on one side of the target.

    The share is θ of those that converge, and CUT or UNSURE of the others.
    """
    edges, pieces, bins, start, counts, inverses, still = stairs
    if len(edges) == 0:
        return
    lowest, highest = edges[0], edges[len(edges) - 1]
    per = bins_per(edges, len(bins) - 2)
    for i in range(np.uint64(size)):
        if not side * residual[0, i] > limit:
            continue
        share[0, i] = UNSURE
        here = side * z[0, i]
        if lowest < here <= highest:
            inside = np.uint64((here - lowest) * per)
            low, k = np.uint64(bins[inside]), np.uint64(bins[inside + ONE])
            while low < k:
                middle = (low + k) >> ONE
                if edges[middle] < here:
                    low = middle + ONE
                else:
                    k = middle
            p = k - ONE
            t = (here - pieces[p, 0]) * pieces[p, 1] - 1.0
            passed = _polynomial(pieces, p, np.uint64(HEAD), t)
            band = pieces[p, 3]
            over = (pieces[p, 2] - max_epochs) + passed
            if over <= 0.0:
                whole = np.ceil(passed)
                theta = passed - (whole - 1.0)
                if theta > band and 1.0 - theta > band:
                    share[0, i] = theta
                    count[0, i] = pieces[p, 2] + whole
            elif over > band:
                q = max(np.uint64(np.searchsorted(counts, over)), ONE) - ONE
                # Whole epochs first: A itself may have more digits than a float64.
                over = (passed - max_epochs) + (pieces[p, 2] - pieces[q, 2])
                t = (over - inverses[q, 0]) * inverses[q, 1] - 1.0
                value = edges[q] + (_polynomial(inverses, q, np.uint64(2), t) + 1.0) / pieces[q, 1]
                if value == value:
                    end[0, i] = side * value
                    share[0, i] = CUT
                    count[0, i] = max_epochs
        elif here >= still:
            share[0, i] = CUT
            count[0, i] = max_epochs


@register_jitable
def _ends(side, stairs, residual, share, size, end):
    """Set the ends of those on one side that converge."""
    start = stairs[3]
    if len(start) == 0:
        return
    for c in range(0, size, WIDTH):
        theta = load(share, 0, c)
        t = theta * 2.0 - 1.0
        value = t * 0.0 + start[0]
        for m in range(1, len(start)):
            value = fma(value, t, start[m])
        value = select(theta > 0.0, value * side, load(end, 0, c))
        store(end, 0, c, select(load(residual, 0, c) * side > 0.0, value, load(end, 0, c)))


def _error(activation, z, y):
    """Return a − y of lanes; in compiled code only."""


@overload(_error, prefer_literal=True)
def _overload_error(activation, z, y):
    if not isinstance(activation, types.StringLiteral):
        return None
    forward = register_jitable(ACTIVATIONS[activation.literal_value].forward)
    return lambda activation, z, y: forward(z, y)[0]


@once
def _answerer(activation: str) -> Callable[..., int]:
    number, whole = types.float64, types.int64
    matrix, vector = types.Array(number, 2, "C"), types.Array(number, 1, "C")
    weights, biases = (types.Array(number, ndim, "C", readonly=True) for ndim in (2, 1))
    epochs_type, status_type = types.Array(types.int32, 1, "C"), types.Array(types.int8, 1, "C")
    stairs = types.Tuple(
        [vector, matrix, types.Array(types.uint32, 1, "C"), vector, vector, matrix, number]
    )

    @compiled(
        whole(
            *(weights, biases, vector, number, stairs, stairs, number, number, whole),
            *(epochs_type, status_type, vector, vector, matrix, vector),
            types.Array(whole, 1, "C"),
        )
    )
    def answer(
        w, b, x, sign, above, below, y, limit, max_epochs,
        epochs, status, initial_error, final_error, final_w, final_b, undecided,
    ):  # fmt: skip
        """Answer the starts; return how many are not certain, and their numbers in `undecided`.

        The weights are (d, N).
        """
        z, end, share = np.zeros((1, CHUNK)), np.zeros((1, CHUNK)), np.zeros((1, CHUNK))
        error, count = np.zeros((1, CHUNK)), np.zeros((1, CHUNK))
        d, left, over = len(x), 0, np.nextafter(limit, np.inf)
        size_of_x = 1.0
        for j in range(d):
            size_of_x += x[j] * x[j]
        for first in range(0, len(b), CHUNK):
            size = min(CHUNK, len(b) - first)
            here = slice(first, first + size)
            biases = b[here]
            inputs = w[0, here]
            for i in range(size):
                z[0, i] = inputs[i] * x[0]
            for j in range(1, d):
                inputs = w[j, here]
                for i in range(size):
                    z[0, i] += inputs[i] * x[j]
            for i in range(size):
                z[0, i] = sign * (z[0, i] + biases[i])
            for c in range(0, size, WIDTH):
                store(end, 0, c, load(z, 0, c))
                wrong = _error(activation, load(z, 0, c), y)
                store(error, 0, c, wrong)
                store(count, 0, c, wrong * 0.0)
                store(share, 0, c, select(abs(wrong) > limit, wrong * 0.0 + CUT, wrong * 0.0 + MET))
            out = initial_error[here]
            for i in range(size):
                out[i] = abs(error[0, i])
            _find(1.0, above, z, error, size, limit, max_epochs, share, count, end)
            _find(-1.0, below, z, error, size, limit, max_epochs, share, count, end)
            for i in range(size):
                if share[0, i] == UNSURE or not abs(z[0, i]) <= HIGHEST:
                    undecided[left] = first + i
                    left += 1
            _ends(1.0, above, error, share, size, end)
            _ends(-1.0, below, error, share, size, end)
            for c in range(0, size, WIDTH):
                store(error, 0, c, abs(_error(activation, load(end, 0, c), y)))
            out, number_of, state = final_error[here], epochs[here], status[here]
            for i in range(size):
                # An end may lie so near to T₀ that its error rounds to the tolerance's other side.
                cut = share[0, i] == CUT
                out[i] = max(error[0, i], over) if cut else min(error[0, i], limit)
                number_of[i] = np.int32(count[0, i])
                state[i] = MAX_EPOCHS if cut else CONVERGED
            if len(final_b) > 0:
                out = final_b[here]
                for i in range(size):
                    end[0, i] = (z[0, i] - end[0, i]) * (sign / size_of_x)
                    out[i] = biases[i] - end[0, i]
                for j in range(d):
                    inputs, out = w[j, here], final_w[j, here]
                    for i in range(size):
                        out[i] = inputs[i] - end[0, i] * x[j]
        return left

    return answer


NOWHERE = (
    *(np.empty(0), np.empty((0, 1)), np.empty(0, np.uint32), np.empty(0), np.empty(0)),
    *(np.empty((0, 1)), np.inf),
)


def answer_into(
    out: Trained,
    w: NDArray[np.float64],
    b: NDArray[np.float64],
    rate: float,
    ask: Problem,
    stop: NDArray[np.uint8],
    stairs: list[Staircase],
) -> None:
    """Write the results of a block of starts into `out`; those not certain are trained for it.

    As `train_into`, for the one learning rate that the staircases were made for.
    """
    sides = {
        s.side: (s.edges, s.pieces, s.bins, s.first, s.counts, s.inverses, s.still) for s in stairs
    }
    sign = -1.0 if ask.act.mirrors(float(ask.y[0])) else 1.0
    undecided = np.empty(len(b), np.int64)
    final_w = np.ascontiguousarray(out.w.T)
    left = _answerer(ask.activation)(
        *(np.ascontiguousarray(w.T), b, ask.x[0], sign),
        *(sides.get(1.0, NOWHERE), sides.get(-1.0, NOWHERE)),
        *(lower_target(ask), ask.tolerance, ask.max_epochs),
        *(out.epochs, out.status, out.initial_error, out.final_error, final_w, out.b, undecided),
    )
    if not np.shares_memory(final_w, out.w):
        out.w[:] = final_w.T
    here = undecided[:left]
    if left:
        rest = untrained(left, w.shape[1], weights=len(out.b) > 0)
        train_into(rest, w[here], b[here], np.full(left, rate), ask, stop)
        for name, values in vars(rest).items():
            if len(values):
                getattr(out, name)[here] = values


def both_sides(ask: Problem, rate: float, lowest: float, highest: float) -> list[Staircase]:
    """Return the staircases above and below the target, for starts z from lowest to highest."""
    mirrored = ask.act.mirrors(float(ask.y[0]))
    tops = (-lowest, highest) if mirrored else (highest, -lowest)
    found = (
        staircase(ask, rate, side, min(top, HIGHEST))
        for side, top in zip((1.0, -1.0), tops, strict=True)
    )
    return [stairs for stairs in found if stairs is not None]


def choose_orbit(
    method: str, ask: Problem, rates: NDArray[np.float64], starts: int, dtype: str
) -> bool:
    """Say whether the orbit answers `starts` neurons of one problem.

    Raises
    ------
    SpecError
        It was asked for by name and does not apply; says which condition failed.
    """
    if method == "train" or (method == "auto" and starts < FEWEST_STARTS):
        return False
    several = rates.min(initial=np.inf) < rates.max(initial=-np.inf)
    reason = (
        "it needs one learning rate for all neurons"
        if several
        else obstacle(ask, float(rates[0]), dtype)
    )
    if reason and method == "orbit":
        raise SpecError(f"method = 'orbit': {reason}; method = 'train' always applies")
    return reason is None
