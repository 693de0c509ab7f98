"""Exporters of weights, one a target format."""
