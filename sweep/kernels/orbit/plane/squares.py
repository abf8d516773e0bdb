"""The squares of (w, b) on which the time of the crossing is a polynomial.

They are built from the curve outwards, which is that of the states whose error is the tolerance. A
start is known by two numbers: the time A at which its orbit crosses the curve, and the place there.
Both are smooth, and A falls by 1 in an epoch, so that a point is walked only until it comes to a
square that is known already.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sweep.kernels.orbit.plane.ends import Ends, build_ends, evaluate_ends, no_ends
from sweep.kernels.orbit.plane.jumps import Jumps, build_jumps, jump
from sweep.kernels.orbit.plane.stencil import crossings
from sweep.kernels.orbit.plane.survey import Survey, Task
from sweep.kernels.orbit.plane.tables import (
    CHECKED,
    DEEPEST,
    EDGES,
    INSIDE,
    NOTHING,
    ON_EDGE,
    ORDERS,
    TO_COEFFICIENTS,
    Lattice,
    Square,
    Table,
    coefficients,
    evaluate_on,
    find_squares,
    points_of,
    size_of,
    steepest_of,
    table_of,
)
from sweep.neuron.problem import Problem, Status

__all__ = ["ANSWERED", "BOUND", "FALL", "OF_ENDS", "SAFETY", "TOTAL", "Known", "build_squares"]

Floats = NDArray[np.float64]

# What polynomials of A may miss, as it moves w, b and the error at the end, the error relative to
# the tolerance: so much at first; UNEVEN times of what those missed to which its points came, for
# that is noise, which halving does not lessen, but no more than COARSEST; rounding alone moves A by
# some 1e-13 of itself. What is missed of the place, and of where starts end, is at most OF_ENDS.
# Squares on whose way more than ANSWERED is missed in all are walked to, and answer no start.
PRECISION, UNEVEN, COARSEST, ROUNDING = 2e-11, 3.0, 3e-10, 1e-13
OF_ENDS, ANSWERED = 1e-10, 2e-9

# What is bounded is so many times what was seen, at points between those that made a polynomial.
SAFETY = 4.0

# Epochs that points within the tolerance walk backwards, at most.
LONGEST_BACK = 512

# Points that are walked, about, before the rest is left to be trained.
MOST_POINTS = 300_000

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


def walk(task: Task, theta: Floats, known: Known, jumps: Jumps | None) -> Floats:
    """Return the rows EPOCHS and so on (10, …) of points (2, …), NaN where no orbit crosses."""
    problem, shape = task.problem, theta.shape[1:]
    theta = theta.reshape(2, -1)
    out = np.full((10, theta.shape[1]), np.nan)

    def cross(which: NDArray[np.int64], start: Floats, epochs: Floats, most: int) -> None:
        found = crossings(problem, task.rate, start, most, task.threads, task.stop)
        out[EPOCHS, which], out[AT_W : AT_B + 1, which] = epochs + found.epochs, found.at
        out[WALKED, which] = abs(epochs + found.epochs)
        out[BOUND:, which] = 0.0
        out[FALL, which], out[PACE, which] = found.fall, found.pace

    inside = task.train(replace(problem, max_epochs=0), theta).initial_error <= problem.tolerance
    if inside.any():
        here = np.flatnonzero(inside)
        cross(here, theta[:, here], np.zeros(len(here)), LONGEST_BACK)
    left, state = np.flatnonzero(~inside), theta[:, ~inside]
    epochs = np.zeros(len(left))
    walked = 0
    while len(left) and not task.stop[0]:
        square = find_squares(known.table, *state)
        hit = square != NOTHING
        if hit.any():
            here, number = left[hit], square[hit]
            times, place = evaluate_on(known.table, number, *state[:, hit])
            crossing = evaluate_ends(known.ends, number, place, np.full(len(number), -1.0))
            out[EPOCHS, here], out[WALKED, here] = epochs[hit] + times, epochs[hit]
            out[AT_W : AT_B + 1, here] = crossing[:2]
            out[BOUND:, here] = known.measures[number].T
            left, state, epochs = left[~hit], state[:, ~hit], epochs[~hit]
        near = epochs < task.longest
        left, state, epochs = left[near], state[:, near], epochs[near]
        if not len(left):
            break
        chunk, slow = max(16, walked // 2), np.ones(len(left), np.bool_)
        if jumps is not None:
            jumped, moved = jump(task, jumps, state)
            state[:, jumped], slow, chunk = moved, ~jumped, jumps.epochs
            epochs[jumped] += chunk
        chunk, walked = min(chunk, task.longest), walked + chunk
        trained = task.train(replace(problem, max_epochs=chunk), state[:, slow])
        state[:, slow] = trained.w[:, 0], trained.b
        epochs[slow] += trained.epochs
        met = np.zeros(len(left), np.bool_)
        met[slow] = trained.status == Status.converged
        if met.any():
            cross(left[met], state[:, met], epochs[met], 2)
            left, state, epochs = left[~met], state[:, ~met], epochs[~met]
    return out.reshape(10, *shape)


class Waiting(NamedTuple):
    """A square to be built, and the mean of what is known of A there.

    They come in the order of these fields: those that cross first, but small squares last, so that
    narrow fronts do not take all the points that may be walked.
    """

    small: int
    mean: float
    square: Square


def build_squares(task: Task, found: Survey) -> tuple[Known, list[Square]]:
    """Return the squares on which starts are known, and those whose starts max_epochs cuts off."""
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
            put(square, np.array(after))
    jumps, points = build_jumps(task, found), 0
    while waiting and points < MOST_POINTS and not task.stop[0]:
        waiting.sort()
        size = max(len(waiting) // ROUND, LEAST)
        batch, waiting = _within_reach(task, waiting[:size]), waiting[size:]
        for each in batch.too_far:
            if each.square.level < DEEPEST:
                small = max(each.square.level + 1, LARGE)
                waiting += [Waiting(small, each.mean, k) for k in each.square.children()]
        if not batch.near:
            continue
        squares = [each.square for each in batch.near]
        made, kept, edges = _build(task, squares, known, jumps)
        points += len(batch.near) * EDGES.shape[1] + len(made.squares) * INSIDE.shape[1]
        known = _joined(roots, [known, made])
        for square, fits, epochs in zip(squares, kept, edges, strict=True):
            if not fits and square.level < DEEPEST:
                for child, near in zip(square.children(), QUARTERS, strict=True):
                    put(child, epochs[near])
    table = known.table
    greatest = table.base[:, 0] + size_of(table.coefficients[:, 0])
    late += [square for square, a in zip(known.squares, greatest, strict=True) if a > most]
    return known, late


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
        nothing = table_of(roots, [], np.empty((0, 2)), np.empty((0, 2, ORDERS, ORDERS)))
        return Known(nothing, no_ends(), np.empty((0, 6)), [])
    tables, ends = [part.table for part in parts], [part.ends for part in parts]
    base = np.concatenate([each.base for each in tables])
    made = np.concatenate([each.coefficients for each in tables])
    return Known(
        table_of(roots, squares, base, made),
        Ends(*map(np.concatenate, zip(*ends, strict=True))),
        np.concatenate([part.measures for part in parts]),
        squares,
    )


class _Batch(NamedTuple):
    """Squares that can be built, and those in which the curve is too many epochs away."""

    near: list[Waiting]
    too_far: list[Waiting]


def _within_reach(task: Task, batch: list[Waiting]) -> _Batch:
    """Leave out the squares that lie within the tolerance, of which nothing is to be known."""
    problem = task.problem
    points = points_of(task.roots, [each.square for each in batch], EDGES)
    trained = task.train(replace(problem, max_epochs=0), points.reshape(2, -1))
    errors = trained.initial_error.reshape(points.shape[1:])
    inside = errors <= problem.tolerance
    # The point that is likely to walk backwards for longest.
    deepest = points[:, np.arange(len(batch)), errors.argmin(axis=1)]
    some = np.flatnonzero(inside.any(axis=1) & ~inside.all(axis=1))
    back = crossings(
        problem, task.rate, deepest[:, some], LONGEST_BACK, task.threads, task.stop
    ).epochs
    far = set(some[np.isnan(back)].tolist())
    return _Batch(
        [each for k, each in enumerate(batch) if not inside[k].all() and k not in far],
        [each for k, each in enumerate(batch) if k in far],
    )


def _build(
    task: Task, squares: list[Square], known: Known, jumps: Jumps | None
) -> tuple[Known, NDArray[np.bool_], Floats]:
    """Return those of some squares that are smooth, which these are, and A at EDGES of all.

    Edges come first: what makes A uneven within a square crosses them, and they are a quarter of
    its points.
    """
    roots, problem = task.roots, task.problem
    edges = walk(task, points_of(roots, squares, EDGES), known, jumps)
    lines = edges[EPOCHS].reshape(len(squares), -1, len(ON_EDGE))
    along, values = np.zeros((*lines.shape[:2], ORDERS)), np.zeros(lines.shape)
    for node in range(ORDERS):
        along += (lines[..., node, None] - lines[..., :1]) * TO_COEFFICIENTS[node]
    for power in range(ORDERS):
        values = values * ON_EDGE + along[..., power, None]
    off = abs(values + lines[..., :1] - lines).reshape(len(squares), -1).max(axis=1)
    fits = off * _fastest(edges, problem) <= _allowed(edges, problem)
    chosen = [square for square, fit in zip(squares, fits, strict=True) if fit]
    if not chosen:
        return _joined(roots, []), fits, edges[EPOCHS]

    points = points_of(roots, chosen, np.concatenate([EDGES, CHECKED, INSIDE], axis=1))
    rest = walk(task, points[:, :, EDGES.shape[1] :], known, jumps)
    found = np.concatenate([edges[:, fits], rest], axis=2)
    at = found[AT_W : AT_B + 1]
    unit = np.array(roots.side)[:, None] * 0.5 ** np.array([square.level for square in chosen])
    ends, missed = build_ends(problem, task.rate, at, unit, task.train, task.threads, task.stop)
    base = np.column_stack([np.rint(found[EPOCHS, :, -1]), np.zeros(len(chosen))])
    values = np.stack([found[EPOCHS] - base[:, :1], ends.place(at)], axis=1)
    grid = values[:, :, -ORDERS * ORDERS :].reshape(-1, 2, ORDERS, ORDERS)
    table = table_of(roots, chosen, base, coefficients(grid, TO_COEFFICIENTS, TO_COEFFICIENTS))
    number = np.repeat(np.arange(len(chosen)), points.shape[2])
    times, place = evaluate_on(table, number, *points.reshape(2, -1))
    crossing = evaluate_ends(ends, number, place, np.full(len(number), -1.0))
    missed = np.maximum(missed, abs(crossing[:2].reshape(at.shape) - at).max(axis=(0, 2)))
    off = abs(times.reshape(found.shape[1:]) - found[EPOCHS]).max(axis=1)
    noise = off * _fastest(found, problem)
    smooth = (noise <= _allowed(found, problem)) & (missed <= OF_ENDS)
    steep = steepest_of(table, 1)
    between = task.rounding * found[WALKED] * np.maximum(found[STEEP], steep[:, None])
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
    fits[np.flatnonzero(fits)] = smooth
    made = Known(
        table_of(roots, [], base[smooth], table.coefficients[smooth]),
        Ends(*(each[smooth] for each in ends)),
        measures[smooth],
        [square for square, fit in zip(chosen, smooth, strict=True) if fit],
    )
    return made, fits, edges[EPOCHS]


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
