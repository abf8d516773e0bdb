"""When the orbit holds: conditions on a problem and its step, checked for the actual numbers."""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numba.core import types
from numba.extending import overload, register_jitable
from numpy.typing import NDArray

from sweep.kernels.cache import compiled, once
from sweep.kernels.vectormath import load, store, width_of
from sweep.neuron.activations import ACTIVATIONS
from sweep.neuron.costs import fused
from sweep.neuron.problem import Problem

__all__ = ["lower_target", "obstacle", "profile", "pull", "step_size"]

# δ is looked at every STRIDE; no declared pair has |δ''| above this (a test holds that).
STRIDE, STEEPEST_BEND = 2.0**-6, 4.0


def obstacle(ask: Problem, rate: float, dtype: str) -> str | None:
    """Return why the orbit is not proven for a problem and learning rate; None if it is."""
    if len(ask.x) != 1:
        return f"it needs one sample; there are {len(ask.x)}"
    if dtype != "float64":
        return f"its bounds are for float64; dtype is {dtype}"
    if ask.act.bend is None:
        return f"it needs a smooth activation; {ask.activation} has a corner"
    kappa = step_size(ask, rate)
    _, slopes = profile(ask.cost, ask.activation, lower_target(ask))
    steepest = float(slopes.max()) + 0.5 * STRIDE * STEEPEST_BEND
    if not kappa * steepest < 1.0:
        return (
            f"the map folds: learning_rate·(|x|² + 1) = {kappa:g} must be below "
            f"{1 / steepest:.4g} for {ask.cost} with {ask.activation}"
        )
    return None


def step_size(ask: Problem, rate: float) -> float:
    """Return κ = η(|x|² + 1)."""
    return float(rate * (sum(v * v for v in ask.x[0]) + 1.0))


def lower_target(ask: Problem) -> float:
    """Return the target, mirrored into the lower half of the range."""
    y = float(ask.y[0])
    return ask.act.low + ask.act.high - y if ask.act.mirrors(y) else y


def pull(pair, z, y):
    """Return (a − y, δ, δ') of lanes; in compiled code only."""


@overload(pull, prefer_literal=True)
def _overload_pull(pair, z, y):
    if not isinstance(pair, types.StringLiteral):
        return None
    cost, activation = pair.literal_value.split(" ")
    forward = register_jitable(ACTIVATIONS[activation].forward)
    bend = register_jitable(ACTIVATIONS[activation].bend)
    delta = register_jitable(fused(cost, activation).delta)
    delta_slope = register_jitable(fused(cost, activation).delta_slope)

    def at(pair, z, y):
        residual, slope = forward(z, y)
        steep = delta_slope(residual, slope, bend(residual + y, slope))
        return residual, delta(residual, slope), steep

    return at


@once
def _profiler(pair: str) -> Callable[..., None]:
    matrix, width = types.Array(types.float64, 2, "C"), width_of(types.float64)

    @compiled(types.void(matrix, types.float64, matrix))
    def fill(z, y, out):
        for c in range(0, z.shape[1], width):
            _, delta, steep = pull(pair, load(z, 0, c), y)
            store(out, 0, c, delta)
            store(out, 1, c, steep)

    return fill


@lru_cache(maxsize=64)
def profile(
    cost: str, activation: str, y: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return δ and δ' at every STRIDE of z from −48 to 48."""
    z = np.arange(-48.0, 48.0, STRIDE)[None]
    out = np.empty((2, z.shape[1]))
    _profiler(f"{cost} {activation}")(z, y, out)
    return out[0], out[1]
