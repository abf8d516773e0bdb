"""The article as text for the terminal, and as one HTML file that needs no network."""

from __future__ import annotations

import base64
import io
import re
import textwrap
from collections.abc import Sequence
from html import escape

import matplotlib as mpl
from matplotlib.figure import Figure

from sweep.article.content import Block, CaptionedFigure, Claim, Section, Step, Table
from sweep.figures.style import styled

__all__ = ["html", "text"]

WIDTH = 92
_TITLE = "The learning slowdown, and how cross-entropy repairs it"
_SOURCE = "chapter 3 of Michael Nielsen's Neural Networks and Deep Learning"
_LINK = "http://neuralnetworksanddeeplearning.com/chap3.html"


# --- text ----------------------------------------------------------------------------------


def text(sections: Sequence[Section]) -> str:
    """Return the article as text, without its figures; each claim is below what it is about."""
    lines = [_TITLE, "=" * len(_TITLE), "", *_wrap(f"After {_SOURCE}: {_LINK}", "", "")]
    for number, section in enumerate(sections, 1):
        title = f"{number}. {section.title}"
        lines += ["", title, "-" * len(title)]
        before: Block | None = None
        for block in section.blocks:
            if isinstance(block, CaptionedFigure):
                continue
            lines += [] if isinstance(block, Step) and isinstance(before, Step) else [""]
            lines += _text_block(block)
            before = block
        lines.append("")
        for claim in section.claims:
            lines += _wrap(f"{_mark(claim)} {_sentence(claim)}", "    ", "  ")
    return "\n".join(line.rstrip() for line in [*lines, "", _verdict(sections)])


def _text_block(block: str | Step | Table) -> list[str]:
    if isinstance(block, str):
        return _wrap(block, "", "")
    if isinstance(block, Table):
        rows = [tuple(block.head), *map(tuple, block.rows)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        rows.insert(1, tuple("─" * width for width in widths))
        return [
            "    " + "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
            for row in rows
        ]
    return _wrap(f"{block.description}:   {block.text}", "        ", "    ")


def _wrap(text: str, indent: str, first_indent: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=first_indent, subsequent_indent=indent, break_on_hyphens=False
    )


def _mark(claim: Claim) -> str:
    return "✓" if claim.holds else "✗"


def _sentence(claim: Claim) -> str:
    expected = "" if claim.expected == claim.got else f" (expected: {claim.expected})"
    return f"{claim.statement} — {claim.got}{expected}"


def _verdict(sections: Sequence[Section]) -> str:
    claims = [claim for section in sections for claim in section.claims]
    return f"{sum(claim.holds for claim in claims)} of {len(claims)} claims hold"


# --- HTML ----------------------------------------------------------------------------------

_STYLE = """
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --pale: #5a5a5a; --rule: #ddd;
        --box: #f6f7f9; --yes: #1a7f37; --no: #c1121f; --link: #0a5fa5; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e2e2e2; --paper: #16181b; --pale: #a9adb3; --rule: #3a3e44; --box: #212429;
          --yes: #5dcc7c; --no: #ff7b72; --link: #7db8f0; } }
body { font: 17px/1.55 Georgia, "Times New Roman", serif; color: var(--ink);
       background: var(--paper); max-width: 47rem; margin: 2.5rem auto 4rem; padding: 0 1.2rem; }
a { color: var(--link); }
h1 { font-size: 1.9rem; line-height: 1.2; margin-bottom: .3rem; }
h2 { font-size: 1.3rem; margin: 2.8rem 0 .6rem; border-bottom: 1px solid var(--rule); }
header p, footer { color: var(--pale); } header p { margin: .3rem 0; }
nav { font: .88rem/1.6 system-ui, sans-serif; } nav ol { padding-left: 1.4rem; }
footer { font-size: .88rem; margin-top: 3rem; border-top: 1px solid var(--rule); }
.wide { overflow-x: auto; }
figure { margin: 1.4rem 0; }
figure img { display: block; margin: auto; width: 100%; min-width: 34rem; background: #fff; }
sup { line-height: 0; }
figcaption { font-size: .88rem; color: var(--pale); margin: .3rem 1rem 0; }
div.step { display: grid; grid-template-columns: 15rem 1fr; align-items: center;
           gap: 0 1.2rem; margin: .55rem 0; }
div.step span { font-size: .92rem; color: var(--pale); }
div.step div { overflow-x: auto; padding: .15rem 0; }
math { font-size: 1.08em; width: fit-content; margin: 0; }
table { border-collapse: collapse; font: .82rem/1.4 system-ui, sans-serif; width: 100%;
        margin: 1rem 0; text-align: left; }
thead th { border-bottom: 1.5px solid var(--ink); padding: .25rem .5rem; }
tbody th, td { border-bottom: 1px solid var(--rule); padding: .3rem .5rem; vertical-align: top;
               font-weight: inherit; }
.yes { color: var(--yes); font-weight: 600; } .no { color: var(--no); font-weight: 700; }
ul.claims { list-style: none; padding: .6rem .9rem; background: var(--box); border-radius: 6px;
            font: .84rem/1.5 system-ui, sans-serif; }
ul.claims li { padding-left: 1.4rem; text-indent: -1.4rem; margin: .15rem 0; }
ul.claims b { display: inline-block; width: 1.4rem; text-indent: 0; }
@media (max-width: 40rem) { div.step { grid-template-columns: 1fr; } }
@media print { body { font-size: 11pt; margin: 0; } figure, div.step, tr { break-inside: avoid; }
               figure img { min-width: 0; } }
"""


def html(sections: Sequence[Section], version: str, date: str) -> str:
    """Return the article as one HTML page that holds its figures and formulas.

    `version` and `date` are those of its making.
    """
    contents, body = [], []
    for number, section in enumerate(sections, 1):
        contents.append(f'<li><a href="#s{number}">{escape(section.title)}</a></li>')
        claims = [
            f'<li><b class="{_holds(c)}">{_mark(c)}</b>{escape(_sentence(c))}</li>'
            for c in section.claims
        ]
        body.append(
            f'<section aria-labelledby="s{number}">'
            f'<h2 id="s{number}">{number}. {escape(section.title)}</h2>'
            + "\n".join(map(_html_block, section.blocks))
            + f'<ul class="claims">{"".join(claims)}</ul></section>'
        )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_TITLE}</title><style>{_STYLE}</style></head><body>"
        f'<header><h1>{_TITLE}</h1><p>After <a href="{_LINK}">{_SOURCE}</a>. Every number on this '
        "page was computed when the page was made, by <code>sweep article</code>; what is claimed "
        f"was checked. {_verdict(sections)}.</p></header>"
        f'<nav aria-label="Contents"><ol>{"".join(contents)}</ol></nav><main>'
        + "\n".join(body)
        + f"</main><footer><p>Made by sweep {escape(version)} on {escape(date)}.</p></footer>"
        "</body></html>\n"
    )


def _html_block(block: Block) -> str:
    if isinstance(block, str):
        return f"<p>{_html_paragraph(block)}</p>"
    if isinstance(block, CaptionedFigure):
        caption = escape(block.caption)
        return (
            f'<figure><div class="wide" tabindex="0"><img alt="{caption}" '
            f'src="{_data_uri(block.figure)}"></div><figcaption>{caption}</figcaption></figure>'
        )
    if isinstance(block, Table):
        head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in block.head)
        rows = [
            f'<tr><th scope="row">{escape(first)}</th>'
            + "".join(f"<td>{escape(cell)}</td>" for cell in rest)
            + "</tr>"
            for first, *rest in block.rows
        ]
        return (
            f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{''.join(rows)}</tbody></table></div>"
        )
    return (
        f'<div class="step"><span>{escape(block.description)}</span><div>{block.mathml}</div></div>'
    )


def _holds(claim: Claim) -> str:
    return "yes" if claim.holds else "no"


def _html_paragraph(text: str) -> str:
    """Return HTML with powers as superscripts, and no line break beside an operator."""
    raised = re.sub(r"\^(?:\(([^)]*)\)|(\w))", r"<sup>\1\2</sup>", escape(text))
    raised = re.sub(r"(?<=\d) %", "\u00a0%", raised)
    return re.sub(r" ([=−+÷]) ", "\u00a0\\1\u00a0", raised).replace("/∂", "/\u2060∂")


def _data_uri(figure: Figure) -> str:
    """Return a figure as a data: URI of an SVG whose letters are outlines."""
    file = io.BytesIO()
    with styled():
        # The date and random names would make the same page a different file each time.
        mpl.rcParams["svg.fonttype"] = "path"
        figure.savefig(file, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(file.getvalue()).decode()}"
