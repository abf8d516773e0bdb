"""Longer measurements: differences between the two methods, scaling on Dask, cost of storing."""
