"""What befalls a result's files, each for real: found, named, made good, nothing else touched."""

import ctypes
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import sweep
from sweep.analysis.row_groups import open_result
from sweep.cli import main
from sweep.experiment.grid import Grid
from sweep.figures.draw import Tables
from sweep.store.checksum import BLANK, CHECKSUM_KEY, FOOTER_KEY, write_checksums
from sweep.store.folder import files, open_folder, remove_unfinished, write_whole
from sweep.store.schema import FORMAT, METADATA_KEY, OLDEST

FIELDS = {
    "name": "small",
    "axes": {
        "w": {"start": -4.0, "stop": 4.0, "num": 12},
        "b": {"start": -4.0, "stop": 4.0, "num": 10},
        "learning_rate": [0.1],
    },
    "stop": {"max_epochs": 300},
    "part_rows": 30,  # eight parts
}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    sweep.run(sweep.Spec(**FIELDS), folder)
    return folder


@pytest.fixture
def whole(made, tmp_path):
    return shutil.copytree(made, tmp_path / "whole")


def test_a_flip_of_any_byte_is_found_and_made_good(tmp_path):
    spec = sweep.Spec(**{**FIELDS, "part_rows": 120})
    sweep.run(spec, tmp_path)
    path = tmp_path / "part-0-of-2.parquet"
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    ends = [*range(8), *range(len(content) - 8, len(content))]
    places = np.concatenate([ends, rng.integers(0, len(content), 300)])
    first = content.index(CHECKSUM_KEY)  # the footer's keys and the checksum itself as well
    places = np.concatenate(
        [places, range(first - 4, first + len(CHECKSUM_KEY) + 2 + len(BLANK) + 2)]
    )
    for place, bit in zip(places, rng.integers(0, 8, len(places)), strict=True):
        flipped = bytearray(content)
        flipped[place] ^= 1 << bit
        path.write_bytes(flipped)
        assert sweep.check(tmp_path) == ["part-0-of-2.parquet is damaged"], (place, bit)
    assert sweep.run(spec, tmp_path).computed == 1
    assert path.read_bytes() == content


def test_no_flip_in_a_footer_gives_other_numbers(tmp_path):
    spec = sweep.Spec(**{**FIELDS, "part_rows": 120})
    sweep.run(spec, tmp_path)
    path = tmp_path / "part-0-of-2.parquet"
    content, right = path.read_bytes(), sweep.load(tmp_path)
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    rng, found = np.random.default_rng(0), 0
    for place in range(footer, len(content), 3):
        flipped = bytearray(content)
        flipped[place] ^= 1 << rng.integers(8)
        path.write_bytes(flipped)
        try:
            assert sweep.load(tmp_path).equals(right)  # a digit of the checksum of the whole
        except sweep.SweepError as error:
            found += "part-0-of-2.parquet is damaged" in str(error)
    assert found > (len(content) - footer) / 3 - 30
    for read in (sweep.load_grid, sweep.scan, open_result):
        with pytest.raises(sweep.SweepError, match=r"part-0-of-2.parquet is damaged"):
            read(tmp_path)


def forged(path, change, **about):
    """Write a part anew, changed, with seals that hold."""
    table = pq.read_table(path)
    table = change(table).replace_schema_metadata(table.schema.metadata)
    kept = json.loads(table.schema.metadata[METADATA_KEY])
    for key, value in about.items():
        kept.pop(key) if value is None else kept.update({key: value})
    text = about.get("text", json.dumps(kept))
    blank = {METADATA_KEY: text, FOOTER_KEY: BLANK, CHECKSUM_KEY: BLANK}
    file = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(blank), file)
    content = memoryview(file.getvalue()).cast("B")
    write_checksums(content)
    path.write_bytes(content)


def as_is(table):
    return table


def unknown_status(table):
    names = pa.array(["broken"] * len(table)).dictionary_encode()
    return table.set_column(table.schema.get_field_index("status"), "status", names)


@pytest.mark.parametrize(
    ("change", "about"),
    [
        (lambda table: table.drop_columns("epochs"), {}),
        (lambda table: table.set_column(0, "cost", pa.array(range(len(table)))), {}),
        (lambda table: table.slice(1), {}),
        (as_is, {"method": None}),
        (as_is, {"versions": None}),
        (as_is, {"format": "three"}),
        (as_is, {"text": "[" * 100_000 + "]" * 100_000}),
        (as_is, {"text": "[1, 2]"}),
        (as_is, {"text": "not JSON"}),
        (unknown_status, {}),
    ],
)
def test_hostile_parts_are_one_line(change, about, whole, capsys):
    forged(whole / "part-1-of-8.parquet", change, **about)
    for command in ("info", "plot"):
        assert main([command, str(whole)]) in (1, 2)
        captured = capsys.readouterr().err
        assert captured.count("\n") == 1
        assert "part-1-of-8.parquet" in captured
    with pytest.raises(sweep.SweepError) as caught:
        sweep.load(whole)
    assert str(caught.value).isprintable()


def test_each_fault_is_named_and_made_good_and_no_other_part_is_touched(whole, capsys):
    before = contents(whole)
    parts = sorted(whole.glob("part-*"))
    parts[0].write_bytes(parts[0].read_bytes()[:-100])
    flipped = bytearray(parts[1].read_bytes())
    flipped[len(flipped) // 3] ^= 16
    parts[1].write_bytes(flipped)
    parts[2].unlink()
    foreign = pa.table({"w0": [1.0], "epochs": [3]})
    pq.write_table(foreign, parts[3])
    parts[4].write_bytes(b"")
    parts[5].write_bytes(parts[6].read_bytes())
    pq.write_table(foreign, whole / "part-xyz.parquet")
    assert sweep.check(whole) == [
        "part-0-of-8.parquet is damaged",
        "part-1-of-8.parquet is damaged",
        "part-2-of-8.parquet is missing",
        "part-3-of-8.parquet belongs to another sweep",
        "part-4-of-8.parquet is damaged",
        "part-5-of-8.parquet belongs to another sweep",
        "part-xyz.parquet is no part of this sweep",
    ]
    times = {path: path.stat().st_mtime_ns for path in parts[6:]}
    (whole.parent / "spec.toml").write_text(sweep.Spec(**FIELDS).toml())
    assert main(["run", str(whole.parent / "spec.toml"), "-o", str(whole)]) == 0
    captured = capsys.readouterr()
    assert "2 parts were kept" in captured.out
    assert "part-xyz.parquet: is no part of this sweep; move it away" in captured.err
    assert sweep.check(whole) == ["part-xyz.parquet is no part of this sweep"]
    (whole / "part-xyz.parquet").unlink()
    assert {name: contents(whole)[name] for name in before} == before
    assert {path: path.stat().st_mtime_ns for path in parts[6:]} == times


def test_a_shard_looks_into_its_own_parts_only(whole):
    parts = sorted(whole.glob("part-*"))
    for path in parts[:2]:
        path.write_bytes(b"PAR1")
    spec = sweep.Spec(**FIELDS)
    ran = sweep.run(spec, whole, shard=(2, 2))
    assert (ran.computed, ran.reused, ran.missing) == (1, 7, 0)
    assert sweep.check(whole) == ["part-0-of-8.parquet is damaged"]


@pytest.mark.parametrize("theirs", [OLDEST - 1, FORMAT + 1])
def test_another_format_is_refused_with_both_versions(whole, theirs):
    path = whole / "part-3-of-8.parquet"
    table = pq.read_table(path)
    about = json.loads(table.schema.metadata[METADATA_KEY]) | {"format": theirs}
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: json.dumps(about)}), path)
    before = contents(whole)
    message = (
        rf"part-3-of-8.parquet: has format {theirs}, this version of sweep reads formats {OLDEST} "
        rf"to {FORMAT}; .*{sweep.__version__}"
    )
    for look in (sweep.check, open_result, lambda path: sweep.run(sweep.Spec(**FIELDS), path)):
        with pytest.raises(sweep.SpecError, match=message):
            look(whole)
    assert contents(whole) == before


FORMAT_2 = Path(__file__).with_name("data") / "format-2"


def test_a_folder_of_format_2_is_read_and_gives_its_numbers(tmp_path):
    folder = shutil.copytree(FORMAT_2, tmp_path / "old")
    assert sweep.check(folder) == []
    frame = sweep.load(folder)
    grid = Grid(sweep.open(folder).spec)
    ours = grid.columns(range(grid.size))
    for name in ("learning_rate", "w0", "b0"):  # the CPU that wrote it rounded otherwise
        assert frame[name].to_numpy() == pytest.approx(ours[name.strip("0")], rel=4e-16, abs=0)
    kept = json.loads(FORMAT_2.with_suffix(".json").read_text())
    tables = Tables(open_result(folder))
    for name, numbers in kept["error"].items():
        numbers = [np.inf if number is None else number for number in numbers]
        assert tables.by_error[name].tolist() == numbers, name
    by = tables.by_start.replace(np.inf, 10_000).groupby(["cost", "learning_rate"], observed=True)
    assert by["epochs"].sum().tolist() == kept["heatmap"]


def test_a_run_reads_format_2_and_does_not_add_to_it(tmp_path):
    folder = shutil.copytree(FORMAT_2, tmp_path / "old")
    spec = sweep.open(folder).spec
    assert sweep.run(spec, folder).computed == 0
    (folder / "part-0-of-2.parquet").unlink()
    before = contents(folder)
    with pytest.raises(sweep.SpecError, match=r"holds parts of format 2, .* into another folder"):
        sweep.run(spec, folder)
    assert contents(folder) == before


@pytest.mark.parametrize("axis", ["learning_rate", "start"])
def test_parts_with_other_values_on_an_axis_are_refused(axis, tmp_path, monkeypatch):
    rates = {"start": 0.01, "stop": 1.0, "num": 9, "scale": "log"}
    spec = sweep.Spec(
        axes={"learning_rate": rates}, start={"random": "normal", "count": 50}, part_rows=300
    )
    right = Grid.hashes.func

    def another_machine_s(grid):  # one that rounds otherwise, or draws otherwise
        return right(grid) | {axis: "0123456789abcdef"}

    with monkeypatch.context() as patch:
        patch.setattr(Grid, "hashes", property(another_machine_s))
        sweep.run(spec, tmp_path, shard=(1, 3))
    says = f"part-0-of-3.parquet has other values of {axis} than this machine computes"
    assert sweep.check(tmp_path)[0].startswith(says)
    for read in (sweep.load, sweep.scan, sweep.load_grid, open_result):
        with pytest.raises(sweep.SweepError, match=says):
            read(tmp_path)
    sweep.run(spec, tmp_path)  # computes it anew
    assert sweep.check(tmp_path) == []
    assert len(sweep.load(tmp_path).learning_rate.unique()) == 9


def test_a_long_spec_stands_in_the_folder_and_not_in_each_part(tmp_path):
    x = np.linspace(0.0, 1.0, 5000).tolist()
    axes = {"w": [0.5, 1.0, 1.5], "b": [0.0], "learning_rate": [0.1], "cost": "quadratic"}
    spec = sweep.Spec(axes=axes, task={"x": x, "y": x}, stop={"max_epochs": 3}, part_rows=1)
    sweep.run(spec, tmp_path)
    assert max(path.stat().st_size for path in tmp_path.glob("part-*")) < 10_000
    assert sweep.check(tmp_path) == []


def test_the_next_run_removes_what_killed_runs_left(whole):
    before = contents(whole)
    mine = (".part-0-of-8.parquet.4711-0123abcd.tmp", ".error.png.1-ffffffff.tmp")
    others = (".part-0.tmp", "notes.1-0123abcd.tmp", ".x.4711-0123abcd.tmp.parquet.gz")
    for name in (*mine, *others):
        (whole / name).write_text("half")
    sweep.run(sweep.Spec(**FIELDS), whole)
    assert contents(whole) == before | dict.fromkeys(others, b"half")


def test_a_file_that_another_run_sweeps_away_while_it_is_written_is_written_again(tmp_path):
    folder, content, swept = open_folder(tmp_path), bytes(30_000_000), 0
    writing = threading.Thread(target=write_whole, args=(folder, "part", content))
    writing.start()
    while writing.is_alive() and swept < 2:
        unfinished = [name for name in files(folder) if name.endswith(".tmp")]
        remove_unfinished(folder, unfinished)
        swept += len(unfinished)
    writing.join()
    assert swept == 2
    assert [path.name for path in tmp_path.iterdir()] == ["part"]
    assert (tmp_path / "part").read_bytes() == content


def test_any_reader_takes_a_sealed_file_as_it_is(whole):
    for path in whole.glob("part-*"):
        about = pq.read_metadata(path)
        assert about.metadata[CHECKSUM_KEY] != BLANK
        assert len(pq.read_table(path, page_checksum_verification=True)) == about.num_rows == 30


def without_root():
    """Let the modes of files bind root too: it gives up its right to overrule them."""
    if os.getuid() == 0:
        pr_capbset_drop, cap_dac_override = 24, 1
        assert ctypes.CDLL(None).prctl(pr_capbset_drop, cap_dac_override, 0, 0, 0) == 0


COMMANDS = """
import sys, sweep
from sweep.cli import main
from sweep.experiment.grid import Grid
from sweep.figures.draw import Tables
whole = sys.argv[1]
assert main(["check", whole]) == main(["info", whole]) == 0
assert main(["plot", whole, "--figure", "slowdown", "--dpi", "30", "-o", "figures"]) == 0
assert len(sweep.load(whole)) == 240
print("now what must fail")
assert main(["plot", whole]) == 2
assert main(["run", "spec.toml", "-o", whole]) == 2  # stands, but for its figures
"""


def test_read_only_results_can_be_read_checked_and_plotted(whole, tmp_path):
    (tmp_path / "spec.toml").write_text(sweep.Spec(**FIELDS).toml())
    before = contents(whole)
    for path in whole.iterdir():
        path.chmod(0o444)
    beside = whole.with_name("whole-figures")
    beside.mkdir()
    for folder in (whole, beside):
        folder.chmod(0o555)
    try:
        done = subprocess.run(
            [sys.executable, "-c", COMMANDS, whole],
            capture_output=True, text=True, cwd=tmp_path, preexec_fn=without_root,
        )  # fmt: skip
    finally:
        whole.chmod(0o755)
    refused = f"sweep: {beside}: cannot be written to: Permission denied\n"
    assert done.stderr == 2 * refused
    assert done.returncode == 0
    assert "complete, and no part is damaged" in done.stdout
    assert "whole is complete: 240 neurons" in done.stdout.partition("now what must fail")[2]
    assert (tmp_path / "figures" / "slowdown.png").stat().st_size > 1000
    assert contents(whole) == before


def test_what_opens_a_result_reads_footers_and_every_byte_to_leave_damage_out(whole):
    path = whole / "part-1-of-8.parquet"
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)
    assert open_result(whole).parts == tuple(range(8))
    result = open_result(whole, skip_damaged=True)
    assert result.left_out == ("part-1-of-8.parquet is damaged",)
    assert result.parts == (0, 2, 3, 4, 5, 6, 7)
