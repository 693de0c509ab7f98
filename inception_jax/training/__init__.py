"""Optimisation: losses, updates, averages, the compiled step and the loop."""
