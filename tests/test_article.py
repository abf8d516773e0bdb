"""`sweep article`: every claim holds, the page needs no other file, and failures are reported."""

import json
import re
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
from matplotlib.colors import rgb_to_hsv, to_rgb

import sweep
from sweep.article import build, derivation, page
from sweep.article.content import (
    CaptionedFigure,
    Claim,
    Section,
    Step,
    Table,
    digits_claim,
    proof_claim,
)
from sweep.article.wrong_gradient import stepped_with_da
from sweep.cli import main
from sweep.errors import SpecError
from sweep.figures.style import COST_COLOURS


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("article")
    return build.build_sections(folder), folder


@pytest.fixture(scope="module")
def written(built):
    sections, folder = built
    return [Path(file) for file in build.write_article(sections, folder)]


@pytest.mark.parametrize("number", range(1, 10))
def test_every_claim_of_the_section_holds(built, number):
    section = built[0][number - 1]
    assert section.claims
    failed = [claim for claim in section.claims if not claim.holds]
    assert not failed


def test_the_sections_are_those_of_the_article(built):
    titles = [section.title for section in built[0]]
    assert len(titles) == len(set(titles)) == 9
    figures = [b for section in built[0] for b in section.blocks if isinstance(b, CaptionedFigure)]
    assert len(figures) == 8
    for figure in figures:
        assert figure.caption.count(". ") == 0, "a caption is one sentence"


# The numbers of the design's tables, as the page prints them.
@pytest.mark.parametrize(
    ("section", "number"),
    [
        (1, "0.093752"), (1, "0.201262"), (2, "0.148148"), (4, "0.011598"), (4, "0.011966"),
        (8, "0.416664"), (8, "0.778245"), (8, "0.039964"), (8, "0.047400"), (9, "54,364"),
    ],
)  # fmt: skip
def test_public_numbers(built, section, number):
    assert any(number in claim.got for claim in built[0][section - 1].claims)


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.sources, self.tags, self.scopes = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in ("img", "meta"):
            self.open.append(tag)
        self.scopes += [value for name, value in attributes if name == "scope"]
        self.sources += [value for name, value in attributes if name in ("src", "href")]
        if tag == "img":
            assert dict(attributes)["alt"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_needs_no_other_file(built, written):
    text = written[0].read_text(encoding="utf-8")
    parsed = _Page()
    parsed.feed(text)
    assert parsed.open == []
    claims = sum(len(section.claims) for section in built[0])
    assert text.count('<b class="yes">✓</b>') == claims
    assert parsed.tags.count("img") == 8
    away = [s for s in parsed.sources if not s.startswith(("data:image/svg+xml;base64,", "#s"))]
    assert away == ["http://neuralnetworksanddeeplearning.com/chap3.html"]
    assert text.count("Nielsen") == 1
    assert not {"script", "link", "iframe"} & set(parsed.tags)
    assert "url(" not in text


def test_the_page_can_be_read_without_seeing_it(built, written):
    parsed = _Page()
    parsed.feed(written[0].read_text(encoding="utf-8"))
    for landmark in ("header", "nav", "main", "footer"):
        assert parsed.tags.count(landmark) == 1
    assert parsed.tags.count("section") == 9
    tables = [b for section in built[0] for b in section.blocks if isinstance(b, Table)]
    assert parsed.tags.count("thead") == parsed.tags.count("tbody") == len(tables) == 4
    assert parsed.scopes.count("col") == sum(len(table.head) for table in tables)
    assert parsed.scopes.count("row") == sum(len(table.rows) for table in tables)
    formulas = sum(isinstance(b, Step) for section in built[0] for b in section.blocks)
    assert parsed.tags.count("math") == formulas >= 25
    assert parsed.tags.count("merror") == 0


def test_the_page_says_what_made_it_and_when(built, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    page_ = Path(build.write_article([], tmp_path)[0]).read_text(encoding="utf-8")
    assert f"Made by sweep {sweep.__version__} on 1970-01-02." in page_
    assert "prefers-color-scheme: dark" in page_
    for wrong in ("yesterday", "9" * 30):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", wrong)
        with pytest.raises(SpecError, match="SOURCE_DATE_EPOCH = "):
            build.write_article([], tmp_path)


def test_captions_name_the_colours_that_are_drawn(built):
    figures = [b for section in built[0] for b in section.blocks if isinstance(b, CaptionedFigure)]
    named = {word for f in figures for word in re.findall(r"\((\w+)\)", f.caption)}
    assert named == {"orange", "blue"}
    for word, cost in (("orange", "quadratic"), ("blue", "cross_entropy")):
        hue, drawn = (rgb_to_hsv(to_rgb(colour))[0] for colour in (word, COST_COLOURS[cost]))
        assert abs(hue - drawn) < 0.1  # of 1


def test_the_figures_are_files_too(written):
    assert [path.name for path in written[1:]] == [
        f"article-{name}.png"
        for name in ("experiments", "why", "repair", "grid", "recipe", "theory", "correction",
                     "optimizers")
    ]  # fmt: skip
    assert all(path.stat().st_size > 20_000 for path in written)


def test_the_text_fits_a_terminal_and_has_each_claim_once(built):
    lines = page.text(built[0]).splitlines()
    assert max(map(len, lines)) <= 92
    assert len(lines) < 335
    claims = sum(len(section.claims) for section in built[0])
    assert lines[-1] == f"{claims} of {claims} claims hold"
    assert sum(line.startswith("  ✓ ") for line in lines) == claims


@pytest.fixture
def one_false(monkeypatch, tmp_path):
    claims = [Claim("1 + 1", "2", "2", True), Claim("2 + 2", "5", "4", False)]
    sections = [Section("Arithmetic", ["Add."], claims)]
    monkeypatch.setattr(build, "build_sections", lambda folder, threads: sections)
    return tmp_path


def test_a_claim_that_does_not_hold_is_exit_code_1(one_false, capsys):
    assert main(["article", "-o", str(one_false)]) == 1
    output = capsys.readouterr().out
    assert "✗ 2 + 2 — 4 (expected: 5)" in output
    assert "1 of 2 claims hold" in output
    there = one_false.with_name(f"{one_false.name}-figures")
    assert '<b class="no">✗</b>2 + 2' in (there / "article.html").read_text(encoding="utf-8")


def test_json(one_false, capsys):
    assert main(["article", "-o", str(one_false), "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert result["holds"] is False
    assert result["claims"][1] == {
        "section": 1, "title": "Arithmetic", "claim": "2 + 2", "expected": "5", "got": "4",
        "holds": False,
    }  # fmt: skip


def test_a_folder_that_cannot_be_used_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["article", "-o", str(tmp_path / "file" / "x")]) == 2
    assert main(["article", "-o", str(tmp_path), "--threads", "0"]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 2
    assert "threads = 0" in output.err


def test_without_sympy_one_line_says_how_to_get_it():
    code = (
        "import sys; sys.modules['sympy'] = None; from sweep.cli import main; "
        "sys.exit(main(['article', '-o', 'nowhere']))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert out.returncode == 2
    assert out.stderr.count("\n") == 1
    assert "pip install sympy latex2mathml" in out.stderr


def test_claims_can_fail():
    assert digits_claim("pi", "3.14", np.pi).holds
    assert not digits_claim("pi", "3.15", np.pi).holds
    steps = derivation.slope()
    assert proof_claim("all", steps).holds
    wrong = Step("wrong", "1 = 2", "1 = 2", proven=False)
    assert not proof_claim("one wrong", [*steps, wrong]).holds


def test_sympy_refuses_wrong_algebra():
    a, y = derivation._a, derivation._y
    by_a = (a - y) / (a * (1 - a))
    right = -(y * sp.log(a) + (1 - y) * sp.log(1 - a))
    assert derivation._integrates(by_a, right)
    assert derivation._integrates(by_a, right + 7)
    assert not derivation._integrates(by_a, right + a)
    assert not derivation._integrates(by_a, -right)


def test_a_wrong_activation_is_not_proven(monkeypatch):
    act, shown, slope, cost = derivation._ACTIVATIONS["tanh"]
    broken = {"tanh": (act, shown, 2 * slope, cost)}
    monkeypatch.setattr(derivation, "_ACTIVATIONS", broken)
    proofs = [step.proven for step in derivation.matching("tanh").steps]
    assert proofs == [None, False, False, True]


def test_what_is_printed_keeps_its_sign_and_order():
    last = derivation.cross_entropy()[-1]
    assert last.text == "C = -(y⋅ln(a) + (1 − y)⋅ln(1 − a)) + const"
    shown = unescape(re.sub(r"<[^>]*>", "", last.mathml))
    assert shown == "C=−(yln(a)+(1−y)ln(1−a))+const"
    first = derivation.gradients()[0]
    assert first.text == "C = 1/n⋅Σᵢ ((yᵢ − aᵢ)²/2)"
    assert derivation.matching("softsign").steps[0].text == "a = z/(1 + |z|)"


@pytest.mark.parametrize(
    ("activation", "error", "gradient"), [("sigmoid", 2 / 3, 4 / 27), ("tanh", 4 / 3, 32 / 27)]
)
def test_peaks_of_the_quadratic_gradient(activation, error, gradient):
    at, top, step = derivation.peak(activation)
    assert (at, top) == pytest.approx((error, gradient))
    assert step.proven


def test_the_script_s_steps():
    assert round(stepped_with_da(0.6, 0.9, 0.005, 301)[-1], 6) == 0.039964
    assert round(stepped_with_da(2.0, 2.0, 0.005, 301)[-1], 6) == 0.047400
