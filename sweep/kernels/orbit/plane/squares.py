"""The squares of (w, b) on which the time of the crossing is a polynomial.

They are built from the curve outwards, which is that of the states whose error is the tolerance. A
start is known by two numbers: the time A at which its orbit crosses the curve, and the place there.
Both are smooth, and A falls by 1 in an epoch, so that a point is walked only until it comes to a
square that is known already.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sweep.kernels.orbit.branch import UNIT_ROUNDOFF
from sweep.kernels.orbit.plane.coefficients import along_last, coefficients
from sweep.kernels.orbit.plane.ends import Ends, build_ends, evaluate_ends, no_ends
from sweep.kernels.orbit.plane.epoch import errors
from sweep.kernels.orbit.plane.jumps import OF_ENDS
from sweep.kernels.orbit.plane.stencil import crossings
from sweep.kernels.orbit.plane.survey import Survey, Task
from sweep.kernels.orbit.plane.tables import (
    CHECKED,
    EDGES,
    INSIDE,
    NOTHING,
    ON_EDGE,
    ORDERS,
    Lattice,
    Square,
    Table,
    aligned,
    empty_table,
    evaluate_on,
    packed,
    points_of,
    polynomials_of,
    rows_of,
    size_of,
    steepest_of,
    table_of,
)
from sweep.kernels.orbit.plane.walking import CROSSED, Jumps, walked
from sweep.neuron.problem import Problem

__all__ = [
    "ANSWERED",
    "BOUND",
    "FALL",
    "SAFETY",
    "STEEP",
    "TOTAL",
    "Known",
    "build_squares",
    "error_rounding",
    "measure_of",
    "some_of",
]

Floats = NDArray[np.float64]

# What polynomials of A may miss, as it moves w, b and the error at the end, the error relative to
# the tolerance: so much at first; UNEVEN times of what those missed to which its points came, for
# that is noise, which halving does not lessen, but no more than COARSEST; rounding alone moves A by
# some 1e-13 of itself. What is missed of the place, and of where starts end, is at most OF_ENDS.
# Squares on whose way more than ANSWERED is missed in all are walked to, and answer no start.
PRECISION, UNEVEN, COARSEST, ROUNDING = 2e-11, 3.0, 3e-10, 1e-13
ANSWERED = 2e-9

# What is bounded is so many times what was seen, at points between those that made a polynomial.
SAFETY = 4.0

# Epochs that points within the tolerance walk backwards, at most.
LONGEST_BACK = 512

# Points that are walked, about, before the rest is left to be trained.
MOST_POINTS = 600_000

# If hardly any squares are smooth, the rest is left, too: where the error crosses within a few
# epochs, A is no polynomial anywhere (569 samples with a learning rate of 1: 22 squares of 392).
FEWEST, LEAST_SMOOTH = 300, 0.125

# Squares halved more often than so are small.
LARGE = 3

# A round builds this part of the squares that are left, those that cross first, and at least so
# many: a point then comes to a known square soon.
ROUND, LEAST = 4, 16


class Known(NamedTuple):
    """P squares of which the crossing is known.

    Attributes
    ----------
    table : Table
        Of two values: A, and the place on the curve, from −1 to 1.
    ends : Ends
    measures : (P, 6) array
        Columns BOUND and so on.
    squares : list of Square
        Where they are.
    """

    table: Table
    ends: Ends
    measures: Floats
    squares: list[Square]


# Rows of what `walk` returns of N points: A; where their orbits cross the curve; and after how many
# epochs a known square was reached, or the curve. Then, of that square:
# - how far A may be off, SAFETY times what the polynomials were seen to miss, there and where the
#   points that made them came to known squares, and what rounds in training;
# - the greatest |∂A/∂w| + |∂A/∂b|;
# - how much the error falls in an epoch at the crossing, at least, and w and b change, at most;
# - what its polynomial of A missed at most, as that moves the ends, or one on the way, and the sum
#   of these on the way.
EPOCHS, AT_W, AT_B, WALKED, BOUND, STEEP, FALL, PACE, NOISE, TOTAL = range(10)


def measure_of(known: Known, row: int) -> Floats:
    """Return a measure (P,) of squares: that of the row BOUND, or one after it."""
    measure: Floats = known.measures[:, row - BOUND]
    return measure


def error_rounding(problem: Problem) -> float:
    """Return how far rounding may move an error that is compared with the tolerance."""
    span = problem.act.high - problem.act.low
    return UNIT_ROUNDOFF * (32 + len(problem.x)) * (span + 1.0)


def some_of(roots: Lattice, known: Known, which: NDArray[np.bool_]) -> Known:
    """Return some of the squares."""
    squares = [square for square, kept in zip(known.squares, which, strict=True) if kept]
    table, ends = known.table, Ends(*(each[which] for each in known.ends))
    rows = aligned([rows_of(table)[which]])
    table = table_of(roots, squares, table.base[which], rows)
    ends = ends._replace(polynomials=aligned([ends.polynomials]))
    return Known(table, ends, known.measures[which], squares)


def walk(task: Task, theta: Floats, known: Known, jumps: Jumps) -> Floats:
    """Return the rows EPOCHS and so on (10, …) of points (2, …), NaN where no orbit crosses."""
    problem, shape = task.problem, theta.shape[1:]
    theta = theta.reshape(2, -1)
    out = np.full((10, theta.shape[1]), np.nan)
    w, b, epochs, square = walked(task, theta, known.table, jumps, task.longest, problem.tolerance)

    here = np.flatnonzero(square > NOTHING)
    number = square[here].astype(np.int64)
    times, place = evaluate_on(known.table, number, w[here], b[here])
    crossing = evaluate_ends(known.ends, number, place, np.full(len(number), -1.0))
    out[EPOCHS, here], out[WALKED, here] = epochs[here] + times, epochs[here]
    out[AT_W : AT_B + 1, here] = crossing[:2]
    out[BOUND:, here] = known.measures[number].T

    # Lanes wait for one another: starts within the tolerance, which walk backwards for long, come
    # apart, and in the order of their errors.
    crossed = square == CROSSED
    within = np.flatnonzero(crossed & (epochs == 0.0))
    within = within[errors(problem, theta[:, within], task.threads).argsort(kind="stable")]
    for here, most in ((np.flatnonzero(crossed & (epochs > 0.0)), 1), (within, LONGEST_BACK)):
        start = np.array([w[here], b[here]])
        found = crossings(problem, task.rate, start, most, task.threads, task.stop)
        out[EPOCHS, here], out[AT_W : AT_B + 1, here] = epochs[here] + found.epochs, found.at
        out[WALKED, here] = abs(epochs[here] + found.epochs)
        out[BOUND:, here] = 0.0
        out[FALL, here], out[PACE, here] = found.fall, found.pace
    return out.reshape(10, *shape)


class Waiting(NamedTuple):
    """A square to be built, and the mean of what is known of A there.

    They come in the order of these fields: those that cross first, but small squares last, so that
    narrow fronts do not take all the points that may be walked.
    """

    small: int
    mean: float
    square: Square


def build_squares(task: Task, found: Survey, jumps: Jumps) -> tuple[Known, list[Square], bool]:
    """Return the squares on which starts are known, and those whose starts max_epochs cuts off.

    And whether more than hardly any squares are smooth.
    """
    roots, most = task.roots, task.problem.max_epochs
    known, late = _joined(roots, []), list[Square]()
    waiting = list[Waiting]()

    def put(square: Square, epochs: Floats) -> None:
        some = epochs[~np.isnan(epochs)]
        if len(some) and some.min() <= most:
            mean = math.fsum(some.tolist()) / len(some)
            waiting.append(Waiting(max(square.level, LARGE), mean, square))
        else:
            late.append(square)

    for square, after in found.times.items():
        if square in found.often:
            put(square, after)
    points, tried, smooth = 0, 0, True
    while waiting and points < MOST_POINTS and not task.stop[0]:
        if tried > FEWEST and not smooth:
            break
        waiting.sort()
        size = max(len(waiting) // ROUND, LEAST)
        batch, waiting = waiting[:size], waiting[size:]
        built = _build(task, batch, known, jumps)
        points, tried = points + built.points, tried + len(batch)
        known = _joined(roots, [known, built.made])
        smooth = len(known.squares) >= LEAST_SMOOTH * tried
        for each in built.too_far:
            if each.square.level < task.deepest:
                small = max(each.square.level + 1, LARGE)
                waiting += [Waiting(small, each.mean, k) for k in each.square.children()]
        for square, epochs in built.uneven:
            if square.level < task.deepest:
                for child, near in zip(square.children(), QUARTERS, strict=True):
                    put(child, epochs[near])
    table = known.table
    greatest = table.base[:, 0] + size_of(polynomials_of(table)[:, 0])
    late += [square for square, a in zip(known.squares, greatest, strict=True) if a > most]
    return known, late, smooth


# Which of EDGES are those of a square's quarters.
QUARTERS = [
    np.flatnonzero((EDGES[0] * di >= 0.0) & (EDGES[1] * dj >= 0.0))
    for di in (-1, 1)
    for dj in (-1, 1)
]


def _joined(roots: Lattice, parts: list[Known]) -> Known:
    """Return the squares of several parts as one."""
    squares = [square for part in parts for square in part.squares]
    if not squares:
        return Known(empty_table(roots, 2), no_ends(), np.empty((0, 6)), [])
    tables, ends = [part.table for part in parts], [part.ends for part in parts]
    base = np.concatenate([each.base for each in tables])
    rows = np.concatenate([rows_of(each) for each in tables])
    return Known(
        table_of(roots, squares, base, rows),
        Ends(*map(np.concatenate, zip(*ends, strict=True))),
        np.concatenate([part.measures for part in parts]),
        squares,
    )


class _Built(NamedTuple):
    """What became of some squares.

    Attributes
    ----------
    made : Known
        Those that are smooth.
    uneven : list of (Square, (m,) array)
        Those that are not, and A at EDGES.
    too_far : list of Waiting
        Those in which the curve is too many epochs away.
    points : int
        Points that were walked.
    """

    made: Known
    uneven: list[tuple[Square, Floats]]
    too_far: list[Waiting]
    points: int


def _build(task: Task, batch: list[Waiting], known: Known, jumps: Jumps) -> _Built:
    """Build squares, but for those that lie within the tolerance, of which nothing is to be known.

    Edges come first: what makes A uneven within a square crosses them, and they are a quarter of
    its points.
    """
    roots, problem = task.roots, task.problem
    points = points_of(roots, [each.square for each in batch], EDGES)
    error = errors(problem, points, task.threads)
    inside = error <= problem.tolerance
    # The point that is likely to walk backwards for longest.
    deepest = points[:, np.arange(len(batch)), error.argmin(axis=1)]
    some = np.flatnonzero(inside.any(axis=1) & ~inside.all(axis=1))
    back = crossings(
        problem, task.rate, deepest[:, some], LONGEST_BACK, task.threads, task.stop
    ).epochs
    far = some[np.isnan(back)]
    near = np.array(~inside.all(axis=1))
    near[far] = False
    too_far = [batch[k] for k in far]
    squares = [batch[k].square for k in np.flatnonzero(near)]
    if not squares:
        return _Built(_joined(roots, []), [], too_far, 0)
    edges = walk(task, points[:, near], known, jumps)
    lines = edges[EPOCHS].reshape(len(squares), -1, len(ON_EDGE))
    along = along_last(lines[..., :ORDERS] - lines[..., :1])
    values = np.zeros(lines.shape)
    for power in range(ORDERS):
        values = values * ON_EDGE + along[..., power, None]
    off = abs(values + lines[..., :1] - lines).reshape(len(squares), -1).max(axis=1)
    fits = off * _fastest(edges, problem) <= _allowed(edges, problem)
    chosen = [square for square, fit in zip(squares, fits, strict=True) if fit]
    uneven = [(square, edges[EPOCHS, k]) for k, square in enumerate(squares) if not fits[k]]
    if not chosen:
        return _Built(_joined(roots, []), uneven, too_far, edges[0].size)

    points = points_of(roots, chosen, np.concatenate([EDGES, CHECKED, INSIDE], axis=1))
    rest = walk(task, points[:, :, EDGES.shape[1] :], known, jumps)
    found = np.concatenate([edges[:, fits], rest], axis=2)
    at = found[AT_W : AT_B + 1]
    unit = np.array(roots.side)[:, None] * 0.5 ** np.array([square.level for square in chosen])
    ends, missed = build_ends(problem, task.rate, at, unit, task.threads, task.stop)
    base = np.column_stack([np.rint(found[EPOCHS, :, -1]), np.zeros(len(chosen))])
    values = np.stack([found[EPOCHS] - base[:, :1], ends.place(at)], axis=1)
    grid = values[:, :, -ORDERS * ORDERS :].reshape(-1, 2, ORDERS, ORDERS)
    table = table_of(roots, chosen, base, packed(coefficients(grid)))
    number = np.repeat(np.arange(len(chosen)), points.shape[2])
    times, place = evaluate_on(table, number, *points.reshape(2, -1))
    crossing = evaluate_ends(ends, number, place, np.full(len(number), -1.0))
    missed = np.maximum(missed, abs(crossing[:2].reshape(at.shape) - at).max(axis=(0, 2)))
    off = abs(times.reshape(found.shape[1:]) - found[EPOCHS]).max(axis=1)
    noise = off * _fastest(found, problem)
    smooth = (noise <= _allowed(found, problem)) & (missed <= OF_ENDS)
    steep = steepest_of(table, 1)
    # Twice, for jumps miss as much as training rounds.
    between = 2.0 * task.rounding * found[WALKED] * np.maximum(found[STEEP], steep[:, None])
    measures = np.column_stack(
        [
            SAFETY * off + (found[BOUND] + between).max(axis=1),
            steep,
            found[FALL].min(axis=1),
            found[PACE].max(axis=1),
            np.maximum(noise, found[NOISE].max(axis=1)),
            noise + found[TOTAL].max(axis=1),
        ]
    )
    at_chosen = edges[EPOCHS, fits]
    uneven += [(chosen[k], at_chosen[k]) for k in np.flatnonzero(~smooth)]
    made = Known(
        table_of(roots, [], base[smooth], rows_of(table)[smooth]),
        Ends(*(each[smooth] for each in ends)),
        measures[smooth],
        [square for square, fit in zip(chosen, smooth, strict=True) if fit],
    )
    walked = edges[0].size + smooth.sum() * INSIDE.shape[1]
    return _Built(made, uneven, too_far, walked)


def _fastest(found: Floats, problem: Problem) -> Floats:
    """Return by how much an error in A of 1 moves the ends of squares, from rows (10, P, m)."""
    fastest: Floats = np.maximum(found[FALL] / problem.tolerance, found[PACE]).max(axis=1)
    return fastest


def _allowed(found: Floats, problem: Problem) -> Floats:
    """Return what polynomials of A may miss, as they move the ends; NaN where A is not known."""
    rounding = ROUNDING * abs(found[EPOCHS]).max(axis=1) * _fastest(found, problem)
    noise = UNEVEN * found[NOISE].max(axis=1)
    allowed: Floats = np.minimum(np.maximum(np.maximum(PRECISION, rounding), noise), COARSEST)
    return allowed
