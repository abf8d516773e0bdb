"""Samples from files and tables: what is read, what is stored, what is refused."""

import pickle

import duckdb
import numpy as np
import pandas
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import sweep
from sweep.cli import main
from sweep.errors import SpecError
from sweep.experiment.grid import Grid
from sweep.experiment.samples import decoded_samples, encoded_samples
from sweep.running.cluster import _job, _serialized
from sweep.store.folder import open_folder

AXES = {"w1": [-1.0, 0.5], "w2": [0.0, 2.0], "b": [0.1, 3.0], "learning_rate": [0.5]}
STOP = {"tolerance": 0.35, "max_epochs": 500}


def table(rows=60):
    rng = np.random.default_rng(1)
    radius, texture = rng.normal(14, 3, rows), rng.normal(19, 4, rows)
    ill = radius + rng.normal(0, 2, rows) > 15
    columns = {
        "radius": radius,
        "texture": texture,
        "diagnosis": np.where(ill, "M", "B"),
        "ill": ill,
    }
    return pandas.DataFrame(columns | {"count": np.arange(rows), "unit": "mm"})


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "samples.csv"
    table().to_csv(path, index=False)
    return path


def spec(task, **more):
    return sweep.Spec(axes=AXES, stop=STOP, task=task, **more)


def from_csv(path, **task):
    return spec({"data": str(path), "x": ["radius", "texture"], "y": "ill"} | task)


@pytest.mark.parametrize("kind", ["csv", "parquet", "pandas", "polars", "arrow", "numpy"])
def test_the_same_samples_are_the_same_sweep_wherever_they_come_from(csv, tmp_path, kind):
    columns = table()
    x, y = columns[["radius", "texture"]], columns["ill"]
    columns.to_parquet(tmp_path / "samples.parquet")
    made = {
        "csv": lambda: from_csv(csv),
        "parquet": lambda: from_csv(tmp_path / "samples.parquet"),
        "pandas": lambda: spec({"x": x, "y": y}),
        "polars": lambda: spec({"x": polars.DataFrame(x), "y": polars.Series("ill", y)}),
        "arrow": lambda: spec({"x": pa.table(x), "y": pa.table({"ill": y})}),
        "numpy": lambda: spec({"x": np.repeat(x.to_numpy(), 9, axis=0), "y": np.repeat(y, 9)}),
    }[kind]()
    samples = made.task.samples
    if kind == "numpy":  # so many that they are no list in the spec's text
        assert samples.x.shape == (540, 2)
        assert made.task.x == ["x1", "x2"]
        assert len(made.toml()) < 1000
        return
    assert made.id == from_csv(csv).id
    assert made.task.x == ["radius", "texture"]
    np.testing.assert_array_equal(samples.x, x)
    np.testing.assert_array_equal(samples.y, y.astype(float))


def test_training_is_that_of_the_numbers(csv, tmp_path):
    made = from_csv(csv, standardize=True)
    numbers = table()[["radius", "texture"]].to_numpy()
    x = (numbers - numbers.mean(axis=0)) / numbers.std(axis=0)
    np.testing.assert_allclose(made.task.samples.x, x, rtol=1e-12)
    np.testing.assert_allclose(made.task.samples.means, numbers.mean(axis=0))
    np.testing.assert_allclose(made.task.samples.deviations, numbers.std(axis=0))
    frame = sweep.run(made, tmp_path / "out").open().load()
    assert (frame["status"] == "converged").any()
    w = frame[["w0_1", "w0_2"]].to_numpy()
    for cost, part in frame.groupby("cost", observed=True):
        trained = sweep.train(
            w[part.index], part["b0"].to_numpy(), learning_rate=0.5, cost=str(cost),
            x=made.task.samples.x, y=made.task.samples.y, **STOP,
        )  # fmt: skip
        np.testing.assert_array_equal(trained.epochs, part["epochs"])


def test_a_result_is_complete_without_the_file(csv, tmp_path, capsys):
    made, out = from_csv(csv, standardize=True), tmp_path / "out"
    sweep.run(made, out)
    csv.unlink()
    result = sweep.open(out)
    assert result.spec == made
    assert result.spec.id == made.id
    assert result.spec.task.samples == made.task.samples
    np.testing.assert_array_equal(result.spec.task.samples.means, made.task.samples.means)
    assert result.check() == []
    next(out.glob("part-*")).unlink()
    assert main(["run", str(out)]) == 0
    assert main(["info", str(out)]) == 0
    assert "60 samples × 2 inputs from samples.csv: radius, texture, standardised; target ill" in (
        capsys.readouterr().out
    )
    assert sweep.open(out).check() == []
    counts = [len(read(out)) for read in (pandas.read_parquet, polars.read_parquet, pq.read_table)]
    counts += duckdb.sql(f"SELECT count(*) FROM '{out}/*.parquet'").fetchall()[0]
    assert counts == [16, 16, 16, 16]


def test_another_file_is_another_sweep(csv, tmp_path):
    sweep.run(from_csv(csv), tmp_path / "out")
    fixed = from_csv(csv).toml()
    moved = tmp_path / "moved.csv"
    moved.write_bytes(csv.read_bytes())
    assert sweep.run(from_csv(moved), tmp_path / "out").computed == 0  # the place does not matter
    table(61).to_csv(csv, index=False)
    with pytest.raises(SpecError, match=r"holds another sweep: task\.sha256 is '\w+"):
        sweep.run(from_csv(csv), tmp_path / "out")
    with pytest.raises(SpecError, match=r"task\.sha256 = \w{16}…: the samples are others"):
        sweep.Spec.parse(fixed)


def test_a_worker_has_the_samples_from_the_folder(csv, tmp_path):
    made = from_csv(csv)
    sweep.run(made, tmp_path / "out")
    csv.unlink()
    job = _job(_serialized(open_folder(tmp_path / "out"), Grid(made)), "worker")
    assert job.grid.spec == made
    assert pickle.loads(pickle.dumps(made)) == made


def test_a_path_is_relative_to_the_spec_and_set_overrules_it(csv, tmp_path, capsys):
    text = from_csv(csv).toml().replace(str(csv), csv.name)
    text = "\n".join(line for line in text.splitlines() if not line.startswith("sha256"))
    (tmp_path / "spec.toml").write_text(text)
    assert sweep.Spec.load(tmp_path / "spec.toml").id == from_csv(csv).id
    sweep.run(from_csv(csv), tmp_path / "out")
    table(61).to_csv(csv, index=False)
    other = ["--set", f'task.data="{csv}"', "-o", str(tmp_path / "other")]
    assert main(["run", str(tmp_path / "out"), *other]) == 0
    assert len(sweep.open(tmp_path / "other").spec.task.samples) == 61
    assert "neurons" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("y", "activation", "expected"),
    [
        ([True, False], "sigmoid", [1, 0]),
        ([True, False], "tanh", [1, -1]),
        ([1, 0], "sigmoid", [1, 0]),
        ([1, -1], "tanh", [1, -1]),
        ([0.25, 0.5], "sigmoid", [0.25, 0.5]),
        (["M", "B"], "sigmoid", [1, 0]),
        (["M", "B"], "softsign", [1, -1]),
        (pandas.Categorical(["M", "B"]), "sigmoid", [1, 0]),
    ],
)
def test_targets(y, activation, expected):
    positive = {"positive": "M"} if "M" in list(y) else {}
    task = sweep.Task(x=pandas.DataFrame({"a": [1.0, 2.0]}), y=y, activation=activation, **positive)
    assert task.samples.y.tolist() == expected
    assert task.samples.y.dtype == np.float64


def test_by_default_all_columns_of_numbers_are_inputs(csv):
    axes = {"w1": [0.0], "w2": [0.0], "w3": [0.0], "b": [0.0], "learning_rate": [0.1]}
    made = sweep.Spec(axes=axes, task={"data": str(csv), "y": "ill"})
    assert made.task.x == ["radius", "texture", "count"]
    one = sweep.Spec(
        axes={"w": [0.0], "b": [0.0], "learning_rate": [0.1]},
        task={"data": str(csv), "x": "radius", "y": "ill"},
    )
    assert one.inputs == 1


def test_encoded_samples_come_back_bit_for_bit(csv):
    samples = from_csv(csv, standardize=True).task.samples
    back = decoded_samples(bytes(encoded_samples(samples)))
    assert back == samples
    assert (back.names, back.target) == (samples.names, samples.target)
    np.testing.assert_array_equal(back.deviations, samples.deviations)


INVALID = {
    "no file": ({"data": "none.csv"}, r"task\.data = .*none\.csv: cannot be read: No such file"),
    "no kind": ({"data": "samples.txt"}, r"must end in \.csv or \.parquet"),
    "no column": ({"x": ["radios"]}, r"task\.x = 'radios': .* \(did you mean 'radius'"),
    "no target": ({"y": "sick"}, r"task\.y = 'sick': .* has no such column; it has radius"),
    "y in x": ({"x": ["radius", "ill"]}, r"task\.x: holds 'ill', which is y"),
    "twice": ({"x": ["radius", "radius"]}, r"holds a column twice"),
    "text": ({"x": ["radius", "unit"]}, r"column unit holds string, such as 'mm'; must hold num"),
    "constant": ({"x": ["radius", "same"], "standardize": True}, r"column same is 2 in every row"),
    "missing": ({"x": ["radius", "gap"]}, r"column gap is missing in row 3; every value must be"),
    "infinite": ({"x": ["radius", "far"]}, r"column far is inf in row 4"),
    "range": (
        {"y": "count"},
        r"column count is 2 in row 3; must lie in \[0, 1\], the range of sig",
    ),
    "names": ({"y": "diagnosis"}, r"task\.positive missing: must say which name .* is 1: 'B', 'M'"),
    "class": ({"y": "diagnosis", "positive": "X"}, r"task\.positive = 'X': must say which name"),
    "three": ({"y": "three", "positive": "a"}, r"column three holds 3 names; must be two"),
    "no names": ({"positive": "M"}, r"task\.positive = 'M': column ill holds bool"),
    "gap in y": ({"y": "gap"}, r"column gap is missing in row 3"),
    "numbers": ({"x": [1.0, 2.0]}, r"task\.data: x and y must then name its columns"),
    "secret": ({"data": "s3://k:s@bucket/a.csv"}, r"task\.data: a URI must hold no credentials"),
    "key": ({"data": "s3://b/a.csv?secret_key=s"}, r"task\.data: a URI must hold no credentials"),
    "inputs": ({"x": ["radius"]}, r"axes\.w1: unknown axis; known here: w, b"),
    "no data": ({"data": None}, r"task\.data: missing; it has the columns that x and y name"),
    "activation": ({"activation": "relu"}, r"task\.activation = 'relu': must be one of"),
    "kind": ({"standardize": 1}, r"task\.standardize = 1: must be true or false"),
}


@pytest.mark.parametrize("name", INVALID)
def test_what_is_refused_in_one_line(name, tmp_path, monkeypatch):
    changes, message = INVALID[name]
    rows = table(12).assign(same=2.0, three=["a", "b", "c"] * 4, gap=1.0, far=1.0)
    rows.loc[2, "gap"], rows.loc[3, "far"] = np.nan, np.inf
    rows.to_csv(tmp_path / "samples.csv", index=False)
    rows.to_csv(tmp_path / "samples.txt", index=False)
    monkeypatch.chdir(tmp_path)
    task = {"data": "samples.csv", "x": ["radius", "texture"], "y": "ill"} | changes
    with pytest.raises(SpecError, match=message) as caught:
        spec(task)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"cannot be read: Empty CSV file"),
        (b"radius,texture,ill\n", r"has no rows; at least one sample is needed"),
        (b"radius,radius,ill\n1,2,0\n", r"has two columns radius"),
        (b"radius,texture,ill\n1,2\n", r"cannot be read: CSV parse error"),
    ],
)
def test_files_without_samples(content, message, tmp_path):
    (tmp_path / "samples.csv").write_bytes(content)
    with pytest.raises(SpecError, match=message):
        from_csv(tmp_path / "samples.csv")
    (tmp_path / "samples.parquet").write_bytes(content)
    with pytest.raises(SpecError, match=r"samples\.parquet: cannot be read"):
        from_csv(tmp_path / "samples.parquet")


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"y": [0.0]}, r"task\.y: 1 targets for 2 samples of x"),
        ({"y": pandas.DataFrame({"a": [0], "b": [1]})}, r"task\.y: has 2 columns; must have one"),
        ({"y": [object(), 1]}, r"task\.y = .*: must be numbers, booleans or names"),
        ({}, r"task\.y: missing; each sample needs a target"),
        (
            {"x": pa.table([[1.0], [2.0]], names=["a", "a"]), "y": [0]},
            r"task\.x: has two columns a",
        ),
        ({"x": pandas.DataFrame(), "y": []}, r"task\.x: has no columns; at least one input"),
        ({"xy": 1, "y": [0.0, 1.0]}, r"xy: unknown key"),
    ],
)
def test_tables_that_are_refused(task, message):
    with pytest.raises(SpecError, match=message):
        sweep.Task(**{"x": pandas.DataFrame({"a": [1.0, 2.0]})} | task)


@pytest.mark.parametrize("columns", [["mean radius"], ["mean radius", "mean texture"]])
def test_trained_to_the_end_it_is_the_logistic_regression_of_scikit_learn(columns):
    data = load_breast_cancer(as_frame=True)
    task = sweep.Task(x=data.data[columns], y=1 - data.target, standardize=True)
    x, y = task.samples.x, task.samples.y
    assert x.shape == (569, len(columns))
    np.testing.assert_allclose(
        x, StandardScaler().fit_transform(data.data[columns]), rtol=1e-12, atol=1e-13
    )
    model = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000).fit(x, y)
    trained = sweep.train(
        np.zeros((1, len(columns))), [0.0], learning_rate=4.0, cost="cross_entropy", x=x, y=y,
        rule="gradient", tolerance=1e-10, max_epochs=10_000,
    )  # fmt: skip
    assert trained.status[0] == sweep.Status.converged
    np.testing.assert_allclose(trained.w, model.coef_, atol=1e-6)
    np.testing.assert_allclose(trained.b, model.intercept_, atol=1e-6)
