"""One side of the target: the map that starts there follow, its steps, and where pieces may begin.

Heights are side·z, so that they increase away from the target on both sides.
"""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba.core import types
from numba.extending import register_jitable
from numpy.typing import NDArray

from sweep.kernels.profile import (
    DELTA,
    FAR,
    RESIDUAL,
    SLOPE,
    STRIDE,
    evaluate,
    lower_target,
    profile,
)
from sweep.neuron.arithmetic import EXP2_SCALE
from sweep.neuron.problem import Problem

__all__ = [
    "BRANCH_TYPE",
    "BROAD",
    "HIGH",
    "UNIT_ROUNDOFF",
    "Branch",
    "find_branch",
    "log",
    "piece_width",
    "step_size",
    "tolerance_rounding",
]

Floats = NDArray[np.float64]

UNIT_ROUNDOFF = 2.0**-53

# A piece may be as wide as this share of the distance to the activation's poles, and as this share
# of the distance to the fixed point; a step that is at most half of one is narrow.
PIECE_SHARE, FIXED_POINT_SHARE, BROAD = 0.04, 0.1, 0.5

# Rows lead through to where all steps are narrow if they are no more than these; if not, through
# broad steps only. They are made up to HIGH in any case, so that no bit depends on the top.
FEW_ROWS, HIGH = 512, 8.0


class Branch(NamedTuple):
    """The starts on one side of the target, and the map z − κδ(z) that they follow.

    Attributes
    ----------
    side : float
        1 above the target, −1 below.
    y : float
        The target, in the lower half of the activation's range.
    kappa : float
        κ = η(|x|² + 1).
    pole : float
        How far the activation's poles are from the real axis.
    widest : float
        The most that a piece may be wide.
    lowest : float
        T₀, the height at which the error is the tolerance.
    width : float
        The step from T₀, |f(T₀) − T₀|.
    slope : float
        da/dz at T₀.
    fixed_point : float
        The height at which δ = 0; −∞ for a target at the end of the range.
    longest : float
        The longest step above T₀.
    gain : float
        The most by which an error in epochs makes a relative error of the end.
    pieces_from : float
        Pieces may begin from this height on.
    """

    side: float
    y: float
    kappa: float
    pole: float
    widest: float
    lowest: float
    width: float
    slope: float
    fixed_point: float
    longest: float
    gain: float
    pieces_from: float


BRANCH_TYPE = types.NamedUniTuple(types.float64, len(Branch._fields), Branch)


def step_size(problem: Problem, rate: float) -> float:
    """Return κ = η(|x|² + 1)."""
    return float(rate * (sum(v * v for v in problem.x[0]) + 1.0))


def tolerance_rounding(problem: Problem) -> float:
    """Return how far rounding can move a − y where it is compared with the tolerance."""
    y = lower_target(problem)
    return 8 * UNIT_ROUNDOFF * (y - problem.act.low + 2 * problem.tolerance)


def log(x: float) -> float:
    """Return the logarithm of a positive number, the same bits on every CPU, to some 1e-16."""
    mantissa, exponent = math.frexp(x)
    t = (mantissa - 1.0) / (mantissa + 1.0)  # from −1/3 to 0: 2 artanh t
    power, total = t, 0.0
    for order in range(1, 35, 2):
        total += power / order
        power *= t * t
    return exponent / EXP2_SCALE + 2.0 * total


@register_jitable
def piece_width(height, branch):
    """Return how wide a piece may be that begins at a height."""
    return np.minimum(branch.widest, FIXED_POINT_SHARE * (height - branch.fixed_point))


def find_branch(problem: Problem, kappa: float, side: float) -> Branch | None:
    """Return the branch on one side; None if no start there has an error above the tolerance."""
    act, y = problem.act, lower_target(problem)
    lowest = _height_where(problem, y, side, side * problem.tolerance)
    if lowest is None:
        return None
    fixed_point = _height_where(problem, y, side, 0.0) if y > act.low else None
    fixed_point = -np.inf if fixed_point is None else fixed_point
    at_tolerance = evaluate(problem, np.array([side * lowest]), y)[:, 0].tolist()
    deltas, ddeltas_dz = profile(problem)
    height = side * np.arange(-FAR, FAR, STRIDE)
    above = height > lowest
    height, step = height[above], kappa * abs(deltas[above])
    width = kappa * abs(at_tolerance[DELTA])
    branch = Branch(
        side=side,
        y=y,
        kappa=kappa,
        pole=act.pole,
        widest=PIECE_SHARE * act.pole,
        lowest=lowest,
        width=width,
        slope=at_tolerance[SLOPE],
        fixed_point=fixed_point,
        longest=max(width, float(step.max(initial=0.0))),
        gain=kappa * max(float(ddeltas_dz[above].max(initial=0.0)), 1e-9),
        pieces_from=-np.inf,
    )
    return branch._replace(pieces_from=_pieces_from(branch, height, step))


def _pieces_from(branch: Branch, height: Floats, step: Floats) -> float:
    """Return the height from which on pieces may begin: that of the last broad step, or −∞."""
    broad = step > BROAD * piece_width(height, branch)
    if not broad.any():
        return -np.inf
    narrow_from = float(height[broad].max()) + STRIDE
    narrow_from = narrow_from if narrow_from < FAR - 1.0 else np.inf
    fixed_point, lowest, width = branch.fixed_point, branch.lowest, branch.width
    between = (height > fixed_point + STRIDE) & (height < min(narrow_from, HIGH))
    rows = STRIDE * float((1.0 / step[between]).sum())
    if width > 0.0 and lowest - fixed_point < STRIDE:  # a width of 0 is an obstacle
        rows += (lowest - fixed_point) / width * log(STRIDE / (lowest - fixed_point))
    return narrow_from if rows < FEW_ROWS else -np.inf


def _height_where(problem: Problem, y: float, side: float, residual: float) -> float | None:
    """Return the height at which a − y = residual, to a few last digits; None if there is none."""
    act = problem.act
    if not act.low < y + residual < act.high:
        return None
    low, high = -700.0, 700.0
    while high - low > 0.25:
        points = np.linspace(low, high, 32)
        below = int((evaluate(problem, points, y)[RESIDUAL] < residual).sum())
        low, high = points[max(below - 1, 0)], points[min(below, 31)]
    z = float(high)
    for _ in range(6):  # Newton
        at = evaluate(problem, np.array([z]), y)[:, 0].tolist()
        z -= (at[RESIDUAL] - residual) / at[SLOPE]
    return side * z
