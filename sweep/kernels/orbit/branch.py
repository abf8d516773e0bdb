"""What starts meet on their way to the target, and whether the orbit holds there.

The conditions are checked for the actual numbers, and the reason is said.
"""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba.core import types
from numba.extending import overload, register_jitable
from numpy.typing import NDArray

from sweep.kernels.compile import compiled, once
from sweep.kernels.simd import load, store, width_of
from sweep.neuron.activations import ACTIVATIONS
from sweep.neuron.arithmetic import EXP2_SCALE, exp_ratio
from sweep.neuron.costs import fused
from sweep.neuron.problem import Problem

__all__ = [
    *(
        "BROAD",
        "HIGH",
        "Branch",
        "log",
        "look",
        "obstacle",
        "residual_delta_slope",
        "step_size",
        "tolerance_rounding",
        "find_branch",
    ),
    *("width_at"),
]

Floats = NDArray[np.float64]

U = 2.0**-53

WIDTH = width_of(types.float64)

# δ is looked at every STRIDE; no declared pair has |δ''| above this (a test holds that).
STRIDE, LARGEST_SECOND_DERIVATIVE = 2.0**-6, 4.0

# A piece may be as wide as this share of the way to the activation's poles, and as this share of
# the way to the fixed point; a step that is at most half of one is narrow.
PIECE_SHARE, FIXED_POINT_SHARE, BROAD = 0.04, 0.1, 0.5

# Rows lead through to where all steps are narrow if they are no more than these; if not, through
# broad steps only. They are made up to HIGH in any case, so that no bit depends on the top.
FEW_ROWS, HIGH = 512, 8.0

# The first step must be so many times a rounding of z.
FINEST = 2.0**10


class Branch(NamedTuple):
    """What starts meet on one side of the target; heights are side·z, so that they increase."""

    pair: str
    side: float
    y: float
    kappa: float
    pole: float  # of the activation: how far from the real axis
    widest: float  # that a piece may be
    lowest: float  # T₀
    width: float  # from f(T₀) to T₀
    slope: float  # da/dz at T₀
    star: float  # where δ = 0
    longest: float  # step
    gain: float  # the most by which an error in epochs makes a relative one of the end
    calm: float  # pieces may begin from here on


def obstacle(problem: Problem, rate: float, dtype: str) -> str | None:
    """Return why the orbit is not proven for a problem and learning rate; None if it is."""
    if len(problem.x) != 1:
        return f"it needs one sample; there are {len(problem.x)}"
    if dtype != "float64":
        return f"its bounds are for float64; dtype is {dtype}"
    if problem.act.second_derivative is None:
        return f"it needs a smooth activation; {problem.activation} has a corner"
    kappa = step_size(problem, rate)
    _, slopes = profile(pair_of(problem), lower_target(problem))
    steepest = float(slopes.max()) + 0.5 * STRIDE * LARGEST_SECOND_DERIVATIVE
    if not kappa * steepest < 1.0:
        return (
            f"the map folds: learning_rate·(|x|² + 1) = {kappa:g} must be below "
            f"{1 / steepest:.4g} for {problem.cost} with {problem.activation}"
        )
    for side in (1.0, -1.0):
        way = find_branch(problem, kappa, side)
        least = 0.0 if way is None else FINEST * U * max(1.0, abs(way.lowest))
        if way is not None and not way.width > least:
            return (
                f"float64 does not resolve it: with tolerance = {problem.tolerance:g} the last "
                f"step, {way.width:.3g} in z, must be above {least:.3g}"
            )
    return None


def step_size(problem: Problem, rate: float) -> float:
    """Return κ = η(|x|² + 1)."""
    return float(rate * (sum(v * v for v in problem.x[0]) + 1.0))


def pair_of(problem: Problem) -> str:
    """Return the cost and the activation as compiled code names them."""
    return f"{problem.cost} {problem.activation}"


def lower_target(problem: Problem) -> float:
    """Return the target, mirrored into the lower half of the range."""
    y = float(problem.y[0])
    return problem.act.low + problem.act.high - y if problem.act.mirrors(y) else y


def tolerance_rounding(problem: Problem) -> float:
    """Return how far rounding can move a − y where it is tested against the tolerance."""
    return 8 * U * (lower_target(problem) - problem.act.low + 2 * problem.tolerance)


def residual_delta_slope(pair, z, y):
    """Return (a − y, da/dz, δ, δ') of lanes; in compiled code only."""


@overload(residual_delta_slope, prefer_literal=True)
def _overload_residual_delta_slope(pair, z, y):
    if not isinstance(pair, types.StringLiteral):
        return None
    cost, activation = pair.literal_value.split(" ")
    forward = register_jitable(ACTIVATIONS[activation].forward)
    second_derivative = register_jitable(ACTIVATIONS[activation].second_derivative)
    delta = register_jitable(fused(cost, activation).delta)
    ddelta_dz = register_jitable(fused(cost, activation).ddelta_dz)

    def at(pair, z, y):
        residual, slope = forward(z, y, exp_ratio)
        steep = ddelta_dz(residual, slope, second_derivative(residual + y, slope))
        return residual, slope, delta(residual, slope), steep

    return at


@once
def _looker(pair: str) -> Callable[..., None]:
    matrix, width = types.Array(types.float64, 2, "C"), width_of(types.float64)

    @compiled(types.void(matrix, types.float64, matrix))
    def fill(z, y, out):
        for c in range(0, z.shape[1], width):
            residual, slope, delta, steep = residual_delta_slope(pair, load(z, 0, c), y)
            store(out, 0, c, residual)
            store(out, 1, c, slope)
            store(out, 2, c, delta)
            store(out, 3, c, steep)

    return fill


def look(pair: str, z: Floats, y: float) -> Floats:
    """Return a − y, da/dz, δ and δ' at each z, (4, n), with the same bits on every CPU.

    The exponentials of NumPy and of the C library differ by an ulp between CPUs.
    """
    padded = np.zeros((1, -(-len(z) // WIDTH) * WIDTH))
    padded[0, : len(z)] = z
    out = np.empty((4, padded.shape[1]))
    _looker(pair)(padded, y, out)
    return out[:, : len(z)]


def log(x: float) -> float:
    """Return the logarithm of a positive number, the same bits on every CPU, to some 1e-16."""
    mantissa, exponent = math.frexp(x)
    t = (mantissa - 1.0) / (mantissa + 1.0)  # from −1/3 to 0: 2 artanh t
    power, total = t, 0.0
    for order in range(1, 35, 2):
        total += power / order
        power *= t * t
    return exponent / EXP2_SCALE + 2.0 * total


@lru_cache(maxsize=64)
def profile(pair: str, y: float) -> tuple[Floats, Floats]:
    """Return δ and δ' at every STRIDE of z from −48 to 48."""
    out = look(pair, np.arange(-48.0, 48.0, STRIDE), y)
    return out[2], out[3]


@register_jitable
def width_at(height, star, widest):
    """Return how wide a piece may be that begins there, with the target's own z at `star`."""
    return np.minimum(widest, FIXED_POINT_SHARE * (height - star))


def find_branch(problem: Problem, kappa: float, side: float) -> Branch | None:
    """Look at the way down on one side; None if no start there has an error above tolerance."""
    act, y, pair = problem.act, lower_target(problem), pair_of(problem)
    lowest = _height(problem, y, side, side * problem.tolerance)
    if lowest is None:
        return None
    star = _height(problem, y, side, 0.0) if y > act.low else None
    star = -np.inf if star is None else star
    widest = PIECE_SHARE * act.pole
    _, slope, delta, _ = look(pair, np.array([side * lowest]), y)[:, 0].tolist()
    width = kappa * abs(delta)
    deltas, slopes = profile(pair, y)
    height = side * np.arange(-48.0, 48.0, STRIDE)
    above = height > lowest
    height, step = height[above], kappa * abs(deltas[above])
    gain = kappa * max(float(slopes[above].max(initial=0.0)), 1e-9)
    calm, broad = -np.inf, step > BROAD * width_at(height, star, widest)
    if broad.any():
        quiet = float(height[broad].max()) + STRIDE
        quiet = quiet if quiet < 47.0 else np.inf
        between = (height > star + STRIDE) & (height < min(quiet, HIGH))
        rows = STRIDE * float((1.0 / step[between]).sum())
        if width > 0.0 and lowest - star < STRIDE:  # a width of 0 is an obstacle
            rows += (lowest - star) / width * log(STRIDE / (lowest - star))
        if rows < FEW_ROWS:
            calm = quiet
    longest = max(width, float(step.max(initial=0.0)))
    return Branch(
        *(pair, side, y, kappa, act.pole, widest, lowest, width, slope),
        *(star, longest, gain, calm),
    )


def _height(problem: Problem, y: float, side: float, goal: float) -> float | None:
    """Return the height at which a = y + goal, to a few last digits; None if there is none."""
    act, pair = problem.act, pair_of(problem)
    if not act.low < y + goal < act.high:
        return None
    low, high = -700.0, 700.0
    while high - low > 0.25:
        points = np.linspace(low, high, 32)
        below = int((look(pair, points, y)[0] < goal).sum())
        low, high = points[max(below - 1, 0)], points[min(below, 31)]
    z = float(high)
    for _ in range(6):  # Newton
        residual, slope, _, _ = look(pair, np.array([z]), y)[:, 0].tolist()
        z -= (residual - goal) / slope
    return side * z
