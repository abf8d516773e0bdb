"""What may happen to a run, done to real ones: kills, a full disk, two at once. No row is lost."""

import ctypes
import errno
import os
import platform
import random
import resource
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import parts

import sweep
from sweep.cli import main
from sweep.store.folder import files, open_folder, remove_unfinished, write_whole
from sweep.store.spec_file import prepare

FIGURES = {"heatmap.png", "error.png", "slowdown.png"}


def command(spec, folder, *options):
    return [sys.executable, "-m", "sweep", "run", str(spec), "-o", str(folder), *options]


def start(spec, folder, *options, before=None):
    """Start a run; `before` is called in its process (Ctrl-C acts also on a job in background)."""

    def prepare():
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if before:
            before()

    arguments = command(spec, folder, *options)
    pipe = subprocess.PIPE
    return subprocess.Popen(arguments, stdout=pipe, stderr=pipe, text=True, preexec_fn=prepare)


def identities(folder):
    """Return what changes when a part is written again."""
    found = ((path.name, path.stat()) for path in folder.glob("part-*.parquet"))
    return {name: (about.st_ino, about.st_mtime_ns) for name, about in found}


def foreign_files(folder):
    """Return what is neither the spec nor a part nor a figure."""
    known = {"_spec.parquet"}
    return {path.name for path in folder.iterdir()} - known - parts(folder).keys()


def until(process, holds):
    """Wait until something holds while a process runs; return whether it still runs."""
    deadline = time.monotonic() + 120
    while process.poll() is None and not holds():
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return process.poll() is None


def standing_in(folder):
    return sum(1 for _ in folder.glob("part-*"))


def unfinished_in(folder):
    return any(folder.glob(".part-*"))


def test_killed_at_random_moments_and_then_run_to_the_end(spec, whole, tmp_path):
    folder, draw = tmp_path / "out", random.Random(0)
    left_behind = 0
    for attempt in range(16):
        before, kept = identities(folder) if folder.exists() else {}, standing_in(folder)
        more = draw.randint(0, 12)
        process = start(spec, folder)
        assert until(process, lambda at=kept + more: standing_in(folder) >= at)
        if attempt % 2:  # while a part is being written, else at any moment
            assert until(process, lambda: unfinished_in(folder))
        else:
            time.sleep(draw.uniform(0.0, 0.03))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert identities(folder).items() >= before.items(), "what kept was written again"
        left_behind += unfinished_in(folder)
    kept = identities(folder)
    assert 0 < len(kept) < 200
    assert left_behind > 0, "no kill hit a part that was being written"
    process = start(spec, folder)
    figures = folder.with_name(f"{folder.name}-figures")
    assert until(process, (figures / "heatmap.png").exists)  # all is computed, more is drawn
    process.kill()
    process.communicate()
    assert parts(folder) == whole
    assert identities(folder).items() >= kept.items()
    kept = identities(folder)
    process = start(spec, folder)
    assert process.communicate()[1] == ""
    assert process.returncode == 0
    assert identities(folder) == kept
    assert foreign_files(folder) == set()
    assert all((figures / name).exists() for name in FIGURES)


def test_ctrl_c_among_parts_and_then_run_to_the_end(spec, whole, tmp_path):
    process = start(spec, tmp_path)
    assert until(process, lambda: standing_in(tmp_path) >= 20)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    captured = process.communicate(timeout=30)[1]
    assert time.monotonic() - began < 1.0
    assert process.returncode == 130
    assert captured == "\nsweep: interrupted; the same command resumes the run\n"
    assert foreign_files(tmp_path) == set()
    kept = identities(tmp_path)
    assert 20 <= len(kept) < 200
    ran = sweep.run(sweep.Spec.load(spec), tmp_path)
    assert ran.reused == len(kept)
    assert parts(tmp_path) == whole
    assert identities(tmp_path).items() >= kept.items()


def limit_file_size(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def refuse_writes(limit):
    """Have the kernel answer a file's writes as it does when the disk is full.

    By a seccomp filter, for writes of more than an eighth of the limit (a file may be written in
    several). It needs no rights, unlike a small disk of one's own.
    """
    write = {"x86_64": 1, "aarch64": 64, "riscv64": 64}[platform.machine()]
    steps = [  # code, jump if true, jump if false, operand
        (0x20, 0, 0, 0),  # load the number of the call
        (0x15, 0, 3, write),  # is it write?
        (0x20, 0, 0, 32),  # load its third argument, the count of bytes
        (0x25, 0, 1, limit // 8),  # is it greater?
        (0x06, 0, 0, 0x00050000 | errno.ENOSPC),
        (0x06, 0, 0, 0x7FFF0000),  # allowed
    ]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    filter_ = struct.pack("HxxxxxxQ", len(steps), ctypes.addressof(program))
    control = ctypes.CDLL(None, use_errno=True).prctl
    assert control(38, 1, 0, 0, 0) == 0  # no new privileges
    assert control(22, 2, ctypes.c_char_p(filter_), 0, 0) == 0, os.strerror(ctypes.get_errno())


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(limit_file_size, "File too large"), (refuse_writes, "No space left on device")],
)
def test_parts_that_cannot_be_written(spec, whole, tmp_path, fault, reason):
    limit = int(statistics.median(map(len, whole.values())))
    prepare(open_folder(tmp_path), sweep.Spec.load(spec))  # the spec is there, and parts fail
    process = start(spec, tmp_path, before=lambda: fault(limit))
    _, captured = process.communicate()
    name, _, why = captured.removeprefix(f"sweep: {tmp_path}/").partition(": ")
    assert name in whole
    assert why == f"cannot be written: {reason}\n"
    assert process.returncode == 1
    assert foreign_files(tmp_path) == set()
    kept = identities(tmp_path)
    ran = sweep.run(sweep.Spec.load(spec), tmp_path)
    assert (ran.reused, ran.computed) == (len(kept), 200 - len(kept))
    assert parts(tmp_path) == whole


def test_a_spec_that_cannot_be_written(spec, tmp_path):
    process = start(spec, tmp_path, before=lambda: limit_file_size(100))
    assert process.communicate()[1] == (
        f"sweep: {tmp_path}/_spec.parquet: cannot be written: File too large\n"
    )
    assert process.returncode == 1
    assert list(tmp_path.iterdir()) == []


# A file system of its own, too small at first and then large enough, which ends with the shell.
ON_A_SMALL_DISK = """
disk=$1 result=$2 size=$3 again=$4; shift 4
mount -t tmpfs -o size=$size none "$disk"
"$@"; echo "exit code $?"
ls -A "$disk" | grep -c '^part-'; ls -A "$disk" | grep tmp
mount -o remount,size=64m "$disk"
"$1" -c "$again"; echo "exit code $?"
cp "$disk"/* "$result"
"""


def mounts_of_its_own(folder):
    """Return the command that gives a shell these, as root or as a user."""
    for unshare in (["unshare", "-m"], ["unshare", "-Urm"]):
        probe = [*unshare, "mount", "-t", "tmpfs", "none", folder]
        if not subprocess.run(probe, capture_output=True).returncode:
            return unshare
    raise AssertionError("a test needs a file system of its own, and unshare gives none")


def test_a_full_disk(spec, whole, tmp_path):
    unshare = mounts_of_its_own(tmp_path)
    disk, result = tmp_path / "disk", tmp_path / "result"
    disk.mkdir()
    result.mkdir()
    size = sum(map(len, whole.values())) // 2
    again = "import sweep; print(sweep.run(sweep.Spec.load({!r}), {!r}).reused)"
    shell = [*unshare, "sh", "-c", ON_A_SMALL_DISK, "sh", disk, result, str(size)]
    shell += [again.format(str(spec), str(disk)), *command(spec, disk), "--yes"]
    out = subprocess.run(shell, capture_output=True, text=True)
    name, _, why = out.stderr.removeprefix(f"sweep: {disk}/").partition(": ")
    assert name in whole
    assert why == "cannot be written: No space left on device\n"
    first, kept, reused, last = out.stdout.splitlines()
    assert (first, last) == ("exit code 1", "exit code 0")
    assert 0 < int(kept) == int(reused) < 200
    assert parts(result) == whole


def test_two_runs_into_one_folder_at_once(spec, whole, tmp_path):
    both = [start(spec, tmp_path) for _ in range(2)]
    for process in both:
        assert process.communicate()[1] == ""
        assert process.returncode == 0
    assert parts(tmp_path) == whole
    assert foreign_files(tmp_path) == set()
    assert sweep.check(tmp_path) == []


def test_runs_of_two_specs_at_once_fill_a_folder_with_one_of_them(spec, tmp_path):
    other = tmp_path / "other.toml"
    other.write_text(spec.read_text().replace("0.01\nmax", "0.02\nmax"))
    for attempt in range(4):
        folder = tmp_path / str(attempt)
        both = [start(each, folder, "--shard", "1/20") for each in (spec, other)]
        captured = [process.communicate()[1] for process in both]
        assert sorted(process.returncode for process in both) == [0, 2]
        assert "holds another sweep: stop.tolerance is 0.0" in "".join(captured)
        assert all("is missing" in fault for fault in sweep.check(folder))


def test_runs_that_start_leave_alone_what_others_are_writing(tmp_path):
    folder, content = open_folder(tmp_path), bytes(30_000_000)
    writing = threading.Thread(target=lambda: [write_whole(folder, "a", content) for _ in range(5)])
    writing.start()
    kept = swept = 0
    while writing.is_alive():
        live = [name for name in files(folder) if name.endswith(".tmp")]
        remove_unfinished(folder, live)
        left = files(folder)
        kept += sum(name in left for name in live)
        swept += len(live)
    writing.join()
    assert kept > 0.9 * swept > 0
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EIO])
def test_a_folder_that_cannot_be_synced_fails_no_run(number, tmp_path, monkeypatch):
    right = os.fsync

    def fsync(handle):
        if os.path.isdir(f"/proc/self/fd/{handle}"):  # noqa: PTH112
            raise OSError(number, os.strerror(number))
        right(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    write_whole(open_folder(tmp_path), "a", b"1")
    assert (tmp_path / "a").read_bytes() == b"1"

    def broken(handle):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", broken)  # the file's own is in earnest
    with pytest.raises(sweep.SweepError, match="cannot be written"):
        write_whole(open_folder(tmp_path), "b", b"1")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_names_of_folders_and_files_of_any_kind(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    axes = {"w": [0.6, 2.0], "b": [0.9], "learning_rate": [0.15]}
    Path("spec.toml").write_text(sweep.Spec(axes=axes, stop={"max_epochs": 9}).toml())
    assert main(["run", "spec.toml", "-o", "lr:0.1"]) == 0
    assert main(["info", "lr:0.1"]) == 0
    folder = Path("lr:0.1")
    (folder / os.fsdecode(b"\xff.parquet")).touch()
    (folder / "a\nb\x1b[31m.parquet").touch()
    capsys.readouterr()
    assert main(["check", "lr:0.1"]) == 1
    captured = capsys.readouterr().out
    assert r"\udcff.parquet is no part" in captured
    assert r"a\nb\x1b[31m.parquet is no part" in captured
    assert main(["run", "spec.toml", "-o", "lr:0.1"]) == 0
    assert main(["plot", "lr:0.1", "--figure", "slowdown"]) == 0
    capsys.readouterr()
    for name in (os.fsdecode(b"\xff"), "", "a\0b"):
        for command in (["run", "spec.toml", "-o", name], ["info", name], ["check", name]):
            if command[0] == "run" and not name:
                continue  # the default
            assert main(command) == 2
            captured = capsys.readouterr().err
            assert captured.removesuffix("\n").isprintable()


def test_shards_at_once_fill_one_folder(spec, whole, tmp_path):
    processes = [start(spec, tmp_path, "--shard", f"{number}/3") for number in (1, 2, 3)]
    for process in processes:
        assert process.communicate()[1] == ""
        assert process.returncode == 0
    assert parts(tmp_path) == whole
    assert foreign_files(tmp_path) == set()
    assert sweep.check(tmp_path) == []


def test_a_run_computes_what_was_cut_deleted_or_replaced_and_only_that(spec, whole, tmp_path):
    for name, content in whole.items():
        (tmp_path / name).write_bytes(content)
    shutil.copy(spec, tmp_path / "spec.toml")
    names = sorted(whole)
    (tmp_path / names[3]).unlink()
    os.truncate(tmp_path / names[5], 1000)
    os.truncate(tmp_path / names[7], 0)
    (tmp_path / names[9]).write_bytes(whole[names[10]])
    pq.write_table(pa.table({"epochs": range(500)}), tmp_path / names[11])
    assert sweep.check(tmp_path) == [
        f"{names[3]} is missing",
        f"{names[5]} is damaged",
        f"{names[7]} is damaged",
        f"{names[9]} belongs to another sweep",
        f"{names[11]} belongs to another sweep",
    ]
    before = identities(tmp_path)
    ran = sweep.run(sweep.Spec.load(spec), tmp_path)
    assert (ran.computed, ran.reused) == (5, 195)
    assert parts(tmp_path) == whole
    after = identities(tmp_path)
    again = {name for name in names if after[name] != before.get(name)}
    assert again == {names[k] for k in (3, 5, 7, 9, 11)}
