"""The command line: thin shells around the rooms below, one module for each command that is more than a call."""

from scanplane.cli.application import main

__all__ = ["main"]
