"""Large steps: where cycles begin and double, which starts only pass through, and the fractal."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import sweep

__all__ = [
    "FLIPS",
    "MENG",
    "PASSAGE",
    "UNCERTAIN",
    "chaos_from",
    "first_passage",
    "flips",
    "two_basins",
    "uncertain_shares",
]

Floats = NDArray[np.float64]

# Cost, target; κ at which the period becomes 2, 4, 8 and 16; and from which on it is chaos.
FLIPS = {
    ("cross_entropy", 0.75): ((10.666667, 14.054248, 15.010055, 15.216091), 15.272603),
    ("cross_entropy", 0.9): ((22.222222, 28.301578, 29.849019, 30.185674), 30.277976),
    ("cross_entropy", 0.7): ((9.523810, 12.906015, 13.938805, 14.159381), 14.219727),
    ("quadratic", 0.75): ((56.888889, 71.336240, 74.726064, 75.458868), 75.659186),
}

# κ, and the share of starts in percent that meet a tolerance of 0.01 within 5,000 epochs.
PASSAGE = {10.6: 100.0, 10.7: 5.4647, 16.0: 2.1749, 17.0: 100.0, 19.0: 7.1596, 25.0: 100.0}

# Distance of two starts, and the share of pairs whose epochs differ.
UNCERTAIN = {1e-2: 0.902, 1e-4: 0.677, 1e-6: 0.507, 1e-8: 0.383, 1e-10: 0.285}

# Learning rate, and how many of 1,001 starts rest and how many end on a 2-cycle, in the case of
# Meng et al. (arXiv 2406.05033).
MENG = {9.8: (1001, 0), 10.0: (510, 491), 10.14: (302, 699)}

POINTS, ROUNDS = 42, 4


def _walked(cost: str, y: float, kappa: Floats, epochs: int, follow: int) -> sweep.FollowResult:
    """Train one start with each κ for all these epochs, and follow it."""
    b = np.full(kappa.shape, 0.5)
    result = sweep.train(
        np.zeros_like(b), b, learning_rate=kappa / 2, cost=cost, x=1.0, y=y, tolerance=1e-30,
        max_epochs=epochs, follow=follow,
    )  # fmt: skip
    assert isinstance(result, sweep.FollowResult)
    return result


def flips(cost: str, y: float, brackets: list[tuple[float, float]]) -> Floats:
    """Return the κ within brackets from which on the period is above 1, 2, 4 and so on.

    Each bracket is cut in POINTS − 1, ROUNDS times. The nearer κ is to a flip, the slower a state
    settles: as slowly as 1/(the share by which κ is off). What has not settled counts as not yet
    flipped, so a bracket keeps one cell more below.
    """
    low, high = (np.array(ends) for ends in zip(*brackets, strict=True))
    for _ in range(ROUNDS):
        kappa = low[:, None] + (high - low)[:, None] * np.linspace(0.0, 1.0, POINTS)
        apart = float(((high - low) / high).min()) / (POINTS - 1)
        epochs = int(np.clip(30.0 / max(apart, 1e-9), 10_000, 20_000_000))
        result = _walked(cost, y, kappa.ravel(), epochs, 128)
        period, lyapunov = result.period.reshape(kappa.shape), result.lyapunov.reshape(kappa.shape)
        for k in range(len(low)):
            above = (period[k] > 2**k) | ((period[k] == 0) & (lyapunov[k] > 1e-3))
            first = int(above.argmax()) if above.any() else POINTS - 1
            low[k], high[k] = kappa[k, max(first - 2, 0)], kappa[k, first]
    return high


def chaos_from(cost: str, y: float, low: float, high: float) -> float:
    """Return the first κ within a bracket at which the Lyapunov exponent is above 0."""
    for _ in range(ROUNDS):
        kappa = np.linspace(low, high, 64)
        first = int((_walked(cost, y, kappa, 100_000, 100_000).lyapunov > 0).argmax())
        low, high = kappa[max(first - 2, 0)], kappa[first]
    return float(high)


def first_passage(kappa: float) -> sweep.FollowResult:
    """Train 20,001 starts of y = .75 with cross-entropy to a tolerance of 0.01, and follow them."""
    w = np.linspace(-5, 5, 20_001)
    result = sweep.train(
        w, np.zeros_like(w), learning_rate=kappa / 2, cost="cross_entropy", x=1.0, y=0.75,
        tolerance=0.01, max_epochs=5000, follow=2000,
    )  # fmt: skip
    assert isinstance(result, sweep.FollowResult)
    return result


def uncertain_shares(pairs: int, seed: int = 0) -> dict[float, float]:
    """Return the share of pairs of starts, so far apart, whose epochs differ at κ = 17."""
    z = np.random.default_rng(seed).uniform(-5, 5, pairs)
    kwargs: dict[str, Any] = {"cost": "cross_entropy", "x": 1.0, "y": 0.75, "tolerance": 0.01}

    def epochs(b: Floats) -> NDArray[np.int32]:
        return sweep.train(np.zeros_like(b), b, learning_rate=8.5, max_epochs=5000, **kwargs).epochs

    return {
        apart: float((epochs(z - apart / 2) != epochs(z + apart / 2)).mean()) for apart in UNCERTAIN
    }


def _escape(starts: int = 2_000_000) -> tuple[float, float]:
    """Return the Lyapunov exponent of those that stay out at κ = 17, and the rate of leaving.

    Those that have not met the tolerance after k epochs become fewer as e^(−rate k). The exponent
    is that of starts that stay out for 400 more epochs.
    """
    b = np.linspace(-5, 5, starts)
    kwargs: dict[str, Any] = {"cost": "cross_entropy", "x": 1.0, "y": 0.75, "tolerance": 0.01}
    trained = sweep.train(np.zeros_like(b), b, learning_rate=8.5, max_epochs=5000, **kwargs).epochs
    left = [float((trained > k).mean()) for k in (50, 250)]
    rate = float(np.log(left[0] / left[1]) / 200)
    late = b[trained > 500]
    exponents = sweep.train(
        np.zeros_like(late), late, learning_rate=8.5, max_epochs=100, follow=400, **kwargs
    )
    assert isinstance(exponents, sweep.FollowResult)
    return float(exponents.lyapunov.mean()), rate


def two_basins(rate: float) -> sweep.FollowResult:
    """Train and follow 1,001 starts in the case of Meng et al."""
    w = np.linspace(-5, 5, 1001)
    result = sweep.train(
        w, np.zeros_like(w), learning_rate=rate, cost="cross_entropy", tolerance=1e-9,
        x=[1, 1, -1, 10, -1, -1, 1, -10], y=[1, 1, 1, 1, 0, 0, 0, 0], max_epochs=20_000,
        follow=2000,
    )  # fmt: skip
    assert isinstance(result, sweep.FollowResult)
    return result


def main() -> int:
    """Print each number beside the known one; return 1 if one is another."""
    differing = 0

    def line(text: str, found: float, known: float, room: float) -> None:
        nonlocal differing
        off = abs(found - known) > room
        differing += off
        print(f"  {text:<34} {found:>12.7g}  known {known:.7g}{'  WRONG' if off else ''}")

    print("κ = η(|x|² + 1) from which on the period is 2, 4, 8, 16, and from which it is chaos")
    for (cost, y), (known, limit) in FLIPS.items():
        ends = [(a + b) / 2 for a, b in zip(known, [*known[1:], limit], strict=True)]
        brackets = [(0.9 * a, b) for a, b in zip(known, ends, strict=True)]
        for k, found in enumerate(flips(cost, y, brackets).tolist()):
            line(f"{cost}, y = {y}, period {2 << k}", found, known[k], 1e-6 * known[k])
        line(f"{cost}, y = {y}, chaos", chaos_from(cost, y, known[-1], 1.01 * limit), limit,
             5e-6 * limit)  # fmt: skip
    print("\npercent of 20,001 starts that meet the tolerance within 5,000 epochs, and that stay")
    for kappa, percent in PASSAGE.items():
        result = first_passage(kappa)
        met = 100 * float((result.status == sweep.Status.converged).mean())
        line(f"κ = {kappa:g}: {100 * result.stays.mean():.0f} % stay, met", met, percent, 5e-5)
    print("\nshare of pairs of starts at κ = 17 whose epochs differ, by their distance")
    shares = uncertain_shares(200_000)
    for apart, known_share in UNCERTAIN.items():
        line(f"{apart:g}", shares[apart], known_share, 0.005)
    exponent = np.polyfit(np.log(list(shares)), np.log(list(shares.values())), 1)[0]
    line("uncertainty exponent", float(exponent), 0.062, 0.004)
    line("dimension of the boundary", 1.0 - float(exponent), 0.938, 0.004)
    exponent_, rate = _escape()
    line("and by escape rate ÷ exponent", 1.0 - rate / exponent_, 0.937, 0.004)
    print("\nof 1,001 starts with eight samples, how many rest and how many end on a 2-cycle")
    for eta, (rest, cycle) in MENG.items():
        result = two_basins(eta)
        line(f"η = {eta:g}, rest", int((result.outcome == sweep.Outcome.rests).sum()), rest, 0)
        line(f"η = {eta:g}, 2-cycle", int((result.period == 2).sum()), cycle, 0)
    return 1 if differing else 0


if __name__ == "__main__":
    import sys

    sys.exit(main())
