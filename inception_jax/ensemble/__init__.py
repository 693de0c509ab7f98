"""Several runs: trained together, and their predictions averaged."""
