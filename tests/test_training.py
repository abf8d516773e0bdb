"""`sweep.train` against the reference loop, 50 digits, published numbers, and laws."""

import signal
import subprocess
import sys
import time
from decimal import Decimal
from fractions import Fraction
from itertools import islice

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sweep
from sweep.kernels import descent, pool
from sweep.kernels.pool import block_sizes
from sweep.neuron.activations import ACTIVATIONS
from sweep.neuron.costs import COSTS
from sweep.neuron.problem import LARGEST_STEP, make_problem
from sweep.neuron.reference import descend, train_one

ARTICLE = {"learning_rate": 0.15, "x": 1.0, "y": 0.0}
STARTS = ([0.6, 2.0], [0.9, 2.0])
PAIRS = [(cost, act) for cost in COSTS for act in COSTS[cost].pairs]


# --- published numbers (design, section 1) ---------------------------------------------------


@pytest.mark.parametrize(
    ("cost", "expected"),
    [("quadratic", [0.093752, 0.201262]), ("cross_entropy", [0.011598, 0.011966])],
)
def test_outputs_after_301_updates(cost, expected):
    trained = sweep.train(*STARTS, **ARTICLE, cost=cost, tolerance=1e-9, max_epochs=301)
    assert trained.initial_error.round(6).tolist() == [0.817574, 0.982014]
    assert trained.final_error.round(6).tolist() == expected
    assert trained.status.tolist() == [sweep.Status.max_epochs] * 2
    for w, b, output in zip(*STARTS, expected, strict=True):
        curve = sweep.trace(w, b, **ARTICLE, cost=cost, epochs=301)
        assert round(curve.output[-1], 6) == output


@pytest.mark.parametrize(
    ("tolerance", "cost", "expected"),
    [
        (0.5, "quadratic", [36, 232]),
        (0.5, "cross_entropy", [8, 17]),
        (0.1, "quadratic", [273, 469]),
        (0.1, "cross_entropy", [41, 50]),
        (0.01, "quadratic", [17395, 17591]),
        (0.01, "cross_entropy", [348, 357]),
    ],
)
def test_updates_until_the_tolerance(tolerance, cost, expected):
    trained = sweep.train(*STARTS, **ARTICLE, cost=cost, tolerance=tolerance, max_epochs=20_000)
    assert trained.epochs.tolist() == expected
    assert (trained.final_error <= tolerance).all()


def test_true_cross_entropy_gradient_at_the_animation_s_learning_rate():
    for w, b, output in zip(*STARTS, [0.416664, 0.778245], strict=True):
        curve = sweep.trace(w, b, learning_rate=0.005, x=1, y=0, cost="cross_entropy", epochs=301)
        assert round(curve.output[-1], 6) == output


# --- oracles ---------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("n", [1, 2, 7])
@pytest.mark.parametrize(("cost", "activation"), PAIRS)
def test_every_neuron_equals_the_reference(cost, activation, n, d):
    rng = np.random.default_rng([n, d, len(cost), len(activation)])
    act = ACTIVATIONS[activation]
    for hard in (True, False):
        count = 840 // 2
        w, b = rng.normal(0, 3, (count, d)), rng.normal(0, 3, count)
        # Larger ones step over the minimum and back: chaos, where any rounding grows without bound.
        rates = 10 ** rng.uniform(-2, -0.5, count)
        x = rng.normal(0, 1, (n, d))
        y = rng.choice([act.low, act.high], n) if hard else rng.uniform(act.low, act.high, n)
        kwargs = {"x": x, "y": y, "cost": cost, "activation": activation, "max_epochs": 60}
        reached = sweep.train(w, b, learning_rate=rates, **kwargs, tolerance=1e-9).final_error
        tolerance = 1.01 * float(np.median(reached))  # some meet it, some do not
        trained = sweep.train(w, b, learning_rate=rates, **kwargs, tolerance=tolerance)
        problem = make_problem(**kwargs, tolerance=tolerance)
        for i in range(count):
            one = train_one(w[i].tolist(), float(b[i]), float(rates[i]), problem)
            assert trained.epochs[i] == one.epochs
            assert trained.status[i] == one.status
            assert trained.initial_error[i] == pytest.approx(one.initial_error, rel=1e-13)
            assert trained.final_error[i] == pytest.approx(one.final_error, rel=1e-9)
            assert trained.w[i].tolist() == pytest.approx(one.w, rel=1e-9, abs=1e-9)
            assert trained.b[i] == pytest.approx(one.b, rel=1e-9, abs=1e-9)
        assert set(trained.status.tolist()) == {sweep.Status.converged, sweep.Status.max_epochs}


def assert_as_reference(trained, w, b, rate, problem):
    for i in range(len(b)):
        one = train_one(w[i].tolist(), float(b[i]), rate, problem)
        assert (trained.epochs[i], trained.status[i]) == (one.epochs, one.status)
        assert trained.initial_error[i] == pytest.approx(one.initial_error, rel=1e-13)
        assert trained.final_error[i] == pytest.approx(one.final_error, rel=1e-10)
        assert [*trained.w[i], trained.b[i]] == pytest.approx([*one.w, one.b], rel=1e-10)


@pytest.mark.parametrize("d", [2, 9])
@pytest.mark.parametrize("n", [4, descent.CHUNK - 1, descent.CHUNK + 13, 2 * descent.CHUNK])
def test_tiles_and_chunks_of_samples_equal_the_reference(n, d):
    rng = np.random.default_rng([n, d])
    w, b = rng.normal(0, 1, (20, d)), rng.normal(0, 1, 20)
    kwargs = {"x": rng.normal(0, 1, (n, d)), "y": rng.choice([0.0, 1.0], n), "cost": "quadratic"}
    kwargs |= {"tolerance": 0.35, "max_epochs": 40}
    trained = sweep.train(w, b, learning_rate=0.5, **kwargs)
    problem = make_problem(**kwargs)
    assert_as_reference(trained, w, b, 0.5, problem)


@pytest.mark.parametrize(("n", "d"), [(1, 1), (1, 3), (2, 1), (7, 3), (descent.CHUNK + 5, 3)])
@pytest.mark.parametrize(("cost", "activation"), PAIRS)
def test_the_rule_of_the_gradient_equals_the_reference(cost, activation, n, d):
    rng = np.random.default_rng([n, d, len(cost)])
    w, b = rng.normal(0, 2, (30, d)), rng.normal(0, 2, 30)
    x, y = rng.normal(0, 0.5, (n, d)), rng.choice([0.0, 1.0], n)
    kwargs = {"x": x, "y": y, "cost": cost, "activation": activation, "max_epochs": 60}
    problem = make_problem(**kwargs, tolerance=1.0)
    least = [
        min(state.gradient for state in islice(descend(w_, float(b_), 0.05, problem), 61))
        for w_, b_ in zip(w.tolist(), b, strict=True)
    ]
    tolerance = 1.01 * float(np.median(least))  # some meet it, some do not
    kwargs |= {"tolerance": tolerance, "rule": "gradient"}
    trained = sweep.train(w, b, learning_rate=0.05, **kwargs)
    problem = make_problem(**kwargs)
    assert_as_reference(trained, w, b, 0.05, problem)
    assert len(set(trained.status.tolist())) == 2
    single = sweep.train(w, b, learning_rate=0.05, **kwargs, dtype="float32")
    assert (single.epochs == trained.epochs).mean() > 0.8


def test_a_saturated_start_has_a_small_gradient_and_the_orbit_is_for_errors():
    kwargs = {"learning_rate": 0.15, "x": 1.0, "y": 0.0, "tolerance": 0.001, "max_epochs": 9}
    stuck = sweep.train([4.0], [4.0], cost="quadratic", rule="gradient", **kwargs)
    assert (stuck.epochs[0], stuck.status[0]) == (0, sweep.Status.converged)
    assert stuck.final_error[0] > 0.999
    with pytest.raises(sweep.SpecError, match="it looks up when an error is met; the rule is grad"):
        sweep.train([4.0], [4.0], cost="quadratic", rule="gradient", method="orbit", **kwargs)
    with pytest.raises(sweep.SpecError, match="rule = 'grad': must be one of error, gradient"):
        sweep.train([4.0], [4.0], cost="quadratic", rule="grad", **kwargs)


def test_blocks_are_small_for_many_samples_and_bounded_for_many_inputs():
    assert block_sizes(1, 2) == (32768, 4096)
    assert block_sizes(569, 31) == (7371, 512)
    assert block_sizes(10**6, 1001) == (512, 512)
    assert block_sizes(20, 1001) == (4190, 1638)
    largest, smallest = block_sizes(2, 10**6)
    assert (largest, smallest) == (512, 512)


@pytest.mark.parametrize(("cost", "activation"), PAIRS)
@pytest.mark.parametrize("n", [1, 2])
def test_epochs_equal_those_of_50_digits(cost, activation, n, exact):
    rng = np.random.default_rng([5, n])
    count = 60
    w, b, rates = rng.normal(0, 2, count), rng.normal(0, 2, count), rng.uniform(0.03, 0.3, count)
    kwargs = {
        "x": rng.uniform(0.5, 2, n),
        "y": np.arange(n) % 2 * 1.0,
        "cost": cost,
        "activation": activation,
        "tolerance": 0.3,
        "max_epochs": 80,
    }
    trained = sweep.train(w, b, learning_rate=rates, **kwargs)
    for i in range(count):
        epochs, error = exact(w[i], b[i], learning_rate=rates[i], **kwargs)
        assert trained.epochs[i] == epochs
        assert trained.final_error[i] == pytest.approx(error, rel=1e-11)


def test_a_saturated_neuron_goes_on_learning_as_truth_does():
    # Each step, 3.5e-17, is a hundredth of the weight's last digit; a million of them are not.
    epochs = 1_000_000
    trained = sweep.train(18.0, 18.0, **ARTICLE, cost="quadratic", tolerance=0.1, max_epochs=epochs)
    assert 18.0 - trained.w[0] == pytest.approx(epochs * 0.15 * np.exp(-36.0), rel=1e-3)


# --- laws ------------------------------------------------------------------------------------

moderate = st.floats(-20, 20)


@pytest.mark.parametrize(("cost", "activation"), PAIRS)
@given(w=moderate, b=moderate, x=st.floats(-3, 3), rate=st.floats(0.01, 5))
@settings(max_examples=40)
def test_one_sample_moves_along_x_and_1(cost, activation, w, b, x, rate):
    kwargs = {"cost": cost, "activation": activation, "x": x, "y": 1.0, "tolerance": 0.1}
    trained = sweep.train(w, b, learning_rate=rate, **kwargs, max_epochs=50)
    assert trained.w[0] - x * trained.b[0] == pytest.approx(w - x * b, abs=1e-12 * 200)
    moved = sweep.train(0.0, w * x + b, learning_rate=rate * (x * x + 1), **{**kwargs, "x": 0.0},
                        max_epochs=50)  # fmt: skip
    assert moved.final_error[0] == pytest.approx(trained.final_error[0], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("cost", "activation"), PAIRS)
@given(w=moderate, b=moderate, share=st.sampled_from([0.0, 0.2, 0.75]), rate=st.floats(0.01, 1))
@settings(max_examples=40)
def test_mirror_symmetry(cost, activation, w, b, share, rate):
    act = ACTIVATIONS[activation]
    y = act.low + share * (act.high - act.low)
    kwargs = {"learning_rate": rate, "cost": cost, "activation": activation, "x": 0.7}
    kwargs |= {"tolerance": 0.0937, "max_epochs": 90}
    there = sweep.train(w, b, y=y, **kwargs)
    mirrored = sweep.train(-w, -b, y=act.low + act.high - y, **kwargs)
    assert mirrored.epochs.tolist() == there.epochs.tolist()
    assert mirrored.w[0] == pytest.approx(-there.w[0], abs=1e-11)


@pytest.mark.parametrize(("cost", "activation"), PAIRS)
@given(tolerances=st.lists(st.floats(0.02, 0.9), min_size=2, max_size=2))
@settings(max_examples=25)
def test_a_smaller_tolerance_never_takes_fewer_epochs(cost, activation, tolerances):
    w = np.linspace(-4, 4, 65)
    wide, tight = (
        sweep.train(
            w, w, **ARTICLE, cost=cost, activation=activation, tolerance=t, max_epochs=500
        ).epochs
        for t in sorted(tolerances, reverse=True)
    )
    assert (wide <= tight).all()


# --- sizes and ends ------------------------------------------------------------------------


def test_empty_scalar_and_strided_starts():
    kwargs = {**ARTICLE, "cost": "quadratic", "tolerance": 0.1, "max_epochs": 500}
    assert sweep.train([], [], **kwargs).epochs.shape == (0,)
    assert sweep.train(0.6, 0.9, **kwargs).epochs.tolist() == [273]
    both = np.array([[0.6, 0.9], [2.0, 2.0]])
    assert sweep.train(both[:, 0], both[:, 1], **kwargs).epochs.tolist() == [273, 469]
    assert sweep.train(both[::-1, 0], both[::-1, 1], **kwargs).epochs.tolist() == [469, 273]


def test_max_epochs_0_only_measures():
    trained = sweep.train([0.0, -9.0], [0.0, 0.0], **ARTICLE, cost="quadratic", tolerance=0.1,
                          max_epochs=0)  # fmt: skip
    assert trained.epochs.tolist() == [0, 0]
    assert trained.status.tolist() == [sweep.Status.max_epochs, sweep.Status.converged]
    assert trained.final_error.tolist() == trained.initial_error.tolist()


def test_the_last_update_counts():
    kwargs = {**ARTICLE, "cost": "quadratic", "tolerance": 0.1}
    for room, epochs, status in ((273, 273, "converged"), (272, 272, "max_epochs")):
        trained = sweep.train(0.6, 0.9, **kwargs, max_epochs=room)
        assert trained.epochs[0] == epochs
        assert trained.status[0] == sweep.Status[status]


# --- bad input -------------------------------------------------------------------------------

GOOD = {
    "w": [1.0], "b": [1.0], "learning_rate": 0.1, "cost": "quadratic", "x": 1.0, "y": 0.0,
    "tolerance": 0.1, "max_epochs": 10,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cost": "quadratc"}, "cost = 'quadratc'.*did you mean 'quadratic'"),
        ({"activation": "relu"}, "activation = 'relu'.*sigmoid, tanh, softsign"),
        ({"cost": "cross_entropy", "activation": "tanh"}, "cross_entropy needs"),
        ({"learning_rate": 0.0}, "learning_rate = 0: must be"),
        ({"learning_rate": float("nan")}, "learning_rate = nan"),
        ({"learning_rate": [0.1, 0.2]}, r"learning_rate: has shape \(2,\)"),
        ({"learning_rate": 1e300}, "overflows"),
        ({"y": 1.5}, r"y = 1.5: must lie in \[0, 1\]"),
        ({"y": -0.5}, "y = -0.5"),
        ({"y": float("nan")}, "y: holds NaN"),
        ({"x": float("inf")}, "x: holds NaN or infinity"),
        ({"x": []}, "x: has shape"),
        ({"x": np.ones((2, 0)), "y": [0, 1]}, "x: has shape"),
        ({"x": [1.0, 2.0]}, "y: 1 targets for 2 samples"),
        ({"x": np.ones((1, 1, 1))}, "x: has 3 dimensions"),
        ({"x": "one"}, "x = 'one'"),
        ({"tolerance": 0.0}, "tolerance = 0.0: must be greater than 0"),
        ({"tolerance": float("nan")}, "tolerance: holds NaN"),
        ({"max_epochs": -1}, "max_epochs = -1"),
        ({"max_epochs": 2**31}, "from 0 to 2147483647"),
        ({"max_epochs": 10.0}, "max_epochs = 10.0"),
        ({"threads": 0}, "threads = 0: must be a whole number from 1 to 1024"),
        ({"method": "guess"}, "method = 'guess'"),
        ({"dtype": "float16"}, "dtype = 'float16'"),
        ({"b": [1.0, 2.0]}, r"shapes \(1,\) and \(2,\)"),
        ({"w": [[1.0, 2.0]]}, "w: has 2 weights for each neuron; x has 1 inputs"),
        ({"w": ["a"]}, r"w = .'a'.: must be a number or an array of numbers"),
        ({"b": [1j]}, "b = .*: must be a number or an array of numbers"),
    ],
)
def test_bad_input_names_field_value_and_what_is_allowed(change, message):
    with pytest.raises(sweep.SpecError, match=message) as caught:
        sweep.train(**{**GOOD, **change})
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)


def test_starts_near_the_largest_float64_train_without_a_warning():
    w = np.full(3, 1.7e308)
    result = sweep.train(
        w, [0.0, -1.7e308, 1.0], learning_rate=0.1, cost="quadratic", x=[[2.0]], y=0.0,
        tolerance=0.1, max_epochs=5, method="orbit",
    )  # fmt: skip
    assert (result.status == sweep.Status.non_finite).all()


AWKWARD = [1e39, 1e20, 1e308, 9e307, 1.7e308, 5e-324, 1e-46, 10**400, np.nan, np.inf, -1, True]
AWKWARD += [None, "a", "0.5", 1j, [1j], np.ma.masked, np.ma.array([0.5, 1.0], mask=[0, 1]), pd.NA]
AWKWARD += [np.float32(0.5), np.array(0.5), [0.5], [None, 0.5], Fraction(1, 2), Decimal("0.5"), {}]
AWKWARD += [np.datetime64("2020-01-01"), np.array(["quadratic"]), np.dtype("float64"), np.int64(3)]
AWKWARD += ["sigmoid", "softsign", "float32", "cross_entropy", [[1.0], [2.0, 3.0]], 0.9999, 1e-17]


def outcome(call, *args, **kwargs):
    """Return what a call returns, and the line with which it refuses."""
    try:
        return call(*args, **kwargs), ""
    except sweep.SpecError as error:
        return None, str(error)


ARGUMENTS = ["w", "b", "learning_rate", "cost", "x", "y", "tolerance", "max_epochs", "activation"]
ARGUMENTS += ["dtype", "method", "threads"]


@given(st.dictionaries(st.sampled_from(ARGUMENTS), st.sampled_from(AWKWARD), max_size=3))
@settings(max_examples=400)
def test_whatever_is_given_there_is_a_result_or_one_line(change):
    given = {"w": 0.6, "b": 0.9, "learning_rate": 0.15, "cost": "quadratic", "x": 1.0, "y": 0.0}
    given |= {"tolerance": 0.1, "max_epochs": 50} | change
    trained, line = outcome(sweep.train, given.pop("w"), given.pop("b"), **given)
    assert line.isprintable()
    assert len(line) < 300
    if not line:
        unknown = trained.status == sweep.Status.non_finite
        assert (np.isnan(trained.final_error) == unknown).all()


@given(st.dictionaries(st.sampled_from(["w", "b", "learning_rate", "x", "y", "epochs"]),
                       st.sampled_from(AWKWARD), max_size=2))  # fmt: skip
@settings(max_examples=200)
def test_a_trace_of_whatever_is_given_is_finite_or_one_line(change):
    given = {"w": 0.6, "b": 0.9, "learning_rate": 0.15, "cost": "quadratic", "x": 1.0, "y": 0.0}
    given |= {"epochs": 5} | change
    curve, line = outcome(sweep.trace, given.pop("w"), given.pop("b"), **given)
    assert line.isprintable()
    if not line:
        assert np.isfinite(curve.output).all()
        assert np.isfinite(curve.error).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 1e39}, "overflows in training; must be at most 1e\\+28 with dtype = fl"),
        ({"x": 1e20}, "overflows in training"),
        ({"x": [1e30, 1.0], "y": [0.0, 1.0], "learning_rate": 1e-40}, "sum of .x. = 1e\\+30 overf"),
    ],
)
def test_what_float32_cannot_train_is_refused(change, message):
    kwargs = {"learning_rate": 0.1, "cost": "quadratic", "x": 1.0, "y": 0.0, "tolerance": 0.1}
    kwargs |= {"max_epochs": 9, "dtype": "float32", **change}
    with pytest.raises(sweep.SpecError, match=message):
        sweep.train([0.6], [0.9], **kwargs)
    with pytest.raises(sweep.SpecError, match=message):
        sweep.Spec(
            axes={"w": [0.6], "b": [0.9], "learning_rate": [kwargs["learning_rate"]]},
            task={"x": kwargs["x"], "y": kwargs["y"]},
            dtype="float32",
        )


@pytest.mark.parametrize(("dtype", "far"), [("float32", 3e38), ("float64", 1.7e308)])
@pytest.mark.parametrize("y", [-1.0, 0.25, 1.0])
def test_softsign_is_right_up_to_the_largest_float(dtype, far, y):
    trained = sweep.train(
        [far, -far, 2.0], [0.0, 0.0, 0.0], learning_rate=0.1, cost="softsign_matching", x=1.0, y=y,
        activation="softsign", tolerance=0.1, max_epochs=3, dtype=dtype,
    )  # fmt: skip
    assert trained.initial_error.tolist() == pytest.approx(
        [1 - y, 1 + y, abs(2 / 3 - y)], abs=1e-6 if dtype == "float32" else 1e-15
    )
    assert (trained.status[:2] == [abs(1 - y) > 0.1, abs(1 + y) > 0.1]).all()


def test_a_nan_that_comes_up_in_training_has_not_converged(monkeypatch):
    monkeypatch.setitem(LARGEST_STEP, "float32", np.inf)
    trained = sweep.train(
        [0.6, 60.0], [0.9, 30.0], learning_rate=1.2e38, cost="quadratic", x=1.0, y=0.0,
        tolerance=0.1, max_epochs=9, dtype="float32",
    )  # fmt: skip
    assert np.isnan(trained.final_error).any()
    assert (np.isnan(trained.final_error) == (trained.status == sweep.Status.non_finite)).all()


@pytest.mark.parametrize("tolerance", [0.9999, 0.99966, 1 - 1e-16, 1.0, 1e39, 1e308])
def test_tolerances_near_and_above_the_largest_error(tolerance):
    kwargs = {"learning_rate": 0.1, "x": 1.0, "y": 0.0, "cost": "cross_entropy", "max_epochs": 10}
    z = np.append(np.linspace(-1, 1, 16384), [9.3, 38.0])
    by_orbit, walked = (
        sweep.train(z, 0 * z, **kwargs, tolerance=tolerance, method=m) for m in ("auto", "train")
    )
    assert not by_orbit.epochs[:-2].any()
    assert (by_orbit.epochs == walked.epochs).all()
    one = sweep.train(1.0, 1.0, **kwargs, tolerance=tolerance, dtype="float32")
    assert (one.epochs[0], one.status[0]) == (0, sweep.Status.converged)


@pytest.mark.parametrize("tolerance", [1e-17, 1e-300, 5e-324])
@pytest.mark.parametrize("y", [0.0, 0.3])
def test_tolerances_that_no_float_resolves(tolerance, y):
    kwargs = {"learning_rate": 0.1, "x": 1.0, "y": y, "cost": "quadratic", "activation": "tanh"}
    kwargs |= {"max_epochs": 10, "tolerance": tolerance}
    z = np.linspace(-1, 1, 16384)
    assert (sweep.train(z, 0 * z, **kwargs).epochs == 10).all()
    with pytest.raises(sweep.SpecError, match="float64 does not resolve it"):
        sweep.train(z, 0 * z, **kwargs, method="orbit")


@pytest.mark.parametrize("follow", [None, 2_000_000_000])
def test_ctrl_c_stops_train_within_a_second(follow):
    # What is followed is walked before anything is looked up.
    more = f"method='orbit', follow={follow}" if follow else ""
    call = "sweep.train(0.5, 0.5, learning_rate=1e-5, cost='quadratic', x=1, y=0, tolerance=1e-3,"
    code = (
        f"import sweep; {call} max_epochs=9, {more.replace(str(follow), '9')})\n"
        "print('ready', flush=True)\n"
        f"{call} max_epochs=2_000_000_000, {more})"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert run.stdout.readline() == "ready\n"
    time.sleep(2)
    assert run.poll() is None
    began = time.monotonic()
    run.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in run.communicate(timeout=30)[1]
    assert time.monotonic() - began < 1.5


@pytest.mark.parametrize(("cost", "activation"), PAIRS)
@pytest.mark.parametrize("n", [1, 3])
def test_float32_is_as_close_as_float32_can_be(cost, activation, n):
    rng = np.random.default_rng(11)
    w, b = rng.normal(0, 3, (500, 2)), rng.normal(0, 3, 500)
    kwargs = {
        "learning_rate": 0.1, "x": rng.normal(0, 1, (n, 2)), "y": np.arange(n) % 2 * 1.0,
        "cost": cost, "activation": activation, "tolerance": 0.2, "max_epochs": 200,
    }  # fmt: skip
    double, single = (sweep.train(w, b, **kwargs, dtype=d) for d in ("float64", "float32"))
    assert single.final_error.dtype == single.w.dtype == np.float32
    assert (abs(double.epochs - single.epochs) <= 1).all()
    assert (double.epochs != single.epochs).mean() < 0.02
    same = double.epochs == single.epochs
    assert single.final_error[same] == pytest.approx(double.final_error[same], abs=2e-5)
    assert single.w[same] == pytest.approx(double.w[same], abs=1e-4)


def test_a_result_is_a_sequence_of_neurons(tmp_path):
    w, b = np.linspace(-4, 4, 9), np.linspace(1, 5, 9)
    w[3] = np.nan
    kwargs = {"learning_rate": 0.15, "cost": "quadratic", "x": 1.0, "y": 0.0}
    kwargs |= {"tolerance": 0.1, "max_epochs": 300}
    result = sweep.train(w, b, **kwargs)
    assert len(result) == 9
    mask = result.status == sweep.Status.converged
    for key in (slice(2, 5), [4, 0], mask, np.array([1])):
        assert result[key] == sweep.train(w[key], b[key], **kwargs)
    assert result[3] == result[[3]]
    assert len(result[-1]) == 1
    assert result == sweep.train(w, b, **kwargs)
    assert result != result[::-1]
    assert result != "result"
    assert repr(result).count("\n") == 0
    assert f"{mask.sum()} converged" in repr(result)
    table = result.to_pandas()
    assert list(table) == ["initial_error", "epochs", "status", "final_error", "w", "b"]
    assert (table.status == sweep.Status.converged).tolist() == mask.tolist()
    np.testing.assert_array_equal(table.w, result.w)
    two = sweep.train(np.ones((3, 2)), np.ones(3), **kwargs | {"x": [[1.0, 2.0]]}).to_pandas()
    assert list(two)[-3:] == ["w_1", "w_2", "b"]
    with pytest.raises(TypeError):
        hash(result)


@pytest.mark.parametrize(("cost", "activation"), PAIRS)
@pytest.mark.parametrize(("n", "d"), [(1, 1), (3, 1), (4, 3)])
def test_traces_of_many_are_the_reference_loop_to_the_last_bit(cost, activation, n, d):
    rng = np.random.default_rng(n)
    act = ACTIVATIONS[activation]
    x, y = rng.normal(size=(n, d)), rng.uniform(act.low, act.high, n)
    w, b, rates = rng.normal(0, 3, (40, d)), rng.normal(0, 3, 40), rng.uniform(0.1, 2, 40)
    kwargs = {"cost": cost, "activation": activation, "x": x, "y": y}
    problem = make_problem(**kwargs, tolerance=1.0, max_epochs=0)
    at, rounding = [0, 1, 7, 30], 1e-11 if activation == "softsign" else 0
    curves = sweep.trace(w, b, learning_rate=rates, epochs=at, threads=2, **kwargs)
    for k in range(40):
        states = list(islice(descend(w[k].tolist(), float(b[k]), float(rates[k]), problem), 31))
        seen = [states[epoch] for epoch in at]
        for name in ("error", "cost", "w", "b"):
            wanted = [getattr(state, name) for state in seen]
            np.testing.assert_allclose(getattr(curves, name)[k], wanted, rtol=rounding)
        outputs = [[act.value(z) for z in state.z] for state in seen]
        np.testing.assert_allclose(curves.output[k].reshape(4, n), outputs, rtol=rounding)
    alone = sweep.trace(w[3], b[3], learning_rate=rates[3], epochs=at, threads=1, **kwargs)
    assert curves[3] == alone
    assert curves[2:5].error.shape == (3, 4)
    table = curves.to_pandas()
    assert len(table) == 160
    np.testing.assert_array_equal(table[table.neuron == 3].error, alone.error)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"w": [1.0, 2.0]},
            "w = .*: has shape .2,., b ..; must be one weight for each of 1 inputs",
        ),
        ({"b": [1.0, 2.0]}, "w = 0.6: has shape"),
        ({"w": [1.0], "b": [1.0], "learning_rate": [0.1, 0.2]}, "learning_rate: has shape .2,."),
        ({"epochs": [3, 1]}, "epochs = .3, 1.: must be a whole number or a rising list of such"),
        ({"epochs": []}, "epochs = ..: must be a whole number or a rising"),
        ({"epochs": [-1, 1]}, "epochs = -1: must be a whole number from 0"),
        ({"w": [0.6] * 10**5, "b": [0.9] * 10**5, "epochs": 2**31 - 1}, "more than is free"),
    ],
)
def test_a_trace_that_cannot_be_is_one_line(change, line):
    given = {**ARTICLE, "w": 0.6, "b": 0.9, "cost": "quadratic", "epochs": 5} | change
    with pytest.raises(sweep.SpecError, match=line):
        sweep.trace(given.pop("w"), given.pop("b"), **given)


def test_a_trace_is_a_table():
    kwargs = {"learning_rate": 0.15, "cost": "quadratic", "epochs": 20}
    curve = sweep.trace([0.5, 1.0], 0.3, x=[[1.0, 2.0], [0.0, 1.0]], y=[0.0, 1.0], **kwargs)
    table = curve.to_pandas()
    assert len(curve) == len(table) == 21
    names = ["epoch", "output_1", "output_2", "cost", "error", "w_1", "w_2", "b"]
    assert list(table) == names
    np.testing.assert_array_equal(table[["w_1", "w_2"]], curve.w)
    assert curve == sweep.trace([0.5, 1.0], 0.3, x=[[1.0, 2.0], [0.0, 1.0]], y=[0, 1], **kwargs)
    assert curve != sweep.trace([0.5, 1.0], 0.4, x=[[1.0, 2.0], [0.0, 1.0]], y=[0, 1], **kwargs)
    assert len(repr(curve)) < 80


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_few_neurons_are_cut_for_all_threads(threads):
    cuts = list(pool.blocks(4096, threads, pool.LARGEST_BLOCK, pool.SMALLEST_BLOCK))
    assert len(cuts) >= threads
    assert [first for first, _ in cuts[1:]] == [last for _, last in cuts[:-1]]
    assert (cuts[0][0], cuts[-1][1]) == (0, 4096)
