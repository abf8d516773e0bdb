"""Starts from a file, and weights in the result."""

import hashlib

import numpy as np
import pandas as pd
import pytest

import sweep
from sweep.cli import main
from sweep.experiment.grid import Grid

AXES = {"learning_rate": [0.1, 0.5], "cost": ["quadratic"]}
STOP = {"tolerance": 0.1, "max_epochs": 500}


@pytest.fixture
def starts(tmp_path):
    table = pd.DataFrame(np.random.default_rng(0).normal(0, 3, (500, 2)), columns=["w0", "b0"])
    table.assign(name="not read").to_parquet(tmp_path / "starts.parquet")
    return table


def spec_of(tmp_path, **more):
    start = {"file": tmp_path / "starts.parquet"}
    return sweep.Spec(axes=AXES, stop=STOP, start={"file": str(start["file"])}, **more)


def test_the_starts_of_a_file_are_trained_in_its_order(tmp_path, starts, capsys):
    spec = spec_of(tmp_path, weights=True, part_rows=300)
    text = spec.toml().replace(str(tmp_path), ".")  # a path is relative to its spec
    (tmp_path / "own.toml").write_text(text)
    assert sweep.Spec.load(tmp_path / "own.toml") == spec
    assert main(["run", str(tmp_path / "own.toml"), "-o", str(tmp_path / "out"), "-q"]) == 0
    frame = sweep.load(tmp_path / "out")
    assert len(frame) == 1000
    for rate, rows in frame.groupby("learning_rate"):
        kwargs = {"learning_rate": rate, "cost": "quadratic", "x": 1.0, "y": 0.0, **STOP}
        trained = sweep.train(starts.w0, starts.b0, **kwargs)
        for name in ("epochs", "final_error", "w", "b"):
            np.testing.assert_array_equal(rows[name], getattr(trained, name))
    assert main(["info", str(tmp_path / "out")]) == 0
    assert "starts         500, from " in capsys.readouterr().out


def test_a_result_is_read_without_the_file_and_not_computed(tmp_path, starts):
    spec = spec_of(tmp_path, part_rows=500)
    sweep.run(spec, tmp_path / "out", shard=(1, 2))
    (tmp_path / "starts.parquet").rename(tmp_path / "moved.parquet")
    result = sweep.open(tmp_path / "out")
    assert result.spec.start.count == 500
    assert len(result.load()) == 500
    grid = result.grid(where=[("learning_rate", "==", 0.1), ("w0", ">", 0.0)])
    kept = starts[starts.w0 > 0]
    np.testing.assert_array_equal(grid.w0, kept.w0)
    assert len(grid.start) == len(kept)
    with pytest.raises(sweep.SweepError, match="not computed yet"):
        result.grid()
    result.plot("error")
    with pytest.raises(
        sweep.SpecError, match=r"start.file = .*starts.parquet: cannot be read: No s"
    ):
        sweep.run(result.spec, tmp_path / "out")
    moved = result.spec.start.model_copy(update={"file": str(tmp_path / "moved.parquet")})
    assert sweep.run(spec.model_copy(update={"start": moved}), tmp_path / "out").missing == 0
    assert sweep.check(tmp_path / "out") == []
    pd.DataFrame({"w": starts.w0 + 1, "b": starts.b0}).to_parquet(tmp_path / "starts.parquet")
    with pytest.raises(sweep.SpecError, match="holds other starts than it did when"):
        sweep.run(spec, tmp_path / "again")
    with pytest.raises(sweep.SpecError, match=r"start.sha256 is .* there"):
        sweep.run(spec_of(tmp_path), tmp_path / "out")


def test_an_id_has_the_numbers_of_the_starts_and_not_their_place(tmp_path, starts):
    spec = spec_of(tmp_path)
    other = spec.start.model_copy(update={"file": "/elsewhere"})
    assert spec.model_copy(update={"start": other}).id == spec.id
    digest = hashlib.sha256(starts.to_numpy().tobytes()).hexdigest()
    assert spec.start.sha256 == digest
    assert Grid(spec).hashes["start"] == digest[:16]
    starts[::-1].to_parquet(tmp_path / "starts.parquet")
    assert spec_of(tmp_path).id != spec.id


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"w": [1.0]}, "has no column b or b0; it has w"),
        ({"w0": [], "b0": []}, "has no rows"),
        ({"w": [1.0, None], "b": [0.0, 1.0]}, "column w holds nan in row 1 .counted from 0."),
        ({"w": [1.0, np.inf], "b": [0.0, 1.0]}, "column w holds inf in row 1"),
        ({"w": ["a"], "b": [0.0]}, "column w holds .*string; must hold numbers"),
    ],
)
def test_a_file_that_has_no_starts_is_one_line(tmp_path, table, message):
    pd.DataFrame(table).to_parquet(tmp_path / "starts.parquet")
    with pytest.raises(sweep.SpecError, match=rf"start.file = .*starts.parquet: {message}"):
        spec_of(tmp_path)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ({"file": "none.parquet"}, "start.file = none.parquet: cannot be read: No such file"),
        ({"file": __file__}, "is not a Parquet file"),
        ({"file": "a\0b"}, "start.file = a.*b: cannot be read: is no path"),
        ({}, "start: must have either random or file"),
        ({"file": "a", "random": "normal", "count": 3}, "start: must have either random or file"),
        ({"file": "a", "seed": 3}, "start.seed: does not go with start.file"),
        ({"random": "normal", "count": 3, "sha256": 64 * "0"}, "start.sha256: does not go with st"),
        ({"random": "normal"}, "start.count: missing; it has no default"),
    ],
)
def test_a_start_that_cannot_be_is_one_line(start, message):
    with pytest.raises(sweep.SpecError, match=message):
        sweep.Spec(axes=AXES, start=start)


@pytest.mark.parametrize(
    ("method", "dtype"), [("train", "float64"), ("train", "float32"), ("orbit", "float64")]
)
def test_weights_are_those_that_train_gives(tmp_path, method, dtype):
    num = {"start": -3.0, "stop": 3.0, "num": 30}
    fields = {
        "axes": {**AXES, "w1": num, "w2": [0.5, 1.0], "b": num},
        "task": {"x": [[1.0, 2.0]], "y": [0.0]},
    }
    fields |= {"stop": STOP, "method": method, "dtype": dtype}
    spec = sweep.Spec(**fields, weights=True)
    plain = sweep.Spec(**fields)
    assert spec.id != plain.id
    assert "weights" not in plain.toml()
    sweep.run(spec, tmp_path / "with")
    sweep.run(plain, tmp_path / "without")
    frame = sweep.load(tmp_path / "with")
    assert list(frame)[-3:] == ["w_1", "w_2", "b"]
    pd.testing.assert_frame_equal(frame.iloc[:, :-3], sweep.load(tmp_path / "without"))
    for rate, rows in frame.groupby("learning_rate"):
        w = rows[["w0_1", "w0_2"]].to_numpy()
        kwargs = {"learning_rate": rate, "cost": "quadratic", "x": [[1.0, 2.0]], "y": [0.0]}
        kwargs |= {"method": method, "dtype": dtype, **STOP}
        trained = sweep.train(w, rows.b0.to_numpy(), **kwargs)
        np.testing.assert_array_equal(rows[["w_1", "w_2"]], trained.w)
        np.testing.assert_array_equal(rows.b, trained.b)
    field = sweep.scan(tmp_path / "with").schema.field("w_2")
    assert field.metadata[b"description"] == b"weight of input 2 at the stop"
    assert sweep.load_grid(tmp_path / "with").b.attrs["long_name"] == "bias at the stop"
    assert (
        0.5
        < spec.estimate().bytes / sum(f.stat().st_size for f in (tmp_path / "with").iterdir())
        < 2
    )
