"""The orbit against training: the same epochs in every cell, and only where that is proven."""

import numpy as np
import pytest

import sweep
from sweep.bench.studies.hunt import compare, random_settings, random_starts
from sweep.kernels import block, orbit, profile
from sweep.kernels.orbit import staircase
from sweep.kernels.orbit.applicability import obstacle
from sweep.neuron.activations import ACTIVATIONS
from sweep.neuron.arithmetic import exp_ratio
from sweep.neuron.costs import COSTS, fused
from sweep.neuron.problem import make_problem

SMOOTH = [(cost, act) for cost in COSTS for act in COSTS[cost].pairs if ACTIVATIONS[act].pole > 0]
ARTICLE = {"learning_rate": 0.15, "x": 1.0, "y": 0.0, "tolerance": 0.1, "max_epochs": 2000}


@pytest.mark.parametrize("seed", range(6))
def test_the_hunt_finds_no_difference(seed):
    rng = np.random.default_rng([17, seed])
    met = 0
    while met < 15:
        kwargs = random_settings(rng, 2e3)
        if kwargs is not None:
            found = compare(kwargs, random_starts(rng, kwargs, 4000), rng)
            assert (found.epochs_differ, found.status_differ) == (0, 0), kwargs
            assert found.error_apart < 1e-9, kwargs
            assert found.weights_apart < 1e-9, kwargs
            met += 1


def test_followed_neurons_are_looked_up_as_they_are_walked(monkeypatch):
    walked = count_trained(monkeypatch)
    rng = np.random.default_rng(18)
    outcomes, starts = set(), 0
    while starts < 60_000:
        kwargs = random_settings(rng, 2e3)
        if kwargs is None:
            continue
        # Steps up to those at which the map folds, for only then a neuron comes to rest.
        kwargs["learning_rate"] = 10 ** rng.uniform(-2, 1) / ((kwargs["x"] ** 2).sum() + 1)
        problem = make_problem(**{k: v for k, v in kwargs.items() if k != "learning_rate"})
        if obstacle(problem, kwargs["learning_rate"], "float64"):
            continue
        kwargs["follow"] = int(10 ** rng.uniform(0, 3.5))
        z = np.append(random_starts(rng, kwargs, 1000), rng.normal(0, 4, 1000))
        w = rng.normal(0, 1, (len(z), kwargs["x"].shape[1]))
        z = z - w @ kwargs["x"][0]
        trained, by_orbit = (sweep.train(w, z, **kwargs, method=m) for m in ("train", "orbit"))
        for name in ("epochs", "status", "outcome", "period", "stays", "first_rise"):
            assert (getattr(trained, name) == getattr(by_orbit, name)).all(), (name, kwargs)
        for name in ("lyapunov", "lowest", "highest", "mean_output"):
            assert getattr(by_orbit, name) == pytest.approx(
                getattr(trained, name), rel=1e-9, abs=1e-12
            ), (name, kwargs)
        outcomes |= set(by_orbit.outcome.tolist())
        starts += len(z)
    assert outcomes == {sweep.Outcome.rests, sweep.Outcome.creeps}
    assert sum(walked) < 0.2 * starts  # a quarter lies within ulps of a step


@pytest.mark.parametrize("cost", ["quadratic", "cross_entropy"])
def test_a_grid_has_the_same_columns(cost):
    w, b = (a.ravel() for a in np.meshgrid(*[np.linspace(-5, 5, 201)] * 2))
    trained, by_orbit = (
        sweep.train(w, b, **{**ARTICLE, "x": 1.3}, cost=cost, method=m) for m in ("train", "orbit")
    )
    assert (trained.epochs == by_orbit.epochs).all()
    assert (trained.status == by_orbit.status).all()
    assert set(by_orbit.status.tolist()) >= {sweep.Status.converged}
    assert (trained.initial_error == by_orbit.initial_error).all()
    for name in ("final_error", "w", "b"):
        assert getattr(by_orbit, name) == pytest.approx(getattr(trained, name), rel=1e-9, abs=1e-11)
    converged = by_orbit.status == sweep.Status.converged
    assert (by_orbit.final_error[converged] <= 0.1).all()
    assert (by_orbit.final_error[~converged] > 0.1).all()


def count_trained(monkeypatch):
    """Return a list to which the orbit adds how many starts it trains."""
    trained = []

    def trainer(*kwargs):
        def train(out, w, *others):
            trained.append(len(w))
            block.trainer(*kwargs)(out, w, *others)

        return train

    monkeypatch.setattr(orbit, "trainer", trainer)
    return trained


@pytest.mark.parametrize("follow", [None, 2000])
def test_nearly_all_starts_are_looked_up_and_not_trained(monkeypatch, follow):
    # The guarantee would hold too if everything were trained; it must not come to that.
    trained = count_trained(monkeypatch)
    kwargs = {"x": 1.3, "y": 0.0, "cost": "quadratic", "tolerance": 0.1, "max_epochs": 20_000}
    on_steps = staircase.steps(make_problem(**kwargs), 0.15, 1.0, 20_000)[100::100]
    b = np.append(np.linspace(-2, 11.5, 65536), on_steps)
    by_orbit = sweep.train(
        np.zeros_like(b), b, **kwargs, learning_rate=0.15, method="orbit", follow=follow
    )
    assert set(by_orbit.status.tolist()) == {sweep.Status.converged, sweep.Status.max_epochs}
    assert len(on_steps) <= sum(trained) < len(on_steps) + 0.001 * len(b)


@pytest.mark.parametrize("follow", [None, 300])
def test_a_start_s_result_does_not_depend_on_its_company(follow):
    w = np.linspace(-3, 9, 4001)
    kwargs = {**ARTICLE, "y": 0.1, "cost": "quadratic", "method": "orbit", "follow": follow}
    all_, some = sweep.train(w, w, **kwargs), sweep.train(w[:3000:7], w[:3000:7], **kwargs)
    assert all_[:3000:7] == some
    assert sweep.train(w[::-1], w[::-1], **kwargs, threads=3)[::-1] == all_


@pytest.mark.parametrize(("cost", "activation"), SMOOTH)
def test_no_pair_bends_more_than_the_condition_allows_for(cost, activation):
    act, pair = ACTIVATIONS[activation], fused(cost, activation)
    z = np.linspace(-20, 20, 20_001)
    for y in np.linspace(act.low, (act.low + act.high) / 2, 5):
        steep = []
        for v in z.tolist():
            residual, slope = act.forward(v, y, exp_ratio)
            steep.append(
                pair.ddelta_dz(residual, slope, act.second_derivative(residual + y, slope))
            )
        problem = make_problem(
            x=1.0, y=y, cost=cost, activation=activation, tolerance=0.1, max_epochs=1
        )
        slopes = profile.profile(problem)[1]
        largest = abs(np.diff(steep)).max() / (z[1] - z[0])
        assert largest < profile.second_derivative_bound(slopes)
        assert largest < profile.MARGIN * abs(np.diff(slopes)).max() / profile.STRIDE


@pytest.mark.parametrize(("cost", "activation"), SMOOTH)
def test_delta_slope_is_the_derivative_of_delta(cost, activation):
    act, pair = ACTIVATIONS[activation], fused(cost, activation)
    for y in (act.low, act.low + 0.3 * (act.high - act.low)):
        for z in np.linspace(-8, 8, 33).tolist():
            residual, slope = act.forward(z, y, exp_ratio)
            h = 1e-5
            ahead, behind = (
                pair.delta(*act.forward(z + sign * h, y, exp_ratio)) for sign in (1, -1)
            )
            steep = pair.ddelta_dz(residual, slope, act.second_derivative(residual + y, slope))
            assert steep == pytest.approx((ahead - behind) / (2 * h), rel=1e-6, abs=1e-9)


def test_auto_takes_the_orbit_only_where_it_pays_and_holds():
    def chosen(starts=50_000, dtype="float64", rates=(0.1,), **change):
        kwargs = {"x": 1.0, "y": 0.0, "cost": "quadratic", "tolerance": 0.1, "max_epochs": 9}
        return orbit.choose_orbit(
            "auto", make_problem(**{**kwargs, **change}), np.array(rates), starts, dtype
        )

    assert chosen()
    assert not chosen(starts=10_000)
    assert not chosen(follow=9)
    assert chosen(follow=9, starts=70_000)
    assert not chosen(dtype="float32")
    assert not chosen(rates=(0.1, 0.2))
    assert not chosen(rates=(50.0,))
    assert not chosen(x=[1.0, 2.0], y=[0.0, 1.0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dtype": "float32"}, "bounds are for float64"),
        ({"learning_rate": [0.1, 0.2]}, "needs one learning rate"),
        ({"learning_rate": 10.0}, r"the map folds: .* = 20 must be below"),
    ],
)
def test_orbit_by_name_says_which_condition_failed(change, message):
    kwargs = {**ARTICLE, "cost": "quadratic", "method": "orbit", **change}
    with pytest.raises(sweep.SpecError, match=f"method = 'orbit': .*{message}"):
        sweep.train([1.0, 2.0], [1.0, 2.0], **kwargs)


@pytest.mark.parametrize("cost", ["quadratic", "cross_entropy"])
def test_far_starts_and_nan_are_trained(cost):
    far = [900.0, 5e3, -1e300, np.nan, np.inf, -np.inf, 1.0, -2.0, 40.0, 60.0]
    kwargs = {**ARTICLE, "max_epochs": 50, "cost": cost}
    trained, by_orbit = (
        sweep.train(far, np.zeros(10), **kwargs, method=m) for m in ("train", "orbit")
    )
    assert (trained.epochs == by_orbit.epochs).all()
    assert (trained.status == by_orbit.status).all()
    for name in ("final_error", "w", "b"):
        assert getattr(by_orbit, name) == pytest.approx(
            getattr(trained, name), rel=1e-9, nan_ok=True
        )


def test_a_tolerance_that_float64_does_not_resolve_is_trained():
    kwargs = {**ARTICLE, "tolerance": 1e-8, "max_epochs": 20, "cost": "quadratic"}
    z = np.linspace(-3, 3, 40_000)
    trained = sweep.train(z, z, **kwargs, method="train")
    assert (trained.final_error == sweep.train(z, z, **kwargs).final_error).all()
    with pytest.raises(
        sweep.SpecError, match="float64 does not resolve it: with tolerance = 1e-08"
    ):
        sweep.train(z, z, **kwargs, method="orbit")


def test_ten_million_epochs_take_no_more_memory_than_ten():
    kwargs = {**ARTICLE, "cost": "quadratic", "learning_rate": 0.01, "max_epochs": 10_000_000}
    z = np.array([10.0, 11.5, 12.0])  # 1.2, 5.2 and 8.3 million epochs
    trained, by_orbit = (sweep.train(0 * z, z, **kwargs, method=m) for m in ("train", "orbit"))
    assert trained.epochs.max() > 5_000_000
    assert (trained.epochs == by_orbit.epochs).all()
    assert by_orbit.final_error == pytest.approx(trained.final_error, rel=1e-9)
    problem = make_problem(x=1.0, y=0.0, cost="quadratic", tolerance=0.1, max_epochs=10_000_000)
    ends = np.array([-10.0, -10.0]), np.array([10.0, 10.0])
    stairs = orbit.build_orbit(problem, 0.01, *ends, 3).above
    assert sum(getattr(stairs, name).nbytes for name in ("edges", "pieces", "inverses")) < 2**17


def test_a_sweep_says_which_method_made_it(tmp_path):
    axes = {
        "w": {"start": -5.0, "stop": 5.0, "num": 200},
        "b": {"start": -5.0, "stop": 5.0, "num": 180},
        "learning_rate": [0.1, 40.0],
    }
    stop = {"max_epochs": 300}
    ran = sweep.run(sweep.Spec(axes=axes, stop=stop), tmp_path / "auto")
    assert ran.method == "orbit and train"
    trained = sweep.run(sweep.Spec(axes=axes, stop=stop, method="train"), tmp_path / "train")
    assert trained.method == "train"
    by_orbit, trained = (sweep.load(tmp_path / name) for name in ("auto", "train"))
    assert (by_orbit.epochs == trained.epochs).all()
    assert (by_orbit.status == trained.status).all()
    with pytest.raises(sweep.SpecError, match="the map folds"):
        sweep.run(sweep.Spec(axes=axes, method="orbit"), tmp_path / "orbit")
    assert not (tmp_path / "orbit").exists()
    sweep.run(sweep.Spec(axes=axes, stop=stop, part_rows=7_777), tmp_path / "cut")
    assert (sweep.load(tmp_path / "cut").final_error == by_orbit.final_error).all()
