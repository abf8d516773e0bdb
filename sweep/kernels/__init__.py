"""Very many neurons at once: the hot loop in SIMD lanes, `sweep.train`, the orbit."""
