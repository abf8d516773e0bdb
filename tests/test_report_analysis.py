"""The streamed tables against plain pandas on data that fits in memory."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

from sweep.errors import SpecError, SweepError
from sweep.report import counts, stream
from sweep.report.analysis import PAIR_OUTCOMES, compare_costs, epochs_by_error, error_edges
from sweep.report.findings import findings, report
from sweep.report.starts import epochs_by_start

RATES = (0.1, 0.5, 2.0)
MAX_EPOCHS = 5000


def result(num: int = 24, seed: int = 0, **axes: list[float]) -> pd.DataFrame:
    """Make rows that look like a sweep's, some of them unconverged, in the order of a sweep."""
    rng = np.random.default_rng(seed)
    w = b = np.linspace(-5, 5, num)
    rows = pd.MultiIndex.from_product(
        [["quadratic", "cross_entropy"], RATES, *axes.values(), w, b],
        names=["cost", "learning_rate", *axes, "w0", "b0"],
    ).to_frame(index=False)
    z = rows.w0 + rows.b0
    rows["initial_error"] = 1 / (1 + np.exp(-z))
    slow = np.where(rows.cost == "quadratic", np.exp(z.clip(0)), 1 + z.clip(0))
    epochs = np.round(20 * slow / rows.learning_rate * rng.uniform(0.5, 1.5, len(rows)))
    epochs[rows.initial_error <= 0.1] = 0
    rows["status"] = np.where(epochs > MAX_EPOCHS, "max_epochs", "converged")
    rows["epochs"] = epochs.clip(upper=MAX_EPOCHS).astype(np.int32)
    rows["final_error"] = 0.1
    return rows


def write(rows: pd.DataFrame, folder: Path, parts: int = 3, plain: bool = False) -> pads.Dataset:
    table = pa.Table.from_pandas(rows, preserve_index=False)
    texts = [] if plain else ["cost", "status"]
    for name in texts:
        column = table.schema.get_field_index(name)
        table = table.set_column(column, name, table[name].dictionary_encode())
    folder.mkdir(exist_ok=True)
    step = -(-len(rows) // parts)
    for part in range(parts):
        piece = table.slice(part * step, step)
        pq.write_table(piece, folder / f"part-{part}.parquet", row_group_size=501)
    return pads.dataset(folder, format="parquet")


@pytest.fixture
def rows() -> pd.DataFrame:
    return result()


@pytest.fixture
def dataset(rows: pd.DataFrame, tmp_path: Path) -> pads.Dataset:
    return write(rows, tmp_path / "result")


def known(rows: pd.DataFrame) -> pd.Series:
    return rows.epochs.where(rows.status == "converged", np.inf).astype(float)


@pytest.mark.parametrize("batch_rows", [1, 97, 1 << 18])
def test_epochs_by_error_is_what_pandas_says(
    rows: pd.DataFrame, tmp_path: Path, batch_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if batch_rows == 1:
        rows = rows.groupby(["cost", "learning_rate"], sort=False).head(60)
    monkeypatch.setattr(stream, "BATCH_ROWS", batch_rows)
    monkeypatch.setattr(counts, "_MERGE_AT", 50)
    dataset = write(rows, tmp_path / "odd", parts=4, plain=batch_rows == 97)
    table = epochs_by_error(dataset, edges=[0, 0.1, 0.5, 0.9, 0.99, 1])
    assert table.attrs == {"edges": [0, 0.1, 0.5, 0.9, 0.99, 1], "pooled": []}

    low = pd.cut(rows.initial_error, [0, 0.1, 0.5, 0.9, 0.99, 1], labels=False)
    groups = rows.assign(known=known(rows)).groupby(["cost", "learning_rate", low], sort=False)
    assert len(table) == groups.ngroups
    for row in table.to_dict("records"):
        group = groups.get_group((row["cost"], row["learning_rate"], row["bin"]))
        finite = group.known[np.isfinite(group.known)]
        assert row["count"] == len(group)
        assert row["converged"] == len(finite)
        assert row["share_unconverged"] == pytest.approx(1 - len(finite) / len(group))
        for name, share in {"q10": 0.1, "q25": 0.25, "median": 0.5, "q90": 0.9}.items():
            exact = np.quantile(group.known, share, method="inverted_cdf")
            assert row[name] == (exact if exact <= 4096 else pytest.approx(exact, rel=1 / 2048))
            assert row[name] <= exact
        assert (row["min"], row["max"]) == pytest.approx(
            (finite.min(), finite.max()), rel=1 / 2048, nan_ok=True
        )
    stopped = (rows.status == "max_epochs").any()
    assert set(table.max_epochs.fillna(-1)) == {MAX_EPOCHS if stopped else -1}


def test_unconverged_is_no_number_of_epochs(rows: pd.DataFrame, tmp_path: Path) -> None:
    last = rows.initial_error > 0.99
    rows.loc[last, ["status", "epochs"]] = ["max_epochs", MAX_EPOCHS]
    some = rows.index[last][::10]
    rows.loc[some, "status"] = "non_finite"
    rows.loc[some, "epochs"] = 3
    table = epochs_by_error(write(rows, tmp_path / "r"), edges=[0, 0.99, 1])
    top = table[table.bin == 1]
    assert (top.share_unconverged == 1).all()
    assert np.isinf(top[["q10", "median", "q90"]]).all(axis=None)
    assert top[["min", "max"]].isna().all(axis=None)
    assert (table.max_epochs == MAX_EPOCHS).all()


def test_trained_only_leaves_out_zero_epochs(rows: pd.DataFrame, dataset: pads.Dataset) -> None:
    table = epochs_by_error(dataset, by=["cost"], edges=[0, np.inf], trained_only=True)
    trained = rows[(rows.status != "converged") | (rows.epochs > 0)]
    assert table["count"].tolist() == trained.groupby("cost", sort=False).size().tolist()
    assert table["min"].min() > 0


def test_default_edges() -> None:
    edges = error_edges()
    assert (np.diff(edges) > 0).all()
    assert {0.0, 0.1, 0.5, 0.9, 1.0} <= set(edges.tolist())
    inner = edges[1:-1]
    np.testing.assert_allclose(np.diff(np.log(inner / (1 - inner))), np.log(9) / 4, rtol=1e-6)
    assert error_edges(1.3)[-1] == 2  # tanh


def test_an_edge_belongs_to_the_bin_below(rows: pd.DataFrame, tmp_path: Path) -> None:
    rows["initial_error"] = 0.5
    table = epochs_by_error(write(rows, tmp_path / "r"))
    assert set(table.error_high) == {0.5}


def test_compare_costs_is_what_pandas_says(rows: pd.DataFrame, dataset: pads.Dataset) -> None:
    edges = [0, 0.5, 0.99, 1]
    table = compare_costs(dataset, edges=edges)
    wide = rows.assign(known=known(rows)).pivot_table(
        index=["learning_rate", "w0", "b0", "initial_error"], columns="cost", values="known"
    )
    wide = wide.reset_index()
    wide["bin"] = pd.cut(wide.initial_error, edges, labels=False)
    assert table.pairs.sum() == len(wide)
    for row in table.to_dict("records"):
        at = (wide.learning_rate == row["learning_rate"]) & (wide.bin == row["bin"])
        over, under = wide[at].quadratic, wide[at].cross_entropy
        neither, already = np.isinf(over) & np.isinf(under), (over == 0) & (under == 0)
        decided = ~neither & ~already
        expected = [
            (over < under).sum(),
            (over > under).sum(),
            ((over == under) & decided).sum(),
            neither.sum(),
            already.sum(),
        ]
        assert [row[name] for name in PAIR_OUTCOMES] == expected
        ratio = np.quantile(over[decided] / under[decided], 0.5, method="inverted_cdf")
        assert row["median"] == pytest.approx(ratio, rel=1 / 2048)


def test_compare_costs_pairs_batches_that_are_cut_apart(
    rows: pd.DataFrame, dataset: pads.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = compare_costs(dataset)
    monkeypatch.setattr(stream, "BATCH_ROWS", 37)
    pd.testing.assert_frame_equal(compare_costs(dataset), whole)


def test_compare_costs_refuses_what_it_cannot_pair(rows: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(SweepError, match="same number of rows"):
        compare_costs(write(rows[:-5], tmp_path / "short"))
    moved = rows.copy()
    moved.loc[len(rows) - 1, "initial_error"] /= 2
    with pytest.raises(SweepError, match="same starts"):
        compare_costs(write(moved, tmp_path / "moved"))
    with pytest.raises(SpecError, match="needs cross_entropy, this result has quadratic"):
        compare_costs(write(rows[rows.cost == "quadratic"], tmp_path / "one"))


def test_epochs_by_start_keeps_single_starts(rows: pd.DataFrame, dataset: pads.Dataset) -> None:
    table = epochs_by_start(dataset, cells=24)
    assert (table["count"] == 1).all()
    axes = ["cost", "learning_rate", "w0", "b0"]
    both = table.astype({"cost": str}).merge(rows.assign(known=known(rows)), on=axes)
    assert len(both) == len(rows)
    assert both.epochs_x.tolist() == both.known.tolist()
    assert both.initial_error_x.tolist() == both.initial_error_y.tolist()


def test_epochs_by_start_pools_blocks(rows: pd.DataFrame, dataset: pads.Dataset) -> None:
    table = epochs_by_start(dataset, cells=5)  # 24 values in blocks of 5, the last of 4
    assert table.w0.nunique() == table.b0.nunique() == 5
    values = np.unique(rows.w0)
    block = {value: i // 5 for i, value in enumerate(values)}
    assert np.unique(table.w0)[[0, -1]] == pytest.approx([values[:5].mean(), values[20:].mean()])
    rows = rows.assign(known=known(rows), i=rows.w0.map(block), j=rows.b0.map(block))
    groups = rows.groupby(["cost", "learning_rate", "i", "j"], sort=False)
    for row, (_, group) in zip(table.to_dict("records"), groups, strict=True):
        finite = group.known[np.isfinite(group.known)]
        assert row["count"] == len(group)
        assert row["share_unconverged"] == pytest.approx(1 - len(finite) / len(group))
        mean = np.expm1(np.log1p(finite).mean()) if 2 * len(finite) > len(group) else np.inf
        assert row["epochs"] == pytest.approx(mean)
        assert row["initial_error"] == pytest.approx(group.initial_error.mean())


def test_random_starts_fall_into_even_cells(tmp_path: Path) -> None:
    rows = result(num=20)
    rng = np.random.default_rng(1)
    for name in ("w0", "b0"):
        rows[name] = np.tile(rng.normal(size=400), 6)
    table = epochs_by_start(write(rows, tmp_path / "random"))
    assert table["count"].sum() == len(rows)
    assert 2 <= table.w0.nunique() <= 10
    steps = (np.unique(table.w0) - rows.w0.min()) / (np.ptp(rows.w0) / 10)
    np.testing.assert_allclose(steps % 1, 0.5)


def test_start_axes_that_do_not_vary(rows: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="two start axes"):
        epochs_by_start(write(rows[rows.b0 == 5], tmp_path / "line"))
    renamed = rows.rename(columns={"w0": "w0_1"}).assign(w0_2=1.0)
    table = epochs_by_start(write(renamed, tmp_path / "two-inputs"))
    assert table.columns[2:4].tolist() == ["w0_1", "b0"]


def test_further_axes_are_pooled_and_named(tmp_path: Path) -> None:
    rows = result(num=12, tolerance=[0.1, 0.01]).assign(y=0.0)
    dataset = write(rows, tmp_path / "r")
    for table in (epochs_by_error(dataset), compare_costs(dataset), epochs_by_start(dataset)):
        assert table.attrs["pooled"] == ["tolerance"]
    assert (epochs_by_start(dataset)["count"] == 2).all()


def test_nothing_to_read(rows: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no rows"):
        epochs_by_error(write(rows[:0], tmp_path / "empty", parts=1))
    with pytest.raises(SpecError, match="learning_rate: this result has no such column"):
        epochs_by_error(write(rows.drop(columns="learning_rate"), tmp_path / "lacking"))
    dataset = write(rows, tmp_path / "damaged")
    part = tmp_path / "damaged" / "part-1.parquet"
    part.write_bytes(part.read_bytes()[:200])
    with pytest.raises(SweepError, match=r"cannot read the result: .*part-1\.parquet"):
        epochs_by_error(dataset)


def test_counts_keep_twelve_significant_bits() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.integers(0, 2**31, 2000).astype(float), np.arange(4097)])
    table = counts.statistics([counts.count(np.arange(len(values)), values)], [0.5])
    kept = table["median"].to_numpy()
    assert (kept <= values).all()
    assert (kept[values <= 4096] == values[values <= 4096]).all()
    assert ((values - kept)[values > 0] / values[values > 0]).max() < 1 / 2048


def test_counts_of_nothing() -> None:
    nothing = counts.count(np.array([], np.intp), np.array([]))
    assert counts.statistics([nothing, nothing], [0.5]).empty


def test_findings(rows: pd.DataFrame, dataset: pads.Dataset) -> None:
    found = findings(dataset)
    json.dumps(found, allow_nan=False)
    trained = rows.assign(known=known(rows))[known(rows) > 0]
    for cost in found["costs"]:
        mine = trained[trained.cost == cost["cost"]]
        small = np.quantile(mine.known[mine.initial_error <= 0.5], 0.5, method="inverted_cdf")
        assert cost["median_small"] == small
        share = (rows[rows.cost == cost["cost"]].status != "converged").mean()
        assert cost["share_unconverged"] == pytest.approx(share)
    assert [win["learning_rate"] for win in found["wins"]] == list(RATES)
    for win in found["wins"]:
        shares = win["share_cross_entropy"] + win["share_quadratic"] + win["share_neither"]
        assert 0.9 < shares <= 1
    text = report(found)
    assert text.startswith("quadratic ")
    assert "cross-entropy needs fewer epochs than quadratic" in text
    assert len(text.splitlines()) == 2 + 1 + len(RATES)


def test_findings_of_what_did_not_converge(rows: pd.DataFrame, tmp_path: Path) -> None:
    rows = rows[rows.cost == "quadratic"].assign(status="max_epochs", epochs=MAX_EPOCHS)
    found = findings(write(rows, tmp_path / "r"))
    assert found["wins"] == []
    assert found["costs"][0]["median_large"] == "not reached"
    assert "not reached from above 0.9; unconverged: 100.0 % of" in report(found)


def test_findings_where_nothing_is_to_be_learned(rows: pd.DataFrame, tmp_path: Path) -> None:
    found = findings(write(rows.assign(status="converged", epochs=0), tmp_path / "r"))
    assert found["wins"] == []
    assert "none from above 0.9; unconverged: 0.0 % of" in report(found)


def test_findings_of_a_run_that_is_not_complete(rows: pd.DataFrame, tmp_path: Path) -> None:
    found = findings(write(rows[:-300], tmp_path / "r"))
    assert found["wins"] == []
    assert len(found["costs"]) == 2
