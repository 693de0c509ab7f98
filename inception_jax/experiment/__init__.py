"""A config made real."""
