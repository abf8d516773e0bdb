"""The exponentials and logarithms of SIMD lanes against correctly rounded arithmetic."""

import math

import numpy as np
import pytest
from mpmath import mp
from numba import njit
from numba.np.numpy_support import from_dtype

from sweep.kernels.lane_math import log
from sweep.kernels.simd import (
    binary_exponent,
    exp2_ratio,
    exp2_ratio_near,
    load,
    store,
    width_of,
)
from sweep.neuron.arithmetic import exp_ratio


@njit(error_model="numpy")
def _rows(exponential, t, over, under, width):
    for c in range(0, t.shape[1], width):
        e, one = exponential(load(t, 0, c))
        store(over, 0, c, e)
        store(under, 0, c, one)


@njit(error_model="numpy")
def _natural(t, over, under, width):
    _rows(exp_ratio, t, over, under, width)


@njit(error_model="numpy")
def _powers(t, over, under, width):
    _rows(exp2_ratio, t, over, under, width)


@njit(error_model="numpy")
def _near(t, over, under, width):
    _rows(exp2_ratio_near, t, over, under, width)


EXACT = {_natural: np.exp, _powers: np.exp2, _near: np.exp2}
LIMITS = {_natural: (707.0, 86.0), _powers: (1021.0, 125.0), _near: (1021.0, 125.0)}


def ratio(rows, t):
    """Return numerator and denominator of the fraction for each number of t."""
    width = width_of(from_dtype(t.dtype))
    padded = np.zeros((1, -(-len(t) // width) * width), t.dtype)
    padded[0, : len(t)] = t
    over, under = np.empty_like(padded), np.empty_like(padded)
    rows(padded, over, under, width)
    return over[0, : len(t)], under[0, : len(t)]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("rows", EXACT, ids=lambda rows: rows.__name__)
def test_exponentials_are_within_2_ulp_at_a_million_points(rows, dtype):
    rng = np.random.default_rng(0)
    limit = LIMITS[rows][dtype == "float32"]
    turn = np.log(2) if rows is _natural else 1.0
    odd = np.arange(-int(limit / turn) + 1, int(limit / turn), 2)
    points = np.concatenate(
        [
            rng.uniform(-limit, limit, 500_000),
            rng.normal(0, 3, 500_000),
            # near the ends of the reduction's intervals
            odd / 2 * turn + rng.normal(0, 1e-12, len(odd)),
            [0.0, -0.0, limit, -limit, 1e-30, -1e-18],
        ]
    ).astype(dtype)
    over, under = ratio(rows, points)
    # The C library's long double has 11 bits more than a float64: an error of 0.001 ulp.
    exact = EXACT[rows](points.astype(np.longdouble))
    got = over.astype(np.longdouble) / under
    assert (np.abs(got - exact) / np.spacing(exact.astype(dtype))).max() < 1.7
    # what a sigmoid makes of it
    r = np.ones(1, dtype) / (over + under)
    for side, exactly in ((over * r, exact / (1 + exact)), (under * r, 1 / (1 + exact))):
        assert (np.abs(side - exactly) / np.spacing(exactly.astype(dtype))).max() < 3.0
    with mp.workprec(120):
        power = mp.exp if rows is _natural else lambda t: mp.mpf(2) ** t
        for t, e in zip(points[::5000], exact[::5000], strict=True):
            assert abs(power(mp.mpf(float(t))) / mp.mpf(float(e)) - 1) < 2e-16


@pytest.mark.parametrize(("rows", "end"), [(_natural, 1021.0 * np.log(2)), (_powers, 1021.0)])
def test_beyond_the_range_it_is_the_limit_and_nan_stays_nan(rows, end):
    t = np.array([-np.inf, -1e9, -end - 1, end + 1, 1e9, np.inf, np.nan])
    low, high = EXACT[rows](-end), EXACT[rows](end)
    over, under = ratio(rows, t)
    assert over[:6] / under[:6] == pytest.approx([low] * 3 + [high] * 3, rel=1e-12)
    assert len(set(over[:3])) == len(set(over[3:6])) == 1
    assert np.isnan(over[6])


@pytest.mark.parametrize("rows", EXACT, ids=lambda rows: rows.__name__)
def test_sigmoids_grow_with_their_argument(rows):
    t = np.sort(np.random.default_rng(1).uniform(-30, 30, 100_000))
    over, under = ratio(rows, t)
    # two neighbours whose distance is below a rounding may change places by one
    assert (np.diff(over / (over + under)) >= -np.spacing(over / (over + under))[1:]).all()


def test_near_has_the_same_bits():
    t = np.random.default_rng(2).uniform(-1000, 1000, 10_000)
    for full, near in zip(ratio(_powers, t), ratio(_near, t), strict=True):
        assert full.tobytes() == near.tobytes()


@njit(error_model="numpy")
def _functions(x, out, width):
    for c in range(0, x.shape[1], width):
        v = load(x, 0, c)
        store(out, 0, c, log(v))
        store(out, 1, c, math.log1p(v))
        store(out, 2, c, math.exp(-v))
        inverse, exponent = binary_exponent(v)
        store(out, 3, c, inverse)
        store(out, 4, c, exponent)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_logarithms_of_lanes_are_right_to_three_ulp(dtype):
    width = width_of(from_dtype(np.dtype(dtype)))
    rng = np.random.default_rng(0)
    far = 80.0 if dtype == "float32" else 600.0
    x = np.exp(np.concatenate([rng.uniform(-far, far, 400), rng.uniform(-0.1, 0.1, 560)]))
    x = np.resize(x, (1, 960 // width * width)).astype(dtype)
    out = np.empty((5, x.shape[1]), dtype)
    _functions(x, out, width)
    smallest = float(np.finfo(dtype).tiny)
    with mp.workdps(50):
        for got, exact in zip(out[:3], (mp.log, mp.log1p, lambda v: mp.exp(-v)), strict=True):
            for v, value in zip(x[0].tolist(), got.tolist(), strict=True):
                right = exact(mp.mpf(v))
                if abs(right) > 4 * smallest:
                    assert abs(value - right) <= 3 * float(
                        np.spacing(np.dtype(dtype).type(abs(right)))
                    )
    mantissa = x[0] * out[3]
    assert mantissa.min() >= 1
    assert mantissa.max() < 2
    assert np.array_equal(np.ldexp(mantissa, out[4].astype(int)), x[0])
    x[:] = 0
    _functions(x, out, width)
    assert np.isneginf(out[0]).all()
    assert (out[1] == 0).all()
