"""Section 9: would another optimiser have repaired it? Momentum and Adam beside the cost."""

from __future__ import annotations

from math import e
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import sweep
from sweep.article.content import RATE, CaptionedFigure, Claim, Section, Table, claim, number
from sweep.article.many_starts_figures import draw_optimizers
from sweep.experiment.labels import cost_name, option_name

__all__ = ["other_optimizers"]

STARTS = (1.5, 4.0, 8.0, 12.0)
MAX_EPOCHS = 1_000_000


class Run(NamedTuple):
    """What is trained, and the epochs that it needs from z₀ = 1.5, 4, 8 and 12."""

    cost: str
    optimizer: str
    expected: tuple[int, ...]


RUNS = (
    Run("quadratic", "gd", (273, 469, 10_265, 542_887)),
    Run("quadratic", "momentum", (19, 50, 1_065, 54_364)),
    Run("quadratic", "adam", (14, 21, 33, 44)),
    Run("cross_entropy", "gd", (41, 50, 63, 77)),
    Run("cross_entropy", "momentum", (7, 8, 10, 12)),
    Run("cross_entropy", "adam", (14, 24, 38, 52)),
)


def epochs(cost: str, optimizer: str | sweep.Optimizer, z0: Any) -> NDArray[np.float64]:
    """Return the epochs from w = b = z₀/2 to an output of 0.1; infinite beyond MAX_EPOCHS."""
    z0 = np.asarray(z0, np.float64)
    trained = sweep.train(
        z0 / 2, z0 / 2, learning_rate=RATE, cost=cost, x=1.0, y=0.0, tolerance=0.1,
        max_epochs=MAX_EPOCHS, optimizer=optimizer,
    )  # fmt: skip
    return np.where(trained.status == sweep.Status.converged, trained.epochs, np.inf)


def other_optimizers() -> Section:
    """Section 9: momentum shortens the plateau, Adam takes it away, as far as its ε allows."""
    found = {(run.cost, run.optimizer): epochs(run.cost, run.optimizer, STARTS) for run in RUNS}
    z = np.arange(1.0, 30.25, 0.25)
    curves = {key: epochs(*key, z) for key in found}
    claims = [
        claim(
            f"{option_name(run.optimizer).capitalize()}, {cost_name(run.cost)}: epochs from "
            f"z₀ = {', '.join(map(number, STARTS))}",
            _listed(run.expected), _listed(found[run.cost, run.optimizer]),
            found[run.cost, run.optimizer].tolist() == [*run.expected],
        )
        for run in RUNS
    ]  # fmt: skip
    claims += _of_momentum(found) + _of_adam(curves, z)
    slow, momentum, adam = (found["quadratic", name][-1] for name in ("gd", "momentum", "adam"))
    repaired, both = (found["cross_entropy", name][-1] for name in ("gd", "momentum"))
    back = z[curves["quadratic", "adam"] > curves["cross_entropy", "gd"]].min()
    text = (
        "Whoever reads this today asks whether a better optimiser would not have done. One "
        f"sample, both costs, η = {RATE:g} for all: epochs until the output is 0.1, from "
        "w = b = z₀/2."
    )
    verdict = (
        "Momentum does not repair it. It adds up a gradient that hardly changes to 1/(1 − β) = 10 "
        f"times itself, so that the plateau is ten times shorter, {number(momentum)} epochs "
        f"in place of {number(slow)} from z₀ = 12, and as exponential as before. With "
        f"cross-entropy, which has no plateau, it needs {number(both)}. Adam does repair it: it "
        "divides the gradient by its own size, so that z moves by 2η in every epoch, however flat "
        f"the cost is. From z₀ = 12 it needs {number(adam)} epochs with the quadratic cost, fewer "
        f"than gradient descent with cross-entropy ({number(repaired)}); and with Adam the cost "
        "hardly matters any more. But what is divided is the gradient's size plus ε = 10⁻⁸. Where "
        f"the gradient e^(−z₀) is far below that, Adam too stands still for a time that grows with "
        f"e^(z₀): from z₀ = {back:.0f} on it is slower than gradient descent with "
        "cross-entropy. A cost that matches the activation has no such limit."
    )
    head = ["cost, optimiser", *(f"z₀ = {number(start)}" for start in STARTS)]
    rows = [
        [f"{cost_name(cost)}, {option_name(name)}", *map(number, each)]
        for (cost, name), each in found.items()
    ]
    picture = CaptionedFigure(
        "optimizers", draw_optimizers(z, curves),
        "Epochs to an output of 0.1 against the start z₀: momentum moves the quadratic cost's "
        f"plateau down by a factor of ten, Adam takes it away up to z₀ = {back:.0f}, and "
        "cross-entropy has none.",
    )  # fmt: skip
    return Section("Or the optimiser?", [text, Table(head, rows), verdict, picture], claims)


def _listed(values: Any) -> str:
    return ", ".join(number(float(value)) for value in values)


def _of_momentum(found: dict[tuple[str, str], NDArray[np.float64]]) -> list[Claim]:
    shorter = found["quadratic", "gd"][-1] / found["quadratic", "momentum"][-1]
    half = sweep.Optimizer("momentum", beta=0.5)
    twice = found["quadratic", "gd"][-1] / epochs("quadratic", half, STARTS)[-1]
    last, further = epochs("quadratic", "momentum", [11.0, 12.0])
    return [
        claim(
            "Momentum divides the quadratic cost's plateau by 1/(1 − β), for β = 0.9 and 0.5",
            "10 and 2", f"{shorter:.3f} and {twice:.4f}",
            abs(shorter / 10 - 1) < 0.01 and abs(twice / 2 - 1) < 0.01,
        ),
        claim(
            "And leaves it exponential: from z₀ = 12 it takes e times the epochs from z₀ = 11",
            f"{e:.3f}", f"{further / last:.3f}", abs(further / last / e - 1) < 0.01,
        ),
    ]  # fmt: skip


def _of_adam(curves: dict[tuple[str, str], NDArray[np.float64]], z: NDArray[Any]) -> list[Claim]:
    adam, entropy = curves["quadratic", "adam"], curves["cross_entropy", "gd"]
    near = z <= 16
    moved = sweep.trace(
        6.0, 6.0, learning_rate=RATE, cost="quadratic", x=1.0, y=0.0, epochs=20, optimizer="adam"
    )
    steps = -np.diff(moved.w + moved.b)
    beside = adam[near] / curves["cross_entropy", "adam"][near]
    growth = epochs("quadratic", "adam", [29.0, 30.0])
    return [
        claim(
            "Adam from z₀ = 12: each of the first 20 epochs moves z by 2η, within a twentieth",
            f"{2 * RATE:g}", f"{steps.min():.3f} to {steps.max():.3f}",
            np.abs(steps / (2 * RATE) - 1).max() < 0.05,
        ),
        claim(
            "Adam with the quadratic cost needs fewer epochs than gradient descent with "
            "cross-entropy, from z₀ = 1 to 16",
            "fewer", f"at most {(adam[near] / entropy[near]).max():.2f} times as many",
            (adam[near] < entropy[near]).all(),
        ),
        claim(
            "With Adam the costs differ by a quarter at most, from z₀ = 1 to 16",
            "0.75 to 1.25", f"{beside.min():.2f} to {beside.max():.2f}",
            beside.min() > 0.75 and beside.max() < 1.25,
        ),
        claim(
            "Where the gradient is far below ε Adam's plateau is exponential: from z₀ = 30 it "
            "takes e times the epochs from z₀ = 29",
            f"{e:.3f}", f"{growth[1] / growth[0]:.3f}", abs(growth[1] / growth[0] / e - 1) < 0.01,
        ),
    ]  # fmt: skip
