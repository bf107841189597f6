"""How a log record becomes a line: JSON for machines, coloured text for people, the same message in both.

Both free the finished line from secrets; nothing that is registered as one leaves here.
"""

import logging
import traceback
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from scanplane.telemetry.redaction import redact

__all__ = ["JsonLines", "TerminalLines"]

_COLORS = {"DEBUG": "\x1b[2m", "INFO": "\x1b[36m", "WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[1;31m"}
_DIM, _RESET = "\x1b[2m", "\x1b[0m"

_STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
_SHOWN_FIRST = ("role", "instance", "feed", "market")


class JsonLines(JsonFormatter):
    """One JSON object a line: timestamp (UTC, ms), level, logger, message, then the record's own fields."""

    def __init__(self) -> None:
        super().__init__(
            "%(timestamp)s %(levelname)s %(name)s %(message)s",
            rename_fields={"levelname": "level", "name": "logger", "exc_info": "exception", "stack_info": "stack"},
            reserved_attrs=sorted(_STANDARD_FIELDS),
            json_ensure_ascii=False,
        )

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """Add the timestamp and the level's name to the record's own fields."""
        super().add_fields(log_data, record, message_dict)
        log_data["timestamp"] = _timestamp(record)
        log_data["level"] = record.levelname.lower()

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without secrets and without its end."""
        return redact(super().format(record))


class TerminalLines(logging.Formatter):
    """``12:00:01.123 INFO  listener-massive  message  market=us-stocks``; times in the reader's own zone."""

    def __init__(self, *, colored: bool) -> None:
        super().__init__()
        self._colored = colored

    def _paint(self, color: str, text: str) -> str:
        return f"{color}{text}{_RESET}" if self._colored and text else text

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without secrets and without its end."""
        moment = datetime.fromtimestamp(record.created, tz=UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
        fields = _fields_of(record)
        instance = fields.pop("instance", None)
        fields.pop("role", None)
        name = str(instance) if instance is not None else record.name.removeprefix("scanplane.")
        extras = " ".join(f"{key}={value}" for key, value in fields.items())
        parts = [
            self._paint(_DIM, moment),
            self._paint(_COLORS.get(record.levelname, ""), f"{record.levelname:<7}"),
            self._paint("\x1b[1m", name),
            record.getMessage(),
            self._paint(_DIM, extras),
        ]
        line = " ".join(part for part in parts if part)
        if record.exc_info:
            line += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        if record.stack_info:
            line += "\n" + record.stack_info
        return redact(line)


def _timestamp(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields given as ``extra``, the common ones first."""
    own = {key: value for key, value in vars(record).items() if key not in _STANDARD_FIELDS}
    first = {key: own.pop(key) for key in _SHOWN_FIRST if key in own}
    return first | own
