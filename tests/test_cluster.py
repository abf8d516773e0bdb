"""A sweep on a real Dask scheduler and real worker processes: the same bytes, whatever happens."""

import asyncio
import contextlib
import ctypes
import json
import os
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import dask
import numba
import numpy as np
import psutil
import pyarrow as pa
import pytest
from conftest import MANY_PARTS, parts
from distributed import Client

import sweep
from sweep.bench.studies.scaling import time_sleeping_parts
from sweep.cli import main
from sweep.experiment.spec import Spec
from sweep.running import cluster
from sweep.running import dask_tasks as tasks


class Processes:
    """A scheduler and workers, each a process; what they log is kept to be looked at."""

    def __init__(self, folder):
        self.folder, self.log = folder, (folder / "log").open("w")
        self.workers, file = [], folder / "scheduler.json"
        file.unlink(missing_ok=True)
        # It takes a free port and tells: a worker once took the port that was chosen for it.
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file)
        )
        wait_for(lambda: file.exists() and file.read_text().rstrip().endswith("}"))
        self.address = json.loads(file.read_text())["address"]
        self.port = int(self.address.rpartition(":")[2])

    def _start(self, *arguments, **how):
        command = [sys.executable, "-m", "dask", *arguments, "--no-dashboard"]
        return subprocess.Popen(command, stdout=self.log, stderr=self.log, **how)

    def worker(self, **how):
        """Start a worker and wait until the scheduler has it."""
        before = self.addresses() if self.workers else []
        options = ["--no-nanny", "--nthreads", "1", "--local-directory", str(self.folder)]
        process = self._start("worker", self.address, *options, **how)
        self.workers.append(process)
        wait_for(lambda: len(self.addresses()) > len(before))
        return process

    def addresses(self):
        with Client(self.address, set_as_default=False) as client:
            return list(client.nthreads())

    def end(self):
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()
        self.log.close()


def wait_for(holds, seconds=60):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def processes(tmp_path):
    """Return a scheduler with two workers, to be killed."""
    found = Processes(tmp_path)
    try:
        found.worker()
        found.worker()
        yield found
    finally:
        found.end()


def command(spec, folder, address, *options):
    return ["run", str(spec), "-o", str(folder), "--dask", *filter(None, [address]), *options]


def run(spec, folder, address):
    with cluster.connected(address) as client:
        return sweep.run(Spec.load(spec), folder, client=client)


@contextlib.contextmanager
def once(holds, act):
    """Do something in another thread as soon as something holds."""

    def watch():
        wait_for(holds)
        act()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    yield
    thread.join()


def has_parts(folder, count):
    return lambda: sum(1 for _ in folder.glob("part-*")) >= count


def identities(folder):
    """Return what changes when a part is written again."""
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("part-*")}


def test_as_on_threads(spec, whole, processes, tmp_path, capsys):
    out = tmp_path / "out"
    with Client(processes.address, set_as_default=False) as client:
        ran = sweep.run(Spec.load(spec), out, client=client, shard=(2, 2))
        assert (ran.computed, ran.reused, ran.missing, ran.method) == (100, 0, 100, "train")
        with pytest.raises(sweep.SpecError, match="threads = 2: a cluster's workers have"):
            sweep.run(Spec.load(spec), out, client=client, threads=2)
    with pytest.raises(sweep.SpecError, match=r"client = 'tcp://.*': must be a distributed.Client"):
        sweep.run(Spec.load(spec), out, client=processes.address)
    assert main(command(spec, out, processes.address)) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert re.match(
        r"trained 50,000 neurons in \S+ s, 100 parts were kept: \S+ neuron-epochs, .*; method "
        rf"train\n200 Parquet parts in {out}\n",
        captured.out,
    )
    assert parts(out) == whole


def test_the_orbit_and_training_as_on_threads(processes, tmp_path):
    text = (
        MANY_PARTS.replace("part_rows = 500", "").replace('"train"', '"auto"').replace("100", "200")
    )
    text = re.sub(
        "learning_rate = .*", "learning_rate = [0.1, 30.0]", text.replace("40_000", "400")
    )
    own = '[costs.own]\nvalue = "k*log(cosh(a - y))"\nk = 2\n'
    spec = Spec.parse(text + own)
    assert "own" in spec.axes["cost"]
    here = sweep.run(spec, tmp_path / "here")
    with cluster.connected(processes.address) as client:
        there = sweep.run(spec, tmp_path / "there", client=client)
    assert there.method == here.method == "orbit and train"
    assert there.neuron_epochs == here.neuron_epochs
    assert parts(tmp_path / "there") == parts(tmp_path / "here")


def test_a_worker_is_killed_and_another_joins(spec, whole, processes, tmp_path):
    out = tmp_path / "out"

    def kill_one_and_start_one():
        processes.workers[0].kill()
        processes.workers[0].wait()
        processes.worker()

    with once(has_parts(out, 30), kill_one_and_start_one):
        assert run(spec, out, processes.address).computed == 200
    assert parts(out) == whole
    assert {path.name for path in out.iterdir()} == {"_spec.parquet", *whole}


def test_all_workers_are_killed_and_it_waits_for_others(
    spec, whole, processes, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(tasks, "WAIT", 1.0)
    out, captured = tmp_path / "out", []

    def kill_all_and_start_one():
        for process in processes.workers:
            process.kill()
        wait_for(lambda: captured.append(capsys.readouterr().err) or captured[-1])
        processes.worker()

    with once(has_parts(out, 30), kill_all_and_start_one):
        assert run(spec, out, processes.address).computed == 200
    captured = "".join(captured) + capsys.readouterr().err
    assert captured == f"sweep: {processes.address}: has no workers; waiting for some\n"
    assert parts(out) == whole


def test_answers_that_dask_cancels_are_computed_anew(spec, whole, processes, tmp_path, monkeypatch):
    gather, cancelled = Client.gather, []

    async def stumbling(client, *arguments, **options):
        if not cancelled:
            cancelled.append(True)
            raise asyncio.CancelledError
        return await gather(client, *arguments, **options)

    monkeypatch.setattr(Client, "gather", stumbling)
    out = tmp_path / "out"
    assert run(spec, out, processes.address).computed == 200
    assert cancelled
    assert parts(out) == whole


def test_a_worker_hangs(spec, whole, processes, tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "PATIENCE", 1.0)
    monkeypatch.setattr(tasks, "WAIT", 2.0)
    out, hung = tmp_path / "out", processes.workers[0]
    with once(has_parts(out, 30), lambda: hung.send_signal(signal.SIGSTOP)):
        assert run(spec, out, processes.address).computed == 200
    assert parts(out) == whole
    hung.send_signal(signal.SIGCONT)
    run(spec, out, processes.address)
    assert parts(out) == whole


def test_the_scheduler_dies_and_a_rerun_goes_on(
    spec, whole, processes, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(tasks, "WAIT", 2.0)
    out = tmp_path / "out"
    with once(has_parts(out, 30), processes.scheduler.kill):
        assert main(command(spec, out, processes.address)) == 1
    captured = capsys.readouterr()
    assert captured.err == (
        f"sweep: {processes.address}: the scheduler is gone; finished parts are kept, and the "
        "same command resumes the run\n"
    )
    assert captured.out == ""
    kept = identities(out)
    assert 30 <= len(kept) < 200
    for process in processes.workers:
        assert process.wait(timeout=60) is not None
    again = Processes(tmp_path)
    try:
        again.worker()
        ran = run(spec, out, again.address)
    finally:
        again.end()
    assert (ran.computed, ran.reused) == (200 - len(kept), len(kept))
    assert parts(out) == whole
    assert identities(out).items() >= kept.items()


class Cable:
    """A connection to a scheduler, which can be cut and repaired."""

    def __init__(self, port):
        self.there, self.ends = port, []
        self.here = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self.here.getsockname()[1]}"
        threading.Thread(target=self.take, daemon=True).start()

    def take(self):
        with contextlib.suppress(OSError):
            while True:
                ours, _ = self.here.accept()
                theirs = socket.create_connection(("127.0.0.1", self.there))
                self.ends += [ours, theirs]
                for ends in ((ours, theirs), (theirs, ours)):
                    threading.Thread(target=self.carry, args=ends, daemon=True).start()

    def carry(self, source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(2**16):
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self):
        for end in self.ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def test_the_client_loses_its_connection(spec, whole, processes, tmp_path):
    out, cable = tmp_path / "out", Cable(processes.port)
    with once(has_parts(out, 30), cable.cut), once(has_parts(out, 90), cable.cut):
        assert run(spec, out, cable.address).computed == 200
    cable.here.close()
    assert len(cable.ends) > 4
    assert parts(out) == whole


def test_storage_that_fails_for_a_moment(spec, whole, processes, tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "PAUSES", (0.3, 1.0, 3.0))
    out = tmp_path / "out"

    def take_away_for_a_moment():
        out.rename(tmp_path / "away")
        time.sleep(0.5)
        (tmp_path / "away").rename(out)

    with once(has_parts(out, 30), take_away_for_a_moment):
        assert run(spec, out, processes.address).computed == 200
    assert parts(out) == whole


def limit_file_size(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def test_bad_storage_is_tried_again_and_then_reported(spec, whole, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tasks, "PAUSES", (0.1, 0.1, 0.1))
    limit = int(statistics.median(map(len, whole.values())))
    processes, out = Processes(tmp_path), tmp_path / "out"
    try:
        bad = processes.worker(preexec_fn=lambda: limit_file_size(limit))
        assert main(command(spec, out, processes.address)) == 1
        captured = capsys.readouterr()
        assert re.fullmatch(
            rf"sweep: {out}/part-\d+-of-200.parquet: cannot be written: File too large "
            r"\(worker tcp://\S+\); tried 4 times\n",
            captured.err,
        )
        assert captured.err[len(f"sweep: {out}/") :].partition(":")[0] not in parts(out)
        bad.kill()
        bad.wait()
        processes.worker()
        run(spec, out, processes.address)
    finally:
        processes.end()
    assert parts(out) == whole


def test_a_part_that_kills_its_workers():
    def die(_parts, _pause):
        os._exit(1)

    once_more = dask.config.set({"distributed.scheduler.allowed-failures": 1})
    says = r"part 0: 2 workers died while they computed it, the last at tcp://\S+; is their memory"
    with once_more, cluster.connected("", 1) as client, pytest.raises(sweep.SweepError, match=says):
        list(tasks.run_on_cluster(client, die, [0], "part {}".format))


def test_few_tasks_are_under_way_however_many_parts_there_are():
    line = time_sleeping_parts(parts=1000, seconds=0.01, parts_per_task=4, workers=8)
    about = re.match(r"1,000 parts of 0.01 s on 8 workers: .*; (\S+) tasks, .* (\d+) at once", line)
    assert 250 <= int(about[1]) < 500
    assert 8 <= int(about[2]) <= 40  # some that ended are not forgotten yet


@pytest.fixture
def scheduler(tmp_path):
    """Return a scheduler without workers."""
    found = Processes(tmp_path)
    try:
        yield found
    finally:
        found.end()


def refused(spec, folder, address, capsys):
    """Return the one line with which a run is refused."""
    assert main(command(spec, folder, address)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert not parts(folder)
    return captured.err


def test_workers_with_other_versions(spec, scheduler, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tasks, "PATIENCE", 1.0)
    monkeypatch.setattr(tasks, "WAIT", 2.0)
    here = sweep.__version__
    other = tmp_path / "other"
    shutil.copytree(Path(sweep.__file__).parent, other / "sweep")
    top = other / "sweep" / "__init__.py"
    top.write_text(top.read_text().replace(f'"{here}"', '"9.9"'))
    for module in (numba, np, pa):  # what could change a byte
        name, path = module.__name__, tmp_path / module.__name__
        path.mkdir()
        says = f"import {name}; {name}.__version__ += '.1'"
        (path / "sitecustomize.py").write_text(says)
        wrong = scheduler.worker(env=os.environ | {"PYTHONPATH": str(path)})
        version = re.escape(module.__version__)
        assert re.fullmatch(
            rf"sweep: worker tcp://\S+: has {name} {version}.1, but the run {version}; .*\n",
            refused(spec, tmp_path / "out", scheduler.address, capsys),
        )
        wrong.kill()
        wrong.wait()

    right = scheduler.worker()
    out = tmp_path / "later"

    def stop_and_start_another():
        right.send_signal(signal.SIGSTOP)
        scheduler.worker(cwd=other)  # where Python looks first

    says = rf"worker tcp://\S+: has neuron-sweep 9.9, but the run {here}; they must be the same$"
    refusal = pytest.raises(sweep.SpecError, match=says)
    with once(has_parts(out, 30), stop_and_start_another), refusal:
        run(spec, out, scheduler.address)
    right.kill()
    right.wait()
    says = rf"sweep: worker tcp://\S+: has neuron-sweep 9.9, but the run {here}; they must .*\n"
    assert re.fullmatch(says, refused(spec, tmp_path / "out", scheduler.address, capsys))


def forget_that_root_may_write_anywhere():
    """Drop CAP_DAC_OVERRIDE from what the next program of this process may have."""
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)


def test_a_folder_that_workers_cannot_see_or_write(spec, scheduler, tmp_path, monkeypatch, capsys):
    scheduler.worker(preexec_fn=forget_that_root_may_write_anywhere)
    monkeypatch.chdir(tmp_path)
    mine = Path("/proc/self/cwd/out")  # another folder in each process
    captured = refused(spec, mine, scheduler.address, capsys)
    assert re.fullmatch(
        rf"sweep: {mine}: holds no results of sweep \(there is no _spec.parquet\): so worker "
        r"tcp://\S+ sees it; the workers and the run must share one folder, or a bucket\n",
        captured,
    )
    Path("out").chmod(0o555)
    captured = refused(spec, Path("out"), scheduler.address, capsys)
    assert re.fullmatch(
        r"sweep: out: cannot be written by worker tcp://\S+; the workers and the run must share "
        r"one folder, or a bucket\n",
        captured,
    )


def test_an_address_without_a_scheduler(spec, scheduler, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tasks, "WAIT", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        captured = refused(spec, tmp_path / "out", address, capsys)
        assert time.monotonic() - began < 5
    assert captured == f"sweep: {address}: no scheduler answers there within 1 s\n"
    assert refused(spec, tmp_path / "out", address, capsys) == captured  # now nobody listens
    scheduler.worker()
    [address] = scheduler.addresses()
    captured = refused(spec, tmp_path / "out", address, capsys)
    assert captured == f"sweep: {address}: is no address of a scheduler: a Worker answers there\n"
    captured = refused(spec, tmp_path / "out", "none://here:1", capsys)
    assert re.match("sweep: none://here:1: is no address of a scheduler: .*none", captured)
    arguments = command(spec, tmp_path / "out", address, "--threads", "2")
    assert main(arguments) == 2
    assert "threads = 2: the workers at tcp" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["run", "--dask", str(spec)])
    assert "must be as tcp://host:8786, or come last" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_dask_one_line_says_how_to_get_it(spec, tmp_path):
    code = (
        "import sys; sys.modules['distributed'] = None; from sweep.cli import main; "
        f"raise SystemExit(main({command(spec, tmp_path / 'out', '')!r}))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert out.returncode == 2
    assert out.stderr == "sweep: a cluster needs Dask: pip install distributed\n"
    assert not (tmp_path / "out").exists()


def start(spec, folder):
    """Start a run on two processes of its own, in a group that a terminal's Ctrl-C would reach."""
    arguments = command(spec, folder, "", "--threads", "2", "--shard", "1/2")
    return subprocess.Popen(
        [sys.executable, "-m", "sweep", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def workers_of(process):
    found = psutil.Process(process.pid).children(recursive=True)
    return [child for child in found if any("spawn_main" in word for word in child.cmdline())]


def test_a_cluster_of_its_own_loses_a_worker_then_ctrl_c_then_the_rest(spec, whole, tmp_path):
    process = start(spec, tmp_path)
    wait_for(has_parts(tmp_path, 10))
    everybody = workers_of(process)
    assert len(everybody) == 2
    everybody[0].kill()
    wait_for(has_parts(tmp_path, 30))
    everybody += workers_of(process)
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    out, captured = process.communicate(timeout=30)
    assert time.monotonic() - began < 3.0
    assert process.returncode == 130
    assert captured == "\nsweep: interrupted; the same command resumes the run\n"
    assert out == ""
    assert psutil.wait_procs(everybody, timeout=5)[1] == []
    kept = identities(tmp_path)
    assert 30 <= len(kept) < 100
    process = start(spec, tmp_path)
    assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 0
    assert parts(tmp_path) == {name: whole[name] for name in sorted(whole)[::2]}
    assert identities(tmp_path).items() >= kept.items()
