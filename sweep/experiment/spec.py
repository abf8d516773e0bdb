"""The spec of a sweep: read from TOML or made in Python, and checked before any computation."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import tomli_w
from numpy.typing import NDArray
from pydantic import (
    Field,
    model_validator,
)

from sweep.errors import SpecError, check_choice, printable, short
from sweep.experiment.checks import (
    MAX_PART_ROWS,
    canonical_optimizer,
    check_axes,
    check_size,
    check_values,
    start_names,
)
from sweep.experiment.own import canonical_costs
from sweep.experiment.start_file import file_starts
from sweep.experiment.table import MAX_DEPTH, Table, plain
from sweep.experiment.tables import STORED, Axis, Follow, OwnCost, Span, Start, Stop, Task
from sweep.neuron.costs import default_costs
from sweep.neuron.problem import DTYPES, METHODS

if TYPE_CHECKING:
    from sweep.experiment.samples import Samples

__all__ = ["ARTICLE", "Span", "Spec", "differences", "read_text"]

ARTICLE = Path(__file__).with_name("article.toml")

MAX_BYTES = 2**24  # of a spec


class Spec(Table):
    """A sweep: axes crossed with one another, the samples that neurons learn, and when they stop.

    The fields are those of the TOML file (`sweep run --print-spec` prints one). NumPy arrays and
    numbers, tuples and pandas' series are taken as lists and numbers.

    Parameters
    ----------
    axes : dict
        For each axis a list of values, or a table with start, stop, num and scale ("linear" or
        "log"). Needed: learning_rate, and w (with d inputs w1 … wd) and b unless starts are drawn.
        Optional: cost (default: quadratic, and the matching cost of the activation), optimizer
        ("gd", "momentum", "nesterov", "adam"; default: gd alone, and no column), tolerance and, for
        one sample, x and y. At most 10⁶ values an axis, and 10⁵ combinations of the axes other
        than the starts.
    task : dict
        x, y and activation. One sample: numbers. n samples: x (n,) or (n, d), y (n,).
    stop : dict
        tolerance (of the mean of |y − a|) and max_epochs.
    start : dict, optional
        Starts drawn at random: random ("normal", "uniform", "sobol"), count, scale, seed. Or those
        of a Parquet file: file.
    follow : dict, optional
        epochs: how many to walk each neuron after its training, to see what becomes of it.
    costs : dict, optional
        For each name of a cost of your own its formula, value, and its parameters; see `Cost`. A
        parameter that has no number there is an axis. axes.cost takes a `Cost` itself, too.
    optimizer : dict, optional
        Parameters of the optimisers on the axis: beta (0.9) of momentum and nesterov, beta1 (0.9),
        beta2 (0.999) and epsilon (1e-8) of adam.
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
    follow: Follow | None = None
    costs: dict[str, OwnCost] = Field(
        default={}, description="costs from formulas, by names that axes.cost may have"
    )
    optimizer: dict[str, float] = Field(
        default={}, description="parameters of the optimisers that axes.optimizer has"
    )

    if TYPE_CHECKING:  # what editors show; at run time pydantic derives the signature

        def __init__(
            self,
            *,
            axes: Mapping[str, object],
            task: Task | Mapping[str, object] = ...,
            stop: Stop | Mapping[str, object] = ...,
            start: Start | Mapping[str, object] | None = ...,
            follow: Follow | Mapping[str, object] | None = ...,
            costs: Mapping[str, OwnCost | Mapping[str, object]] = ...,
            optimizer: Mapping[str, float] = ...,
            name: str = ...,
            method: str = ...,
            dtype: str = ...,
            weights: bool = ...,
            part_rows: int | None = ...,
        ) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, fields: Any) -> Any:
        fields = plain(fields, MAX_DEPTH)
        axes, task = fields.get("axes"), fields.get("task")
        if isinstance(axes, dict) and "cost" not in axes:
            given = task if isinstance(task, dict) else {}
            activation = given.get("activation", getattr(task, "activation", "sigmoid"))
            own = fields.get("costs")
            names = list(own) if isinstance(own, dict) else []
            fields["axes"] = {**axes, "cost": [*default_costs(activation), *names]}
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
        object.__setattr__(self, "costs", canonical_costs(self))
        start_axes = check_axes(self)
        object.__setattr__(self, "optimizer", canonical_optimizer(self))
        check_size(self, start_axes)
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
        token = STORED.set(samples)
        try:
            return cls(**_based(tomllib.loads(text), base))
        except SpecError as error:
            raise SpecError(f"{origin}: {error}") from None
        except ValueError as error:  # of tomllib; of int(), which takes 4,300 digits
            raise SpecError(f"{origin}: is not TOML: {printable(error)[:200]}") from None
        finally:
            STORED.reset(token)

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
            for cost in fields.get("costs", {}).values() if len(path) > 1 else ():
                if path[0] == "axes" and path[1] != "value":
                    cost.pop(path[1], None)
        token = STORED.set(samples)
        try:
            return cls(**_based(fields, base))
        except SpecError as error:
            raise SpecError(f"--set: {error}") from None
        finally:
            STORED.reset(token)

    def fields(self) -> dict[str, Any]:
        """Return the tables and fields that the TOML text has."""
        fields = self.model_dump(exclude_none=True)
        for name in ("costs", "optimizer", "weights"):  # came later; each file has the text
            if not fields[name]:
                del fields[name]
        if self.start is not None and self.start.file is not None:
            del fields["start"]["scale"], fields["start"]["seed"]
        for table in ("task", "stop"):
            fields[table] = {k: v for k, v in fields[table].items() if k not in self.axes}
        if not self.task.standardize:
            del fields["task"]["standardize"]
        if self.stop.rule == "error":
            del fields["stop"]["rule"]
        return fields

    def toml(self) -> str:
        """Return the spec as TOML text."""
        return tomli_w.dumps(self.fields())

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
        return given.values() if isinstance(given, Span) else np.array(given)


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
