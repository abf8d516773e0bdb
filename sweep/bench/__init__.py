"""Speed and truth, measured: benchmarks, and the hunt for a start that the orbit gets wrong."""
