"""The README and the pages of the folders: what they show runs, and what they point to exists."""

import os
import re
import shlex
import tomllib
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import sweep
from sweep.bench import measure
from sweep.bench.workloads import workloads
from sweep.cli import main
from sweep.experiment.spec import ARTICLE

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("sweep/**/*.md")), *ROOT.glob(".github/*.md")]


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.M | re.S)


def commands():
    """Yield each command of the README, in blocks and in sentences, that needs no network."""
    for shell, sentence in re.findall(
        r"^```sh\n(.*?)^```|`(sweep [^`]+`[^`)]*)", README, re.M | re.S
    ):
        for line in shell.splitlines() or [sentence]:
            command, _, remark = line.partition("#" if shell else "`")
            if "network" not in remark:
                yield shlex.split(command.partition(">")[0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An empty folder, with the README's spec in it."""
    folder = tmp_path_factory.mktemp("readme")
    (spec,) = blocks("toml")
    (folder / "mine.toml").write_text(spec)
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


def test_every_command_runs(folder, monkeypatch, capsys):
    work = next(work for work in workloads(full=False) if work.kind == "raw")
    small = partial(measure.bench, works=[replace(work, max_epochs=30)], rounds=1)
    monkeypatch.setattr(measure, "bench", lambda **options: small(**options | {"threads": 2}))
    run = list(commands())
    assert {command[1] for command in run} == {
        "run",
        "plot",
        "info",
        "check",
        "article",
        "bench",
        "export",
        "schema",
        "completion",
    }
    assert ["sweep", "run", "mine.toml"] in run
    for _, *arguments in run:
        if "--help" in arguments:
            with pytest.raises(SystemExit, match="0"):
                main(arguments)
        else:
            assert main(arguments) == 0, arguments
    shown = capsys.readouterr().out
    for line in "".join(blocks("text")).splitlines():
        assert line in shown
    assert (folder / "results/mine-figures/ratio.svg").exists()
    assert len(list((folder / "results/article-figures").glob("*.png"))) >= 7


def test_the_python_runs(folder):
    sweep.run(sweep.Spec.load("mine.toml"), "results/mine")
    names = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    assert names["curve"].output[[0, 150, 300]].round(3).tolist() == [0.982, 0.933, 0.203]
    assert len(names["trained"].epochs) == 1_000_000
    assert set(names["frame"]["cost"]) == {"quadratic", "cross_entropy"}
    assert names["grid"].sizes["learning_rate"] == 2


def test_the_spec_is_the_one_that_the_command_prints():
    (spec,) = blocks("toml")
    article = tomllib.loads(ARTICLE.read_text(encoding="utf-8"))
    assert article.pop("method") == "train"  # it is what the article compares with the flow
    assert tomllib.loads(spec) == article | {"name": "mine"}


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_pictures_exist(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        assert target.startswith("https://") or (page.parent / target).exists(), target
    for path in re.findall(r"`((?:sweep|tests|scripts)/[\w./]+)`", text):
        assert (ROOT / path).exists(), path
    for name in set(re.findall(r"`(\w+\.(?:py|cpp|toml))`", text)) - {"NAME.py", "mine.toml"}:
        assert list(ROOT.glob(f"*/**/{name}")), name
    for script in re.findall(r"`\./(scripts/\w+)", text):
        assert os.access(ROOT / script, os.X_OK), script


def test_every_picture_is_shown():
    shown = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for picture in ROOT.glob("results/gallery/*"):
        assert f"results/gallery/{picture.name})" in shown, picture


def test_every_folder_has_a_page():
    for package in ROOT.glob("sweep/**/__init__.py"):
        page = package.with_name("README.md")
        assert page.exists() or package.parent == ROOT / "sweep", page


def test_a_page_names_every_file_of_its_folder():
    for page in ROOT.glob("sweep/**/README.md"):
        text = page.read_text(encoding="utf-8")
        for module in page.parent.glob("[!_]*.py"):
            assert re.search(rf"`{module.stem}(\.py)?`", text), module
