"""Points walked epoch by epoch, and by jumps, until they come to a known square or the tolerance.

Lanes are refilled one by one, so that none waits for its neighbours.
"""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba.core import types
from numba.extending import register_jitable
from numpy.typing import NDArray

from sweep.kernels.compile import compiled, once
from sweep.kernels.orbit.plane.epoch import forwards_of, samples_of
from sweep.kernels.orbit.plane.stencil import ERROR, B, W
from sweep.kernels.orbit.plane.survey import Task
from sweep.kernels.orbit.plane.tables import (
    NOTHING,
    TABLE,
    Lattice,
    Table,
    empty_table,
    evaluate,
    find,
    trees,
)
from sweep.kernels.pool import run_strided
from sweep.kernels.simd import bits_of, load, select, store, width_of
from sweep.neuron.activations import ACTIVATIONS

__all__ = ["CROSSED", "MARGIN", "Jumps", "no_jumps", "walked"]

Floats = NDArray[np.float64]

WIDTH = width_of(types.float64)

# Number of the square to which a point has come, if it came within the tolerance before.
CROSSED = -2

# Updates by single samples between two looks at where a lane is, which take as long as some ten.
BETWEEN = 256

# The error after a jump is known so well, relative to the tolerance.
MARGIN = 1e-6


class Jumps(NamedTuple):
    """w, b and the error after so many epochs, (P,), on squares.

    A square may have several jumps. Its place leads to the longest, and `shorter`, (P,), from one
    to the next, at the end to NOTHING.
    """

    table: Table
    epochs: NDArray[np.int64]
    shorter: NDArray[np.int64]


def no_jumps(roots: Lattice) -> Jumps:
    """Return jumps from no square."""
    return Jumps(empty_table(roots, 3), *np.zeros((2, 0), np.int64))


@once
def _compile_walk(cost: str, activation: str) -> Callable[..., None]:
    """Compile walk(theta (2, N), …, out (4, N), stop), which sets what `walked` returns.

    feature, sign, y, rate, c, limit, longest
        As in `stencil`.
    between : int
        Epochs after which lanes are looked at.
    roots, children
        Those of the known squares, and of squares to jump from.
    jumps, over, shorter, least
        The table; over how many epochs each jump goes; that which is shorter; the error after a
        jump is above `least`.
    """
    forwards, per_octave = forwards_of(cost, activation), 1.0 / ACTIVATIONS[activation].exp2_scale
    vector, matrix, number = types.float64[::1], types.float64[:, ::1], types.float64
    # Rows of the lanes: a state and that after it, how many epochs are left, and over how many a
    # jump leads past the limit, as all those do that are longer or begin later.
    next_w, next_b, left, too_far, rows = 3, 4, 5, 6, 7

    @register_jitable
    def train(lanes, moved, feature, sign, y, c, step, limit, between):
        """Walk all lanes; what is after the states is known if none has moved."""
        w, b, still = load(lanes, W, 0), load(lanes, B, 0), load(lanes, left, 0)
        if moved:
            error, after_w, after_b = forwards(w, b, feature, sign, y, c, step)
        else:
            error = load(lanes, ERROR, 0)
            after_w, after_b = load(lanes, next_w, 0), load(lanes, next_b, 0)
        zero = w * 0.0
        for _ in range(between):
            going = select(error > limit, still, zero) > 0.5
            if bits_of(going) == 0:
                break
            w, b = select(going, after_w, w), select(going, after_b, b)
            still = select(going, still - 1.0, still)
            error, after_w, after_b = forwards(w, b, feature, sign, y, c, step)
        store(lanes, W, 0, w)
        store(lanes, B, 0, b)
        store(lanes, ERROR, 0, error)
        store(lanes, next_w, 0, after_w)
        store(lanes, next_b, 0, after_b)
        store(lanes, left, 0, still)

    @compiled(
        types.void(
            matrix, vector, vector, vector, number, vector, number, vector, types.int64,
            types.int64[:, :, ::1], types.int64[:, ::1], TABLE, types.int64[::1], types.int64[::1],
            number, matrix, types.uint8[::1],
        )
    )  # fmt: skip
    def walk(
        theta, feature, sign, y, rate, c, limit, longest, between, roots, children, jumps, over,
        shorter, least, out, stop,
    ):  # fmt: skip
        step, count = rate / len(y) * per_octave, theta.shape[1]
        lanes, point = np.zeros((rows, WIDTH)), np.full(WIDTH, -1)
        # Lanes to be looked at, and those that jump.
        some, jumping, number = np.empty(WIDTH, np.int64), np.empty(WIDTH, np.int64), point.copy()
        squares, values = np.empty((2, WIDTH), np.int64), np.empty((3, WIDTH))
        work = np.zeros((3, jumps.packed.shape[1]))
        taken = done = 0
        while done < count and stop[0] == 0:
            moved, waiting = False, WIDTH
            for lane in range(WIDTH):  # an assignment of an array would compile for 1.4 s
                some[lane] = lane
            while waiting > 0:
                find(lanes[W], lanes[B], some[:waiting], jumps, roots, children, squares)
                before, waiting, may_jump = waiting, 0, 0
                for j in range(before):
                    lane, p = some[j], squares[1, j]
                    i, still = point[lane], lanes[left, lane]
                    if i >= 0:
                        crossed = not lanes[ERROR, lane] > limit
                        square = CROSSED if crossed else squares[0, j]
                        if square == NOTHING and still > 0.0:
                            while p != NOTHING and (
                                over[p] > still or over[p] >= lanes[too_far, lane]
                            ):
                                p = shorter[p]
                            if p != NOTHING:
                                jumping[may_jump], number[may_jump] = lane, p
                                may_jump += 1
                            continue
                        out[0, i], out[1, i] = lanes[W, lane], lanes[B, lane]
                        out[2, i], out[3, i] = longest[i] - still, square
                        done += 1
                    if taken < count:
                        lanes[W, lane], lanes[B, lane] = theta[0, taken], theta[1, taken]
                        lanes[ERROR, lane], lanes[left, lane] = np.inf, longest[taken]
                        lanes[too_far, lane] = np.inf
                        point[lane], some[waiting] = taken, lane
                        taken += 1
                        waiting += 1
                    else:
                        point[lane], lanes[left, lane] = -1, 0.0
                evaluate(lanes[W], lanes[B], jumping[:may_jump], number, jumps, work, values)
                for j in range(may_jump):
                    lane = jumping[j]
                    if values[ERROR, j] > least:
                        lanes[W, lane], lanes[B, lane] = values[W, j], values[B, j]
                        lanes[left, lane] -= over[number[j]]
                        lanes[ERROR, lane] = np.inf
                    else:
                        lanes[too_far, lane] = over[number[j]]
                    some[waiting] = lane
                    waiting += 1
                moved = moved or waiting > 0
            train(lanes, moved, feature, sign, y, c, step, limit, between)

    return walk


def walked(
    task: Task, theta: Floats, known: Table, jumps: Jumps, longest: Floats | int, limit: float
) -> Floats:
    """Return where points theta (2, N) come to, and how.

    Parameters
    ----------
    longest : (N,) array or int
        Epochs after which a point ends.
    limit : float
        It ends before if its error is at most this.

    Returns
    -------
    (4, N) array
        w, b, the epochs to there, and the number of the square of `known` that it lies on; CROSSED
        if the error is at most `limit`, else NOTHING.
    """
    problem, samples = task.problem, samples_of(task.problem)
    walk = _compile_walk(problem.cost, problem.activation)
    both = trees([known, jumps.table])
    most = np.broadcast_to(np.asarray(longest, np.float64), theta.shape[1:])
    between = max(BETWEEN // len(samples.y), 1)
    out = np.full((4, theta.shape[1]), np.nan)

    def part(here: slice) -> None:
        found = out[:, here].copy()
        walk(
            theta[:, here].copy(), *samples, task.rate, problem.constants, limit,
            most[here].copy(), between, *both, *jumps, (1.0 + MARGIN) * limit,
            found, task.stop,
        )  # fmt: skip
        out[:, here] = found

    run_strided(part, theta.shape[1], task.threads)
    return out
