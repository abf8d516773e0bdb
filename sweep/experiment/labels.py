"""The values of an axis as texts, as short as keeps them distinct, and back to the stored value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from sweep.errors import SpecError, short

__all__ = [
    "MIN_DIGITS",
    "below_one",
    "cost_name",
    "label",
    "labels",
    "option_name",
    "order_costs",
    "percent",
    "stored_value",
]

MIN_DIGITS = 3


def label(value: float, digits: int = MIN_DIGITS) -> str:
    """Return a number with so many significant digits; no exponent between 1e-4 and 1e6."""
    text = f"{value + 0.0:.{digits}g}"
    if "e" in text and 1e-4 <= abs(value) < 1e6:
        text = f"{float(text):.0f}"
    return repr(value) if digits >= 17 else text


def labels(values: Iterable[float], least: int = MIN_DIGITS) -> list[str]:
    """Return the values of an axis with as many digits as keep all of them distinct."""
    numbers = [float(value) for value in values]
    digits = _digits(numbers, least)
    return [label(number, digits) for number in numbers]


def _digits(values: Sequence[float], least: int) -> int:
    ordered = sorted(set(values))
    # The closest first: where digits are too few, one pair shows it.
    pairs = sorted(pairwise(ordered), key=lambda pair: (pair[1] - pair[0]) / max(map(abs, pair)))

    def apart(digits: int) -> bool:
        return all(float(f"{a:.{digits}g}") != float(f"{b:.{digits}g}") for a, b in pairs)

    return next(filter(apart, range(least, 17)), 17)


def stored_value(field: str, value: float, values: Iterable[float]) -> float:
    """Return the value of an axis that one of its labels, or more of its digits, denotes.

    Raises
    ------
    SpecError
        It is none of them; names the nearest.
    """
    stored = [float(each) for each in values]
    if value in stored:
        return float(value)
    needed = _digits(stored, MIN_DIGITS)
    matches = {each for each in stored if float(label(each, needed)) == value}
    digits = len(f"{float(value)!r}".partition("e")[0].replace(".", "").strip("-0"))
    if not matches and digits >= needed:
        matches = {each for each in stored if float(f"{each:.{digits}g}") == value}
    if len(matches) != 1:
        near = min(stored, key=lambda each: abs(each - value))
        raise SpecError(f"{field} {short(value)}: is not on this axis; the nearest is {near!r}")
    return matches.pop()


def percent(share: float) -> str:
    """Return a share in 0..1 as a percentage; one that only rounds to 0 or 100 % says so."""
    text = f"{100 * share:.1f} %"
    return {"100.0 %": "> 99.9 %", "0.0 %": "< 0.1 %"}.get(text, text) if 0 < share < 1 else text


def below_one(error: float) -> str:
    """Return an error with three digits; one that would only round to 1 has as many as tell it."""
    digits = next((d for d in range(3, 17) if error == 1 or float(f"{error:.{d}g}") != 1), 17)
    return label(error, digits)


def cost_name(cost: str) -> str:
    """Return a cost as it is written in a text: `cross_entropy` is cross-entropy."""
    return cost.replace("_", "-")


def option_name(name: str) -> str:
    """Return a cost, or an optimiser, as a figure has it: Adam, gradient descent."""
    written = {"gd": "gradient descent", "nesterov": "Nesterov", "adam": "Adam"}
    return written.get(name, cost_name(name))


def order_costs(costs: Sequence[str]) -> list[str]:
    """Return costs, or optimisers, with the article's first: quadratic, cross-entropy; gd."""
    known = [cost for cost in ("quadratic", "cross_entropy", "gd") if cost in costs]
    return known + [cost for cost in costs if cost not in known]
