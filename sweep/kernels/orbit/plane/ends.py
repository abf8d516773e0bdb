"""Where starts end: a polynomial in the place where they cross the curve and the share of an epoch.

The curve is that of the states whose error is the tolerance. On the square of a table a piece of it
is enough, and a place on it is a number from −1 to 1, along a straight line nearby.
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
from sweep.kernels.orbit.abel import cosines
from sweep.kernels.orbit.plane.coefficients import coefficients, nodes_of
from sweep.kernels.orbit.plane.epoch import errors
from sweep.kernels.orbit.plane.stencil import ERROR, B, W, interpolate, states_around
from sweep.kernels.orbit.plane.tables import LANES
from sweep.kernels.simd import load_like, register_of, store, width_of
from sweep.neuron.arithmetic import fma
from sweep.neuron.problem import Problem

__all__ = ["Ends", "build_ends", "evaluate_ends", "find_ends"]

Floats = NDArray[np.float64]

# Coefficients in the place and in the share of an epoch.
PLACES, SHARES = 16, 6

PLACE_NODES, SHARE_NODES = nodes_of(PLACES), nodes_of(SHARES)
PLACE_CHECKS, SHARE_CHECKS = (cosines(np.arange(0, n + 1, 2) / n) for n in (PLACES, SHARES))

REGISTER = width_of(types.float64) // 4

# So many neighbours on one square are evaluated in the lanes of a register, 53 ns a start of a grid
# and not 65, fewer one by one: where none has a neighbour 130 ns and not 160. Both ways have the
# same bits, those of a zero's sign too.
FEW = 4

# Pieces are longer than what crosses at the nodes of a square by this factor, and by this part of a
# square.
MARGIN, SHORTEST = 1.05, 2.0**-20

# The slope of the error is taken over this part of a square, and steps of the secant method then
# lead to the curve.
PROBE, ITERATIONS = 2.0**-12, 6

# Two states fewer interpolate so many times worse, at least.
COARSER = 0.1


class Ends(NamedTuple):
    """Pieces of the curve for P squares, and what becomes of the starts that cross them.

    Attributes
    ----------
    origin, along : (P, 2) arrays
        The middle of a piece, and the place of a point θ on it is along·(θ − origin).
    polynomials : (P, PLACES, columns) array
        Coefficients of powers of the place, and of the share of an epoch after the crossing as a
        number from −1 to 1, highest first; of w, b and the error in turn, filled up to whole lanes.
    """

    origin: Floats
    along: Floats
    polynomials: Floats

    def place(self, at: Floats) -> Floats:
        """Return the places (P, …) of points (2, P, …)."""
        shape = (-1,) + (1,) * (at.ndim - 2)
        moved = (at[axis] - self.origin[:, axis].reshape(shape) for axis in (0, 1))
        along = (self.along[:, axis].reshape(shape) for axis in (0, 1))
        in_w, in_b = (m * a for m, a in zip(moved, along, strict=True))
        place: Floats = in_w + in_b
        return place


@register_jitable
def find_ends(polynomials, square, place, share, first, work, out):
    """Set rows first … 2, at least, of out (3, n): w, b and the error of starts of squares (n,).

    polynomials : (P · PLACES, LANES) array
    place, share : (n,) arrays
    work : (3, LANES) array
    """
    begin, nothing = 0, register_of(work)
    while begin < len(square):
        top, end = PLACES * square[begin], begin + 1
        while end < len(square) and square[end] == square[begin] and end < begin + REGISTER:
            end += 1
        if end - begin < FEW:
            for k in range(begin, end):
                for column in range(0, 3 * SHARES, REGISTER):
                    value = nothing + load_like(nothing, polynomials, top, column)
                    for row in range(top + 1, top + PLACES):
                        value = fma(value, place[k], load_like(nothing, polynomials, row, column))
                    store(work, 0, column, value)
                w = b = error = 0.0
                for column in range(0, 3 * SHARES, 3):
                    w = fma(w, share[k], work[0, column + W])
                    b = fma(b, share[k], work[0, column + B])
                    error = fma(error, share[k], work[0, column + ERROR])
                out[W, k], out[B, k], out[ERROR, k] = w, b, error
        else:
            for k in range(begin, end):
                work[0, k - begin], work[1, k - begin] = place[k], share[k]
            at, part = load_like(nothing, work, 0, 0), load_like(nothing, work, 1, 0)
            for c in range(first, 3):
                total = nothing
                for column in range(c, 3 * SHARES, 3):
                    value = nothing + polynomials[top, column]
                    for row in range(top + 1, top + PLACES):
                        value = fma(value, at, polynomials[row, column])
                    total = fma(total, part, value)
                store(work, 2, 0, total)
                for k in range(begin, end):
                    out[c, k] = work[2, k - begin]
        begin = end


@once
def _compile_ends() -> Callable[..., None]:
    """Compile evaluate(polynomials, square, place, share, out): the above, of N starts."""
    vector = types.Array(types.float64, 1, "C", readonly=True)

    @compiled(
        types.void(types.float64[:, ::1], types.int64[::1], vector, vector, types.float64[:, ::1])
    )
    def evaluate(polynomials, square, place, share, out):
        find_ends(polynomials, square, place, share, W, np.zeros((3, LANES)), out)

    return evaluate


def evaluate_ends(ends: Ends, square: NDArray[np.int64], place: Floats, share: Floats) -> Floats:
    """Return w, b and the error (3, N) of starts of squares; shares are from −1 to 1, too."""
    out = np.empty((3, len(place)))
    place, share = np.ascontiguousarray(place), np.ascontiguousarray(share)
    rows = ends.polynomials.reshape(-1, LANES)
    _compile_ends()(rows, square, place, share, out)
    return out


def build_ends(
    problem: Problem,
    rate: float,
    at: Floats,
    unit: Floats,
    threads: int,
    stop: NDArray[np.uint8],
) -> tuple[Ends, Floats]:
    """Return the ends of starts that cross at points (2, P, m), and how far they miss (P,).

    `unit` (2, P) are the sides of the squares, which scale w and b.
    """

    def error(theta: Floats) -> Floats:
        return errors(problem, theta, threads)

    middle = at[:, :, at.shape[2] // 2]
    ways = PROBE * np.eye(2)[:, :, None] * unit
    slope = np.array([error(middle + way) - error(middle - way) for way in ways]) / (2.0 * PROBE)
    size = np.sqrt(slope[0] ** 2 + slope[1] ** 2)
    with np.errstate(all="ignore"):  # an error that is the same all around: NaN, left to training
        normal, flatness = slope / size, 1.0 / size
    tangent = np.array([-normal[1], normal[0]])
    moved = ((at - middle[:, :, None]) * (tangent / unit)[:, :, None]).sum(axis=0)
    lowest, highest = moved.min(axis=1), moved.max(axis=1)
    half = MARGIN * 0.5 * (highest - lowest) + SHORTEST
    origin = middle + 0.5 * (highest + lowest) * tangent * unit

    places = np.concatenate([PLACE_NODES, PLACE_CHECKS])
    shares = np.concatenate([SHARE_NODES, SHARE_CHECKS])
    line = origin[:, :, None] + (half * tangent * unit)[:, :, None] * places
    across = (normal * unit)[:, :, None]
    off, last, last_off = np.zeros(line.shape[1:]), np.ones(line.shape[1:]), np.zeros(1)
    inverse = np.broadcast_to(flatness[:, None], off.shape)
    for _ in range(ITERATIONS):
        miss = error(line + off * across) - problem.tolerance
        moved_by, changed = off - last_off, miss - last
        with np.errstate(all="ignore"):
            inverse = np.where(changed * moved_by > 0.0, moved_by / changed, inverse)
        last, last_off = miss, off
        off = off - miss * inverse
    curve = line + off * across
    states = states_around(problem, rate, curve.reshape(2, -1), threads, stop)
    values = np.empty((3, *off.shape, len(shares)))
    apart = np.zeros(off.shape[:1])
    for row in (W, B):
        flat = states[:, row, :, None]
        time = np.broadcast_to(0.5 * (shares + 1.0), (flat.shape[1], len(shares)))
        exact = interpolate(flat, time)
        coarse = interpolate(flat, time, skipped=1)
        values[row] = exact.reshape(values.shape[1:])
        apart = np.maximum(apart, abs(exact - coarse).reshape(len(apart), -1).max(axis=1))
    values[ERROR] = error(values[:ERROR])
    values = np.moveaxis(values, 0, 1)
    made = coefficients(values[:, :, :PLACES, :SHARES])
    polynomials = np.zeros((len(made), PLACES, LANES))
    polynomials[:, :, : 3 * SHARES] = made.transpose(0, 2, 3, 1).reshape(len(made), PLACES, -1)
    ends = Ends(origin.T, (tangent / (unit * half)).T, polynomials)
    square, place, share = (
        np.ascontiguousarray(np.broadcast_to(each, values[:, 0].shape)).ravel()
        for each in (np.arange(len(made))[:, None, None], places[:, None], shares)
    )
    found = evaluate_ends(ends, square, place, share).reshape(3, len(made), -1)
    missed = abs(found - np.moveaxis(values, 0, 1).reshape(found.shape)).max(axis=2)
    missed[ERROR] /= problem.tolerance
    return ends, np.maximum(missed.max(axis=0), COARSER * apart)


def no_ends() -> Ends:
    """Return the ends of no squares."""
    return Ends(np.empty((0, 2)), np.empty((0, 2)), np.empty((0, PLACES, LANES)))
