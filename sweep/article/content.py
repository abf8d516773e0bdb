"""What a section of the article is made of: paragraphs, formulas, tables, figures and claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.figure import Figure

__all__ = [
    "RATE", "STARTS", "Block", "CaptionedFigure", "Claim", "Section", "Step", "Table", "claim",
    "digits_claim", "number", "proof_claim",
]  # fmt: skip

RATE = 0.15
STARTS = ((0.6, 0.9), (2.0, 2.0))
"""The article's learning rate, and its two starts (w, b): the bad one and the worse one."""


@dataclass(frozen=True)
class Claim:
    """A statement, the value it expects, the value the run gave, and whether it holds."""

    statement: str
    expected: str
    got: str
    holds: bool


@dataclass(frozen=True)
class CaptionedFigure:
    """A figure, saved as article-NAME.png, and a caption of one sentence."""

    name: str
    figure: Figure
    caption: str


@dataclass(frozen=True)
class Table:
    """Rows of cells under a header row."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Step:
    """A step of a derivation: its description, its formula as text and as MathML, and its proof.

    `proven` says whether SymPy reduced the difference of both sides to 0; it is None where there is
    nothing to prove, as in a definition.
    """

    description: str
    text: str
    mathml: str
    proven: bool | None = None


Block = str | Step | Table | CaptionedFigure


@dataclass(frozen=True)
class Section:
    """A section: its paragraphs, steps, tables and figures in reading order, and its claims."""

    title: str
    blocks: list[Block] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)


def number(value: float) -> str:
    """Format a number for a sentence: four digits, thousands separated, no exponent if short."""
    if value == int(value) and abs(value) < 1e7:
        return f"{value:,.0f}"
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e7 else f"{value:.4g}"


def digits_claim(statement: str, expected: str, got: float) -> Claim:
    """Claim that a number, rounded to as many decimals as `expected` has, equals it."""
    digits = len(expected.partition(".")[2])
    text = f"{got:.{digits}f}"
    shown = text if digits > 4 else f"{got:.6f}"
    return Claim(statement, expected, shown, text == expected)


def claim(statement: str, expected: str, got: str, holds: Any) -> Claim:
    """Claim a comparison of measured numbers; `holds` may be a NumPy bool."""
    return Claim(statement, expected, got, bool(holds))


def proof_claim(statement: str, steps: Sequence[Step]) -> Claim:
    """Claim that SymPy proves every step that has something to prove, and that there is one."""
    proofs = [step.proven for step in steps if step.proven is not None]
    got = f"SymPy proves {sum(proofs)} of {len(proofs)} formulas"
    return Claim(statement, "proven", got, all(proofs) and bool(proofs))
