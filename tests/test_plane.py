"""Many samples of one input looked up: epochs as in training, and only where that is proven."""

import numpy as np
import pytest

import sweep
from sweep.bench.studies.hunt_samples import compare_samples, random_samples
from sweep.kernels import orbit
from sweep.kernels.orbit import plane
from sweep.kernels.orbit.plane import coefficients, cut, jumps, lookup, stencil, tables, walking
from sweep.kernels.orbit.plane.falling import largest_curvature, rises_at
from sweep.kernels.results import empty_results
from sweep.neuron.problem import make_problem
from sweep.neuron.reference import train_one
from sweep.running import estimate

X = np.random.default_rng(0).normal(size=16)
OVERLAP = 0.3 * np.random.default_rng(1).normal(size=16)
SAMPLES = {"x": X, "y": (X + OVERLAP > 0.2) * 1.0}
KWARGS = {**SAMPLES, "tolerance": 0.15, "max_epochs": 20_000, "learning_rate": 0.15}
STOP = np.zeros(1, np.uint8)
BOX = np.array([-5.0, -5.0]), np.array([5.0, 5.0])


def problem_of(kwargs):
    return make_problem(**{k: v for k, v in kwargs.items() if k != "learning_rate"})


def grid(side, half=5.0):
    axis = np.linspace(-half, half, side)
    return [values.ravel() for values in np.meshgrid(axis, axis, indexing="ij")]


def assert_same_columns(trained, looked_up, tolerance):
    assert (trained.epochs == looked_up.epochs).all()
    assert (trained.status == looked_up.status).all()
    assert (trained.initial_error == looked_up.initial_error).all()
    for name in ("final_error", "w", "b"):
        assert getattr(looked_up, name) == pytest.approx(getattr(trained, name), rel=1e-9, abs=1e-9)
    met = looked_up.status == sweep.Status.converged
    assert (looked_up.final_error[met] <= tolerance).all()
    assert (looked_up.final_error[~met] > tolerance).all()


def count_trained(monkeypatch):
    """Return a list to which lookups add how many starts they train."""
    trained, trainer = [], lookup.trainer

    def counted(problem, dtype, **few):
        train = trainer(problem, dtype, **few)

        def train_block(out, *others):
            if problem.max_epochs:
                trained.append(len(out))
            return train(out, *others)

        return train_block

    monkeypatch.setattr(lookup, "trainer", counted)
    return trained


@pytest.mark.parametrize("seed", range(2))
def test_the_hunt_finds_no_difference(seed):
    rng, met = np.random.default_rng([20, seed]), 0
    while met < 5:
        kwargs, box = random_samples(rng, 300)
        found = compare_samples(kwargs, box, 4000, rng)
        if found is not None:
            assert (found.epochs_differ, found.status_differ) == (0, 0), kwargs
            assert found.error_apart < 1e-9, kwargs
            assert found.weights_apart < 1e-9, kwargs
            met += 1


def test_the_hunt_finds_differences_where_nothing_is_left_to_training(monkeypatch):
    build = plane.build_plane

    def without_bounds(*args):
        made = build(*args)
        cut = made.cut._replace(bound=0.0 * made.cut.bound)
        return made._replace(bound=0.0 * made.bound, cut=cut)

    monkeypatch.setattr("sweep.bench.studies.hunt_samples.build_plane", without_bounds)
    kwargs = {**KWARGS, "cost": "quadratic", "max_epochs": 5000}
    rng = np.random.default_rng(5)
    assert compare_samples(kwargs, np.array(BOX), 20_000, rng).epochs_differ > 0


@pytest.mark.parametrize(
    ("cost", "tolerance", "max_epochs"),
    [("cross_entropy", 0.15, 20_000), ("quadratic", 0.2, 1500), ("quadratic", 1e-3, 300)],
)
def test_a_grid_has_the_same_columns(cost, tolerance, max_epochs, monkeypatch):
    trained_starts = count_trained(monkeypatch)
    monkeypatch.setattr(plane, "LEAST_STARTS", 1e-9)  # squares as for many starts
    kwargs = {**KWARGS, "cost": cost, "tolerance": tolerance, "max_epochs": max_epochs}
    w, b = grid(150)
    trained, looked_up = (sweep.train(w, b, **kwargs, method=m) for m in ("train", "orbit"))
    assert sum(trained_starts) < 0.1 * len(b)
    assert_same_columns(trained, looked_up, tolerance)


@pytest.mark.parametrize(
    ("cost", "tolerance", "max_epochs"),
    [("cross_entropy", 0.15, 20_000), ("quadratic", 0.15, 3000), ("quadratic", 1e-3, 300)],
)
def test_starts_on_no_square_are_walked(cost, tolerance, max_epochs, monkeypatch):
    trained_starts = count_trained(monkeypatch)
    kwargs = {**KWARGS, "cost": cost, "tolerance": tolerance, "max_epochs": max_epochs}
    w, b = grid(70)  # too few for squares of squares
    trained, walked = (sweep.train(w, b, **kwargs, method=m) for m in ("train", "orbit"))
    assert sum(trained_starts) < 0.005 * len(b)
    assert_same_columns(trained, walked, tolerance)


def test_starts_beyond_the_roots_are_trained(monkeypatch):
    kwargs = {**KWARGS, "cost": "cross_entropy", "max_epochs": 300}
    problem, w, b = problem_of(kwargs), np.array([-80.0, -60.0, 2.0, -2.0]), np.full(4, 1.0)
    made = plane.build_plane(problem, 0.15, *BOX, 10**4, 1, STOP)
    trained_starts, out = count_trained(monkeypatch), empty_results(4, 1)
    lookup.lookup_plane_into(out, w[:, None], b, 0.15, problem, STOP, made)
    trained = sweep.train(w, b, **kwargs, method="train")
    assert sum(trained_starts) == 2
    assert (trained.epochs == out.epochs).all()
    assert out.w[:, 0] == pytest.approx(trained.w, rel=1e-9, abs=1e-9)


def test_starts_that_are_surely_cut_off_are_walked(monkeypatch):
    walked, after_epochs = [], lookup.after_epochs

    def counted(task, epochs, points, jumps):
        walked.append(points.shape[1])
        return after_epochs(task, epochs, points, jumps)

    monkeypatch.setattr(cut, "MOST_POINTS", 0)
    monkeypatch.setattr(lookup, "after_epochs", counted)
    kwargs = {**KWARGS, "cost": "quadratic", "max_epochs": 4000}
    w, b = grid(150)
    trained, looked_up = (sweep.train(w, b, **kwargs, method=m) for m in ("train", "orbit"))
    assert sum(walked) > 1000
    assert_same_columns(trained, looked_up, kwargs["tolerance"])


def test_few_starts_that_are_cut_off_get_no_tables():
    problem = problem_of({**KWARGS, "cost": "quadratic", "max_epochs": 1500})
    assert plane.plane_obstacle(problem, 0.15, *BOX) is None
    few, many = (plane.build_plane(problem, 0.15, *BOX, n, 1, STOP) for n in (10**4, 10**8))
    assert len(few.cut.bound) == 0
    assert len(many.cut.bound) > 100
    assert 0 < len(few.known.squares) < 0.5 * len(many.known.squares)


@pytest.mark.parametrize("fixed", [0, 1])
def test_one_weight_and_many_biases_are_looked_up_as_a_grid_is(fixed, monkeypatch):
    trained_starts = count_trained(monkeypatch)
    starts = np.random.default_rng(6).uniform(-5, 5, (2, 3000))
    starts[fixed] = 2.0
    kwargs = {**KWARGS, "cost": "quadratic"}
    trained, looked_up = (sweep.train(*starts, **kwargs, method=m) for m in ("train", "orbit"))
    assert sum(trained_starts) < 0.1 * starts.shape[1]
    assert (trained.epochs == looked_up.epochs).all()


def test_a_small_box_needs_few_squares():
    problem = problem_of({**KWARGS, "cost": "quadratic"})
    small, large = (
        plane.build_plane(problem, 0.15, np.full(2, -half), np.full(2, half), 10**6, 1, STOP)
        for half in (0.1, 5.0)
    )
    assert 0 < len(small.known.squares) < 0.25 * len(large.known.squares)


def test_the_obvious_loop_agrees():
    kwargs = {**KWARGS, "cost": "cross_entropy"}
    w, b = np.random.default_rng(3).uniform(-5, 5, (2, 10))
    looked_up = sweep.train(w, b, **kwargs, method="orbit")
    for k in range(10):
        loop = train_one([w[k]], b[k], 0.15, problem_of(kwargs))
        assert looked_up.epochs[k] == loop.epochs
        assert looked_up.final_error[k] == pytest.approx(loop.final_error, rel=1e-9)


def test_results_depend_on_neither_threads_nor_shards(tmp_path):
    kwargs = {**KWARGS, "cost": "cross_entropy", "max_epochs": 500, "method": "orbit"}
    w, b = grid(100)
    one, two = (sweep.train(w, b, **kwargs, threads=threads) for threads in (1, 2))
    for name in ("epochs", "final_error", "w", "b"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes()
    axes = {"w": {"start": -5, "stop": 5, "num": 100}, "b": {"start": -5, "stop": 5, "num": 100},
            "learning_rate": [0.15], "cost": ["cross_entropy"]}  # fmt: skip
    task = {name: values.tolist() for name, values in SAMPLES.items()}
    spec = sweep.Spec(
        task=task, axes=axes, stop={"tolerance": 0.15, "max_epochs": 500}, method="orbit",
        part_rows=3000,
    )  # fmt: skip
    assert sweep.run(spec, tmp_path / "whole").method == "orbit"
    for shard in ((2, 2), (1, 2)):
        sweep.run(spec, tmp_path / "shards", shard=shard, threads=1)
    whole, shards = (sweep.load(tmp_path / name) for name in ("whole", "shards"))
    assert whole.equals(shards)
    assert (whole.epochs.to_numpy() == one.epochs).all()


def test_time_falls_by_one_in_an_epoch():
    problem = problem_of({**KWARGS, "cost": "cross_entropy"})
    theta = np.array(grid(20))
    before = stencil.crossings(problem, 0.15, theta, 5000, 1, STOP)
    after = sweep.train(*theta, **{**KWARGS, "cost": "cross_entropy", "max_epochs": 1})
    above = after.status == sweep.Status.max_epochs
    moved = np.array([after.w, after.b])[:, above]
    later = stencil.crossings(problem, 0.15, moved, 5000, 1, STOP)
    assert before.epochs[above] - later.epochs == pytest.approx(1.0, abs=1e-9)
    assert before.at[:, above] == pytest.approx(later.at, abs=1e-12)
    assert (before.fall > 0.0).all()


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_an_epoch_is_inverted(activation):
    y = SAMPLES["y"] if activation == "sigmoid" else 2.0 * SAMPLES["y"] - 1.0
    kwargs = {**KWARGS, "y": y, "activation": activation, "cost": "quadratic"}
    problem = problem_of(kwargs)
    rate = 0.9 / largest_curvature(problem)
    theta = np.random.default_rng(2).uniform(-4, 4, (2, 50))
    states = stencil.states_around(problem, rate, theta, 1, STOP)
    walked = {**kwargs, "learning_rate": rate, "tolerance": 1e-300, "max_epochs": 1}
    for k in range(stencil.STATES - 1):
        next_state = sweep.train(*states[k, :2], **walked)
        found = np.array([next_state.w, next_state.b])
        assert states[k + 1, :2] == pytest.approx(found, abs=1e-12)


@pytest.mark.parametrize("seed", range(2))
def test_where_falling_is_proven_no_error_rises_through_the_tolerance(seed):
    rng, proven = np.random.default_rng([21, seed]), 0
    while proven < 8:
        kwargs, box = random_samples(rng, 1e3)
        problem, rate = problem_of(kwargs), kwargs["learning_rate"]
        if rises_at(problem, rate, *box, STOP) is not None:
            continue
        w, b = (
            values.ravel() for values in np.meshgrid(*(np.linspace(*ends, 300) for ends in box.T))
        )
        one = sweep.train(w, b, **{**kwargs, "max_epochs": 1, "tolerance": 1e-300})
        assert not (
            (one.initial_error <= problem.tolerance) & (one.final_error > problem.tolerance)
        ).any()
        proven += 1


def test_curvature_is_that_of_the_cost():
    problem = problem_of({**KWARGS, "cost": "cross_entropy"})
    features = np.column_stack([X, np.ones(16)])
    assert largest_curvature(problem) == pytest.approx(
        np.linalg.eigvalsh(features.T @ features / 16).max() / 4, rel=0.15
    )
    assert largest_curvature(problem) >= np.linalg.eigvalsh(features.T @ features / 16).max() / 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 10.0}, r"the map folds: learning_rate = 10 must be below"),
        ({"x": np.ones((16, 2))}, "needs one input; there are 2"),
        ({"follow": 10}, "does not follow"),
        ({"rule": "gradient"}, "the rule is gradient"),
        ({"dtype": "float32"}, "bounds are for float64"),
        ({"cost": sweep.Cost("own", "0.5*(a-y)**2")}, "needs a declared cost"),
        (
            {"x": [1.0, 1.0, 1.0], "y": [0.0, 0.0, 1.0], "tolerance": 0.4},
            "once below tolerance = 0.4 the error is not proven to stay there, near w = ",
        ),
    ],
)
def test_orbit_by_name_says_which_condition_failed(change, message):
    kwargs = {**KWARGS, "cost": "quadratic", "method": "orbit", **change}
    inputs = 2 if np.ndim(kwargs["x"]) > 1 else 1
    with pytest.raises(sweep.SpecError, match=f"method = 'orbit': .*{message}"):
        sweep.train(np.linspace(-3, 3, 4 * inputs).reshape(4, inputs), np.ones(4), **kwargs)


def test_auto_takes_the_tables_only_where_they_pay():
    def why(starts, **change):
        problem = problem_of({**KWARGS, "cost": "quadratic", **change})
        return orbit.why_trained("auto", problem, np.array([0.15]), starts, "float64", *BOX)

    assert why(1_000_000) is None
    assert "pays from 65,536 on" in why(10_000)
    few_epochs = {"cost": "cross_entropy", "tolerance": 0.3}
    assert "would take longer" in why(100_000, **few_epochs)
    assert why(1_000_000, **few_epochs) is None
    # Where a crossing takes an epoch or two, states are too far apart to say when it is.
    assert "starts of so few epochs" in why(10**9, cost="cross_entropy", tolerance=0.6)


def test_bits_do_not_depend_on_which_starts_are_neighbours(monkeypatch):
    monkeypatch.setattr(plane, "LEAST_STARTS", 1e-9)  # squares as for many starts
    w, b = grid(150)
    order = np.random.default_rng(3).permutation(len(b))
    in_order, shuffled = (
        sweep.train(w[which], b[which], **KWARGS, cost="cross_entropy", method="orbit")
        for which in (np.arange(len(b)), order)
    )
    for name in ("epochs", "final_error", "w", "b"):
        assert getattr(in_order, name)[order].tobytes() == getattr(shuffled, name).tobytes()


def test_squares_are_found_whatever_was_found_before():
    roots = tables.lattice(np.array([-2.0, -2.0]), np.array([2.0, 2.0]), 4, 1.0)
    squares = [tables.Square(0, 0, 1), tables.Square(0, 1, 0)]
    squares += [part for half in tables.Square(0, 0, 0).children() for part in half.children()]
    rows = np.zeros((len(squares), tables.ORDERS, tables.LANES))
    table = tables.table_of(roots, squares, np.zeros((len(squares), 1)), rows)
    rng = np.random.default_rng(4)
    b = np.concatenate(
        [rng.choice([-2.5, -2.0, -1.75, -1.0, 1.0, 2.0], 300), rng.uniform(-2, 2, 300)]
    )
    w = np.repeat([-1.9, -1.3, 0.0, -3.0], 150)
    alone = [tables.find_squares(table, w[[k]], b[[k]])[0] for k in range(len(b))]
    assert len(set(alone)) == 7
    assert (tables.find_squares(table, w, b) == alone).all()


def test_starts_that_are_not_finite_touch_no_other():
    w = np.array([4.5, np.nan, np.inf, 0.5, 3.0, -3.0])
    kwargs = {**KWARGS, "cost": "quadratic", "max_epochs": 50}
    trained, looked_up = (
        sweep.train(w, np.zeros(6), **kwargs, method=m) for m in ("train", "orbit")
    )
    assert (looked_up.status == sweep.Status.non_finite).sum() == 2
    for name in ("epochs", "status"):
        assert (getattr(trained, name) == getattr(looked_up, name)).all()
    assert looked_up.final_error == pytest.approx(trained.final_error, rel=1e-9, nan_ok=True)


def test_building_gives_up_where_hardly_any_square_is_smooth():
    kwargs = {**KWARGS, "cost": "cross_entropy", "tolerance": 0.2, "learning_rate": 1.0}
    problem = problem_of(kwargs)
    assert plane.plane_obstacle(problem, 1.0, *BOX) is None
    found, _ = plane._surveyed(problem, 1.0, *BOX)
    assert np.nanmean(found.epochs) < plane.FEWEST
    made = plane.build_plane(problem, 1.0, *BOX, 10**6, 1, STOP)
    assert len(made.known.squares) < 50  # of some 350 that were tried
    w, b = grid(40)
    trained, looked_up = (sweep.train(w, b, **kwargs, method=m) for m in ("train", "orbit"))
    assert (trained.epochs == looked_up.epochs).all()


def test_building_ends_when_it_is_stopped():
    problem = problem_of({**KWARGS, "cost": "quadratic"})
    plane.plane_obstacle(problem, 0.15, *BOX)
    made = plane.build_plane(problem, 0.15, *BOX, 10**6, 1, np.ones(1, np.uint8))
    assert not made.known.squares


@pytest.mark.parametrize("cost", ["quadratic", "cross_entropy"])
def test_points_are_walked_as_neurons_are_trained(cost):
    kwargs = {**KWARGS, "tolerance": 0.2, "cost": cost}
    problem, w_b = problem_of(kwargs), np.array(grid(25))
    found, _ = plane._surveyed(problem, 0.15, *BOX)
    task = plane._task(problem, 0.15, found.roots, 10.0, 6, 2, STOP)
    nothing, no_jumps = tables.empty_table(found.roots, 2), walking.no_jumps(found.roots)
    w, b, epochs, square = walking.walked(task, w_b, nothing, no_jumps, 70, 0.2)
    trained = sweep.train(*w_b, **{**kwargs, "max_epochs": 70})
    assert (epochs == trained.epochs).all()
    met = trained.status == sweep.Status.converged
    assert 0 < met.sum() < len(met)
    assert (square == np.where(met, walking.CROSSED, tables.NOTHING)).all()
    assert np.array([w, b]) == pytest.approx(np.array([trained.w, trained.b]), abs=1e-12)


def test_points_are_walked_in_jumps_of_many_epochs():
    kwargs = {**KWARGS, "cost": "quadratic"}
    problem, w_b = problem_of(kwargs), np.array(grid(30, 4.9))
    found, why = plane._surveyed(problem, 0.15, *BOX)
    assert why is None
    task = plane._task(problem, 0.15, found.roots, 10.0, 6, 1, STOP)
    made = jumps.build_jumps(task, found)
    assert made.epochs.min() == 64
    assert made.epochs.max() == 1024
    assert (tables.find_squares(made.table, *w_b) != tables.NOTHING).mean() > 0.3
    nothing = tables.empty_table(found.roots, 2)
    w, b, epochs, square = walking.walked(task, w_b, nothing, made, 4321, -1.0)
    trained = sweep.train(*w_b, **{**kwargs, "tolerance": 1e-300, "max_epochs": 4321})
    assert np.array([w, b]) == pytest.approx(np.array([trained.w, trained.b]), abs=1e-11)
    assert (epochs == 4321).all()
    assert (square == tables.NOTHING).all()
    # No jump leads past the tolerance.
    _, _, epochs, square = walking.walked(task, w_b, nothing, made, 20_000, 0.15)
    trained = sweep.train(*w_b, **kwargs)
    assert (epochs == trained.epochs).all()
    assert ((square == walking.CROSSED) == (trained.status == sweep.Status.converged)).all()


def test_coefficients_keep_the_precision_of_the_values():
    def smooth(u, v):
        return np.exp(0.8 * u - 0.5 * v) + u * v

    nodes = np.meshgrid(tables.NODES, tables.NODES, indexing="ij")
    made = coefficients.coefficients(smooth(*nodes)[None, None])[0, 0]
    u, v = np.random.default_rng(4).uniform(-1, 1, (2, 1000))
    found = np.polynomial.polynomial.polyval2d(u, v, made[::-1, ::-1])
    assert found == pytest.approx(smooth(u, v), abs=1e-14)


def test_an_estimate_builds_no_tables(monkeypatch):
    def refuse(*arguments):
        raise AssertionError("it takes as long as training 100,000 starts")

    monkeypatch.setattr(estimate, "build_orbit", refuse)
    span = {"start": -5.0, "stop": 5.0, "num": 700}
    task = {"x": X.tolist(), "y": SAMPLES["y"].tolist()}
    spec = sweep.Spec(axes={"w": span, "b": span, "learning_rate": [0.15]}, task=task,
                      stop={"tolerance": 0.15, "max_epochs": 20_000})  # fmt: skip
    found = spec.estimate(threads=1)
    assert [method.name for method in found.methods] == ["orbit"]
    trained = sweep.Spec(**{**spec.fields(), "method": "train"}).estimate(threads=1)
    assert found.seconds < trained.seconds
