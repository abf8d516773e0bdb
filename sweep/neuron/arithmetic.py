"""The operations that formulas are written in: floats here, SIMD lanes in `sweep.kernels`."""

from math import exp

__all__ = ["EXP2_SCALE", "EXP_LIMIT", "exp_ratio", "fma"]

# exp(±708) and its reciprocal are normal float64 numbers, so 1/(1 + E) and E/(1 + E) stay finite;
# beyond it the gradients differ from those of the limit by less than 2e-307.
EXP_LIMIT = 708.0

EXP2_SCALE = 1.4426950408889634  # 1/ln 2


def fma(a: float, b: float, c: float) -> float:
    """a·b + c; the kernels round it once."""
    return a * b + c


def exp_ratio(z: float) -> tuple[float, float]:
    """Return (e, one) with e^z = e/one, z held within ±EXP_LIMIT; NaN stays NaN.

    A sigmoid divides anyway, so lanes give e^z as a fraction: two short polynomials and no long
    one, see `sweep.kernels.simd`.
    """
    return exp(min(max(z, -EXP_LIMIT), EXP_LIMIT)), 1.0
