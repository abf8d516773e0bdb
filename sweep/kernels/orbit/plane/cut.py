"""The squares of starts that max_epochs cuts off: where they are after so many epochs.

F^K, the map of max_epochs = K epochs, is smooth too, and so is the error after it. By `falling`, an
error above the tolerance then says that it has been so all the time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sweep.kernels.orbit.plane.jumps import fit_epochs
from sweep.kernels.orbit.plane.squares import OF_ENDS, SAFETY
from sweep.kernels.orbit.plane.survey import Task
from sweep.kernels.orbit.plane.tables import (
    CHECKED,
    DEEPEST,
    EDGES,
    INSIDE,
    ORDERS,
    Square,
    Table,
    points_of,
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
    most, roots = task.problem.max_epochs, task.roots
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
        fit = fit_epochs(task, most, squares, at)
        off = fit.missed
        smooth = (off[:, :2].max(axis=1) <= OF_ENDS) & (off[:, 2] <= OF_ENDS * fit.least)
        rounding = most * task.rounding * np.maximum(fit.steep, 1.0) * reach
        kept += [square for square, good in zip(squares, smooth, strict=True) if good]
        bases.append(fit.base[smooth])
        parts.append(fit.polynomials[smooth])
        bounds.append((SAFETY * off[:, 2] + rounding)[smooth])
        squares = [
            child
            for square, good in zip(squares, smooth, strict=True)
            if not good and square.level < DEEPEST
            for child in square.children()
        ]
    table = table_of(roots, kept, np.concatenate(bases), np.concatenate(parts))
    return CutOff(table, np.concatenate(bounds))
