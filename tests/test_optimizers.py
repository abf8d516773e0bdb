"""Momentum, Nesterov and Adam: as published, to 50 digits; lanes as the reference; one axis."""

import json
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf

import sweep
from sweep.cli import main
from sweep.experiment.grid import Grid
from sweep.experiment.spec import Spec
from sweep.explorer.about import about
from sweep.explorer.endpoints import cells, curves, spec_of
from sweep.explorer.query import Cells, Point, View
from sweep.kernels import loops, tracing
from sweep.kernels.pool import LARGEST_BLOCK
from sweep.neuron import optimizers
from sweep.neuron.arithmetic import fma
from sweep.neuron.optimizers import OPTIMIZERS, Optimizer
from sweep.neuron.problem import make_problem
from sweep.neuron.reference import train_one
from sweep.running.part import orbit_lookup

ARTICLE = {"learning_rate": 0.15, "x": 1.0, "y": 0.0, "tolerance": 0.1}
OTHERS = [name for name in OPTIMIZERS if name != "gd"]

# --- the published rules, in 50 digits --------------------------------------------------------


def polyak(g, theta, state, rate, beta):
    """θ_{t+1} = θ_t − αg(θ_t) + β(θ_t − θ_{t−1})."""
    before = state.setdefault("before", theta)
    state["before"] = theta
    return theta - rate * g + beta * (theta - before)


def sutskever(g, theta, state, rate, beta):
    """v ← μv − ε∇f(θ + μv), θ ← θ + v, of which θ + μv is what is returned."""
    v = state["v"] = beta * state.get("v", mpf(0)) - rate * g
    at = state["theta"] = state.get("theta", theta) + v
    return at + beta * v


def kingma_and_ba(g, theta, state, rate, beta1, beta2, epsilon):
    """Algorithm 1 of Kingma and Ba."""
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = beta1 * state.get("m", mpf(0)) + (1 - beta1) * g
    v = state["v"] = beta2 * state.get("v", mpf(0)) + (1 - beta2) * g**2
    return theta - rate * (m / (1 - beta1**t)) / (mp.sqrt(v / (1 - beta2**t)) + epsilon)


PUBLISHED = {
    Optimizer("momentum"): polyak,
    Optimizer("momentum", beta=0.5): polyak,
    Optimizer("nesterov"): sutskever,
    Optimizer("nesterov", beta=0.99): sutskever,
    Optimizer("adam"): kingma_and_ba,
    Optimizer("adam", beta1=0.0, beta2=0.9, epsilon=1e-3): kingma_and_ba,
}
EPOCHS = 40


def exact_path(optimizer, w, b, x, y, cost, rate):
    """Return w and b after each of 40 epochs, in 50 digits."""
    theta, states = [mpf(float(v)) for v in [*w, b]], [{} for _ in [*w, b]]
    path = [theta]
    values = [mpf(value) for value in optimizer.values]
    for _ in range(EPOCHS):
        gradient = [mpf(0)] * len(theta)
        for inputs, target in zip(x, y, strict=True):
            features = [*map(mpf, inputs.tolist()), mpf(1)]
            z = mp.fsum(t * f for t, f in zip(theta, features, strict=True))
            a = 1 / (1 + mp.exp(-z))
            delta = (a - mpf(float(target))) * (a * (1 - a) if cost == "quadratic" else 1)
            gradient = [g + delta * f / len(x) for g, f in zip(gradient, features, strict=True)]
        theta = [
            PUBLISHED[optimizer](g, t, state, mpf(rate), *values)
            for g, t, state in zip(gradient, theta, states, strict=True)
        ]
        path.append(theta)
    return np.array([[float(value) for value in at] for at in path])


@pytest.mark.parametrize("optimizer", PUBLISHED, ids=repr)
def test_a_rule_is_the_published_one_in_50_digits(optimizer):
    rng = np.random.default_rng(len(repr(optimizer)))
    for n, d, neurons in ((1, 1, 25), (1, 3, 10), (3, 1, 10), (5, 2, 5)):
        x, y = rng.normal(0, 1.5, (n, d)), rng.choice([0.0, 1.0, 0.3], n)
        w, b = rng.normal(0, 3, (neurons, d)), rng.normal(0, 3, neurons)
        cost, rate = rng.choice(["quadratic", "cross_entropy"]), float(rng.uniform(0.02, 0.3))
        kwargs = {"x": x, "y": y, "cost": cost, "learning_rate": rate, "optimizer": optimizer}
        with mp.workdps(50):
            exact = [exact_path(optimizer, *start, x, y, cost, rate) for start in zip(w, b)]  # noqa: B905
        traced = sweep.trace(w, b, epochs=EPOCHS, **kwargs)
        ours = np.concatenate([traced.w, traced.b[..., None]], axis=2)
        assert np.abs(ours - exact).max() < 1e-10
        # No tolerance is met: the kernels walk all epochs.
        trained = sweep.train(w, b, **kwargs, tolerance=1e-300, max_epochs=EPOCHS, method="train")
        assert (trained.epochs == EPOCHS).all()
        last = np.column_stack([trained.w, trained.b])
        assert np.abs(last - np.array(exact)[:, -1]).max() < 1e-10


@pytest.mark.parametrize(
    ("cost", "optimizer", "epochs"),
    [
        ("quadratic", "gd", [273, 469, 10_265, 542_887]),
        ("quadratic", "momentum", [19, 50, 1_065, 54_364]),
        ("quadratic", "adam", [14, 21, 33, 44]),
        ("cross_entropy", "gd", [41, 50, 63, 77]),
        ("cross_entropy", "momentum", [7, 8, 10, 12]),
        ("cross_entropy", "adam", [14, 24, 38, 52]),
    ],
)
def test_the_known_epochs_come_out_to_the_last_one(cost, optimizer, epochs):
    z = np.array([1.5, 4.0, 8.0, 12.0])
    kwargs = {**ARTICLE, "cost": cost, "optimizer": optimizer, "max_epochs": 600_000}
    assert sweep.train(z / 2, z / 2, **kwargs).epochs.tolist() == epochs
    problem = make_problem(**{k: v for k, v in kwargs.items() if k != "learning_rate"})
    assert [train_one([v / 2], v / 2, 0.15, problem).epochs for v in z[:3]] == epochs[:3]


def flipped(optimizer, kappa_slope):
    """Say whether a neuron beside its target is repelled, with so much κ times ∂δ/∂z."""
    y = 0.75
    slope = y * (1 - y)
    start = np.log(y / (1 - y)) + 1e-6
    curve = sweep.trace(
        0.0, start, learning_rate=kappa_slope / slope, cost="cross_entropy", x=0.0, y=y,
        epochs=[0, 3000, 3001], optimizer=optimizer,
    )  # fmt: skip
    return np.abs(curve.error[1:]).max() > curve.error[0]


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9])
@pytest.mark.parametrize(
    ("name", "condition"),
    [
        ("momentum", lambda beta: 2 * (1 + beta)),
        ("nesterov", lambda beta: 2 * (1 + beta) / (1 + 2 * beta)),
    ],
)
def test_a_minimum_repels_from_the_known_step_on(name, condition, beta):
    optimizer = Optimizer(name, beta=beta)
    low, high = 0.1, 8.0
    assert not flipped(optimizer, low)
    assert flipped(optimizer, high)
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if flipped(optimizer, middle) else (middle, high)
    assert high == pytest.approx(condition(beta), rel=0.005)
    assert optimizer.flip == pytest.approx(condition(beta), rel=1e-15)
    assert Optimizer("gd").flip == 2.0
    assert Optimizer("adam").flip == np.inf


# --- the declarations -------------------------------------------------------------------------

numbers = st.floats(-10, 10).map(lambda value: round(value, 6))
shares = st.floats(0, 0.999)


@pytest.mark.parametrize("name", OPTIMIZERS)
@given(g=st.lists(numbers, min_size=1, max_size=5), c=st.floats(0.1, 10), p=shares, q=shares)
def test_a_declaration_is_what_kernels_take_it_for(name, g, c, p, q):
    update, r = OPTIMIZERS[name], 1e-3

    def path(gradients, of_ones=(0.0, 0.0), kept=(0.0, 0.0)):
        for gradient in gradients:
            kept, of_ones = (
                update.moments(v, *m, p, q) for v, m in ((gradient, kept), (1, of_ones))
            )
        return kept, of_ones

    def step(gradients):
        (m, v), (m1, v1) = path(gradients)
        return update.step(gradients[-1], m, v**0.5, m1, v1**0.5, p, q, r)

    (m, v), _ = path(g)
    (scaled_m, scaled_v), _ = path([c * each for each in g])
    assert scaled_m == pytest.approx(c * m, rel=1e-9, abs=1e-12)
    assert scaled_v == pytest.approx(c * c * v, rel=1e-9, abs=1e-12)
    assert (update.kept < 1) == (path([1.0])[0][0] == 0.0)
    assert (update.kept < 2) == (path([1.0])[0][1] == 0.0)
    if update.linear:
        assert update.kept < 2
        assert step([c * each for each in g]) == pytest.approx(c * step(g), rel=1e-9, abs=1e-12)
    assert abs(step(g)) <= update.gain(p, q, r) * max(map(abs, g)) * (1 + 1e-9)
    assert len(update.parameters) <= 3


def test_parameters_of_one_name_have_one_default():
    usual = {}
    for update in OPTIMIZERS.values():
        for key, value in update.parameters.items():
            assert usual.setdefault(key, value) == value


def test_another_optimiser_is_one_entry(monkeypatch):
    rmsprop = replace(
        OPTIMIZERS["adam"],
        name="rmsprop",
        moments=lambda g, m, v, p, q: (m, fma(p, v, (1.0 - p) * g * g)),
        step=lambda g, m, root, m1, root1, p, q, r: g / (root + q),
        parameters={"alpha": 0.99, "epsilon": 1e-8},
        gain=lambda p, q, r: 1.0 / q,
    )
    for module in (optimizers, loops, tracing):
        table = MappingProxyType({**OPTIMIZERS, "rmsprop": rmsprop})
        monkeypatch.setattr(module, "OPTIMIZERS", table)
    w, b, v = 2.0, 2.0, np.zeros(2)
    for _ in range(30):
        a = 1 / (1 + np.exp(-(w * 0.5 + b)))
        g = a * np.array([0.5, 1.0])
        v = 0.99 * v + 0.01 * g * g
        w, b = np.array([w, b]) - 0.05 * g / (np.sqrt(v) + 1e-8)
    kwargs = {"learning_rate": 0.05, "cost": "cross_entropy", "x": 0.5, "y": 0.0}
    kwargs["optimizer"] = "rmsprop"
    trained = sweep.train([2.0], [2.0], **kwargs, tolerance=1e-9, max_epochs=30)
    curve = sweep.trace(2.0, 2.0, epochs=30, **kwargs)
    for found in ((trained.w[0], trained.b[0]), (curve.w[-1], curve.b[-1])):
        assert found == pytest.approx((w, b), rel=1e-12)


# --- lanes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OTHERS)
@pytest.mark.parametrize(
    ("n", "d", "rule"),
    [(1, 1, "error"), (1, 1, "gradient"), (1, 3, "error"), (4, 1, "error"), (37, 2, "gradient")],
)
def test_lanes_equal_the_reference(optimizer, n, d, rule):
    rng = np.random.default_rng([n, d, len(optimizer)])
    x = rng.normal(0, 1, (n, d))
    y = (x[:, 0] > 0).astype(float)
    w, b = rng.normal(0, 2, (30, d)), rng.normal(0, 2, 30)
    tolerance = 0.3 if rule == "error" else 0.02
    kwargs = {"x": x, "y": y, "cost": "quadratic", "optimizer": optimizer, "rule": rule,
              "tolerance": tolerance, "max_epochs": 60}  # fmt: skip
    trained, problem = sweep.train(w, b, learning_rate=0.1, **kwargs), make_problem(**kwargs)
    for i in range(len(b)):
        one = train_one(w[i].tolist(), float(b[i]), 0.1, problem)
        assert (trained.epochs[i], trained.status[i]) == (one.epochs, one.status)
        assert trained.initial_error[i] == pytest.approx(one.initial_error, rel=1e-13)
        assert trained.final_error[i] == pytest.approx(one.final_error, rel=1e-9)
        assert [*trained.w[i], trained.b[i]] == pytest.approx([*one.w, one.b], rel=1e-9, abs=1e-9)
    assert len(set(trained.epochs.tolist())) > 3
    if rule == "error" and n * d != 3:
        single = sweep.train(w, b, learning_rate=0.1, **kwargs, dtype="float32")
        assert (np.abs(single.epochs - trained.epochs) <= 1).mean() > 0.8


@pytest.mark.parametrize("optimizer", OTHERS)
def test_a_lane_forgets_the_neuron_that_it_had_before(optimizer):
    """Each neuron of many blocks, with an early exit, has the bits that it has alone."""
    rng = np.random.default_rng(3)
    w, b = rng.normal(0, 4, (2, LARGEST_BLOCK + 5000))
    kwargs = {**ARTICLE, "cost": "quadratic", "optimizer": optimizer, "max_epochs": 500}
    together = sweep.train(w, b, threads=2, **kwargs)
    assert together == sweep.train(w, b, threads=1, **kwargs)
    some = rng.choice(len(w), 40, replace=False)
    alone = [sweep.train(w[[k]], b[[k]], **kwargs) for k in some]
    assert all(together[[k]] == one for k, one in zip(some, alone, strict=True))


@pytest.mark.parametrize("optimizer", OTHERS)
def test_starts_that_are_not_finite_touch_no_other(optimizer):
    w, b = np.linspace(-3, 3, 40), np.linspace(3, -2, 40)
    kwargs = {**ARTICLE, "cost": "quadratic", "optimizer": optimizer, "max_epochs": 400}
    clean = sweep.train(w, b, **kwargs)
    w[[5, 6, 7]] = np.nan, np.inf, 1e300
    spoilt = sweep.train(w, b, **kwargs)
    assert spoilt.status[[5, 6, 7]].tolist() == [2, 2, 1]  # the last moves, but too little to see
    others = np.setdiff1d(np.arange(40), [5, 6, 7])
    assert spoilt[others] == clean[others]


def test_the_smallest_gradients_and_the_largest_inputs_that_are_taken_give_numbers():
    kwargs = {"cost": "quadratic", "y": 0.0, "tolerance": 1e-3, "max_epochs": 5}
    far = sweep.train([300.0], [0.0], learning_rate=0.1, x=1.0, **kwargs,
                      optimizer=Optimizer("adam", epsilon=1e-140))  # fmt: skip
    assert far.b[0] == pytest.approx(-0.5, rel=0.002)  # its gradient is 5e-131
    wide = sweep.train([0.0], [0.0], learning_rate=1e-130, x=1e140, **kwargs, optimizer="adam")
    assert np.isfinite([wide.w[0], wide.b[0], wide.final_error[0]]).all()
    for x, rate, message in (
        (1e146, 1e-30, r"the sum of \|x\|, squared,"),
        (1e142, 1.0, r"learning_rate·\(\|x\|² \+ 1\), times 1e\+08 with adam,"),
    ):
        with pytest.raises(sweep.SpecError, match=message):
            sweep.train([0.0], [0.0], learning_rate=rate, x=x, **kwargs, optimizer="adam")
    with pytest.raises(sweep.SpecError, match=r"times 1e\+08 with adam, = .* overflows"):
        sweep.train([0.0], [0.0], learning_rate=1e25, x=1.0, **kwargs, optimizer="adam",
                    dtype="float32")  # fmt: skip
    with pytest.raises(sweep.SpecError, match=r"optimizer\.epsilon = 1e-20: must be at"):
        sweep.train([0.0], [0.0], learning_rate=0.1, x=1.0, **kwargs, dtype="float32",
                    optimizer=Optimizer("adam", epsilon=1e-20))  # fmt: skip


def test_costs_from_formulas_and_other_activations_take_optimisers():
    focal = sweep.Cost("focal", "-(1-y)*a**g*log(1-a) - y*(1-a)**g*log(a)", g=2.0)
    for cost, activation, optimizer in (
        (focal, "sigmoid", "adam"),
        ("softsign_matching", "softsign", "nesterov"),
    ):
        kwargs = {**ARTICLE, "cost": cost, "activation": activation, "optimizer": optimizer}
        kwargs |= {"max_epochs": 3000}
        rate = kwargs.pop("learning_rate")
        trained = sweep.train([2.0], [2.0], learning_rate=rate, **kwargs)
        one = train_one([2.0], 2.0, rate, make_problem(**kwargs))
        assert (trained.epochs[0], trained.status[0]) == (one.epochs, one.status)
        assert trained.b[0] == pytest.approx(one.b, rel=1e-10)


# --- a sweep ----------------------------------------------------------------------------------

AXES = {"w": {"start": -4.0, "stop": 4.0, "num": 12}, "b": {"start": -4.0, "stop": 4.0, "num": 11},
        "learning_rate": [0.15, 0.6]}  # fmt: skip
FOUR = ["gd", "momentum", "nesterov", "adam"]


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("optimizers")
    spec = Spec(axes={**AXES, "optimizer": FOUR}, optimizer={"beta": 0.8}, weights=True)
    return sweep.run(spec, folder, quiet=True).open()


def test_the_cells_of_a_sweep_are_those_of_train(result):
    rows = result.load()
    assert list(rows.columns[:5]) == ["cost", "learning_rate", "optimizer", "w0", "b0"]
    assert rows["optimizer"].cat.categories.tolist() == FOUR
    for name, beta in (("gd", {}), ("momentum", {"beta": 0.8}), ("adam", {})):
        part = result.load(where=[("optimizer", "==", name), ("cost", "==", "quadratic")])
        trained = sweep.train(
            part["w0"], part["b0"], learning_rate=part["learning_rate"], cost="quadratic", x=1.0,
            y=0.0, tolerance=0.1, max_epochs=10_000, optimizer=Optimizer(name, **beta),
        )  # fmt: skip
        assert (part["epochs"] == trained.epochs).all()
        assert (part["w"] == trained.w).all()
    arrays = result.grid(["epochs"])
    assert arrays["optimizer"].values.tolist() == FOUR
    assert arrays.epochs.sel(optimizer="adam").equals(
        sweep.load_grid(result.folders[0], ["epochs"], [("optimizer", "==", "adam")])
        .epochs.isel(optimizer=0)
    )  # fmt: skip
    field = result.scan().schema.field("optimizer")
    assert field.metadata[b"description"] == b"how gradients become steps"


def test_without_the_axis_a_sweep_is_what_it_was(tmp_path):
    """The id is that of the release before there were optimisers."""
    spec = Spec(axes=AXES)
    assert spec.id == "82d86de06be7521f"
    assert "optimizer" not in spec.toml()
    assert "optimizer" not in Grid(spec).values
    explicit = Spec(axes={**AXES, "optimizer": "gd"})
    sweep.run(spec, tmp_path / "plain", quiet=True)
    sweep.run(explicit, tmp_path / "explicit", quiet=True)
    plain, with_column = (sweep.load(tmp_path / name) for name in ("plain", "explicit"))
    assert list(with_column.columns) == [*plain.columns[:2], "optimizer", *plain.columns[2:]]
    assert with_column.drop(columns="optimizer").equals(plain)


def test_results_of_several_optimisers_are_put_together(result, tmp_path):
    for name in FOUR:
        axes = AXES if name == "gd" else {**AXES, "optimizer": [name]}
        table = {"beta": 0.8} if name in ("momentum", "nesterov") else {}
        sweep.run(Spec(axes=axes, optimizer=table, weights=True), tmp_path / name, quiet=True)
    together = sweep.open([tmp_path / name for name in FOUR])
    assert together.axes["optimizer"].tolist() == FOUR
    assert together.spec.optimizer == result.spec.optimizer
    assert together.summary().equals(result.summary())
    assert together.grid(["epochs"]).equals(result.grid(["epochs"]))
    assert len(together.load(where=[("optimizer", "==", "gd")])) == len(result) // 4
    axes = {**AXES, "optimizer": ["momentum"], "learning_rate": [0.3, 0.9]}
    sweep.run(Spec(axes=axes, weights=True), tmp_path / "other", quiet=True)
    with pytest.raises(sweep.SpecError, match=r"other: has another optimizer\.beta than the"):
        sweep.open([tmp_path / "momentum", tmp_path / "other"])


def test_comparisons_are_what_pandas_says(result):
    table = result.compare_optimizers("gd", "adam", edges=[0, 1], quantiles=[0.5])
    rows = result.load()
    for row in table.itertuples():
        held = (rows["cost"] == row.cost) & (rows["learning_rate"] == row.learning_rate)
        gd, adam = (
            rows[held & (rows["optimizer"] == name)].set_index(["w0", "b0"])["epochs"]
            for name in ("gd", "adam")
        )
        assert row.under_fewer == (adam < gd).sum()
        assert row.over_fewer == (adam > gd).sum()
        learned = (gd > 0) & (adam > 0)
        assert row.median == pytest.approx((gd / adam)[learned].quantile(0.5, "lower"), rel=1e-3)
    with pytest.raises(sweep.SpecError, match="optimizer: the comparison needs adm, this result"):
        result.compare_optimizers("gd", "adm")
    few = result.compare_costs(where={"optimizer": "adam"}, by=["learning_rate"])
    assert few["under_fewer"].sum() < few["pairs"].sum() / 2


def test_info_compares_optimisers(result, capsys):
    folder = str(result.folders[0])
    assert main(["info", folder]) == 0
    text = capsys.readouterr().out
    assert "beta = 0.8, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-08" in text
    assert "quadratic with gd: slow (twice the epochs" in text
    assert "quadratic with adam: slow" not in text or "cross-entropy with adam: slow" in text
    assert "quadratic: adam needs fewer epochs than gd from" in text
    assert "momentum: cross-entropy needs fewer epochs than quadratic from" in text
    assert main(["info", folder, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(row["cost"], row["optimizer"]) for row in found["costs"]] == [
        (cost, name) for cost in ("quadratic", "cross_entropy") for name in FOUR
    ]
    assert {row["under"] for row in found["optimizers"]} == set(OTHERS)
    assert main(["plot", folder, "-o", folder, "--where", "optimizer=adm"]) == 2
    assert "where: optimizer = 'adm': must be one of gd" in capsys.readouterr().err


def test_info_says_beyond_which_step_a_minimum_repels(tmp_path, capsys):
    axes = {"w": [0.0], "b": [1.0], "learning_rate": [6.0, 12.0, 30.0], "optimizer": FOUR,
            "cost": ["cross_entropy"]}  # fmt: skip
    spec = Spec(axes=axes, task={"y": 0.75}, stop={"max_epochs": 50})
    sweep.run(spec, tmp_path, quiet=True)
    assert main(["info", str(tmp_path), "--json"]) == 0
    beyond = json.loads(capsys.readouterr().out)["beyond_flip"]
    slope = 0.75 * 0.25
    assert {(each["optimizer"], each["learning_rate"]): each["flip"] for each in beyond} == {
        ("gd", 6.0): pytest.approx(2 / slope), ("gd", 12.0): pytest.approx(2 / slope),
        ("gd", 30.0): pytest.approx(2 / slope), ("momentum", 12.0): pytest.approx(3.8 / slope),
        ("momentum", 30.0): pytest.approx(3.8 / slope),
        **{("nesterov", rate): pytest.approx(3.8 / 2.8 / slope) for rate in (6.0, 12.0, 30.0)},
    }  # fmt: skip


def test_figures_show_all_optimisers(result, tmp_path):
    for figure in ("error", "slowdown", "heatmap", "ratio", "distribution"):
        drawn = result.plot(figure)
        texts = [
            text
            for ax in drawn.axes
            for text in (
                ax.get_title(),
                ax.get_ylabel(),
                *(t.get_text() for t in ax.get_xticklabels()),
            )
        ]
        shown = " ".join(texts)
        for name in ("gradient descent", "momentum", "Nesterov", "Adam"):
            assert name in shown, figure
        assert shown.index("momentum") < shown.index("Nesterov") < shown.index("Adam")
    one_rate = result.plot("error", where={"learning_rate": 0.15})
    labels = [tick.get_text() for tick in one_rate.axes[0].get_xticklabels()]
    assert labels == ["gradient\ndescent", "momentum", "Nesterov", "Adam"]
    curve = result.plot("curves", where={"learning_rate": 0.15})
    rows = dict.fromkeys(ax.get_ylabel().partition("\n")[0] for ax in curve.axes)
    assert [name for name in rows if name] == ["gradient descent", "momentum", "Nesterov", "Adam"]
    assert "gradient descent" in result.plot("theory").get_suptitle()
    with pytest.raises(sweep.SpecError, match="this result has optimizer = adam"):
        result.plot("theory", where={"optimizer": "adam"})


def test_the_orbit_is_of_gradient_descent_and_says_so(capsys, tmp_path):
    kwargs = {**ARTICLE, "cost": "quadratic", "max_epochs": 100}
    for optimizer in OTHERS:
        with pytest.raises(
            sweep.SpecError, match=f"it is of gradient descent; the optimizer is {optimizer}"
        ):
            sweep.train([1.0], [1.0], method="orbit", optimizer=optimizer, **kwargs)
        with pytest.raises(sweep.SpecError, match="follow = 9: goes with gradient descent alone"):
            sweep.train([1.0], [1.0], follow=9, optimizer=optimizer, **kwargs)
    grid = Grid(Spec(axes={**AXES, "w": {"start": 0.0, "stop": 4.0, "num": 2000},
                           "optimizer": ["gd", "adam"]}))  # fmt: skip
    lookup, stop = orbit_lookup(grid), np.zeros(1, np.uint8)
    for segment in grid.segments(range(grid.size)):
        orbit = lookup(segment, stop)
        assert (orbit is None) == (grid.values["optimizer"][segment.outer["optimizer"]] == "adam")
    text = str(grid.spec.estimate(threads=1))
    assert "it is of gradient descent; the optimizer is adam" in text


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"axes": {"optimizer": ["adm"]}}, r"axes.optimizer = 'adm': must be one of gd, momentum, "
         r"nesterov, adam \(did you mean 'adam'\?\)"),
        ({"axes": {"optimizer": [1.0]}}, r"axes.optimizer = \[1.0\]: must be names of optimisers"),
        ({"axes": {"optimizer": ["gd", "gd"]}}, "axes.optimizer = .*: holds a value twice"),
        ({"optimizer": {"beta": 0.5}}, "optimizer.beta: goes with momentum and nesterov; "
         "axes.optimizer has gd"),
        ({"axes": {"optimizer": ["adam"]}, "optimizer": {"beta": 0.5}}, "optimizer.beta: goes with "
         "momentum and nesterov; axes.optimizer has adam"),
        ({"axes": {"optimizer": FOUR}, "optimizer": {"betta": 0.5}}, "optimizer.betta: is no "
         r"optimiser's parameter; axes.optimizer has .* \(did you mean 'beta'\?\)"),
        ({"axes": {"optimizer": FOUR}, "optimizer": {"beta": 1.0}}, "optimizer.beta = 1.0: must be "
         "at least 0 and below 1"),
        ({"axes": {"optimizer": FOUR}, "optimizer": {"beta2": -0.1}}, "optimizer.beta2 = -0.1: "),
        ({"axes": {"optimizer": FOUR}, "optimizer": {"epsilon": 0.0}}, "optimizer.epsilon = 0.0: "
         "must be greater than 0"),
        ({"axes": {"optimizer": FOUR}, "optimizer": {"beta": "x"}}, "optimizer.beta = 'x': must be "
         "a number"),
        ({"optimizer": 3}, "optimizer = 3: must be a table"),
        ({"axes": {"optimizer": ["gd", "adam"]}, "follow": {"epochs": 9}}, "follow = 9: "),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(fields, message):
    axes = {**AXES, **fields.get("axes", {})}
    with pytest.raises(sweep.SpecError, match=message) as caught:
        Spec(**{**fields, "axes": axes})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("adm", {}, r"optimizer = 'adm': must be one of .* \(did you mean 'adam'\?\)"),
        ("gd", {"beta": 0.5}, "optimizer.beta: is no parameter of gd: it has none"),
        ("adam", {"beta": 0.5}, "optimizer.beta: is no parameter of adam: beta1, beta2, epsilon"),
        ("momentum", {"beta": 1}, "optimizer.beta = 1: must be at least 0 and below 1"),
        ("momentum", {"beta": True}, "optimizer.beta = True: must be"),
        ("momentum", {"beta": float("nan")}, "optimizer.beta = nan: must be"),
        ("adam", {"epsilon": -1e-8}, "optimizer.epsilon = -1e-08: must be greater than 0"),
        ("adam", {"epsilon": float("inf")}, "optimizer.epsilon = inf: must be greater than 0"),
    ],
)
def test_an_optimiser_is_checked(name, parameters, message):
    with pytest.raises(sweep.SpecError, match=message):
        Optimizer(name, **parameters)


def test_an_optimiser_is_its_name_and_values():
    adam = Optimizer("adam", beta2=0.99)
    assert repr(adam) == "Optimizer('adam', beta2=0.99)"
    assert adam == Optimizer("adam", beta1=0.9, beta2=0.99)
    assert hash(adam) == hash(Optimizer("adam", beta2=0.99))
    assert adam != Optimizer("adam")
    assert adam.given == {"beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8}


def test_the_explorer_shows_the_first_optimiser():
    spec = Spec(axes={**AXES, "optimizer": ["momentum", "adam"]}, optimizer={"beta": 0.5})
    known = about(spec)
    assert known["fixed"] == {"optimizer": "momentum"}
    assert known["starts"] == []
    query = {"cost": "quadratic", "learning_rate": 0.15, "tolerance": 0.1, "max_epochs": 1000,
             "activation": "sigmoid", "x": 1.0, "y": 0.0, "w": 2.0, "b": 2.0}  # fmt: skip
    stop = np.zeros(1, np.uint8)
    epochs = cells(spec, Cells(**query, cell=1.0, columns=1, rows=1), stop)
    assert epochs.tolist() == [[234]]
    curve = curves(spec, Point(**query), stop)
    assert curve["epochs"] == 234
    assert "map" not in curve
    view = View(**query, cell=0.5, columns=2, rows=2, other_cost="quadratic",
                other_learning_rate=0.15)  # fmt: skip
    made = spec_of(spec, view)
    assert made.axes["optimizer"] == ["momentum"]
    assert made.optimizer == {"beta": 0.5}
