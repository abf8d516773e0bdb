"""Whatever a process finds around it: forks, damaged caches, closed streams, other encodings."""

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

import sweep
from sweep.kernels.compile import _folder

ASKED = {"learning_rate": 0.15, "cost": "quadratic", "x": 1.0, "y": 0.0, "tolerance": 0.1}
TRAIN = (
    "import sweep; print(sweep.train(0.6, 0.9, learning_rate=0.15, cost='quadratic', x=1, y=0, "
    "tolerance=0.1, max_epochs=1000).epochs)"
)
AXES = {"w": [0.6, 2.0], "b": [0.9], "learning_rate": [0.15]}


def python(code, *arguments, before="", **environment):
    """Run code in a process of its own."""
    environment = {k: v for k, v in (os.environ | environment).items() if v is not None}
    command = [sys.executable, "-c", before + code, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def train(count=20_000):
    z = np.linspace(-3, 4, count)
    return sweep.train(z, z, **ASKED, max_epochs=1000, method="train", threads=1).epochs.sum()


def run_in(folder):
    return sweep.run(sweep.Spec(axes=AXES, stop={"max_epochs": 500}), folder, threads=2).computed


# --- forks -----------------------------------------------------------------------------------


def test_a_child_trains_whatever_threads_did_when_it_was_forked():
    right, stop = train(), threading.Event()

    def go_on():
        while not stop.is_set():
            train()

    threads = [threading.Thread(target=go_on) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(25):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12
                child = os.fork()
            if child == 0:
                signal.alarm(20)
                os._exit(0 if train() == right else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_pool_of_forked_processes_trains_and_runs(tmp_path):
    right, stop = train(), threading.Event()

    def go_on():
        while not stop.is_set():
            train()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            with ProcessPoolExecutor(2, get_context("fork")) as pool:
                assert list(pool.map(train, [20_000] * 8, timeout=60)) == [right] * 8
                folders = [tmp_path / str(number) for number in range(4)]
                assert all(pool.map(run_in, folders, timeout=60))
    finally:
        stop.set()
        thread.join()


# --- the cache of compiled code ---------------------------------------------------------------


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """Return a folder of compiled code."""
    folder = tmp_path_factory.mktemp("cache")
    assert python(TRAIN, NUMBA_CACHE_DIR=str(folder)).stdout == "[273]\n"
    assert len(list(folder.rglob("*.code"))) == 2
    return folder


def damage(kind, path):
    content = bytearray(path.read_bytes())
    if kind == "flipped":
        for place in np.random.default_rng(0).integers(0, len(content), 3):
            content[place] ^= 1
    path.write_bytes({"cut": content[:-100], "empty": b"", "foreign": b"\x80\x04garbage."}.get(
        kind, content))  # fmt: skip


@pytest.mark.parametrize("kind", ["flipped", "cut", "empty", "foreign", "folder", "unreadable"])
def test_damaged_code_is_compiled_anew(kind, filled, tmp_path):
    folder = shutil.copytree(filled, tmp_path / "cache")
    for path in folder.rglob("*.code"):
        if kind == "folder":
            path.unlink()
            path.mkdir()
        elif kind == "unreadable":
            path.chmod(0)
        else:
            damage(kind, path)
    done = python(TRAIN, NUMBA_CACHE_DIR=str(folder))
    assert (done.stdout, done.stderr) == ("[273]\n", "")
    if kind not in ("folder", "unreadable"):
        right = {path.name: path.stat().st_size for path in filled.rglob("*.code")}
        assert {path.name: path.stat().st_size for path in folder.rglob("*.code")} == right


NO_ROOM = """
import pathlib
def full(self, content):
    with self.open("wb") as file:
        file.write(content[:100])
    raise OSError(28, "No space left on device")
pathlib.Path.write_bytes = full
"""
GONE = """
import pathlib, shutil, sys
right = pathlib.Path.write_bytes
def gone(self, content):
    shutil.rmtree(self.parent)
    return right(self, content)
pathlib.Path.write_bytes = gone
"""
NO_HOME = """
import pathlib
@classmethod
def none(cls):
    raise RuntimeError("Could not determine home directory.")
pathlib.Path.home = none
"""


@pytest.mark.parametrize("before", [NO_ROOM, GONE, NO_HOME])
def test_a_cache_that_cannot_be_written_only_costs_time(before, tmp_path):
    folder = None if before is NO_HOME else str(tmp_path)
    done = python(TRAIN, before=before, NUMBA_CACHE_DIR=folder, XDG_CACHE_HOME=None)
    assert (done.stdout, done.stderr) == ("[273]\n", "")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_code_that_others_could_have_written_is_not_run(filled, tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    folder = _folder.__wrapped__()
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    assert _folder.__wrapped__() is None


def test_processes_fill_one_cache_at_once(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", TRAIN]
    pipe = subprocess.PIPE
    runs = [
        subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)
        for _ in range(3)
    ]
    assert [run.communicate() for run in runs] == [("[273]\n", "")] * 3
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 2


EVERY_KERNEL = """
import numpy as np, sweep
from sweep.kernels.compile import watchers
begun = []
watchers.append(begun.append)
w = np.linspace(-3, 3, 9)
one = {"x": 1.0, "y": 0.0, "tolerance": 0.1, "max_epochs": 50, "learning_rate": 0.15}
many = one | {"x": [-1.0, 0.5, 0.7, 2.0], "y": [0.0, 1.0, 0.0, 1.0], "tolerance": 0.35}
for kwargs in (one, many):
    for cost in ("quadratic", sweep.Cost("own", "0.5*(a - y)**2")):
        sweep.train(w, w, cost=cost, **kwargs)
    sweep.train(w, w, cost="quadratic", method="orbit", **kwargs)
    sweep.train(w, w, cost="quadratic", follow=50, **kwargs)
    sweep.train(w, w, cost="quadratic", optimizer="adam", dtype="float32", **kwargs)
    samples = {name: kwargs[name] for name in ("x", "y", "learning_rate")}
    sweep.trace(w, w, epochs=[0, 50], cost="quadratic", **samples)
print(begun.count(True))
"""


def test_a_second_process_compiles_nothing():
    assert python(EVERY_KERNEL).returncode == 0
    assert python(EVERY_KERNEL).stdout == "0\n"


# Forked children compile at the same addresses, as processes do without address randomisation.
THREE_CHILDREN = """
import os, sweep
terms = "+".join(f"(a - y)**2*exp(-{k}*(a - y)**2)*log(1.1 + {k}*(a - y)**2)" for k in range(6))
def child(*factors):
    if os.fork() == 0:
        for factor in factors:
            own = sweep.Cost("own", f"{factor}*(a - y)**2 + {terms}")
            print(sweep.train(2.0, 2.0, cost=own, learning_rate=0.15, x=[1.0, -0.5], y=[0.0, 1.0],
                              tolerance=0.4, max_epochs=1000).epochs, flush=True)
        os._exit(0)
    os.wait()
child(9)
child(30)
child(9, 30)
"""


def test_code_of_two_processes_is_distinguished_by_a_third(tmp_path):
    python(TRAIN, NUMBA_CACHE_DIR=str(tmp_path))
    done = python(THREE_CHILDREN, NUMBA_CACHE_DIR=str(tmp_path))
    first, second, *both = done.stdout.splitlines()
    assert first != second
    assert both == [first, second], done.stderr


def test_a_compiler_that_is_switched_off_is_one_line(tmp_path):
    (tmp_path / "spec.toml").write_text(sweep.Spec(axes=AXES).toml())
    command = [sys.executable, "-m", "sweep", "run", "spec.toml", "-o", "out"]
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    says = "NUMBA_DISABLE_JIT is set, and sweep's kernels are compiled: unset it"
    assert done.stderr == f"sweep: {says}\n"
    assert done.returncode == 1


# --- terminals --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    axes = {
        "w": {"start": -4.0, "stop": 4.0, "num": 12},
        "b": {"start": -4.0, "stop": 4.0, "num": 12},
    }
    sweep.run(sweep.Spec(name="made", axes=axes | {"learning_rate": [0.1, 0.5]}), folder)
    (folder.parent / "made.toml").write_text(sweep.open(folder).spec.toml())
    return folder


def shell(line, folder, **environment):
    return subprocess.run(
        ["sh", "-c", line, sys.executable], env=os.environ | environment, cwd=folder.parent,
        capture_output=True, timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437"])
def test_any_encoding_can_be_printed_in(encoding, made):
    for command in (f"info {made}", f"run made.toml -o {made}", f"check {made}", "run --help"):
        done = shell(f"$0 -m sweep {command}", made, PYTHONIOENCODING=encoding, COLUMNS="80")
        assert (done.returncode, done.stderr) == (0, b""), command
        assert done.stdout.decode(encoding)


def test_closed_and_full_streams(made):
    out = made.parent
    right = (made / "part-00-of-16.parquet").read_bytes()
    cases = [("2>&-", 0), (">&-", 0), ("<&- >&- 2>&-", 0), ("> /dev/full", 1), ("2> /dev/full", 0)]

    def run(number):
        return shell(f"$0 -m sweep run made.toml -o out{number} {cases[number][0]}", made)

    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(run, range(len(cases))))
    for number, done in enumerate(runs):
        assert done.returncode == cases[number][1], cases[number]
        assert b"Traceback" not in done.stderr
        assert b"Exception ignored" not in done.stderr
        assert (out / f"out{number}" / "part-00-of-16.parquet").read_bytes() == right
    assert done.stderr == b""
    assert shell(f"$0 -m sweep info {made} > /dev/full", made).stderr == (
        b"sweep: cannot print: No space left on device\n"
    )


def test_no_stderr_in_python(made, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert sweep.run(sweep.Spec(axes=AXES), tmp_path).computed
    assert sweep.check(tmp_path) == []


def test_a_caller_s_logs_are_its_own(caplog):
    from sweep.running.cluster import _dask_logs_disabled

    logging.disable(logging.DEBUG)
    try:
        with _dask_logs_disabled():
            logging.getLogger("mine").warning("last_event")
            logging.getLogger("distributed.client").error("not last_event")
        logging.getLogger("distributed.client").error("last_event too")
        assert [record.message for record in caplog.records] == ["last_event", "last_event too"]
        assert logging.root.manager.disable == logging.DEBUG
    finally:
        logging.disable(logging.NOTSET)
