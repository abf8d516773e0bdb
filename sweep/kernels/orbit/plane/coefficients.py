"""From values at the nodes of a square to the coefficients of the polynomial through them."""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numba.core import types
from numba.extending import register_jitable
from numpy.typing import NDArray

from sweep.kernels.compile import compiled, once
from sweep.kernels.orbit.abel import cosines, powers_of_chebyshev

__all__ = ["along_last", "coefficients", "nodes_of"]

Floats = NDArray[np.float64]


def nodes_of(orders: int) -> Floats:
    """Return the places (orders,), from −1 to 1, where values determine a polynomial."""
    return cosines((np.arange(orders) + 0.5) / orders)


def coefficients(values: Floats) -> Floats:
    """Return coefficients (…, k, l) of powers, highest first, from values (…, k, l) at nodes."""
    made = along_last(along_last(values).swapaxes(-1, -2)).swapaxes(-1, -2)
    return np.ascontiguousarray(made)


def along_last(values: Floats) -> Floats:
    """Return coefficients (…, k) of powers, highest first, from values (…, k) at k nodes.

    Chebyshev coefficients come first: one matrix for both has entries of 1e4, and leaves a hundred
    times the rounding.
    """
    out = np.empty(values.shape)
    orders = values.shape[-1]
    rows = np.ascontiguousarray(values).reshape(-1, orders)
    _compile_along()(rows, *_matrices(orders), out.reshape(-1, orders))
    return out


@cache
def _matrices(orders: int) -> tuple[Floats, Floats]:
    """Return the matrices from values at nodes to Chebyshev coefficients, and to those of powers.

    Chebyshev polynomials are orthogonal at the nodes, if they are the cosines that they stand for:
    at nodes that are rounded the highest ones are off by 1e-14.
    """
    turns = np.arange(orders) * (2 * np.arange(orders)[:, None] + 1) % (4 * orders)
    values = cosines(np.minimum(turns, 4 * orders - turns) / (2 * orders))
    return values * np.where(np.arange(orders) > 0, 2.0, 1.0) / orders, powers_of_chebyshev(orders)


@once
def _compile_along() -> Callable[..., None]:
    """Compile along(values (N, k), matrix (k, k), other (k, k), out (N, k)): the product of all.

    Sums in a fixed order: BLAS rounds otherwise on other CPUs.
    """
    matrix = types.Array(types.float64, 2, "C")

    @register_jitable
    def times(row, matrix, out):
        out[:] = 0.0
        for node in range(len(row)):
            for k in range(len(out)):
                out[k] += row[node] * matrix[node, k]

    @compiled(types.void(*(matrix,) * 4))
    def along(values, to_chebyshev, to_powers, out):
        middle = np.empty(values.shape[1])
        for k in range(len(values)):
            times(values[k], to_chebyshev, middle)
            times(middle, to_powers, out[k])

    return along
