"""The backward orbit: rows of starts, each of which takes one epoch to the row before it."""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba.core import types

from sweep.kernels.compile import compiled, once
from sweep.kernels.orbit.branch import BRANCH_TYPE, BROAD, piece_width
from sweep.kernels.profile import residual_delta_slope
from sweep.kernels.simd import bits_of, load, select, store, width_of

__all__ = ["ORBITS", "compile_backward_orbit"]

# Orbits walked together, on every CPU: the points of a row's polynomial and those that check it.
ORBITS = 32

WIDTH = width_of(types.float64)

# Newton's method doubles the digits: what is left after so small a change, relative to the step,
# is below a rounding.
SETTLED, MAX_ITERATIONS = 3e-9, 60


@once
def compile_backward_orbit(cost: str, activation: str) -> Callable[..., int]:
    """Compile the backward orbits of a cost with an activation.

    Returns ``walk(heights, slopes, branch, parameters, top) -> last``: heights (K, ORBITS) are
    side·z, slopes (K, ORBITS) f'(z), with f(z) = z − κδ(z). Row 0 of the heights is given; its last
    number is T₀. Row k + 1 solves f(z) = row k, by Newton's method for the step s = κδ:
    s = κδ(z + s).

    The last row is the first whose T reaches the top or, above ``branch.pieces_from``, whose step
    is so narrow that pieces may begin in it: then its number is returned as a negative one.
    """
    matrix = types.Array(types.float64, 2, "C")

    @compiled(
        types.int64(matrix, matrix, BRANCH_TYPE, types.Array(types.float64, 1, "C"), types.float64)
    )
    def walk(heights, slopes, branch, parameters, top):
        side, kappa, y = branch.side, branch.kappa, branch.y
        last = heights.shape[1] - 1
        z, low_part = np.zeros((1, ORBITS)), np.zeros((1, ORBITS))
        # The steps of the last row, of the one before, and of the one before that.
        steps1, steps2, steps3 = (
            np.zeros((1, ORBITS)),
            np.zeros((1, ORBITS)),
            np.zeros((1, ORBITS)),
        )
        for m in range(ORBITS):
            z[0, m] = side * heights[0, m]
        k = 0
        while k < len(heights) - 1 and heights[k, last] < top:
            for c in range(0, ORBITS, WIDTH):
                step1, step2 = load(steps1, 0, c), load(steps2, 0, c)
                step = step1
                if k > 2:  # extrapolated: one Newton step is enough for most rows
                    change1 = step1 - step2
                    step = step + change1 + (change1 - (step2 - load(steps3, 0, c)))
                here = load(z, 0, c)
                change, slope = step * 0.0 + 1e300, step * 0.0
                for _ in range(MAX_ITERATIONS):
                    # A lane that has settled keeps its step: no bit depends on its neighbours.
                    going = abs(change) > abs(step) * SETTLED
                    _, _, delta, ddelta_dz = residual_delta_slope(
                        cost, activation, here + step * side, y, parameters
                    )
                    rise = 1.0 - ddelta_dz * kappa
                    change = select(going, (delta * (side * kappa) - step) / rise, change)
                    step = select(going, step + change, step)
                    slope = select(going, rise, slope)
                    if bits_of(abs(change) > abs(step) * SETTLED) == 0:
                        break
                # z + low_part + side·step, kept in two numbers (Knuth's two-sum)
                a, b = here, step * side + load(low_part, 0, c)
                total = a + b
                part = total - a
                store(low_part, 0, c, (a - (total - part)) + (b - part))
                store(z, 0, c, total)
                store(steps3, 0, c, step2)
                store(steps2, 0, c, step1)
                store(steps1, 0, c, step)
                store(heights, k + 1, c, total * side)
                store(slopes, k + 1, c, slope)
            k += 1
            begin = heights[k - 1, last]
            narrow = steps1[0, last] <= BROAD * piece_width(begin, branch)
            if begin >= branch.pieces_from and narrow:
                return -k
        return k

    return walk
