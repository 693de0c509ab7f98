"""Figures of networks and of training."""
