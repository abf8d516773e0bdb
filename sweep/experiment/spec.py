"""What a sweep asks: read from TOML or made in Python, and checked before anything is computed."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from decimal import Context, Decimal, localcontext
from difflib import get_close_matches
from functools import lru_cache
from itertools import accumulate, repeat
from math import prod
from operator import mul
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import tomli_w
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from sweep.errors import SpecError, printable, short
from sweep.neuron.costs import costs_of
from sweep.neuron.problem import (
    DTYPES,
    METHODS,
    check_choice,
    check_step,
    check_targets,
    make_problem,
)

__all__ = ["ARTICLE", "Span", "Spec", "differences"]

ARTICLE = Path(__file__).with_name("article.toml")

# What is checked before anything is computed or written. A part is one file, and is held in memory.
MOST_BYTES = 2**24  # of a spec
DEEPEST = 32  # tables in tables, lists in lists
MOST_VALUES = 10**6  # of an axis
MOST_PANELS = 10**5  # combinations of the axes other than the starts
MOST_CELLS, MOST_PARTS = 10**12, 10**6
LARGEST_PART, PART_ROWS = 2**24, 2**20


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Span(_Strict):
    """`num` values from start to stop, both included, evenly spaced or so in the logarithm."""

    start: float
    stop: float
    num: int = Field(ge=1, le=MOST_VALUES)
    scale: Literal["linear", "log"] = "linear"

    @model_validator(mode="after")
    def _log_avoids_zero(self) -> Self:
        if self.scale == "log" and not (self.start > 0 and self.stop > 0):
            raise ValueError("with scale = 'log', start and stop must be greater than 0")
        if not np.isfinite(self.stop - self.start):
            raise ValueError("stop - start overflows")
        return self


def _kind(value: object) -> str:
    if isinstance(value, (dict, Span)):
        return "a table"
    names = isinstance(value, list) and any(isinstance(item, str) for item in value)
    return "names" if names else "numbers"


Axis = Annotated[
    Annotated[Span, Tag("a table")]
    | Annotated[list[float], Field(min_length=1, max_length=MOST_VALUES), Tag("numbers")]
    | Annotated[list[str], Field(min_length=1), Tag("names")],
    Discriminator(_kind),
]


class Task(_Strict):
    """The samples that every neuron learns: one, n of one input, or n of d inputs."""

    x: float | list[float] | list[list[float]] = 1.0
    y: float | list[float] = 0.0
    activation: str = "sigmoid"


class Stop(_Strict):
    """When a neuron's training ends."""

    tolerance: float = 0.1
    max_epochs: int = 10_000


class Start(_Strict):
    """Starts (w1 … wd, b) drawn at random, in place of the w and b axes.

    NumPy's Philox and its normal or uniform numbers, or SciPy's Sobol points, determine them; other
    releases of these may draw others, so the first of them are hashed into every part.
    """

    random: Literal["normal", "uniform", "sobol"]
    count: int = Field(ge=1, le=MOST_CELLS)
    scale: float = Field(default=1.0, gt=0, le=1e300)
    seed: int = Field(default=0, ge=0, lt=2**63)


class Spec(_Strict):
    """A sweep: axes crossed with one another, the task that neurons are set, and when they stop.

    The fields are those of the TOML file (`sweep/experiment/article.toml` is one). An axis is a
    list of values or a table with start, stop, num and scale. An axis has at most 10⁶ values, the
    axes other than the starts 10⁵ combinations, a sweep 10¹² neurons in 10⁶ parts of up to 2²⁴
    rows, and a file 16 MiB.

    Raises
    ------
    SpecError
        Names the field, its value and what is allowed.

    Examples
    --------
    >>> import sweep
    >>> spec = sweep.Spec(
    ...     axes={"w": [0.6, 2.0], "b": [0.9, 2.0], "learning_rate": [0.15]},
    ...     stop={"tolerance": 0.1, "max_epochs": 1000},
    ... )
    >>> spec.axes["cost"]
    ['quadratic', 'cross_entropy']
    """

    name: str = Field(default="sweep", pattern=r"^[\w-][\w.-]*$", max_length=100)
    method: str = "auto"
    dtype: str = "float64"
    part_rows: int | None = Field(default=None, ge=1, le=LARGEST_PART)
    axes: dict[str, Axis]
    task: Task = Task()
    stop: Stop = Stop()
    start: Start | None = None

    def __init__(self, /, **fields: Any) -> None:
        try:
            fields = _plain(fields, DEEPEST)
            axes, task = fields.get("axes"), fields.get("task")
            if isinstance(axes, dict):
                listed = {
                    k: [v] if isinstance(v, (str, int, float)) else v for k, v in axes.items()
                }
                if isinstance(task, Task):
                    given: object = task.activation
                else:
                    given = (
                        task.get("activation", "sigmoid") if isinstance(task, dict) else "sigmoid"
                    )
                fields["axes"] = {**listed, "cost": listed.get("cost", costs_of(given))}
            super().__init__(**fields)
        except ValidationError as error:
            raise SpecError(_one_line(error.errors())) from None
        _check(self)

    @classmethod
    def load(cls, path: str | Path) -> Spec:
        """Read a spec from a TOML file."""
        try:
            with Path(path).open("rb") as file:
                text = _decoded(file.read(MOST_BYTES + 1))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "is not a text file"
            raise SpecError(f"{printable(path)}: cannot be read: {reason}") from None
        return cls.parse(text, printable(path))

    @classmethod
    def parse(cls, text: str, origin: str = "spec") -> Spec:
        """Read a spec from TOML text; `origin` is named in errors."""
        if len(text) > MOST_BYTES:
            raise SpecError(f"{origin}: has more than {MOST_BYTES:,} bytes, the most of a spec")
        # Deeper ones end in a RecursionError, long dotted keys in minutes and gigabytes.
        steps = np.array([1 if c in "[{" else -1 for c in re.findall(r"[][{}]", text)], np.int64)
        if steps.cumsum().max(initial=0) > DEEPEST or re.search(_DOTTED, text):
            raise SpecError(f"{origin}: has tables or lists nested more than {DEEPEST} deep")
        try:
            return cls(**tomllib.loads(text))
        except SpecError as error:
            raise SpecError(f"{origin}: {error}") from None
        except ValueError as error:  # of tomllib; of int(), which takes 4,300 digits
            raise SpecError(f"{origin}: is not TOML: {printable(error)[:200]}") from None

    def toml(self) -> str:
        """Return the spec as TOML text."""
        fields = self.model_dump(exclude_none=True)
        for table in ("task", "stop"):
            fields[table] = {k: v for k, v in fields[table].items() if k not in self.axes}
        return tomli_w.dumps(fields)

    @property
    def id(self) -> str:
        """A hash of all that determines the numbers, as 16 hexadecimal digits.

        What has its default is left out, so that a field which a later version adds changes no id;
        a default, once released, therefore never changes.
        """
        fields = self.model_dump(exclude={"name", "part_rows"}, exclude_defaults=True)
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def inputs(self) -> int:
        """The number of inputs of each neuron."""
        first = self.task.x[0] if isinstance(self.task.x, list) and self.task.x else None
        return len(first) if isinstance(first, list) else 1

    def values(self, axis: str) -> NDArray[Any]:
        """Return the values of an axis, in order."""
        given = self.axes[axis]
        if not isinstance(given, Span):
            return np.array(given)
        if given.scale == "linear":
            return np.linspace(given.start, given.stop, given.num)
        return _log_spaced(given.start, given.stop, given.num)


@lru_cache(maxsize=64)  # 1.3 s for a million
def _log_spaced(start: float, stop: float, num: int) -> NDArray[np.float64]:
    """Return values evenly spaced in the logarithm, each correctly rounded.

    The logarithms and powers of NumPy and of the C library differ by an ulp between CPUs (2 of 50
    values from 0.01 to 1 with and without AVX-512); decimal arithmetic does not. In 100 digits a
    million products are right to 94.
    """
    with localcontext(Context(prec=100, traps=[])):
        first = Decimal(start)
        ratio = ((Decimal(stop) / first).ln() / max(num - 1, 1)).exp()
        found = np.array([float(v) for v in accumulate(repeat(ratio, num - 1), mul, initial=first)])
    found.flags.writeable = False
    return found


# --- errors in one line --------------------------------------------------------------------


_DOTTED = rf"(?<![\w\"'-])(?:[\w\"'-]+[ \t]*\.[ \t]*){{{DEEPEST + 1}}}"


def _decoded(content: bytes) -> str:
    return content.decode("utf-8-sig").replace("\r\n", "\n")


def _plain(value: Any, deepest: int) -> Any:
    """Return what NumPy, pandas or a tuple holds as Python's own numbers and lists."""
    if deepest < 0:
        raise SpecError(f"a spec: has tables or lists nested more than {DEEPEST} deep")
    if isinstance(value, (np.ndarray, np.generic)) or hasattr(value, "__array__"):
        value = value.tolist()
    if isinstance(value, dict):
        return {key: _plain(each, deepest - 1) for key, each in value.items()}
    return [_plain(v, deepest - 1) for v in value] if isinstance(value, (list, tuple)) else value


def _one_line(errors: list[ErrorDetails]) -> str:
    """Say the first of what pydantic found as «field = value: what is allowed»."""
    # A misspelt key is also a missing one: the first says more.
    error = min(errors, key=lambda e: e["type"] != "extra_forbidden")
    # Behind an axis, and behind x and y, stands which of several types was tried.
    path = [
        printable(p)[:60]
        for i, p in enumerate(error["loc"])
        if not (i == 2 and error["loc"][0] in ("axes", "task"))
    ]
    field, value, kind = ".".join(path), error["input"], error["type"]
    if kind == "extra_forbidden":
        known = _known_keys(path[:-1])
        near = get_close_matches(path[-1], known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return f"{field}: unknown key; {hint}known here: {', '.join(known)}"
    if kind == "missing":
        return f"{field}: missing; it has no default"
    if kind == "too_short":
        return f"{field} = {short(value)}: must not be empty"
    message = error["msg"].removeprefix("Value error, ")
    message = re.sub(r"^(Input|String|List) should (be|match|have)", _must, message)
    message = re.sub(r"\d{21,}", lambda digits: f"{float(digits[0]):g}", message)
    return f"{field} = {short(value)}: {message}"


def _must(match: re.Match[str]) -> str:
    return f"must {match[2]}"


def _known_keys(path: list[str]) -> list[str]:
    tables: dict[str, type[BaseModel]] = {"task": Task, "stop": Stop, "start": Start}
    model = tables.get(path[0], Span) if path else Spec
    return list(model.model_fields)


def _check(spec: Spec) -> None:
    """Raise SpecError where fields do not fit together."""
    d, drawn = spec.inputs, spec.start is not None
    weights = ["w"] if d == 1 else [f"w{j}" for j in range(1, d + 1)]
    starts = [] if drawn else [*weights, "b"]
    one_sample = not isinstance(spec.task.x, list)
    optional = ["x", "y", "tolerance"] if one_sample else ["tolerance"]
    known = [*starts, "learning_rate", "cost", *optional]
    for name, axis in spec.axes.items():
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            why = "; [start] draws the starts" if drawn and name in (*weights, "b") else ""
            said = printable(name)[:60]
            raise SpecError(f"axes.{said}: unknown axis{why}; {hint}known: {', '.join(known)}")
        if (_kind(axis) == "names") != (name == "cost"):
            wanted = "names of costs" if name == "cost" else "numbers"
            raise SpecError(f"axes.{name} = {short(axis)}: must be {wanted}")
    for name in (*starts, "learning_rate"):
        if name not in spec.axes:
            raise SpecError(f"axes.{name}: missing; it has no default")
    for place, table in (("task", spec.task), ("stop", spec.stop)):
        for name in table.model_fields_set & spec.axes.keys():
            raise SpecError(f"axes.{name} and {place}.{name}: only one of them may be given")
    check_choice("method", spec.method, METHODS)
    check_choice("dtype", spec.dtype, DTYPES)
    _check_size(spec, starts)
    for name in spec.axes:
        values = spec.values(name)
        if len(np.unique(values)) != len(values):
            raise SpecError(f"axes.{name} = {short(spec.axes[name])}: holds a value twice")
    tolerances, rates = (
        spec.values(name) if name in spec.axes else np.array([spec.stop.tolerance])
        for name in ("tolerance", "learning_rate")
    )
    for cost in spec.values("cost"):
        problem = make_problem(
            x=spec.task.x,
            y=spec.task.y,
            cost=str(cost),
            activation=spec.task.activation,
            tolerance=float(tolerances.min()),
            max_epochs=spec.stop.max_epochs,
        )
    if "y" in spec.axes:
        check_targets(spec.values("y"), spec.task.activation)
    check_step(rates, spec.values("x")[:, None] if "x" in spec.axes else problem.x, spec.dtype)


def _check_size(spec: Spec, starts: list[str]) -> None:
    """Raise SpecError if there is more than can be held; says how much."""
    counts = {
        name: axis.num if isinstance(axis, Span) else len(axis) for name, axis in spec.axes.items()
    }
    panels = prod(count for name, count in counts.items() if name not in starts)
    if panels > MOST_PANELS:
        raise SpecError(
            f"axes: {panels:,} combinations of the axes other than the starts; at most "
            f"{MOST_PANELS:,} are allowed"
        )
    cells = panels * (spec.start.count if spec.start else prod(counts[name] for name in starts))
    parts = -(-cells // (spec.part_rows or PART_ROWS))
    if cells > MOST_CELLS:
        raise SpecError(
            f"axes: {cells:,} neurons, which take some {cells / 1e12:,.0f} TB; at most "
            f"{MOST_CELLS:,} are allowed"
        )
    if parts > MOST_PARTS:
        raise SpecError(
            f"part_rows = {spec.part_rows}: makes {parts:,} parts; at most {MOST_PARTS:,} are "
            "allowed"
        )


def differences(ours: Spec, theirs: Spec) -> list[str]:
    """Return the fields in which two specs that should be the same differ."""
    a, b = (_flat(spec.model_dump(exclude={"name"})) for spec in (ours, theirs))
    keys = [k for k in {**a, **b} if a.get(k) != b.get(k)]
    found = [f"{k} is {short(b.get(k))} there, {short(a.get(k))} here" for k in keys]
    return found if len(found) <= 5 else [*found[:5], f"{len(found) - 5} more"]


def _flat(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in fields.items():
        nested = isinstance(value, dict)
        flat |= _flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return flat
