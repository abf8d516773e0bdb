"""Nothing but the numbers decides the bits: not threads, blocks, neighbours, CPU or BLAS."""

import os
import platform
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest
from numba.core import types

import sweep
from sweep.kernels import block, columns, descent, loops, results, training
from sweep.kernels.passes import numba_types
from sweep.neuron.problem import make_problem

ARTICLE = {"learning_rate": 0.15, "x": 1.0, "y": 0.0}


def same_bits(a, b):
    return all(
        getattr(a, name).tobytes() == getattr(b, name).tobytes()
        for name in block.TrainResult.__dataclass_fields__
    )


# --- nothing but the numbers decides ---------------------------------------------------------


@pytest.mark.parametrize("n", [1, 3, 45])
def test_bits_do_not_depend_on_threads_or_blocks(n, monkeypatch):
    rng = np.random.default_rng(n)
    w, b, rates = rng.normal(0, 4, (3001, 2)), rng.normal(0, 4, 3001), rng.uniform(0.01, 3, 3001)
    kwargs = {
        "x": rng.normal(0, 1, (n, 2)), "y": np.arange(n) % 2 * 1.0, "cost": "quadratic",
        "tolerance": 0.2, "max_epochs": 333,
    }  # fmt: skip
    expected = sweep.train(w, b, learning_rate=rates, **kwargs, threads=1)
    for threads in (2, 3):
        for largest in (1, 7, 64, 500):
            monkeypatch.setattr(training, "block_sizes", lambda *_, size=largest: (size, size))
            again = sweep.train(w, b, learning_rate=rates, **kwargs, threads=threads)
            assert same_bits(again, expected)
    alone = sweep.train(w[1700:1701], b[1700:1701], learning_rate=rates[1700], **kwargs)
    assert alone.epochs[0] == expected.epochs[1700]
    assert alone.final_error[0] == expected.final_error[1700]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("rule", ["error", "gradient"])
@pytest.mark.parametrize("max_epochs", [1, 50, 64, 65, 400])
def test_bits_do_not_depend_on_the_epochs_that_are_walked_in_order(
    dtype, rule, max_epochs, monkeypatch
):
    rng = np.random.default_rng(max_epochs)
    axes = np.linspace(-5, 5, 70), np.linspace(-4.1, 5.2, 70)
    grid = [axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")]
    cost = {"error": "cross_entropy", "gradient": "quadratic"}[rule]
    for order in (slice(None), rng.permutation(4900)):
        w, b = (axis[order] for axis in grid)
        found = []
        for first in (0, 3, 64):
            monkeypatch.setattr(block, "FIRST_EPOCHS", first)
            found.append(
                sweep.train(
                    w, b, **{**ARTICLE, "learning_rate": 0.5}, cost=cost, rule=rule, tolerance=0.1,
                    max_epochs=max_epochs, dtype=dtype, method="train",
                )
            )  # fmt: skip
        assert same_bits(found[0], found[1])
        assert same_bits(found[0], found[2])
        assert len(np.unique(found[0].epochs)) > min(max_epochs, 9)


@pytest.mark.parametrize("rule", ["error", "gradient"])
def test_bits_are_the_same_in_the_kernel_for_few_neurons(rule):
    rng = np.random.default_rng(3)
    x = rng.normal(0, 1, 19)
    problem = make_problem(
        x=x, y=(x > 0.1) * 1.0, cost="quadratic", rule=rule, tolerance=0.05, max_epochs=700
    )
    for count in (1, 5, block.FEW_NEURONS, 300):
        found, (w, b) = [], rng.normal(0, 3, (2, count))
        for few in (False, True):
            out = results.empty_results(count, 1)
            train = block.trainer(problem, "float64", few=few)
            train(out, w[:, None].copy(), b, np.array([1.5]), np.zeros(1, np.uint8))
            found.append(out)
        assert same_bits(*found)
    assert len(np.unique(found[0].epochs)) > 20


def test_nan_among_the_starts_touches_only_that_neuron():
    w, b = np.linspace(-3, 3, 40), np.linspace(3, -2, 40)
    kwargs = {**ARTICLE, "cost": "quadratic", "tolerance": 0.1, "max_epochs": 400}
    clean = sweep.train(w, b, **kwargs)
    for i, wrong in ((3, np.nan), (17, np.inf), (39, 1.7e308)):
        w[i] = b[i] = wrong
    spoilt = sweep.train(w, b, **kwargs)
    bad = np.isin(np.arange(40), (3, 17, 39))
    assert (spoilt.status[bad] == sweep.Status.non_finite).all()
    assert (spoilt.epochs[bad] == 0).all()
    assert np.isnan(spoilt.final_error[bad]).all()
    assert (spoilt.epochs[~bad] == clean.epochs[~bad]).all()
    assert (spoilt.final_error[~bad] == clean.final_error[~bad]).all()


@pytest.mark.parametrize(("dtype", "far"), [("float64", 600.0), ("float32", 70.0)])
def test_starts_beyond_the_range_of_exp_change_no_bit_of_others(dtype, far):
    w, b = np.linspace(-3, 3, 40), np.linspace(3, -2, 40)
    kwargs = {**ARTICLE, "cost": "quadratic", "tolerance": 0.1, "max_epochs": 400, "dtype": dtype}
    clean = sweep.train(w, b, **kwargs)
    w[5], b[5] = -far, -far
    spoilt = sweep.train(w, b, **kwargs)
    assert spoilt.epochs[5] == 0
    others = np.arange(40) != 5
    for name in block.TrainResult.__dataclass_fields__:
        ours, theirs = getattr(clean, name)[others], getattr(spoilt, name)[others]
        assert ours.tobytes() == theirs.tobytes()


# --- the code itself -------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", ["near", "one", "two", "few", "many"])
def test_the_hot_loop_is_packed_and_calls_no_exp(kind, dtype):
    block = numba_types(dtype, dtype).start[0]
    number, lanes = getattr(types, dtype), numba.typeof(descent.empty_lanes(1, dtype))

    def advance(lanes, block, limit, epochs):
        loops.advance("quadratic", "sigmoid", kind, "error", "gd", lanes, block, limit, epochs)

    def measure(lanes, block):
        loops.measure("quadratic", "sigmoid", kind, "error", lanes, block)

    def walk(lanes, block, limit, epochs, initial):
        columns.walk_columns(
            "quadratic", "sigmoid", kind, "error", "gd", lanes, block, limit, epochs, initial
        )

    functions = [
        (advance, types.void(lanes, block, number, types.int64)),
        (measure, types.void(lanes, block)),
    ]
    if kind in ("near", "one"):  # the others measure, no more
        errors = types.Array(number, 1, "C")
        functions.append((walk, types.void(lanes, block, number, types.int64, errors)))
    for function, signature in functions:
        jitted = numba.njit(signature, nogil=True, error_model="numpy")(function)
        (code,) = jitted.inspect_llvm().values()
        (assembly,) = jitted.inspect_asm().values()
        element = "double" if dtype == "float64" else "float"
        assert re.search(rf"fdiv <\d+ x {element}>", code)
        assert not re.search(rf"call {element} @(exp|llvm\.exp)", code)
        if platform.machine() in ("x86_64", "AMD64"):
            last = "d" if dtype == "float64" else "s"
            # On a CPU that can: fused, on whole registers, and nothing left scalar.
            assert len(re.findall(rf"vfn?m(?:add|sub)\d+p{last}\s.*[yz]mm", assembly)) >= 15
            assert not re.search(rf"vfn?m(?:add|sub)\d+s{last}", assembly)
            assert not re.search(rf"\bv?divs{last}", assembly)


BITS = """
import hashlib, pathlib, sys, numpy as np, sweep
rng = np.random.default_rng(7)
digest = hashlib.sha256()
for n, method, follow in ((1, "train", None), (1, "orbit", 200), (45, "train", None)):
    w, b, y = rng.normal(0, 4, (300, 2)), rng.normal(0, 4, 300), rng.uniform(0, 1, n)
    trained = sweep.train(w, b, learning_rate=0.3, cost="quadratic", y=y, method=method,
                          x=rng.normal(0, 1, (n, 2)), tolerance=0.2, max_epochs=40, follow=follow)
    for values in vars(trained).values():
        digest.update(values.tobytes())
own = sweep.Cost("own", "-(1-y)*a**g*log(1-a) - y*(1-a)**g*log(a) + tanh(cosh(a-y)/9)", g=1.5)
trained = sweep.train(w[:, 0], b, learning_rate=0.3, cost=own, y=[0.0, 1.0, 0.3], tolerance=0.2,
                      x=[1.0, -0.3, 2.0], max_epochs=40)
for values in vars(trained).values():
    digest.update(values.tobytes())
three = [[0.7, 2.0], [1.0, -0.5], [0.1, 3.0]]
for x, y, optimizer in ((0.7, 0.0, "adam"), (three, [0, 1, 0.3], "adam"),
                        (0.7, 0.0, "nesterov")):
    w = rng.normal(0, 4, (99, 2) if np.ndim(x) else 99)
    moved = sweep.train(w, rng.normal(0, 4, 99), learning_rate=0.2, cost="quadratic", x=x, y=y,
                        tolerance=0.1, max_epochs=60, optimizer=optimizer)
    for values in vars(moved).values():
        digest.update(values.tobytes())
looked_up = sweep.train(*rng.uniform(-2, 2, (2, 900)), learning_rate=0.3, cost="quadratic",
                        x=[1.0, -0.3], y=[0.0, 1.0], tolerance=0.3, max_epochs=60, method="orbit")
for values in vars(looked_up).values():
    digest.update(values.tobytes())
for x, y in (([1.0], [0.75]), ([1.0, -0.3, 2.0], [0.75, 0.2, 0.6])):
    w, b = rng.normal(0, 4, (2, 99))
    followed = sweep.train(w, b, learning_rate=8.5, cost="cross_entropy", x=x, y=y, follow=150,
                           tolerance=0.01, max_epochs=40)
    assert len(x) > 1 or (followed.outcome == sweep.Outcome.irregular).any()
    for values in vars(followed).values():
        digest.update(values.tobytes())
span = {"start": -5.0, "stop": 5.0, "num": 60}
rates = {"start": 0.001, "stop": 1.0, "num": 50, "scale": "log"}
axes = {"learning_rate": rates, "y": [0.0, 0.3], "cost": "quadratic"}
for name, starts in (("grid", {}), ("drawn", {"start": {"random": "normal", "count": 4000}})):
    crossed = {} if starts else {"w": span, "b": span}
    spec = sweep.Spec(axes=axes | crossed, stop={"tolerance": 0.03, "max_epochs": 3000},
                      task={"x": 1.3}, method="orbit", **starts)
    folder = pathlib.Path(sys.argv[1]) / name
    sweep.run(spec, folder, threads=2)
    for path in sorted(folder.glob("part-*")):
        digest.update(path.read_bytes())
print(digest.hexdigest())
"""


def test_bits_do_not_depend_on_the_cpu(tmp_path):
    narrow = "import sweep.kernels.simd as v; v._REGISTER_BYTES = {}\n"
    x86 = platform.machine() in ("x86_64", "AMD64")
    avx2 = "haswell" if x86 else "generic"
    # What NumPy chooses by the CPU, and what BLAS and the C library do.
    numpy = {"NPY_DISABLE_CPU_FEATURES": " ".join(np._core._multiarray_umath.__cpu_dispatch__)}
    libc = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX2_Usable,-FMA_Usable,-AVX512F"}
    # No FMA and 128 bits, FMA and 256 bits, whatever this machine has; lanes as wide as a CPU with
    # AVX2 and one with AVX-512 has them.
    machines = (
        ("generic", 32, numpy | {"OPENBLAS_CORETYPE": "Prescott"}),
        (avx2, 32, libc | {"OPENBLAS_CORETYPE": "Haswell"}),
        (avx2, 64, numpy | libc),
        (None, 64, {}),
    )

    def digest(machine):
        cpu, width, others = machine
        environment = os.environ | others | {"NUMBA_CACHE_DIR": str(tmp_path / f"{cpu}{width}")}
        if cpu:
            environment |= {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": ""}
        out = tmp_path / f"out-{cpu}{width}"
        command = [sys.executable, "-c", narrow.format(width) + BITS, str(out)]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return run.stdout

    with ThreadPoolExecutor(2) as pool:  # most of it is compiling, on one thread
        assert len(set(pool.map(digest, machines))) == 1
