"""The errors that sweep raises, and how their messages show values and names on one line."""

import reprlib
from collections.abc import Iterable
from difflib import get_close_matches


class SweepError(Exception):
    """What cannot be done, explained in one line; the command exits with 1.

    Examples
    --------
    >>> import sweep
    >>> issubclass(sweep.SweepError, Exception)
    True
    """


class SpecError(SweepError, ValueError):
    """Bad input: names the field, its value and what is allowed; exit code 2.

    Examples
    --------
    >>> import sweep
    >>> try:
    ...     sweep.load("no/such/folder")
    ... except sweep.SpecError as error:
    ...     print(error)
    no/such/folder: holds no results of sweep (there is no _spec.parquet)
    """


_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 60


def short(value: object) -> str:
    """Return a value as one printable line of a message, cut where it is long."""
    try:
        text = _REPR.repr(value)
    except Exception:  # an integer of more digits than Python prints, a repr that fails
        text = f"a value of type {type(value).__name__}"
    return printable(text if len(text) <= 120 else f"{text[:117]}...")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean 'x'?)" with the known name that is nearest, or nothing."""
    near = get_close_matches(name[:60], list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def check_choice(field: str, value: object, allowed: Iterable[str]) -> None:
    """Raise SpecError unless value is one of the allowed names; suggest the nearest."""
    names = list(allowed)
    if isinstance(value, str) and value in names:
        return
    hint = did_you_mean(value, names) if isinstance(value, str) else ""
    raise SpecError(f"{field} = {short(value)}: must be one of {', '.join(names)}{hint}")


def printable(text: object) -> str:
    """Return a name or a message on one line of at most 500 characters, escaped where needed."""
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))
    return line if len(line) <= 500 else f"{line[:350]}...{line[-147:]}"
