"""What every room stands on: processes, signals, errors, the log, files."""
