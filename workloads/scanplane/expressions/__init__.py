"""Scanner expressions: CEL, type-checked against the feature catalogue and compiled to NumPy."""
