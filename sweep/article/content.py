"""What a section of the article is made of: paragraphs, formulas, tables, figures and claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from sweep.article.derivation import Line

__all__ = [
    "Claim",
    "Picture",
    "Section",
    "Table",
    "compared",
    "number",
    "proven",
    "rounded",
]


RATE = 0.15
STARTS = ((0.6, 0.9), (2.0, 2.0))
"""The article's learning rate and its two starts (w, b), the bad one and the worse."""


@dataclass(frozen=True)
class Claim:
    """A statement, what it expects, what the run gave, and whether it holds."""

    says: str
    expected: str
    got: str
    holds: bool


@dataclass(frozen=True)
class Picture:
    """A figure and the one sentence that says what is seen in it."""

    name: str
    figure: Figure
    caption: str


@dataclass(frozen=True)
class Table:
    """Numbers in rows under a head."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """A section: what is read, in order, and what is claimed."""

    title: str
    blocks: list[Any] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)


def number(value: float) -> str:
    """Return a number for a sentence: four digits, thousands parted, no exponent if it is short."""
    if value == int(value) and abs(value) < 1e7:
        return f"{value:,.0f}"
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e7 else f"{value:.4g}"


def rounded(says: str, expected: str, got: float) -> Claim:
    """Claim that a number has the digits that a text prints."""
    digits = len(expected.partition(".")[2])
    text = f"{got:.{digits}f}"
    shown = text if digits > 4 else f"{got:.6f}"
    return Claim(says, expected, shown, text == expected)


def compared(says: str, expected: str, got: str, holds: Any) -> Claim:
    """Claim what a comparison of measured numbers says."""
    return Claim(says, expected, got, bool(holds))


def proven(says: str, lines: Sequence[Line]) -> Claim:
    """Claim that SymPy proves every line of a derivation that is to be proven."""
    proofs = [line.proven for line in lines if line.proven is not None]
    got = f"SymPy proves {sum(proofs)} of {len(proofs)} formulas"
    return Claim(says, "proven", got, all(proofs) and bool(proofs))
