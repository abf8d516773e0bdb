"""The operations that formulas are written in: floats here, SIMD lanes in `sweep.kernels`."""

from math import exp

__all__ = ["EXP_LIMIT", "EXP_LIMIT_32", "clamp", "exp", "fma"]

# exp(±708) and its reciprocal are both normal float64 numbers, so 1/(1 + E) and E/(1 + E)
# stay finite; beyond it the gradients differ from their clamped values by less than 2e-307.
EXP_LIMIT = 708.0
EXP_LIMIT_32 = 87.0  # the same for float32


def fma(a: float, b: float, c: float) -> float:
    """a·b + c; the kernels round it once."""
    return a * b + c


def clamp(z: float) -> float:
    """Return z held within ±EXP_LIMIT; NaN stays NaN."""
    return min(max(z, -EXP_LIMIT), EXP_LIMIT)
