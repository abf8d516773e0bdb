"""Starts drawn at random: the same for any range of them, wherever a sweep is cut into parts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sweep.errors import SpecError
from sweep.experiment.tables import Start

__all__ = ["CHUNK", "random_starts"]

# Starts are drawn in chunks, each from its own random stream, so that a part draws only its own.
CHUNK = 2**16


def random_starts(start: Start, dimensions: int, first: int, last: int) -> NDArray[np.float64]:
    """Return the starts first to last − 1, shape (last − first, dimensions).

    NumPy's Philox and its normal or uniform numbers determine them, or SciPy's Sobol points; other
    releases may draw others, so a hash of the first of them is in every part (`Grid.hashes`).

    Raises
    ------
    SpecError
        Sobol points need SciPy, which is not installed.
    """
    chunks = []
    for chunk in range(first // CHUNK, -(-last // CHUNK)):
        offset = chunk * CHUNK
        points = _chunk(start, dimensions, chunk)
        chunks.append(points[max(first - offset, 0) : last - offset])
    return start.scale * np.concatenate(chunks)


def _chunk(start: Start, dimensions: int, chunk: int) -> NDArray[np.float64]:
    shape = (CHUNK, dimensions)
    stream = np.random.Generator(np.random.Philox(np.random.SeedSequence([start.seed, chunk])))
    if start.random == "normal":
        points = stream.standard_normal(shape)
        # NumPy takes the tail from the C library's log1p, which rounds 2 of 100,000 otherwise where
        # a CPU has no fused multiply-add. 2^-30 is far above that, and below what any figure shows.
        tail = abs(points) > 3.65
        points[tail] = np.rint(points[tail] * 2.0**30) / 2.0**30
        return points
    if start.random == "uniform":
        return stream.uniform(-1.0, 1.0, shape)
    return _sobol(start.seed, dimensions, chunk)


def _sobol(seed: int, dimensions: int, chunk: int) -> NDArray[np.float64]:
    try:
        from scipy.stats.qmc import Sobol
    except ImportError:
        raise SpecError("start.random = 'sobol': needs SciPy: pip install scipy") from None
    sobol = Sobol(dimensions, rng=seed)
    if chunk > 0:  # SciPy 1.17 fails on fast_forward(0)
        sobol.fast_forward(chunk * CHUNK)
    points: NDArray[np.float64] = sobol.random(CHUNK)
    return 2.0 * points - 1.0
