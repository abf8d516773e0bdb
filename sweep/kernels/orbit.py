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
from sweep.kernels.block import STARTS, Trained, train_into, untrained
from sweep.kernels.cache import compiled, once
from sweep.kernels.staircase import (
    NEAR,
    PIECE_NODES,
    Staircase,
    between,
    bins_per,
    lower_target,
    obstacle,
    staircase,
)
from sweep.kernels.vectormath import load, store, width_of
from sweep.neuron.activations import ACTIVATIONS
from sweep.neuron.arithmetic import exp_ratio, fma
from sweep.neuron.problem import Problem, Status

__all__ = ["answer_into", "both_sides", "choose_orbit"]

CONVERGED, MAX_EPOCHS = np.int8(Status.converged), np.int8(Status.max_epochs)

ONE = np.uint64(1)  # signed indices are tested for being negative: 1.3× the time

# Cells that go through all stages together, within the first cache.
CHUNK = 512

# Starts beyond are trained: δ there is below what exp can say.
HIGHEST = 1000.0

# An orbit takes 3 to 30 ms to build. Time of training over that of the orbit, the median of six
# learning rates and costs: 0.39 with 1,000 neurons (0.09 to 0.65), 0.77 with 32,000 (0.35 to 4.3),
# 0.99 with 64,000 (0.44 to 6.6).
FEWEST_STARTS = 32_768


@register_jitable
def _find(side, stairs, z, residual, size, limit, kappa, max_epochs, total, count):
    """Set total and count of those on one side of the target; −1 where that is not certain."""
    bounds, slacks, rows, bins, edges, pieces = stairs
    if len(bounds) == 0:
        return
    last, per_kappa = np.uint64(len(bounds) - 1), side / kappa
    lowest, highest, per = bounds[0], bounds[last], bins_per(bounds, len(bins) - 2)
    for i in range(size):
        if not side * residual[0, i] > limit:
            continue
        count[0, i] = -1
        here = side * z[0, i]
        if lowest < here <= highest:
            inside = np.uint64((here - lowest) * per)
            low, k = np.uint64(bins[inside]), np.uint64(bins[inside + ONE])
            while low < k:
                middle = (low + k) >> ONE
                if bounds[middle] < here:
                    low = middle + ONE
                else:
                    k = middle
            under, over = bounds[k - ONE], bounds[k]
            if here - under > slacks[k - ONE] and over - here > slacks[k]:
                t = between(under, here, over)
                end = rows[k, 0]
                for m in range(1, rows.shape[1]):
                    end = fma(end, t, rows[k, m])
                # So near the tolerance the interpolated error could fall on its other side.
                if (lowest - end if k <= max_epochs else end - lowest) > NEAR:
                    total[0, i] = (here - end) * per_kappa
                    count[0, i] = min(k, max_epochs)
        elif here - highest > slacks[last] and len(edges) > 0 and here <= edges[-1]:
            p = np.uint64(np.searchsorted(edges, here))
            t = between(edges[p - ONE], here, edges[p])
            moved = pieces[p - ONE, 0]
            for m in range(1, PIECE_NODES):
                moved = fma(moved, t, pieces[p - ONE, m])
            if here - side * kappa * moved - lowest > NEAR:
                total[0, i] = moved
                count[0, i] = max_epochs


def _error(activation, z, y):
    """Return a − y of lanes; in compiled code only."""


@overload(_error, prefer_literal=True)
def _overload_error(activation, z, y):
    if not isinstance(activation, types.StringLiteral):
        return None
    forward = register_jitable(ACTIVATIONS[activation.literal_value].forward)
    return lambda activation, z, y: forward(z, y, exp_ratio)[0]


@once
def _answerer(activation: str) -> Callable[..., int]:
    number, whole = types.float64, types.int64
    matrix, vector = types.Array(number, 2, "C"), types.Array(number, 1, "C")
    epochs_type, status_type = types.Array(types.int32, 1, "C"), types.Array(types.int8, 1, "C")
    stairs = types.Tuple(
        [vector, vector, matrix, types.Array(types.uint32, 1, "C"), vector, matrix]
    )
    width = width_of(number)

    @compiled(
        whole(
            *(*STARTS, vector, number, stairs, stairs, number, number, number, whole),
            *(epochs_type, status_type, vector, vector, matrix, vector),
            types.Array(whole, 1, "C"),
        )
    )
    def answer(
        w, b, x, sign, above, below, rate, y, limit, max_epochs,
        epochs, status, initial_error, final_error, final_w, final_b, undecided,
    ):  # fmt: skip
        """Answer the starts; return how many are not certain, and their numbers in `undecided`."""
        z, total = np.zeros((1, CHUNK)), np.zeros((1, CHUNK))
        error, count = np.zeros((1, CHUNK)), np.zeros((1, CHUNK), np.int64)
        d, left = len(x), 0
        kappa = 1.0
        for j in range(d):
            kappa += x[j] * x[j]
        kappa *= rate
        for first in range(0, len(b), CHUNK):
            size = min(CHUNK, len(b) - first)
            for i in range(size):
                z[0, i] = w[first + i, 0] * x[0]
            for j in range(1, d):
                for i in range(size):
                    z[0, i] += w[first + i, j] * x[j]
            for i in range(size):
                z[0, i] = sign * (z[0, i] + b[first + i])
                total[0, i] = 0.0
                count[0, i] = 0
            for c in range(0, size, width):
                store(error, 0, c, _error(activation, load(z, 0, c), y))
            for i in range(size):
                initial_error[first + i] = abs(error[0, i])
            _find(1.0, above, z, error, size, limit, kappa, max_epochs, total, count)
            _find(-1.0, below, z, error, size, limit, kappa, max_epochs, total, count)
            for i in range(size):
                if count[0, i] < 0 or not abs(z[0, i]) <= HIGHEST:
                    undecided[left] = first + i
                    left += 1
            for c in range(0, size, width):
                end = load(z, 0, c) - load(total, 0, c) * kappa
                store(error, 0, c, abs(_error(activation, end, y)))
            for i in range(size):
                epochs[first + i] = count[0, i]
                final_error[first + i] = error[0, i]
                status[first + i] = MAX_EPOCHS if error[0, i] > limit else CONVERGED
            if len(final_b) > 0:
                for i in range(size):
                    total[0, i] *= sign * rate
                    final_b[first + i] = b[first + i] - total[0, i]
                for j in range(d):
                    for i in range(size):
                        final_w[first + i, j] = w[first + i, j] - total[0, i] * x[j]
        return left

    return answer


NOWHERE = (
    *(np.empty(0), np.empty(0), np.empty((0, 1)), np.empty(0, np.uint32)),
    *(np.empty(0), np.empty((0, 1))),
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
    sides = {s.side: (s.bounds, s.slacks, s.rows, s.bins, s.edges, s.pieces) for s in stairs}
    sign = -1.0 if ask.act.mirrors(float(ask.y[0])) else 1.0
    undecided = np.empty(len(b), np.int64)
    left = _answerer(ask.activation)(
        *(w, b, ask.x[0], sign, sides.get(1.0, NOWHERE), sides.get(-1.0, NOWHERE)),
        *(rate, lower_target(ask), ask.tolerance, ask.max_epochs),
        *(out.epochs, out.status, out.initial_error, out.final_error, out.w, out.b, undecided),
    )
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
