"""`exp`, `log`, `log1p` and `max` of Python for lanes, so that formulas of costs compile for them.

No libm takes part, so the bits are the same on every CPU. `tests/test_simd.py` holds them to 2 ulp.
"""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

import math

from numba.extending import overload

from sweep.kernels.simd import Lanes, binary_exponent, select
from sweep.neuron.arithmetic import exp_ratio, fma

__all__ = ["log"]

# ln x = e ln 2 + ln m with √½ ≤ m < √2, and ln m = 2 artanh t = 2t (1 + t²/3 + t⁴/5 + …) with
# t = (m − 1)/(m + 1), |t| < 0.172: the next term is below 2e-18. The head of ln 2 has its low bits
# zero, so that e times it is exact.
SERIES = tuple(1.0 / order for order in range(21, 1, -2))
LN2_HEAD, LN2_TAIL = 0.693147180369123816490, 1.90821492927058770002e-10


def log(x):
    """Return the logarithm of positive lanes, −∞ for 0; in compiled code only."""


@overload(log)
def _overload_log(x):
    if not isinstance(x, Lanes):
        return None
    series = SERIES

    def log_of(x):
        inverse, e = binary_exponent(x)
        m = x * inverse
        large = m > math.sqrt(2.0)
        m = select(large, m * 0.5, m)
        e = select(large, e + 1.0, e)
        t = (m - 1.0) / (m + 1.0)
        s = t * t
        sum_ = fma(s, series[0], series[1])
        for k in range(2, len(series)):
            sum_ = fma(sum_, s, series[k])
        t = t + t
        small = fma(t * s, sum_, fma(e, LN2_TAIL, t))
        found = fma(e, LN2_HEAD, small)
        return select(x > 0.0, found, -math.inf)

    return log_of


@overload(math.log1p)
def _overload_log1p(x):
    """ln(1 + x) for x ≥ 0: what 1 + x has lost is put back to first order."""
    if not isinstance(x, Lanes):
        return None

    def log1p(x):
        y = x + 1.0
        return log(y) + (x - (y - 1.0)) / y

    return log1p


@overload(math.exp)
def _overload_exp(x):
    if not isinstance(x, Lanes):
        return None

    def exp(x):
        e, one = exp_ratio(x)
        return e / one

    return exp


@overload(max)
def _overload_max(a, b):
    if not isinstance(a, Lanes):
        return None
    return lambda a, b: select(a > b, a, b)
