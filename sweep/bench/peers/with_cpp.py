"""C++: `train.cpp`, built on the spot for this machine and called through ctypes."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from sweep.bench.workloads import Stopped, Workload
from sweep.errors import SweepError

__all__ = ["missing", "trainer"]

# GCC would walk two epochs of a vector in one turn, each waiting for the other: 1.4 times slower
# in float32, 1.1 in float64.
FLAGS = [
    *("-std=c++17", "-Ofast", "-march=native", "-mprefer-vector-width=512"),
    *("-fno-loop-unroll-and-jam", "-fopenmp", "-fPIC"),
]


def _compiler() -> str | None:
    asked = os.environ.get("CXX")
    return next(filter(None, map(shutil.which, [asked] if asked else ["g++", "c++"])), None)


def missing() -> str | None:
    """Say how to get it, if it is not there."""
    return None if _compiler() else "no g++ or c++ here: install one (apt install g++), or set CXX"


@cache
def _built(samples: int, inputs: int) -> ctypes.CDLL:
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "train.so"
        source = Path(__file__).with_name("train.cpp")
        sizes = [f"-DSAMPLES={samples}", f"-DINPUTS={inputs}"]
        # Two steps: linking with -Ofast adds code that flushes subnormals in the whole process.
        built = Path(folder) / "train.o"
        command = [_compiler() or "c++", *FLAGS, *sizes, "-c", str(source), "-o", str(built)]
        link = [_compiler() or "c++", "-shared", "-fopenmp", str(built), "-o", str(library)]
        for step in (command, link):
            done = subprocess.run(step, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                first = next(iter(done.stderr.splitlines()), "no message")
                raise SweepError(f"{step[0]} cannot build train.cpp: {first}")
        return ctypes.CDLL(str(library))


def trainer(work: Workload, threads: int) -> Callable[[Any, Any], Stopped]:
    """Return a function that trains the neurons of a workload."""
    number = np.dtype(work.dtype).type
    real = {"float64": ctypes.c_double, "float32": ctypes.c_float}[work.dtype]
    x, y = np.array(work.x, number), np.array(work.y, number)
    library = _built(*x.shape)
    walk = getattr(library, f"{work.cost}_{work.dtype}")
    array, counts = np.ctypeslib.ndpointer(number), np.ctypeslib.ndpointer(np.int32)
    walk.argtypes = [ctypes.c_long, *[array] * 4, real, real, ctypes.c_int, counts]
    walk.restype = None

    def run(w: Any, b: Any) -> Stopped:
        w, b, epochs = w.copy(), b.copy(), np.empty(len(b), np.int32)
        library.omp_set_num_threads(threads)
        walk(len(b), w, b, x, y, work.learning_rate, work.tolerance, work.max_epochs, epochs)
        return Stopped(epochs, w, b)

    return run
