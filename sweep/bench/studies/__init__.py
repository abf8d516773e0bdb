"""Longer measurements: the hunt for a difference of the two methods, scaling, storing."""
