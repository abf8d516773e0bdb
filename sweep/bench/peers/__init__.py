"""The peers, one file each, written as an expert of each would; plus `sweep` itself.

Each has `missing()`, which returns None or how to install the peer, and `trainer(work, threads)`,
which prepares a workload and returns a function (w, b) -> PeerResult.

With one sample all but the plain Numba loop update z alone: z falls by κ·δ(z), κ = η(|x|² + 1), and
w and b follow from the total change of z. An epoch is a test and, if the error is above the
tolerance, an update.
"""
