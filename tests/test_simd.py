"""The exponentials and logarithms of SIMD lanes against correctly rounded arithmetic."""

import numpy as np
import pytest
from mpmath import mp, mpf
from numba import njit
from numba.np.numpy_support import from_dtype

from sweep.kernels import lane_math  # noqa: F401, what is tested
from sweep.kernels.simd import (
    binary_exponent,
    exp2_ratio,
    exp2_ratio_near,
    load,
    store,
    width_of,
)
from sweep.neuron import arithmetic
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
def _functions(x, g, out, width):
    for c in range(0, x.shape[1], width):
        v, h = load(x, 0, c), load(g, 0, c)
        store(out, 0, c, arithmetic.log(v))
        store(out, 1, c, arithmetic.log1p(v))
        store(out, 2, c, arithmetic.log1p(arithmetic.tanh(h) * 0.875))
        store(out, 3, c, arithmetic.exp(h))
        store(out, 4, c, arithmetic.power(v, h))
        store(out, 5, c, arithmetic.tanh(h))
        store(out, 6, c, arithmetic.cosh(h))
        store(out, 7, c, arithmetic.sqrt(v))
        inverse, exponent = binary_exponent(v)
        store(out, 8, c, inverse)
        store(out, 9, c, exponent)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_functions_of_lanes_are_right_to_two_ulp(dtype):
    kind = np.dtype(dtype).type
    width = width_of(from_dtype(np.dtype(dtype)))
    rng = np.random.default_rng(0)
    far, most = (80.0, 86.0) if dtype == "float32" else (600.0, 700.0)
    near = rng.uniform(-0.5, 0.5, 512), rng.normal(0, 1e-3, 512), rng.uniform(-5, 5, 512)
    x = np.exp(np.concatenate([rng.uniform(-far, far, 512), *near])).astype(dtype)
    g = np.concatenate([rng.uniform(-1, 1, 512), rng.normal(0, 60, 512), rng.normal(0, 5, 1024)])
    room = most / np.maximum(abs(np.log(x.astype(float))), 1.0)
    g = np.clip(g, -room, room).astype(dtype)
    out = np.empty((10, len(x)), dtype)
    _functions(x[None], g[None], out, width)
    exact = (
        lambda v, h: mp.log(v),
        lambda v, h: mp.log1p(v),
        None,
        lambda v, h: mp.exp(h),
        lambda v, h: v**h,
        lambda v, h: mp.tanh(h),
        lambda v, h: mp.cosh(h),
        lambda v, h: mp.sqrt(v),
    )
    with mp.workdps(50):
        for k, function in enumerate(exact):
            for v, h, tanh, value in zip(
                *map(np.ndarray.tolist, (x, g, out[5], out[k])), strict=True
            ):
                if function is None:  # of the argument as it was rounded
                    argument = mpf(float(kind(tanh) * kind(0.875)))
                    right = mp.log1p(argument)
                else:
                    right = function(mpf(v), mpf(h))
                assert abs(value - right) <= 2 * float(np.spacing(kind(abs(float(right))))), (
                    k,
                    v,
                    h,
                )
    mantissa = x * out[8]
    assert mantissa.min() >= 1
    assert mantissa.max() < 2
    assert np.array_equal(np.ldexp(mantissa, out[9].astype(int)), x)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_functions_of_lanes_have_the_limits(dtype):
    width = width_of(from_dtype(np.dtype(dtype)))
    out = np.empty((10, width), dtype)
    zeros = np.zeros((1, width), dtype)
    _functions(zeros, zeros + 2, out, width)
    assert np.isneginf(out[0]).all()
    assert (out[[1, 4, 7]] == 0).all()
    _functions(zeros, zeros, out, width)
    assert (out[[3, 4, 6]] == 1).all()
    assert (out[[2, 5]] == 0).all()
    _functions(zeros - 1, zeros - 1, out, width)
    assert np.isnan(out[[4, 7]]).all()
    _functions(zeros, zeros - 1, out, width)
    assert np.isposinf(out[4]).all()
