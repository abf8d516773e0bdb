"""Many epochs at once, for the points that are walked: polynomials of F^k on small squares."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sweep.kernels.orbit.plane.coefficients import coefficients
from sweep.kernels.orbit.plane.epoch import errors
from sweep.kernels.orbit.plane.survey import Survey, Task
from sweep.kernels.orbit.plane.tables import (
    EDGES,
    INSIDE,
    NOTHING,
    ORDERS,
    Square,
    aligned,
    empty_table,
    evaluate_on,
    find_squares,
    packed,
    points_of,
    rows_of,
    steepest_of,
    table_of,
)
from sweep.kernels.orbit.plane.walking import MARGIN, Jumps, no_jumps, walked

__all__ = ["OF_ENDS", "Fit", "after_epochs", "build_jumps", "fit_states"]

Floats = NDArray[np.float64]

# A jump is over so many updates by single samples at least, for looking it up takes as long as 20
# epochs of 16; and over this part of the epochs to the crossing at most, so that building it takes
# no longer than what it saves.
LEAST_UPDATES, PART = 1024, 1 / 16

# Roots, quarters, and so on.
LEVELS = 3

# A polynomial of F^k may miss this part of what training rounds in k epochs, so that jumps that
# were doubled so often miss no more than that; and its part of OF_ENDS, which is what may be missed
# of where starts end, or LEAST_MISS.
MOST_DOUBLINGS, OF_ENDS, LEAST_MISS = 16, 1e-10, 3e-13

# What polynomials miss on the smoothest of squares, by rounding.
NOISE = 3e-14


def build_jumps(task: Task, found: Survey) -> Jumps:
    """Return jumps from the roots of a survey, or from parts of them, as long as F^k is smooth.

    F^2k is F^k of F^k: a jump misses what its polynomial does, and twice what the shorter one does.
    """
    k = 1
    while k * len(task.problem.x) < LEAST_UPDATES or k * task.rounding < MOST_DOUBLINGS * NOISE:
        k *= 2
    most, places = _most_epochs(task, found), np.concatenate([EDGES, INSIDE], axis=1)
    made = list[tuple[Square, int, Floats, Floats]]()

    def smooth(
        squares: list[Square], begin: Floats, walked: int, jumps: Jumps
    ) -> dict[Square, Floats]:
        """Keep F^k where it is smooth, and return the states (2, m) after it on those squares.

        `begin` (2, S, m) are the states `walked` epochs before.
        """
        of_ends = max(k * OF_ENDS / task.longest, LEAST_MISS)
        allowed = min(k * task.rounding / MOST_DOUBLINGS, of_ends)

        values = after_epochs(task, walked, begin, jumps)
        fit = fit_states(task, squares, points_of(task.roots, squares, places), values)
        good = (fit.missed[:, :2].max(axis=1) <= allowed) & (
            fit.missed[:, 2] <= MARGIN * task.problem.tolerance
        )
        states = dict[Square, Floats]()
        for i in np.flatnonzero(good):
            made.append((squares[i], k, fit.base[i], fit.rows[i]))
            states[squares[i]] = values[:2, i]
        return states

    def built() -> Jumps:
        last, shorter = dict[Square, int](), list[int]()
        for number, (square, *_) in enumerate(made):
            shorter.append(last.get(square, NOTHING))
            last[square] = number
        base = np.array([each[2] for each in made]).reshape(-1, 3)
        none = rows_of(empty_table(task.roots, 3))
        rows = aligned([none, *(each[3][None] for each in made)])
        table = table_of(task.roots, [each[0] for each in made], base, rows)
        epochs = [each[1] for each in made]
        return Jumps(table, np.array(epochs, np.int64), np.array(shorter, np.int64))

    states, left = dict[Square, Floats](), sorted(most)
    for level in range(LEVELS):
        worth = PART * np.array([most[_root_of(each)] for each in left])
        left = [left[i] for i in np.flatnonzero(worth >= k * max(8 ** (level - 1), 1))]
        if left:
            points = points_of(task.roots, left, places)
            states |= smooth(left, points, k, no_jumps(task.roots))
            left = [part for each in left if each not in states for part in each.children()]
    while states and not task.stop[0]:
        jumps, squares = built(), list(states)
        state = np.stack(list(states.values()), axis=1)
        square = find_squares(jumps.table, *state.reshape(2, -1)).reshape(state.shape[1:])
        worth = PART * np.array([most[_root_of(each)] for each in squares])
        far = np.flatnonzero((square != NOTHING).all(axis=1) & (worth >= 2 * k))
        states = {}
        if len(far):
            k *= 2
            states = smooth([squares[i] for i in far], state[:, far], k // 2, jumps)
    return built()


def _root_of(square: Square) -> Square:
    return Square(0, square.i >> square.level, square.j >> square.level)


def _most_epochs(task: Task, found: Survey) -> dict[Square, float]:
    """Return the most epochs to convergence seen from each root, or from those around it."""
    rows, columns = found.roots.shape
    seen = {
        root: float(np.nan_to_num(after, nan=task.longest).max())
        for root, after in found.times.items()
    }
    most = dict(seen)
    for (_, i, j), epochs in seen.items():
        for di in (-1, 0, 1):
            for dj in (-1, 0, 1):
                near = Square(0, i + di, j + dj)
                if near not in seen and 0 <= near.i < rows and 0 <= near.j < columns:
                    most[near] = min(epochs, most.get(near, np.inf))
    return most


class Fit(NamedTuple):
    """Polynomials of w, b and the error after some epochs, on P squares.

    Attributes
    ----------
    base, rows : (P, 3) and (P, ORDERS, columns) arrays
        As `table_of` takes them.
    missed, least : (P, 3) and (P,) arrays
        By how much they miss the points at most; the least error of those.
    steep : (P,) array
        How steep the error is at most.
    """

    base: Floats
    rows: Floats
    missed: Floats
    least: Floats
    steep: Floats


def after_epochs(task: Task, epochs: Floats | int, points: Floats, jumps: Jumps) -> Floats:
    """Return w, b and the error (3, …) of points (2, …) after so many epochs, (…) or a number."""
    most = np.broadcast_to(np.asarray(epochs, np.float64), points.shape[1:]).ravel()
    nothing = empty_table(task.roots, 2)
    state = walked(task, points.reshape(2, -1), nothing, jumps, most, limit=-1.0)[:2]
    return np.array([*state, errors(task.problem, state, task.threads)]).reshape(
        3, *points.shape[1:]
    )


def fit_states(task: Task, squares: list[Square], points: Floats, values: Floats) -> Fit:
    """Return polynomials through values (3, P, m) at points (2, P, m); INSIDE come last of them."""
    values = np.moveaxis(values, 0, 1)
    base = values[:, :, -1].copy()
    grid = (values - base[:, :, None])[:, :, -INSIDE.shape[1] :]
    rows = packed(coefficients(grid.reshape(-1, 3, ORDERS, ORDERS)))
    table = table_of(task.roots, squares, base, rows)
    number = np.repeat(np.arange(len(squares)), points.shape[2])
    found = evaluate_on(table, number, *points.reshape(2, -1)).reshape(3, *points.shape[1:])
    missed = abs(np.moveaxis(found, 0, 1) - values).max(axis=2)
    return Fit(base, rows, missed, values[:, 2].min(axis=1), steepest_of(table, 2))
