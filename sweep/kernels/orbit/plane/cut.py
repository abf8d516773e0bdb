"""The squares of starts that max_epochs cuts off: where they are after so many epochs.

F^K, the map of max_epochs = K epochs, is smooth too, and so is the error after it. By `falling`, an
error above the tolerance then says that it has been so all the time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sweep.kernels.orbit.plane.jumps import OF_ENDS, after_epochs, fit_states
from sweep.kernels.orbit.plane.squares import SAFETY
from sweep.kernels.orbit.plane.survey import Task
from sweep.kernels.orbit.plane.tables import (
    CHECKED,
    EDGES,
    INSIDE,
    Square,
    Table,
    aligned,
    empty_table,
    points_of,
    rows_of,
    table_of,
)
from sweep.kernels.orbit.plane.walking import CROSSED, Jumps, walked

__all__ = ["CutOff", "build_cut", "rounding_of"]

Floats = NDArray[np.float64]

# Points that are walked for max_epochs, at most, before the rest is left.
MOST_POINTS = 1_000_000

# Squares of which some points come within the tolerance before this part of max_epochs are halved:
# a front is near, and what lies beyond it takes long to walk.
EARLY = 0.875


class CutOff(NamedTuple):
    """P squares: w, b and the error after max_epochs, and how far the error may be off, (P,)."""

    table: Table
    bound: Floats


def build_cut(task: Task, squares: list[Square], jumps: Jumps, points: float) -> CutOff:
    """Return what is smooth enough of some squares, halved where it is not.

    Walks so many `points` at most: as many as the starts that it cuts off would take.
    """
    most, roots, limit = task.problem.max_epochs, task.roots, task.problem.tolerance
    nothing, kept = empty_table(roots, 2), list[Square]()
    bases, parts, bounds = [np.empty((0, 3))], [rows_of(empty_table(roots, 3))], [np.empty(0)]
    places = np.concatenate([EDGES, CHECKED, INSIDE], axis=1)
    points = min(points, MOST_POINTS)
    while 0 < len(squares) * places.shape[1] <= points and not task.stop[0]:
        at = points_of(roots, squares, places)
        points -= at[0].size
        found = walked(task, at.reshape(2, -1), nothing, jumps, most, limit)
        *_, epochs, ends = found.reshape(4, len(squares), -1)
        met = (ends == CROSSED).all(axis=1)
        early = (epochs < EARLY * most).any(axis=1) & ~met
        left = [squares[k] for k in np.flatnonzero(early)]
        here = np.flatnonzero(~early & ~met)
        if len(here):
            squares = [squares[k] for k in here]
            state, rest = found[:2].reshape(at.shape)[:, here], most - epochs[here]
            values = after_epochs(task, rest, state, jumps)
            fit = fit_states(task, squares, at[:, here], values)
            off = fit.missed
            smooth = (off[:, :2].max(axis=1) <= OF_ENDS) & (off[:, 2] <= OF_ENDS * fit.least)
            kept += [squares[k] for k in np.flatnonzero(smooth)]
            bases.append(fit.base[smooth])
            parts.append(fit.rows[smooth])
            bounds.append((SAFETY * off[:, 2] + rounding_of(task, fit.steep))[smooth])
            left += [squares[k] for k in np.flatnonzero(~smooth)]
        squares = [child for each in left if each.level < task.deepest for child in each.children()]
    table = table_of(roots, kept, np.concatenate(bases), aligned(parts))
    return CutOff(table, np.concatenate(bounds))


def rounding_of(task: Task, steep: Floats) -> Floats:
    """Return how far rounding and jumps may move the error after max_epochs, by its slope."""
    reach = float(abs(task.problem.x).max()) + 1.0
    moved: Floats = 2.0 * task.problem.max_epochs * task.rounding * np.maximum(steep, 1.0) * reach
    return moved
