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
from sweep.kernels.simd import load_like, register_of, store, width_of

__all__ = ["along_last", "coefficients", "nodes_of"]

Floats = NDArray[np.float64]

WIDTH = width_of(types.float64)
REGISTER = WIDTH // 4


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
    both = np.zeros((2, orders, WIDTH))
    both[0, :, :orders] = values * np.where(np.arange(orders) > 0, 2.0, 1.0) / orders
    both[1, :, :orders] = powers_of_chebyshev(orders)
    return both[0], both[1]


@once
def _compile_along() -> Callable[..., None]:
    """Compile along(values (N, k), matrix, other (k, WIDTH), out (N, k)): the product of all.

    Sums in a fixed order: BLAS rounds otherwise on other CPUs.
    """
    matrix = types.Array(types.float64, 2, "C")

    @register_jitable
    def times(row, matrix, orders, work):
        for column in range(0, orders, REGISTER):
            total = register_of(work)
            for node in range(orders):
                total = total + load_like(total, matrix, node, column) * row[node]
            store(work, 0, column, total)

    @compiled(types.void(*(matrix,) * 4))
    def along(values, to_chebyshev, to_powers, out):
        orders, work = values.shape[1], np.zeros((1, WIDTH))
        middle = np.empty(orders)
        for k in range(len(values)):
            times(values[k], to_chebyshev, orders, work)
            for j in range(orders):
                middle[j] = work[0, j]
            times(middle, to_powers, orders, work)
            for j in range(orders):
                out[k, j] = work[0, j]

    return along
