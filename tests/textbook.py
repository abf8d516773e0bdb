"""The textbook's formulas in mpmath's arithmetic: what tests hold costs and activations against."""

from mpmath import mp, mpf

# a from z, and da/dz from a.
EXACT_ACTIVATIONS = {
    "sigmoid": (lambda z: 1 / (1 + mp.exp(-z)), lambda a: a * (1 - a)),
    "tanh": (mp.tanh, lambda a: 1 - a**2),
    "softsign": (lambda z: z / (1 + abs(z)), lambda a: (1 - abs(a)) ** 2),
}


def cross_entropy(a, y):
    return -sum(p * mp.log(q) for p, q in ((y, a), (1 - y, 1 - a)) if p != 0)


# C from a and y, and δ = ∂C/∂z from a − y and da/dz.
EXACT_COSTS = {
    "quadratic": (lambda a, y: (a - y) ** 2 / 2, lambda residual, slope: residual * slope),
    "cross_entropy": (cross_entropy, lambda residual, slope: residual),
    "tanh_cross_entropy": (
        lambda a, y: cross_entropy((1 + a) / 2, (1 + y) / 2),
        lambda residual, slope: residual,
    ),
    "softsign_matching": (
        lambda a, y: (abs(a) - a * y) / (1 - abs(a)) + mp.log(1 - abs(a)),
        lambda residual, slope: residual,
    ),
}


def exact_epochs(w, b, *, learning_rate, cost, activation, x, y, tolerance, max_epochs):
    """Train one neuron of one input in 50 digits; return its epochs and its error at the stop."""
    value, slope = EXACT_ACTIVATIONS[activation]
    _, delta = EXACT_COSTS[cost]
    with mp.workdps(50):
        w, b, rate = mpf(w), mpf(b), mpf(learning_rate)
        xs, ys = [mpf(v) for v in x], [mpf(v) for v in y]
        for epoch in range(max_epochs + 1):
            grad_w = grad_b = error = mpf(0)
            for x_i, y_i in zip(xs, ys, strict=True):
                a = value(w * x_i + b)
                d = delta(a - y_i, slope(a))
                error += abs(a - y_i) / len(xs)
                grad_w += d * x_i / len(xs)
                grad_b += d / len(xs)
            if error <= tolerance:
                return epoch, float(error)
            if epoch < max_epochs:
                w -= rate * grad_w
                b -= rate * grad_b
        return max_epochs, float(error)
