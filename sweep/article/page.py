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

from sweep.article.content import Block, CaptionedFigure, Claim, Section, Table
from sweep.figures.style import styled

__all__ = ["html", "text"]

WIDTH = 92
_TITLE = "The learning slowdown, and how cross-entropy repairs it"


# --- text ----------------------------------------------------------------------------------


def text(sections: Sequence[Section]) -> str:
    """Return the article as text: figures by their captions, at the end a table of claims."""
    lines = [_TITLE, "=" * len(_TITLE)]
    for number, section in enumerate(sections, 1):
        title = f"{number}. {section.title}"
        lines += ["", title, "-" * len(title)]
        for block in section.blocks:
            lines += ["", *_text_block(block)]
        lines.append("")
        for claim in section.claims:
            lines += _wrap(f"{_mark(claim)} {claim.statement} — {claim.got}", "    ", "  ")
    lines += ["", "All claims", "----------", ""]
    rows = [
        (str(number), claim.statement, claim.expected, claim.got, _verdict(claim))
        for number, section in enumerate(sections, 1)
        for claim in section.claims
    ]
    lines += _columns([("§", "claim", "expected", "got", "holds"), *rows], (2, 46, 19, 22, 5))
    failed = [row for row in rows if row[-1] == "NO"]
    lines += ["", f"{len(rows) - len(failed)} of {len(rows)} claims hold"]
    return "\n".join(line.rstrip() for line in lines)


def _text_block(block: Block) -> list[str]:
    if isinstance(block, str):
        return _wrap(block, "", "")
    if isinstance(block, CaptionedFigure):
        return _wrap(f"[figure {block.name}] {block.caption}", "    ", "    ")
    if isinstance(block, Table):
        rows = [tuple(block.head), *map(tuple, block.rows)]
        widths = tuple(max(map(len, column)) for column in zip(*rows, strict=True))
        return ["    " + line for line in _columns(rows, widths)]
    return [f"  {block.description}:", *(f"      {line}" for line in block.text.splitlines())]


def _wrap(text: str, indent: str, first_indent: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=first_indent, subsequent_indent=indent, break_on_hyphens=False
    )


def _columns(rows: Sequence[tuple[str, ...]], widths: tuple[int, ...]) -> list[str]:
    """Format rows as lines of aligned columns: cells wrapped, a rule under the first row."""
    lines = []
    for k, row in enumerate(rows):
        cells = [
            textwrap.wrap(cell, width, break_on_hyphens=False) or [""]
            for cell, width in zip(row, widths, strict=True)
        ]
        for i in range(max(map(len, cells))):
            line = [c[i] if i < len(c) else "" for c in cells]
            lines.append(
                "  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True))
            )
        if k == 0:
            lines.append("  ".join("─" * width for width in widths))
    return lines


def _mark(claim: Claim) -> str:
    return "✓" if claim.holds else "✗"


def _verdict(claim: Claim) -> str:
    return "yes" if claim.holds else "NO"


# --- HTML ----------------------------------------------------------------------------------

_STYLE = """
body { font: 17px/1.55 Georgia, "Times New Roman", serif; color: #222; background: #fff;
       max-width: 47rem; margin: 2.5rem auto 4rem; padding: 0 1.2rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin-bottom: .3rem; }
h2 { font-size: 1.3rem; margin: 2.8rem 0 .6rem; border-bottom: 1px solid #ddd; }
p.lead { color: #666; margin-top: 0; }
figure { margin: 1.4rem 0; text-align: center; }
figure img { max-width: 100%; height: auto; }
sup { line-height: 0; }
figcaption { font-size: .88rem; color: #555; text-align: left; margin: .3rem 1rem 0; }
div.step { display: grid; grid-template-columns: 15rem 1fr; align-items: center;
           gap: 0 1.2rem; margin: .55rem 0; }
div.step span { font-size: .92rem; color: #555; }
div.step img { vertical-align: middle; }
table { border-collapse: collapse; font: .82rem/1.4 system-ui, sans-serif; width: 100%;
        margin: 1rem 0; }
th { text-align: left; border-bottom: 1.5px solid #222; padding: .25rem .5rem; }
td { border-bottom: 1px solid #e2e2e2; padding: .3rem .5rem; vertical-align: top; }
td.yes { color: #1a7f37; font-weight: 600; } td.no { color: #c1121f; font-weight: 700; }
ul.claims { list-style: none; padding: .6rem .9rem; background: #f6f7f9; border-radius: 6px;
            font: .84rem/1.5 system-ui, sans-serif; }
ul.claims li { padding-left: 1.4rem; text-indent: -1.4rem; margin: .15rem 0; }
ul.claims b { color: #1a7f37; display: inline-block; width: 1.4rem; text-indent: 0; }
ul.claims b.no { color: #c1121f; }
@media (max-width: 40rem) { div.step { grid-template-columns: 1fr; } }
@media print { body { font-size: 11pt; margin: 0; } figure, div.step, tr { break-inside: avoid; } }
"""


def html(sections: Sequence[Section]) -> str:
    """Return the article as one HTML page that holds its figures and formulas."""
    body = []
    for number, section in enumerate(sections, 1):
        body.append(f'<h2 id="s{number}">{number}. {escape(section.title)}</h2>')
        body += [_html_block(block) for block in section.blocks]
        items = [
            f'<li><b class="{_verdict(c).lower()}">{_mark(c)}</b>{escape(c.statement)} — '
            f"{escape(c.got)}</li>"
            for c in section.claims
        ]
        body.append(f'<ul class="claims">{"".join(items)}</ul>')
    rows = [
        "<tr>"
        + "".join(f"<td>{escape(v)}</td>" for v in (str(number), c.statement, c.expected, c.got))
        + f'<td class="{_verdict(c).lower()}">{_verdict(c)}</td></tr>'
        for number, section in enumerate(sections, 1)
        for c in section.claims
    ]
    holding = sum(c.holds for section in sections for c in section.claims)
    verdict = f"{holding} of {len(rows)} claims hold"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_TITLE}</title><style>{_STYLE}</style></head><body>"
        f'<h1>{_TITLE}</h1><p class="lead">Every number on this page was computed when the page '
        f"was made, by <code>sweep article</code>. {verdict}.</p>"
        + "\n".join(body)
        + '<h2 id="claims">All claims</h2><table><tr><th>§</th><th>claim</th><th>expected</th>'
        f"<th>got</th><th>holds</th></tr>{''.join(rows)}</table><p>{verdict}.</p></body></html>\n"
    )


def _html_block(block: Block) -> str:
    if isinstance(block, str):
        return f"<p>{_html_paragraph(block)}</p>"
    if isinstance(block, CaptionedFigure):
        caption = escape(block.caption)
        return (
            f'<figure><img alt="{caption}" src="{_data_uri(block.figure)}">'
            f"<figcaption>{caption}</figcaption></figure>"
        )
    if isinstance(block, Table):
        head = "".join(f"<th>{escape(v)}</th>" for v in block.head)
        rows = ["".join(f"<td>{escape(v)}</td>" for v in row) for row in block.rows]
        return f"<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"
    return (
        f'<div class="step"><span>{escape(block.description)}</span>'
        f'<img alt="{escape(block.latex)}" src="{_render_formula(block.latex)}"></div>'
    )


def _html_paragraph(text: str) -> str:
    """Return HTML with powers as superscripts, and no line break beside an operator."""
    raised = re.sub(r"\^(?:\(([^)]*)\)|(\w))", r"<sup>\1\2</sup>", escape(text))
    return re.sub(r" ([=−+÷]) ", "\u00a0\\1\u00a0", raised).replace("/∂", "/\u2060∂")


def _render_formula(latex: str) -> str:
    """Render a formula by Matplotlib, which looks the same in every browser."""
    figure = Figure((0.01, 0.01))
    figure.text(0, 0, f"${latex}$", fontsize=13, math_fontfamily="cm", color="#222222")
    return _data_uri(figure, tight=True)


def _data_uri(figure: Figure, tight: bool = False) -> str:
    """Return a figure as a data: URI of an SVG whose letters are outlines."""
    file = io.BytesIO()
    with styled():
        # The date and random names would make the same page a different file each time.
        mpl.rcParams["svg.fonttype"] = "path"
        box = {"bbox_inches": "tight", "pad_inches": 0.02} if tight else {}
        figure.savefig(file, format="svg", transparent=tight, metadata={"Date": None}, **box)
    return f"data:image/svg+xml;base64,{base64.b64encode(file.getvalue()).decode()}"
