"""The time until the first epoch: import, compilation, compiled code from the disk."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from statistics import median

__all__ = ["startup"]

_IMPORT = """
import time; began = time.perf_counter()
import sweep
print(time.perf_counter() - began)
"""

_FIRST_CALL = """
import time
began = time.perf_counter()
import sweep.kernels.training
imported = time.perf_counter()
sweep.kernels.training.train(
    0.0, 0.0, learning_rate=0.1, cost="quadratic", x=1.0, y=0.0, tolerance=0.1, max_epochs=10
)
print(imported - began, time.perf_counter() - imported)
"""


def _timed(code: str, cache: str) -> list[float]:
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    return [float(word) for word in process.stdout.split()]


def startup(rounds: int) -> dict[str, float]:
    """Return the medians over some rounds, in seconds; each timing is of a fresh process.

    import : `import sweep`
    numba : the import of Numba and the kernels, on the first use
    compiled : the first `train` of one (cost, activation, dtype), nothing compiled yet
    cached : the same, compiled code on the disk
    """
    timings: dict[str, list[float]] = {"import": [], "numba": [], "compiled": [], "cached": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            timings["import"] += _timed(_IMPORT, cache)
            for name in ("compiled", "cached"):
                numba, call = _timed(_FIRST_CALL, cache)
                timings["numba"].append(numba)
                timings[name].append(call)
    return {name: median(seconds) for name, seconds in timings.items()}
