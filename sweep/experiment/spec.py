"""The spec of a sweep: read from TOML or made in Python, and checked before any computation."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from functools import lru_cache
from importlib import import_module
from itertools import accumulate, repeat
from operator import mul
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
import tomli_w
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from sweep.errors import SpecError, printable, short
from sweep.experiment.checks import (
    MAX_CELLS,
    MAX_PART_ROWS,
    MAX_VALUES,
    check_axes,
    check_size,
    check_values,
    known_names,
    start_names,
)
from sweep.experiment.start_file import file_starts
from sweep.neuron.activations import ACTIVATIONS
from sweep.neuron.costs import default_costs
from sweep.neuron.problem import DTYPES, METHODS, check_choice

if TYPE_CHECKING:
    from sweep.experiment.samples import Samples

__all__ = ["ARTICLE", "Span", "Spec", "differences", "read_text"]

ARTICLE = Path(__file__).with_name("article.toml")

MAX_BYTES = 2**24  # of a spec
MAX_DEPTH = 32  # tables in tables, lists in lists


INLINE = 1000  # numbers of an array up to which the samples are in the text of a spec


def _is_table(value: object) -> bool:
    """Return whether x is a table, or an array that is too large for the text of a spec."""
    return hasattr(value, "columns") or getattr(value, "size", 0) > INLINE


def _plain(value: Any, levels: int, in_task: bool = False) -> Any:
    """Return what NumPy, pandas or a tuple holds as Python's own numbers and lists.

    Samples in a table or in a large array are left as they are.
    """
    if levels < 0:
        raise SpecError(f"a spec: has tables or lists nested more than {MAX_DEPTH} deep")
    if isinstance(value, Mapping) and in_task and _is_table(value.get("x")):
        rest = {key: _plain(each, levels - 1) for key, each in value.items() if key not in "xy"}
        return rest | {key: value[key] for key in "xy" if key in value}
    if isinstance(value, (np.ndarray, np.generic)) or hasattr(value, "__array__"):
        value = np.asarray(value).tolist()
    if isinstance(value, Mapping):
        return {key: _plain(each, levels - 1, key == "task") for key, each in value.items()}
    if isinstance(value, (list, tuple, range)):
        if len(value) > MAX_VALUES:
            raise SpecError(f"a spec: has a list of {len(value):,} values; at most {MAX_VALUES:,}")
        return [_plain(v, levels - 1) for v in value]
    return float(value) if isinstance(value, (Decimal, Fraction)) else value


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    if not TYPE_CHECKING:  # editors see the fields

        def __init__(self, /, **fields: Any) -> None:
            try:
                super().__init__(**_plain(fields, MAX_DEPTH, type(self).__name__ == "Task"))
            except ValidationError as error:
                raise SpecError(_one_line(error.errors(include_url=False))) from None

        # For a table in a table pydantic's own is called, which knows the path to the fault.
        __init__.__pydantic_base_init__ = True


class Span(_Strict):
    """`num` values from start to stop, both included, evenly spaced, or evenly in the logarithm.

    Examples
    --------
    >>> import sweep
    >>> rates = sweep.Span(start=0.01, stop=1.0, num=3, scale="log")
    >>> sweep.Spec(axes={"w": [0], "b": [0], "learning_rate": rates}).values("learning_rate")
    array([0.01, 0.1 , 1.  ])
    """

    start: float = Field(description="first value")
    stop: float = Field(description="last value")
    num: int = Field(ge=1, le=MAX_VALUES, description="how many values")
    scale: Literal["linear", "log"] = Field(
        default="linear", description="evenly spaced, or evenly in the logarithm"
    )

    @model_validator(mode="after")
    def _is_finite(self) -> Self:
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


def _as_list(value: object) -> object:
    return [value] if isinstance(value, (str, int, float)) else value


Axis = Annotated[
    Annotated[Span, Tag("a table")]
    | Annotated[list[float], Field(min_length=1, max_length=MAX_VALUES), Tag("numbers")]
    | Annotated[list[str], Field(min_length=1), Tag("names")],
    Discriminator(_kind),
    BeforeValidator(_as_list),
]


class Task(_Strict):
    """The samples that every neuron learns: one, n of one input, n of d inputs, or those of a file.

    Samples of a file, of a table (pandas, Polars, Arrow), of an array of more than 1,000 numbers,
    and those that are to be standardised are kept in `samples`; `x` and `y` are then the names of
    their columns, and `sha256` is a hash of their numbers. The folder of a result has them, too.

    Examples
    --------
    >>> import sweep
    >>> sweep.Task(x=[0.5, -1.0], y=[1.0, 0.0]).activation
    'sigmoid'
    >>> import pandas
    >>> table = pandas.DataFrame({"radius": [1.0, 3.0], "texture": [2.0, 2.5]})
    >>> task = sweep.Task(x=table, y=[False, True], standardize=True)
    >>> task.x, task.samples.means, task.samples.y
    (['radius', 'texture'], array([2.  , 2.25]), array([0., 1.]))
    """

    x: float | list[float] | list[list[float]] | list[str] = Field(
        default=1.0,
        description="input: of one sample, of n, or n rows of d inputs; or columns of data",
    )
    y: float | list[float] | str = Field(
        default=0.0,
        description="target of each sample, within the range of the activation; or its column",
    )
    activation: str = Field(default="sigmoid", description="of the output: a = act(w·x + b)")
    data: str | None = Field(
        default=None,
        description="CSV or Parquet file, a row for each sample, relative to the spec; or a URI",
    )
    standardize: bool = Field(
        default=False, description="whether each input is brought to mean 0 and deviation 1"
    )
    positive: str | None = Field(
        default=None, description="of targets that are two names, the one that is the upper end"
    )
    sha256: str | None = Field(
        default=None, pattern="^[0-9a-f]{64}$", description="of the samples' numbers; found there"
    )
    _samples: Any = PrivateAttr(default=None)

    @property
    def samples(self) -> Samples | None:
        """The samples of a file or table, or None where x and y are numbers."""
        found: Samples | None = self._samples
        return found

    @property
    def numbers(self) -> tuple[Any, Any]:
        """The inputs and the targets: x (n, d) and y (n,) of `samples`, or as they were given."""
        return (self.x, self.y) if self.samples is None else (self.samples.x, self.samples.y)

    @model_validator(mode="wrap")
    @classmethod
    def _with_samples(cls, fields: Any, build: Callable[[Any], Self]) -> Self:
        if not isinstance(fields, dict):
            return build(fields)
        samples = _samples_of(fields)
        if samples is not None:
            if fields.get("sha256") not in (None, samples.sha256):
                raise SpecError(
                    f"task.sha256 = {fields['sha256'][:16]}…: the samples are others, with "
                    f"{samples.sha256[:16]}…"
                )
            fields = fields | {"x": list(samples.names), "y": samples.target}
            fields["sha256"] = samples.sha256
        task = build(fields)
        if samples is None and (isinstance(task.y, str) or _has_names(task.x)):
            raise SpecError("task.data: missing; it has the columns that x and y name")
        task._samples = samples
        return task


# The samples of a result's folder, while its spec is parsed: their file may be gone.
_STORED: ContextVar[Samples | None] = ContextVar("stored", default=None)


def _has_names(x: object) -> bool:
    return isinstance(x, list) and any(isinstance(name, str) for name in x)


def _samples_of(fields: dict[str, Any]) -> Samples | None:
    """Return the samples that the fields of a task name or hold, if they are not numbers in it."""
    x, y, data = fields.get("x"), fields.get("y"), fields.get("data")
    standardize, positive = fields.get("standardize", False), fields.get("positive")
    activation, digest = fields.get("activation", "sigmoid"), fields.get("sha256")
    given = x is not None and not isinstance(x, str) and not _has_names(x)
    needed = data is not None or _is_table(x) or standardize is True or positive is not None
    types = ((data, str), (positive, str), (digest, str), (activation, str))
    if not isinstance(standardize, bool) or not all(
        value is None or isinstance(value, kind) for value, kind in types
    ):
        return None  # pydantic says what is wrong
    stored = _STORED.get()
    if stored is not None and digest is not None:
        return stored
    if not needed:
        return None
    check_choice("task.activation", activation, ACTIVATIONS)
    from sweep.experiment import samples  # and pyarrow

    if data is None:
        if not given:
            raise SpecError("task.data: missing; it has the columns that x and y name")
        if y is None:
            raise SpecError("task.y: missing; each sample needs a target")
        return samples.samples_of(x, y, standardize, positive, activation)
    if given or not (y is None or isinstance(y, str)):
        raise SpecError("task.data: x and y must then name its columns")
    if y is None:
        raise SpecError("task.y: missing; it names the column of targets in task.data")
    return samples.read_samples(data, [x] if isinstance(x, str) else x, y, standardize, positive,
                                activation)  # fmt: skip


class Stop(_Strict):
    """When a neuron's training ends.

    Examples
    --------
    >>> import sweep
    >>> sweep.Stop(tolerance=0.05).max_epochs
    10000
    """

    tolerance: float = Field(
        default=0.1,
        description="error, the mean distance of y and a, at which a neuron has converged; above 0",
    )
    rule: str = Field(
        default="error",
        description="what is compared: error, or gradient, the largest component of ∂C/∂(w, b)",
    )
    max_epochs: int = Field(
        default=10_000, description="updates after which a neuron is given up; up to 2³¹ − 1"
    )


class Start(_Strict):
    """Starts (w1 … wd, b) drawn at random or read from a file, in place of the w and b axes.

    Either `random` and `count` are given, or `file`, the path of a Parquet file with a row for each
    start and the columns w (or w1 … wd) and b, or w0 … as results have them. `count` and `sha256`,
    a hash of its numbers, are then the file's: a spec finds them, and a result is read without it.

    Examples
    --------
    >>> import sweep
    >>> start = sweep.Start(random="uniform", count=1000, scale=5.0)
    >>> spec = sweep.Spec(axes={"learning_rate": [0.1]}, start=start)
    >>> spec.start.seed
    0
    """

    random: Literal["normal", "uniform", "sobol"] | None = Field(
        default=None, description="how starts are drawn; sobol needs SciPy"
    )
    count: int | None = Field(
        default=None, ge=1, le=MAX_CELLS, description="how many starts; of a file: found there"
    )
    scale: float = Field(
        default=1.0,
        gt=0,
        le=1e300,
        description="standard deviation of normal draws; others lie between −scale and scale",
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="of the random numbers")
    file: str | None = Field(
        default=None, description="Parquet file with a row for each start, relative to the spec"
    )
    sha256: str | None = Field(
        default=None, pattern="^[0-9a-f]{64}$", description="of a file's numbers; found there"
    )

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Self:
        if (self.random is None) == (self.file is None):
            raise SpecError("start: must have either random or file")
        of_other = ("scale", "seed") if self.random is None else ("sha256",)
        for name in of_other:
            if name in self.model_fields_set and getattr(self, name) is not None:
                kind = "file" if self.random is None else "random"
                raise SpecError(f"start.{name}: does not go with start.{kind}")
        if self.random is not None and self.count is None:
            raise SpecError("start.count: missing; it has no default")
        return self


class Spec(_Strict):
    """A sweep: axes crossed with one another, the samples that neurons learn, and when they stop.

    The fields are those of the TOML file (`sweep run --print-spec` prints one). NumPy arrays and
    numbers, tuples and pandas' series are taken as lists and numbers.

    Parameters
    ----------
    axes : dict
        For each axis a list of values, or a table with start, stop, num and scale ("linear" or
        "log"). Needed: learning_rate, and w (with d inputs w1 … wd) and b unless starts are drawn.
        Optional: cost (default: quadratic, and the matching cost of the activation), tolerance and,
        for one sample, x and y. At most 10⁶ values an axis, and 10⁵ combinations of the axes other
        than the starts.
    task : dict
        x, y and activation. One sample: numbers. n samples: x (n,) or (n, d), y (n,).
    stop : dict
        tolerance (of the mean of |y − a|) and max_epochs.
    start : dict, optional
        Starts drawn at random: random ("normal", "uniform", "sobol"), count, scale, seed. Or those
        of a Parquet file: file.
    name : str
        Of the result's folder and of titles; changes no number.
    method : {"auto", "train", "orbit"}
    dtype : {"float64", "float32"}
    weights : bool
        Whether to store w and b at the stop, too.
    part_rows : int, optional
        Cells in a part, at most 2²⁴. A sweep has at most 10¹² cells in 10⁶ parts.

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
    >>> sweep.Spec(axes={"w": [0.6], "b": [0.9], "learning_rate": [0.0]})
    Traceback (most recent call last):
        ...
    sweep.errors.SpecError: learning_rate = 0: must be finite and greater than 0
    """

    name: str = Field(
        default="sweep",
        pattern=r"^[\w-][\w.-]*$",
        max_length=100,
        description="of the result's folder and of titles; changes no number",
    )
    method: str = Field(
        default="auto",
        description="train walks every epoch; orbit looks them up; auto does where that is exact",
    )
    dtype: str = Field(default="float64", description="of the arithmetic; results are float64")
    weights: bool = Field(default=False, description="whether to store w and b at the stop, too")
    part_rows: int | None = Field(
        default=None, ge=1, le=MAX_PART_ROWS, description="cells in a file; changes no number"
    )
    axes: dict[str, Axis] = Field(description="values that are crossed with one another")
    task: Task = Task()
    stop: Stop = Stop()
    start: Start | None = None

    if TYPE_CHECKING:  # what editors show; at run time pydantic derives the signature

        def __init__(
            self,
            *,
            axes: Mapping[str, object],
            task: Task | Mapping[str, object] = ...,
            stop: Stop | Mapping[str, object] = ...,
            start: Start | Mapping[str, object] | None = ...,
            name: str = ...,
            method: str = ...,
            dtype: str = ...,
            weights: bool = ...,
            part_rows: int | None = ...,
        ) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, fields: Any) -> Any:
        fields = _plain(fields, MAX_DEPTH)
        axes, task = fields.get("axes"), fields.get("task")
        if isinstance(axes, dict) and "cost" not in axes:
            given = task if isinstance(task, dict) else {}
            activation = given.get("activation", getattr(task, "activation", "sigmoid"))
            fields["axes"] = {**axes, "cost": default_costs(activation)}
        return fields

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        check_choice("method", self.method, METHODS)
        check_choice("dtype", self.dtype, DTYPES)
        start = self.start
        if start is not None and start.file is not None and None in (start.count, start.sha256):
            starts, digest = file_starts(start.file, start_names(self.inputs))
            found = start.model_copy(update={"count": len(starts), "sha256": digest})
            object.__setattr__(self, "start", found)  # frozen for others
        check_size(self, check_axes(self))
        check_values(self)
        return self

    @classmethod
    def load(cls, path: str | Path) -> Spec:
        """Read a spec from a TOML file; paths in it are relative to its folder."""
        return cls.parse(read_text(path), printable(path), Path(path).parent)

    @classmethod
    def parse(
        cls,
        text: str,
        origin: str = "spec",
        base: str | Path = "",
        samples: Samples | None = None,
    ) -> Spec:
        """Read a spec from TOML text.

        `origin` is named in errors; paths in it are relative to `base`. `samples` are those that
        were stored with the text, in place of those in a file.
        """
        if len(text) > MAX_BYTES:
            raise SpecError(f"{origin}: has more than {MAX_BYTES:,} bytes, the most of a spec")
        # Deeper ones end in a RecursionError, long dotted keys in minutes and gigabytes.
        steps = np.array([1 if c in "[{" else -1 for c in re.findall(r"[][{}]", text)], np.int64)
        if steps.cumsum().max(initial=0) > MAX_DEPTH or re.search(_DOTTED, text):
            raise SpecError(f"{origin}: has tables or lists nested more than {MAX_DEPTH} deep")
        token = _STORED.set(samples)
        try:
            return cls(**_based(tomllib.loads(text), base))
        except SpecError as error:
            raise SpecError(f"{origin}: {error}") from None
        except ValueError as error:  # of tomllib; of int(), which takes 4,300 digits
            raise SpecError(f"{origin}: is not TOML: {printable(error)[:200]}") from None
        finally:
            _STORED.reset(token)

    @classmethod
    def overridden(
        cls,
        text: str,
        settings: Sequence[str],
        origin: str = "spec",
        base: str | Path = "",
        samples: Samples | None = None,
    ) -> Spec:
        """Read a spec from TOML text, of which settings such as "task.y=1" overrule fields.

        A value is read as TOML, or else as a string. A field that is set on an axis is no longer
        one of `task` or `stop`, and the reverse.

        Raises
        ------
        SpecError
            A setting is no KEY=VALUE, or the spec that results is none.

        Examples
        --------
        >>> import sweep
        >>> text = sweep.Spec(axes={"w": [0], "b": [0], "learning_rate": [0.1]}).toml()
        >>> spec = sweep.Spec.overridden(text, ["axes.y=[0, 1]", "stop.max_epochs=50", "name=mine"])
        >>> spec.values("y").tolist(), spec.stop.max_epochs, spec.name
        ([0.0, 1.0], 50, 'mine')
        """
        parsed = cls.parse(text, origin, base, samples)
        if not settings:
            return parsed
        fields = tomllib.loads(text)
        for setting in settings:
            key, mark, value = setting.partition("=")
            path = [part.strip() for part in key.split(".")]
            if not mark or not all(path) or len(path) > 3:
                raise SpecError(f"--set {short(setting)}: must be KEY=VALUE, as in task.y=1")
            try:
                given = tomllib.loads(f"x = {value}")["x"]
            except ValueError:
                given = value
            table = fields
            for name in path[:-1]:
                table = table.setdefault(name, {})
                if not isinstance(table, dict):
                    raise SpecError(f"--set {short(setting)}: {name} is no table here")
            table[path[-1]] = given
            if (
                path[0] == "task" and path[-1] != "activation"
            ):  # no longer the samples that were stored
                fields["task"].pop("sha256", None)
                samples = None
            other = {"axes": ("task", "stop"), "task": ("axes",), "stop": ("axes",)}
            for name in other.get(path[0], ()) if len(path) > 1 else ():
                fields.get(name, {}).pop(path[1], None)
        token = _STORED.set(samples)
        try:
            return cls(**_based(fields, base))
        except SpecError as error:
            raise SpecError(f"--set: {error}") from None
        finally:
            _STORED.reset(token)

    def toml(self) -> str:
        """Return the spec as TOML text."""
        fields = self.model_dump(exclude_none=True)
        if not self.weights:  # came later, and the text is part of each file
            del fields["weights"]
        if self.start is not None and self.start.file is not None:
            del fields["start"]["scale"], fields["start"]["seed"]
        for table in ("task", "stop"):
            fields[table] = {k: v for k, v in fields[table].items() if k not in self.axes}
        if not self.task.standardize:
            del fields["task"]["standardize"]
        if self.stop.rule == "error":
            del fields["stop"]["rule"]
        return tomli_w.dumps(fields)

    def estimate(self, threads: int | None = None) -> Any:
        """Estimate what the sweep will take on this machine, by a sample: an `Estimate`.

        Its text is what `sweep run --dry-run` prints: cells, parts, bytes, memory, the method of
        each combination of the axes and why, and the time within a factor of two.

        Examples
        --------
        >>> import sweep
        >>> axes = {"w": [0.6, 2.0], "b": [0.9, 2.0], "learning_rate": [0.15]}
        >>> sweep.Spec(axes=axes).estimate().neuron_epochs
        1575.0
        """
        # Of a floor above, to which no file of this one refers: the method is for users.
        return import_module("sweep.running.estimate").estimate(self, threads)

    @property
    def id(self) -> str:
        """A hash of all that determines the numbers, as 16 hexadecimal digits.

        What has its default is left out, so that a field which a later version adds changes no id;
        a default, once released, therefore never changes.
        """
        unasked: Any = {"name": True, "part_rows": True, "start": {"file"}, "task": self._unasked}
        fields = self.model_dump(exclude=unasked, exclude_defaults=True)
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def _unasked(self) -> set[str]:
        """What changes no number of the samples, of which there is a hash."""
        of_samples = {"data", "x", "y", "standardize", "positive"}
        return set() if self.task.samples is None else of_samples

    @property
    def inputs(self) -> int:
        """The number of inputs of each neuron."""
        if self.task.samples is not None:
            return len(self.task.samples.names)
        first = self.task.x[0] if isinstance(self.task.x, list) and self.task.x else None
        return len(first) if isinstance(first, list) else 1

    def count(self, axis: str) -> int:
        """Return how many values an axis has."""
        given = self.axes[axis]
        return given.num if isinstance(given, Span) else len(given)

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
        powers = accumulate(repeat(ratio, num - 1), mul, initial=first)
        values = np.array([float(value) for value in powers])
    values.flags.writeable = False
    return values


# --- checks and their messages --------------------------------------------------------------


_DOTTED = rf"(?<![\w\"'-])(?:[\w\"'-]+[ \t]*\.[ \t]*){{{MAX_DEPTH + 1}}}"


def read_text(path: str | Path) -> str:
    """Return the text of a spec's file; raise SpecError if it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return _decoded(file.read(MAX_BYTES + 1))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "is not a text file"
        raise SpecError(f"{printable(path)}: cannot be read: {reason}") from None


def _based(fields: dict[str, Any], base: str | Path) -> dict[str, Any]:
    """Return the fields of a spec with its paths made absolute."""
    for name, key in (("start", "file"), ("task", "data")):
        table = fields.get(name)
        path = table.get(key) if isinstance(table, dict) else None
        if isinstance(path, str) and "://" not in path:
            fields[name] = {**fields[name], key: str((base / Path(path)).absolute())}
    return fields


def _decoded(content: bytes) -> str:
    return content.decode("utf-8-sig").replace("\r\n", "\n")


# What is allowed, by the type of pydantic's error.
_ALLOWED = {
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "string_type": "must be a string",
    "list_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "finite_number": "must be a finite number",
    "literal_error": "must be {expected}",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_pattern_mismatch": "must match {pattern}",
    "string_too_long": "must have at most {max_length} characters",
    "too_long": "must have at most {max_length} values",
    "too_short": "must not be empty",
    "value_error": "{error}",
}


def _one_line(errors: list[ErrorDetails]) -> str:
    """Return the first of pydantic's errors as «field = value: what is allowed»."""
    # A misspelt key is also a missing one: the former says more.
    error = min(errors, key=lambda e: e["type"] != "extra_forbidden")
    context = error.get("ctx", {})
    if isinstance(context.get("error"), SpecError):  # a check of ours, which names its field
        return str(context["error"])
    # The third of an axis' path, and of that of x and y, is which of several types was tried.
    whole = error["loc"]
    path = whole[:2] + whole[3:] if whole[0] in ("axes", "task") else whole
    keys = [printable(key)[:60] for key in path]
    field = ".".join(keys)
    if error["type"] == "extra_forbidden":
        return f"{field}: unknown key; {known_names(keys[-1], _keys(keys[:-1]))}"
    if error["type"] == "missing":
        return f"{field}: missing; it has no default"
    numbers = {
        key: f"{value:,}" if isinstance(value, int) else f"{value:g}"
        for key, value in context.items()
        if isinstance(value, (int, float))
    }
    template = _ALLOWED.get(error["type"])
    allowed = template.format(**context | numbers) if template else error["msg"]
    if path[-1] == "num" and isinstance(error["input"], int) and error["input"] > MAX_VALUES:
        rows = Decimal(error["input"])  # of any number of digits
        allowed = f"{allowed} (so many rows take {8 * rows / 10**9:.3g} GB for this axis alone)"
    return f"{field} = {short(error['input'])}: {allowed}"


def _keys(path: list[str]) -> list[str]:
    """Return the keys of the table at a path: of the spec, a table of it, or an axis."""
    tables: dict[str, type[BaseModel]] = {"task": Task, "stop": Stop, "start": Start}
    model = tables.get(path[0], Span) if path else Spec
    return list(model.model_fields)


def differences(ours: Spec, theirs: Spec) -> list[str]:
    """Return a line for each field in which two specs differ, of the first five."""
    a, b = (
        _flat(spec.model_dump(exclude={"name": True, "start": {"file"}, "task": spec._unasked}))
        for spec in (ours, theirs)
    )
    keys = [k for k in {**a, **b} if a.get(k) != b.get(k)]
    lines = [f"{k} is {short(b.get(k))} there, {short(a.get(k))} here" for k in keys]
    return lines if len(lines) <= 5 else [*lines[:5], f"{len(lines) - 5} more"]


def _flat(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in fields.items():
        nested = isinstance(value, dict)
        flat |= _flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return flat
