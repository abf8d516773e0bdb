"""What formulas of costs may call, for lanes: logarithms, powers, hyperbolic functions, `max`.

No libm takes part, so the bits are the same on every CPU. `tests/test_simd.py` holds all to 2 ulp.
"""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

import math

import numpy as np
from numba.core import types
from numba.extending import overload, register_jitable

from sweep.kernels.simd import Lanes, binary_exponent, exp_ratio_of_sum, select
from sweep.neuron import arithmetic
from sweep.neuron.arithmetic import exp_ratio, fma

__all__ = ["log"]

# ln x = e ln 2 + ln m with √½ ≤ m < √2, and ln m = 2 artanh t = 2t + t R with t = (m − 1)/(m + 1),
# |t| < 0.172, R = 2t²/3 + 2t⁴/5 + …: the next term is below 2e-18. With f = m − 1, which is exact,
# 2t = f − f²/2 + t f²/2, so that what rounds is small against f (fdlibm's e_log.c). The head of
# ln 2 has its low bits zero, so that e times it is exact.
SERIES = tuple(2.0 / order for order in range(21, 1, -2))
LN2_HEAD, LN2_TAIL = 0.693147180369123816490, 1.90821492927058770002e-10


def log(x):
    """Return the logarithm of positive lanes, −∞ for 0; in compiled code only."""


def _scalar(function, x):
    """Return a function of `arithmetic` as it stands, for numbers; None for other types."""
    own = getattr(arithmetic, function.__name__, None) is function
    return function if own and isinstance(x, types.Float) else None


@overload(log)
@overload(arithmetic.log, strict=False)
def _overload_log(x):
    if not isinstance(x, Lanes):
        return _scalar(arithmetic.log, x)
    series = SERIES

    def log_of(x):
        inverse, e = binary_exponent(x)
        m = x * inverse
        large = m > math.sqrt(2.0)
        m = select(large, m * 0.5, m)
        e = select(large, e + 1.0, e)
        f = m - 1.0
        t = f / (m + 1.0)
        square, half = t * t, 0.5 * f * f
        rest = fma(square, series[0], series[1])
        for k in range(2, len(series)):
            rest = fma(rest, square, series[k])
        small = f - (half - fma(t, fma(rest, square, half), e * LN2_TAIL))
        found = fma(e, LN2_HEAD, small)
        return select(x > 0.0, found, -math.inf)

    return log_of


@overload(math.log1p)
@overload(arithmetic.log1p, strict=False)
def _overload_log1p(x):
    """ln(1 + x): what 1 + x has rounded off is put back to first order."""
    if not isinstance(x, Lanes):
        return _scalar(arithmetic.log1p, x)

    def log1p(x):
        y = x + 1.0
        return log(y) + (x - (y - 1.0)) / y

    return log1p


@overload(math.exp)
@overload(arithmetic.exp, strict=False)
def _overload_exp(x):
    if not isinstance(x, Lanes):
        return _scalar(arithmetic.exp, x)

    def exp(x):
        e, one = exp_ratio(x)
        return e / one

    return exp


# A power needs ln x to more digits than a number has, for its error is multiplied by the exponent
# and the logarithm: hi + lo, with t = hi + lo too, and the first term of the series, 2t³/3.


def _double_log(number):
    """Return what gives (hi, lo) with hi + lo = ln x of lanes of a type."""
    double = number is types.float64
    kind = np.float64 if double else np.float32
    head = LN2_HEAD if double else 0.693145751953125
    tail = LN2_TAIL if double else 1.4286068203094173e-06
    third = float(kind(2.0 / 3.0))
    third_lo = 2.0 / 3.0 - third if not double else 3.700743415417188e-17
    series = tuple(2.0 / order for order in range(21, 3, -2))

    @register_jitable
    def log_of(x):
        inverse, e = binary_exponent(x)
        m = x * inverse
        large = m > math.sqrt(2.0)
        m = select(large, m * 0.5, m)
        e = select(large, e + 1.0, e)
        f, d = m - 1.0, m + 1.0
        d_lo = m - (d - 1.0)
        t = f / d
        t_lo = (fma(-t, d, f) - t * d_lo) / d
        s = t * t
        s_lo = fma(t, t, -s) + 2.0 * t * t_lo
        tail_sum = fma(s, series[0], series[1])
        for k in range(2, len(series)):
            tail_sum = fma(tail_sum, s, series[k])
        a = s * third
        a_lo = fma(s, third, -a) + fma(s, third_lo, s_lo * third)
        b = s * s * tail_sum
        u = a + b
        u_lo = ((a - u) + b) + a_lo
        c = t * u
        c_lo = fma(t, u, -c) + fma(t, u_lo, t_lo * u)
        base, twice = e * head, t + t
        first = base + twice
        hi = first + c
        lo = ((base - first) + twice) + ((first - hi) + c) + (c_lo + fma(e, tail, t_lo + t_lo))
        total = hi + lo
        return total, lo + (hi - total)

    return log_of


@overload(arithmetic.power, strict=False)
def _overload_power(x, g):
    if not isinstance(x, Lanes):
        return _scalar(arithmetic.power, x)
    log_of = _double_log(x.dtype)

    def power(x, g):
        hi, lo = log_of(x)
        exponent = g * hi
        rest = fma(g, hi, -exponent) + g * lo
        e, one = exp_ratio_of_sum(exponent, rest)
        value = e / one
        nothing = x * 0.0
        of_zero = select(g > nothing, nothing, select(nothing > g, nothing + np.inf, nothing + 1.0))
        invalid = select(nothing > x, nothing + np.nan, of_zero)
        return select(x > 0.0, value, invalid)

    return power


# Padé's fraction of tanh, right to 1e-17 up to ½ ln 3; beyond it 1 − 2/(e^(2x) + 1) loses nothing.
# Of the fraction it is 1 − s·(less/under) that is computed, s = x².
TANH_LESS = (44.0, 12870.0, 810810.0, 11486475.0)
TANH_UNDER = (45.0, 13860.0, 945945.0, 16216200.0, 34459425.0)


@overload(arithmetic.tanh, strict=False)
def _overload_tanh(x):
    if not isinstance(x, Lanes):
        return _scalar(arithmetic.tanh, x)
    less, under, middle = TANH_LESS, TANH_UNDER, 0.5 * math.log(3.0)

    def tanh(x):
        size, s = abs(x), x * x
        top, bottom = fma(s, less[0], less[1]), fma(s, under[0], under[1])
        for k in range(2, 4):
            top, bottom = fma(top, s, less[k]), fma(bottom, s, under[k])
        bottom = fma(bottom, s, under[4])
        e, one = exp_ratio(size + size)
        far = 1.0 - (one + one) / (e + one)
        near = size - size * s * top / bottom
        found = select(size > middle, far, near)
        return select(x > 0.0, found, -found)

    return tanh


@overload(arithmetic.cosh, strict=False)
def _overload_cosh(x):
    if not isinstance(x, Lanes):
        return _scalar(arithmetic.cosh, x)

    def cosh(x):
        e, one = exp_ratio(x)
        return 0.5 * (e / one + one / e)

    return cosh


@overload(arithmetic.divide)
def _overload_divide(a, b):
    return lambda a, b: a / b


@overload(arithmetic.where)
def _overload_where(mask, a, b):
    if isinstance(mask, Lanes):
        return lambda mask, a, b: select(mask, a, b)
    return lambda mask, a, b: a if mask else b


@overload(arithmetic.sqrt, strict=False)
def _overload_sqrt(x):
    return _scalar(arithmetic.sqrt, x)


@overload(max)
def _overload_max(a, b):
    if not isinstance(a, Lanes):
        return None
    return lambda a, b: select(a > b, a, b)
