"""Reference data: previous closes, average volumes, volume curves and free floats, and where they are loaded from."""
