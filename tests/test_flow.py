"""The closed-form gradient flow against 50-digit arithmetic, integration of its equation, and
training with small steps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf
from scipy.integrate import solve_ivp

from sweep.errors import SpecError
from sweep.neuron.flow import FLOWS, epochs, position, time
from sweep.neuron.problem import make_problem
from sweep.neuron.reference import train_one

POTENTIAL = {
    "cross_entropy": lambda z: z - mp.exp(-z),
    "quadratic": lambda z: mp.exp(z) + 3 * z - 3 * mp.exp(-z) - mp.exp(-2 * z) / 2,
}
SLOPE = {
    "cross_entropy": lambda z: 1 + mp.exp(-z),
    "quadratic": lambda z: mp.exp(z) * (1 + mp.exp(-z)) ** 3,
}
DELTA = {
    "cross_entropy": lambda z: 1 / (1 + np.exp(-z)),
    "quadratic": lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 3,
}


@pytest.mark.parametrize("cost", FLOWS)
@pytest.mark.parametrize("z0", [300.0, 40.0, 4.0, 1.5, 0.0, -0.7, -5.0, -40.0, -150.0])
@pytest.mark.parametrize("way", [1e-12, 1e-3, 1.0, 30.0, 400.0])
def test_time_has_full_precision(cost, z0, way):
    z1 = z0 - way
    with mp.workdps(450):
        exact = (POTENTIAL[cost](mpf(z0)) - POTENTIAL[cost](mpf(z1))) / mpf(0.3)
        if exact > 1e308:
            assert time(cost, z0, z1, 0.3) == np.inf
        else:
            assert abs(float(time(cost, z0, z1, 0.3)) / exact - 1) < 1e-13
            assert time(cost, z1, z0, 0.3) == -time(cost, z0, z1, 0.3)


@pytest.mark.parametrize("cost", FLOWS)
@pytest.mark.parametrize("z0", [600.0, 40.0, 8.0, 4.0, 1.5, 0.0, -0.7, -5.0, -40.0, -300.0])
@pytest.mark.parametrize("kt", [0.0, 1e-6, 0.1, 3.0, 100.0, 1e6, 1e40])
def test_position_solves_the_equation_in_50_digits(cost, z0, kt):
    z = float(position(cost, z0, 0.5, 2 * kt))
    with mp.workdps(600):
        # one Newton step in exact arithmetic: how far the answer is from the true one
        off = (POTENTIAL[cost](mpf(z)) - POTENTIAL[cost](mpf(z0)) + mpf(kt)) / SLOPE[cost](mpf(z))
    assert abs(off) < 1e-15 * (4 + 2 * abs(z) + abs(z0))


@pytest.mark.parametrize("cost", FLOWS)
@pytest.mark.parametrize("y", [0.0, 1.0])
@given(z0=st.floats(-30, 30), t=st.floats(0, 1e5), kappa=st.floats(1e-3, 10))
def test_time_and_position_are_inverse(cost, y, z0, t, kappa):
    z = position(cost, z0, kappa, t, y=y)
    there = position(cost, z0, kappa, time(cost, z0, z, kappa, y=y), y=y)
    assert there == pytest.approx(z, rel=1e-13, abs=1e-12)


@pytest.mark.parametrize("cost", FLOWS)
@pytest.mark.parametrize("z0", [4.0, 1.0, -3.0])
def test_position_is_what_integration_gives(cost, z0):
    t = np.linspace(0, 400, 9)
    walked = solve_ivp(
        lambda _, z: -0.3 * DELTA[cost](z), (0, 400), [z0], t_eval=t, rtol=1e-11, atol=1e-12
    )
    np.testing.assert_allclose(position(cost, z0, 0.3, t), walked.y[0], atol=1e-8)


@pytest.mark.parametrize("cost", FLOWS)
def test_the_mirror_image(cost):
    z = np.linspace(-6, 6, 25)
    assert (position(cost, z, 0.3, 50.0, y=1) == -position(cost, -z, 0.3, 50.0)).all()
    assert (time(cost, z, z + 1, 0.3, y=1) == time(cost, -z, -z - 1, 0.3)).all()
    assert (epochs(cost, z, 0.1, 0.3, y=1) == epochs(cost, -z, 0.1, 0.3)).all()


@pytest.mark.parametrize("cost", FLOWS)
@pytest.mark.parametrize("y", [0.0, 1.0])
def test_small_steps_follow_the_flow(cost, y):
    problem = make_problem(x=1.0, y=y, cost=cost, tolerance=0.1, max_epochs=10**6)
    for z0 in (1.5, 4.0):
        trained = train_one([0.0], z0 if y == 0 else -z0, 0.005, problem).epochs
        flow = epochs(cost, z0 if y == 0 else -z0, 0.1, 0.01, y=y)
        assert trained == pytest.approx(float(flow), rel=0.005)


def test_epochs_is_nothing_where_the_tolerance_is_met():
    assert epochs("quadratic", [-3.0, 700.0], 1.5, 0.3).tolist() == [0, 0]
    tails = epochs("cross_entropy", 1.5, [1e-6, 1e-9], 0.3) * [1e-6, 1e-9]
    np.testing.assert_allclose(tails, 1 / 0.3, rtol=1e-4)  # 1/(κε)
    tails = epochs("quadratic", 1.5, [1e-6, 1e-9], 0.3) * [1e-12, 1e-18]
    np.testing.assert_allclose(tails, 1 / 0.6, rtol=1e-4)  # 1/(2κε²)


@pytest.mark.parametrize("cost", FLOWS)
def test_nothing_breaks_far_out(cost):
    far = np.array([-1e5, -800.0, -400.0, 400.0, 800.0, 1e5])
    for t in (0.0, 1.0, 1e5):
        assert np.isfinite(position(cost, far, 0.3, t)).all()
    assert position("quadratic", far, 0.3, 1e5).tolist() == far.tolist()
    assert position("cross_entropy", 1e5, 0.5, 1e4) == 1e5 - 5e3
    assert not np.isnan(time(cost, far[:, None], far, 0.3)).any()
    assert (np.diagonal(time(cost, far[:, None], far, 0.3)) == 0).all()


def test_arrays_broadcast():
    z = position("quadratic", np.zeros((3, 1)), 0.3, np.arange(4.0))
    assert z.shape == (3, 4)
    assert time("quadratic", 1.0, 0.0, np.ones((2, 5))).shape == (2, 5)


def test_what_has_no_closed_form_is_refused():
    with pytest.raises(SpecError, match=r"cost = 'hinge': the gradient flow is known for quad"):
        time("hinge", 1.0, 0.0, 0.3)
    with pytest.raises(SpecError, match=r"y = 0\.5: the gradient flow is known for the targets"):
        position("quadratic", 1.0, 0.3, 1.0, y=0.5)
