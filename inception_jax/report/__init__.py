"""The report on evaluated runs: its contents, text and figures."""
