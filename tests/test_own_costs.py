"""Costs from formulas: derived as SymPy derives, as exact as 50 digits, or refused in a line."""

import pickle
import re
import subprocess
import sys
import time
from itertools import islice

import mpmath
import numpy as np
import pytest
import sympy
from mpmath import mp, mpf
from textbook import EXACT_ACTIVATIONS

import sweep
from sweep.bench.studies.hunt import compare
from sweep.experiment.own import RESERVED
from sweep.explorer.about import about
from sweep.explorer.endpoints import cells, spec_of
from sweep.explorer.query import Cells, View
from sweep.figures.style import cost_line
from sweep.kernels.compile import watchers
from sweep.kernels.orbit.applicability import obstacle
from sweep.neuron.activations import ACTIVATIONS
from sweep.neuron.arithmetic import exp_ratio
from sweep.neuron.following import follow_one
from sweep.neuron.intervals import delta_bounds
from sweep.neuron.own_formulas import formulas_of
from sweep.neuron.problem import make_problem
from sweep.neuron.reference import descend, train_one

CROSS_ENTROPY = "-(1-y)*log(1-a) - y*log(a)"
FOCAL = "-(1-y)*a**g*log(1-a) - y*(1-a)**g*log(a)"

# The formula, its parameters, and ∂C/∂a by hand.
COSTS = {
    "cross_entropy": (CROSS_ENTROPY, {}, lambda a, y: (a - y) / (a * (1 - a))),
    "focal_0": (FOCAL, {"g": 0.0}, lambda a, y: (a - y) / (a * (1 - a))),
    "focal_1": (FOCAL, {"g": 1.0}, lambda a, y: (1 - y) * (a / (1 - a) - mp.log(1 - a))
                + y * (mp.log(a) - (1 - a) / a)),
    "focal_2": (FOCAL, {"g": 2.0}, lambda a, y: (1 - y) * (a**2 / (1 - a) - 2 * a * mp.log(1 - a))
                + y * (2 * (1 - a) * mp.log(a) - (1 - a) ** 2 / a)),
    "log_cosh": ("log(cosh(a-y))", {}, lambda a, y: mp.tanh(a - y)),
    "tsallis": ("-y*(a**(1-t)-1)/(1-t) - (1-y)*((1-a)**(1-t)-1)/(1-t)", {"t": 0.5},
                lambda a, y: -y / mp.sqrt(a) + (1 - y) / mp.sqrt(1 - a)),
    "brier_4": ("(a-y)**4", {}, lambda a, y: 4 * (a - y) ** 3),
    "smoothed": ("-(y*(1-s)+s/2)*log(a) - (1-y*(1-s)-s/2)*log(1-a)", {"s": 0.1},
                 lambda a, y: (a - (y * mpf("0.9") + mpf("0.05"))) / (a * (1 - a))),
}  # fmt: skip


def cost(name):
    formula, parameters, _ = COSTS[name]
    return sweep.Cost(name, formula, **parameters)


def exact_epochs(name, w, b, x, y, rate, tolerance, most):
    """Train one neuron in 50 digits; return its epochs and its error at the stop."""
    value, slope = EXACT_ACTIVATIONS["sigmoid"]
    with mp.workdps(50):
        w, b, x, rate = mpf(w), mpf(b), mpf(x), mpf(rate)
        for epoch in range(most + 1):
            a = value(w * x + b)
            if abs(a - y) <= tolerance or epoch == most:
                return epoch, float(abs(a - y))
            d = COSTS[name][2](a, y) * slope(a)
            w, b = w - rate * d * x, b - rate * d


@pytest.mark.parametrize("name", COSTS)
def test_neurons_are_those_of_fifty_digits(name):
    rng = np.random.default_rng(19)
    w, b = rng.normal(0, 2, (2, 200))
    for y in (0.0, 1.0):
        kwargs = {"x": 1.3, "y": y, "learning_rate": 0.7, "tolerance": 0.2, "max_epochs": 40}
        got = sweep.train(w[:100], b[:100], cost=cost(name), **kwargs)
        for k in range(100):
            epochs, error = exact_epochs(name, w[k], b[k], 1.3, y, 0.7, 0.2, 40)
            assert got.epochs[k] == epochs
            assert got.final_error[k] == pytest.approx(error, rel=1e-12)
        w, b = w[::-1], b[::-1]


def test_a_cross_entropy_has_the_epochs_of_the_built_in_one():
    w, b = (each.ravel() for each in np.meshgrid(*[np.linspace(-5, 5, 1000)] * 2))
    for y in (0.0, 1.0, 0.3):
        kwargs = {"x": 1.0, "y": y, "learning_rate": 0.15, "tolerance": 0.1, "max_epochs": 9999}
        for method in ("train", "orbit"):
            own, built_in = (
                sweep.train(w, b, cost=each, method=method, **kwargs)
                for each in (cost("cross_entropy"), "cross_entropy")
            )
            assert (own.epochs == built_in.epochs).all()
            assert (own.status == built_in.status).all()
            assert np.allclose(own.final_error, built_in.final_error, rtol=1e-12, atol=0)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", COSTS)
def test_the_gradient_is_what_sympy_derives(name, activation):
    formula, parameters, _ = COSTS[name]
    act = ACTIVATIONS[activation]
    if activation != "sigmoid":  # the same cost of the share of the range
        formula = re.sub(r"\ba\b", "((1+a)/2)", re.sub(r"\by\b", "((1+y)/2)", formula))
    found = formulas_of(sweep.Cost("own", formula, activation, **parameters).value, activation)
    z, y = sympy.symbols("z y", real=True)
    outputs = {"sigmoid": 1 / (1 + sympy.exp(-z)), "tanh": sympy.tanh(z),
               "softsign": z / (1 + sympy.Abs(z))}  # fmt: skip
    value = sympy.sympify(formula, {"a": outputs[activation], "y": y, **parameters})
    derived = [value, sympy.diff(value, z), sympy.diff(value, z, 2)]
    values = tuple(parameters.values())
    for at_z in (-6.3, -1.7, -0.4, 0.3, 2.9, 5.1):
        for at_y in (act.low, 0.6, act.high):
            *_, delta, ddelta_dz = found.at(at_z, at_y, values, exp_ratio, 1.0)
            (value_,) = found.cost(at_z, at_y, values, exp_ratio, 1.0)
            for got, symbolic in zip((value_, delta, ddelta_dz), derived, strict=True):
                with mp.workdps(40):
                    right = symbolic.subs({z: sympy.Rational(str(at_z)), y: at_y}).evalf(40)
                assert got == pytest.approx(float(right), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_kernels_are_the_loop(dtype):
    rng = np.random.default_rng(3)
    corner = sweep.Cost("corner", "maximum(a-y, d*(y-a)) + log(cosh(a-y))", d=2.0)
    for each, shapes in (
        (cost("focal_2"), ((1, 2, "error"), (7, 3, "gradient"))),
        (corner, ((1, 1, "gradient"), (5, 1, "error"))),
    ):
        for n, d, rule in shapes:
            x, y = rng.normal(size=(n, d)), rng.choice([0.0, 1.0, 0.3], n)
            kwargs = {
                "x": x,
                "y": y,
                "cost": each,
                "tolerance": 0.1,
                "max_epochs": 60,
                "rule": rule,
            }
            w, b = rng.normal(0, 2, (4, d)), rng.normal(0, 2, 4)
            got = sweep.train(w, b, learning_rate=0.5, dtype=dtype, **kwargs)
            for k in range(4):
                right = train_one(w[k].tolist(), float(b[k]), 0.5, make_problem(**kwargs))
                room = {"rel": 1e-9} if dtype == "float64" else {"abs": 3e-4}
                assert got.final_error[k] == pytest.approx(right.final_error, **room)
                if dtype == "float64":
                    assert got.epochs[k] == right.epochs


def test_following_is_the_loop():
    rng = np.random.default_rng(5)
    for y, rate in ((0.7, 3.0), (1.0, 0.5), (0.25, 6.0)):
        kwargs = {"x": 1.0, "y": y, "cost": cost("smoothed"), "tolerance": 0.01, "max_epochs": 50}
        b = rng.normal(0, 2, 5)
        got = sweep.train(0 * b, b, learning_rate=rate, follow=200, method="train", **kwargs)
        problem = make_problem(**kwargs, follow=200)
        for k in range(5):
            said = follow_one([0.0], float(b[k]), rate, problem, int(got.epochs[k]))
            for name in ("outcome", "period", "stays", "first_rise"):
                assert getattr(got, name)[k] == getattr(said, name), (name, y, k)
            assert got.lyapunov[k] == pytest.approx(said.lyapunov, rel=1e-7, abs=1e-9)
            assert got.highest[k] == pytest.approx(said.highest, rel=1e-9)


def test_followed_neurons_are_looked_up_as_they_are_walked():
    b = np.random.default_rng(6).normal(0, 4, 4000)
    outcomes = set()
    for name, y, rate in (("smoothed", 0.7, 0.9), ("log_cosh", 0.6, 2.0), ("focal_2", 1.0, 0.5)):
        kwargs = {"x": 1.0, "y": y, "cost": cost(name), "tolerance": 0.2, "max_epochs": 60,
                  "learning_rate": rate, "follow": 400}  # fmt: skip
        walked, found = (sweep.train(0 * b, b, method=m, **kwargs) for m in ("train", "orbit"))
        for column in ("epochs", "outcome", "period", "stays", "first_rise"):
            assert (getattr(walked, column) == getattr(found, column)).all(), (name, column)
        for column in ("lyapunov", "lowest", "highest", "mean_output"):
            assert np.allclose(
                getattr(walked, column), getattr(found, column), rtol=1e-9, atol=1e-12
            )
        outcomes |= set(found.outcome.tolist())
    assert outcomes == {sweep.Outcome.rests, sweep.Outcome.creeps}


def test_a_trace_is_the_loop():
    kwargs = {"x": [1.0, -0.5], "y": [1.0, 0.0], "cost": cost("tsallis")}
    curve = sweep.trace(1.5, -2.0, learning_rate=0.5, epochs=40, **kwargs)
    problem = make_problem(**kwargs, tolerance=1.0, max_epochs=1)
    states = list(islice(descend([1.5], -2.0, 0.5, problem), 41))
    assert curve.cost == pytest.approx([state.cost for state in states], rel=1e-12)
    assert curve.b == pytest.approx([state.b for state in states], rel=1e-12)


# --- the orbit ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["focal_2", "log_cosh", "smoothed"])
def test_the_orbit_has_the_epochs_of_training(name):
    rng = np.random.default_rng(7)
    looked_up = 0
    for _ in range(6):
        y = float(rng.choice([0.0, 1.0, rng.uniform()]))
        kwargs = {"cost": cost(name), "activation": "sigmoid", "y": y,
                  "x": rng.normal(0, 1, (1, 1)),
                  "tolerance": float(10 ** rng.uniform(-3, -0.5)), "max_epochs": 1000,
                  "learning_rate": float(10 ** rng.uniform(-2, 0.3))}  # fmt: skip
        problem = make_problem(**{k: v for k, v in kwargs.items() if k != "learning_rate"})
        if obstacle(problem, kwargs["learning_rate"], "float64") is None:
            found = compare(kwargs, rng.normal(0, 5, 3000), rng)
            assert (found.epochs_differ, found.status_differ) == (0, 0), kwargs
            assert found.error_apart < 1e-9
            looked_up += 1
    assert looked_up >= 2


@pytest.mark.parametrize(
    ("own", "y", "message"),
    [
        (sweep.Cost("corner", "abs(a-y)**3"), 0.0, "abs, minimum and maximum have corners"),
        (cost("focal_2"), 0.3, "not proven to lead to the target"),
        (cost("smoothed"), 1.0, "not proven to lead to the target, until the error is 0.01"),
        (sweep.Cost("steep", "100*(a-y)**2"), 0.0, "the map folds"),
    ],
)
def test_the_orbit_says_which_condition_a_formula_fails(own, y, message):
    with pytest.raises(sweep.SpecError, match=message):
        sweep.train([0.0], [1.0], cost=own, learning_rate=0.5, x=1.0, y=y, tolerance=0.01,
                    max_epochs=10, method="orbit")  # fmt: skip


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", [*COSTS, "corner"])
def test_interval_bounds_hold_what_is_between(name, activation):
    own = sweep.Cost("c", "maximum(a-y, 2*(y-a))", activation) if name == "corner" else cost(name)
    act, values = ACTIVATIONS[activation], tuple(own.parameters.values())
    try:
        own.kernel(activation)
    except sweep.SpecError:
        assert activation != "sigmoid"
        return
    for y in (act.low, 0.4, act.high):
        bounds = delta_bounds(own.value, values, activation, y)
        found = formulas_of(own.value, activation)
        for z in np.random.default_rng(1).normal(0, 12, 200).tolist():
            k = np.searchsorted(bounds.edges, z, "right") - 1
            *_, delta, ddelta_dz = found.at(z, y, values, exp_ratio, 1.0)
            assert bounds.delta[0, k] <= delta <= bounds.delta[1, k]
            assert bounds.ddelta_dz[0, k] <= ddelta_dz <= bounds.ddelta_dz[1, k]
        if name == "cross_entropy" and activation == "sigmoid":
            assert 0.25 <= bounds.ddelta_dz[1].max() < 0.26


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("log(1-exp(-a*1e-9))+a", "loses digits at .* from "),
        ("-log(1-abs(a-y))", r"loses digits .* from .*abs"),
        ("-(a-y)**2", "leads away from the target"),
        ("a", "leads away from the target at a = 0.4975, y = 1"),
        ("log(a-2)", "is not finite at a = "),
        ("y*log(y/a)+(1-y)*log((1-y)/(1-a))", "is not finite at a = .*, y = 0"),
        ("y**2", "does not depend on the output a"),
        ("exp(a)*exp(-a)+y", "does not depend on the output a"),
        ("(a-y)^2", r"a power is \*\*"),
        ("(a-y)**2 +", "is no formula: "),
        ("(a-yy)**2", "has yy: names are a, y, and parameters .*did you mean 'y'"),
        ("ln(a)", "has ln of 1 arguments: functions are log"),
        ("abs(a, y)", "has abs of 2 arguments"),
        ("a if y else 1", "operators are"),
        ("__import__('os').system('true')", "operators are|functions are"),
        ("(lambda: a)()", "operators are"),
        ("'a'*3", "must be a number"),
        ("True*a", "must be a number"),
        ("9**9**9**9*(a-y)**2", "has a constant part that is not finite"),
        ("1/0*(a-y)**2", "has a constant part that is not finite"),
        ("(a-y)**2" + "+0"*600, "has 1,208 characters"),
        ("-" * 120 + "a", "is nested more than 30 deep"),
        ("log(1+a*" * 12 + "a" + ")" * 12, "is nested more than 30 deep"),
        ("+".join(["a"] * 300), "leads away from the target"),
        ("*".join(f"tanh(a*{k})" for k in range(1, 30)), "is too long: its derivatives have"),
        ("", "is no formula"),
        ("(a-y)**2\x00", "is no formula"),
    ],
)  # fmt: skip
def test_a_formula_that_will_not_do_is_one_line(formula, message):
    began = time.perf_counter()
    with pytest.raises(sweep.SpecError, match=message) as raised:
        sweep.Cost("mine", formula)
    assert time.perf_counter() - began < 5
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith("costs.mine.value = ")
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a b", "(a-y)**2", {}), "costs.a b: must be a name"),
        (("mine", "(a-y)**k", {}), "names are a, y, and parameters"),
        (("mine", "(a-y)**2", {"k": 2.0}), "has no parameter k"),
        (("mine", "(a-y)**2*b", {"b": 2.0}), r"costs.mine.b: cannot be a parameter's name"),
        (("mine", "(a-y)**2*w1", {"w1": 2.0}), "cannot be a parameter's name"),
        (("mine", "(a-y)**2*k", {"k": "x"}), "costs.mine.k = 'x': must be a finite number"),
        (("mine", "(a-y)**2*k", {"k": float("nan")}), "must be a finite number"),
        (("mine", "(a-y)**2*k", {"k": 10**400}), "must be a finite number"),
        (("mine", "(a-y)**2", {"activation": ["tanh"]}), "activation = .'tanh'.: must be one of"),
        (("mine", 3, {}), "costs.mine.value = 3: must be a formula"),
        (
            ("mine", "(a-y)**2", {"activation": "relu"}),
            "activation = 'relu': must be one of sigmoid",
        ),
        (("mine", lambda a, y: a.nothing, {}), "the function failed"),
    ],
)
def test_what_is_no_cost_is_one_line(arguments, message):
    name, formula, parameters = arguments
    with pytest.raises(sweep.SpecError, match=message) as raised:
        sweep.Cost(name, formula, **parameters)
    assert "\n" not in str(raised.value)


def random_formula(rng, depth):
    if depth == 0 or rng.random() < 0.2:
        return str(rng.choice(["a", "y", "(a-y)", "(1-a)", "g", "0.5", "2", "3", "1e-3"]))
    if rng.random() < 0.7:
        left, right = random_formula(rng, depth - 1), random_formula(rng, depth - 1)
        return f"({left}{rng.choice(['+', '-', '*', '/', '**', '*'])}{right})"
    name = str(rng.choice(["log", "exp", "sqrt", "abs", "tanh", "cosh", "maximum"]))
    more = f", {random_formula(rng, depth - 1)}" if name == "maximum" else ""
    return f"{name}({random_formula(rng, depth - 1)}{more})"


def test_random_formulas_are_a_cost_or_one_line():
    rng = np.random.default_rng(19)
    noise = list("ay+-*/()., 0123456789eE_^%&|<>=![]{}'\"\\#@:;~`λ\n\t\x00")
    costs = 0
    for k in range(400):
        formula = "(a-y)**2+0.1*" * (k % 2) + random_formula(rng, int(rng.integers(1, 6)))
        for _ in range(rng.integers(1, 4) if k % 5 == 0 else 0):
            at = int(rng.integers(0, len(formula) + 1))
            formula = formula[:at] + str(rng.choice(noise)) + formula[at:]
        given = {"g": float(rng.choice([0.0, 0.5, 2.0, -3.0, 1e300]))}
        message = ""
        try:
            sweep.Cost("mine", formula, **given if "g" in formula else {})
        except sweep.SpecError as error:
            message = str(error)
        assert "\n" not in message
        costs += not message
    assert costs > 40


# --- where costs go ----------------------------------------------------------------------------


def test_a_function_is_traced_and_a_cost_is_pickled():
    traced = sweep.Cost("mine", lambda a, y, k: sympy.Max(a - y, 0) ** 2 + k * sympy.Abs(a - y),
                        k=0.5)  # fmt: skip
    assert traced == sweep.Cost("mine", "k*abs(a - y) + maximum(0, a - y)**2", k=0.5)
    assert pickle.loads(pickle.dumps(traced)) == traced
    assert eval(repr(traced), {"Cost": sweep.Cost}) == traced
    assert hash(traced) == hash(pickle.loads(pickle.dumps(traced)))
    assert sweep.Cost("mine", "k*(a-y)**2", k=np.float32(0.5)).parameters == {"k": 0.5}
    assert traced != sweep.Cost("mine", "k*abs(a - y) + maximum(0, a - y)**2", k=0.6)


def test_a_parameter_may_have_the_name_of_anything_in_the_code():
    names = ["e", "p", "q", "c", "r", "t", "z", "one", "zero", "above", "small", "log_p", "v0"]
    kwargs = {"learning_rate": 0.5, "x": 1.0, "y": 0.0, "tolerance": 0.1, "max_epochs": 9999}
    formula = "*".join(names) + "*(exp(a) - a)*(a - y)**2"
    own = sweep.Cost("own", formula, **dict.fromkeys(names, 1.0))
    plain = sweep.Cost("own", "(exp(a) - a)*(a - y)**2")
    several = [sweep.train([1.0, 2.0], [1.0, 2.0], cost=each, **kwargs) for each in (own, plain)]
    assert several[0] == several[1]
    assert own.kernel("sigmoid")[1] == (1.0,) * len(names)


def test_another_value_of_a_parameter_compiles_nothing():
    kwargs = {"learning_rate": 0.5, "x": 1.0, "y": 0.0, "tolerance": 0.1, "max_epochs": 9999}
    sweep.train([1.0], [1.0], cost=cost("focal_2"), **kwargs)
    compiled = []
    watchers.append(compiled.append)
    try:
        epochs = [
            sweep.train([1.0], [1.0], cost=sweep.Cost("focal", FOCAL, g=g), **kwargs).epochs[0]
            for g in (0.0, 0.25, 1.5, 3.0)
        ]
    finally:
        watchers.remove(compiled.append)
    assert compiled == []
    assert epochs == sorted(set(epochs))


def test_two_costs_of_one_name_are_two_costs():
    kwargs = {"learning_rate": 0.5, "x": 1.0, "y": 0.0, "tolerance": 0.1, "max_epochs": 9999}
    first, second = (
        sweep.train([1.0], [1.0], cost=sweep.Cost("mine", formula), **kwargs).epochs[0]
        for formula in ("(a-y)**2", "(a-y)**4")
    )
    assert first < second


SPEC = {
    "axes": {
        "w": np.linspace(-3, 3, 9),
        "b": np.linspace(-3, 3, 8),
        "learning_rate": [0.5, 1.0],
        "cost": ["quadratic", "focal", "cosh"],
        "g": [0.0, 2.0],
    },
    "costs": {"focal": {"value": FOCAL}, "cosh": {"value": "log(cosh(a - y)) * h", "h": 3}},
}


def test_a_sweep_with_costs_and_a_parameter_on_an_axis(tmp_path):
    spec = sweep.Spec(**SPEC, part_rows=100)
    assert sweep.Spec.parse(spec.toml()).id == spec.id
    same = SPEC["costs"] | {"cosh": {"value": "log( cosh((a-y)))*h", "h": 3.0}}
    assert sweep.Spec(**SPEC | {"costs": same}).id == spec.id
    other = SPEC["costs"] | {"cosh": {"value": "log(cosh(a-y))*h", "h": 4.0}}
    assert sweep.Spec(**SPEC | {"costs": other}).id != spec.id
    sweep.run(spec, tmp_path / "one", quiet=True)
    trained = sweep.Spec(**SPEC, method="train")
    sweep.run(trained, tmp_path / "two", threads=1, quiet=True)
    assert sweep.check(tmp_path / "one") == []
    result = sweep.open(tmp_path / "one")
    assert list(result.axes) == ["cost", "learning_rate", "g", "w", "b"]
    table = result.load()
    assert (table.epochs == sweep.load(tmp_path / "two").epochs).all()
    for g in (0.0, 2.0):
        some = table[(table.cost == "focal") & (table.g == g) & (table.learning_rate == 0.5)]
        right = sweep.train(some.w0, some.b0, cost=sweep.Cost("f", FOCAL, g=g), learning_rate=0.5,
                            x=1.0, y=0.0, tolerance=0.1, max_epochs=10_000)  # fmt: skip
        assert (some.epochs.to_numpy() == right.epochs).all()
    assert len(result.load(["epochs"], where=[("g", "==", 2.0), ("cost", "==", "focal")])) == 144
    assert result.grid(["epochs"]).epochs.sel(g=0.0, cost="focal").shape == (2, 9, 8)
    assert result.scan().schema.field("g").metadata[b"description"] == b"parameter g of the cost"
    for figure in ("error", "slowdown", "heatmap", "distribution", "curves"):
        assert result.plot(figure).axes
    tables = [result.summary(), result.epochs_by_error(), result.epochs_by_start(), result.load(),
              result.compare_costs(over="quadratic", under="focal")]  # fmt: skip
    columns = {name for table in tables for name in table} - set(result.axes)
    assert {name for name in columns - RESERVED if not re.fullmatch(r"[wbq]\d+", name)} == set()
    lines = [str(cost_line(name, spec.axes["cost"])["linestyle"]) for name in spec.axes["cost"]]
    assert len(set(lines)) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"costs": {"quadratic": {"value": "(a-y)**4"}}}, "is the name of a cost that there is"),
        ({"costs": {"own": {"value": "(a-y)**k"}}}, r"costs.own.value = '\(a-y\)\*\*k': has k"),
        ({"costs": {"own": {"value": "a*k", "k": "x"}}}, "costs.own.k = 'x': must be a number"),
        ({"costs": {"own": {"k": 1.0}}}, "costs.own.value: missing"),
        ({"costs": {"own": 1}}, "costs.own = 1: must be a table"),
        ({"costs": {"own": {"value": "(a-y)**2", "name": 1.0}}}, "costs.own.name: cannot be"),
        ({"costs": {"own": {"value": "(a-y)**2", "a b": 1.0}}}, "costs.own.a b: cannot be"),
        ({"costs": {"own": {"value": "(a-y)**2", "k": True}}}, "costs.own.k = True: must be"),
        ({"costs": 3}, "costs = 3: must be a table"),
        ({"axes": {"cost": [sweep.Cost("own", "(a-y)**2")]}}, "holds two costs of one name"),
        ({"axes": {"cost": [sweep.Cost("own", "(a-y)**2")]}, "costs": 3}, "cost"),
        ({"axes": {"k": [1.0, 2.0]}}, "axes.k: unknown axis"),
        ({"axes": {"k": [1.0]}, "costs": {"own": {"value": "k*(a-y)**2", "k": 1.0}}},
         "axes.k and costs.own.k: only one of them may be given"),
        ({"axes": {"k": [1.0, -1.0]}, "costs": {"own": {"value": "k*(a-y)**2"}}},
         "costs.own.value with k = -1: leads away"),
        ({"axes": {"epochs": [1.0]}, "costs": {"own": {"value": "epochs*(a-y)**2"}}},
         "axes.epochs: tables have a column of this name"),
        ({"axes": {"median": [1.0]}, "costs": {"own": {"value": "median*(a-y)**2"}}},
         "axes.median: tables have a column"),
        ({"axes": {"b0": [1.0]}, "costs": {"own": {"value": "b0*(a-y)**2"}}},
         "axes.b0: tables have a column"),
        ({"axes": {"cost": ["owm"]}}, "must be one of quadratic, .*, own .did you mean 'own'"),
    ],
)  # fmt: skip
def test_a_spec_with_a_cost_that_will_not_do_is_one_line(change, message):
    axes = {"w": [0.0], "b": [0.0], "learning_rate": [0.1]}
    costs = change.get("costs", {"own": {"value": "(a-y)**4"}})
    with pytest.raises(sweep.SpecError, match=message) as raised:
        sweep.Spec(axes=axes | change.get("axes", {}), costs=costs)
    assert "\n" not in str(raised.value)


def test_a_spec_takes_costs_and_compares_them_by_default():
    axes = {"w": [0.0], "b": [0.0], "learning_rate": [0.1]}
    spec = sweep.Spec(axes=axes | {"cost": ["quadratic", cost("focal_2")]})
    assert spec.fields()["costs"] == {"focal_2": {"value": cost("focal_2").value, "g": 2.0}}
    own = {"own": {"value": "(a-y)**4"}}
    assert sweep.Spec(axes=axes, costs=own).axes["cost"] == ["quadratic", "cross_entropy", "own"]
    text = sweep.Spec(axes=axes, costs={"f": {"value": FOCAL, "g": 2.0}}).toml()
    assert sweep.Spec.overridden(text, ["axes.g=[0.0, 1.0]"]).axes["g"] == [0.0, 1.0]
    span = sweep.Spec.overridden(text, ["axes.g={start=0, stop=1, num=3}"])
    assert span.values("g").tolist() == [0.0, 0.5, 1.0]
    assert sweep.Spec.overridden(text, ["costs.f.g=1.5"]).costs["f"].parameters == {"g": 1.5}


def test_a_cost_without_the_parameter_is_selected_at_each_of_its_values(tmp_path):
    axes = {"w": [0.0, 1.0], "b": [0.5], "learning_rate": [0.3], "g": [1.0, 2.0, 3.0]}
    spec = sweep.Spec(axes=axes, costs={"focal": {"value": FOCAL}})
    result = sweep.run(spec, tmp_path, quiet=True).open()
    chosen = result.summary(where={"cost": "quadratic"})
    assert chosen["g"].tolist() == [1.0, 2.0, 3.0]
    assert chosen["starts"].sum() == len(result) // 3


def test_results_of_two_costs_of_one_name_do_not_go_together(tmp_path):
    axes = {"w": [0.0, 1.0], "b": [0.0], "cost": ["own"]}
    for k, formula in enumerate(["(a-y)**2", "(a-y)**4"]):
        spec = sweep.Spec(
            axes=axes | {"learning_rate": [0.1 + k]}, costs={"own": {"value": formula}}
        )
        sweep.run(spec, tmp_path / str(k), quiet=True)
    with pytest.raises(sweep.SpecError, match=r"has another costs\.own than the others"):
        sweep.open([tmp_path / "0", tmp_path / "1"]).plot("heatmap")


def test_the_explorer_computes_and_copies_own_costs():
    spec = sweep.Spec(**SPEC)
    assert {"focal", "cosh"} <= set(about(spec)["costs"]["sigmoid"])
    assert about(spec)["fixed"] == {"g": 2.0}
    query = {"cost": "focal", "learning_rate": 0.5, "tolerance": 0.1, "max_epochs": 999,
             "activation": "sigmoid", "x": 1.0, "y": 0.0, "w": -2.0, "b": -2.0, "cell": 1.0,
             "columns": 5, "rows": 5}  # fmt: skip
    found = cells(spec, Cells(**query), np.zeros(1, np.uint8))
    w, b = (each.ravel() for each in np.meshgrid(np.arange(-2.0, 3), np.arange(-2.0, 3)))
    right = sweep.train(w, b, cost=sweep.Cost("f", FOCAL, g=2.0), learning_rate=0.5, x=1.0, y=0.0,
                        tolerance=0.1, max_epochs=999)  # fmt: skip
    assert found.ravel().tolist() == right.epochs.tolist()
    copied = spec_of(spec, View(**query, other_cost="quadratic", other_learning_rate=0.5))
    assert copied.costs["focal"].parameters == {"g": 2.0}
    assert copied.axes["cost"] == ["focal", "quadratic"]


def test_a_second_process_takes_compiled_code_from_the_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    code = (
        "import sweep; from sweep.kernels.compile import watchers; watchers.append(print);"
        f"own = sweep.Cost('mine', '{FOCAL}', g=2.5);"
        "sweep.train([1.0], [1.0], cost=own, learning_rate=0.5, x=1.0, y=0.0, tolerance=0.1,"
        "max_epochs=99, method='train')"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert "True" in runs[0].stdout
    assert runs[1].stdout == ""


def test_mpmath_and_the_formula_agree_on_the_value():
    own = cost("tsallis")
    (value,) = formulas_of(own.value, "sigmoid").cost(2.0, 0.25, (0.5,), exp_ratio, 1.0)
    a = 1 / (1 + mpmath.exp(-2))
    right = 0.25 * (1 - mp.sqrt(a)) / 0.5 + 0.75 * (1 - mp.sqrt(1 - a)) / 0.5
    assert value == pytest.approx(float(right), rel=1e-14)
