"""The values of an axis as texts, as short as tells them apart, and the value that is meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sweep.errors import SpecError, short

__all__ = ["FEWEST_DIGITS", "label", "labels", "meant"]

FEWEST_DIGITS = 3


def label(value: float, digits: int = FEWEST_DIGITS) -> str:
    """Return a number with so many significant digits; no exponent between 1e-4 and 1e6."""
    text = f"{value + 0.0:.{digits}g}"
    if "e" in text and 1e-4 <= abs(value) < 1e6:
        text = f"{float(text):.0f}"
    return repr(value) if digits >= 17 else text


def labels(values: Iterable[float], least: int = FEWEST_DIGITS) -> list[str]:
    """Return the values of an axis with as many digits as tell all of them apart."""
    listed = [float(value) for value in values]
    return [label(value, _digits(listed, least)) for value in listed]


def _digits(values: Sequence[float], least: int) -> int:
    different = len(set(values))
    found = (d for d in range(least, 17) if len({label(v, d) for v in values}) == different)
    return next(found, 17)


def meant(field: str, value: float, values: Iterable[float]) -> float:
    """Return the value of an axis that is meant by one of its labels, or by more of its digits.

    Raises
    ------
    SpecError
        It is none of them; names the nearest.
    """
    listed = [float(each) for each in values]
    if value in listed:
        return float(value)
    digits = len(f"{float(value)!r}".partition("e")[0].replace(".", "").strip("-0"))
    found = {v for v, text in zip(listed, labels(listed), strict=True) if float(text) == value}
    if not found and digits >= _digits(listed, FEWEST_DIGITS):
        found = {v for v in listed if float(f"{v:.{digits}g}") == value}
    if len(found) != 1:
        near = min(listed, key=lambda each: abs(each - value))
        raise SpecError(f"{field} {short(value)}: is not on this axis; the nearest is {near!r}")
    return found.pop()
