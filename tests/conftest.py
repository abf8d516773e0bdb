"""Settings of all tests, and results that they share."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings
from textbook import exact_epochs

from sweep.experiment.grid import Grid
from sweep.experiment.spec import Spec
from sweep.kernels.results import empty_results
from sweep.running.run import run
from sweep.store.encoding import encoded
from sweep.store.folder import open_folder, write_whole
from sweep.store.parts import part_name
from sweep.store.schema import table
from sweep.store.spec_file import prepare

# The same examples on every machine: what is red here is red there.
settings.register_profile("sweep", derandomize=True, deadline=None)
settings.load_profile("sweep")


# 200 parts, each trained in some 10 ms and written in as many: a fault hits either.
MANY_PARTS = """
name = "parts"
method = "train"
part_rows = 500
[axes]
w = { start = -5.0, stop = 5.0, num = 100 }
b = { start = -5.0, stop = 5.0, num = 100 }
learning_rate = { start = 0.01, stop = 1.0, num = 5, scale = "log" }
[stop]
tolerance = 0.01
max_epochs = 40_000
"""


def parts(folder):
    """Return the bytes of each part in a folder."""
    return {path.name: path.read_bytes() for path in folder.glob("part-*.parquet")}


@pytest.fixture(scope="session")
def spec(tmp_path_factory):
    """Return the path of the spec of many parts."""
    path = tmp_path_factory.mktemp("spec") / "spec.toml"
    path.write_text(MANY_PARTS)
    return path


@pytest.fixture(scope="session")
def whole(spec, tmp_path_factory):
    """Return the bytes of each part of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    run(Spec.load(spec), folder)
    return parts(folder)


@pytest.fixture(scope="session")
def exact():
    return exact_epochs


def write_result(folder, epochs_of, part_rows=None, **fields):
    """Write a result whose epochs are epochs_of(z, rate, cost), unconverged above max_epochs.

    The initial error is that of a sigmoid with one sample, the rest is made up.
    """
    spec = Spec(part_rows=part_rows, **fields)
    grid, limit = Grid(spec), spec.stop.max_epochs
    to = open_folder(folder)
    prepare(to, spec)
    for part in range(grid.parts):
        found = []
        for segment in grid.segments(grid.part(part)):
            problem, rate = grid.problem(segment.outer)
            starts = grid.starts(segment.first, segment.last)
            z = starts[:, :-1] @ problem.x[0] + starts[:, -1]
            error = np.abs(
                problem.act.low
                + (problem.act.high - problem.act.low) / (1 + np.exp(-z.clip(-700)))
                - problem.y[0]
            )
            epochs = np.where(error <= problem.tolerance, 0, epochs_of(z, rate, problem.cost))
            found.append((np.minimum(epochs, limit), epochs > limit, error))
        epochs, status, error = map(np.concatenate, zip(*found, strict=True))
        trained = empty_results(len(error), 1, weights=False)
        for values in vars(trained).values():
            values.fill(0)
        trained.epochs[:], trained.status[:] = epochs, status
        trained.initial_error[:], trained.final_error[:] = error, 0.1
        axes = grid.columns(grid.part(part))
        content = encoded(grid, table(grid, part, axes, trained, {"train"}))
        write_whole(to, part_name(grid, part), content)
    return folder


@pytest.fixture(scope="session")
def make_result():
    return write_result


def slow_plateau(z, rate, cost):
    """Return epochs of which the quadratic cost needs e^z times more, as on the plateau."""
    slow = np.exp(z.clip(0, 700)) if cost == "quadratic" else 1 + z.clip(0)
    return np.ceil(4 * slow / rate)


@pytest.fixture(scope="session")
def plateau():
    return slow_plateau
