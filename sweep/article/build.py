"""Builds the article: makes its sections, checks its claims, writes its page and figures."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path

from sweep import __version__
from sweep.article import page
from sweep.article.algebra import gradients, sigmoid_slope
from sweep.article.content import CaptionedFigure, Section
from sweep.article.cost_comparison import cost_comparison
from sweep.article.gradient_flow import gradient_flow
from sweep.article.matching_costs import matching_costs
from sweep.article.other_optimizers import other_optimizers
from sweep.article.slowdown import two_experiments, vanishing_gradient
from sweep.article.wrong_gradient import wrong_gradient
from sweep.errors import SpecError, short
from sweep.experiment.spec import ARTICLE, Spec
from sweep.figures.draw import write_figure
from sweep.running.run import run
from sweep.store.folder import Folder, make_folder, open_folder, write_whole

__all__ = ["all_claims_hold", "build_sections", "to_json", "write_article"]


def build_sections(folder: str | Path, threads: int | None = None) -> list[Section]:
    """Return the nine sections; runs what the folder lacks of the article's sweep.

    Raises
    ------
    SpecError
        SymPy is missing, or the folder cannot be used.
    """
    run(Spec.load(ARTICLE), folder, threads=threads)
    return [
        two_experiments(),
        vanishing_gradient(),
        gradients(),
        cost_comparison(folder),
        matching_costs(),
        sigmoid_slope(),
        gradient_flow(),
        wrong_gradient(),
        other_optimizers(),
    ]


def write_article(sections: list[Section], folder: str | Path | Folder) -> list[str]:
    """Write article.html, and each figure as article-NAME.png; return their paths."""
    out = open_folder(folder)
    make_folder(out)
    write_whole(out, "article.html", page.html(sections, __version__, _today()).encode())
    figures = [b for section in sections for b in section.blocks if isinstance(b, CaptionedFigure)]
    return [
        out / "article.html",
        *(write_figure(f.figure, out, f"article-{f.name}.png", dpi=150) for f in figures),
    ]


def _today() -> str:
    """Return the date, or the one that SOURCE_DATE_EPOCH fixes, so that a page can be made anew."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        seconds = time.time() if given is None else int(given)
        return datetime.fromtimestamp(seconds, UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        raise SpecError(f"SOURCE_DATE_EPOCH = {short(given)}: must be seconds since 1970") from None


def all_claims_hold(sections: list[Section]) -> bool:
    """Whether every claim holds."""
    return all(claim.holds for section in sections for claim in section.claims)


def to_json(sections: list[Section], paths: list[str]) -> str:
    """Return the claims, and the paths of the page and its figures, as JSON."""
    claims = [
        {"section": number, "title": section.title, "claim": claim.statement,
         "expected": claim.expected, "got": claim.got, "holds": claim.holds}
        for number, section in enumerate(sections, 1)
        for claim in section.claims
    ]  # fmt: skip
    result = {"holds": all_claims_hold(sections), "files": paths, "claims": claims}
    return json.dumps(result, ensure_ascii=False, indent=2)
