"""The benchmark: what it returns, that it catches incorrect results, and reports missing peers."""

import json
from dataclasses import replace

import numpy as np
import pytest

from sweep.bench import measure
from sweep.bench.machine import OPERATIONS, fma_peak, operations
from sweep.bench.peers import with_cpp, with_jax, with_numpy, with_optax, with_sweep, with_torch
from sweep.bench.rows import GOALS, OVER_GD, ROWS, Row
from sweep.bench.studies import storing
from sweep.bench.tables import report
from sweep.bench.workloads import PeerResult, starts, workloads
from sweep.cli import main
from sweep.errors import SweepError
from sweep.experiment.grid import Grid
from sweep.experiment.spec import Spec
from sweep.running.part import orbit_lookup
from sweep.store.encoding import settings

SMALL = [
    replace(work, side=12, max_epochs=150)
    for work in workloads(full=True)
    if work.kind != "samples" or work.what in ("16 × 1", "100 × 10")
]
PYTHON = ("with_numpy", "with_blas", "with_numba")
ALWAYS = [row for row in ROWS if row.peer in ("with_sweep", *PYTHON)]
TESTED = [row for row in ROWS if row.peer in (*PYTHON, "with_cpp") and not row.missing()]
PAIRS = [(row, work) for row in TESTED for work in SMALL if work.kind in row.kinds]


@pytest.mark.parametrize(("row", "work"), PAIRS, ids=lambda value: value.name)
def test_a_peer_counts_the_epochs_of_sweep(row, work):
    w, b = starts(work)
    unchanged = w.copy(), b.copy()
    expected = with_sweep.trainer(work, 2)(w, b)
    comparison = measure.compare(expected, row.trainer(work, 2)(w, b), work.dtype)
    assert comparison["correct"], comparison
    early = work.kind == "sweep" and work.cost == "cross_entropy"
    assert expected.epochs.max() == (56 if early else 150)
    assert (expected.epochs.min() < 150) == (work.kind == "sweep")
    assert np.array_equal(unchanged[0], w)
    assert np.array_equal(unchanged[1], b)


@pytest.fixture(scope="module")
def result():
    works = [replace(work, max_epochs=30) for work in SMALL if work.dtype == "float64"]
    return measure.bench(works=works, rows=ALWAYS, rounds=1, threads=2)


def test_the_result_is_json_with_all_that_was_measured(result):
    again = json.loads(json.dumps(result))
    assert {"machine", "versions", "settings", "workloads", "rows", "scaling", "startup"} <= {
        *again
    }
    for line in again["rows"]:
        assert line["seconds"]["min"] <= line["seconds"]["median"] <= line["seconds"]["max"]
        assert line["correct"]
    for about in again["workloads"]:
        assert 0 < about["useful"] <= 1
        assert 0 < about["share_of_bound"] == pytest.approx(
            next(line["rate"] for line in again["rows"] if line["workload"] == about["workload"])
            * about["operations"] / about["fma_peak"]
        )  # fmt: skip
    assert [at["threads"] for at in again["scaling"]] == [1, 2]
    assert again["startup"]["cached"] < again["startup"]["compiled"]
    assert {goal["what"].split(", ")[-1] for goal in again["goals"]} == {
        "NumPy", "Numba prange", "NumPy + BLAS", "share of the FMA bound",
        *(f"{name} quadratic float64 over gd" for name in OVER_GD),
    }  # fmt: skip
    assert [of["goal"] for of in again["optimizers"]] == [0.6, 0.6, 0.35, None, None, None]
    for of in again["optimizers"]:
        assert 0 < of["least"] <= of["ratio"] <= of["largest"]


def test_the_table_shows_each_row(result):
    output = report(result)
    others = sum(about["workload"].split()[0] in OVER_GD for about in result["workloads"])
    assert others == 3
    assert output.count("  Numba prange  ") == len(result["workloads"]) - others
    assert "WRONG" not in output


def test_operations_are_counted_as_the_comment_says():
    # In float64, of an epoch of one sample: 17 with cross-entropy. Of 100 samples of 10 inputs: no
    # step and no T + δ, but 11 products of θ·x and 11 of the gradient; a hundredth of 11 steps, 11
    # additions to T and one test.
    about = {work.what: operations(work) for work in SMALL if work.cost == "cross_entropy"}
    assert about["sweep"] == 17 - 2  # float32, the last of that name, has two operations fewer
    assert about["100 × 10"] == pytest.approx(15 - 2 + 22 + 23 / 100)
    others = {work.what: operations(work) for work in SMALL if work.kind == "optimizer"}
    assert others == {"momentum": 19, "nesterov": 20, "adam": 44}  # of 18


def test_the_pictures_are_drawn(result, tmp_path):
    from sweep.bench.picture import draw

    paths = draw(result, tmp_path)
    assert [path.name for path in paths] == ["bench.png", "bench-samples.png"]
    assert min(path.stat().st_size for path in paths) > 5000


@pytest.mark.parametrize(
    ("epochs", "w", "b"),
    [(1, 0.0, 0.0), (0, 0.5, 0.0), (0, np.nan, 0.0), (0, 0.0, np.nan)],
    ids=["all epochs", "a weight", "NaN", "NaN in b"],
)
def test_an_incorrect_peer_is_caught(epochs, w, b, monkeypatch):
    work = SMALL[2]
    correct = with_sweep.trainer

    def incorrect(work, threads):
        def run(w0, b0):
            result = correct(work, threads)(w0, b0)
            return PeerResult(result.epochs + epochs, result.w + w, result.b + b)

        return run

    monkeypatch.setattr(with_numpy, "trainer", incorrect)
    rows = [ROWS[0], Row("incorrect", "with_numpy")]
    _, (reference, peer) = measure.time_workload(work, rows, 1, 1)
    assert reference["correct"]
    assert not peer["correct"]
    assert peer["differing"] == (144 if epochs else 0)


def test_one_cell_on_the_other_side_of_the_tolerance_is_rounding():
    epochs, w = np.full(200_000, 40), np.zeros((200_000, 1))
    other = epochs.copy()
    other[7] += 1
    comparison = measure.compare(
        PeerResult(epochs, w, w[:, 0]), PeerResult(other, w, w[:, 0]), "float64"
    )
    assert comparison["correct"]
    assert (comparison["differing"], comparison["epochs_apart"]) == (1, 1)
    other[7] += 1
    assert not measure.compare(
        PeerResult(epochs, w, w[:, 0]), PeerResult(other, w, w[:, 0]), "float64"
    )["correct"]


def test_a_missing_peer_is_one_line(result, monkeypatch):
    monkeypatch.setattr(with_cpp, "_compiler", lambda: None)
    for peer in (with_jax, with_optax, with_torch):
        monkeypatch.setattr(peer, "find_spec", lambda name: None)
    lines = {row.name: row.missing() for row in ROWS}
    assert {name for name, line in lines.items() if line} == {
        "C++", "JAX", "torch.compile", "torch.optim, fused", "torch.optim, foreach", "JAX + optax",
    }  # fmt: skip
    assert "apt install g++" in lines["C++"]
    assert lines["JAX"] == "not installed: pip install jax"
    monkeypatch.setattr(measure, "startup", lambda rounds: result["startup"])
    work = SMALL[0]
    measured = measure.bench(
        works=[work],
        rows=[*ALWAYS[:1], *(row for row in ROWS if row.name == "C++")],
        rounds=1,
        threads=1,
    )
    assert report(measured).splitlines()[-1].startswith("C++: no g++")


def test_a_compiler_that_fails_is_one_line(monkeypatch):
    monkeypatch.setattr(with_cpp, "_compiler", lambda: "false")
    with pytest.raises(SweepError, match=r"cannot build train\.cpp"):
        with_cpp.trainer(replace(SMALL[0], x=((1.0, 1.0, 1.0),)), 1)


def test_goals_name_rows_and_workloads_that_exist():
    assert {goal.row for goal in GOALS} <= {row.name for row in ROWS}
    names = {work.name for work in workloads(full=True)}
    assert {f"{goal.what} {goal.cost} {goal.dtype}" for goal in GOALS} <= names
    assert len(names) == len(workloads(full=True))
    assert {(work.cost, work.dtype) for work in workloads(full=True)} == set(OPERATIONS)


def test_the_peak_is_a_rate():
    assert fma_peak("float32", 1, seconds=0.005) > 0


def test_bad_input_is_one_line_and_exit_code_2(capsys, tmp_path):
    assert main(["bench", "--threads", "0"]) == 2
    assert main(["bench", "--json", str(tmp_path / "none" / "x.json")]) == 2
    output = capsys.readouterr().err
    assert output.count("\n") == 2
    assert "threads = 0" in output
    assert "its folder does not exist" in output


def test_pyarrow_writes_the_same_tables_and_every_encoding_is_measured():
    axes = {"w": [-1.0, 0.0, 1.0], "b": {"start": -2.0, "stop": 2.0, "num": 500}}
    spec = Spec(name="small", axes=axes | {"learning_rate": [0.3, 3.0]})
    ((run_took, writing),) = storing.time_run_and_pyarrow(spec, 1)
    assert min(*run_took, *writing) > 0
    grid = Grid(spec)
    table = storing.part_as_table(grid, 3, orbit_lookup(grid))
    measured = {
        name: storing.time_encodings(table[name], settings(grid), 1) for name in table.schema.names
    }
    assert set(measured["status"]) == {"plain", "delta", "dictionary", "indices"}
    assert set(measured["epochs"]) == {"plain", "split", "delta", "dictionary", "indices"}
    assert set(measured["b0"]) == {"plain", "split", "dictionary", "indices"}
    assert measured["learning_rate"]["plain"][1] < measured["b0"]["plain"][1]  # one value, many
