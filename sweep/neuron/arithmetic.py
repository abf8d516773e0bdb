"""The operations that formulas are written in: floats here, SIMD lanes in `sweep.kernels`."""

import math
from math import exp as _exp
from math import inf, nan

__all__ = [
    "EXP2_SCALE",
    "EXP_LIMIT",
    "FUNCTIONS",
    "cosh",
    "divide",
    "exp",
    "exp_ratio",
    "fma",
    "log",
    "log1p",
    "power",
    "sqrt",
    "tanh",
    "where",
]

# exp(±708) and its reciprocal are normal float64 numbers, so 1/(1 + E) and E/(1 + E) stay finite;
# beyond it the gradients differ from those of the limit by less than 2e-307.
EXP_LIMIT = 708.0

EXP2_SCALE = 1.4426950408889634  # 1/ln 2

# What formulas of costs may call. None of them raises: what has no value is NaN.
FUNCTIONS = ("cosh", "divide", "exp", "fma", "log", "log1p", "power", "sqrt", "tanh", "where")


def fma(a: float, b: float, c: float) -> float:
    """a·b + c; the kernels round it once."""
    return a * b + c


def exp_ratio(z: float) -> tuple[float, float]:
    """Return (e, one) with e^z = e/one, z held within ±EXP_LIMIT; NaN stays NaN.

    A sigmoid divides anyway, so lanes give e^z as a fraction: two short polynomials and no long
    one, see `sweep.kernels.simd`.
    """
    return _exp(min(max(z, -EXP_LIMIT), EXP_LIMIT)), 1.0


def divide(a: float, b: float) -> float:
    """Return a/b, ±∞ or NaN where b is 0."""
    return a / b if b != 0.0 else a * math.copysign(inf, b)


def where(mask: bool, a: float, b: float) -> float:
    """Return a where the mask holds, b elsewhere."""
    return a if mask else b


def exp(x: float) -> float:
    """Return e^x, ∞ beyond the largest number."""
    return math.exp(x) if x < 709.78 else x * inf


def log(x: float) -> float:
    """Return ln x, −∞ of 0."""
    return math.log(x) if x > 0.0 else -inf if x == 0.0 else nan


def log1p(x: float) -> float:
    """Return ln(1 + x)."""
    return math.log1p(x) if x > -1.0 else -inf if x == -1.0 else nan


def sqrt(x: float) -> float:
    """Return the square root."""
    return math.sqrt(x) if x >= 0.0 else nan


def power(x: float, g: float) -> float:
    """Return x^g of x ≥ 0."""
    if x > 0.0:
        return math.pow(x, g) if g * math.log(x) < 709.78 else inf
    if x == 0.0:
        return 0.0 if g > 0.0 else 1.0 if g == 0.0 else inf
    return nan


def tanh(x: float) -> float:
    """Return tanh x."""
    return math.tanh(x)


def cosh(x: float) -> float:
    """Return cosh x, ∞ beyond the largest number."""
    return math.cosh(x) if abs(x) < 710.0 else inf
