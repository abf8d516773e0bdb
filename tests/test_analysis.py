"""The streamed tables against plain pandas on results that fit in memory."""

import json
import re

import numpy as np
import pandas as pd
import pytest

import sweep
from sweep.analysis import quantiles
from sweep.analysis.by_error import (
    PAIR_OUTCOMES,
    compare,
    count_by_error,
    epochs_by_error,
    error_edges,
    pool,
    share_by_epochs,
)
from sweep.analysis.by_start import epochs_by_start
from sweep.analysis.contents import contents, format_contents
from sweep.analysis.findings import findings, format_findings
from sweep.analysis.row_groups import open_result, read
from sweep.errors import SpecError, SweepError
from sweep.experiment.grid import Grid

LIMIT = 1000
EDGES = [0, 0.1, 0.5, 0.9, 0.99, 1]


def axes(num=24, **more):
    span = {"start": -5.0, "stop": 5.0, "num": num}
    return {"w": span, "b": span, "learning_rate": [0.1, 0.5, 2.0], **more}


def scattered(z, rate, cost):
    """Return epochs that are not a function of z, so that quantiles differ."""
    noise = np.random.default_rng(len(z) + int(1000 * rate)).uniform(0.5, 1.5, len(z))
    slow = np.exp(z.clip(0)) if cost == "quadratic" else 1 + z.clip(0)
    return np.ceil(4 * slow / rate * noise)


@pytest.fixture(scope="module")
def folder(make_result, tmp_path_factory):
    where = tmp_path_factory.mktemp("result")
    return make_result(where, scattered, 777, axes=axes(), stop={"max_epochs": LIMIT})


@pytest.fixture(scope="module")
def result(folder):
    return open_result(folder)


@pytest.fixture(scope="module")
def rows(folder):
    return frame(folder)


def frame(folder):
    rows = sweep.load(folder)
    rows = rows.astype({"cost": str, "learning_rate": float, "w0": float, "b0": float})
    return rows.assign(known=rows.epochs.where(rows.status == "converged", np.inf).astype(float))


def test_rows_are_read_by_number(result, rows):
    for cells in (range(0, 10), range(700, 1700), range(3400, 3456)):
        got = read(result, cells, ["epochs", "initial_error", "w0"])
        want = rows.iloc[cells.start : cells.stop]
        assert got["epochs"].tolist() == want.known.tolist()
        assert got["initial_error"].tolist() == want.initial_error.tolist()
        assert got["w0"].tolist() == want.w0.tolist()


@pytest.mark.parametrize("merge_at", [1, 1 << 23])
def test_epochs_by_error_is_what_pandas_says(result, rows, merge_at, monkeypatch):
    monkeypatch.setattr(quantiles, "_MERGE_AT", merge_at)
    table = epochs_by_error(count_by_error(result, edges=EDGES))
    assert table.attrs["edges"] == EDGES
    assert table.attrs["by"] == ["cost", "learning_rate"]
    assert table.attrs["max_epochs"] == LIMIT
    low = pd.cut(rows.initial_error, EDGES, labels=False)
    groups = rows.groupby(["cost", "learning_rate", low], sort=False)
    assert len(table) == groups.ngroups
    for row in table.to_dict("records"):
        group = groups.get_group((row["cost"], row["learning_rate"], row["bin"]))
        finite = group.known[np.isfinite(group.known)]
        assert row["count"] == len(group)
        assert row["converged"] == len(finite)
        assert row["share_unconverged"] == pytest.approx(1 - len(finite) / len(group))
        for name, share in {"q10": 0.1, "q25": 0.25, "median": 0.5, "q90": 0.9}.items():
            assert row[name] == np.quantile(group.known, share, method="inverted_cdf")
        ends = (finite.min(), finite.max())
        assert (row["min"], row["max"]) == pytest.approx(ends, nan_ok=True)


def test_trained_only_leaves_out_zero_epochs(result, rows):
    counted = count_by_error(result, by=["cost"], edges=[0, np.inf])
    table = epochs_by_error(counted, trained_only=True)
    assert (
        table["count"].tolist() == rows[rows.known > 0].groupby("cost", sort=False).size().tolist()
    )
    assert table["min"].min() > 0


def test_pooled_counts_are_those_of_a_reading_of_their_own(result):
    fine = count_by_error(result)
    for by, edges in ((["cost"], [0, 0.5, 0.9, 1]), (["learning_rate"], [0, 1.0])):
        pooled = epochs_by_error(pool(fine, by, edges))
        pd.testing.assert_frame_equal(
            pooled, epochs_by_error(count_by_error(result, by=by, edges=edges))
        )


def test_share_by_epochs_is_what_pandas_says(result, rows):
    table = share_by_epochs(count_by_error(result))
    assert table.epochs.max() == LIMIT
    for (cost, rate), part in table.groupby(["cost", "learning_rate"], observed=True):
        mine = rows[(rows.cost == cost) & (rows.learning_rate == rate) & (rows.known > 0)]
        assert set(part["count"]) == {len(mine)}
        within = [(mine.known <= epochs).mean() for epochs in part.epochs]
        np.testing.assert_allclose(part.share, within)


def test_default_edges():
    edges = error_edges()
    assert (np.diff(edges) > 0).all()
    assert {0.0, 0.1, 0.5, 0.9, 1.0} <= set(edges.tolist())
    inner = edges[1:-1]
    np.testing.assert_allclose(np.diff(np.log(inner / (1 - inner))), np.log(9) / 4, rtol=1e-6)
    assert error_edges(2.0)[-1] == 2  # tanh


def test_compare_costs_is_what_pandas_says(result, rows):
    edges = [0, 0.5, 0.99, 1]
    table = compare(result, edges=edges)
    starts = ["learning_rate", "w0", "b0", "initial_error"]
    wide = rows.pivot_table(index=starts, columns="cost", values="known").reset_index()
    wide["bin"] = pd.cut(wide.initial_error, edges, labels=False)
    assert table.pairs.sum() == len(wide)
    for row in table.to_dict("records"):
        at = (wide.learning_rate == row["learning_rate"]) & (wide.bin == row["bin"])
        over, under = wide[at].quadratic, wide[at].cross_entropy
        neither, already = np.isinf(over) & np.isinf(under), (over == 0) & (under == 0)
        decided = ~neither & ~already
        fewer, more = (over < under).sum(), (over > under).sum()
        tied = ((over == under) & decided).sum()
        expected = [fewer, more, tied, neither.sum(), already.sum()]
        assert [row[name] for name in PAIR_OUTCOMES] == expected
        ratio = np.quantile(over[decided] / under[decided], 0.5, method="inverted_cdf")
        assert row["median"] == pytest.approx(ratio, rel=1 / 2048)


def test_compare_costs_refuses_what_it_cannot_pair(make_result, plateau, tmp_path):
    make_result(tmp_path, plateau, axes=axes(6, cost=["quadratic"]))
    with pytest.raises(SpecError, match="needs cross_entropy, this result has quadratic"):
        compare(open_result(tmp_path))


def test_epochs_by_start_keeps_single_starts(result, rows):
    table = epochs_by_start(result, cells=24)
    assert (table["count"] == 1).all()
    names = ["cost", "learning_rate", "w0", "b0"]
    both = table.astype({"cost": str}).merge(rows, on=names)
    assert len(both) == len(rows)
    assert both.epochs_x.tolist() == both.known.tolist()
    assert both.initial_error_x.tolist() == both.initial_error_y.tolist()


def test_epochs_by_start_pools_blocks(result, rows):
    table = epochs_by_start(result, cells=5)  # 24 values in blocks of 5, the last of 4
    assert table.w0.nunique() == table.b0.nunique() == 5
    values = np.unique(rows.w0)
    block = {value: i // 5 for i, value in enumerate(values)}
    middles = [(values[0] + values[4]) / 2, (values[20] + values[23]) / 2]
    assert np.unique(table.w0)[[0, -1]] == pytest.approx(middles)
    rows = rows.assign(i=rows.w0.map(block), j=rows.b0.map(block))
    groups = rows.groupby(["cost", "learning_rate", "i", "j"], sort=False)
    assert len(groups) == len(table)
    keys = zip(table.cost, table.learning_rate, np.tile(np.repeat(range(5), 5), 6), strict=True)
    for row, (cost, rate, i), j in zip(
        table.to_dict("records"), keys, np.tile(range(5), 30), strict=True
    ):
        group = groups.get_group((cost, rate, i, j))
        finite = group.known[np.isfinite(group.known)]
        assert row["count"] == len(group)
        assert row["share_unconverged"] == pytest.approx(1 - len(finite) / len(group))
        mean = np.expm1(np.log1p(finite).mean()) if 2 * len(finite) > len(group) else np.inf
        assert row["epochs"] == pytest.approx(mean)
        assert row["initial_error"] == pytest.approx(group.initial_error.mean())


def test_axes_in_any_order_come_out_sorted(make_result, plateau, tmp_path):
    mixed = {"w": [3.0, -1.0, 2.0, 0.0], "b": {"start": 2.0, "stop": -2.0, "num": 5}}
    make_result(tmp_path, plateau, axes={**mixed, "learning_rate": [0.5, 0.1]})
    table = epochs_by_start(open_result(tmp_path))
    rows = frame(tmp_path)
    both = table.astype({"cost": str}).merge(rows, on=["cost", "learning_rate", "w0", "b0"])
    assert both.epochs_x.tolist() == both.known.tolist()
    assert len(both) == len(rows)


def test_a_picture_reads_only_what_it_shows(make_result, plateau, tmp_path):
    rates = np.geomspace(0.01, 1, 11).tolist()
    make_result(tmp_path, plateau, 50, axes=axes(6, learning_rate=rates))
    table = epochs_by_start(open_result(tmp_path))
    assert sorted(table.learning_rate.unique()) == [rates[k] for k in (0, 2, 4, 6, 8, 10)]
    assert (table["count"] == 1).all()


def test_random_starts_fall_into_even_cells(make_result, plateau, tmp_path):
    start = {"random": "normal", "count": 400}
    make_result(tmp_path, plateau, 90, axes={"learning_rate": [0.1, 1.0]}, start=start)
    table, rows = epochs_by_start(open_result(tmp_path)), frame(tmp_path)
    assert table["count"].sum() == len(rows)
    steps = (np.unique(table.w0) - rows.w0.min()) / (np.ptp(rows.w0) / 10)
    np.testing.assert_allclose(steps % 1, 0.5)


def test_start_axes_that_do_not_vary(make_result, plateau, tmp_path):
    make_result(tmp_path / "line", plateau, axes=axes(6, b=[5.0]))
    with pytest.raises(SpecError, match="two start axes"):
        epochs_by_start(open_result(tmp_path / "line"))
    three = {"w1": [0.0, 1.0], "w2": [5.0], "b": [0.0, 2.0], "learning_rate": [0.1]}
    make_result(tmp_path / "d2", plateau, axes=three, task={"x": [[1.0, 2.0]], "y": [0.0]})
    table = epochs_by_start(open_result(tmp_path / "d2"))
    assert table.columns[2:4].tolist() == ["w0_1", "b0"]


def test_two_axes_get_panels_and_others_stand_still(make_result, plateau, tmp_path):
    more = {"tolerance": [0.1, 0.2], "y": [0.0, 0.5, 1.0], "learning_rate": [0.1, 1.0]}
    make_result(tmp_path, plateau, 100, axes=axes(8, **more))
    result, rows = open_result(tmp_path), frame(tmp_path)
    at = rows[rows.tolerance.astype(float) == 0.2]
    for table in (epochs_by_error(count_by_error(result)), epochs_by_start(result)):
        assert table.attrs["by"] == ["cost", "learning_rate", "y"]
        assert table.attrs["fixed"] == {"tolerance": 0.2}
    table = epochs_by_error(count_by_error(result))
    sizes = at.groupby(["cost", "learning_rate", "y"], observed=True).size()
    assert (table.groupby(["cost", "learning_rate", "y"], observed=True)["count"].sum() == 64).all()
    assert len(sizes) == 12


@pytest.mark.parametrize("most", [1 << 22, 500])
def test_too_many_counts_are_coarsened_within_a_known_error(most, monkeypatch):
    monkeypatch.setattr(quantiles, "_MAX_KEPT", most)
    monkeypatch.setattr(quantiles, "_MERGE_AT", 3000)
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.integers(0, 2**31, 4000).astype(float), [0, 1, np.inf]])
    tally = quantiles.Tally()
    for piece in np.array_split(values, 7):
        tally.add(quantiles.count(np.zeros(len(piece), np.int64), piece))
    shares = [0.1, 0.5, 0.9]
    found = quantiles.statistics(tally, shares).iloc[0]
    assert found["count"] == len(values)
    assert found["finite"] == len(values) - 1
    assert (tally.precision > 1 / 2048) == (most == 500)
    for share in shares:
        exact = np.quantile(values, share, method="inverted_cdf")
        assert exact * (1 - tally.precision) <= found[quantiles.quantile_name(share)] <= exact


def test_counting_in_an_array_is_counting_by_sorting():
    rng = np.random.default_rng(0)
    values = [
        np.zeros(50),
        np.full(50, np.inf),
        rng.integers(0, 9, 5000) / 3,
        np.where(rng.random(5000) < 0.5, np.inf, rng.integers(1, 9999, 5000)),
        np.array([1e-9, 1e9, np.inf, 0]),
    ]
    for value in values:
        cell = rng.integers(3, 8, len(value))
        code = value.view(np.int64) >> 41
        keys, often = np.unique(cell << 22 | code, return_counts=True)
        got = quantiles.count(cell, value)
        np.testing.assert_array_equal(got, (keys, often))


def test_counts_of_nothing():
    nothing = quantiles.count(np.array([], np.int64), np.array([]))
    assert quantiles.statistics(quantiles.Tally([nothing, nothing]), [0.5]).empty


def test_findings(result, rows):
    found = findings(result)
    json.dumps(found, allow_nan=False)
    trained = rows[rows.known > 0]
    for cost in found["costs"]:
        mine = trained[trained.cost == cost["cost"]]
        small = np.quantile(mine.known[mine.initial_error <= 0.5], 0.5, method="inverted_cdf")
        assert cost["median_small"] == small
        share = (rows[rows.cost == cost["cost"]].status != "converged").mean()
        assert cost["share_unconverged"] == pytest.approx(share)
        assert cost["starts"] == len(rows) / 2
    slow = {cost["cost"]: cost["slowdown_from"] for cost in found["costs"]}
    assert 0.5 < slow["quadratic"] < slow["cross_entropy"] < 1
    assert [win["learning_rate"] for win in found["comparison"]] == [0.1, 0.5, 2.0]
    starts = ["learning_rate", "w0", "b0"]
    wide = rows.pivot_table(index=starts, columns="cost", values="known").reset_index()
    wide = wide[wide.quadratic > 0]
    for win in found["comparison"]:
        mine = wide[wide.learning_rate == win["learning_rate"]]
        assert win["pairs"] == len(mine)
        assert win["share_under"] == (mine.quadratic > mine.cross_entropy).mean()
        assert win["share_over"] == (mine.quadratic < mine.cross_entropy).mean()
    for panel in found["panels"]:
        mine = trained[
            (trained.cost == panel["cost"]) & (trained.learning_rate == panel["learning_rate"])
        ]
        large = np.quantile(mine.known[mine.initial_error > 0.9], 0.5, method="inverted_cdf")
        assert panel["median_large"] == ("not reached" if np.isinf(large) else large)
    text = format_findings(found, result.grid)
    assert text.startswith("median epochs to converge (at most 0.1), by the error |y - a|")
    assert "cross-entropy needs fewer epochs than quadratic" in text
    assert len(text.splitlines()) == 2 + 6 + 2 + 1


@pytest.mark.parametrize(
    ("stop", "line"),
    [
        ({"max_epochs": 0}, r"not reached  not reached +\d"),
        ({"tolerance": 1.0}, r"none +0\.0 % of"),
    ],
)
def test_findings_of_what_did_not_converge_and_of_nothing_to_learn(
    make_result, plateau, tmp_path, stop, line
):
    make_result(tmp_path, plateau, axes=axes(6, cost=["quadratic"]), stop=stop)
    found = findings(open_result(tmp_path))
    assert found["comparison"] == []
    assert re.search(line, format_findings(found, Grid(sweep.open(tmp_path).spec)))


def test_contents(result, folder):
    found = contents(result)
    json.dumps(found, allow_nan=False)
    assert found["rows"] == found["neurons"] == 3456
    assert (found["parts"], found["parts_in_all"]) == (5, 5)
    assert found["bytes"] == sum(path.stat().st_size for path in folder.glob("part-*"))
    assert found["fixed"]["max_epochs"] == LIMIT
    assert found["axes"]["w"] == {"num": 24, "first": -5.0, "last": 5.0}
    text = format_contents(found, result.grid)
    for text_part in ("24 values: -5 … 5", "5 of 5, 3,456 rows", "method         train", "y = 0.0"):
        assert text_part in text


@pytest.fixture
def broken(make_result, plateau, tmp_path):
    make_result(tmp_path, plateau, axes=axes(8), stop={"max_epochs": LIMIT})
    return tmp_path


def test_parts_that_are_not_there_yet(broken):
    pairs = compare(open_result(broken)).pairs.sum()
    for name in ("part-03-of-16.parquet", "part-09-of-16.parquet"):
        (broken / name).unlink()
    result = open_result(broken)
    assert result.missing == (3, 9)
    assert result.rows == 14 * 24
    assert "2 of 16 parts are not computed yet" in result.warnings[0]
    assert epochs_by_error(count_by_error(result))["count"].sum() == result.rows
    # a start counts as a pair only where both of its parts are there: 3 lacks 11, and 9 lacks 1
    assert compare(result).pairs.sum() == pairs - 48
    assert len(findings(result)["comparison"]) == 3
    for path in broken.glob("part-*"):
        path.unlink()
    with pytest.raises(SpecError, match="has no parts yet"):
        open_result(broken)


def test_damaged_parts_are_named_and_can_be_left_out(broken):
    (broken / "part-03-of-16.parquet").write_bytes(b"PAR1")
    with pytest.raises(SweepError, match=r"part-03-of-16\.parquet is damaged; --skip-damaged"):
        open_result(broken)
    result = open_result(broken, skip_damaged=True)
    assert result.warnings == ["left out: part-03-of-16.parquet is damaged"]
    assert epochs_by_error(count_by_error(result))["count"].sum() == 15 * 24


def test_damage_within_a_part_is_found_in_reading(broken):
    path = broken / "part-05-of-16.parquet"
    content = bytearray(path.read_bytes())
    content[4:300] = bytes(b ^ 0xFF for b in content[4:300])
    path.write_bytes(content)
    result = open_result(broken)  # the footer is whole
    with pytest.raises(SweepError, match=r"part-05-of-16\.parquet: is damaged"):
        read(result, result.grid.part(5), ["epochs", "initial_error", "w0", "b0"])
    result = open_result(broken, skip_damaged=True)
    assert result.left_out == ("part-05-of-16.parquet is damaged",)
    for path in broken.glob("part-*"):
        path.write_bytes(b"")
    with pytest.raises(SweepError, match="no part can be read: part-00"):
        open_result(broken, skip_damaged=True)
