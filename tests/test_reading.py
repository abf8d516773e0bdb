"""A result read back: only what is needed, never more than fits, and by others' tools."""

import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest
import xarray

import sweep
from sweep.experiment.grid import Grid
from sweep.resources import free_memory

AXES = {
    "w": {"start": -4.0, "stop": 4.0, "num": 8},
    "b": {"start": -4.0, "stop": 4.0, "num": 25},
    "learning_rate": [0.1, 0.2, 0.5, 1.0],
}
RATES = (2, 3, 6, 7, 10, 11, 14, 15)  # parts of the second and the fourth learning rate
MEASURED = ["initial_error", "epochs", "status", "final_error"]


@pytest.fixture(scope="module")
def result(tmp_path_factory, make_result, plateau):
    """Sixteen parts of 100 rows, two for each cost and learning rate: w0 < 0 and w0 > 0."""
    folder = tmp_path_factory.mktemp("result")
    stop = {"tolerance": 0.1, "max_epochs": 300}
    make_result(folder, plateau, part_rows=100, axes=AXES, stop=stop)
    (folder / ".part-03-of-16.parquet.1-2.tmp").write_bytes(b"a run is under way")
    return folder


@pytest.fixture
def copy(result, tmp_path):
    shutil.copytree(result, tmp_path / "copy")
    return tmp_path / "copy"


def blot_out(folder, needed):
    """Overwrite all pages except those of the (part, column) that are needed, footers aside."""
    for part, path in enumerate(sorted(folder.glob("part-*"))):
        about = pq.read_metadata(path).row_group(0)
        raw = bytearray(path.read_bytes())
        for k in range(about.num_columns):
            column = about.column(k)
            if not needed(part, column.path_in_schema):
                first = column.dictionary_page_offset or column.data_page_offset
                raw[first : first + column.total_compressed_size] = (
                    b"\xff" * column.total_compressed_size
                )
        path.write_bytes(raw)


@pytest.mark.parametrize(
    ("columns", "where", "selected", "parts"),
    [
        (["epochs"], None, [], range(16)),
        (["w0", "epochs"], [("cost", "==", "cross_entropy")], ["cost"], range(8, 16)),
        (["epochs"], [("learning_rate", "in", [0.2, 1.0])], ["learning_rate"], RATES),
        (["epochs"], pads.field("w0") < pads.scalar(0), ["w0"], range(0, 16, 2)),
        (["epochs"], [("initial_error", "<", 0.02)], ["initial_error"], range(0, 16, 2)),
    ],
    ids=["column", "cost", "rates", "expression", "measured"],
)  # fmt: skip
def test_load_reads_only_what_it_must(result, copy, columns, where, selected, parts):
    expected = sweep.load(result, columns, where)
    assert len(expected) > 100
    blot_out(copy, lambda part, column: part in parts and column in columns + selected)
    pd.testing.assert_frame_equal(sweep.load(copy, columns, where), expected)
    with pytest.raises(sweep.SweepError, match=r"copy: cannot be read: .*; `sweep check` names"):
        sweep.load(copy)


def test_load_is_what_the_filter_of_the_whole_is(result):
    frame = sweep.load(result)
    assert frame.cost.dtype == pd.CategoricalDtype(["quadratic", "cross_entropy"])
    assert frame.status.dtype == pd.CategoricalDtype(["converged", "max_epochs", "non_finite"])
    assert {str(frame[name].dtype) for name in ("w0", "final_error")} == {"float64"}
    assert frame.epochs.dtype == np.int32
    some = sweep.load(
        result, ["status", "b0"], [("status", "!=", "converged"), ("w0", "not in", [4.0])]
    )
    expected = frame[(frame.status != "converged") & (frame.w0 != 4.0)][["status", "b0"]]
    pd.testing.assert_frame_equal(some, expected.reset_index(drop=True))
    frame.loc[0, "epochs"] = -1  # the frame is the caller's to write into


@pytest.mark.parametrize("how", ["==", "in", "!=", "not in"])
def test_a_value_of_an_axis_is_the_one_that_is_printed(how, tmp_path):
    axes = {"w": [0.5], "b": {"start": -1.0, "stop": 1.0, "num": 3}, "cost": "quadratic"}
    rates = {"start": 0.1, "stop": 1.0, "num": 3, "scale": "log"}
    sweep.run(sweep.Spec(axes=axes | {"learning_rate": rates}, stop={"max_epochs": 3}), tmp_path)
    whole = sweep.load(tmp_path)
    for value in (0.31622776601683794, 0.3162, 0.316, 0.31622777):
        wanted = [value, 0.1] if "in" in how else value
        values = [0.31622776601683794, 0.1] if "in" in how else [0.31622776601683794]
        held = whole.learning_rate.isin(values) == (how in ("==", "in"))
        where = [("learning_rate", how, wanted)]
        assert len(sweep.load(tmp_path, where=where)) == held.sum() > 0
        assert sweep.load_grid(tmp_path, where=where).epochs.size == held.sum()
    for value in (0.3, 0.31, 0.3161, 0.32, 5.0):
        says = r"learning_rate .*: is not on this axis; the nearest is (0.316|1.0)"
        wanted = [0.1, value] if "in" in how else value
        for read in (sweep.load, sweep.load_grid):
            with pytest.raises(sweep.SpecError, match=says):
                read(tmp_path, where=[("learning_rate", how, wanted)])


def test_values_of_format_2_are_found_whatever_cpu_wrote_them():
    folder = Path(__file__).with_name("data") / "format-2"
    for value in sweep.open(folder).spec.values("learning_rate").tolist():
        assert len(sweep.load(folder, where=[("learning_rate", "==", value)])) == 384
    assert len(sweep.load(folder, where=[("learning_rate", "==", 0.0464)])) == 384


def test_a_status_is_equal_to_itself_wherever_it_stands(result):
    frame, grid = sweep.load(result), sweep.load_grid(result)
    for status in sweep.Status:
        named = frame.status == status.name
        assert (frame.status == status).equals(named)
        assert (status == frame.status).equals(named)
        assert (frame.status != status).equals(~named)
        assert (frame.status.astype(str) == status).equals(named)
        assert int((grid.status == status).sum()) == named.sum()
        assert (pd.Series(grid.status.values.ravel()) == status).sum() == named.sum()
        assert (grid.status.values == status).sum() == named.sum()
        where = [("status", "==", status)]
        assert len(sweep.load(result, where=where)) == named.sum()
        assert (
            len(sweep.load(result, where=[("status", "in", [status, "non_finite"])])) >= named.sum()
        )
    assert len({*sweep.Status, 0, 1, 2}) == 3
    assert sweep.Status.converged == 0 != sweep.Status.max_epochs
    assert (sweep.train(2.0, 2.0, learning_rate=0.1, cost="quadratic", x=1, y=0, tolerance=0.1,
                        max_epochs=1).status == sweep.Status.max_epochs).all()  # fmt: skip


def test_grids_of_two_specs_can_be_combined(tmp_path):
    axes = {"w": [0.5, 1.0], "b": [0.0], "cost": "quadratic"}
    grids = []
    for rate in (0.1, 0.2):
        spec = sweep.Spec(axes=axes | {"learning_rate": [rate]}, stop={"max_epochs": 3})
        sweep.run(spec, tmp_path / str(rate))
        grids.append(sweep.load_grid(tmp_path / str(rate)))
    both = xarray.combine_by_coords(grids, combine_attrs="no_conflicts", join="outer")
    assert dict(both.sizes) == {"cost": 1, "learning_rate": 2, "w0": 2, "b0": 1}


def test_an_empty_selection_keeps_the_types(result):
    frame = sweep.load(result, where=[("epochs", ">", 10**6)])
    assert len(frame) == 0
    pd.testing.assert_series_equal(frame.dtypes, sweep.load(result).dtypes)
    assert len(sweep.load(result, where=[("w0", "in", [])])) == 0


@pytest.mark.parametrize(
    ("columns", "where", "message"),
    [
        (["epoch"], None, "columns: 'epoch' is no column here; known: cost, learning_rate"),
        ("epochs", None, "columns = 'epochs': must be a list of names"),
        ([], None, r"columns = \[\]: must be a list of names, at least one"),
        (None, [("epoch", ">", 1)], r"where: column = 'epoch': .* \(did you mean 'epochs'\?\)"),
        (None, [("epochs", "=>", 1)], "where: operator = '=>': must be one of ==, !=, <, <=, "),
        (None, [("epochs", ">", "1")], "where: epochs > '1': must be a number"),
        (None, [("epochs", ">", True)], "where: epochs > True: must be a number"),
        (None, [("epochs", "in", 1)], "where: epochs in 1: must be a list of values"),
        (None, [("cost", "in", "quadratic")], "where: cost in 'quadratic': must be a list"),
        (None, [("cost", "==", "quadratc")], "where: cost = 'quadratc': .*mean 'quadratic'"),
        (None, [("status", ">", "converged")], "where: status > 'converged': names have no order"),
        (None, ("epochs", ">", 1), r"where: 'epochs': must be \(column, operator, value\)"),
        (None, [("w0", ">", 10**40)], "where = .*: Python int too large"),
        (None, pads.field("epoch") > 1, "where = .*: No match for FieldRef.Name.epoch"),
        (None, pads.field("epochs") > "a", "where = .*: "),
    ],
)  # fmt: skip
def test_what_load_refuses(result, columns, where, message):
    with pytest.raises(sweep.SpecError, match=message) as caught:
        sweep.load(result, columns, where)
    assert "\n" not in str(caught.value)


def test_damaged_and_foreign_parts_are_not_read(copy):
    files = sorted(copy.glob("part-*"))
    files[3].write_bytes(files[3].read_bytes()[:-50])
    files[5].write_bytes(files[6].read_bytes())
    files[8].unlink()  # not computed yet: the others are read
    message = "part-03-of-16.parquet is damaged, part-05-of-16.parquet belongs to another sweep"
    with pytest.raises(sweep.SweepError, match=message):
        sweep.load(copy)
    with pytest.raises(sweep.SweepError, match=message):
        sweep.scan(copy)
    for damaged in (files[3], files[5]):
        damaged.unlink()
    assert len(sweep.load(copy)) == sweep.scan(copy).count_rows() == 1300


def test_a_flipped_bit_is_not_read(copy):
    path = copy / "part-00-of-16.parquet"
    raw, about = path.read_bytes(), pq.read_metadata(path).row_group(0)
    column = next(
        about.column(k) for k in range(8) if about.column(k).path_in_schema == "final_error"
    )
    last = column.data_page_offset + column.total_compressed_size - 1
    for byte in range(last - 20, last):
        path.write_bytes(raw[:byte] + bytes([raw[byte] ^ 1]) + raw[byte + 1 :])
        with pytest.raises(sweep.SweepError, match="copy: cannot be read: "):
            sweep.load(copy, ["final_error"])


LIMITED = """
import os, resource, sys
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])  # threads' stacks are addresses too
import pandas, sweep
from sweep.resources import free_memory
folder, more = sys.argv[1], int(sys.argv[2])
sweep.scan(folder).head(10)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + more, -1))
assert abs(free_memory() - more) < 2**26, free_memory()
try:
    sweep.load(folder)
except sweep.SweepError as error:
    print(error)
print(len(sweep.load(folder, ["epochs"], [("cost", "==", "quadratic")])))
"""


def test_a_table_larger_than_memory_is_refused_with_advice(tmp_path, make_result, plateau):
    axes = {**AXES, "w": {**AXES["w"], "num": 1000}, "b": {**AXES["b"], "num": 1000}}
    make_result(tmp_path, plateau, axes=axes)  # 8 million rows of 42 bytes
    out = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path, str(2**28)],
        capture_output=True,
        text=True,
        env={**os.environ, "MALLOC_ARENA_MAX": "1"},  # or each thread takes 64 MiB of addresses
    )
    assert out.stderr == ""
    captured, rows = out.stdout.splitlines()
    assert re.fullmatch(
        re.escape(f"{tmp_path}: 8,000,000 rows of 8 columns take 0.34 GiB of memory, and ")
        + r"0\.[12]\d GiB are free; load fewer columns or \(where=\) fewer rows, or stream "
        "them with sweep.scan",
        captured,
    )
    assert rows == "4000000"


@pytest.mark.parametrize("inside", [True, False], ids=["container", "host"])
@pytest.mark.parametrize("version", [1, 2])
def test_free_memory_heeds_every_cgroup(tmp_path, version, inside):
    """Files as the kernel lays them out; a container sees only its own, at the mount's top."""
    kernel = {
        1: ("4:cpu,memory:", "memory/", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
        2: ("0::", "", "memory.max", "memory.current", ""),
    }
    line, below, limit, used, prefix = kernel[version]
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable:   50000000 kB\n")
    (tmp_path / "proc/self/cgroup").write_text(f"1:name=systemd:/a/b\n{line}/a/b\n")
    top = tmp_path / "sys/fs/cgroup" / below
    no_limit = "max" if version == 2 else "9223372036854771712"
    limits = {"": 4000} if inside else {"": no_limit, "a": 9000, "a/b": no_limit}
    for path, most in limits.items():
        (top / path).mkdir(parents=True, exist_ok=True)
        (top / path / limit).write_text(f"{most}\n")
        (top / path / used).write_text("3000\n")
        (top / path / "memory.stat").write_text(
            f"anon 7\n{prefix}inactive_file 400\n{prefix}active_file 200\n"
        )
    assert free_memory(tmp_path) == (1600 if inside else 6600)
    (tmp_path / "proc/self/cgroup").unlink()
    assert free_memory(tmp_path) == 50_000_000 * 1024
    (tmp_path / "proc/meminfo").unlink()
    assert free_memory(tmp_path) == os.sysconf("SC_PHYS_PAGES") * resource.getpagesize()


def test_the_files_are_one_table_in_duckdb_polars_and_pandas(result):
    ours = sweep.load(result)
    text = ours.astype({"cost": str, "status": str})
    glob = f"{result}/part-*.parquet"

    query = "SELECT cost, sum(epochs), count(*) FROM '{}' WHERE w0 > 0 GROUP BY cost ORDER BY cost"
    found = duckdb.sql(query.format(glob)).fetchall()
    positive = text[text.w0 > 0].groupby("cost").epochs
    assert found == [(cost, positive.sum()[cost], 1600 // 4) for cost in sorted(set(text.cost))]
    by_duckdb = duckdb.sql(f"SELECT * FROM '{glob}'").df()
    pd.testing.assert_frame_equal(by_duckdb, text, check_exact=True, check_dtype=False)

    by_polars = polars.read_parquet(glob)
    pd.testing.assert_frame_equal(
        pd.DataFrame(by_polars.to_dict(as_series=False)), text, check_exact=True, check_dtype=False
    )
    slow = polars.scan_parquet(glob).filter(polars.col("epochs") > 100).select("w0").collect()
    assert slow["w0"].to_list() == text.w0[text.epochs > 100].tolist()

    by_pandas = pd.read_parquet(sorted(result.glob("part-*.parquet")))
    pd.testing.assert_frame_equal(
        by_pandas.astype({"cost": str, "status": str}), text, check_exact=True
    )


def test_a_grid_is_the_table_over_its_axes(result):
    grid = sweep.load_grid(result)
    frame = sweep.load(result)
    assert dict(grid.sizes) == {"cost": 2, "learning_rate": 4, "w0": 8, "b0": 25}
    assert list(grid) == MEASURED
    assert grid.epochs.dtype == np.int32
    assert sweep.Spec.parse(grid.encoding["spec"]).id == sweep.open(result).spec.id
    for row in frame.sample(200, random_state=0).itertuples():
        cell = grid.sel(cost=row.cost, learning_rate=row.learning_rate, w0=row.w0, b0=row.b0)
        assert cell.epochs == row.epochs
        assert sweep.Status(cell.status.item()).name == row.status
        assert (cell.initial_error, cell.final_error) == (row.initial_error, row.final_error)
    back = grid.epochs.to_dataframe().reset_index()
    assert (back[["learning_rate", "w0", "b0", "epochs"]] == frame[back.columns[1:]]).all(axis=None)


def test_a_grid_of_some_of_the_axes_reads_only_them(result, copy):
    where = [("learning_rate", "==", 0.2), ("b0", ">", 0), ("cost", "!=", "quadratic")]
    expected = sweep.load_grid(result).sel(learning_rate=[0.2], cost=["cross_entropy"])
    expected = expected.where(expected.b0 > 0, drop=True).epochs.astype(np.int32)
    named = ["epochs", *(column for column, _, _ in where)]
    blot_out(copy, lambda part, column: part in (10, 11) and column in named)
    grid = sweep.load_grid(copy, ["epochs"], where)
    assert grid.epochs.shape == (1, 1, 8, 12)
    assert grid.epochs.equals(expected)
    assert sweep.load_grid(copy, ["epochs"], [("w0", ">", 99)]).epochs.shape == (2, 4, 0, 25)


def test_a_grid_of_drawn_starts_has_one_dimension_for_them(tmp_path, make_result, plateau):
    fields = {
        "axes": {"learning_rate": [0.1, 0.5], "tolerance": [0.1, 0.2]},
        "start": {"random": "normal", "count": 50, "scale": 3.0},
    }
    make_result(tmp_path, plateau, **fields)
    grid = sweep.load_grid(tmp_path)
    assert grid.epochs.dims == ("cost", "learning_rate", "tolerance", "start")
    starts = Grid(sweep.Spec(**fields)).starts(0, 50)
    assert (np.column_stack([grid.w0, grid.b0]) == starts).all()
    assert (grid.epochs.to_numpy().ravel() == sweep.load(tmp_path).epochs).all()
    right = sweep.load_grid(tmp_path, where=[("w0", ">", 0), ("tolerance", "==", 0.2)])
    assert right.equals(grid.sel({"tolerance": [0.2]}).isel(start=grid.w0 > 0))


def test_what_load_grid_refuses(copy, monkeypatch):
    with pytest.raises(
        sweep.SpecError, match="columns: 'w0' is no column here; known: initial_error"
    ):
        sweep.load_grid(copy, ["w0"])
    with pytest.raises(sweep.SpecError, match=r"where: epochs is no axis.*; known: cost, learning"):
        sweep.load_grid(copy, where=[("epochs", ">", 3)])
    with pytest.raises(sweep.SpecError, match="where: must be a list of"):
        sweep.load_grid(copy, where=pads.field("w0") > 1)
    (copy / "part-09-of-16.parquet").unlink()
    with pytest.raises(sweep.SweepError, match="100 of the 1,600 selected cells are not computed"):
        sweep.load_grid(copy)
    assert sweep.load_grid(copy, where=[("cost", "==", "quadratic")]).epochs.size == 800
    monkeypatch.setitem(sys.modules, "xarray", None)  # as where it is not installed
    with pytest.raises(sweep.SpecError, match=r"needs xarray: pip install xarray"):
        sweep.load_grid(copy)
