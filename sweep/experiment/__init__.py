"""The spec of a sweep, and the grid of its cells, cut into parts."""
