"""δ and its derivative at many z, the same bits on every CPU; how steep δ is at most."""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numba.core import types
from numba.extending import overload
from numpy.typing import NDArray

from sweep.kernels.compile import compiled, once
from sweep.kernels.formulas import at_of
from sweep.kernels.simd import load, store, width_of
from sweep.neuron.intervals import delta_bounds
from sweep.neuron.problem import Problem

__all__ = [
    "DDELTA_DZ",
    "DELTA",
    "FAR",
    "RESIDUAL",
    "SLOPE",
    "STRIDE",
    "evaluate",
    "lower_target",
    "profile",
    "residual_delta_slope",
    "second_derivative_bound",
    "steepest",
]

Floats = NDArray[np.float64]

WIDTH = width_of(types.float64)

# δ is evaluated at every STRIDE of z within ±FAR.
STRIDE, FAR = 2.0**-6, 48.0

# δ' is known at every STRIDE of z. |δ''| is below this, or for costs declared later at most a fifth
# more than neighbouring δ' show (a test holds the fifth for all pairs).
LARGEST_SECOND_DERIVATIVE, MARGIN = 4.0, 1.2


def lower_target(problem: Problem) -> float:
    """Return the target, mirrored into the lower half of the range."""
    y, act = float(problem.y[0]), problem.act
    return act.low + act.high - y if problem.mirrors(y) else y


# Rows of what `evaluate` returns: a − y, da/dz, δ, dδ/dz.
RESIDUAL, SLOPE, DELTA, DDELTA_DZ = range(4)


def residual_delta_slope(cost, activation, z, y, c):
    """Return (a − y, da/dz, δ, dδ/dz) of lanes; in compiled code only, where names are literals."""


@overload(residual_delta_slope, prefer_literal=True)
def _overload_residual_delta_slope(cost, activation, z, y, c):
    if not isinstance(cost, types.StringLiteral):
        return None
    at = at_of(cost, activation, octaves=False)
    return lambda cost, activation, z, y, c: at(z, y, c)


@once
def _compile_evaluate(cost: str, activation: str) -> Callable[..., None]:
    """Compile fill(z (1, N), y, c, out (4, N)), which sets the rows of `evaluate`."""
    matrix, vector = (types.Array(types.float64, ndim, "C") for ndim in (2, 1))

    @compiled(types.void(matrix, types.float64, vector, matrix))
    def fill(z, y, c, out):
        for first in range(0, z.shape[1], WIDTH):
            residual, slope, delta, ddelta_dz = residual_delta_slope(
                cost, activation, load(z, 0, first), y, c
            )
            store(out, RESIDUAL, first, residual)
            store(out, SLOPE, first, slope)
            store(out, DELTA, first, delta)
            store(out, DDELTA_DZ, first, ddelta_dz)

    return fill


def evaluate(problem: Problem, z: Floats, y: float) -> Floats:
    """Return the rows RESIDUAL, SLOPE, DELTA and DDELTA_DZ at each z, (4, n).

    They are the same bits on every CPU; the exponentials of NumPy and of the C library differ by an
    ulp between CPUs.
    """
    return _evaluate(problem.cost, problem.activation, problem.parameters, z, y)


def _evaluate(
    cost: str, activation: str, parameters: tuple[float, ...], z: Floats, y: float
) -> Floats:
    padded = np.zeros((1, -(-len(z) // WIDTH) * WIDTH))
    padded[0, : len(z)] = z
    out = np.empty((4, padded.shape[1]))
    _compile_evaluate(cost, activation)(padded, y, np.array(parameters, np.float64), out)
    return out[:, : len(z)]


def profile(problem: Problem) -> tuple[Floats, Floats]:
    """Return δ and dδ/dz at every STRIDE of z from −FAR to FAR."""
    return _profile(problem.cost, problem.activation, problem.parameters, lower_target(problem))


@lru_cache(maxsize=64)
def _profile(
    cost: str, activation: str, parameters: tuple[float, ...], y: float
) -> tuple[Floats, Floats]:
    out = _evaluate(cost, activation, parameters, np.arange(-FAR, FAR, STRIDE), y)
    return out[DELTA], out[DDELTA_DZ]


def steepest(problem: Problem) -> float:
    """Return a bound of dδ/dz from above, over all z, for the first target."""
    if not problem.declared:
        y = float(problem.y[0])
        cells = delta_bounds(problem.cost, problem.parameters, problem.activation, y)
        # Upwards, to fewer digits than those in which two CPUs might differ.
        return float(np.format_float_scientific(cells.ddelta_dz[1].max() * (1 + 1e-9), 9))
    _, slopes = profile(problem)
    return float(slopes.max()) + 0.5 * STRIDE * second_derivative_bound(slopes)


def second_derivative_bound(slopes: NDArray[np.float64]) -> float:
    """Return a bound of |δ''| from δ' at every STRIDE of z, as `profile` returns it."""
    return max(LARGEST_SECOND_DERIVATIVE, MARGIN * float(np.abs(np.diff(slopes)).max()) / STRIDE)
