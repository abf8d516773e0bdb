"""The backward orbit: rows of starts, each of which takes one epoch to the row before it."""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba.core import types

from sweep.kernels.compile import compiled, once
from sweep.kernels.orbit.branch import BROAD, residual_delta_slope, width_at
from sweep.kernels.simd import bits_of, load, select, store, width_of

__all__ = ["ORBITS", "compile_backward_orbit"]

# Orbits walked together, on every CPU: the points of a row's polynomial and those that check it.
ORBITS = 32

WIDTH = width_of(types.float64)


@once
def compile_backward_orbit(pair: str) -> Callable[..., int]:
    """Compile the backward orbits of a (cost, activation)."""
    matrix, number = types.Array(types.float64, 2, "C"), types.float64

    @compiled(types.int64(matrix, matrix, *[number] * 7))
    def climb(heights, falls, side, kappa, y, top, calm, star, widest):
        """Fill rows 1 … of heights, side·z, and of f' there; return the last.

        Row 0 is given; its last number is T₀. The last row is one whose T is at the top or, above
        `calm`, one whose step is so narrow that pieces may begin in it: then it is negative.
        """
        last = heights.shape[1] - 1
        z, low = np.zeros((1, ORBITS)), np.zeros((1, ORBITS))
        step, before, earlier = np.zeros((1, ORBITS)), np.zeros((1, ORBITS)), np.zeros((1, ORBITS))
        for m in range(ORBITS):
            z[0, m] = side * heights[0, m]
        k = 0
        while k < len(heights) - 1 and heights[k, last] < top:
            for c in range(0, ORBITS, WIDTH):
                lately, then = load(step, 0, c), load(before, 0, c)
                s = lately
                if k > 2:  # extrapolated: one Newton step is enough for most rows
                    s = s + (lately - then) + ((lately - then) - (then - load(earlier, 0, c)))
                here = load(z, 0, c)
                change, fall = s * 0.0 + 1e300, s * 0.0
                for _ in range(60):
                    # A lane that is done stands still: no bit of it depends on its neighbours.
                    going = abs(change) > abs(s) * 3e-9
                    _, _, delta, steep = residual_delta_slope(pair, here + s * side, y)
                    rise = 1.0 - steep * kappa
                    change = select(going, (delta * (side * kappa) - s) / rise, change)
                    s = select(going, s + change, s)
                    fall = select(going, rise, fall)
                    # Newton doubles the digits: what is left of so small a change is below
                    # a rounding.
                    if bits_of(abs(change) > abs(s) * 3e-9) == 0:
                        break
                # z + low + side·s, kept in two numbers (Knuth's two-sum)
                a, b = here, s * side + load(low, 0, c)
                total = a + b
                part = total - a
                store(low, 0, c, (a - (total - part)) + (b - part))
                store(z, 0, c, total)
                store(earlier, 0, c, then)
                store(before, 0, c, lately)
                store(step, 0, c, s)
                store(heights, k + 1, c, total * side)
                store(falls, k + 1, c, fall)
            k += 1
            begin = heights[k - 1, last]
            if begin >= calm and step[0, last] <= BROAD * width_at(begin, star, widest):
                return -k
        return k

    return climb
