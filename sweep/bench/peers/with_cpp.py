"""C++: `train.cpp`, compiled for this machine at the first use and called through ctypes."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from sweep.bench.workloads import PeerResult, Trainer, Workload
from sweep.errors import SweepError

__all__ = ["missing", "trainer"]

# -fno-loop-unroll-and-jam: GCC would compute two epochs of a vector in one iteration, the second
# waiting for the first: 1.4 times slower in float32, 1.1 in float64.
FLAGS = [
    "-std=c++17", "-Ofast", "-march=native", "-mprefer-vector-width=512",
    "-fno-loop-unroll-and-jam", "-fopenmp", "-fPIC",
]  # fmt: skip


def _compiler() -> str | None:
    chosen = os.environ.get("CXX")
    return next(filter(None, map(shutil.which, [chosen] if chosen else ["g++", "c++"])), None)


def missing() -> str | None:
    """Return how to install it, None if it is installed."""
    return None if _compiler() else "no g++ or c++ found: install one (apt install g++), or set CXX"


@cache
def _library(samples: int, inputs: int) -> ctypes.CDLL:
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "train.so"
        source = Path(__file__).with_name("train.cpp")
        sizes = [f"-DSAMPLES={samples}", f"-DINPUTS={inputs}"]
        # Two steps: linking with -Ofast adds code that flushes subnormals in the whole process.
        compiled = Path(folder) / "train.o"
        command = [_compiler() or "c++", *FLAGS, *sizes, "-c", str(source), "-o", str(compiled)]
        link = [_compiler() or "c++", "-shared", "-fopenmp", str(compiled), "-o", str(library)]
        for step in (command, link):
            process = subprocess.run(step, capture_output=True, text=True, check=False)
            if process.returncode != 0:
                first = next(iter(process.stderr.splitlines()), "no message")
                raise SweepError(f"{step[0]} cannot build train.cpp: {first}")
        return ctypes.CDLL(str(library))


def trainer(work: Workload, threads: int) -> Trainer:
    """Return a function that trains the neurons of a workload."""
    number = np.dtype(work.dtype).type
    real = {"float64": ctypes.c_double, "float32": ctypes.c_float}[work.dtype]
    x, y = np.array(work.x, number), np.array(work.y, number)
    library = _library(*x.shape)
    train = getattr(library, f"{work.cost}_{work.dtype}")
    array, counts = np.ctypeslib.ndpointer(number), np.ctypeslib.ndpointer(np.int32)
    train.argtypes = [ctypes.c_long, *[array] * 4, real, real, ctypes.c_int, counts]
    train.restype = None

    def run(w: Any, b: Any) -> PeerResult:
        w, b, epochs = w.copy(), b.copy(), np.empty(len(b), np.int32)
        library.omp_set_num_threads(threads)
        train(len(b), w, b, x, y, work.learning_rate, work.tolerance, work.max_epochs, epochs)
        return PeerResult(epochs, w, b)

    return run
