"""The peers, one file each, written as an expert of each would; plus `sweep` itself.

Each has `missing()`, None or one line that says how to get it, and `trainer(work, threads)`, which
prepares a workload and returns a function (w, b) -> Stopped.

With one sample all but the obvious loop walk z alone: z falls by κ·δ(z), κ = η(|x|² + 1), and w and
b follow from its way. An epoch is a test and, if the error is above the tolerance, an update.
"""
