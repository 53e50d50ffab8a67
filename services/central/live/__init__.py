"""Live rates: what passes each interface now, in memory, rebuilt from the log after a start."""
