"""What can be wrong with reference data."""

__all__ = ["ReferenceDataError"]


class ReferenceDataError(Exception):
    """Reference data can't be loaded; one line: what, where, and what to write instead. Never holds a secret."""
