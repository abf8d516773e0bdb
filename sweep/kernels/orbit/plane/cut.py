"""The squares of starts that max_epochs cuts off: where they are after so many epochs.

F^K, the map of max_epochs = K epochs, is smooth too, and so is the error after it. By `falling`, an
error above the tolerance then says that it has been so all the time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sweep.kernels.orbit.plane.squares import OF_ENDS, SAFETY
from sweep.kernels.orbit.plane.survey import UNREACHABLE, Task
from sweep.kernels.orbit.plane.tables import (
    CHECKED,
    DEEPEST,
    EDGES,
    INSIDE,
    ORDERS,
    TO_COEFFICIENTS,
    Square,
    Table,
    coefficients,
    evaluate_on,
    points_of,
    steepest_of,
    table_of,
)

__all__ = ["CutOff", "build_cut"]

Floats = NDArray[np.float64]

# Points that are trained for max_epochs, about, before the rest is left.
MOST_POINTS = 100_000


class CutOff(NamedTuple):
    """P squares: w, b and the error after max_epochs, and how far the error may be off, (P,)."""

    table: Table
    bound: Floats


def build_cut(task: Task, squares: list[Square]) -> CutOff:
    """Return what is smooth enough of some squares, halved where it is not."""
    problem, roots = replace(task.problem, tolerance=UNREACHABLE), task.roots
    kept, points = list[Square](), 0
    bases, parts, bounds = [np.empty((0, 3))], [np.empty((0, 3, ORDERS, ORDERS))], [np.empty(0)]
    places = np.concatenate([EDGES, CHECKED, INSIDE], axis=1)
    reach = float(abs(task.problem.x).max()) + 1.0
    while squares and points < MOST_POINTS and not task.stop[0]:
        at = points_of(roots, squares, places)
        unmet = task.train(replace(task.problem, max_epochs=0), at.reshape(2, -1)).initial_error
        open_ = (unmet > task.problem.tolerance).reshape(at.shape[1:]).max(axis=1)
        squares = [squares[k] for k in np.flatnonzero(open_)]
        if not squares:
            break
        at = at[:, open_]
        points += at[0].size
        trained = task.train(problem, at.reshape(2, -1))
        values = np.array([trained.w[:, 0], trained.b, trained.final_error])
        values = np.moveaxis(values.reshape(3, *at.shape[1:]), 0, 1)
        base = values[:, :, -1].copy()
        grid = (values - base[:, :, None])[:, :, -ORDERS * ORDERS :]
        made = coefficients(grid.reshape(-1, 3, ORDERS, ORDERS), TO_COEFFICIENTS, TO_COEFFICIENTS)
        table = table_of(roots, squares, base, made)
        number = np.repeat(np.arange(len(squares)), at.shape[2])
        found = evaluate_on(table, number, *at.reshape(2, -1)).reshape(3, *at.shape[1:])
        off = abs(np.moveaxis(found, 0, 1) - values).max(axis=2)
        least = values[:, 2].min(axis=1)
        smooth = (off[:, :2].max(axis=1) <= OF_ENDS) & (off[:, 2] <= OF_ENDS * least)
        steep = steepest_of(table, 2)
        rounding = problem.max_epochs * task.rounding * np.maximum(steep, 1.0) * reach
        kept += [square for square, fit in zip(squares, smooth, strict=True) if fit]
        bases.append(base[smooth])
        parts.append(made[smooth])
        bounds.append((SAFETY * off[:, 2] + rounding)[smooth])
        squares = [
            child
            for square, fit in zip(squares, smooth, strict=True)
            if not fit and square.level < DEEPEST
            for child in square.children()
        ]
    table = table_of(roots, kept, np.concatenate(bases), np.concatenate(parts))
    return CutOff(table, np.concatenate(bounds))
