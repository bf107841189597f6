"""The feature catalogue: what a scanner may ask about a symbol."""
