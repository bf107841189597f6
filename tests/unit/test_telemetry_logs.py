import json
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from scanplane.telemetry.logs import (
    LogStyle,
    TransitionLog,
    configure_logging,
    dropped_records_total,
    flush_logging,
    with_fields,
)
from scanplane.telemetry.redaction import register_secret


class LogFile:
    """Logging that goes into a file, read back after it was flushed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)

    def configure(self, level: str = "Info", style: LogStyle = LogStyle.JSON) -> None:
        configure_logging(level, style, descriptor=self.descriptor)

    def lines(self) -> list[str]:
        flush_logging()
        return self._path.read_text().splitlines()

    def records(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.lines()]


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[LogFile]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("aio_pika", "websockets", "redis")}
    file = LogFile(tmp_path / "log")
    yield file
    flush_logging()
    os.close(file.descriptor)
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(capture=False)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def test_a_json_line_has_time_level_logger_message_and_the_fields_given(log_file: LogFile) -> None:
    log_file.configure()
    log = with_fields(logging.getLogger("scanplane.listener"), role="listener", instance="listener-massive")
    log.warning("lost %d batches", 3, extra={"market": "us-stocks"})
    (record,) = log_file.records()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(record.pop("timestamp")))
    assert record == {
        "level": "warning",
        "logger": "scanplane.listener",
        "message": "lost 3 batches",
        "role": "listener",
        "instance": "listener-massive",
        "market": "us-stocks",
    }


def test_a_terminal_line_says_the_same_message_with_its_instance_and_fields(log_file: LogFile) -> None:
    log_file.configure(style=LogStyle.TERMINAL)
    with_fields(logging.getLogger("scanplane.x"), instance="gateway").info("client %s left", 7, extra={"market": "m"})
    (line,) = log_file.lines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} INFO    gateway client 7 left market=m", line)


def test_output_that_is_no_terminal_is_json_by_itself(log_file: LogFile) -> None:
    log_file.configure(style=LogStyle.AUTO)
    logging.getLogger("scanplane").info("hello")
    assert log_file.records()[0]["message"] == "hello"


@pytest.mark.parametrize("style", [LogStyle.JSON, LogStyle.TERMINAL])
def test_secrets_are_hidden_in_message_arguments_fields_and_tracebacks(log_file: LogFile, style: LogStyle) -> None:
    register_secret('s3cr"et-value')
    log_file.configure(style=style)
    log = logging.getLogger("scanplane")
    log.info('message s3cr"et-value and argument %s', 's3cr"et-value', extra={"url": 'redis://:s3cr"et-value@cache'})
    try:
        raise ValueError('login with s3cr"et-value refused')  # noqa: TRY301  # the traceback is what is tested
    except ValueError:
        log.exception("failed")
    text = "\n".join(log_file.lines())
    assert "et-value" not in text
    assert text.count("***") >= 4


def test_records_below_the_level_and_the_noise_of_libraries_are_left_out(log_file: LogFile) -> None:
    log_file.configure("Debug")
    logging.getLogger("scanplane").debug("ours")
    logging.getLogger("aio_pika.robust_connection").error("theirs")
    logging.getLogger("websockets.server").info("theirs")
    assert [record["message"] for record in log_file.records()] == ["ours"]


def test_an_unknown_level_is_refused_with_what_to_write_instead() -> None:
    with pytest.raises(ValueError, match="unknown log level 'Loud': use Debug, Info, Warning or Error"):
        configure_logging("Loud")


def test_a_record_that_cannot_be_formatted_does_not_stop_the_work(log_file: LogFile) -> None:
    log_file.configure()
    logging.getLogger("scanplane").info("%d items", "no number")
    logging.getLogger("scanplane").info("next")
    messages = [record["message"] for record in log_file.records()]
    assert messages == ["log record of scanplane can't be formatted", "next"]


def test_a_pipe_that_nobody_reads_drops_records_and_says_how_many_once_it_is_read(log_file: LogFile) -> None:
    del log_file  # restores what this test changes
    reading, writing = os.pipe()
    configure_logging("Info", LogStyle.JSON, descriptor=writing, max_waiting=10)
    log = logging.getLogger("scanplane")
    for _ in range(200):
        log.info("x" * 2000)
    dropped = dropped_records_total()
    assert dropped > 100
    text, told = b"", 0
    while told < dropped:  # in one line or in several, as the writer gets its turns
        text += os.read(reading, 65536)
        told = sum(int(count) for count in re.findall(rb"(\d+) log records dropped", text))
    assert told == dropped
    flush_logging()
    os.close(reading)
    os.close(writing)


def test_a_reader_that_went_away_stops_nothing_and_is_counted(log_file: LogFile) -> None:
    del log_file  # restores what this test changes
    reading, writing = os.pipe()
    os.close(reading)
    configure_logging("Info", LogStyle.JSON, descriptor=writing)
    log = logging.getLogger("scanplane")
    for _ in range(5):
        log.info("into the void")
    assert flush_logging() is False
    os.close(writing)


def test_a_transition_is_logged_when_the_state_changes_with_the_number_of_repeats(log_file: LogFile) -> None:
    log_file.configure()
    transitions = TransitionLog(logging.getLogger("scanplane"))
    for _ in range(4):
        transitions.report("broker", "away", logging.WARNING, "broker is away")
    transitions.report("cache", "away", logging.WARNING, "cache is away")
    assert transitions.report("broker", "there", logging.INFO, "broker is there")
    found = [(record["message"], record.get("repeats")) for record in log_file.records()]
    assert found == [("broker is away", None), ("cache is away", None), ("broker is there", 3)]


def test_a_forgotten_subject_is_logged_again(log_file: LogFile) -> None:
    log_file.configure()
    transitions = TransitionLog(logging.getLogger("scanplane"))
    transitions.report("broker", "away", logging.WARNING, "broker is away")
    transitions.forget("broker")
    transitions.report("broker", "away", logging.WARNING, "broker is away")
    assert len(log_file.records()) == 2


def test_fields_are_added_to_fields(log_file: LogFile) -> None:
    log_file.configure()
    outer = with_fields(logging.getLogger("scanplane"), role="listener", feed="massive")
    with_fields(outer, market="us").info("both", extra={"feed": "replay"})
    (record,) = log_file.records()
    assert (record["role"], record["feed"], record["market"]) == ("listener", "replay", "us")
