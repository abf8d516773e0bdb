"""Figures: functions of small tables that return Matplotlib figures."""
