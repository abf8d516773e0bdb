"""An epoch of many samples, in lanes: the error of states, and the states after them.

As in training, z is in octaves, so that exponentials are powers of two: a fifth less time.
"""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba.core import types
from numba.extending import register_jitable
from numpy.typing import NDArray

from sweep.kernels.compile import compiled, once
from sweep.kernels.formulas import at_of, residual_of, sample_of
from sweep.kernels.pool import run_strided
from sweep.kernels.simd import load, store, width_of
from sweep.neuron.arithmetic import fma
from sweep.neuron.problem import Problem

__all__ = ["Samples", "errors", "forwards_of", "in_lanes", "samples_of", "slopes_of"]

Floats = NDArray[np.float64]

WIDTH = width_of(types.float64)

# Points times samples that are left to one thread: 100 µs.
SHARED = 300_000


class Samples(NamedTuple):
    """n samples of one input, (n,) each: z is w·feature + b·sign; targets are mirrored to below."""

    feature: Floats
    sign: Floats
    y: Floats


def samples_of(problem: Problem, octaves: bool = True) -> Samples:
    """Return the samples of a problem as kernels take them, for z in octaves or in units."""
    act, mirrored = problem.act, problem.mirrored
    sign = np.where(mirrored, -1.0, 1.0)
    y = np.where(mirrored, act.low + act.high - problem.y, problem.y)
    scale = act.exp2_scale if octaves else 1.0
    return Samples(sign * problem.x[:, 0] * scale, sign * scale, y)


@once
def forwards_of(cost: str, activation: str) -> Callable[..., tuple[Any, Any, Any]]:
    """Return what compiled code calls for an epoch in each lane."""
    sample = sample_of(*map(types.literal, (cost, activation, "many")))

    @register_jitable
    def forwards(w, b, feature, sign, y, c, step):
        """Return the error at (w, b), and F(w, b); `step` is the rate, over n and exp2_scale."""
        error, in_w, in_b = w * 0.0, w * 0.0, w * 0.0
        for i in range(len(y)):
            residual, delta = sample(fma(w, feature[i], b * sign[i]), y[i], c)
            error = error + abs(residual)
            in_w = fma(delta, feature[i], in_w)
            in_b = fma(delta, sign[i], in_b)
        return error * (1.0 / len(y)), w - in_w * step, b - in_b * step

    return forwards  # type: ignore[no-any-return]


@once
def slopes_of(cost: str, activation: str) -> Callable[..., tuple[Any, Any]]:
    """Return what compiled code calls for (δ, dδ/dz), z in octaves, the slope in units."""
    at = at_of(types.literal(cost), types.literal(activation), octaves=True)

    @register_jitable
    def slopes(z, y, c):
        _, _, delta, ddelta_dz = at(z, y, c)
        return delta, ddelta_dz

    return slopes  # type: ignore[no-any-return]


@once
def _compile_errors(activation: str) -> Callable[..., None]:
    """Compile fill(theta (2, N), feature, sign, y, out (1, N))."""
    vector, matrix = (types.Array(types.float64, ndim, "C") for ndim in (1, 2))
    residual = residual_of(types.literal(activation), types.literal("declared"))

    @compiled(types.void(matrix, vector, vector, vector, matrix))
    def fill(theta, feature, sign, y, out):
        for first in range(0, theta.shape[1], WIDTH):
            w, b = load(theta, 0, first), load(theta, 1, first)
            error = w * 0.0
            for i in range(len(y)):
                error = error + abs(residual(fma(w, feature[i], b * sign[i]), y[i]))
            store(out, 0, first, error * (1.0 / len(y)))

    return fill


def errors(problem: Problem, theta: Floats, threads: int) -> Floats:
    """Return the mean |a − y| (…) at points theta (2, …)."""
    fill, samples = _compile_errors(problem.activation), samples_of(problem)

    def lanes(points: Floats, out: Floats) -> None:
        fill(points, *samples, out)

    found = in_lanes(lanes, theta.reshape(2, -1), 1, threads, SHARED // len(samples.y))
    out: Floats = found[0].reshape(theta.shape[1:])
    return out


def in_lanes(
    fill: Callable[[Floats, Floats], None], points: Floats, rows: int, threads: int, least: int
) -> Floats:
    """Return rows (rows, N) which fill(points (2, M), out (rows, M)) sets, for M of whole lanes.

    Fewer than `least` points (2, N) are left to one thread.
    """
    out = np.empty((rows, points.shape[1]))

    def part(here: slice) -> None:
        some = points[:, here]
        count = some.shape[1]
        lanes = np.zeros((2, -(-count // WIDTH) * WIDTH))
        lanes[:, :count] = some
        found = np.empty((rows, lanes.shape[1]))
        fill(lanes, found)
        out[:, here] = found[:, :count]

    run_strided(part, points.shape[1], threads, max(least, WIDTH))
    return out
