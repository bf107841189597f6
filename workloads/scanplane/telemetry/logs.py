"""Logs: one line per record, JSON for machines or coloured text for people, with the same messages.

Every record goes through :func:`configure_logging`'s single handler: it is formatted where it is logged (arguments
may change a moment later), freed from secrets, and written by a thread (:mod:`scanplane.telemetry.output`).
Formatting costs some 30 µs, so nothing is logged per event or batch: what repeats is logged when it *changes*,
through :class:`TransitionLog`, with the number of repeats.
"""

import atexit
import enum
import logging
import os
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

from scanplane.telemetry.lines import JsonLines, TerminalLines
from scanplane.telemetry.output import LineWriter
from scanplane.telemetry.redaction import redact

__all__ = [
    "FieldsAdapter",
    "LogStyle",
    "TransitionLog",
    "configure_logging",
    "dropped_records_total",
    "flush_logging",
    "with_fields",
]

_QUIET_LIBRARIES = {
    # What these say of a lost connection is said by our own transitions, once and with the name of the role.
    "aio_pika": logging.CRITICAL,
    "aiormq": logging.CRITICAL,
    "pamqp": logging.ERROR,
    "redis": logging.ERROR,
    "websockets": logging.ERROR,
    "uvicorn": logging.WARNING,
    "uvicorn.access": logging.ERROR,
    "urllib3": logging.ERROR,
    "httpx": logging.WARNING,
    # The exporters' failures are counted and told by telemetry.exports.
    "opentelemetry": logging.CRITICAL,
    "asyncio": logging.WARNING,
}


class LogStyle(enum.StrEnum):
    """How lines look; AUTO is text on a terminal and JSON elsewhere."""

    AUTO = "auto"
    JSON = "json"
    TERMINAL = "terminal"


class _WriterHandler(logging.Handler):
    """Formats where it is logged and lets a :class:`LineWriter` write."""

    def __init__(self, writer: LineWriter, formatter: logging.Formatter) -> None:
        super().__init__()
        self.writer = writer
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.writer.write(self.format(record))
        except Exception:  # noqa: BLE001  # logging's own rule: a record that can't be formatted must not stop the work
            self.writer.write(
                redact(f'{{"level":"error","message":"log record of {record.name} can\'t be formatted"}}')
            )


_handler: _WriterHandler | None = None


def configure_logging(
    level: str = "Info",
    style: LogStyle | str = LogStyle.AUTO,
    *,
    descriptor: int | None = None,
    max_waiting: int = 10_000,
) -> None:
    """Send all logging through one handler to standard error (or *descriptor*); called again, it replaces the first.

    *level* is a name in any case, such as the DataPlane's ``Info``. Colours are left out where ``NO_COLOR`` is set
    or the output is no terminal. Raises ValueError for an unknown level or style.
    """
    global _handler  # noqa: PLW0603  # the root logger is one per process, and so is its handler
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"unknown log level {level!r}: use Debug, Info, Warning or Error")
    target = sys.stderr.fileno() if descriptor is None else descriptor
    on_terminal = os.isatty(target)
    chosen = LogStyle(style)
    if chosen is LogStyle.AUTO:
        chosen = LogStyle.TERMINAL if on_terminal else LogStyle.JSON
    formatter: logging.Formatter = (
        JsonLines()
        if chosen is LogStyle.JSON
        else TerminalLines(colored=on_terminal and not os.environ.get("NO_COLOR"))
    )
    flush_logging()
    writer = LineWriter(target, lambda missed: formatter.format(_record_of_missed(missed)), max_waiting=max_waiting)
    _handler = _WriterHandler(writer, formatter)
    root = logging.getLogger()
    root.handlers[:] = [_handler]
    root.setLevel(number)
    logging.captureWarnings(capture=True)
    for library, quietest in _QUIET_LIBRARIES.items():
        logging.getLogger(library).setLevel(max(quietest, number))


def _record_of_missed(missed: int) -> logging.LogRecord:
    return logging.LogRecord(
        __name__,
        logging.WARNING,
        __file__,
        0,
        "%d log records dropped: whoever reads them is too slow",
        (missed,),
        None,
    )


def dropped_records_total() -> int:
    """Return how many records were dropped because the output was too slow."""
    return _handler.writer.dropped_total if _handler else 0


def flush_logging(timeout_seconds: float = 1.0) -> bool:
    """Write what waits and stop logging until it is configured again; return False if something was lost."""
    global _handler
    if _handler is None:
        return True
    handler, _handler = _handler, None
    logging.getLogger().removeHandler(handler)
    return handler.writer.close(timeout_seconds)


atexit.register(flush_logging)


class FieldsAdapter(logging.LoggerAdapter[logging.Logger]):
    """A logger whose records carry fixed fields; a call's own ``extra`` is added to them."""

    def __init__(self, logger: logging.Logger, fields: Mapping[str, object]) -> None:
        super().__init__(logger, dict(fields))

    def process(self, msg: object, kwargs: MutableMapping[str, Any]) -> tuple[object, MutableMapping[str, Any]]:
        """Add the fields to what one call gives; called by the base class."""
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs


def with_fields(logger: logging.Logger | FieldsAdapter, **fields: object) -> FieldsAdapter:
    """Return a logger that adds *fields* (role, instance, feed, market ...) to every record."""
    if isinstance(logger, FieldsAdapter):
        return FieldsAdapter(logger.logger, {**(logger.extra or {}), **fields})
    return FieldsAdapter(logger, fields)


class TransitionLog:
    """Logs a state when it changes, and how often it was reported unchanged in between.

    Made for what is tried again and again: a connection, an export, a refused write.
    """

    def __init__(self, logger: logging.Logger | FieldsAdapter) -> None:
        self._logger = logger
        self._states: dict[str, object] = {}
        self._repeats: dict[str, int] = {}

    def report(self, subject: str, state: object, level: int, message: str, *values: object) -> bool:
        """Log *message* if *subject* was last reported in another *state*; return whether it was logged.

        The first report of a subject is logged too.
        """
        if subject in self._states and self._states[subject] == state:
            self._repeats[subject] = self._repeats.get(subject, 0) + 1
            return False
        self._states[subject] = state
        repeats = self._repeats.pop(subject, 0)
        extra = {"repeats": repeats} if repeats else None
        self._logger.log(level, message, *values, extra=extra)
        return True

    def forget(self, subject: str) -> None:
        """Let the next report of *subject* be logged whatever it says."""
        self._states.pop(subject, None)
        self._repeats.pop(subject, None)
