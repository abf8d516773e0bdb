"""Settings of all tests, and the 50-digit oracle."""

from __future__ import annotations

import pytest
from hypothesis import settings
from mpmath import mp, mpf

# The same examples on every machine: what is red here is red there.
settings.register_profile("sweep", derandomize=True, deadline=None)
settings.load_profile("sweep")


def exact_epochs(w, b, *, learning_rate, cost, activation, x, y, tolerance, max_epochs):
    """Train one neuron of one input in 50 digits with the textbook's formulas."""
    with mp.workdps(50):
        w, b, rate = mpf(w), mpf(b), mpf(learning_rate)
        xs, ys = [mpf(v) for v in x], [mpf(v) for v in y]
        for epoch in range(max_epochs + 1):
            grad_w = grad_b = error = mpf(0)
            for x_i, y_i in zip(xs, ys, strict=True):
                z = w * x_i + b
                if activation == "sigmoid":
                    a = 1 / (1 + mp.exp(-z))
                    slope = a * (1 - a)
                elif activation == "tanh":
                    a = mp.tanh(z)
                    slope = 1 - a**2
                else:
                    a = z / (1 + abs(z))
                    slope = (1 - abs(a)) ** 2
                delta = (a - y_i) * slope if cost == "quadratic" else a - y_i
                error += abs(a - y_i) / len(xs)
                grad_w += delta * x_i / len(xs)
                grad_b += delta / len(xs)
            if error <= tolerance:
                return epoch, float(error)
            if epoch < max_epochs:
                w -= rate * grad_w
                b -= rate * grad_b
        return max_epochs, float(error)


@pytest.fixture(scope="session")
def exact():
    return exact_epochs
