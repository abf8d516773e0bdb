"""`sweep.open`: one result or several, tables against brute force, the folder as others read it."""

import json

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

import sweep
from sweep.cli import main

STARTS = {"w": {"start": -3, "stop": 3, "num": 7}, "b": {"start": -3, "stop": 3, "num": 9}}
STOP = {"max_epochs": 400}


def made(folder, **fields):
    axes = STARTS | {"learning_rate": [0.15, 0.3]} | fields.pop("axes", {})
    sweep.run({"axes": axes, "stop": STOP} | fields, folder, quiet=True)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return made(tmp_path_factory.mktemp("result") / "whole", axes={"y": [0.0, 1.0]})


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    """The same cells as `whole`, in four folders."""
    base = tmp_path_factory.mktemp("pieces")
    for rate in (0.3, 0.15):
        for y in (1.0, 0.0):
            made(base / f"r{rate}-{y}", axes={"learning_rate": [rate]}, task={"y": y})
    return base


def test_the_folder_is_one_table_to_all_readers(whole):
    rows = len(sweep.load(whole))
    assert rows == 2 * 2 * 2 * 63
    assert pd.read_parquet(whole).equals(sweep.load(whole))
    assert len(pq.read_table(whole)) == pads.dataset(whole).count_rows() == rows
    assert len(pl.read_parquet(whole)) == len(pl.scan_parquet(whole).collect()) == rows
    assert duckdb.sql(f"SELECT count(*) FROM '{whole}/*.parquet'").fetchall() == [(rows,)]


def test_several_results_are_the_one_that_holds_them_all(whole, pieces):
    one, many = sweep.open(whole), sweep.open(f"{pieces}/r*")
    assert len(many) == len(one) == 504
    assert {name: list(values) for name, values in many.axes.items()} == {
        name: list(values) for name, values in one.axes.items()
    }
    pd.testing.assert_frame_equal(many.summary(), one.summary())
    for table in ("epochs_by_error", "compare_costs", "epochs_by_start"):
        found = getattr(many, table)()
        pd.testing.assert_frame_equal(found, getattr(one, table)())
        assert found.attrs == {}
    keys = ["cost", "learning_rate", "y", "w0", "b0"]
    sorted_rows = (r.load().sort_values(keys, ignore_index=True) for r in (one, many))
    pd.testing.assert_frame_equal(*sorted_rows, check_like=True)
    assert many.grid().equals(one.grid())
    where = [("y", "==", 1), ("learning_rate", "<", 0.2)]
    assert many.grid(where=where).equals(one.grid(where=where))
    assert len(many.load(["epochs"], where)) == len(one.load(["epochs"], where)) == 126
    assert many.check() == one.check() == []


def test_a_summary_is_what_brute_force_says(whole):
    result = sweep.open(whole)
    rows = result.load()
    table = result.summary(by=["cost", "y"]).set_index(["cost", "y"])
    for key, mine in rows.groupby(["cost", "y"], observed=True):
        known = mine.epochs.where(mine.status == "converged", np.inf)
        line = table.loc[key]
        assert line.starts == len(mine)
        assert line.converged == (mine.status == "converged").sum()
        assert line.max_epochs == (mine.status == "max_epochs").sum() == np.isinf(known).sum()
        assert line.already == (known == 0).sum()
        assert line["median"] == np.quantile(known, 0.5, method="inverted_cdf")
        assert line["max"] == known[np.isfinite(known)].max()
    assert result.summary(by=[]).starts.tolist() == [len(rows)]


def test_a_selection_is_the_nearest_and_says_so(whole):
    result = sweep.open(whole)
    with pytest.warns(UserWarning, match="y 0.2 is not on the axis; the nearest is 0"):
        some = result.summary(where={"y": 0.2, "cost": "quadratic"})
    every = result.summary()
    right = every[(every.y == 0) & (every.cost == "quadratic")].reset_index(drop=True)
    assert some.astype({"cost": str}).equals(right.astype({"cost": str}))
    table = result.epochs_by_error(where={"learning_rate": [0.3]})
    assert set(table.learning_rate) == {0.3}
    assert table["count"].sum() == len(result) / 2


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"z": 1}, "where: 'z' is no axis that can be selected; known: cost, learning_rate, y"),
        ({"cost": "quadratc"}, "did you mean 'quadratic'"),
        ({"y": "a"}, "where: y = 'a': must be a number"),
        ({"y": []}, r"where: y = \[\]: names no value"),
        ([("y", "==", 1)], "where = .*: must name axes and values"),
    ],
)
def test_what_a_selection_refuses(whole, where, message):
    with pytest.raises(sweep.SpecError, match=message):
        sweep.open(whole).summary(where=where)


def test_what_does_not_go_together(pieces, tmp_path):
    one, two, three = sorted(pieces.iterdir())[:3]
    made(tmp_path / "other", axes={"w": [1.0]})
    for places, message in (
        ([one, one], "both hold cost = quadratic, learning_rate = 0.15"),
        ([one, two, three], "do not fill a grid together: cost = quadratic, learning_rate = 0.3"),
        ([one, tmp_path / "other"], "does not go with .*: axes.w is"),
        (f"{pieces}/q*", "no folder has such a name"),
        ([], "names no folder"),
        (tmp_path / "none", "holds no results of sweep"),
    ):
        with pytest.raises(sweep.SpecError, match=message):
            sweep.open(places)


def test_a_result_is_short_to_print_and_a_table_in_a_notebook(whole):
    result = sweep.open(whole)
    assert repr(result).startswith(f"Result({whole}: 504 neurons, 2 cost × 2 learning_rate × 2 y")
    assert len(repr(result)) < 200 + len(str(whole))
    page = result._repr_html_()
    assert page.count("<tr>") == 7
    assert 'scope="row"' in page


def test_conditions_on_an_axis_that_exclude_one_another_are_refused(whole):
    with pytest.raises(sweep.SpecError, match="no value of the axis y is all of that"):
        sweep.load(whole, where=[("y", "==", 0), ("y", ">", 0.5)])


def test_a_run_takes_a_spec_its_fields_or_a_file_and_opens_what_it_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fields = {"name": "mine", "axes": {"w": [0.6, 2], "b": [0.9, 2], "learning_rate": [0.15]}}
    (tmp_path / "mine.toml").write_text(sweep.Spec(**fields).toml())
    first = sweep.run(fields)
    assert first.folder.path == str(tmp_path / "results/mine")
    assert sweep.run("mine.toml").reused == sweep.run(sweep.Spec(**fields)).reused == 8
    assert len(first.open()) == 8
    figure = first.plot("distribution", where={"cost": "cross_entropy"})
    figure.axes[0].set_title("mine")
    figure.savefig(tmp_path / "mine.png")
    assert (tmp_path / "mine.png").stat().st_size > 5000
    with pytest.raises(sweep.SpecError, match=r"figure = 'ration': .*\(did you mean 'ratio'"):
        first.plot("ration")


@pytest.mark.parametrize(
    "fields",
    [
        {"axes": STARTS | {"learning_rate": [0.01, 0.1, 1.0]}},
        {"axes": {n: {"start": -6, "stop": 6, "num": 200} for n in "wb"} | {"learning_rate": 0.2}},
        {"axes": {"learning_rate": [0.1]}, "start": {"random": "normal", "count": 20_000}},
        {"axes": STARTS | {"learning_rate": [0.1]}, "task": {"x": [1.0, -0.5], "y": [0.0, 1.0]}},
    ],
)
def test_an_estimate_is_within_a_factor_of_two_of_the_epochs(fields, tmp_path):
    spec = sweep.Spec(**fields, stop={"max_epochs": 3000})
    estimate = spec.estimate(threads=2)
    done = sweep.run(spec, tmp_path, quiet=True)
    assert done.neuron_epochs / 2 < estimate.neuron_epochs < 2 * done.neuron_epochs
    assert (estimate.cells, estimate.parts) == (done.cells, done.parts)
    assert not estimate.at_most
    assert {m.name for m in estimate.methods} == set(done.method.split(" and "))
    assert sum(method.panels for method in estimate.methods) == estimate.panels
    stored = sum(path.stat().st_size for path in tmp_path.glob("part-*"))
    assert stored / 3 < estimate.bytes < 3 * stored


def test_a_huge_sweep_is_to_be_confirmed(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    axis = {"start": -5.0, "stop": 5.0, "num": 200_000}
    axes = {"w": axis, "b": axis, "learning_rate": [0.15], "cost": "quadratic"}
    (tmp_path / "huge.toml").write_text(sweep.Spec(axes=axes).toml())
    assert main(["run", "huge.toml"]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "40,000,000,000 cells in 38,147 parts" in captured.err
    assert "--yes runs it all the same" in captured.err
    assert main(["run", "huge.toml", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "cells   40,000,000,000 in 38,147 parts" in shown
    assert "method  orbit in 1 of 1 panels" in shown
    assert [path.name for path in tmp_path.iterdir()] == ["huge.toml"]


def test_a_run_that_the_disk_has_no_room_for_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(sweep.Spec(axes=STARTS | {"learning_rate": [0.15]}).toml())
    from shutil import disk_usage

    monkeypatch.setattr("shutil.disk_usage", lambda path: disk_usage(path)._replace(free=1000))
    assert main(["run", "mine.toml", "-o", "out"]) == 2
    assert "are needed, and 1 kB are free; --yes" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main(["run", "mine.toml", "-o", "out", "--yes", "--quiet"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_export_is_the_table_in_one_file(whole, tmp_path, name, capsys):
    assert main(["export", str(whole), str(tmp_path / name)]) == 0
    assert "504 rows in " in capsys.readouterr().out
    reader = pd.read_csv if name.endswith("csv") else pd.read_parquet
    plain = sweep.load(whole).astype({"cost": str, "status": str})
    pd.testing.assert_frame_equal(reader(tmp_path / name), plain, check_dtype=False)
    assert main(["export", str(whole), str(tmp_path / name), "--columns", "epochs", "cost"]) == 0
    assert list(reader(tmp_path / name).columns) == ["epochs", "cost"]
    assert main(["export", str(whole), str(tmp_path / "out.xlsx")]) == 2
    assert "out.xlsx: must end in .csv or .parquet" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_sweep_alone_prints_help_and_a_folder_can_be_run(whole, tmp_path, capsys):
    assert main([]) == 0
    assert "COMMAND" in capsys.readouterr().out
    assert main(["run", str(whole), "-q"]) == 0
    assert main(["run", str(whole), "--print-spec"]) == 0
    assert sweep.Spec.parse(capsys.readouterr().out).id == sweep.open(whole).spec.id
    command = ["plot", str(whole), "--figure", "slowdown", "--dpi", "40", "-o", str(tmp_path)]
    assert main([*command, "--where", "y=0.9", "cost=quadratic"]) == 0
    assert "sweep: y 0.9 is not on the axis; the nearest is 1" in capsys.readouterr().err
    assert main([*command, "--where", "y"]) == 2
    assert "--where y: must be AXIS=VALUE" in capsys.readouterr().err


def test_info_is_a_screen_at_most(tmp_path, capsys):
    rates = {"start": 0.01, "stop": 1.0, "num": 100, "scale": "log"}
    samples = np.linspace(-1, 1, 569)
    made(tmp_path / "many", axes={"learning_rate": rates}, stop={"max_epochs": 5})
    made(tmp_path / "samples", task={"x": samples, "y": (samples > 0) * 1.0})
    made(tmp_path / "tanh", task={"activation": "tanh"})
    capsys.readouterr()
    for name, line in (
        ("many", "6 of 100 values of learning_rate"),
        ("samples", "x = 569 samples, -1 … 1"),
        ("tanh", "tanh-cross-entropy needs fewer epochs than quadratic from"),
    ):
        assert main(["info", str(tmp_path / name)]) == 0
        shown = capsys.readouterr().out
        assert line in shown
        assert len(shown.splitlines()) <= 30
    assert main(["info", str(tmp_path / "tanh"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["comparison"][0]["under"] == "tanh_cross_entropy"
