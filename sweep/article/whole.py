"""The whole article: its sections made, and written as a page with its figures."""

from __future__ import annotations

import json
from pathlib import Path

from sweep.article import page
from sweep.article.algebra import appendix, gradients
from sweep.article.content import Picture, Section
from sweep.article.correction import correction
from sweep.article.recipe import recipe
from sweep.article.repair import repair
from sweep.article.slowdown import experiments, why
from sweep.article.theory import theory
from sweep.experiment.spec import ARTICLE, Spec
from sweep.figures.draw import write_figure
from sweep.running.run import run
from sweep.store.folder import open_folder, write_whole

__all__ = ["article", "holds", "to_json", "write"]


def article(folder: str | Path, threads: int | None = None) -> list[Section]:
    """Make the eight sections; the article's sweep is run into the folder, or stands there."""
    run(Spec.load(ARTICLE), folder, threads=threads)
    return [
        experiments(),
        why(),
        gradients(),
        repair(folder),
        recipe(),
        appendix(),
        theory(),
        correction(),
    ]


def write(sections: list[Section], folder: str | Path) -> list[str]:
    """Write article.html, and each figure as article-NAME.png; say where they are."""
    to = open_folder(folder)
    write_whole(to, "article.html", page.html(sections).encode())
    pictures = [b for section in sections for b in section.blocks if isinstance(b, Picture)]
    return [
        to / "article.html",
        *(write_figure(p.figure, to, f"article-{p.name}.png", dpi=150) for p in pictures),
    ]


def holds(sections: list[Section]) -> bool:
    """Whether every claim holds."""
    return all(claim.holds for section in sections for claim in section.claims)


def to_json(sections: list[Section], paths: list[str]) -> str:
    """Return the claims, and where the page is, as JSON."""
    claims = [
        {"section": number, "title": section.title, "claim": claim.says, **_rest(claim)}
        for number, section in enumerate(sections, 1)
        for claim in section.claims
    ]
    found = {"holds": holds(sections), "files": paths, "claims": claims}
    return json.dumps(found, ensure_ascii=False, indent=2)


def _rest(claim: object) -> dict[str, object]:
    return {name: value for name, value in vars(claim).items() if name != "says"}
