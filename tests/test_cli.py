"""The command as a user types it: exit codes, one-line errors, Ctrl-C, nothing lost."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sweep.cli import main
from sweep.experiment.spec import ARTICLE, Spec
from sweep.figures import FIGURES
from sweep.running.run import run

SPEC = """
name = "small"
[axes]
w = { start = -4.0, stop = 4.0, num = 9 }
b = { start = -4.0, stop = 4.0, num = 9 }
learning_rate = [0.1, 0.5]
[stop]
max_epochs = 200
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.toml").write_text(SPEC)
    return tmp_path


def test_run_plot_info_check(here, capsys):
    assert main(["run", "spec.toml"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""  # no progress bar where there is no terminal
    assert "trained 324 neurons" in captured.out
    assert "16 Parquet parts in results/small" in captured.out
    figures = re.findall(r"^  (\S+\.png)$", captured.out, re.MULTILINE)
    assert figures
    assert all((here / figure).stat().st_size > 5000 for figure in figures)
    assert main(["run", "spec.toml"]) == 0
    assert "results/small is complete: 324 neurons" in capsys.readouterr().out
    assert main(["info", "results/small"]) == 0
    captured = capsys.readouterr().out
    assert "learning_rate       2 values: 0.1, 0.5" in captured
    assert "parts              16 of 16" in captured
    assert main(["info", "results/small", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rows"] == 324
    assert [cost["cost"] for cost in found["costs"]] == ["quadratic", "cross_entropy"]
    assert main(["plot", "results/small", "-o", "elsewhere", "--dpi", "40"]) == 0
    drawn = {p.name for p in (here / "elsewhere").iterdir()}
    assert drawn == {f"{name}.png" for name, figure in FIGURES.items() if not figure.follow}
    assert drawn > {Path(f).name for f in figures}
    arguments = ["--figure", "slowdown", "--figure", "ratio", "--format", "pdf", "--style", "talk"]
    assert main(["plot", "results/small", *arguments]) == 0
    assert {p.name for p in (here / "results/small-figures").glob("*.pdf")} == {
        "slowdown.pdf",
        "ratio.pdf",
    }
    assert main(["check", "results/small"]) == 0
    next((here / "results/small").glob("part-*")).unlink()
    capsys.readouterr()
    assert main(["check", "results/small"]) == 1
    assert "is missing" in capsys.readouterr().out


def test_options_of_run(here, capsys):
    assert main(["run", "--print-spec"]) == 0
    printed = capsys.readouterr().out
    assert printed == ARTICLE.read_text().replace('name = "article"', 'name = "mine"')
    assert main(["run", "--print-spec", "--method", "orbit"]) == 0
    printed = Spec.parse(capsys.readouterr().out)
    assert (printed.name, printed.method) == ("mine", "orbit")
    assert main(["run", "spec.toml", "-o", "out", "--shard", "2/2", "--threads", "1"]) == 0
    shown = capsys.readouterr().out
    assert "trained 156 neurons in " in shown
    assert "8 Parquet parts of this shard in out\n8 of 16 parts belong to other shards\n" in shown
    assert main(["run", "spec.toml", "-o", "out", "--shard", "2/2", "--threads", "1"]) == 0
    shown = capsys.readouterr().out
    assert shown == "out has all 8 parts of this shard\n8 of 16 parts belong to other shards\n"
    assert main(["check", "out"]) == 1
    *missing, sum_of_them = capsys.readouterr().out.splitlines()
    assert missing == [f"part-{part:02d}-of-16.parquet is missing" for part in range(0, 16, 2)]
    assert sum_of_them == "8 parts are missing; `sweep run` computes them"
    assert main(["run", "spec.toml", "-o", "out", "--method", "train"]) == 2
    assert "method is 'auto' there, 'train' here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "none.toml"], "none.toml: cannot be read: No such file"),
        (["run", "broken.toml"], "broken.toml: is not TOML: .*line 1"),
        (["run", "spec.toml", "--threads", "0"], "threads = 0: must be"),
        (["run", "spec.toml", "--shard", "3/2"], "shard = 3/2: must be I/N"),
        (["run", "spec.toml", "-o", "broken.toml/x"], "broken.toml/x: cannot be made"),
        (["plot", "none"], "none: holds no results"),
        (["info", "none"], "none: holds no results"),
        (["check", "none"], "none: holds no results"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(here, capsys, arguments, message):
    (here / "broken.toml").write_text("= 3")
    before = sorted(here.rglob("*"))
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert re.match(f"sweep: {message}", captured.err)
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--figure", "slowdwn"], 2, r"figure = 'slowdwn': must be one of heatmap, .* 'slowdown'"),
        (["--figure", "theory"], 2, r"figure theory: .* this result has 2 samples"),
        (["--format", "gif"], 2, "format = 'gif': must be one of png, svg, pdf"),
        (["--style", "poster"], 2, "style = 'poster': must be one of paper, talk"),
        (["--dpi", "0"], 2, "dpi = 0: must lie within 10 and 2400"),
        (["-o", "spec.toml"], 2, "spec.toml: cannot be written to"),
    ],
)
def test_what_plot_refuses(here, capsys, options, code, message):
    samples = SPEC + "[task]\nx = [1.0, 2.0]\ny = [0.0, 1.0]\n"
    (here / "spec.toml").write_text(samples.replace("num = 9", "num = 3"))
    run(Spec.load("spec.toml"), "out")
    before = sorted(here.rglob("*"))
    assert main(["plot", "out", *options]) == code
    captured = capsys.readouterr()
    assert re.match(f"sweep: {message}", captured.err)
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert sorted(here.rglob("*")) == before


def test_damaged_and_missing_parts(here, capsys):
    run(Spec.load("spec.toml"), "out")
    (here / "out" / "part-02-of-16.parquet").write_bytes(b"broken")
    (here / "out" / "part-15-of-16.parquet").unlink()
    for command in ("plot", "info"):
        assert main([command, "out"]) == 1
        captured = capsys.readouterr()
        assert "part-02-of-16.parquet is damaged; --skip-damaged goes on without" in captured.err
        assert captured.err.count("\n") == 1
    assert main(["plot", "out", "--skip-damaged", "--figure", "error", "--dpi", "30"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "sweep: left out: part-02-of-16.parquet is damaged",
        "sweep: 1 of 16 parts are not computed yet; the answers are those of the others",
    ]
    assert main(["info", "out", "--skip-damaged"]) == 0
    captured = capsys.readouterr().out
    assert "14 of 16" in captured
    assert "left out: part-02-of-16.parquet is damaged" in captured


def test_plot_needs_no_display(here):
    run(Spec.load("spec.toml"), "out")
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    command = [sys.executable, "-m", "sweep", "plot", "out", "--figure", "slowdown", "-o", "fig"]
    environment["MPLBACKEND"] = "TkAgg"
    subprocess.run(command, check=True, env=environment, capture_output=True)
    assert (here / "fig" / "slowdown.png").stat().st_size > 5000


@pytest.mark.parametrize("shard", ["1", "a/b", "1/2/3"])
def test_a_malformed_shard_is_a_usage_error(capsys, shard):
    with pytest.raises(SystemExit, match="2"):
        main(["run", "--shard", shard])
    assert "I/N" in capsys.readouterr().err


def test_help_teaches(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["run", "--help"])
    captured = " ".join(capsys.readouterr().out.split())
    for word in ("SPEC.toml", "--shard", "--print-spec", "resumes a run"):
        assert word in captured


def test_ctrl_c_stops_within_a_second_and_the_run_goes_on(here):
    # max_epochs as they are, each neuron alone would take minutes
    (here / "long.toml").write_text(
        SPEC.replace("200", "2_000_000_000").replace("stop]", "stop]\ntolerance = 1e-9")
    )
    command = [sys.executable, "-m", "sweep", "run", "long.toml", "-o", "out"]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not (here / "out" / "_spec.parquet").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(3.0)  # well into training
    assert process.poll() is None
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    captured = process.communicate(timeout=30)[1]
    assert time.monotonic() - began < 1.5
    assert process.returncode == 130
    assert captured.strip() == "sweep: interrupted; the same command resumes the run"
    assert [p.name for p in (here / "out").iterdir()] == ["_spec.parquet"]
