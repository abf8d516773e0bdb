"""The machine: its description, and how many multiply-adds a second its lanes can do."""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numba.core import types

from sweep.bench.workloads import Workload
from sweep.kernels.compile import compiled
from sweep.kernels.pool import run_blocks
from sweep.kernels.simd import load, store, width_of
from sweep.neuron.arithmetic import fma

__all__ = ["OPERATIONS", "description", "fma_peak", "operations", "versions"]

# Arithmetic operations of an epoch of one sample, each counted as one lane of a fused multiply-add.
# Always: the step z₀ − κT 1; the nearest integer and what is left 3; f² and the two sides of the
# fraction 3; 1 + E, the division, a, a − y, T + δ, the test: 6. Quadratic costs 1 − a, the slope
# and its product with the residual: 3 more. The fraction's polynomials: 4 in float64, 2 in float32.
# Not counted: signs, bits of the exponent, masks, loads and stores. Division counts as 1 but takes
# about 10. It is a bound where additions need the units that multiply; AMD's CPUs have others for
# them and can go beyond it: 12 of the 20 multiply.
#
# Of many samples, with p parameters (one more than inputs), an epoch of one has p products of θ·x
# in place of the step and p of the gradient in place of T + δ, and adds to the error where one
# sample's is tested. Once an epoch and parameter: θ = θ₀ − ηT/n, T + gradient; and one test.
#
# Momentum has one more, βm + g, Nesterov's two. Adam has 26 more: another θ and two products with
# x; δ as a mean, m 2, v 3 and its root; m₁, v₁, its root and two products with ε; for w and b mx,
# √v|x|, three to the step, and T + step, of which one is counted.
OPERATIONS = {
    ("quadratic", "float64"): 20,
    ("cross_entropy", "float64"): 17,
    ("quadratic", "float32"): 18,
    ("cross_entropy", "float32"): 15,
}
OF_OPTIMIZER = {"gd": 0, "momentum": 1, "nesterov": 2, "adam": 26}


def operations(work: Workload) -> float:
    """Return the operations of an epoch of one sample, counted as above."""
    n, p = len(work.y), len(work.x[0]) + 1
    base = OPERATIONS[work.cost, work.dtype]
    return base + OF_OPTIMIZER[work.optimizer] if n == 1 else base - 2 + 2 * p + (2 * p + 1) / n


CHAINS = 3  # of four registers each: enough to hide the latency of two units of four cycles


@cache
def _multiply_add(dtype: str) -> Callable[..., None]:
    number = getattr(types, dtype)
    width = width_of(number)
    matrix = types.Array(number, 2, "C")

    @compiled(types.void(matrix, number, number, types.int64))
    def walk(state, factor, term, epochs):
        a, b, c = load(state, 0, 0), load(state, 0, width), load(state, 0, 2 * width)
        for _ in range(epochs):
            a = fma(a, factor, term)
            b = fma(b, factor, term)
            c = fma(c, factor, term)
        store(state, 0, 0, a)
        store(state, 0, width, b)
        store(state, 0, 2 * width, c)

    return walk


def fma_peak(dtype: str, threads: int, seconds: float = 0.05) -> float:
    """Return the fused multiply-adds a second, counted in single lanes, of all threads."""
    walk = _multiply_add(dtype)
    lanes = CHAINS * width_of(getattr(types, dtype))

    def run(first: int, last: int, stop: Any) -> None:
        state = np.ones((1, lanes), dtype)
        walk(state, 0.5, 0.5, last - first)

    def seconds_for(epochs: int) -> float:
        began = time.perf_counter()
        # In blocks, so that one delayed thread does not delay all.
        run_blocks(run, [(0, epochs)] * (8 * threads), threads)
        return time.perf_counter() - began

    epochs = 1000
    while (took := seconds_for(epochs)) < seconds / 4:
        epochs *= 2
    epochs = int(epochs * seconds / took)
    return epochs * 8 * threads * lanes / seconds_for(epochs)


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def description() -> dict[str, Any]:
    """Return the CPU, its vector width and the system."""
    from llvmlite.binding import get_host_cpu_name

    return {
        "cpu": _cpu(),
        "llvm_cpu": get_host_cpu_name(),
        "cpus": os.cpu_count(),
        "vector_bits": 8 * width_of(types.float64) * 8 // 4,
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """Return the versions of Python, sweep and the peers that are installed."""
    installed = {"python": platform.python_version()}
    for name in ("neuron-sweep", "numpy", "numba", "llvmlite", "jax", "optax", "torch"):
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed
