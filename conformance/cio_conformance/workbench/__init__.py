"""What maps and encodes in this process: direct mode, coverage, mutation and golden editing."""
