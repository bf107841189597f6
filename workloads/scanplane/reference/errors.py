"""What can be wrong with reference data."""

__all__ = ["ReferenceDataError", "ReferenceUnavailableError"]


class ReferenceDataError(Exception):
    """Reference data can't be loaded; one line: what, where, and what to write instead. Never holds a secret."""


class ReferenceUnavailableError(ReferenceDataError):
    """They can't be had now; to try again later may help."""
