"""The exponential of lanes against correctly rounded arithmetic."""

import numpy as np
import pytest
from mpmath import mp
from numba import njit
from numba.np.numpy_support import from_dtype

from sweep.kernels.vectormath import load, store, width_of
from sweep.neuron.arithmetic import clamp, exp


@njit(error_model="numpy")
def _exp_rows(t, out, width):
    for c in range(0, t.shape[1], width):
        store(out, 0, c, exp(clamp(load(t, 0, c))))


def lanes_exp(t):
    width = width_of(from_dtype(t.dtype))
    padded = np.zeros((1, -(-len(t) // width) * width), t.dtype)
    padded[0, : len(t)] = t
    out = np.empty_like(padded)
    _exp_rows(padded, out, width)
    return out[0, : len(t)]


@pytest.mark.parametrize(("dtype", "limit"), [("float64", 708.0), ("float32", 87.0)])
def test_exp_is_within_1_ulp_at_a_million_points(dtype, limit):
    rng = np.random.default_rng(0)
    odd = np.arange(-int(limit / np.log(2)) + 1, int(limit / np.log(2)), 2)
    points = np.concatenate(
        [
            rng.uniform(-limit, limit, 500_000),
            rng.normal(0, 3, 500_000),
            # near the ends of the reduction's intervals, odd multiples of ln 2 / 2
            odd / 2 * np.log(2) + rng.normal(0, 1e-12, len(odd)),
            [0.0, -0.0, limit, -limit, 1e-30, -1e-18],
        ]
    ).astype(dtype)
    got = lanes_exp(points).astype(np.longdouble)
    # The C library's long double has 11 bits more than a float64: an error of 0.001 ulp.
    exact = np.exp(points.astype(np.longdouble))
    ulps = np.abs(got - exact) / np.spacing(exact.astype(dtype))
    assert ulps.max() < 1.0
    with mp.workprec(120):
        for t, e in zip(points[::5000], exact[::5000], strict=True):
            assert abs(mp.exp(mp.mpf(float(t))) / mp.mpf(float(e)) - 1) < 2e-16


def test_exp_beyond_its_range_is_that_of_the_limit_and_nan_stays_nan():
    t = np.array([-np.inf, -1e9, -708.1, 708.1, 1e9, np.inf, np.nan])
    low, high = np.exp(-708.0), np.exp(708.0)
    got = lanes_exp(t)
    assert got[:6] == pytest.approx([low] * 3 + [high] * 3, rel=1e-15)
    assert np.isnan(got[6])


def test_exp_grows_with_its_argument():
    t = np.sort(np.random.default_rng(1).uniform(-30, 30, 100_000))
    assert (np.diff(lanes_exp(t)) >= 0).all()
