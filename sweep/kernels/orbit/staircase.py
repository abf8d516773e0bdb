"""The staircase: with one sample, epochs over z₀, built from one backward orbit.

With one sample a neuron's z moves by the map f(z) = z − κδ(z), whatever its w and b. Where f is
increasing, starts keep their order, so epochs is a staircase over z₀: its steps lie at T₀, where
the error meets the tolerance, and at T_{k+1} = f⁻¹(T_k). Between the steps there is a count too: a
function A with A(T₀) = 0 that grows from 0 to 1 between T₀ and T₁, and by one with each epoch,
A(f(z)) = A(z) − 1. A start takes ⌈A(z₀)⌉ epochs, and where it ends follows from the share θ of A
above the last whole number alone; one that max_epochs = K cuts off ends where A is A(z₀) − K.

A is a polynomial on each of some hundred pieces of z. Where steps are wide or uneven, a piece is
a row, from T_{k−1} to T_k, through the points of a few backward orbits (`backward.py`). From where
steps are narrow, thousands of them lie on a piece that solves A(f(z)) = A(z) − 1 (`abel.py`).

**Which starts are certain.** `train` computes ζ_{j+1} = f(ζ_j) + e_j, with ζ_j = z₀ − κT_j for the
sum T_j that it holds, and (u = 2⁻⁵³ the unit roundoff, to first order)

    |e_j| ≤ κu [ c δ(ζ_j) + 2 |ζ_j δ'(ζ_j)| ] + u |z₀ − ζ_{j+1}|,   c = 24 + 8 (y − low)/tolerance:

the formulas of δ round a dozen times, and a − y loses (a + y)/|a − y| of that; the argument z₀ − κT
in octaves is rounded once, and so is their number in a unit of z; the addition to T rounds by u·T.
By the mean value theorem A(ζ_{j+1}) is A(ζ_j) − 1 + A'(ξ)·e_j: no error grows on the way. So after
k epochs `train` is at most Σ A'|e_j| from A(z₀) − k, to which the rounding of z₀ adds A'(z₀) times
what it moves z₀ (the code takes 4u|z₀|), and that of the last test A'(T₀) times what it moves
T₀. Where A(z₀) is farther than this from every whole number, `train` counts exactly what the
staircase says. The code takes twice these bounds, which also covers the second order and its own
orbit (kept in two float64 and solved to a few u of each step), with the greatest A', δ and |zδ'| of
each row or piece, and adds what A itself is off: four times what a polynomial was seen to miss
between the points that made it, in each epoch that passes on it, and its rounding. Starts within
this band of a step are trained, and those on pieces whose polynomial is too coarse for their ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from sweep.kernels.orbit.abel import ORDERS
from sweep.kernels.orbit.backward import ORBITS, compile_backward_orbit
from sweep.kernels.orbit.branch import (
    HIGH,
    Branch,
    U,
    find_branch,
    look,
    step_size,
    tolerance_rounding,
)
from sweep.kernels.orbit.pieces import GOAL, MOST_POINTS, fewest_points, goal, sections
from sweep.neuron.problem import Problem

__all__ = ["HEAD", "Staircase", "bins_per", "build_staircase", "steps"]

Floats = NDArray[np.float64]

# What stands before the coefficients of a piece: where it begins, 2 over its width, the whole
# epochs below it, and the band.
HEAD = 4

# Where A is off by more than makes OFF of the error at the end, and by more than training may be,
# starts are trained.
OFF = 1e-10

# A search begins where z lies among so many even bins.
FEWEST_BINS, MOST_BINS = 4096, 2**15


@dataclass(frozen=True)
class Staircase:
    """Where epochs steps, on one side of the target, and where the starts between steps end.

    Attributes
    ----------
    side : float
        1 above the target, −1 below: all heights are side·z, so that they increase.
    edges : (P + 1,) array
        Where the pieces begin, the last one's end after them.
    pieces : (P, HEAD + M) array
        What stands at HEAD, then A less the whole epochs below: coefficients of a polynomial,
        highest first, whose argument goes from −1 to 1. The band is infinite where it does not
        resolve A.
    bins : (B + 2,) uint32 array
        Of B even bins between the edges, how many edges lie below each.
    first : (2, M) array
        Errors and heights from f(T₀) to T₀ over the share θ of an epoch, polynomials of 2θ − 1.
    counts : (P + 1,) array
        A at the edges.
    inverses : (P, 2 + M) array
        Of each piece, A less the whole epochs below where it begins, 2 over how much A grows on it,
        and coefficients of the argument over A's share, both from −1 to 1; NaN where they do not
        resolve that.
    still : float
        Starts from here on move by less than a rounding in max_epochs.
    """

    side: float
    edges: Floats
    pieces: Floats
    bins: NDArray[np.uint32]
    first: Floats
    counts: Floats
    inverses: Floats
    still: float


@register_jitable  # type: ignore[untyped-decorator]
def bins_per(edges: Floats, size: int) -> float:
    """Return bins per unit of height."""
    return size / max(edges[-1] - edges[0], 1e-300)  # type: ignore[no-any-return]


def _bins(edges: Floats) -> NDArray[np.uint32]:
    """Return how many edges lie below each of B even bins."""
    size = min(max(2 * len(edges), FEWEST_BINS), MOST_BINS)
    bins = ((edges - edges[0]) * bins_per(edges, size)).astype(np.int64)
    counts = np.bincount(bins, minlength=size + 1)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32)


def steps(problem: Problem, rate: float, side: float, count: int, top: float = np.inf) -> Floats:
    """Return the heights of T₀ … T_count, by walking the backward orbit."""
    way = find_branch(problem, step_size(problem, rate), side)
    if way is None:
        return np.empty(0)
    heights, falls = np.empty((2, count + 1, ORBITS))
    heights[0] = way.lowest
    last = compile_backward_orbit(way.pair)(
        heights, falls, side, way.kappa, way.y, top, np.inf, -np.inf, 0.0
    )
    return heights[: last + 1, -1]


def build_staircase(problem: Problem, rate: float, side: float, top: float) -> Staircase | None:
    """Build the staircase on one side of the target, up to side·z = top.

    None if there is no such side, where every start has converged, or no epoch to train.

    What is built does not depend on `top`, only how much of it.
    """
    way = find_branch(problem, step_size(problem, rate), side)
    if way is None or problem.max_epochs == 0:
        return None
    points = fewest_points(way)
    top = max(top, way.lowest + way.width)  # a row at the least: there may be starts beyond the top
    while True:
        built, fine = _build(problem, way, top, points)
        if fine or points == MOST_POINTS:
            return built
        points = MOST_POINTS


def _build(problem: Problem, way: Branch, top: float, points: int) -> tuple[Staircase, bool]:
    """Build the staircase with rows of so many points; say whether these resolve it."""
    first, first_off, found, still = sections(way, top, points, problem.max_epochs)
    told = np.vstack([section.told[:-1] for section in found])
    edges = np.append(told[:, 0], found[-1].told[-1, 0])
    counts = np.append(told[:, 1] + told[:, 2], found[-1].told[-1, 1:3].sum())
    width = max(points, ORDERS)
    pieces, inverses = np.zeros((len(told), HEAD + width)), np.zeros((len(told), 2 + width))
    begin = 0
    for section in found:
        here = slice(begin, begin + len(section.grown))
        pieces[here, HEAD + width - section.grown.shape[1] :] = section.grown
        inverses[here, 2 + width - section.grown.shape[1] :] = section.inverses
        begin = here.stop
    apart = 4.0 * told[:, 10] + 16.0 * U
    # On the way to its end, a start loses max_epochs at the most.
    until = np.maximum(
        np.searchsorted(counts[:-1], counts[:-1] - problem.max_epochs, "right") - 1, 0
    )
    strayed, missed = _astray(problem, way, told, edges, until)
    fine = missed + apart <= np.maximum(OFF / way.gain, strayed)
    least = abs(look(way.pair, np.array([way.side * (way.lowest - way.width)]), way.y)[0, 0])
    fine &= bool(first_off[0] <= GOAL * least)
    fine &= bool(first_off[1] <= goal(way, way.lowest - way.width))
    pieces[:, 0], pieces[:, 1], pieces[:, 2] = told[:, 0], 2.0 / np.diff(edges), told[:, 1]
    strayed, missed = _astray(problem, way, told, edges, np.zeros(len(told), np.int64))
    blur = tolerance_rounding(problem) / way.slope + 4 * U * abs(way.lowest)
    bands = 2.0 * blur * told[0, 6] + 4.0 * U * abs(edges[1:]) * told[:, 6] + strayed + missed
    pieces[:, 3] = np.where(fine, bands + apart, np.inf)
    inverses[:, 0], inverses[:, 1] = told[:, 2], 2.0 / told[:, 3]
    exact = told[:, 9] <= goal(way, told[:, 0])
    inverses[~exact] = np.nan
    rows = (told[:, 0] < HIGH) & (np.arange(len(told)) < max(len(found[0].grown), 1))
    resolved = bool((fine & exact)[rows].all())
    built = Staircase(way.side, edges, pieces, _bins(edges), first, counts, inverses, still)
    return built, resolved


def _astray(
    problem: Problem, way: Branch, told: Floats, edges: Floats, until: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """Return how far, in epochs, training and A itself may go astray on the way from each piece.

    The way ends in the piece `until`.
    """
    low, passing, miss, jump, slope, step, bend = told[:, [0, 3, 4, 5, 6, 7, 8]].T
    passing = np.minimum(passing, problem.max_epochs) + 1.0  # no more than train does
    c = 24 + 8 * (way.y - problem.act.low) / problem.tolerance
    weight = U * passing * slope

    def along(each: Floats) -> Floats:
        total = np.append(0.0, np.cumsum(each))
        return np.asarray(total[1:] - total[until])

    far = edges[1:] * along(weight) - along(weight * (low - step))  # Σ A' u|z₀ − ζ|
    rounded = along(weight * (c * step + 2.0 * bend)) + far
    return 2.0 * rounded, along(passing * (4.0 * miss + 16.0 * U) + 4.0 * jump)
