"""Abel's equation A(f(z)) = A(z) − 1 solved on pieces: a smooth count of epochs.

A piece is a polynomial of `ORDERS` coefficients in t, which goes from −1 to 1 over it, and
satisfies the equation at as many points (collocation), joined to the piece below. Where steps are
narrow, z and f(z) both lie within it, but for a little below its lower end, and A(z) − A(f(z)) is a
sum of divided differences of Chebyshev polynomials, in which nothing cancels: a piece over which
ten thousand epochs pass is as exact as one over which ten do. How far a piece misses the equation
is measured between its points, and how far two pieces differ where they meet; that goes into the
rounding of the staircase, and nothing is assumed of A.
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
from sweep.kernels.orbit.branch import BRANCH_TYPE, BROAD, piece_width
from sweep.kernels.profile import residual_delta_slope
from sweep.kernels.simd import load, store, width_of
from sweep.neuron.arithmetic import fma

__all__ = [
    "ORDERS",
    "Pieces",
    "compile_abel",
    "compile_fit",
    "cosines",
    "interpolation",
    "powers_of_chebyshev",
]

Floats = NDArray[np.float64]

# Coefficients of a piece; the one of order 0 follows from the piece below.
ORDERS = 9
UNKNOWN = ORDERS - 1

# What is measured of a piece, a column each of `Pieces.measures`:
(
    LOW,  # the height at which it begins
    WHOLE,  # the whole epochs below its beginning,
    FRACTION,  # and the rest of them
    GROWTH,  # how much A grows over it
    RESIDUAL,  # how far it misses the equation, in an epoch
    JUMP,  # and at its lower end, against the piece below
    SLOPE,  # its greatest A'
    STEP,  # its greatest κ|δ|
    Z_SLOPE,  # its greatest κ|zδ'|
    INVERSE_ERROR,  # how far its inverse misses in z
    FIT_ERROR,  # how far a polynomial through backward orbits misses A; 0 for those made here
    MEASURES,
) = range(12)


class Pieces(NamedTuple):
    """Neighbouring pieces of A, from a height upwards.

    Attributes
    ----------
    measures : (P + 1, MEASURES) array
        The last row says where the last piece ends.
    polynomials : (P, M) array
        Coefficients of A less the whole epochs below, highest power first; the argument goes from
        −1 to 1 over the piece.
    inverses : (P, M) array
        Coefficients of that argument over A's share of the piece, which goes from −1 to 1.
    """

    measures: Floats
    polynomials: Floats
    inverses: Floats


_MATRIX = types.Array(types.float64, 2, "C")
_PIECES = types.NamedUniTuple(_MATRIX, len(Pieces._fields), Pieces)


def cosines(turns: Floats) -> Floats:
    """Return cos(π·turns) for turns from 0 to 1, the same bits on every CPU, as NumPy's are not.

    By the series of sin(π(½ − turns)), to some 1e-16.
    """
    x = np.pi * (0.5 - turns)
    term = total = x
    for k in range(1, 14):
        term = term * (-x * x / (2 * k * (2 * k + 1)))
        total = total + term
    return total


# Where a piece is made to satisfy the equation, then where its residual is measured.
COLLOCATION = cosines((np.arange(UNKNOWN) + 0.5) / UNKNOWN)
CHECKS = cosines(np.arange(UNKNOWN + 1) / UNKNOWN)
POINTS = np.concatenate([COLLOCATION, CHECKS])
PADDED = 32  # points, filled up to whole lanes on every CPU

WIDTH = width_of(types.float64)


def powers_of_chebyshev(orders: int) -> Floats:
    """Return the matrix that makes Chebyshev coefficients those of powers, highest first."""
    powers = np.zeros((orders, orders))
    for order, unit in enumerate(np.eye(orders)):
        powers[order, : order + 1] = np.polynomial.chebyshev.cheb2poly(unit)
    return powers[:, ::-1].copy()


def interpolation(orders: int) -> tuple[Floats, Floats]:
    """Return nodes, and the matrix from values there to coefficients of powers, highest first.

    Chebyshev polynomials are orthogonal there. No product of matrices here and below: BLAS rounds
    as the CPU likes.
    """
    nodes = cosines((np.arange(orders) + 0.5) / orders)
    orthogonal = np.polynomial.chebyshev.chebvander(nodes, orders - 1) * 2.0 / orders
    orthogonal[:, 0] /= 2.0
    return nodes, (orthogonal[:, :, None] * powers_of_chebyshev(orders)).sum(axis=1)


POWERS = powers_of_chebyshev(ORDERS)
NODES, INTERPOLATION = interpolation(ORDERS)


@register_jitable
def polynomial(c, t):
    """Return the polynomial with coefficients c, highest first."""
    value = c[0]
    for i in range(1, len(c)):
        value = fma(value, t, c[i])
    return value


@register_jitable
def derivative(c, t):
    """Return the derivative of `polynomial`."""
    value = 0.0
    for i in range(len(c) - 1):
        value = fma(value, t, c[i] * (len(c) - 1 - i))
    return value


@register_jitable
def divided_differences(t, d, out):
    """Set (Tᵢ(t) − Tᵢ(t − d))/d for each order i from 1 on, by the recurrence of Tᵢ."""
    other = t - d
    previous, value = 0.0, 1.0  # differences of two orders
    t_previous, t_value = 1.0, other  # Tᵢ(t − d) of two orders
    for i in range(len(out)):
        out[i] = value
        previous, value = value, 2.0 * (t * value + t_value) - previous
        t_previous, t_value = t_value, 2.0 * other * t_value - t_previous


@register_jitable
def chebyshev(t, out):
    """Set Tᵢ(t) for each order i from 0 on."""
    out[0], out[1] = 1.0, t
    for i in range(2, len(out)):
        out[i] = 2.0 * t * out[i - 1] - out[i - 2]


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
def compile_fit() -> Callable[..., None]:
    """Compile polynomials through values; as LAPACK, but with the same bits on every CPU."""

    @compiled(types.void(*[_MATRIX] * 4, types.Array(types.float64, 1, "C")))
    def fit(at, values, powers, fitted, misfit):
        """Fit each row of values (n, M) at its row of `at` by a polynomial of len(powers) terms.

        Sets the coefficients of powers, highest first, and how far each polynomial misses a value
        among those in the columns behind the points that make it.
        """
        points = len(powers)
        basis, coefficients = np.empty((points, points)), np.empty(points)
        for r in range(len(values)):
            for i in range(points):
                chebyshev(at[r, i], basis[i])
                coefficients[i] = values[r, i]
            solve(basis, coefficients)
            misfit[r] = 0.0
            for i in range(points, values.shape[1]):
                chebyshev(at[r, i], basis[0])
                miss = -values[r, i]
                for k in range(points):
                    miss += coefficients[k] * basis[0, k]
                misfit[r] = max(misfit[r], abs(miss))
            for c in range(points):
                fitted[r, c] = 0.0
                for k in range(points):
                    fitted[r, c] += coefficients[k] * powers[k, c]

    return fit


@register_jitable
def _collocate(steps, inv_half_width, chebyshev_coefficients):
    """Solve A(z) − A(z − step) = 1 at the points of COLLOCATION; return the residual at CHECKS."""
    matrix, row = np.empty((UNKNOWN, UNKNOWN)), np.empty(UNKNOWN)
    residual = 0.0
    for j in range(len(POINTS)):
        if j == UNKNOWN:
            solve(matrix, chebyshev_coefficients)
        d = steps[0, j] * inv_half_width
        divided_differences(POINTS[j], d, row)
        if j < UNKNOWN:
            matrix[j] = row
            chebyshev_coefficients[j] = 1.0 / d
        else:
            miss = -1.0 / d
            for i in range(UNKNOWN):
                miss += row[i] * chebyshev_coefficients[i]
            residual = max(residual, abs(miss) * d)
    return residual


@register_jitable
def _invert(piece, fraction, growth, inv_half_width, inverse):
    """Set t over u, which goes from −1 to 1 with A; return how far it misses in z."""
    nodes = np.empty(ORDERS)
    for j in range(ORDERS):
        goal, t = fraction + 0.5 * (NODES[j] + 1.0) * growth, NODES[j]
        for _ in range(5):  # Newton
            t -= (polynomial(piece, t) - goal) / derivative(piece, t)
        nodes[j] = t
    for c in range(ORDERS):
        inverse[c] = 0.0
        for j in range(ORDERS):
            inverse[c] += nodes[j] * INTERPOLATION[j, c]
    error = 0.0
    for j in range(UNKNOWN, len(POINTS)):
        goal = fraction + 0.5 * (POINTS[j] + 1.0) * growth
        t = polynomial(inverse, POINTS[j])
        miss = (polynomial(piece, t) - goal) / derivative(piece, t)
        error = max(error, abs(miss) / inv_half_width)
    return error


@once
def compile_abel(cost: str, activation: str) -> Callable[..., int]:
    """Compile the pieces of a cost with an activation.

    Returns ``fill(pieces, branch, c, low, whole, fraction, top, epochs, least) -> count``: fills
    the pieces from the height `low` upwards, where A is whole + fraction. They end at the top,
    where the arrays end, where steps are broad again, or where a start moves by less than
    `least` in `epochs` epochs.
    """
    number = types.float64

    @compiled(types.int64(_PIECES, BRANCH_TYPE, types.Array(number, 1, "C"), *[number] * 6))
    def fill(pieces, branch, c, low, whole, fraction, top, epochs, least):
        measures, side, kappa = pieces.measures, branch.side, branch.kappa
        z, steps, z_slopes = np.zeros((1, PADDED)), np.zeros((1, PADDED)), np.zeros((1, PADDED))
        coefficients = np.empty(UNKNOWN)
        first = low
        p = 0
        while p < len(pieces.polynomials) and low < top:
            width = piece_width(low, branch)
            inv_half_width = 2.0 / width
            for j in range(len(POINTS)):
                z[0, j] = side * (low + (POINTS[j] + 1.0) / inv_half_width)
            for j in range(len(POINTS), PADDED):
                z[0, j] = z[0, 0]
            for k in range(0, PADDED, WIDTH):
                lanes = load(z, 0, k)
                _, _, delta, ddelta_dz = residual_delta_slope(cost, activation, lanes, branch.y, c)
                store(steps, 0, k, delta * (side * kappa))
                store(z_slopes, 0, k, abs(ddelta_dz * kappa * lanes))
            longest, z_slope = 0.0, 0.0
            for j in range(len(POINTS)):
                longest, z_slope = max(longest, steps[0, j]), max(z_slope, z_slopes[0, j])
            measures[p, STEP] = longest
            if epochs * longest < least and low > first + 1.0:
                break
            if longest > BROAD * width and p > 0:
                break
            residual = _collocate(steps, inv_half_width, coefficients)
            # In powers of t, from the whole epochs at the piece's beginning on.
            sign = 1.0
            constant, growth = fraction, 0.0
            for i in range(UNKNOWN):
                constant += sign * coefficients[i]  # −Tᵢ(−1)
                if sign > 0:
                    growth += 2.0 * coefficients[i]
                sign = -sign
            piece = pieces.polynomials[p]
            for k in range(ORDERS):
                piece[k] = constant * POWERS[0, k]
                for i in range(UNKNOWN):
                    piece[k] += coefficients[i] * POWERS[i + 1, k]
            steepest = 0.0
            for j in range(len(POINTS)):
                steepest = max(steepest, derivative(piece, POINTS[j]))
            jump = 0.0
            if p > 0:
                end = low - steps[0, len(POINTS) - 1]
                t = (end - measures[p - 1, LOW]) * (2.0 / (low - measures[p - 1, LOW])) - 1.0
                below = polynomial(pieces.polynomials[p - 1], t) - (whole - measures[p - 1, WHOLE])
                jump = abs(below - polynomial(piece, (end - low) * inv_half_width - 1.0))
            measures[p, LOW], measures[p, WHOLE], measures[p, FRACTION] = low, whole, fraction
            measures[p, GROWTH] = growth
            measures[p, RESIDUAL], measures[p, JUMP] = residual, jump
            measures[p, SLOPE] = steepest * inv_half_width
            measures[p, Z_SLOPE] = z_slope
            measures[p, INVERSE_ERROR] = _invert(
                piece, fraction, growth, inv_half_width, pieces.inverses[p]
            )
            measures[p, FIT_ERROR] = 0.0
            low += width
            fraction += growth
            carried = np.floor(fraction)
            whole += carried
            fraction -= carried
            p += 1
            measures[p, LOW], measures[p, WHOLE], measures[p, FRACTION] = low, whole, fraction
            if not growth > 0.0:
                break
        return p

    return fill
