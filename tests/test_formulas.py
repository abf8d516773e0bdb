"""Activations and costs against 50-digit arithmetic, finite differences and one another."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf
from textbook import EXACT_ACTIVATIONS, EXACT_COSTS

from sweep.errors import SpecError
from sweep.neuron.activations import ACTIVATIONS
from sweep.neuron.costs import COSTS, fused

PAIRS = [(cost, act) for cost in COSTS for act in COSTS[cost].pairs]
POINTS = [-800, -700, -40, -36.8, -3, -0.1, 0, 1e-9, 0.7, 2, 20, 36.8, 37, 200, 350, 700, 800]


def targets(activation):
    act = ACTIVATIONS[activation]
    return [act.low, act.low + 0.3, 0.5, act.high]


def test_every_activation_and_cost_has_its_exact_form():
    assert set(EXACT_ACTIVATIONS) == set(ACTIVATIONS)
    assert set(EXACT_COSTS) == set(COSTS)


@pytest.mark.parametrize("z", POINTS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_forward_has_full_precision_also_where_saturated(name, z):
    value, slope = EXACT_ACTIVATIONS[name]
    act = ACTIVATIONS[name]
    with mp.workdps(800):
        for y in targets(name):
            got_residual, got_slope = act.residual_and_slope(float(z), y)
            residual = value(mpf(z)) - mpf(y)
            # Against hard targets to the last digits; a soft one may cancel against the output.
            room = 5e-16 * (abs(residual) if y in (0.0, 1.0, -1.0) else 1) + 2e-307
            if y == (act.low + act.high) / 2:
                room = 5e-16
            assert abs(got_residual - residual) <= room
            assert abs(got_slope - slope(value(mpf(z)))) <= 2e-15 * slope(value(mpf(z))) + 2e-307


@pytest.mark.parametrize("z", POINTS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_value_and_derivative_are_finite_and_right(name, z):
    value, slope = EXACT_ACTIVATIONS[name]
    act = ACTIVATIONS[name]
    with mp.workdps(800):
        a = value(mpf(z))
        right, right_slope = float(a), float(slope(a))
    assert act.value(z) == pytest.approx(right, rel=1e-15, abs=1e-300)
    assert act.derivative(z) == pytest.approx(right_slope, rel=1e-14, abs=1e-300)
    assert act.low <= act.value(z) <= act.high


@pytest.mark.parametrize(("cost", "activation"), PAIRS)
@given(z=st.floats(-15, 15), share=st.floats(0, 1))
def test_delta_is_the_derivative_of_the_cost_by_finite_differences(cost, activation, z, share):
    act, pair = ACTIVATIONS[activation], fused(cost, activation)
    y = act.low + share * (act.high - act.low)
    value, _ = EXACT_ACTIVATIONS[activation]
    with mp.workdps(60):
        h = mpf(10) ** -20
        textbook = [
            EXACT_COSTS[cost][0](value(mpf(z) + sign * h), mpf(y)) for sign in (1, -1)
        ]  # fmt: skip
        expected = (textbook[0] - textbook[1]) / (2 * h)
    assert pair.delta(*act.residual_and_slope(z, y)) == pytest.approx(
        float(expected), rel=1e-9, abs=1e-15
    )


@pytest.mark.parametrize(("cost", "activation"), PAIRS)
@given(z=st.floats(-12, 12), share=st.floats(0, 1))
def test_the_stable_cost_equals_the_textbook_cost(cost, activation, z, share):
    act = ACTIVATIONS[activation]
    z = z / 2 if activation == "tanh" else z  # it saturates as the sigmoid does at 2z
    y = act.low + share * (act.high - act.low)
    stable = fused(cost, activation).value(z, act.residual_and_slope(z, y)[0], y)
    assert stable == pytest.approx(COSTS[cost].value(act.value(z), y), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("cost", "activation"), PAIRS)
@given(z=st.floats(-12, 12), share=st.floats(0.01, 0.99))
def test_the_chain_rule_joins_both_derivatives_to_delta(cost, activation, z, share):
    act = ACTIVATIONS[activation]
    z = z / 2 if activation == "tanh" else z
    y = act.low + share * (act.high - act.low)
    chained = COSTS[cost].derivative(act.value(z), y) * act.derivative(z)
    delta = fused(cost, activation).delta(*act.residual_and_slope(z, y))
    assert delta == pytest.approx(chained, rel=1e-8, abs=1e-14)


@pytest.mark.parametrize(("cost", "activation"), PAIRS)
@pytest.mark.parametrize("z", [-800.0, 800.0])
def test_nothing_breaks_at_800(cost, activation, z):
    act, pair = ACTIVATIONS[activation], fused(cost, activation)
    for y in targets(activation):
        residual, slope = act.residual_and_slope(z, y)
        assert all(map(math.isfinite, (residual, slope, pair.delta(residual, slope))))
        assert math.isfinite(pair.value(z, residual, y))
    if cost == "cross_entropy":
        assert pair.value(800.0, 1.0, 0.0) == 800.0
        assert pair.value(800.0, 0.0, 1.0) == 0.0
    if cost == "tanh_cross_entropy":
        assert pair.value(800.0, 2.0, -1.0) == 1600.0
        assert pair.value(800.0, 0.0, 1.0) == 0.0


@given(z=st.floats(-700, 700), y=st.floats(0, 1))
def test_symmetry_of_the_sigmoid(z, y):
    residual, slope = ACTIVATIONS["sigmoid"].residual_and_slope(z, y)
    mirrored, mirrored_slope = ACTIVATIONS["sigmoid"].residual_and_slope(-z, 1 - y)
    assert mirrored == pytest.approx(-residual, rel=1e-14, abs=1e-15)
    assert mirrored_slope == pytest.approx(slope, rel=1e-14)


def test_a_combination_without_sense_is_refused_with_the_reason():
    with pytest.raises(SpecError, match=r"cross_entropy.*tanh.*takes ln a.*goes with sigmoid"):
        fused("cross_entropy", "tanh")
