"""A sweep's folder: what is written, resumed, refused and read back."""

import json
import resource

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import sweep
from sweep.experiment.grid import Grid
from sweep.store.folder import open_folder, write_whole
from sweep.store.schema import METADATA_KEY

SMALL = {
    "name": "small",
    "axes": {
        "w": {"start": -4.0, "stop": 4.0, "num": 13},
        "b": {"start": -4.0, "stop": 4.0, "num": 11},
        "learning_rate": [0.1, 0.5],
    },
    "stop": {"tolerance": 0.1, "max_epochs": 300},
}


def spec(**change):
    return sweep.Spec(**{**SMALL, **change})


def parts(folder):
    return {path.name: path.read_bytes() for path in folder.glob("part-*.parquet")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    sweep.run(spec(), folder, threads=1)
    return folder


def test_a_result_holds_every_cell_with_its_training(whole):
    frame = sweep.load(whole)
    assert list(frame) == [
        "cost", "learning_rate", "w0", "b0", "initial_error", "epochs", "status", "final_error",
    ]  # fmt: skip
    assert len(frame) == 2 * 2 * 13 * 11
    assert not frame.duplicated(["cost", "learning_rate", "w0", "b0"]).any()
    for cost, panel in frame.groupby("cost", observed=True):
        trained = sweep.train(
            panel.w0, panel.b0, learning_rate=panel.learning_rate.astype(float), cost=cost,
            x=1.0, y=0.0, tolerance=0.1, max_epochs=300,
        )  # fmt: skip
        assert (panel.epochs == trained.epochs).all()
        assert (panel.final_error == trained.final_error).all()
        assert (panel.initial_error == trained.initial_error).all()
        assert (panel.status == [sweep.Status(s).name for s in trained.status]).all()
    assert set(frame.status) == {"converged", "max_epochs"}


def test_files_say_what_they_are(whole):
    paths = sorted(whole.glob("*"))
    assert [p.name for p in paths[:2]] == ["_spec.parquet", "part-00-of-16.parquet"]
    assert len(paths) == 17
    about = json.loads(pq.read_schema(paths[2]).metadata[METADATA_KEY])
    assert about["id"] == spec().id
    assert about["part"] == 1
    assert about["method"] == "train"
    assert " ".join(sorted(about["versions"])) == "llvmlite neuron-sweep numba numpy pyarrow python"
    assert sweep.Spec.parse(about["spec"]).id == spec().id
    assert sweep.open(whole).spec.id == spec().id


@pytest.mark.parametrize("threads", [2, 3])
def test_bits_do_not_depend_on_threads(whole, tmp_path, threads):
    sweep.run(spec(), tmp_path, threads=threads)
    assert parts(tmp_path) == parts(whole)


@pytest.mark.parametrize("part_rows", [1000, 37, 1])
def test_rows_do_not_depend_on_the_size_of_parts(whole, tmp_path, part_rows):
    small = {"axes": {**SMALL["axes"], "b": [0.3, 0.7]}}
    expected = sweep.run(spec(**small), tmp_path / "a")
    ran = sweep.run(spec(**small, part_rows=part_rows), tmp_path / "b")
    assert ran.parts == -(-expected.cells // part_rows)
    pd.testing.assert_frame_equal(
        sweep.load(tmp_path / "a"), sweep.load(tmp_path / "b"), check_exact=True
    )


def test_a_second_run_reuses_everything(whole):
    before = {p: p.stat().st_mtime_ns for p in whole.iterdir()}
    ran = sweep.run(spec(), whole)
    assert (ran.computed, ran.reused, ran.missing, ran.neuron_epochs) == (0, 16, 0, 0)
    assert {p: p.stat().st_mtime_ns for p in whole.iterdir()} == before


def test_a_run_computes_what_is_missing_or_damaged_and_only_that(whole, tmp_path):
    sweep.run(spec(), tmp_path)
    files = sorted(tmp_path.glob("part-*"))
    files[3].unlink()
    files[5].write_bytes(files[5].read_bytes()[:-100])
    files[7].write_bytes(files[8].read_bytes())
    assert sweep.check(tmp_path) == [
        "part-03-of-16.parquet is missing",
        "part-05-of-16.parquet is damaged",
        "part-07-of-16.parquet belongs to another sweep",
    ]
    ran = sweep.run(spec(), tmp_path)
    assert (ran.computed, ran.reused) == (3, 13)
    assert parts(tmp_path) == parts(whole)
    assert sweep.check(tmp_path) == []


def test_shards_fill_one_folder(whole, tmp_path):
    first = sweep.run(spec(), tmp_path, shard=(1, 3))
    assert (first.computed, first.missing) == (6, 10)
    for number in (2, 3):
        last = sweep.run(spec(), tmp_path, shard=(number, 3))
    assert last.missing == 0
    assert parts(tmp_path) == parts(whole)


@pytest.mark.parametrize("shard", [(0, 3), (4, 3), (1, 0)])
def test_impossible_shards(tmp_path, shard):
    with pytest.raises(sweep.SpecError, match="must be I/N"):
        sweep.run(spec(), tmp_path / "new", shard=shard)
    assert not (tmp_path / "new").exists()


def test_a_folder_of_another_spec_is_refused_with_the_difference(whole):
    before = parts(whole)
    other = spec(stop={"tolerance": 0.2, "max_epochs": 300})
    with pytest.raises(sweep.SpecError, match=r"another sweep: stop.tolerance is 0.1 there, 0.2"):
        sweep.run(other, whole)
    with pytest.raises(sweep.SpecError, match="part_rows is None there, 7 here"):
        sweep.run(spec(part_rows=7), whole)
    longer = spec(axes={**SMALL["axes"], "learning_rate": [0.1, 0.5, 1.0]})
    with pytest.raises(sweep.SpecError, match="to extend an axis, run its new values alone into"):
        sweep.run(longer, whole)
    assert parts(whole) == before


def test_parts_without_a_spec_are_refused(whole, tmp_path):
    (tmp_path / "part-0-of-1.parquet").write_bytes(b"")
    with pytest.raises(sweep.SpecError, match=r"has parts but no _spec.parquet"):
        sweep.run(spec(), tmp_path)


def test_folders_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(sweep.SpecError, match=r"file.*: cannot be made"):
        sweep.run(spec(), tmp_path / "file" / "below")
    with pytest.raises(sweep.SpecError, match="holds no results of sweep"):
        sweep.load(tmp_path)
    (tmp_path / "spec.toml").write_text(spec().toml())
    with pytest.raises(sweep.SpecError, match="has no parts yet"):
        sweep.load(tmp_path)


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, hard))
    try:
        with pytest.raises(sweep.SweepError, match="part: cannot be written: File too large"):
            write_whole(open_folder(tmp_path), "part", bytes(10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_grid_takes_few_bytes(tmp_path):
    side = {"start": -5.0, "stop": 5.0, "num": 256}
    grid = spec(axes={"w": side, "b": side, "learning_rate": [0.1], "cost": ["quadratic"]})
    rows = sweep.run(grid, tmp_path).cells
    assert sum(map(len, parts(tmp_path).values())) < 4 * rows  # 2.8; in memory 44
    footer = pq.read_metadata(tmp_path / "part-05-of-16.parquet")
    assert footer.num_row_groups == 1
    for place in range(footer.num_columns):
        column = footer.row_group(0).column(place)
        assert column.statistics.has_min_max, column.path_in_schema
        assert column.compression == "ZSTD"


def test_load_reads_what_is_asked(whole):
    frame = sweep.load(whole)
    some = sweep.load(
        whole, columns=["w0", "epochs"], where=[("cost", "==", "quadratic"), ("epochs", ">", 50)]
    )
    expected = frame[(frame.cost == "quadratic") & (frame.epochs > 50)]
    assert list(some) == ["w0", "epochs"]
    assert some.epochs.tolist() == expected.epochs.tolist()
    with pytest.raises(
        sweep.SpecError, match="columns: 'epoch' is no column here; known: cost, learning_rate"
    ):
        sweep.load(whole, columns=["epoch"])


def test_further_axes_several_inputs_and_drawn_starts(tmp_path):
    drawn = spec(
        axes={"learning_rate": [0.1], "tolerance": [0.1, 0.2]},
        task={"x": [[1.0, 2.0], [3.0, 4.0]], "y": [0.0, 1.0]},
        stop={"max_epochs": 300},
        start={"random": "normal", "count": 50},
    )
    sweep.run(drawn, tmp_path / "drawn")
    frame = sweep.load(tmp_path / "drawn")
    assert list(frame)[:6] == ["cost", "learning_rate", "tolerance", "w0_1", "w0_2", "b0"]
    starts = Grid(drawn).starts(0, 50)
    assert (frame[["w0_1", "w0_2", "b0"]].to_numpy() == np.tile(starts, (4, 1))).all()
    crossed = spec(axes={**SMALL["axes"], "x": [0.5, 1.0], "y": [0.0, 1.0]})
    sweep.run(crossed, tmp_path / "crossed")
    frame = sweep.load(tmp_path / "crossed")
    assert len(frame) == 4 * 2 * 2 * 13 * 11
    row = frame[(frame.x == 0.5) & (frame.y == 1.0)].iloc[77]
    again = sweep.train(
        row.w0, row.b0, learning_rate=row.learning_rate, cost=row.cost, x=0.5, y=1.0,
        tolerance=0.1, max_epochs=300,
    )  # fmt: skip
    assert again.epochs[0] == row.epochs
