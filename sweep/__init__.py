"""Epochs that neurons need, by where they start, by cost and by learning rate.

    sweep.train(w, b, …)      epochs to converge of very many neurons: a TrainResult, of Status;
                              with follow=, a FollowResult, of Outcome
    sweep.trace(w, b, …)      learning curves of few neurons: a Trace
    sweep.Spec, sweep.run     a sweep over a grid, into a folder of Parquet: a RunResult
    sweep.open                a result: tables, figures; in pandas, pyarrow, xarray: a Result
    sweep.Span, Task, Stop, Start, Follow   what a spec is made of
    sweep.load, sweep.scan    a result in pandas, or as a pyarrow dataset
    sweep.load_grid           a result over its axes, in xarray
    sweep.check               what is missing or damaged in a folder
    sweep.explore             a widget for Jupyter that computes the heatmap as one moves
    sweep.Cost                a cost of your own, from a formula
    sweep.Optimizer           gradient descent, momentum, nesterov or adam, with parameters
    sweep.SpecError           bad input; a SweepError, as all errors that sweep raises

These names are public, and their arguments stay; all else may change. Data flows one way, and a
floor imports only floors below it:

    sweep.bench, sweep.article    the kernel against its peers; the article, checked
    sweep.explorer                a page, and a widget, computed while one moves
    sweep.figures                 one file a figure
    sweep.analysis                a result reduced to small tables
    sweep.running                 parts on threads or a cluster, into the store
    sweep.store                   Parquet, in a folder or a bucket
    sweep.experiment              the spec and the grid of its cells
    sweep.kernels                 very many neurons at once
    sweep.neuron                  formulas of one neuron, the reference loop
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sweep.errors import SpecError, SweepError

if TYPE_CHECKING:
    from sweep.experiment.spec import Spec
    from sweep.experiment.tables import Follow, Span, Start, Stop, Task
    from sweep.explorer.widget import explore
    from sweep.kernels.results import FollowResult, TrainResult
    from sweep.kernels.tracing import Trace, trace
    from sweep.kernels.training import train
    from sweep.neuron.following import Outcome
    from sweep.neuron.optimizers import Optimizer
    from sweep.neuron.own_costs import Cost
    from sweep.neuron.problem import Status
    from sweep.result import Result, open  # noqa: A004
    from sweep.running.run import RunResult, run
    from sweep.store.parts import check
    from sweep.store.reading import load, scan
    from sweep.store.xarray import load_grid

__version__ = "0.1.0"

__all__ = [
    "Cost",
    "Follow",
    "FollowResult",
    "Optimizer",
    "Outcome",
    "Result",
    "RunResult",
    "Span",
    "Spec",
    "SpecError",
    "Start",
    "Status",
    "Stop",
    "SweepError",
    "Task",
    "Trace",
    "TrainResult",
    "check",
    "explore",
    "load",
    "load_grid",
    "open",
    "run",
    "scan",
    "trace",
    "train",
]

# Numba, pandas and seaborn take seconds to import; each name brings in only what it needs.
_MODULES = {
    "Cost": "sweep.neuron.own_costs",
    "Follow": "sweep.experiment.tables",
    "FollowResult": "sweep.kernels.results",
    "Optimizer": "sweep.neuron.optimizers",
    "Outcome": "sweep.neuron.following",
    "Result": "sweep.result",
    "RunResult": "sweep.running.run",
    "Span": "sweep.experiment.tables",
    "Spec": "sweep.experiment.spec",
    "Start": "sweep.experiment.tables",
    "Stop": "sweep.experiment.tables",
    "Task": "sweep.experiment.tables",
    "Status": "sweep.neuron.problem",
    "Trace": "sweep.kernels.tracing",
    "TrainResult": "sweep.kernels.results",
    "check": "sweep.store.parts",
    "explore": "sweep.explorer.widget",
    "load": "sweep.store.reading",
    "load_grid": "sweep.store.xarray",
    "open": "sweep.result",
    "run": "sweep.running.run",
    "scan": "sweep.store.reading",
    "trace": "sweep.kernels.tracing",
    "train": "sweep.kernels.training",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'sweep' has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
