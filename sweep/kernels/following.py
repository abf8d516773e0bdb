"""A block of neurons followed after its training, as `sweep.neuron.following` defines it."""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numba import typeof
from numba.core import types
from numba.extending import register_jitable
from numpy.typing import NDArray

from sweep.kernels.compile import compiled, once
from sweep.kernels.lane_math import log
from sweep.kernels.passes import Block, numba_types
from sweep.kernels.profile import steepest
from sweep.kernels.results import FollowResult
from sweep.kernels.simd import load, store, width_of, zero
from sweep.kernels.walk import (
    ABOVE,
    EXPONENT,
    HIGHEST,
    LOWEST,
    OPEN,
    SAME,
    SAME_LATER,
    TOTAL,
    TURNED,
    Walk,
    at_rest,
    empty_walk,
    walk,
)
from sweep.neuron.arithmetic import EXP2_SCALE, fma
from sweep.neuron.following import GROWTH, LONGEST_PERIOD, Outcome
from sweep.neuron.problem import Problem, Status

__all__ = ["Path", "compile_following", "follower", "never_rises_up_to"]

RESTS, CYCLE, IRREGULAR, CREEPS = (np.int8(int(outcome)) for outcome in Outcome)
NON_FINITE, NONE = np.int8(int(Status.non_finite)), np.int8(-1)

# Epochs after which what is noted goes from lanes, which may be float32, to float64.
STRETCH = 256

# Targets of which each is looked at whether the cost can rise.
MOST_TARGETS = 16


class Path(NamedTuple):
    """What is written of each neuron, as in `FollowResult`."""

    outcome: NDArray[np.int8]
    period: NDArray[np.int32]
    lyapunov: NDArray[np.float64]
    stays: NDArray[np.bool_]
    lowest: NDArray[np.float64]
    highest: NDArray[np.float64]
    mean_output: NDArray[np.float64]


@register_jitable
def _size(state, p, exponent, growth):
    """Set growth to ln(|v| ÷ |v| at first) of each lane, 2^exponent of it being taken out."""
    square = zero(state.tangent)
    for j in range(p):
        v = load(state.tangent, j, 0)
        square = fma(v, v, square)
    store(state.noted, EXPONENT, 0, log(square * (1.0 / p)))
    for i in range(len(exponent)):
        growth[i] = exponent[i] / EXP2_SCALE + 0.5 * state.noted[EXPONENT, i]
        state.noted[EXPONENT, i] = 0.0


@once
def compile_following(
    cost: str, activation: str, kind: str, dtype: str, rule: str
) -> Callable[..., None]:
    """Compile the walk of a block that is trained; arguments as of `compile_training`.

    Returns ``follow(block, state, status, limit, reach, target, inverse_scale, epochs, path,
    stop)``: `reach` (p,) is r of each number of the state, `target` the mean of the targets,
    `inverse_scale` 1/exp2_scale.
    """
    number, whole = getattr(types, dtype), types.int64
    vector = types.Array(number, 1, "C")
    state_type = typeof(empty_walk(1, dtype, np.ones(1)))
    numbers = types.Array(types.float64, 1, "C")
    flags = types.Array(types.int8, 1, "C"), types.Array(types.int32, 1, "C")
    path_type = types.NamedTuple(
        [*flags, numbers, types.Array(types.boolean, 1, "C"), *[numbers] * 3], Path
    )
    block_type = numba_types(dtype, dtype).start[0]
    width, many = width_of(number), kind == "many"
    unit = float(np.finfo(dtype).eps)
    every, one_bit = np.uint64((1 << width) - 1), np.uint64(1)

    @compiled(
        types.void(
            block_type, state_type, flags[0], number, vector, types.float64, number, whole,
            path_type, types.Array(types.uint8, 1, "C"),
        )
    )  # fmt: skip
    def follow(block, state, status, limit, reach, target, inverse_scale, epochs, path, stop):
        noted, masks, n = state.noted, state.masks, len(block.x)
        p = len(block.start) if many else 1
        growth, half_growth, outputs = np.zeros(width), np.zeros(width), np.zeros(width)
        half, late = epochs - epochs // 2, epochs - epochs // 4
        first = epochs - 1 - min(LONGEST_PERIOD, epochs // 2)
        sign = np.float64(state.signs[0])
        for c in range(0, len(status), width):
            for j in range(p):
                for i in range(width):
                    state.tangent[j, i], state.before[j, i] = 1.0, 0.0
                    state.reach[j, i] = reach[j] + abs(block.start[j, c + i])
            for i in range(width):
                growth[i] = outputs[i] = 0.0
                noted[EXPONENT, i] = noted[TOTAL, i] = 0.0
                noted[LOWEST, i], noted[HIGHEST, i] = np.inf, -np.inf
                state.period[i] = 0
            for k in range(len(state.due)):
                state.due[k] = 0
            for k in range(len(masks)):
                masks[k] = 0
            masks[OPEN] = every
            done, turned_early = 0, np.uint64(0)
            while done < epochs:
                if stop[0] != 0:
                    return
                if done == half:
                    _size(state, p, growth, half_growth)
                    masks[TURNED] = 0
                if done == late:
                    turned_early = masks[TURNED]
                    masks[TURNED] = 0
                end = min(done + STRETCH, epochs)
                for border in (half, late):
                    if done < border < end:
                        end = border
                walk(
                    cost, activation, kind, rule, state, block, c, limit, inverse_scale,
                    end - done, done - first,
                )  # fmt: skip
                for i in range(width):
                    growth[i] += noted[EXPONENT, i]
                    outputs[i] += noted[TOTAL, i]
                    noted[EXPONENT, i] = noted[TOTAL, i] = 0.0
                done = end
            turned_late = masks[TURNED] if late < epochs else np.uint64(0)
            _size(state, p, growth, growth)
            rests = at_rest(cost, activation, kind, state, block, c, inverse_scale, unit)
            same, later = masks[SAME], masks[SAME_LATER]
            for i in range(min(width, len(status) - c)):
                bit = one_bit << np.uint64(i)
                k, period, grown = c + i, state.period[i], growth[i] - half_growth[i]
                stalled = later & bit != 0 and grown < 0.0
                if period == 1:
                    settled = rests & bit != 0 or (stalled and turned_late & bit != 0)
                else:
                    settled = period > 0 and (same & bit != 0 or stalled)
                    settled = settled and not grown > GROWTH
                irregular = grown > GROWTH and turned_early & turned_late & bit != 0
                if settled:
                    path.outcome[k] = RESTS if period == 1 else CYCLE
                else:
                    path.outcome[k] = IRREGULAR if irregular else CREEPS
                path.period[k] = period if settled else 0
                path.lyapunov[k] = growth[i] / epochs
                path.stays[k] = masks[ABOVE] & bit == 0
                low, high = noted[LOWEST, i] / n, noted[HIGHEST, i] / n
                if not many and sign < 0.0:
                    low, high = -high, -low
                path.lowest[k], path.highest[k] = target + low, target + high
                mean = outputs[i] / (np.float64(n) * epochs)
                path.mean_output[k] = target + (mean if many else sign * mean)
                if status[k] == NON_FINITE:
                    path.outcome[k], path.period[k], path.stays[k] = NONE, 0, False
                    path.lyapunov[k] = path.mean_output[k] = np.nan
                    path.lowest[k] = path.highest[k] = np.nan

    return follow


def follower(
    problem: Problem, features: NDArray[Any], signs: NDArray[np.float64], limit: Any
) -> Callable[[FollowResult, Block, str, NDArray[np.uint8]], None]:
    """Return a function (out, block, kind, stop) that follows a block that was trained.

    features : (n, p) array
        As the block has them.
    signs : (n,) array
        −1 for samples whose target is mirrored.
    limit : float
        What the criterion is compared with.
    """
    n, p = features.shape
    dtype, exp2_scale = features.dtype.name, problem.act.exp2_scale
    number = features.dtype.type
    if n == 1:
        reach = np.array([exp2_scale], dtype)
    else:
        largest = np.maximum(abs(features).max(axis=0), np.finfo(dtype).tiny)
        reach = (exp2_scale / largest).astype(dtype)
    # By fsum: the order of NumPy's sums depends on the CPU.
    target, idle = math.fsum(problem.y) / n, list[Walk]()

    def follow(out: FollowResult, block: Block, kind: str, stop: NDArray[np.uint8]) -> None:
        kind = "many" if kind == "two" else kind
        compiled_follow = compile_following(
            problem.cost, problem.activation, kind, dtype, problem.rule
        )
        state = idle.pop() if idle else empty_walk(p, dtype, signs)
        path = Path(*(getattr(out, name) for name in Path._fields))
        compiled_follow(
            block, state, out.status, limit, reach, target, number(1.0 / exp2_scale),
            problem.follow, path, stop,
        )  # fmt: skip
        idle.append(state)

    return follow


def never_rises_up_to(problem: Problem) -> float:
    """Return a learning rate up to which the cost cannot rise in any epoch.

    C(θ − ηg) ≤ C(θ) − η(1 − ηL/2)|g|², with L no less than the curvature of C anywhere (Nesterov,
    *Introductory Lectures on Convex Optimization*, 2004, section 1.2.3): not if ηL ≤ 2. L is at
    most the mean of (|x|² + 1) sup δ' over the samples. 0 with many different targets.
    """
    targets, which = np.unique(problem.y, return_inverse=True)
    if len(targets) > MOST_TARGETS:
        return 0.0
    slopes = [steepest(replace(problem, y=targets[k : k + 1])) for k in range(len(targets))]
    lengths = (problem.x**2).sum(axis=1) + 1.0
    return 2.0 / float(np.mean(lengths * np.array(slopes)[which]))
