"""What becomes of neurons: each number of a result, declared once for all floors above.

To add a column, add a field to `TrainResult` whose annotation holds a `Column`, and fill it in
`sweep.kernels.passes` (and, if the orbit is to answer it, in `sweep.kernels.orbit.lookup`). The
arrays, the Parquet schema, the encodings and xarray's attributes follow from the declaration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, get_type_hints

import numpy as np
from numpy.typing import NDArray

from sweep.neuron.following import Outcome
from sweep.neuron.problem import Status

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "COLUMNS",
    "FOLLOWED",
    "Column",
    "FollowResult",
    "TrainResult",
    "columns_of",
    "empty_results",
    "rows",
]


class Column(NamedTuple):
    """How a result stores one number of each neuron.

    Attributes
    ----------
    unit : str
        "1" for a number without one.
    description : str
    dtype : numpy type, optional
        None: that of the training, which is stored as float64.
    names : tuple of str
        Of a column of codes: what each means. It is stored as text in a dictionary.
    none : int, optional
        The number that says that there is none; it is stored as null.
    split : "never", "drawn" or "always"
        Whether the bytes of its numbers are stored apart (Parquet's byte stream split): only where
        starts are drawn, so that neighbours are not alike, or always. ``./scripts/storing``
        measures which is smaller and faster.
    """

    unit: str
    description: str
    dtype: type[np.generic] | None = None
    names: tuple[str, ...] = ()
    split: Literal["never", "drawn", "always"] = "never"
    none: int | None = None


@dataclass(frozen=True, repr=False, eq=False)
class TrainResult:
    """What became of N neurons.

    ``len(result)`` is N. ``result[k]`` is the result of some neurons: a slice, an index array, a
    mask, or one index, which gives a result of one neuron. Two results are equal if all their
    arrays are, NaN being equal to NaN.

    Attributes
    ----------
    initial_error : (N,) array
        Mean over the samples of |y − a| before the first update; NaN where the start is not finite.
    epochs : (N,) int32 array
        Updates applied when the error first was at most the tolerance; max_epochs if it never was.
    status : (N,) int8 array
        A `sweep.Status` each: 0 converged, 1 max_epochs, 2 non_finite.
    final_error : (N,) array
        Mean over the samples of |y − a| at the stop; NaN where the start is not finite.
    w : (N,) or (N, d) array, as the starts
    b : (N,) array
        Weights and bias at the stop.

    Examples
    --------
    >>> import sweep
    >>> result = sweep.train(
    ...     [0.6, 2.0], [0.9, 2.0], learning_rate=0.15, cost="quadratic", x=1.0, y=0.0,
    ...     tolerance=0.1, max_epochs=1000,
    ... )
    >>> result
    TrainResult(2 neurons: 2 converged; median epochs of those 371)
    >>> result[1].epochs.tolist(), result == result[:], result == result[::-1]
    ([469], True, False)
    >>> result.to_pandas()[["epochs", "status"]]
       epochs     status
    0     273  converged
    1     469  converged
    """

    initial_error: Annotated[
        NDArray[np.float64],
        Column("1", "mean over the samples of |y - a| before the first update", split="always"),
    ]
    epochs: Annotated[
        NDArray[np.int32],
        Column(
            "updates",
            "updates applied when the error first was at most the tolerance",
            dtype=np.int32,
            split="drawn",
        ),
    ]
    status: Annotated[
        NDArray[np.int8],
        Column(
            "1",
            "how the training ended",
            dtype=np.int8,
            names=tuple(status.name for status in Status),
        ),
    ]
    final_error: Annotated[
        NDArray[np.float64],
        Column("1", "mean over the samples of |y - a| at the stop", split="always"),
    ]
    w: NDArray[np.float64]
    b: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.epochs)

    def __getitem__(self, key: Any) -> TrainResult:
        some = [key] if isinstance(key, (int, np.integer)) else key
        return type(self)(**{name: values[some] for name, values in vars(self).items()})

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in pairs)

    __hash__ = None  # type: ignore[assignment]  # its arrays can be changed

    def __repr__(self) -> str:
        ended = [(status.name, int((self.status == int(status)).sum())) for status in Status]
        text = ", ".join(f"{count:,} {name}" for name, count in ended if count) or "none"
        converged = self.epochs[self.status == int(Status.converged)]
        median = f"; median epochs of those {np.median(converged):,.0f}" if len(converged) else ""
        plural = "" if len(self) == 1 else "s"
        return f"TrainResult({len(self):,} neuron{plural}: {text}{median})"

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each neuron, with the columns of a sweep's table, and w and b."""
        import pandas as pd

        columns = columns_of(self)
        table = pd.DataFrame({name: getattr(self, name) for name in columns})
        for name, column in columns.items():
            if column.names:
                table[name] = pd.Categorical.from_codes(table[name], list(column.names))
            elif column.none is not None:
                values = getattr(self, name)
                table[name] = pd.arrays.IntegerArray(values, values == column.none)
        weights = self.w.reshape(len(self), -1)
        for j in range(weights.shape[1]):
            table["w" if self.w.ndim == 1 else f"w_{j + 1}"] = weights[:, j]
        return table.assign(b=self.b)


@dataclass(frozen=True, repr=False, eq=False)
class FollowResult(TrainResult):
    """What became of N neurons, in their training and in the epochs that they were followed after.

    `sweep.neuron.following` defines each, with its thresholds. A followed state is one from which
    one of these epochs' updates is made, the first of them that at the end of the training.

    Attributes
    ----------
    outcome : (N,) int8 array
        A `sweep.Outcome` each: 0 rests, 1 cycle, 2 irregular, 3 creeps; −1 where the start is not
        finite.
    period : (N,) int32 array
        1 of a rest, of a cycle its epochs, 0 where there is none.
    lyapunov : (N,) float64 array
        Mean growth of the logarithm of a tangent vector in an epoch: −∞ where it became 0.
    stays : (N,) bool array
        Whether what is compared with the tolerance is at most that in every followed state.
    lowest, highest, mean_output : (N,) float64 arrays
        Of the outputs' mean over the samples, in the followed states.
    first_rise : (N,) int32 array
        Updates of the training after which the cost was first larger than before, 0 if never.

    Examples
    --------
    >>> import sweep
    >>> result = sweep.train(
    ...     [0.0], [1.0], learning_rate=6.0, cost="cross_entropy", x=1.0, y=0.75,
    ...     tolerance=0.01, max_epochs=10_000, follow=2000,
    ... )
    >>> sweep.Outcome(result.outcome[0]).name, result.period[0], result.lyapunov.round(6)
    ('cycle', np.int32(2), array([-1.118437]))
    """

    outcome: Annotated[
        NDArray[np.int8],
        Column(
            "1",
            "after the training: rests (no longer moves, beyond rounding), cycle, irregular "
            "(bounded, no period up to 1,024, Lyapunov exponent above 0), creeps (on its way)",
            dtype=np.int8,
            names=tuple(outcome.name for outcome in Outcome),
            none=-1,
        ),
    ]
    period: Annotated[
        NDArray[np.int32],
        Column("epochs", "1 of a rest, of a cycle its epochs", dtype=np.int32, none=0),
    ]
    lyapunov: Annotated[
        NDArray[np.float64],
        Column("1/epoch", "mean growth of ln |tangent vector| in the followed epochs",
               dtype=np.float64, split="always"),
    ]  # fmt: skip
    stays: Annotated[
        NDArray[np.bool_],
        Column("1", "whether the tolerance is met in every followed epoch", dtype=np.bool_),
    ]
    lowest: Annotated[
        NDArray[np.float64],
        Column("1", "least mean output of the followed epochs", dtype=np.float64, split="always"),
    ]
    highest: Annotated[
        NDArray[np.float64],
        Column("1", "largest mean output of the followed epochs", dtype=np.float64, split="always"),
    ]
    mean_output: Annotated[
        NDArray[np.float64],
        Column("1", "mean output of the followed epochs", dtype=np.float64, split="always"),
    ]
    first_rise: Annotated[
        NDArray[np.int32],
        Column(
            "updates", "updates of the training after which the cost first rose",
            dtype=np.int32, none=0,
        ),
    ]  # fmt: skip


def _declared(kind: type[TrainResult]) -> Mapping[str, Column]:
    hints = get_type_hints(kind, include_extras=True).items()
    found = {name: hint.__metadata__[0] for name, hint in hints if hasattr(hint, "__metadata__")}
    return MappingProxyType(found)


COLUMNS = _declared(TrainResult)
FOLLOWED = MappingProxyType(
    {name: column for name, column in _declared(FollowResult).items() if name not in COLUMNS}
)


def columns_of(result: TrainResult) -> dict[str, Column]:
    """Return the columns that a result has, but for w and b."""
    return {**COLUMNS, **FOLLOWED} if isinstance(result, FollowResult) else dict(COLUMNS)


def empty_results(
    count: int, inputs: int, dtype: str = "float64", weights: bool = True, follow: bool = False
) -> TrainResult:
    """Return arrays for the results of `count` neurons; without weights, w and b are empty."""
    # Columns in one piece of memory, which the system hands out in a third of the page faults: a
    # million neurons' results for 5 ms of CPU instead of 9.
    kept = count if weights else 0
    columns = {**COLUMNS, **FOLLOWED} if follow else COLUMNS
    floats = [name for name, column in columns.items() if column.dtype is None]
    memory = np.empty(len(floats) * count + (inputs + 1) * kept, dtype)
    *parts, b, w = np.split(memory, np.cumsum([*[count] * len(floats), kept]))
    arrays: dict[str, NDArray[Any]] = {
        name: np.empty(count, column.dtype) for name, column in columns.items() if column.dtype
    }
    return (FollowResult if follow else TrainResult)(
        **arrays, **dict(zip(floats, parts, strict=True)), w=w.reshape(kept, inputs), b=b
    )


def rows(out: TrainResult, here: slice) -> TrainResult:
    """Return the results of some neurons as views."""
    return type(out)(**{name: value[here] for name, value in vars(out).items()})
