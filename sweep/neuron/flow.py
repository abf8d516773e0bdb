"""Gradient flow: one neuron's training in closed form, where the learning rate is small.

With one sample every update moves z = w·x + b by −κ δ(z), κ = η(|x|² + 1). Taken as a flow,
dz/dt = −κ δ(z) with the time t in epochs, the variables separate: for a sigmoid and the target
y = 0, with E = e^(−z),

    cross-entropy   δ = 1/(1+E)       F(z) = ∫ dz/δ = z − E
    quadratic       δ = E/(1+E)³      F(z) = ∫ dz/δ = 1/E + 3z − 3E − ½E²

and κt = F(z₀) − F(z). The target y = 1 is the mirror image, z ↔ −z. Training by updates differs
from the flow by a share of the order of κ.

Every function takes arrays that broadcast, and returns an array.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sweep.errors import SpecError

__all__ = ["FLOWS", "epochs", "position", "time"]

Floats = NDArray[np.float64]

FLOWS = ("quadratic", "cross_entropy")
"""The costs whose flow is known in closed form."""

# A start whose F is beyond this is frozen: F' is as large, so that z does not move. Its square
# is still a float64.
_FROZEN = 1e150


def time(
    cost: str, z0: ArrayLike, z1: ArrayLike, kappa: ArrayLike, *, y: float = 0.0
) -> NDArray[np.float64]:
    """Return the epochs in which the flow goes from z0 to z1: (F(z0) − F(z1))/κ.

    Negative where the way goes uphill; infinite where the number exceeds float64.

    Parameters
    ----------
    cost : {"quadratic", "cross_entropy"}
    z0, z1 : array_like
    kappa : array_like
        η(|x|² + 1).
    y : {0, 1}
        The target.

    Notes
    -----
    The differences of F are taken term by term as e^a − e^b = −e^a·(e^(b−a) − 1) with expm1, so
    that a short way keeps its digits.

    Examples
    --------
    >>> time("cross_entropy", [2.0, 4.0], -2.0, 0.3).round(3)
    array([37.512, 44.569])
    """
    begin, end = (_towards_zero(cost, z, y) for z in (z0, z1))
    low, high = np.minimum(begin, end), np.maximum(begin, end)
    distance = high - low
    with np.errstate(over="ignore", invalid="ignore"):
        if cost == "cross_entropy":
            rise = distance - np.exp(-low) * np.expm1(-distance)
        else:
            near, far = np.expm1(-distance), np.expm1(-2 * distance)
            rise = 3 * distance - np.exp(high) * near - 3 * np.exp(-low) * near
            rise = rise - 0.5 * np.exp(-2 * low) * far
        rise = np.where(distance == 0, 0.0, rise)  # where exp is infinite, 0·∞
        return np.asarray(np.sign(begin - end) * rise / np.asarray(kappa, np.float64))


def position(
    cost: str, z0: ArrayLike, kappa: ArrayLike, t: ArrayLike, *, y: float = 0.0
) -> NDArray[np.float64]:
    """Return where the flow that starts at z0 is after t epochs: F⁻¹(F(z0) − κt).

    Parameters
    ----------
    cost, z0, kappa, y
        As in `time`.
    t : array_like
        Epochs.

    Notes
    -----
    Cross-entropy by Lambert's W: z − e^(−z) = g has the solution z = g + W(e^(−g)) = −ln W(e^(−g)).
    Quadratic by Newton's method, held in a bracket.

    Examples
    --------
    >>> position("cross_entropy", 4.0, 0.3, [0.0, 44.569]).round(3)
    array([ 4., -2.])
    """
    begin = _towards_zero(cost, z0, y)
    with np.errstate(over="ignore"):
        start = _potential(cost, begin)
        moved = np.asarray(kappa, np.float64) * np.asarray(t, np.float64)
        goal = np.clip(start - moved, -_FROZEN, _FROZEN)
    goal, begin, start = np.broadcast_arrays(goal, begin, start)
    root = _log_of_lambert(goal) if cost == "cross_entropy" else _newton(goal)
    root = np.where(np.abs(start) < _FROZEN, root, begin)
    return np.asarray(-root if y == 1 else root)


def epochs(
    cost: str, z0: ArrayLike, tolerance: ArrayLike, kappa: ArrayLike, *, y: float = 0.0
) -> NDArray[np.float64]:
    """Return after how many epochs, not rounded, the flow's error is down to the tolerance.

    0 where it is at the start. The error is σ(z) for y = 0, so the flow ends at
    z = ln(tolerance / (1 − tolerance)); a tolerance of 1 or more is met everywhere.

    Examples
    --------
    >>> epochs("quadratic", [1.5, 4.0, -3.0], 0.1, 0.3).round(1)
    array([274.2, 468.4,   0. ])
    """
    share = np.minimum(np.asarray(tolerance, np.float64), 1.0)
    with np.errstate(divide="ignore"):
        end = np.log(share) - np.log1p(-share)
    begin = _towards_zero(cost, z0, y)
    return np.where(begin > end, time(cost, begin, np.minimum(begin, end), kappa), 0.0)


def _towards_zero(cost: str, z: ArrayLike, y: float) -> Floats:
    """Return z as an array, mirrored so that the target is 0."""
    if cost not in FLOWS:
        raise SpecError(f"cost = {cost!r}: the gradient flow is known for {', '.join(FLOWS)}")
    if y not in (0, 1):
        raise SpecError(f"y = {y!r}: the gradient flow is known for the targets 0 and 1")
    return np.asarray(z, np.float64) * (1.0 if y == 0 else -1.0)


def _potential(cost: str, z: Floats) -> Floats:
    """Return F(z)."""
    shrinking = np.exp(-z)
    if cost == "cross_entropy":
        return np.asarray(z - shrinking)
    return np.asarray(np.exp(z) + 3 * z - 3 * shrinking - 0.5 * np.exp(-2 * z))


def _log_of_lambert(g: Floats) -> Floats:
    """Return the z with z − e^(−z) = g, which is −ln u where u + ln u = −g, u = W(e^(−g)).

    The exponential is never taken of a large number. Two steps of Fritsch, Shafer and Crowley
    (CACM 16, 1973, Algorithm 443), each of fourth order, from the starting points of Lawrence,
    Corless and Jeffrey (ACM TOMS 38, 2012, Algorithm 917) reach float64; a third costs little.
    """
    s = np.maximum(-g, -700.0)  # beyond, u is nothing and z = g
    big = np.maximum(s, 1.0)
    u = np.where(s > 4.0, big - np.log(big) + np.log(big) / big, 0.0)
    mid = np.clip(s, -2.0, 4.0)
    u = np.where((s > -2.0) & (s <= 4.0), 1 + (mid - 1) / 2 + (mid - 1) ** 2 / 16, u)
    u = np.where(s <= -2.0, np.exp(np.minimum(s, 0.0)), u)
    for _ in range(3):
        r = s - u - np.log(u)
        q = 2 * (1 + u) * (1 + u + 2 * r / 3)
        u = u * (1 + r / (1 + u) * (q - r) / (q - 2 * r))
    # ln u loses digits where u is small, g + u where g is −u but for a small number.
    return np.where(g > 0, g + u, -np.log(u))


def _newton(g: Floats) -> Floats:
    """Return the z with e^z + 3z − 3e^(−z) − ½e^(−2z) = g.

    Newton's method on asinh F(z) = asinh g, which is all but two straight lines (slopes 1 and
    −2 in z), so that no start is far: 9 steps at the most were seen over |g| < 1e150. A step
    out of the bracket is replaced by halving it.
    """
    low = -0.5 * np.log(2 + 2 * np.abs(g))  # F(z) < 1 − ½e^(−2z) for z < 0
    high = np.log(4 + np.abs(g))  # F(z) > e^z − 4 for z > ln 4
    z = np.where(g > 0, np.log1p(np.abs(g)), low + 0.3)
    goal = np.arcsinh(g)
    for _ in range(60):
        value = _potential("quadratic", z)
        over = value > g
        low, high = np.where(over, low, z), np.where(over, z, high)
        slope = (np.exp(z) + 3 + 3 * np.exp(-z) + np.exp(-2 * z)) / np.hypot(1.0, value)
        step = (np.arcsinh(value) - goal) / slope
        inside = (z - step >= low) & (z - step <= high)
        following = np.where(inside, z - step, (low + high) / 2)
        done = np.abs(following - z) <= 4e-16 * (1 + np.abs(z))
        z = following
        if done.all():
            break
    return z
