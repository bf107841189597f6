"""Sources of events: deterministic, streaming and bounded in memory, in the order of their delivery."""
