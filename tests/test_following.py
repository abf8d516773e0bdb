"""What becomes of neurons after their training: against the loop, and against known numbers."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sweep
from sweep.analysis.outcomes import lyapunov_by_rate, outcome_map
from sweep.bench.studies import large_steps
from sweep.cli import main
from sweep.kernels.following import never_rises_up_to
from sweep.neuron.costs import COSTS
from sweep.neuron.following import follow_one
from sweep.neuron.problem import make_problem

PAIRS = [(cost, act) for cost in COSTS for act in COSTS[cost].pairs]
NUMBERS = ("lyapunov", "lowest", "highest", "mean_output")


def random_problem(rng, pair, steepest):
    cost, activation = pair
    # Two inputs but for one pair: a kernel of two parameters is compiled apart.
    n, d = int(rng.choice([1, 1, 2, 3, 7, 16])), int(rng.choice([1, 1, 2, 3]))
    d = d if pair == PAIRS[0] else 2
    low = 0.0 if activation == "sigmoid" else -1.0
    soft = rng.random() < 0.6
    y = rng.uniform(low, 1, n) if soft else rng.choice([low, 1.0], n)
    x = rng.normal(size=(n, d))
    kwargs = {
        "x": x,
        "y": y,
        "cost": cost,
        "activation": activation,
        "tolerance": float(rng.choice([0.3, 0.1, 0.01])),
        "max_epochs": int(rng.choice([0, 5, 100])),
        "rule": str(rng.choice(["error", "gradient"])) if pair == PAIRS[0] else "error",
        "follow": int(rng.choice([1, 2, 3, 10, 101, 300])),
    }
    rate = 10 ** rng.uniform(-1.5, steepest) / (np.mean((x**2).sum(axis=1)) + 1)
    return kwargs, rate, rng.normal(0, 2, (3, d)), rng.normal(0, 2, 3)


@pytest.mark.parametrize("pair", PAIRS)
def test_following_is_the_loop(pair):
    # Steps at which nothing is chaotic, so that rounding does not grow.
    rng = np.random.default_rng(PAIRS.index(pair))
    outcomes = set()
    for _ in range(12):
        kwargs, rate, w, b = random_problem(rng, pair, 0.3)
        got = sweep.train(w, b, learning_rate=rate, **kwargs)
        problem = make_problem(**kwargs)
        for k in range(len(b)):
            said = follow_one(w[k].tolist(), float(b[k]), rate, problem, int(got.epochs[k]))
            outcomes.add(said.outcome)
            for name in ("outcome", "period", "stays", "first_rise"):
                assert getattr(got, name)[k] == getattr(said, name), (name, kwargs, rate, k)
            for name in NUMBERS:
                assert getattr(got, name)[k] == pytest.approx(
                    getattr(said, name), rel=1e-7, abs=1e-9
                )
    assert sweep.Outcome.creeps in outcomes


@pytest.mark.parametrize(("cost", "y"), large_steps.FLIPS)
def test_flips_lie_where_they_are_known_to(cost, y):
    known, limit = large_steps.FLIPS[cost, y]
    ends = [(a + b) / 2 for a, b in zip(known, [*known[1:], limit], strict=True)]
    found = large_steps.flips(cost, y, [(0.9 * a, b) for a, b in zip(known, ends, strict=True)])
    assert found == pytest.approx(known, rel=5e-7)
    assert large_steps.chaos_from(cost, y, known[-1], 1.01 * limit) == pytest.approx(
        limit, rel=5e-6
    )


def test_the_cycle_of_kappa_12():
    got = sweep.train([0.0], [1.0], learning_rate=6.0, cost="cross_entropy", x=1.0, y=0.75,
                      tolerance=0.01, max_epochs=10_000, follow=2000)  # fmt: skip
    assert (got.outcome[0], got.period[0]) == (sweep.Outcome.cycle, 2)
    assert got.lowest[0] == pytest.approx(0.5975730701, abs=1e-10)
    assert got.highest[0] == pytest.approx(0.9024269299, abs=1e-10)
    assert got.lyapunov[0] == pytest.approx(-1.1184373, abs=1e-7)


@pytest.mark.parametrize(("kappa", "lyapunov"), [(9.0, -0.568404), (10.0, -1.434276)])
def test_a_target_of_one_half_never_leads_to_chaos(kappa, lyapunov):
    b = np.linspace(-4, 4, 64)
    kwargs = {"cost": "cross_entropy", "x": 1.0, "y": 0.5, "tolerance": 1e-9, "max_epochs": 9999}
    got = sweep.train(0 * b, b, learning_rate=kappa / 2, follow=1000, **kwargs)
    assert (got.period == 2).all()
    assert got.lyapunov == pytest.approx(lyapunov, abs=1e-6)
    z = np.log(got.highest / (1 - got.highest))
    assert 4 * z == pytest.approx(kappa * np.tanh(z / 2), rel=1e-9)
    wild = sweep.train(0 * b, b, learning_rate=500.0, follow=1000, **kwargs)
    assert not (wild.outcome == sweep.Outcome.irregular).any()


@pytest.mark.parametrize(("kappa", "percent"), large_steps.PASSAGE.items())
def test_first_passage_is_not_staying(kappa, percent):
    got = large_steps.first_passage(kappa)
    assert round(100 * float((got.status == sweep.Status.converged).mean()), 4) == percent
    assert got.stays.mean() == (1.0 if kappa == 10.6 else 0.0)
    if kappa in (17, 25):
        assert (got.outcome == sweep.Outcome.irregular).all()


def test_epochs_at_kappa_17_are_a_fractal():
    shares = large_steps.uncertain_shares(50_000)
    assert list(shares.values()) == pytest.approx(list(large_steps.UNCERTAIN.values()), abs=0.01)
    slope = np.polyfit(np.log(list(shares)), np.log(list(shares.values())), 1)[0]
    assert slope == pytest.approx(0.062, abs=0.004)


@pytest.mark.parametrize(("rate", "ends"), large_steps.MENG.items())
def test_several_samples_have_two_basins(rate, ends):
    got = large_steps.two_basins(rate)
    rests = got.outcome == sweep.Outcome.rests
    assert (int(rests.sum()), int((got.period == 2).sum())) == ends
    assert got.w[rests] == pytest.approx(0.706040426, abs=1e-9)
    if rate == 10.0:
        cycle = np.array([0.359337351, 1.611964480])
        apart = abs(got.w[got.period == 2][:, None] - cycle).min(axis=1)
        assert apart.max() < 1e-9


def test_the_time_average_is_an_identity():
    b, kappa, epochs, start = np.linspace(-4, 4, 33), 17.0, 3000, 200
    kwargs = {"cost": "cross_entropy", "x": 1.0, "y": 0.75, "learning_rate": kappa / 2}
    train = {"tolerance": 1e-300, **kwargs}
    got = sweep.train(0 * b, b, max_epochs=start, follow=epochs, **train)
    end = sweep.train(0 * b, b, max_epochs=start + epochs, **train)
    moved = (got.w + got.b) - (end.w + end.b)
    assert got.mean_output - 0.75 == pytest.approx(moved / (kappa * epochs), abs=1e-12)


@settings(max_examples=60)
@given(
    kappa=st.floats(1e-3, 1e3),
    b=st.lists(st.floats(-30, 30), min_size=1, max_size=40),
    y=st.sampled_from([0.0, 1.0]),
    cost=st.sampled_from(["quadratic", "cross_entropy"]),
)
def test_a_hard_target_with_one_sample_never_cycles(kappa, b, y, cost):
    got = sweep.train(np.zeros(len(b)), b, learning_rate=kappa / 2, cost=cost, x=1.0, y=y,
                      tolerance=0.1, max_epochs=200, follow=300)  # fmt: skip
    assert not np.isin(got.outcome, [sweep.Outcome.cycle, sweep.Outcome.irregular]).any()
    assert (got.first_rise == 0).all()


def test_what_a_rest_is_does_not_depend_on_how_flat_the_way_is():
    """A saturated start creeps, however little it moves; an unattainable tolerance rests."""
    kwargs = {"cost": "quadratic", "learning_rate": 0.15, "tolerance": 0.1, "max_epochs": 3000}
    plateau = sweep.train([0.0], [60.0], x=1.0, y=0.0, follow=100, **kwargs)
    assert plateau.outcome[0] == sweep.Outcome.creeps
    above = sweep.train([0.5], [0.1], x=[1.0, 1.0], y=[0.0, 1.0], follow=100, **kwargs)
    assert (above.status[0], above.outcome[0]) == (sweep.Status.max_epochs, sweep.Outcome.rests)
    assert above.mean_output[0] == pytest.approx(0.5)


@pytest.mark.parametrize("n", [1, 5])
def test_a_cost_that_is_proven_not_to_rise_does_not(n):
    rng = np.random.default_rng(n)
    for pair in PAIRS:
        kwargs, rate, w, b = random_problem(rng, pair, 0.0)
        kwargs |= {"x": rng.normal(size=(n, 1)), "max_epochs": 200, "follow": 1}
        kwargs["y"] = rng.choice([0.1, 0.9], n)
        problem = make_problem(**kwargs)
        rate = never_rises_up_to(problem)
        for w_, b_ in zip(w[:, :1], b, strict=True):
            assert follow_one(w_.tolist(), float(b_), rate, problem, 200).first_rise == 0
        assert 0.1 < rate * (np.mean(problem.x**2) + 1) < 100


def test_starts_that_are_not_finite_are_none():
    got = sweep.train([np.nan, 1.0], [0.0, 1.0], learning_rate=0.15, cost="quadratic", x=1.0,
                      y=0.0, tolerance=0.1, max_epochs=10, follow=5)  # fmt: skip
    assert (got.outcome[0], got.period[0], got.stays[0], got.first_rise[0]) == (-1, 0, False, 0)
    assert np.isnan([got.lyapunov[0], got.lowest[0], got.highest[0], got.mean_output[0]]).all()
    table = got.to_pandas()
    assert table.loc[0, ["outcome", "period", "first_rise"]].isna().all()
    assert (table["outcome"] == sweep.Outcome.creeps).tolist() == [False, True]
    assert isinstance(got[1:], sweep.FollowResult)
    assert got == got[:]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_following_changes_nothing_else_and_does_not_depend_on_company(dtype):
    rng = np.random.default_rng(3)
    for n in (1, 20):
        kwargs = {"x": rng.normal(size=(n, 2)), "y": rng.uniform(0, 1, n), "dtype": dtype,
                  "cost": "cross_entropy", "tolerance": 0.05, "max_epochs": 500}  # fmt: skip
        w, b = rng.normal(0, 2, (3000, 2)), rng.normal(0, 2, 3000)
        plain = sweep.train(w, b, learning_rate=7.0, **kwargs)
        got = sweep.train(w, b, learning_rate=7.0, follow=300, threads=2, **kwargs)
        for name in vars(plain):
            assert np.array_equal(getattr(plain, name), getattr(got, name))
        alone = sweep.train(w[7:40], b[7:40], learning_rate=7.0, follow=300, threads=1, **kwargs)
        assert alone == got[7:40]


@pytest.mark.parametrize("follow", [0, -1, 1.5, 2**31, True, "many"])
def test_follow_must_be_a_number_of_epochs(follow):
    with pytest.raises(sweep.SpecError, match="follow"):
        sweep.train([0.0], [0.0], learning_rate=0.1, cost="quadratic", x=1.0, y=0.0,
                    tolerance=0.1, max_epochs=1, follow=follow)  # fmt: skip
    axes = {"w": [0.0], "b": [0.0], "learning_rate": [0.1]}
    with pytest.raises(sweep.SpecError, match=r"follow.epochs"):
        sweep.Spec(axes=axes, follow={"epochs": follow})


FOLLOWED = {
    "axes": {
        "w": np.linspace(-3, 3, 9),
        "b": np.linspace(-3, 3, 8),
        "learning_rate": [4.0, 6.0, 8.5],
        "cost": ["cross_entropy"],
    },
    "task": {"y": 0.75},
    "stop": {"tolerance": 0.01, "max_epochs": 500},
    "follow": {"epochs": 600},
}


def test_a_followed_sweep_has_the_columns_and_only_then(tmp_path):
    spec = sweep.Spec(**FOLLOWED, part_rows=50)
    plain = sweep.Spec(**{name: table for name, table in FOLLOWED.items() if name != "follow"})
    assert spec.id != plain.id
    assert sweep.Spec.parse(spec.toml()).id == spec.id
    sweep.run(spec, tmp_path / "one", quiet=True)
    sweep.run(spec, tmp_path / "two", threads=1, quiet=True)
    one, two = (
        {p.name: p.read_bytes() for p in (tmp_path / k).glob("part*")} for k in ("one", "two")
    )
    assert one == two
    assert sweep.check(tmp_path / "one") == []
    result = sweep.open(tmp_path / "one")
    table = result.load()
    outcomes = table.groupby("learning_rate")["outcome"].unique()
    assert [list(each) for each in outcomes] == [["rests"], ["cycle"], ["irregular"]]
    periods = table.groupby("learning_rate")["period"].agg(["min", "max"])
    assert periods.iloc[:2].to_numpy().tolist() == [[1, 1], [2, 2]]
    assert table["period"].isna().sum() == 72
    cycles = result.load(["period"], where=[("outcome", "==", sweep.Outcome.cycle)])
    assert cycles["period"].tolist() == [2] * 72
    assert len(result.load(["stays"], where=[("stays", "==", True)])) == 72
    grid = result.grid(["outcome", "period"])
    assert grid.outcome.attrs["flag_meanings"] == "rests cycle irregular creeps"
    assert (grid.period.sel(learning_rate=8.5) == 0).all()
    with pytest.raises(sweep.SpecError, match="stays"):
        result.load(where=[("stays", "==", "yes")])


@pytest.fixture(scope="module")
def cascade(tmp_path_factory):
    """Return a result over learning rates and starts, from rest to chaos."""
    axes = {"w": np.linspace(-3, 3, 12), "b": [0.0], "learning_rate": np.linspace(4, 9, 21),
            "cost": ["cross_entropy"]}  # fmt: skip
    folder = tmp_path_factory.mktemp("cascade")
    sweep.run(sweep.Spec(**FOLLOWED | {"axes": axes}), folder, quiet=True)
    return sweep.open(folder)


def test_tables_of_outcomes_are_those_of_the_rows(cascade):
    rows = cascade.load()
    table = cascade.outcomes().set_index(["learning_rate", "outcome"])["count"]
    counted = rows.groupby(["learning_rate", "outcome"], observed=True).size()
    assert counted.to_dict() == table.to_dict()
    found = lyapunov_by_rate(cascade._rows).set_index("learning_rate")
    by_rate = rows.groupby("learning_rate")["lyapunov"]
    assert found["mean"].to_numpy() == pytest.approx(by_rate.mean().to_numpy(), rel=1e-12)
    assert found["least"].tolist() == by_rate.min().tolist()
    assert found["largest"].tolist() == by_rate.max().tolist()
    pixels = outcome_map(cascade._rows)
    merged = pixels.merge(rows, on=["learning_rate", "w0"], suffixes=("_map", ""))
    assert len(merged) == len(rows)
    assert (merged["outcome_map"] == merged["outcome"].cat.codes).all()


def test_figures_of_outcomes_show_them(cascade):
    (image,) = cascade.plot("outcome").axes[0].get_images()
    codes = cascade.grid(["outcome"]).outcome.squeeze().to_numpy().T
    assert np.array_equal(np.ma.filled(image.get_array(), -1), codes)
    legend = cascade.plot("outcome").legends[0]
    assert "on a cycle" in [text.get_text() for text in legend.get_texts()]
    lines = cascade.plot("bifurcation").axes[0].get_lines()
    assert lines[1].get_xdata()[0] == pytest.approx(16 / 3)  # κ = 2/(y(1 − y))
    x, y = lines[0].get_data()
    assert y[x == 4.0] == pytest.approx(0.75)
    assert set(y[x == 6.0].round(4)) == {0.5976, 0.9024}
    mean = lyapunov_by_rate(cascade._rows)["mean"]
    assert cascade.plot("lyapunov").axes[0].get_lines()[0].get_ydata().tolist() == mean.tolist()


def test_figures_over_the_plane_have_a_panel_each(tmp_path):
    sweep.run(sweep.Spec(**FOLLOWED), tmp_path, quiet=True)
    figure = sweep.open(tmp_path).plot("outcome")
    images = [ax.get_images()[0].get_array() for ax in figure.axes]
    assert [set(np.unique(np.ma.filled(image, -1)).tolist()) for image in images] == [{0}, {1}, {2}]


def test_a_figure_of_outcomes_says_which_line_the_spec_lacks(tmp_path, capsys):
    spec = {name: table for name, table in FOLLOWED.items() if name != "follow"}
    sweep.run(sweep.Spec(**spec), tmp_path / "plain", quiet=True)
    for figure in ("outcome", "lyapunov", "bifurcation"):
        assert main(["plot", str(tmp_path / "plain"), "--figure", figure]) == 2
        error = capsys.readouterr().err
        assert "add to the spec: [follow] epochs = 2000" in error
        assert error.count("\n") == 1


def test_info_says_what_became_of_neurons_and_what_to_do(cascade, tmp_path, capsys):
    assert main(["info", str(cascade.folders[0])]) == 0
    text = capsys.readouterr().out
    assert "cross-entropy, followed for 600 more epochs:" in text
    assert "met the tolerance and left it again" in text
    assert "unstable from a learning rate of 5.333 on" in text
    overlapping = {"x": [1.0, 1.0, -1.0, 0.5], "y": [1.0, 0.0, 0.0, 1.0]}
    axes = {"w": [0.0, 1.0], "b": [0.0], "learning_rate": [1.0]}
    sweep.run(sweep.Spec(axes=axes, task=overlapping, follow={"epochs": 100}), tmp_path, quiet=True)
    assert main(["info", str(tmp_path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["outcomes"]
    rest = sweep.open(tmp_path).load()["final_error"].mean()
    for cost in said:
        assert cost["outcomes"]["rests"]["settled"] == 1.0
    assert np.mean([c["outcomes"]["rests"]["error"] for c in said]) == pytest.approx(rest)
    assert main(["info", str(tmp_path)]) == 0
    assert "rest above the tolerance, at a mean error of" in capsys.readouterr().out
