"""The error of points: what a training of no epoch says, for 30 µs a call in the place of 140."""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba.core import types
from numpy.typing import NDArray

from sweep.kernels.compile import compiled, once
from sweep.kernels.orbit.plane.stencil import samples_of
from sweep.kernels.pool import run_strided
from sweep.kernels.profile import residual_delta_slope
from sweep.kernels.simd import load, store, width_of
from sweep.neuron.problem import Problem

__all__ = ["errors"]

Floats = NDArray[np.float64]

WIDTH = width_of(types.float64)


# Points times samples that are left to one thread: 100 µs.
SHARED = 300_000


@once
def _compile_errors(cost: str, activation: str) -> Callable[..., None]:
    """Compile fill(theta (2, N), feature, sign, y, c, out (1, N))."""
    vector, matrix = (types.Array(types.float64, ndim, "C") for ndim in (1, 2))

    @compiled(types.void(matrix, vector, vector, vector, vector, matrix))
    def fill(theta, feature, sign, y, c, out):
        count = 1.0 / len(y)
        for first in range(0, theta.shape[1], WIDTH):
            w, b = load(theta, 0, first), load(theta, 1, first)
            error = w * 0.0
            for i in range(len(y)):
                residual, _, _, _ = residual_delta_slope(
                    cost, activation, w * feature[i] + b * sign[i], y[i], c
                )
                error = error + abs(residual)
            store(out, 0, first, error * count)

    return fill


def errors(problem: Problem, theta: Floats, threads: int) -> Floats:
    """Return the mean |a − y| (…) at points theta (2, …)."""
    fill, samples = _compile_errors(problem.cost, problem.activation), samples_of(problem)
    points = theta.reshape(2, -1)
    out = np.empty(points.shape[1])

    def part(here: slice) -> None:
        some = points[:, here]
        count = some.shape[1]
        lanes = np.zeros((2, -(-count // WIDTH) * WIDTH))
        lanes[:, :count] = some
        found = np.empty((1, lanes.shape[1]))
        fill(lanes, *samples, problem.constants, found)
        out[here] = found[0, :count]

    run_strided(part, points.shape[1], threads, max(SHARED // len(samples.y), WIDTH))
    return out.reshape(theta.shape[1:])
