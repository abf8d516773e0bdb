"""The fastest and most honest engine there is for asking how a neuron learns.

    sweep.train(w, b, …)      epochs to converge of very many neurons
    sweep.trace(w, b, …)      one neuron's learning curve
    sweep.Spec, sweep.run     a sweep over a grid, into a folder of Parquet
    sweep.load, sweep.scan    a result in pandas, or as a pyarrow dataset
    sweep.load_grid           a result over its axes, in xarray
    sweep.check               what is missing or damaged in a folder

Data flows one way, and a floor imports only floors below it:

    sweep.report              analysis and figures
    sweep.running             parts × threads, or a cluster → store
    sweep.store               Parquet
    sweep.experiment          spec and grid
    sweep.kernels             very many neurons at once
    sweep.neuron              formulas of one neuron, the reference loop
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sweep.errors import SpecError, SweepError

if TYPE_CHECKING:
    from sweep.experiment.spec import Spec
    from sweep.kernels.results import TrainResult
    from sweep.kernels.training import train
    from sweep.neuron.problem import Status
    from sweep.neuron.tracing import Trace, trace
    from sweep.running.run import run
    from sweep.store.parts import check
    from sweep.store.reading import load, scan
    from sweep.store.xarray import load_grid

__version__ = "0.1.0"

__all__ = [
    "Spec",
    "SpecError",
    "Status",
    "SweepError",
    "Trace",
    "TrainResult",
    "check",
    "load",
    "load_grid",
    "run",
    "scan",
    "trace",
    "train",
]

# Numba, pandas and seaborn take seconds to import; each name brings in only what it needs.
_HOMES = {
    "Spec": "sweep.experiment.spec",
    "Status": "sweep.neuron.problem",
    "Trace": "sweep.neuron.tracing",
    "TrainResult": "sweep.kernels.results",
    "check": "sweep.store.parts",
    "load": "sweep.store.reading",
    "load_grid": "sweep.store.xarray",
    "run": "sweep.running.run",
    "scan": "sweep.store.reading",
    "trace": "sweep.neuron.tracing",
    "train": "sweep.kernels.training",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sweep' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
