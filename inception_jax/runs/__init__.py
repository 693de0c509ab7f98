"""The run directory: what is saved, and how a run resumes."""
