"""The benchmark's participants and its goals, as data."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, NamedTuple

from sweep.bench.workloads import SHAPES, Trainer, Workload

__all__ = ["FLOAT32_OVER_FLOAT64", "GOALS", "OVER_GD", "ROWS", "SHARE_OF_BOUND", "Goal", "Row"]

_ALL = ("raw", "sweep", "samples")
_OPTIMIZER = ("optimizer",)


class Row(NamedTuple):
    """A row of the table: a module of `peers`, its options, and the workloads it is timed on."""

    name: str
    peer: str
    options: Mapping[str, Any] = MappingProxyType({})
    kinds: tuple[str, ...] = _ALL
    full_only: bool = False
    dtypes: tuple[str, ...] = ("float64", "float32")

    def missing(self) -> str | None:
        """Return how to install the peer, None if it is installed."""
        advice: str | None = self._module().missing()
        return advice

    def trainer(self, work: Workload, threads: int) -> Trainer:
        """Return a function (w, b) -> PeerResult that trains the neurons of a workload."""
        run: Trainer = self._module().trainer(work, threads, **self.options)
        return run

    def _module(self) -> Any:
        return import_module(f"sweep.bench.peers.{self.peer}")


_ORBIT = MappingProxyType({"method": "orbit"})

# The others are compared with the first.
ROWS = (
    Row("sweep", "with_sweep", kinds=(*_ALL, *_OPTIMIZER)),
    Row("sweep, orbit", "with_sweep", _ORBIT, ("sweep",), dtypes=("float64",)),
    Row("C++", "with_cpp"),
    Row("torch.compile", "with_torch"),
    Row("JAX", "with_jax"),
    Row("NumPy", "with_numpy", kinds=("raw", "sweep")),
    Row("NumPy + BLAS", "with_blas", kinds=("samples",)),
    Row("Numba prange", "with_numba"),
    Row("torch.optim, fused", "with_torch_optim", kinds=_OPTIMIZER),
    Row("torch.optim, foreach", "with_torch_optim", MappingProxyType({"kind": "foreach"}),
        _OPTIMIZER),
    Row("JAX + optax", "with_optax", kinds=_OPTIMIZER),
)  # fmt: skip


class Goal(NamedTuple):
    """`sweep` is to be at least `ratio` times as fast as a row on a workload.

    `what` is the workload's kind, or its samples × inputs.
    """

    what: str
    cost: str
    dtype: str
    row: str
    ratio: float


GOALS = (
    Goal("sweep", "quadratic", "float64", "C++", 1.5),
    Goal("sweep", "quadratic", "float64", "torch.compile", 2.0),
    Goal("sweep", "quadratic", "float64", "JAX", 4.0),
    Goal("sweep", "quadratic", "float64", "NumPy", 8.0),
    Goal("sweep", "quadratic", "float64", "Numba prange", 15.0),
    Goal("sweep", "cross_entropy", "float64", "C++", 1.5),
    Goal("sweep", "quadratic", "float32", "C++", 1.3),
    Goal("sweep", "cross_entropy", "float32", "C++", 1.0),
    Goal("raw", "quadratic", "float64", "C++", 1.3),
    *(
        Goal(f"{n} × {d}", "cross_entropy", "float64", row, ratio)
        for n, d in SHAPES
        for row, ratio in (("C++", 1.3), ("JAX", 2.0), ("NumPy + BLAS", 5.0))
    ),
)

# What an optimiser's useful epochs a second are to be, over those of gradient descent.
OVER_GD = {"momentum": 0.6, "nesterov": 0.6, "adam": 0.35}

# For each of the shapes: the share of the multiply-adds in float64, and the rate of float32.
SHARE_OF_BOUND = 0.7
FLOAT32_OVER_FLOAT64 = 1.7
