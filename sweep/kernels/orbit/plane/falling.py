"""Proof that the error, once within the tolerance, stays there: a first passage is the only one.

Let S be the states whose error E is at most the tolerance, and F(θ) = θ − ηg(θ) an epoch, g the
gradient of the cost. If E falls along the whole way from θ to F(θ), for each θ on the border of S,
then F maps S into itself: the maps θ − tηg(θ), 0 ≤ t ≤ 1, carry no point of the border out of S, so
that how often a point outside of S is met by the image of S is the same for all t: as for t = 0,
never. An orbit that has come into S stays, and epochs is the only whole number k for which
E(F^(k−1)(θ)) is above the tolerance and E(F^k(θ)) is not.

Along the way dE/dt = −η ∇E(θ − tηg(θ))·g(θ). Cells of (w, b) that the border may cross are tested
with bounds of all that varies within them, and halved where these are too coarse.
"""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numba.core import types
from numpy.typing import NDArray

from sweep.kernels.compile import compiled, once
from sweep.kernels.orbit.plane.epoch import samples_of
from sweep.kernels.profile import (
    DDELTA_DZ,
    FAR,
    SLOPE,
    STRIDE,
    evaluate,
    residual_delta_slope,
    second_derivative_bound,
    steepest,
)
from sweep.kernels.simd import load, select, store, width_of
from sweep.neuron.activations import ACTIVATIONS
from sweep.neuron.problem import Problem

__all__ = ["largest_curvature", "rises_at"]

Floats = NDArray[np.float64]

WIDTH = width_of(types.float64)

# What a cell is found to be.
CLEAR, FALLS, UNDECIDED = 0.0, 1.0, 2.0

# Cells of a box in each direction at first, how often they are halved, and how many there may be,
# times samples.
CELLS, HALVINGS, MOST_CELLS = 16, 14, 2e8

# Parts of the way from θ to F(θ) that are tested each with bounds of its own.
PARTS = 4


class Bounds(NamedTuple):
    """Bounds from above: of da/dz, |d²a/dz²| and |dδ/dz| over all z and targets of a problem."""

    slope: float
    second: float
    ddelta_dz: float


def _bounds(problem: Problem) -> Bounds:
    z = np.arange(-FAR, FAR, STRIDE)
    slope = second = ddelta_dz = 0.0
    for y in np.unique(samples_of(problem).y).tolist():
        at = evaluate(problem, z, y)
        bend = second_derivative_bound(at[DDELTA_DZ])
        ddelta_dz = max(ddelta_dz, float(abs(at[DDELTA_DZ]).max()) + STRIDE * bend)
        of_slope = float(abs(np.diff(at[SLOPE])).max()) / STRIDE
        second = max(second, MARGIN * of_slope)
        slope = max(slope, float(at[SLOPE].max()) + STRIDE * MARGIN * of_slope)
    return Bounds(slope, second, ddelta_dz)


# |d²a/dz²| is at most so many times what neighbouring da/dz show.
MARGIN = 1.2


def largest_curvature(problem: Problem) -> float:
    """Return a bound, from above, of the eigenvalues of the cost's second derivatives, everywhere.

    They are at most those of Σ x xᵀ/n, with x = (x, 1), times the greatest dδ/dz.
    """
    x = problem.x[:, 0].tolist()
    square, linear = math.fsum(v * v for v in x) / len(x), math.fsum(x) / len(x)
    half = 0.5 * (square - 1.0)
    greatest = 0.5 * (square + 1.0) + math.sqrt(half * half + linear * linear)
    targets = np.unique(problem.y).tolist()
    slope = max(steepest(replace(problem, x=np.ones((1, 1)), y=np.array([y]))) for y in targets)
    return greatest * slope


@once
def _compile_test(cost: str, activation: str) -> Callable[..., None]:
    """Compile test(cells (5, N), feature, sign, y, c, rate, limit, slope, second, ddelta_dz).

    Rows 0 to 3 of the cells are their middle (w, b) and half their sides; sets row 4.
    """
    vector, number = types.Array(types.float64, 1, "C"), types.float64
    low = ACTIVATIONS[activation].low

    @compiled(
        types.void(
            types.Array(number, 2, "C"), vector, vector, vector, vector, number, number, number,
            number, number,
        )
    )  # fmt: skip
    def test(cells, feature, sign, y, c, rate, limit, slope, second, ddelta_dz):
        # No output is below the range, as a target at its end.
        count = 1.0 / len(y)
        for first in range(0, cells.shape[1], WIDTH):
            w, b = load(cells, 0, first), load(cells, 1, first)
            half_w, half_b = load(cells, 2, first), load(cells, 3, first)
            zero = w * 0.0
            error, g_w, g_b, off, off_w, off_b = zero, zero, zero, zero, zero, zero
            for i in range(len(y)):
                residual, _, delta, _ = residual_delta_slope(
                    cost, activation, w * feature[i] + b * sign[i], y[i], c
                )
                reach = half_w * abs(feature[i]) + half_b
                error = error + abs(residual)
                g_w, g_b = g_w + delta * feature[i], g_b + delta * sign[i]
                off = off + reach
                off_w, off_b = off_w + reach * abs(feature[i]), off_b + reach
            error = error * count
            off = off * (count * slope) + ROUNDING
            g_w, g_b = g_w * count, g_b * count
            off_w = off_w * (count * ddelta_dz) + ROUNDING
            off_b = off_b * (count * ddelta_dz) + ROUNDING
            falls = zero + 1.0
            for part in range(PARTS):
                t = rate * ((part + 0.5) / PARTS)
                at_w, at_b = w - g_w * t, b - g_b * t
                r_w = half_w + off_w * rate + abs(g_w) * (rate / (2 * PARTS))
                r_b = half_b + off_b * rate + abs(g_b) * (rate / (2 * PARTS))
                e_w, e_b, apart_w, apart_b = zero, zero, zero, zero
                for i in range(len(y)):
                    residual, da_dz, _, _ = residual_delta_slope(
                        cost, activation, at_w * feature[i] + at_b * sign[i], y[i], c
                    )
                    reach = r_w * abs(feature[i]) + r_b
                    way = select(residual > 0.0, da_dz, -da_dz)
                    # Where a − y may change its sign, ∇|a − y| may be any of ±da/dz.
                    turns = 0.0 if y[i] == low else slope
                    one_sign = abs(residual) > reach * turns
                    apart = select(one_sign, reach * second, zero + 2.0 * slope)
                    e_w, e_b = e_w + way * feature[i], e_b + way * sign[i]
                    apart_w, apart_b = apart_w + apart * abs(feature[i]), apart_b + apart
                e_w, e_b = e_w * count, e_b * count
                apart_w, apart_b = apart_w * count + ROUNDING, apart_b * count + ROUNDING
                fall = e_w * g_w + e_b * g_b
                may_w = apart_w * (abs(g_w) + off_w) + abs(e_w) * off_w
                may_b = apart_b * (abs(g_b) + off_b) + abs(e_b) * off_b
                falls = select(fall > may_w + may_b, falls, zero)
            found = select(falls > 0.5, zero + FALLS, zero + UNDECIDED)
            clear = abs(error - limit) > off
            store(cells, 4, first, select(clear, zero + CLEAR, found))

    return test


# Stands for what rounds in sums of many samples.
ROUNDING = 1e-13


def rises_at(
    problem: Problem, rate: float, low: Floats, high: Floats, stop: NDArray[np.uint8]
) -> tuple[float, float] | None:
    """Return a place (w, b) of a box where the error is not proven to fall through the tolerance.

    None if it is, everywhere in the box from `low` to `high`, (2,) each.
    """
    samples, bounds = samples_of(problem, octaves=False), _bounds(problem)
    test = _compile_test(problem.cost, problem.activation)
    half = (high - low) / (2 * CELLS)
    places = [low[axis] + half[axis] * (2 * np.arange(CELLS) + 1) for axis in (0, 1)]
    middle = np.array([np.repeat(places[0], CELLS), np.tile(places[1], CELLS)])
    for _ in range(HALVINGS):
        count = middle.shape[1]
        cells = np.zeros((5, -(-count // WIDTH) * WIDTH))
        cells[:2, :count] = middle
        cells[2:4] = half[:, None]
        test(cells, *samples, problem.constants, rate, problem.tolerance, *bounds)
        middle = middle[:, cells[4, :count] == UNDECIDED]
        if not middle.shape[1]:
            return None
        if 4 * middle.shape[1] * len(samples.y) > MOST_CELLS or stop[0]:
            break
        half = half / 2
        ways = np.array([[-1, -1, 1, 1], [-1, 1, -1, 1]]) * half[:, None]
        middle = (middle[:, :, None] + ways[:, None]).reshape(2, -1)
    return float(middle[0, 0]), float(middle[1, 0])
