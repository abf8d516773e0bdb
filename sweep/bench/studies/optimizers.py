"""Whether momentum, Nesterov and Adam are those of `torch.optim`, on random neurons."""

# torch is untyped here
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sweep

__all__ = ["farthest"]

SHAPES = ((1, 1), (1, 3), (4, 1), (7, 2))  # samples, inputs
LARGEST = 1e-10


def _by_torch(
    w: NDArray[Any], b: NDArray[Any], x: NDArray[Any], y: NDArray[Any], cost: str, rate: float,
    optimizer: str, epochs: int,
) -> NDArray[np.float64]:  # fmt: skip
    """Return w and b (N, d + 1) after some epochs of torch.optim, with gradients by autograd."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    weights, biases = (torch.tensor(values, requires_grad=True) for values in (w, b))
    inputs, targets = torch.tensor(x), torch.tensor(y)
    if optimizer == "adam":
        step: Any = torch.optim.Adam([weights, biases], lr=rate)
    else:
        nesterov = optimizer == "nesterov"
        step = torch.optim.SGD([weights, biases], lr=rate, momentum=0.9, nesterov=nesterov)
    for _ in range(epochs):
        step.zero_grad()
        z = weights @ inputs.T + biases[:, None]
        if cost == "quadratic":
            costs = 0.5 * (torch.sigmoid(z) - targets) ** 2
        else:
            costs = binary_cross_entropy_with_logits(z, targets.expand(z.shape), reduction="none")
        costs.mean(dim=1).sum().backward()  # each neuron's cost moves that neuron alone
        step.step()
    found: NDArray[np.float64] = torch.column_stack([weights, biases]).detach().numpy()
    return found


def farthest(neurons: int, epochs: int, seed: int = 0) -> dict[str, float]:
    """Return the largest difference of w or b from torch's after some epochs, of each optimiser."""
    rng, found = np.random.default_rng(seed), dict.fromkeys(("momentum", "nesterov", "adam"), 0.0)
    for n, d in SHAPES:
        for cost in ("quadratic", "cross_entropy"):
            count = neurons // (2 * len(SHAPES))
            w, b = rng.normal(0, 2, (count, d)), rng.normal(0, 2, count)
            x, y = rng.normal(0, 1, (n, d)), rng.choice([0.0, 1.0], n)
            rate = float(rng.uniform(0.01, 0.1))
            for name in found:
                ours = sweep.train(
                    w, b, learning_rate=rate, cost=cost, x=x, y=y, optimizer=name,
                    tolerance=1e-300, max_epochs=epochs,
                )  # fmt: skip
                theirs = _by_torch(w, b, x, y, cost, rate, name, epochs)
                apart = np.abs(np.column_stack([ours.w, ours.b]) - theirs).max()
                found[name] = float(np.maximum(found[name], apart))  # NaN stays NaN
    return found


def main() -> int:
    """Compare from the command line; exit code 1 if one differs by more than 1e-10."""
    parser = argparse.ArgumentParser(prog="optimizers", description=__doc__)
    parser.add_argument("--neurons", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=300)
    arguments = parser.parse_args()
    found = farthest(arguments.neurons, arguments.epochs)
    for name, apart in found.items():
        print(f"{name}: w and b of {arguments.neurons:,} neurons after {arguments.epochs} epochs "
              f"differ from torch.optim's by at most {apart:.1e}")  # fmt: skip
    return int(not all(apart <= LARGEST for apart in found.values()))


if __name__ == "__main__":
    raise SystemExit(main())
