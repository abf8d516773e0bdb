"""Abel's equation A(f(z)) = A(z) − 1 solved on pieces: a smooth count of epochs.

A piece is a polynomial of `ORDERS` coefficients in t, which goes from −1 to 1 over it, and
satisfies the equation at as many points (collocation), joined to the piece below. Where steps are
narrow, z and f(z) both lie within it, but for a little below its lower end, and A(z) − A(f(z)) is a
sum of divided differences of Chebyshev polynomials, in which nothing cancels: a piece over which
ten thousand epochs pass is as exact as one over which ten do. How far a piece misses the equation
is measured between its points, and how far two pieces differ where they meet; that goes into the
bands of the staircase, and nothing is assumed of A.
"""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba.core import types
from numba.extending import register_jitable

from sweep.kernels.compile import compiled, once
from sweep.kernels.orbit.branch import BROAD, residual_delta_slope, width_at
from sweep.kernels.simd import load, store, width_of
from sweep.neuron.arithmetic import fma

__all__ = ["MEASURES", "ORDERS", "compile_abel", "cosines", "fitter", "powers_of_chebyshev"]

# Coefficients of a piece.
ORDERS = 9
UNKNOWN = ORDERS - 1


def cosines(turns: np.ndarray) -> np.ndarray:
    """Return cos(π·turns) for turns from 0 to 1, the same bits on every CPU, as NumPy's are not.

    By the series of sin(π(½ − turns)), to some 1e-16.
    """
    x = np.pi * (0.5 - turns)
    term = total = x
    for k in range(1, 14):
        term = term * (-x * x / (2 * k * (2 * k + 1)))
        total = total + term
    return total


# Where a piece is asked to satisfy the equation, then where that is measured.
ASKED = cosines((np.arange(UNKNOWN) + 0.5) / UNKNOWN)
MEASURED = cosines(np.arange(UNKNOWN + 1) / UNKNOWN)
POINTS = np.concatenate([ASKED, MEASURED])
PLACES = 32  # of them, filled up to whole lanes on every CPU

WIDTH = width_of(types.float64)

# What is told of a piece, a column each: where it begins, the whole epochs below its beginning and
# the rest of them, how many pass over it, how far it misses the equation in an epoch and at its
# lower end, its greatest A', the greatest κ|δ| and κ|zδ'|, how far its inverse misses in z, and its
# polynomial A itself (0: `miss` says that).
MEASURES = (
    *("low", "whole", "rest", "passing", "miss", "jump", "slope", "step", "bend", "inverse"),
    "apart",
)


def powers_of_chebyshev(orders: int) -> np.ndarray:
    """Return the matrix that makes Chebyshev coefficients those of powers, highest first."""
    powers = np.zeros((orders, orders))
    for order, unit in enumerate(np.eye(orders)):
        powers[order, : order + 1] = np.polynomial.chebyshev.cheb2poly(unit)
    return powers[:, ::-1].copy()


POWERS = powers_of_chebyshev(ORDERS)
AT = cosines((np.arange(ORDERS) + 0.5) / ORDERS)
# From values at AT to coefficients of powers, as Chebyshev polynomials are orthogonal there. No
# product of matrices here and below: BLAS rounds as the CPU likes.
_ORTHOGONAL = np.polynomial.chebyshev.chebvander(AT, UNKNOWN) * 2.0 / ORDERS
_ORTHOGONAL[:, 0] /= 2.0
FITTED = (_ORTHOGONAL[:, :, None] * POWERS).sum(axis=1)


@register_jitable
def polynomial(c, t):
    """Return the polynomial with coefficients c, highest first."""
    value = c[0]
    for i in range(1, len(c)):
        value = fma(value, t, c[i])
    return value


@register_jitable
def slope_of(c, t):
    """Return the derivative of `polynomial`."""
    value = 0.0
    for i in range(len(c) - 1):
        value = fma(value, t, c[i] * (len(c) - 1 - i))
    return value


@register_jitable
def differences(t, d, into):
    """Set (Tᵢ(t) − Tᵢ(t − d))/d for each order i from 1 on."""
    other = t - d
    lower, value = 0.0, 1.0  # of the differences
    before, there = 1.0, other  # Tᵢ at the other place
    for i in range(len(into)):
        into[i] = value
        lower, value = value, 2.0 * (t * value + there) - lower
        before, there = there, 2.0 * other * there - before


@register_jitable
def chebyshev(t, into):
    """Set Tᵢ(t) for each order i from 0 on."""
    into[0], into[1] = 1.0, t
    for i in range(2, len(into)):
        into[i] = 2.0 * t * into[i - 1] - into[i - 2]


@register_jitable
def solve(matrix, right):
    """Solve a small linear system in place (Gauss, rows exchanged)."""
    n = len(right)
    for i in range(n):
        best = i
        for r in range(i + 1, n):
            if abs(matrix[r, i]) > abs(matrix[best, i]):
                best = r
        if best != i:
            for c in range(n):
                matrix[i, c], matrix[best, c] = matrix[best, c], matrix[i, c]
            right[i], right[best] = right[best], right[i]
        for r in range(i + 1, n):
            share = matrix[r, i] / matrix[i, i]
            for c in range(i + 1, n):
                matrix[r, c] -= share * matrix[i, c]
            right[r] -= share * right[i]
    for i in range(n - 1, -1, -1):
        for c in range(i + 1, n):
            right[i] -= matrix[i, c] * right[c]
        right[i] /= matrix[i, i]


@once
def fitter() -> Callable[..., None]:
    """Compile polynomials through values; as LAPACK, but with the same bits on every CPU."""
    matrix = types.Array(types.float64, 2, "C")

    @compiled(types.void(matrix, matrix, matrix, matrix, types.Array(types.float64, 1, "C")))
    def fit(at, values, powers, fitted, off):
        """Fit each row of values (n, M) at its row of `at` by a polynomial of len(powers) terms.

        Sets the coefficients of powers, highest first, and how far each polynomial misses a value
        among those in the columns behind the points that make it.
        """
        points = len(powers)
        basis, values_here = np.empty((points, points)), np.empty(points)
        for r in range(len(values)):
            for i in range(points):
                chebyshev(at[r, i], basis[i])
                values_here[i] = values[r, i]
            solve(basis, values_here)
            off[r] = 0.0
            for i in range(points, values.shape[1]):
                chebyshev(at[r, i], basis[0])
                miss = -values[r, i]
                for k in range(points):
                    miss += values_here[k] * basis[0, k]
                off[r] = max(off[r], abs(miss))
            for c in range(points):
                fitted[r, c] = 0.0
                for k in range(points):
                    fitted[r, c] += values_here[k] * powers[k, c]

    return fit


@once
def compile_abel(pair: str) -> Callable[..., int]:
    """Compile the pieces of a (cost, activation)."""
    matrix, number = types.Array(types.float64, 2, "C"), types.float64

    @compiled(types.int64(matrix, matrix, matrix, *[number] * 11))
    def grow(
        told, pieces, inverses, side, kappa, y, low, whole, rest, top, star, widest, epochs, least
    ):  # fmt: skip
        """Fill the pieces from `low` upwards, where A is whole + rest; return how many there are.

        They end at the top, where the room ends, where steps are broad again, or where a start
        moves by less than `least` in so many epochs.
        """
        z = np.zeros((1, PLACES))
        step, steep = np.zeros((1, PLACES)), np.zeros((1, PLACES))
        basis, values = np.empty((UNKNOWN, UNKNOWN)), np.empty(UNKNOWN)
        row, points = np.empty(UNKNOWN), np.empty(ORDERS)
        first = low
        p = 0
        while p < len(pieces) and low < top:
            width = width_at(low, star, widest)
            per = 2.0 / width
            for j in range(len(POINTS)):
                z[0, j] = side * (low + (POINTS[j] + 1.0) / per)
            for j in range(len(POINTS), PLACES):
                z[0, j] = z[0, 0]
            for c in range(0, PLACES, WIDTH):
                _, _, delta, bent = residual_delta_slope(pair, load(z, 0, c), y)
                store(step, 0, c, delta * (side * kappa))
                store(steep, 0, c, abs(bent * kappa * load(z, 0, c)))
            furthest, bend = 0.0, 0.0
            for j in range(len(POINTS)):
                furthest, bend = max(furthest, step[0, j]), max(bend, steep[0, j])
            told[p, 7] = furthest
            if epochs * furthest < least and low > first + 1.0:
                break
            if furthest > BROAD * width and p > 0:
                break
            miss = 0.0
            for j in range(len(POINTS)):
                if j == UNKNOWN:
                    solve(basis, values)
                d = step[0, j] * per
                differences(POINTS[j], d, row)
                if j < UNKNOWN:
                    basis[j] = row
                    values[j] = 1.0 / d
                else:
                    off = -1.0 / d
                    for i in range(UNKNOWN):
                        off += row[i] * values[i]
                    miss = max(miss, abs(off) * d)
            # In powers of t, from the whole epochs at the piece's beginning on.
            sign = 1.0
            constant, passing = rest, 0.0
            for i in range(UNKNOWN):
                constant += sign * values[i]  # −Tᵢ(−1)
                if sign > 0:
                    passing += 2.0 * values[i]
                sign = -sign
            for c in range(ORDERS):
                pieces[p, c] = constant * POWERS[0, c]
                for i in range(UNKNOWN):
                    pieces[p, c] += values[i] * POWERS[i + 1, c]
            steepest = 0.0
            for j in range(len(POINTS)):
                steepest = max(steepest, slope_of(pieces[p], POINTS[j]))
            jump = 0.0
            if p > 0:
                end = low - step[0, len(POINTS) - 1]
                t = (end - told[p - 1, 0]) * (2.0 / (low - told[p - 1, 0])) - 1.0
                lower = polynomial(pieces[p - 1], t) - (whole - told[p - 1, 1])
                jump = abs(lower - polynomial(pieces[p], (end - low) * per - 1.0))
            # The inverse: t over u, which goes from −1 to 1 with A, by Newton's method.
            astray = 0.0
            for j in range(ORDERS):
                goal, t = rest + 0.5 * (AT[j] + 1.0) * passing, AT[j]
                for _ in range(5):
                    t -= (polynomial(pieces[p], t) - goal) / slope_of(pieces[p], t)
                points[j] = t
            for c in range(ORDERS):
                inverses[p, c] = 0.0
                for j in range(ORDERS):
                    inverses[p, c] += points[j] * FITTED[j, c]
            for j in range(UNKNOWN, len(POINTS)):
                goal = rest + 0.5 * (POINTS[j] + 1.0) * passing
                t = polynomial(inverses[p], POINTS[j])
                off = (polynomial(pieces[p], t) - goal) / slope_of(pieces[p], t)
                astray = max(astray, abs(off) / per)
            told[p, 0], told[p, 1], told[p, 2], told[p, 3] = low, whole, rest, passing
            told[p, 4], told[p, 5], told[p, 6] = miss, jump, steepest * per
            told[p, 7], told[p, 8], told[p, 9], told[p, 10] = (
                furthest,
                bend,
                astray,
                0.0,
            )
            low += width
            rest += passing
            carried = np.floor(rest)
            whole += carried
            rest -= carried
            p += 1
            told[p, 0], told[p, 1], told[p, 2] = low, whole, rest
            if not passing > 0.0:
                break
        return p

    return grow
