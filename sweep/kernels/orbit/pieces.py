"""A branch from T₀ upwards as pieces of A: rows where steps are broad, Abel's where narrow.

A row is the piece from T_{k−1} to T_k, through the points of a few backward orbits.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sweep.kernels.orbit import abel
from sweep.kernels.orbit.abel import (
    ORDERS,
    Pieces,
    compile_abel,
    compile_fit,
    cosines,
    powers_of_chebyshev,
)
from sweep.kernels.orbit.backward import ORBITS, compile_backward_orbit
from sweep.kernels.orbit.branch import HIGH, Branch, log
from sweep.kernels.profile import RESIDUAL, evaluate
from sweep.neuron.problem import Problem

__all__ = ["GOAL", "MAX_POINTS", "Built", "build_pieces", "end_accuracy", "fewest_points"]

Floats = NDArray[np.float64]

# Of the orbits, the last ones check the polynomials through the others.
CHECKS = 5
MAX_POINTS = ORBITS - CHECKS - 1

# Largest capacities of the arrays: more is needed for z₀ beyond 1000 only.
MAX_ROWS, MAX_PIECES = 2**16, 2**14

# Ends are to be right to GOAL, relative to the error there.
GOAL = 1e-11

# Starts are taken for frozen if they move by less in all epochs.
FROZEN = 1e-15


class Built(NamedTuple):
    """All pieces of a branch, up to a height.

    Attributes
    ----------
    first : (2, M) array
        Errors and heights from f(T₀) to T₀ over the share θ of an epoch, polynomials of 2θ − 1.
    first_misfit : (2,) array
        How far these two miss.
    runs : list of Pieces
        Rows and Abel's pieces in turn.
    frozen_from : float
        The height from which on starts move by less than a rounding in max_epochs.
    """

    first: Floats
    first_misfit: Floats
    runs: list[Pieces]
    frozen_from: float


def end_accuracy(branch: Branch, low: Floats | float) -> Floats:
    """Return how exact ends in z must be from a height on."""
    return np.maximum(GOAL * np.minimum(1.0, low - branch.fixed_point), 1e-14 * (1.0 + np.abs(low)))


def fewest_points(branch: Branch) -> int:
    """Return how many points resolve the rows, if nothing but poles is near."""
    # On the widest row polynomials converge at the rate ρ; cut off, starts may end there.
    reach = 2 * branch.pole / branch.longest
    accuracy = float(end_accuracy(branch, branch.lowest - branch.width))
    digits = log(1.0 + branch.longest / accuracy)
    needed = np.ceil(digits / log(reach + math.sqrt(reach * reach + 1.0))) + 2
    return int(np.clip(needed, 4, MAX_POINTS))


@cache
def _even_shares(points: int) -> Floats:
    """Return Chebyshev points from 0 to 1, CHECKS from between them, then 1 up to ORBITS."""
    share = 0.5 - 0.5 * cosines(np.arange(points) / (points - 1))
    gaps = np.linspace(0, points - 2, CHECKS).round().astype(int)
    checks = 0.5 * (share[gaps] + share[gaps + 1])
    return np.array([*share, *checks, *[1.0] * (ORBITS - points - CHECKS)])


@cache
def _powers(points: int) -> Floats:
    return powers_of_chebyshev(points)


def build_pieces(problem: Problem, branch: Branch, top: float, points: int) -> Built:
    """Build the pieces of a branch up to the height `top`, with rows of so many points."""
    even, runs = _even_shares(points), list[Pieces]()
    row = branch.lowest - branch.width * (1.0 - even)
    shares: Floats | None = None
    rates, first = np.full(ORBITS, 1.0 / branch.width), None
    whole, fraction, frozen_from = 0.0, 0.0, np.inf
    while True:
        # Whether Abel's pieces follow decides what the share of an epoch is: that must not depend
        # on the top.
        bound = max(top, HIGH) if shares is not None or branch.pieces_from == np.inf else np.inf
        heights, slopes, narrow = _backward_rows(problem, branch, row, bound)
        last = len(heights) - 1 - narrow
        begin = heights[last, -1]
        if narrow:
            pieces, frozen_from, rows_follow = _abel_pieces(
                problem, branch, begin, whole + last, fraction, top
            )
            measures, first_piece = pieces.measures, pieces.polynomials[0]
            inv_half_width = 2.0 / (measures[1, abel.LOW] - begin)
            at = (heights[-1] - begin) * inv_half_width - 1.0
            shares_by_abel = np.polyval(first_piece, at) - fraction
            if shares is None:
                shares = shares_by_abel
                a_slopes = np.polyval(np.polyder(first_piece), at) * inv_half_width
                rates = a_slopes / np.prod(slopes[1:], axis=0)
            else:
                measures[0, abel.JUMP] += abs(shares_by_abel - shares).max()
        if shares is None:
            shares = even
        if first is None:
            errors = abs(evaluate(problem, branch.side * heights[0], branch.y)[RESIDUAL])
            first = _fit(2.0 * shares - 1.0, np.array([errors, heights[0]]), points)
        runs.append(
            _rows(heights[: last + 1], slopes[: last + 1], shares, rates, whole, fraction, points)
        )
        if not narrow:
            break
        runs.append(pieces)
        if not rows_follow:
            break
        # The first row of those that follow ends where the pieces do.
        low, end = measures[-2, abel.LOW], measures[-1, abel.LOW]
        whole, fraction = measures[-1, abel.WHOLE], measures[-1, abel.FRACTION]
        row = end - measures[-1, abel.STEP] * (1.0 - even)
        inv_half_width = 2.0 / (end - low)
        at = (row - low) * inv_half_width - 1.0
        last_piece = pieces.polynomials[-1]
        shares = np.polyval(last_piece, at) - (np.polyval(last_piece, 1.0) - 1.0)
        rates = np.polyval(np.polyder(last_piece), at) * inv_half_width
    return Built(*first, runs, frozen_from)


def _fit(at: Floats, values: Floats, points: int) -> tuple[Floats, Floats]:
    """Return polynomials through values (n, ORBITS), at (ORBITS,) or (n, ORBITS); their misfits."""
    values = np.array(values[:, : points + CHECKS], order="C")
    at = np.array(np.broadcast_to(at[..., : points + CHECKS], values.shape), order="C")
    fitted, misfit = np.empty((len(values), points)), np.empty(len(values))
    compile_fit()(at, values, _powers(points), fitted, misfit)
    return fitted, misfit


def _rows(
    heights: Floats,
    slopes: Floats,
    shares: Floats,
    rates: Floats,
    whole: float,
    fraction: float,
    points: int,
) -> Pieces:
    """Return rows 1 …, in which each orbit is at its share of an epoch; `rates` is A' in row 0."""
    count = len(heights) - 1
    measures = np.zeros((count + 1, abel.MEASURES))
    measures[:, abel.LOW] = heights[:, -1]
    measures[:, abel.WHOLE] = whole + np.arange(count + 1)
    measures[:, abel.FRACTION], measures[:, abel.GROWTH] = fraction, 1.0
    if count == 0:
        return Pieces(measures, np.empty((0, points)), np.empty((0, points)))
    inv_half_widths = 2.0 / np.diff(heights[:, -1])
    at = (heights[1:] - heights[:-1, -1:]) * inv_half_widths[:, None] - 1.0
    polynomials, measures[:-1, abel.FIT_ERROR] = _fit(at, np.broadcast_to(shares, at.shape), points)
    polynomials[:, -1] += fraction
    inverses, misfit = _fit(2.0 * shares - 1.0, at, points)
    rates = rates * np.cumprod(np.vstack([np.ones(ORBITS), slopes[1:]]), axis=0)
    z_slopes = abs((1.0 - slopes[1:]) * heights[1:])
    measures[:-1, abel.SLOPE] = np.maximum(rates[1:], rates[:-1]).max(axis=1)
    measures[:-1, abel.STEP] = np.diff(heights, axis=0).max(axis=1)
    measures[:-1, abel.Z_SLOPE] = z_slopes.max(axis=1)
    measures[:-1, abel.INVERSE_ERROR] = misfit / inv_half_widths
    return Pieces(measures, polynomials, inverses)


def _backward_rows(
    problem: Problem, branch: Branch, first: Floats, top: float
) -> tuple[Floats, Floats, bool]:
    """Return rows of orbits up from the first, f' there, and whether pieces may begin there."""
    walk, capacity = compile_backward_orbit(problem.cost, problem.activation), 128
    while True:
        heights, slopes = np.empty((2, capacity + 1, ORBITS))
        heights[0] = first
        last = walk(heights, slopes, branch, problem.constants, top)
        if abs(last) < capacity or capacity >= MAX_ROWS:
            return heights[: abs(last) + 1], slopes[: abs(last) + 1], last < 0
        capacity *= 8


def _abel_pieces(
    problem: Problem, branch: Branch, begin: float, whole: float, fraction: float, top: float
) -> tuple[Pieces, float, bool]:
    """Return Abel's pieces from a height on, from where starts are frozen, and if rows follow."""
    fill, epochs, capacity = (
        compile_abel(problem.cost, problem.activation),
        float(problem.max_epochs),
        256,
    )
    while True:
        measures = np.empty((capacity + 1, abel.MEASURES))
        pieces = Pieces(measures, *np.empty((2, capacity, ORDERS)))
        top_here = max(top, begin + 1e-9)
        count = fill(
            pieces, branch, problem.constants, begin, whole, fraction, top_here, epochs, FROZEN
        )
        if count < capacity or capacity >= MAX_PIECES:
            break
        capacity *= 8
    end, frozen_from = measures[count, abel.LOW], np.inf
    rows_follow = count < capacity and end < top and measures[count - 1, abel.GROWTH] > 0.0
    if rows_follow and epochs * measures[count, abel.STEP] < FROZEN:
        rows_follow, frozen_from = False, float(end)
    filled = Pieces(measures[: count + 1], pieces.polynomials[:count], pieces.inverses[:count])
    return filled, frozen_from, bool(rows_follow)
