"""The command line: thin shells around the rooms below, one module for each command that is more than a call.

Loading what commands need takes long enough to be interrupted, so nothing is imported before Ctrl-C is provided for.
"""

import signal

__all__ = ["main"]


def main() -> None:
    """Run the command line. A Ctrl-C while it is still loading ends it at once, without a traceback."""
    handler = signal.signal(signal.SIGINT, signal.SIG_DFL)
    from scanplane.cli import application  # noqa: PLC0415  # see the module's text

    signal.signal(signal.SIGINT, handler)
    application.main()
