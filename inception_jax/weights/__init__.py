"""Importers of weights, one a source format."""
