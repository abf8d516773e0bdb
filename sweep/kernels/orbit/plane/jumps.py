"""Many epochs at once, for the points that are walked: polynomials of F^k on small squares."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sweep.kernels.orbit.plane.survey import UNREACHABLE, Survey, Task
from sweep.kernels.orbit.plane.tables import (
    EDGES,
    INSIDE,
    NOTHING,
    ORDERS,
    TO_COEFFICIENTS,
    Square,
    Table,
    coefficients,
    evaluate_on,
    find_squares,
    points_of,
    steepest_of,
    table_of,
)

__all__ = ["Fit", "Jumps", "build_jumps", "fit_epochs", "jump"]

Floats = NDArray[np.float64]

# A jump is about this part of what starts take, and at least so many epochs of so many samples.
# Looking it up takes as long as 20 epochs of 16 samples, or half of one of 569.
JUMPS, SHORTEST, FEWEST = 48.0, 16, 64

# The error after a jump is known so well, relative to the tolerance.
MARGIN = 1e-6


class Jumps(NamedTuple):
    """w, b and the error after k epochs, k = `epochs`."""

    table: Table
    epochs: int


def build_jumps(task: Task, found: Survey) -> Jumps | None:
    """Return jumps on the quarters of the roots of a survey; None where orbits are too short.

    A polynomial may miss F^k by as much as training may round in k epochs.
    """
    times = [value for after in found.times.values() for value in after if value == value]
    mean = sum(times) / len(times) if times else 0.0
    if mean < JUMPS * SHORTEST or len(task.problem.x) < FEWEST:
        return None
    k = SHORTEST
    while 2 * k * JUMPS <= mean:
        k *= 2
    rows, columns = found.roots.shape
    around = {
        Square(0, i + di, j + dj)
        for _, i, j in found.times
        for di in (-1, 0, 1)
        for dj in (-1, 0, 1)
        if 0 <= i + di < rows and 0 <= j + dj < columns
    }
    squares = [quarter for square in sorted(around) for quarter in square.children()]
    points = points_of(task.roots, squares, np.concatenate([EDGES, INSIDE], axis=1))
    fit = fit_epochs(task, k, squares, points)
    good = (fit.missed[:, :2].max(axis=1) <= k * task.rounding) & (
        fit.missed[:, 2] <= MARGIN * task.problem.tolerance
    )
    kept = [squares[i] for i in np.flatnonzero(good)]
    return Jumps(table_of(task.roots, kept, fit.base[good], fit.polynomials[good]), k)


class Fit(NamedTuple):
    """Polynomials of w, b and the error after some epochs, on P squares.

    Attributes
    ----------
    base, polynomials : (P, 3) and (P, 3, ORDERS, ORDERS) arrays
        As in a table.
    missed, least : (P, 3) and (P,) arrays
        By how much they miss the points at most; the least error of those.
    steep : (P,) array
        How steep the error is at most.
    """

    base: Floats
    polynomials: Floats
    missed: Floats
    least: Floats
    steep: Floats


def fit_epochs(task: Task, epochs: int, squares: list[Square], points: Floats) -> Fit:
    """Return polynomials through points (2, P, …) that are trained; INSIDE come last of them."""
    problem = replace(task.problem, max_epochs=epochs, tolerance=UNREACHABLE)
    trained = task.train(problem, points.reshape(2, -1))
    values = np.array([trained.w[:, 0], trained.b, trained.final_error])
    values = np.moveaxis(values.reshape(3, *points.shape[1:]), 0, 1)
    base = values[:, :, -1].copy()
    grid = (values - base[:, :, None])[:, :, -INSIDE.shape[1] :]
    made = coefficients(grid.reshape(-1, 3, ORDERS, ORDERS), TO_COEFFICIENTS, TO_COEFFICIENTS)
    table = table_of(task.roots, squares, base, made)
    number = np.repeat(np.arange(len(squares)), points.shape[2])
    found = evaluate_on(table, number, *points.reshape(2, -1)).reshape(3, *points.shape[1:])
    missed = abs(np.moveaxis(found, 0, 1) - values).max(axis=2)
    return Fit(base, made, missed, values[:, 2].min(axis=1), steepest_of(table, 2))


def jump(task: Task, jumps: Jumps, state: Floats) -> tuple[NDArray[np.bool_], Floats]:
    """Return which of some states (2, N) may jump, and where these come to.

    A jump that ends within the tolerance is none: the crossing lies within it.
    """
    square = find_squares(jumps.table, *state)
    may = square != NOTHING
    moved = evaluate_on(jumps.table, square[may], *state[:, may])
    above = moved[2] > (1.0 + MARGIN) * task.problem.tolerance
    may[may] = above
    return may, moved[:2, above]
