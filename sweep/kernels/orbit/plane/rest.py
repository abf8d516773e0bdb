"""Starts on no square: walked, in jumps, until they come to one, as the points of a square are.

A square takes as many points as a hundred starts: where fewer lie on one, this takes less time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sweep.kernels.orbit.plane.cut import rounding_of
from sweep.kernels.orbit.plane.ends import evaluate_ends
from sweep.kernels.orbit.plane.epoch import errors
from sweep.kernels.orbit.plane.jumps import after_epochs
from sweep.kernels.orbit.plane.squares import STEEP, Known, error_rounding, measure_of
from sweep.kernels.orbit.plane.stencil import ERROR, crossings
from sweep.kernels.orbit.plane.survey import Task
from sweep.kernels.orbit.plane.tables import NOTHING, evaluate_on
from sweep.kernels.orbit.plane.walking import CROSSED, Jumps, walked

__all__ = ["Rest", "walk_rest"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Slopes are taken between a start and others beside it, apart by this part of a root: A and the
# error are known to 1e-10, slopes to 1e-4.
APART = 2.0**-20
BESIDE = np.array([[0.0, APART, 0.0], [0.0, 0.0, APART]])


class Rest(NamedTuple):
    """What became of N starts.

    Attributes
    ----------
    met, cut, late : (N,) arrays
        Those that converge; those that max_epochs cuts off; those, too, of which no end is known.
    epochs : (N,) array
        Of those that converge.
    ends : (3, N) array
        w, b and the error, of those that converge or are cut off.
    """

    met: Bools
    cut: Bools
    late: Bools
    epochs: Floats
    ends: Floats


def walk_rest(task: Task, theta: Floats, known: Known, bound: Floats, jumps: Jumps) -> Rest:
    """Walk starts theta (2, N) until they come to a known square or cross the tolerance.

    `bound` (P,) is how near to a whole number A is uncertain on each square. Which starts are
    certain is said in the package's docstring.
    """
    problem, side = task.problem, np.array(task.roots.side)[:, None]
    most, count = problem.max_epochs, theta.shape[1]
    around = (theta[:, None] + (side * BESIDE)[:, :, None]).reshape(2, -1)
    found = walked(task, around, known.table, jumps, task.longest, problem.tolerance)
    state, epochs, square = found[:2], found[2], found[3]
    # Of each point: A, how near to a whole number it is uncertain there, and how steep it is there.
    a, band, steep = np.full((3, 3 * count), np.nan)
    ends = np.full((3, 3 * count), np.nan)

    here = np.flatnonzero(square > NOTHING)
    number = square[here].astype(np.int64)
    times, place = evaluate_on(known.table, number, *state[:, here])
    a[here], band[here] = epochs[here] + times, bound[number]
    steep[here] = measure_of(known, STEEP)[number]
    ends[:, here] = evaluate_ends(known.ends, number, place, 2.0 * (np.ceil(times) - times) - 1.0)

    # No jump leads past a crossing: the state is that at the end.
    here = np.flatnonzero((square == CROSSED) & (epochs > 0.0))
    crossing = crossings(problem, task.rate, state[:, here], 1, task.threads, task.stop)
    error = errors(problem, state[:, None, here] + (side * BESIDE)[:, :, None], task.threads)
    with np.errstate(all="ignore"):  # an error that does not fall: infinite, left to training
        steep[here] = _slope(error, side) / crossing.fall
        band[here] = 2.0 * error_rounding(problem) / crossing.fall
    a[here] = epochs[here] + crossing.epochs
    ends[:, here] = *state[:, here], error[0]

    each = a.reshape(3, -1)
    a, band, steep, ends = a[:count], band[:count], steep[:count], ends[:, :count]
    band += 4.0 * task.rounding * epochs[:count] * np.maximum(steep, _slope(each, side))
    whole = np.ceil(a)
    met = (abs(a - np.rint(a)) > band) & (a > 0.0) & (whole <= most)
    ends[ERROR] = np.minimum(ends[ERROR], problem.tolerance)

    cut = np.zeros(count, np.bool_)
    beyond = np.flatnonzero((square.reshape(3, -1) == NOTHING).all(axis=0))
    after = after_epochs(task, most, around.reshape(2, 3, -1)[:, :, beyond], jumps)
    lowest = after[ERROR, 0] - rounding_of(task, _slope(after[ERROR], side))
    cut[beyond] = lowest > problem.tolerance
    ends[:, beyond] = after[:, 0]
    return Rest(met, cut, a - band > most, whole, ends)


def _slope(values: Floats, side: Floats) -> Floats:
    """Return |∂/∂w| + |∂/∂b| (N,) of values (3, N) at starts and beside them."""
    in_w, in_b = abs(values[1:] - values[0]) / (APART * side)
    steep: Floats = in_w + in_b
    return steep
