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

    |e_j| ≤ κu [ c δ(ζ_j) + |ζ_j δ'(ζ_j)| ] + u |z₀ − ζ_{j+1}|,     c = 24 + 8 (y − low)/tolerance:

the formulas of δ round a dozen times, and a − y loses (a + y)/|a − y| of that; the argument z₀ − κT
is rounded once; the addition to T rounds by u·T. By the mean value theorem A(ζ_{j+1}) is
A(ζ_j) − 1 + A'(ξ)·e_j: no error grows on the way. So after k epochs `train` is at most
Σ A'|e_j| from A(z₀) − k, to which the rounding of its last test adds A'(T₀) times what that moves
T₀. Where A(z₀) is farther than this from every whole number, `train` counts exactly what the
staircase says. The code takes twice these bounds, which also covers the second order and its own
orbit (kept in two float64 and solved to a few u of each step), with the greatest A', δ and |zδ'| of
each row or piece, and adds what A itself is off: four times what a polynomial was seen to miss
between the points that made it, in each epoch that passes on it, and its rounding. Starts within
this band of a step are trained, and those on pieces whose polynomial is too coarse for their ends.
"""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numba.core import types
from numba.extending import register_jitable
from numpy.typing import NDArray

from sweep.kernels.abel import MEASURES, ORDERS, grower, powers_of_chebyshev
from sweep.kernels.backward import ORBITS, climber, width_at
from sweep.kernels.cache import compiled, once
from sweep.kernels.conditions import STRIDE, lower_target, profile, step_size
from sweep.kernels.vectormath import load, store, width_of
from sweep.neuron.arithmetic import fma
from sweep.neuron.problem import Problem

__all__ = ["HEAD", "Staircase", "bins_per", "staircase", "steps"]

Floats = NDArray[np.float64]

U = 2.0**-53
WIDTH = width_of(types.float64)

# What stands before the coefficients of a piece: where it begins, 2 over its width, the whole
# epochs below it, and the band.
HEAD = 4

CHECKS = 5
MOST_POINTS = ORBITS - CHECKS - 1

# Rows are for the few steps that are not narrow; so many have been enough at first, and at all.
FEW_ROWS, MOST_ROWS = 2048, 2**16

# A piece may be as wide as this share of the way to the activation's poles; more than MOST_PIECES
# of them are needed for z₀ beyond 1000 only.
PIECE_SHARE, MOST_PIECES = 0.04, 2**14

# Ends are asked to be right to GOAL, relative to the error there; where A is off by more than
# makes OFF of that error, and by more than training may be, starts are trained.
GOAL, OFF = 1e-11, 1e-10

# Starts are said to stand still if they move by less in all epochs.
STILL = 1e-15

# So many rows are looked at when it is decided of how many points they are, wherever the top is.
FIRST = 64

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
        highest first, whose argument goes from −1 to 1; NaN where it does not resolve A.
    bins : (B + 2,) uint32 array
        Of B even bins between the edges, how many edges lie below each.
    ends : (R, M) array
        Heights at which A is k + θ for k < R, polynomials of 2θ − 1.
    counts : (Q + 1,) array
        A where each of the last Q pieces begins, and where the last ends.
    inverses : (Q, 2 + ORDERS) array
        Of these, A less the whole epochs below where it begins, 2 over how much A grows on it, and
        coefficients of the argument over A's share, both from −1 to 1.
    still : float
        Starts from here on move by less than a rounding in max_epochs.
    """

    side: float
    edges: Floats
    pieces: Floats
    bins: NDArray[np.uint32]
    ends: Floats
    counts: Floats
    inverses: Floats
    still: float


@once
def _fitter(_: str = "") -> object:
    """Compile `fit`."""
    matrix, vector = types.Array(types.float64, 2, "C"), types.Array(types.float64, 1, "C")

    @compiled(types.void(matrix, vector, types.int64, matrix, vector))
    def fit(heights, shares, count, pieces, miss):
        """Set pieces: polynomials through (heights[k, m], shares[m]), m < count, k = 1, 2, …

        Of a row from heights[k − 1, −1] to heights[k, −1]; miss is how far they are off at the
        CHECKS columns after.
        """
        # Lanes over the rows: 2.5× what LLVM makes of loops over them.
        at, f = np.zeros((count + CHECKS, WIDTH)), np.empty((count, WIDTH))
        c, off = np.zeros((count, WIDTH)), np.zeros((1, WIDTH))
        for first in range(0, len(pieces), WIDTH):
            size = min(WIDTH, len(pieces) - first)
            for r in range(WIDTH):
                k = first + min(r, size - 1) + 1
                low = heights[k - 1, -1]
                per = 2.0 / (heights[k, -1] - low)
                for m in range(count + CHECKS):
                    at[m, r] = (heights[k, m] - low) * per - 1.0
                if r < size:
                    pieces[k - 1, 0], pieces[k - 1, 1], pieces[k - 1, 2] = low, per, k - 1
            zero = load(off, 0, 0) * 0.0
            for m in range(count):
                store(f, m, 0, zero + shares[m])
                store(c, m, 0, zero)
            for order in range(1, count):  # Newton's divided differences
                for m in range(count - 1, order - 1, -1):
                    rise = load(f, m, 0) - load(f, m - 1, 0)
                    store(f, m, 0, rise / (load(at, m, 0) - load(at, m - order, 0)))
            for m in range(count - 1, -1, -1):  # times (t − at[m]), plus f[m]
                for i in range(count - 1 - m, 0, -1):
                    store(c, i, 0, load(c, i - 1, 0) - load(at, m, 0) * load(c, i, 0))
                store(c, 0, 0, load(f, m, 0) - load(at, m, 0) * load(c, 0, 0))
            for r in range(size):
                miss[first + r] = 0.0
            for m in range(count, count + CHECKS):
                value = load(c, count - 1, 0)
                for i in range(count - 2, -1, -1):
                    value = fma(value, load(at, m, 0), load(c, i, 0))
                store(off, 0, 0, abs(value - shares[m]))
                for r in range(size):
                    miss[first + r] = max(miss[first + r], off[0, r])
            shift = pieces.shape[1] - count
            for r in range(size):
                for i in range(count):
                    pieces[first + r, shift + i] = c[count - 1 - i, r]

    return fit


@register_jitable
def bins_per(edges, size):
    """Return bins per unit of height."""
    return size / max(edges[-1] - edges[0], 1e-300)


def _bins(edges: Floats) -> NDArray[np.uint32]:
    """Return how many edges lie below each of B even bins."""
    size = min(max(2 * len(edges), FEWEST_BINS), MOST_BINS)
    bins = ((edges - edges[0]) * bins_per(edges, size)).astype(np.int64)
    counts = np.bincount(bins, minlength=size + 1)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32)


def _height(ask: Problem, y: float, side: float, goal: float) -> float | None:
    """Return the height at which a = y + goal, to the last digit but one; None if there is none."""
    act = ask.act
    if not act.low < y + goal < act.high:
        return None
    low, high = -700.0, 700.0
    for _ in range(80):
        middle = 0.5 * (low + high)
        if act.forward(middle, y)[0] < goal:
            low = middle
        else:
            high = middle
    return side * high


@cache
def _shares(points: int) -> Floats:
    """Return Chebyshev points from 0 to 1 in an order that keeps Newton's form stable.

    CHECKS others from between follow, then 1 up to the number of ORBITS.
    """
    share = 0.5 - 0.5 * np.cos(np.pi * np.arange(points) / (points - 1))
    order = [points - 1, 0]  # Leja's: each next point is the farthest from all before
    while len(order) < points:
        rest = [i for i in range(points) if i not in order]
        order.append(max(rest, key=lambda i: float(np.prod(abs(share[i] - share[order])))))
    gaps = np.linspace(0, points - 2, CHECKS).round().astype(int)
    checks = 0.5 * (share[gaps] + share[gaps + 1])
    return np.array([*share[order], *checks, *[1.0] * (ORBITS - points - CHECKS)])


@cache
def _powers(points: int) -> Floats:
    return powers_of_chebyshev(points)


def steps(ask: Problem, rate: float, side: float, count: int, top: float = np.inf) -> Floats:
    """Return the heights of T₀ … T_count, by walking the backward orbit."""
    y, kappa = lower_target(ask), step_size(ask, rate)
    lowest = _height(ask, y, side, side * ask.tolerance)
    if lowest is None:
        return np.empty(0)
    heights, falls = np.empty((2, count + 1, ORBITS))
    heights[0] = lowest
    climb = climber(f"{ask.cost} {ask.activation}")
    last = climb(heights, falls, side, kappa, y, top, 0, np.inf, -np.inf, 0.0)
    return heights[: last + 1, 0]


def staircase(ask: Problem, rate: float, side: float, top: float) -> Staircase | None:
    """Build the staircase on one side of the target, up to side·z = top.

    None if there is no such side, where every start has converged, or no epoch to train.

    What is built does not depend on `top`, only how much of it.
    """
    y, kappa, act = lower_target(ask), step_size(ask, rate), ask.act
    lowest = _height(ask, y, side, side * ask.tolerance)
    if lowest is None or ask.max_epochs == 0:
        return None
    star = _height(ask, y, side, 0.0) if y > act.low else None
    way = _way(ask, y, kappa, side, lowest, -np.inf if star is None else star)
    goal = max(GOAL * (1.0 if star is None else ask.tolerance), 1e-14 * (1.0 + abs(lowest)))
    points = _fewest_points(way, act.pole, goal)
    while True:
        built, fine = _build(ask, way, top, points, goal)
        if fine or points == MOST_POINTS:
            return built
        points = MOST_POINTS


@dataclass(frozen=True)
class _Way:
    """What a start meets on its way down to the target, on one side of it."""

    side: float
    y: float
    kappa: float
    lowest: float  # T₀
    star: float  # where δ = 0
    widest: float  # that pieces may be
    calm: float  # pieces may begin from here on
    width: float  # of the first interval, from f(T₀) to T₀
    longest: float  # step
    gain: float  # of the relative error of an end over that in epochs; at the most


def _way(
    ask: Problem, y: float, kappa: float, side: float, lowest: float, star: float
) -> _Way:
    act, widest = ask.act, PIECE_SHARE * ask.act.pole
    deltas, slopes = profile(ask.cost, ask.activation, y)
    height = side * np.arange(-48.0, 48.0, STRIDE)
    above = height > lowest
    height, step = height[above], kappa * abs(deltas[above])
    residual, slope = act.forward(side * lowest, y)
    width = kappa * abs(ask.fused.delta(residual, slope))
    calm, broad = -np.inf, step > 0.5 * np.minimum(widest, 0.125 * (height - star))
    if broad.any():
        calm = float(height[broad].max()) + STRIDE
        below = step[height < calm]
        rows = STRIDE * float((1.0 / below).sum())
        if lowest - star < STRIDE:
            rows += (lowest - star) / width * float(np.log(STRIDE / (lowest - star)))
        # Pieces from the first narrow steps on, through wide ones too: good as long as no share of
        # an epoch is bent there. That fades with the way to the poles, counted in epochs.
        if rows > FEW_ROWS and 2.0 * np.pi * act.pole > 34.0 * step.max():
            calm = -np.inf
        elif calm > 47.0:
            calm = np.inf
    return _Way(
        *(side, y, kappa, lowest, star, widest, calm, width),
        *(max(width, float(step.max(initial=0.0))), kappa * max(float(slopes[above].max()), 1e-9)),
    )


def _fewest_points(way: _Way, pole: float, goal: float) -> int:
    """Return how many points resolve the rows, if nothing but poles is near."""
    # On the widest row polynomials converge at the rate ρ; cut off, starts may end there.
    reach = 2 * pole / way.longest
    digits = np.log(1.0 + way.longest / goal)
    return int(np.clip(np.ceil(digits / np.arcsinh(reach)) + 2, 4, MOST_POINTS))


def _build(
    ask: Problem, way: _Way, top: float, points: int, goal: float
) -> tuple[Staircase, bool]:
    """Build the staircase with rows of so many points; say whether these resolve it."""
    pair, shares = f"{ask.cost} {ask.activation}", _shares(points)
    heights, falls = _climb(pair, way, way.lowest - way.width * (1.0 - shares), top)
    rows, begun = len(heights) - 1, heights[-1, -1]
    told, grown, inverses = np.empty((1, len(MEASURES))), *np.empty((2, 0, ORDERS))
    still = np.inf
    if rows and heights[-2, -1] >= way.calm and (
        4.0 * (begun - heights[-2, -1])
        <= width_at(heights[-2, -1], way.star, way.widest)
    ):
        rows, begun = rows - 1, heights[-2, -1]
        told, grown, inverses, still = _grow(pair, way, begun, rows, top, ask.max_epochs)
        # A on the pieces says what share of an epoch each orbit is at.
        per = 2.0 / (told[1, 0] - begun)
        at = (heights[-1] - begun) * per - 1.0
        shares = np.polyval(grown[0], at)
        rates = np.polyval(np.polyder(grown[0]), at) * per
        rates = np.vstack([rates / np.cumprod(falls[:0:-1], axis=0)[::-1], rates])
    else:
        rates = np.cumprod(np.vstack([np.full(ORBITS, 1.0 / way.width), falls[1:]]), axis=0)
    heights, falls, rates = heights[: rows + 1], falls[: rows + 1], rates[: rows + 1]
    pieces, miss = np.zeros((rows + len(grown), HEAD + max(points, ORDERS))), np.zeros(rows)
    _fitter()(heights, shares, points, pieces[:rows], miss)
    pieces[rows:, 0], pieces[rows:, 1] = told[:-1, 0], 2.0 / np.diff(told[:, 0])
    pieces[rows:, 2], pieces[rows:, pieces.shape[1] - ORDERS :] = told[:-1, 1], grown
    edges = np.append(pieces[:, 0], told[-1, 0] if len(grown) else begun)
    # train strays by so much, and what is built by so much
    strays, off = _bands(ask, way, heights, falls, rates, miss, told, edges)
    # On the way to its end, a start loses max_epochs at the most.
    begins = pieces[:, 2] + np.append(np.zeros(rows), told[:-1, 2])
    until = np.searchsorted(begins, begins - ask.max_epochs, "right")
    until = np.maximum(until - 1, 0)
    before = [np.append(0.0, total)[until] for total in (strays, off)]
    ends, exact = _ends(heights, shares, points, goal)
    fine = (off - before[1] <= np.maximum(OFF / way.gain, strays - before[0])) & exact[0]
    pieces[:, 3] = np.where(fine, strays + off, np.inf)
    inverses = np.column_stack([told[:-1, 2], 2.0 / told[:-1, 3], inverses])
    inverses[told[:-1, 9] > goal] = np.nan
    counts = told[:, 1] + told[:, 2] if len(grown) else np.empty(0)
    built = Staircase(
        way.side, edges, pieces, _bins(edges), ends, counts, inverses, still
    )
    return built, bool(fine[: min(rows, FIRST)].all() and exact[:FIRST].all())


def _climb(pair: str, way: _Way, first: Floats, top: float) -> tuple[Floats, Floats]:
    """Return the rows of orbits from the first, and f' there."""
    room = FIRST if way.calm == -np.inf else FEW_ROWS
    while True:
        heights, falls = np.empty((2, room + 1, ORBITS))
        heights[0] = first
        last = climber(pair)(
            *(heights, falls, way.side, way.kappa, way.y),
            *(top if way.calm == np.inf else np.inf, FIRST, way.calm, way.star, way.widest),
        )
        if last < room or room >= MOST_ROWS:
            return heights[: last + 1], falls[: last + 1]
        room *= 8


def _grow(
    pair: str, way: _Way, begun: float, rows: int, top: float, epochs: int
) -> tuple[Floats, Floats, Floats, float]:
    """Return the pieces: what is told of them, A, its inverse; and from where all stands still."""
    room = 256
    while True:
        told = np.empty((room + 1, len(MEASURES)))
        grown, inverses = np.empty((2, room, ORDERS))
        count = grower(pair)(
            *(told, grown, inverses, way.side, way.kappa, way.y, begun, float(rows)),
            *(max(top, begun + 1e-9), way.star, way.widest, float(epochs), STILL),
        )
        if count < room or room >= MOST_PIECES:
            break
        room *= 8
    end = float(told[count, 0])
    still = end if count < room and end < top and told[count - 1, 3] > 0.0 else np.inf
    return told[: count + 1], grown[:count], inverses[:count], still


def _bands(
    ask: Problem,
    way: _Way,
    heights: Floats,
    falls: Floats,
    rates: Floats,
    miss: Floats,
    told: Floats,
    edges: Floats,
) -> tuple[Floats, Floats]:
    """Return how far, in epochs, training and A itself may be off, for each row and piece."""
    c, told = 24 + 8 * (way.y - ask.act.low) / ask.tolerance, told[:-1]
    slope = ask.act.forward(way.side * way.lowest, way.y)[1]
    blur = 8 * U * (abs(way.y - ask.act.low) + 2 * ask.tolerance) / slope + 4 * U * abs(way.lowest)
    most = rates[:-1].max(axis=1)  # A' where the starts of a row land
    rough = c * np.diff(heights, axis=0) + abs((1.0 - falls[1:]) * heights[1:])
    begins = np.concatenate([[heights[0].min()], heights[:-2, -1]])[: len(most)]
    # On a piece: so many epochs, but no more than train does.
    passing = np.minimum(told[:, 3], ask.max_epochs) + 1.0
    weight = U * np.concatenate([most, passing * told[:, 6]])
    local = weight * np.concatenate([rough.max(axis=1), c * told[:, 7] + told[:, 8]])
    lands = weight * np.concatenate([begins, told[:, 0] - told[:, 7]])
    high = edges[1:]
    far = high * np.cumsum(weight) - np.cumsum(lands)  # Σ A' u|z₀ − ζ|
    here = np.concatenate([rates[1:].max(axis=1), told[:, 6]])
    strays = 2.0 * (blur * rates[0].max() + np.cumsum(local) + far) + 4.0 * U * abs(high) * here
    missed = np.cumsum(passing * (4.0 * told[:, 4] + 16.0 * U) + 4.0 * told[:, 5])
    return strays, np.concatenate([4.0 * miss + 16.0 * U, missed])


def _ends(
    heights: Floats, shares: Floats, points: int, goal: float
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the heights of each row over the share of an epoch, and whether they are exact."""
    t = 2.0 * shares - 1.0
    basis = np.polynomial.chebyshev.chebvander(t[: points + CHECKS], points - 1)
    found = np.linalg.solve(basis[:points], heights[:, :points].T)
    checked = heights[:, points : points + CHECKS].T
    exact = abs(basis[points:] @ found - checked).max(axis=0) <= goal
    ends = found.T @ _powers(points)
    ends[~exact] = np.nan
    return np.ascontiguousarray(ends), exact
