"""PyTorch's own optimisers, fused or foreach, on a gradient that `torch.compile` fuses.

No neuron of these workloads converges, so none is tested.
"""

# torch's compiled functions are untyped
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from typing import Any

import numpy as np

from sweep.bench.peers.with_torch import missing
from sweep.bench.workloads import PeerResult, Trainer, Workload

__all__ = ["missing", "trainer"]


def trainer(work: Workload, threads: int, kind: str = "fused") -> Trainer:
    """Return a function that trains the neurons of a workload; kind is "fused" or "foreach"."""
    import torch

    x = work.x[0][0]

    def gradient(w, b):
        e = torch.exp(-(w * x + b))
        a = 1 / (1 + e)
        residual = a - work.y[0]
        delta = residual * e * a * a if work.cost == "quadratic" else residual
        return delta * x, delta

    torch.compiler.reset()
    compiled: Any = torch.compile(gradient, dynamic=False)

    def optimizer(parameters: list[Any]) -> Any:
        options: dict[str, Any] = {"lr": work.learning_rate, kind: True}
        if work.optimizer == "adam":
            return torch.optim.Adam(parameters, **options)
        return torch.optim.SGD(
            parameters, momentum=0.9, nesterov=work.optimizer == "nesterov", **options
        )

    def run(w: Any, b: Any) -> PeerResult:
        # All neurons at once, on torch's threads: 288 million Adam epochs a second; in two blocks
        # on threads of ours 164, in eight 49.
        torch.set_num_threads(threads)
        theta = [torch.from_numpy(np.ascontiguousarray(values)).clone() for values in (w[:, 0], b)]
        step = optimizer(theta)
        for _ in range(work.max_epochs):
            theta[0].grad, theta[1].grad = compiled(*theta)
            step.step()
        epochs = np.full(len(b), work.max_epochs, np.int32)
        return PeerResult(epochs, theta[0].numpy()[:, None], theta[1].numpy())

    return run
