"""The staircase of a branch: pieces of A in tables for the lookup, and which starts are certain.

The idea and the error analysis are in the docstring of `sweep.kernels.orbit`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from sweep.kernels.orbit import abel
from sweep.kernels.orbit.abel import ORDERS
from sweep.kernels.orbit.backward import ORBITS, compile_backward_orbit
from sweep.kernels.orbit.branch import (
    HIGH,
    UNIT_ROUNDOFF,
    Branch,
    find_branch,
    step_size,
    tolerance_rounding,
)
from sweep.kernels.orbit.pieces import GOAL, MAX_POINTS, build_pieces, end_accuracy, fewest_points
from sweep.kernels.profile import FAR, RESIDUAL, STRIDE, evaluate, profile
from sweep.neuron.formula_check import OF_DERIVATIVE, RELATIVE
from sweep.neuron.problem import Problem

__all__ = ["NO_STAIRCASE", "Staircase", "bins_per_height", "build_staircase", "steps"]

Floats = NDArray[np.float64]

# Columns of `Staircase.pieces`, then the coefficients; and of `Staircase.inverses`.
BEGIN, INV_HALF_WIDTH, WHOLE, ROUNDING, PIECE_HEAD = range(5)
INVERSE_BEGIN, INV_HALF_GROWTH, INVERSE_HEAD = range(3)

# Where A is off by more than makes OFF of the error at the end, and by more than training may be,
# starts are trained.
OFF = 1e-10

# A search begins where z lies among so many even bins.
MIN_BINS, MAX_BINS = 4096, 2**15


class Staircase(NamedTuple):
    """Where epochs steps, on one side of the target, and where the starts between steps end.

    Attributes
    ----------
    side : float
        1 above the target, −1 below: all heights are side·z, so that they increase.
    edges : (P + 1,) array
        Where the pieces begin, the last one's end after them.
    pieces : (P, PIECE_HEAD + M) array
        Of each piece where it begins, 2 over its width, the whole epochs below it, and how far
        rounding can move A (infinite where the polynomial does not resolve A). Then A less the
        whole epochs below: coefficients of a polynomial, highest first, whose argument goes from
        −1 to 1.
    bins : (B + 2,) uint32 array
        Of B even bins between the edges, how many edges lie below each.
    first : (2, M) array
        Errors and heights from f(T₀) to T₀ over the share θ of an epoch, polynomials of 2θ − 1.
    counts : (P + 1,) array
        A at the edges.
    inverses : (P, INVERSE_HEAD + M) array
        Of each piece A less the whole epochs below where it begins, 2 over how much A grows on it,
        and coefficients of the argument over A's share, both from −1 to 1; NaN where they do not
        resolve that.
    frozen_from : float
        Starts from this height on move by less than a rounding in max_epochs.
    """

    side: float
    edges: Floats
    pieces: Floats
    bins: NDArray[np.uint32]
    first: Floats
    counts: Floats
    inverses: Floats
    frozen_from: float


# Where a side has none: every start there has converged.
NO_STAIRCASE = Staircase(
    side=1.0,
    edges=np.empty(0),
    pieces=np.empty((0, 1)),
    bins=np.empty(0, np.uint32),
    first=np.empty((0, 1)),
    counts=np.empty(0),
    inverses=np.empty((0, 1)),
    frozen_from=np.inf,
)


@register_jitable  # type: ignore[untyped-decorator]
def bins_per_height(edges: Floats, size: int) -> float:
    """Return bins per unit of height."""
    return size / max(edges[-1] - edges[0], 1e-300)  # type: ignore[no-any-return]


def _bins(edges: Floats) -> NDArray[np.uint32]:
    """Return how many edges lie below each of B even bins."""
    size = min(max(2 * len(edges), MIN_BINS), MAX_BINS)
    bins = ((edges - edges[0]) * bins_per_height(edges, size)).astype(np.int64)
    counts = np.bincount(bins, minlength=size + 1)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32)


def steps(problem: Problem, rate: float, side: float, count: int, top: float = np.inf) -> Floats:
    """Return the heights of T₀ … T_count, by walking the backward orbit."""
    branch = find_branch(problem, step_size(problem, rate), side)
    if branch is None:
        return np.empty(0)
    heights, slopes = np.empty((2, count + 1, ORBITS))
    heights[0] = branch.lowest
    walk = compile_backward_orbit(problem.cost, problem.activation)
    last = walk(heights, slopes, branch._replace(pieces_from=np.inf), problem.constants, top)
    return heights[: last + 1, -1]


def build_staircase(problem: Problem, rate: float, side: float, top: float) -> Staircase | None:
    """Build the staircase on one side of the target, up to side·z = top.

    None if there is no such side, where every start has converged, or no epoch to train.

    What is built does not depend on `top`, only how much of it.
    """
    branch = find_branch(problem, step_size(problem, rate), side)
    if branch is None or problem.max_epochs == 0:
        return None
    points = fewest_points(branch)
    top = max(top, branch.lowest + branch.width)  # at least a row: starts may lie beyond the top
    while True:
        staircase, resolved = _build(problem, branch, top, points)
        if resolved or points == MAX_POINTS:
            return staircase
        points = MAX_POINTS


def _build(problem: Problem, branch: Branch, top: float, points: int) -> tuple[Staircase, bool]:
    """Build the staircase with rows of so many points; say whether these resolve it."""
    built = build_pieces(problem, branch, top, points)
    runs, last = built.runs, built.runs[-1].measures[-1]
    measures = np.vstack([run.measures[:-1] for run in runs])
    low, whole, fraction = (measures[:, k] for k in (abel.LOW, abel.WHOLE, abel.FRACTION))
    edges = np.append(low, last[abel.LOW])
    counts = np.append(whole + fraction, last[abel.WHOLE] + last[abel.FRACTION])
    pieces = _right_aligned([run.polynomials for run in runs], PIECE_HEAD, max(points, ORDERS))
    inverses = _right_aligned([run.inverses for run in runs], INVERSE_HEAD, max(points, ORDERS))
    fit_error = 4.0 * measures[:, abel.FIT_ERROR] + 16.0 * UNIT_ROUNDOFF
    # On the way to its end, a start loses max_epochs at the most.
    until = np.maximum(
        np.searchsorted(counts[:-1], counts[:-1] - problem.max_epochs, "right") - 1, 0
    )
    of_training, of_a = _errors_on_the_way(problem, branch, measures, edges, until)
    fine = of_a + fit_error <= np.maximum(OFF / branch.gain, of_training)
    first_begin = branch.lowest - branch.width  # f(T₀)
    least = abs(evaluate(problem, np.array([branch.side * first_begin]), branch.y)[RESIDUAL, 0])
    fine &= bool(built.first_misfit[0] <= GOAL * least)
    fine &= bool(built.first_misfit[1] <= end_accuracy(branch, first_begin))
    pieces[:, BEGIN], pieces[:, INV_HALF_WIDTH] = low, 2.0 / np.diff(edges)
    pieces[:, WHOLE] = whole
    to_the_target = np.zeros(len(measures), np.int64)
    of_training, of_a = _errors_on_the_way(problem, branch, measures, edges, to_the_target)
    of_test = tolerance_rounding(problem) / branch.slope
    of_test += 4 * UNIT_ROUNDOFF * abs(branch.lowest)
    slope = measures[:, abel.SLOPE]
    of_start = 4.0 * UNIT_ROUNDOFF * abs(edges[1:]) * slope
    rounding = 2.0 * of_test * slope[0] + of_start + of_training + of_a
    pieces[:, ROUNDING] = np.where(fine, rounding + fit_error, np.inf)
    inverses[:, INVERSE_BEGIN] = fraction
    inverses[:, INV_HALF_GROWTH] = 2.0 / measures[:, abel.GROWTH]
    exact = measures[:, abel.INVERSE_ERROR] <= end_accuracy(branch, low)
    inverses[~exact] = np.nan
    rows = (low < HIGH) & (np.arange(len(low)) < max(len(runs[0].polynomials), 1))
    staircase = Staircase(
        side=branch.side,
        edges=edges,
        pieces=pieces,
        bins=_bins(edges),
        first=built.first,
        counts=counts,
        inverses=inverses,
        frozen_from=built.frozen_from,
    )
    return staircase, bool((fine & exact)[rows].all())


def _right_aligned(tables: list[Floats], head: int, width: int) -> Floats:
    """Stack coefficients of different orders, the constants in the last column, after a head."""
    padded = [np.pad(table, ((0, 0), (head + width - table.shape[1], 0))) for table in tables]
    return np.concatenate(padded)


def _roundings(problem: Problem, branch: Branch) -> float:
    """Return c: how many units of roundoff of itself δ may be off by, as training computes it.

    Of a formula that is what `check_formula` allows, relative to δ and to its derivative, twice.
    """
    if problem.declared:
        return 24 + 8 * (branch.y - problem.act.low) / problem.tolerance
    deltas, ddeltas_dz = profile(problem)
    above = branch.side * np.arange(-FAR, FAR, STRIDE) > branch.lowest - STRIDE
    ratio = float((abs(ddeltas_dz[above]) / abs(deltas[above])).max(initial=0.0))
    return 2.0 * (RELATIVE + OF_DERIVATIVE * ratio) / UNIT_ROUNDOFF


def _errors_on_the_way(
    problem: Problem, branch: Branch, measures: Floats, edges: Floats, until: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """Bound, in epochs, how far training and A itself go astray on the way from each piece.

    The way ends in the piece `until`. Σ A'|e_j| and the residuals of Abel's equation; see the
    docstring of `sweep.kernels.orbit`.
    """
    epochs = np.minimum(measures[:, abel.GROWTH], problem.max_epochs) + 1.0  # no more are walked
    step = measures[:, abel.STEP]
    c = _roundings(problem, branch)
    weight = UNIT_ROUNDOFF * epochs * measures[:, abel.SLOPE]

    def along(terms: Floats) -> Floats:
        total = np.append(0.0, np.cumsum(terms))
        return np.asarray(total[1:] - total[until])

    # Σ A' u|z₀ − ζ|
    distance = edges[1:] * along(weight) - along(weight * (measures[:, abel.LOW] - step))
    of_training = along(weight * (c * step + 2.0 * measures[:, abel.Z_SLOPE])) + distance
    of_a = epochs * (4.0 * measures[:, abel.RESIDUAL] + 16.0 * UNIT_ROUNDOFF)
    return 2.0 * of_training, along(of_a + 4.0 * measures[:, abel.JUMP])
