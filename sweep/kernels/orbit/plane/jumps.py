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
    table_of,
)

__all__ = ["Jumps", "build_jumps", "jump"]

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
    problem = replace(task.problem, max_epochs=k, tolerance=UNREACHABLE)
    trained = task.train(problem, points.reshape(2, -1))
    values = np.array([trained.w[:, 0], trained.b, trained.final_error])
    values = values.reshape(3, *points.shape[1:]).swapaxes(0, 1)
    base = values[:, :, -1].copy()
    grid = (values - base[:, :, None])[:, :, -INSIDE.shape[1] :]
    grid = grid.reshape(-1, 3, ORDERS, ORDERS)
    made = coefficients(grid, TO_COEFFICIENTS, TO_COEFFICIENTS)
    table = table_of(task.roots, squares, base, made)
    number = np.repeat(np.arange(len(squares)), points.shape[2])
    found_there = evaluate_on(table, number, *points.reshape(2, -1))
    missed = abs(found_there.reshape(3, *points.shape[1:]).swapaxes(0, 1) - values)
    off = missed[:, :2].max(axis=(1, 2))
    good = (off <= k * task.rounding) & (
        missed[:, 2].max(axis=1) <= MARGIN * task.problem.tolerance
    )
    kept: list[Square] = [squares[i] for i in np.flatnonzero(good)]
    return Jumps(table_of(task.roots, kept, base[good], made[good]), k)


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
