"""The exponential of lanes against correctly rounded arithmetic."""

import numpy as np
import pytest
from mpmath import mp
from numba import njit

from sweep.kernels.vectormath import WIDTH, load, store
from sweep.neuron.arithmetic import clamp, exp


@njit(error_model="numpy")
def _exp_rows(t, out):
    for c in range(0, t.shape[1], WIDTH):
        store(out, 0, c, exp(clamp(load(t, 0, c))))


def lanes_exp(t):
    padded = np.zeros((1, -(-len(t) // WIDTH) * WIDTH))
    padded[0, : len(t)] = t
    out = np.empty_like(padded)
    _exp_rows(padded, out)
    return out[0, : len(t)]


def test_exp_is_within_1_ulp_over_its_whole_range():
    rng = np.random.default_rng(0)
    points = np.concatenate(
        [
            rng.uniform(-708, 708, 4000),
            rng.normal(0, 3, 4000),
            # near the ends of the reduction's intervals, odd multiples of ln 2 / 2
            (np.arange(-1021, 1021, 2) / 2) * np.log(2) + rng.normal(0, 1e-12, 1021),
            [0.0, -0.0, 708.0, -708.0, 1e-300, -1e-18, 5e-324],
        ]
    )
    got = lanes_exp(points)
    with mp.workprec(120):
        exact = [mp.exp(mp.mpf(float(t))) for t in points]
        ulps = [
            float(abs(mp.mpf(float(g)) - e) / np.spacing(float(e)))
            for g, e in zip(got, exact, strict=True)
        ]
    assert max(ulps) < 1.0


def test_exp_beyond_its_range_is_that_of_the_limit_and_nan_stays_nan():
    t = np.array([-np.inf, -1e9, -708.1, 708.1, 1e9, np.inf, np.nan])
    low, high = np.exp(-708.0), np.exp(708.0)
    got = lanes_exp(t)
    assert got[:6] == pytest.approx([low] * 3 + [high] * 3, rel=1e-15)
    assert np.isnan(got[6])


def test_exp_grows_with_its_argument():
    t = np.sort(np.random.default_rng(1).uniform(-30, 30, 100_000))
    assert (np.diff(lanes_exp(t)) >= 0).all()
