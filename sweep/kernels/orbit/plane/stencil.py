"""When a start's error crosses the tolerance, as a real number: the states around, interpolated.

The map of an epoch, F, is one to one, so that a start within the tolerance has a past too: F is
inverted by Newton's method. A crossing is found by walking to it, forwards or backwards.
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
from sweep.kernels.orbit.plane.epoch import forwards_of, in_lanes, samples_of, slopes_of
from sweep.kernels.simd import bits_of, load, select, store, width_of
from sweep.neuron.activations import ACTIVATIONS
from sweep.neuron.arithmetic import fma
from sweep.neuron.problem import Problem

__all__ = [
    "BEFORE",
    "ERROR",
    "STATES",
    "B",
    "Crossings",
    "W",
    "crossings",
    "interpolate",
    "states_around",
]

Floats = NDArray[np.float64]

# States that are interpolated, and how many of them are before the one that has crossed.
STATES = 12
BEFORE = STATES // 2

WIDTH = width_of(types.float64)

# After a change c Newton's method is off by some c² times the rate times the cost's third
# derivatives; a rounding is some 1e-16.
SETTLED, MAX_ITERATIONS = 1e-19, 30

# (−1)^j times the binomials of six: the sixth difference of a state and those after it is 0, about.
GUESS = (6.0, -15.0, 20.0, -15.0, 6.0, -1.0)
AFTER = len(GUESS)

# Its steps for the time of a crossing, which begin on a straight line.
CROSSING_ITERATIONS = 4

# Starts times samples that are left to one thread: 100 to 200 µs.
SHARED = 8192

# Rows of a state; and rows after those of all states, of the crossing.
W, B, ERROR = range(3)
EPOCHS, TIME, AT_W, AT_B, FALL, PACE = range(3 * STATES, 3 * STATES + 6)


@once
def _compile_states(cost: str, activation: str) -> Callable[..., None]:
    """Compile walk(theta (2, N), feature, sign, y, rate, parameters, limit, longest, states, stop).

    Sets the rows of states (3 STATES + 6, N): those that `states_around` describes, the epochs to
    them, and AT_W and so on.
    """
    vector, matrix = (types.Array(types.float64, ndim, "C") for ndim in (1, 2))

    forwards, slopes = forwards_of(cost, activation), slopes_of(cost, activation)
    per_octave = 1.0 / ACTIVATIONS[activation].exp2_scale

    @register_jitable
    def backwards(w, b, v, u, feature, sign, y, c, step):
        """Return the (v, u) with F(v, u) = (w, b), from a guess."""
        zero = w * 0.0
        going = zero + 1.0
        for _ in range(MAX_ITERATIONS):
            in_w, in_b, in_ww, in_wb, in_bb = zero, zero, zero, zero, zero
            for i in range(len(y)):
                delta, ddelta_dz = slopes(fma(v, feature[i], u * sign[i]), y[i], c)
                in_w = fma(delta, feature[i], in_w)
                in_b = fma(delta, sign[i], in_b)
                in_ww = fma(ddelta_dz, feature[i] * feature[i], in_ww)
                in_wb = fma(ddelta_dz, feature[i] * sign[i], in_wb)
                in_bb = fma(ddelta_dz, sign[i] * sign[i], in_bb)
            miss_w, miss_b = (v - w) - in_w * step, (u - b) - in_b * step
            second = step * per_octave  # two features are in octaves, and `step` is over one
            ww, wb, bb = 1.0 - in_ww * second, -in_wb * second, 1.0 - in_bb * second
            determinant = ww * bb - wb * wb
            change_w = (bb * miss_w - wb * miss_b) / determinant
            change_b = (ww * miss_b - wb * miss_w) / determinant
            # A lane that has settled keeps its state: no bit depends on its neighbours.
            v = select(going > 0.5, v - change_w, v)
            u = select(going > 0.5, u - change_b, u)
            change = abs(change_w) + abs(change_b)
            going = select(change * change * step > SETTLED, going, zero)
            if bits_of(going > 0.5) == 0:
                break
        return v, u

    @register_jitable
    def following(w, b, after, feature, sign, y, c, step):
        """Set the rows of `after`, w and b in turn, to (w, b) and the states after it."""
        for j in range(0, 2 * AFTER, 2):
            store(after, j + W, 0, w)
            store(after, j + B, 0, b)
            _, w, b = forwards(w, b, feature, sign, y, c, step)

    @register_jitable
    def before(after, feature, sign, y, c, step):
        """Return the error and (w, b) of the state before the first of `after`.

        Newton's method begins on the polynomial through these, and one step settles it.
        """
        w, b = load(after, W, 0), load(after, B, 0)
        guess_w, guess_b = w * 0.0, w * 0.0
        for j in range(AFTER):
            guess_w = fma(load(after, 2 * j + W, 0), GUESS[j], guess_w)
            guess_b = fma(load(after, 2 * j + B, 0), GUESS[j], guess_b)
        w, b = backwards(w, b, guess_w, guess_b, feature, sign, y, c, step)
        error, _, _ = forwards(w, b, feature, sign, y, c, step)
        return error, w, b

    @register_jitable
    def differences(states, row, first, out):
        """Set the rows of `out` to the forward differences of a row of all states."""
        for j in range(STATES):
            store(out, j, 0, load(states, 3 * j + row, first))
        for order in range(1, STATES):
            for j in range(STATES - 1, order - 1, -1):
                store(out, j, 0, load(out, j, 0) - load(out, j - 1, 0))

    @register_jitable
    def interpolated(known, time):
        """Return the polynomial through states of these differences, and its derivative."""
        value, slope = load(known, STATES - 1, 0), time * 0.0
        for k in range(STATES - 2, -1, -1):
            share = (time + (BEFORE - k)) * (1.0 / (k + 1))
            slope = fma(slope, share, value * (1.0 / (k + 1)))
            value = fma(value, share, load(known, k, 0))
        return value, slope

    @register_jitable
    def cross(states, first, limit, known):
        """Set the rows of where and when the states cross."""
        after = load(states, 3 * BEFORE + ERROR, first)
        time = (after - limit) / (load(states, 3 * BEFORE - 3 + ERROR, first) - after)
        zero = time * 0.0
        differences(states, ERROR, first, known)
        for _ in range(CROSSING_ITERATIONS):
            error, slope = interpolated(known, time)
            time = time - (error - limit) / slope
            time = select(time > 0.0, zero, select(zero - 1.0 > time, zero - 1.0, time))
        store(states, TIME, first, load(states, EPOCHS, first) + time)
        store(states, FALL, first, -slope)
        differences(states, W, first, known)
        w, w_pace = interpolated(known, time)
        differences(states, B, first, known)
        b, b_pace = interpolated(known, time)
        store(states, AT_W, first, w)
        store(states, AT_B, first, b)
        store(states, PACE, first, abs(w_pace) + abs(b_pace))

    @compiled(
        types.void(
            matrix, vector, vector, vector, types.float64, vector, types.float64, types.int64,
            matrix, types.Array(types.uint8, 1, "C"),
        )
    )  # fmt: skip
    def walk(theta, feature, sign, y, rate, c, limit, longest, states, stop):
        step, after = rate / len(y) * per_octave, np.empty((2 * AFTER, WIDTH))
        known = np.empty((STATES, WIDTH))
        for first in range(0, theta.shape[1], WIDTH):
            w, b = load(theta, W, first), load(theta, B, first)
            zero = w * 0.0
            epochs = zero
            error, next_w, next_b = forwards(w, b, feature, sign, y, c, step)
            inside = select(error > limit, zero, zero + 1.0)
            for _ in range(longest):
                going = error > limit
                if bits_of(going) == 0 or stop[0] != 0:
                    break
                w, b = select(going, next_w, w), select(going, next_b, b)
                epochs = select(going, epochs + 1.0, epochs)
                error, next_w, next_b = forwards(w, b, feature, sign, y, c, step)
            epochs = select(error > limit, zero + np.nan, epochs)
            store(after, W, 0, w)
            store(after, B, 0, b)
            if longest > 0 and bits_of(inside > 0.5) != 0:
                following(w, b, after, feature, sign, y, c, step)
            for _ in range(longest):
                if bits_of(inside > 0.5) == 0 or stop[0] != 0:
                    break
                error, before_w, before_b = before(after, feature, sign, y, c, step)
                inside = select(error > limit, zero, inside)
                going = inside > 0.5
                for j in range(2 * AFTER - 1, 1, -1):
                    store(after, j, 0, select(going, load(after, j - 2, 0), load(after, j, 0)))
                store(after, W, 0, select(going, before_w, load(after, W, 0)))
                store(after, B, 0, select(going, before_b, load(after, B, 0)))
                epochs = select(going, epochs - 1.0, epochs)
            epochs = select(inside > 0.5, zero + np.nan, epochs)
            store(states, EPOCHS, first, epochs)
            w, b = load(after, W, 0), load(after, B, 0)
            next_w, next_b = w, b
            for k in range(BEFORE, STATES):
                store(states, 3 * k + W, first, next_w)
                store(states, 3 * k + B, first, next_b)
                error, next_w, next_b = forwards(next_w, next_b, feature, sign, y, c, step)
                store(states, 3 * k + ERROR, first, error)
            for j in range(AFTER):
                store(after, 2 * j + W, 0, load(states, 3 * (BEFORE + j) + W, first))
                store(after, 2 * j + B, 0, load(states, 3 * (BEFORE + j) + B, first))
            for k in range(BEFORE - 1, -1, -1):
                error, w, b = before(after, feature, sign, y, c, step)
                for j in range(2 * AFTER - 1, 1, -1):
                    store(after, j, 0, load(after, j - 2, 0))
                store(after, W, 0, w)
                store(after, B, 0, b)
                store(states, 3 * k + W, first, w)
                store(states, 3 * k + B, first, b)
                store(states, 3 * k + ERROR, first, error)
            cross(states, first, limit, known)

    return walk


def _walked(
    problem: Problem,
    rate: float,
    theta: Floats,
    longest: int,
    threads: int,
    stop: NDArray[np.uint8],
) -> Floats:
    """Return the rows (3 STATES + 6, N) of starts theta (2, N)."""
    walk = _compile_states(problem.cost, problem.activation)
    samples, c = samples_of(problem), problem.constants

    def lanes(points: Floats, out: Floats) -> None:
        walk(points, *samples, rate, c, problem.tolerance, longest, out, stop)

    return in_lanes(lanes, theta, PACE + 1, threads, SHARED // len(samples.y))


def states_around(
    problem: Problem, rate: float, theta: Floats, threads: int, stop: NDArray[np.uint8]
) -> Floats:
    """Return the states (STATES, 3, N) around those of theta (2, N), which have number BEFORE.

    Rows are W, B and ERROR.
    """
    return _walked(problem, rate, theta, 0, threads, stop)[:EPOCHS].reshape(STATES, 3, -1)


def interpolate(values: Floats, time: Floats, skipped: int = 0) -> Floats:
    """Return the polynomial through values (STATES, …) at times −BEFORE, …, at these times.

    By Newton's forward differences; `skipped` states at either end are left out.
    """
    values = values[skipped : len(values) - skipped]
    differences = [values[0]]
    while len(values) > 1:
        values = values[1:] - values[:-1]
        differences.append(values[0])
    value: Floats = differences[-1]
    for k in range(len(differences) - 2, -1, -1):
        share = (time + (BEFORE - skipped - k)) / (k + 1)
        value = value * share + differences[k]
    return value


class Crossings(NamedTuple):
    """Where N orbits cross the tolerance; NaN where no crossing was found.

    Attributes
    ----------
    epochs : (N,) array
        A real number: from the start to the crossing, not above 0 for a start within the tolerance.
    at : (2, N) array
        (w, b) there.
    fall : (N,) array
        How much the error falls in an epoch there.
    pace : (N,) array
        How much w and b change in an epoch there, together.
    """

    epochs: Floats
    at: Floats
    fall: Floats
    pace: Floats


def crossings(
    problem: Problem,
    rate: float,
    theta: Floats,
    longest: int,
    threads: int,
    stop: NDArray[np.uint8],
) -> Crossings:
    """Return when and where the orbits of starts theta (2, N) cross the tolerance.

    One within the tolerance walks backwards. A walk ends after `longest` epochs. A start and the
    state an epoch later have the same states around the crossing, so that their times differ by
    exactly 1.
    """
    rows = _walked(problem, rate, theta, longest, threads, stop)
    unknown = np.isnan(rows[EPOCHS])
    at = np.where(unknown, np.nan, rows[AT_W : AT_B + 1])
    return Crossings(rows[TIME], at, rows[FALL], rows[PACE])
