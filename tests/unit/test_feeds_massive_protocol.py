"""The provider's conversation, without a socket."""

import json

import pytest

from scanplane.feeds.interface import ConnectionPhase
from scanplane.feeds.massive.backoff import Backoff, BackoffTimes
from scanplane.feeds.massive.messages import StatusMessage
from scanplane.feeds.massive.protocol import Failure, FailureKind, MassiveSession, Step, one_line, statuses_in

KEY = "secret-key"
TOPICS = ("A.*", "T.AAPL")

CONNECTED = StatusMessage(status="connected", message="Connected Successfully")
AUTHENTICATED = StatusMessage(status="auth_success", message="authenticated")
LIMIT = StatusMessage(status="max_connections", message="Maximum number of websocket connections exceeded.")
AUTHENTICATE = json.dumps({"action": "auth", "params": KEY}, separators=(",", ":"))
SUBSCRIBE = '{"action":"subscribe","params":"A.*,T.AAPL"}'


def acknowledged(topics: str) -> StatusMessage:
    return StatusMessage(status="success", message=f"subscribed to: {topics}")


def session_after(*statuses: StatusMessage, topics: tuple[str, ...] = TOPICS) -> MassiveSession:
    session = MassiveSession(KEY, topics)
    for status in statuses:
        session.receive([status])
    return session


SUBSCRIBED = (CONNECTED, AUTHENTICATED)
STREAMING = (*SUBSCRIBED, acknowledged("A.*"), acknowledged("T.AAPL"))


def test_a_conversation_that_goes_well_ends_in_streaming() -> None:
    session = MassiveSession(KEY, TOPICS)
    assert session.phase is ConnectionPhase.CONNECTING
    assert session.receive([CONNECTED]) == Step((AUTHENTICATE,))
    assert session.phase is ConnectionPhase.AUTHENTICATING
    assert session.receive([AUTHENTICATED]) == Step((SUBSCRIBE,))
    assert session.phase is ConnectionPhase.SUBSCRIBING
    assert session.receive([acknowledged("A.*")]) == Step()
    assert session.phase is ConnectionPhase.SUBSCRIBING
    assert session.receive([acknowledged("T.AAPL")]) == Step()
    assert session.phase is ConnectionPhase.STREAMING
    assert session.unacknowledged == ()


def test_statuses_may_come_in_one_frame() -> None:
    session = MassiveSession(KEY, TOPICS)
    assert session.receive([CONNECTED, AUTHENTICATED]) == Step((AUTHENTICATE, SUBSCRIBE))


def test_repeated_greetings_are_answered_once() -> None:
    session = session_after(*SUBSCRIBED)
    assert session.receive([CONNECTED, AUTHENTICATED, CONNECTED]) == Step()


def test_an_authentication_that_was_not_asked_for_is_not_believed() -> None:
    session = MassiveSession(KEY, TOPICS)
    assert session.receive([AUTHENTICATED]) == Step()
    assert session.phase is ConnectionPhase.CONNECTING


@pytest.mark.parametrize("before", [(), (CONNECTED,), SUBSCRIBED, STREAMING])
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("auth_failed", FailureKind.AUTHENTICATION),
        ("auth_timeout", FailureKind.HANDSHAKE_TIMEOUT),
        ("max_connections", FailureKind.CONNECTION_LIMIT),
    ],
)
def test_a_failure_is_one_in_every_phase(before: tuple[StatusMessage, ...], status: str, kind: FailureKind) -> None:
    step = session_after(*before).receive([StatusMessage(status=status, message="because")])
    assert step.failure == Failure(kind, f"the provider said {status}: because")


def test_after_a_failure_nothing_more_is_said() -> None:
    step = session_after(CONNECTED).receive([LIMIT, AUTHENTICATED])
    assert step.send == ()
    assert step.failure is not None


def test_many_topics_go_out_in_several_messages_and_each_answer_counts() -> None:
    topics = tuple(f"T.SYMBOL{number}" for number in range(3000))
    session = session_after(CONNECTED, topics=topics)
    messages = session.receive([AUTHENTICATED]).send
    assert len(messages) > 1
    assert all(len(message) < 8300 for message in messages)
    assert ",".join(json.loads(message)["params"] for message in messages) == ",".join(topics)
    session.receive([acknowledged(topic) for topic in topics[:-1]])
    assert session.phase is ConnectionPhase.SUBSCRIBING
    session.receive([acknowledged(topics[-1])])
    assert session.phase is ConnectionPhase.STREAMING


def test_topics_without_an_answer_are_named_when_the_wait_is_over_and_not_before() -> None:
    session = session_after(*SUBSCRIBED, acknowledged("A.*"))
    assert session.unacknowledged == ()
    assert session.expire() == Step()
    assert session.phase is ConnectionPhase.STREAMING
    assert session.unacknowledged == ("T.AAPL",)


def test_a_late_answer_still_counts() -> None:
    session = session_after(*SUBSCRIBED)
    session.expire()
    session.receive([acknowledged("T.AAPL,A.*")])
    assert session.unacknowledged == ()


@pytest.mark.parametrize("message", ["unsubscribed to: A.*", "A.*", "", "subscribed to:", "subscribed to: B.*"])
def test_what_is_no_answer_to_a_topic_acknowledges_nothing(message: str) -> None:
    session = session_after(*SUBSCRIBED, StatusMessage(status="success", message=message))
    session.expire()
    assert session.unacknowledged == TOPICS


def test_a_currency_pair_may_be_acknowledged_with_a_slash() -> None:
    session = session_after(*SUBSCRIBED, acknowledged("C.USD/CNH"), topics=("C.USD-CNH",))
    assert session.phase is ConnectionPhase.STREAMING


def test_a_connection_without_topics_streams_at_once() -> None:
    session = session_after(*SUBSCRIBED, topics=())
    assert session.phase is ConnectionPhase.STREAMING


@pytest.mark.parametrize(
    ("before", "detail"),
    [
        ((), "the provider is silent: it did not greet"),
        ((CONNECTED,), "the provider is silent: it did not answer to the API key"),
    ],
)
def test_a_silent_provider_is_a_failure_before_and_during_authentication(
    before: tuple[StatusMessage, ...], detail: str
) -> None:
    assert session_after(*before).expire() == Step(failure=Failure(FailureKind.HANDSHAKE_TIMEOUT, detail))


def test_a_refused_topic_is_a_notice_and_not_the_end() -> None:
    session = session_after(*SUBSCRIBED)
    assert session.receive([StatusMessage(status="error", message="not authorized")]) == Step()
    assert session.notice == "the provider said error: not authorized"


def test_the_key_never_comes_back_in_a_text() -> None:
    step = session_after(CONNECTED).receive([StatusMessage(status="auth_failed", message=f"bad key {KEY}")])
    assert step.failure is not None
    assert step.failure.detail == "the provider said auth_failed: bad key ***"
    session = session_after(*SUBSCRIBED, StatusMessage(status=KEY, message=KEY))
    assert KEY not in session.notice


def test_a_foreign_text_becomes_one_short_line() -> None:
    assert one_line("a\r\n\tb\x1b[31m\u202ec", "") == "a b [31m c"
    assert len(one_line("x" * 10_000, "")) == 200


@pytest.mark.parametrize(
    ("frame", "statuses", "mixed"),
    [
        (
            b'[{"ev":"status","status":"connected","message":"m"}]',
            [StatusMessage(status="connected", message="m")],
            False,
        ),
        (b'{"ev":"status","status":"success"}', [StatusMessage(status="success")], False),
        (b'[{"ev":"status","status":"success"},{"ev":"T"}]', [StatusMessage(status="success")], True),
        (b'[{"ev":"status","status":5,"message":[]}]', [StatusMessage()], False),
        (b'[{"ev":"T","sym":"status"}]', [], True),
        (b'[7,"status",null]', [], True),
        (b"[]", [], False),
        (b'["status', [], True),
        (b"\xffstatus", [], True),
        (b"[" * 100_000 + b"status", [], True),
    ],
)
def test_statuses_are_found_beside_data_and_garbage(
    frame: bytes, statuses: list[StatusMessage], *, mixed: bool
) -> None:
    assert statuses_in(frame) == (statuses, mixed)


TIMES = BackoffTimes()


def waits(random: float, *failures: tuple[FailureKind, float]) -> list[float]:
    backoff = Backoff(TIMES, lambda: random)
    return [backoff.wait_after(kind, lived_s) for kind, lived_s in failures]


def test_losses_in_a_row_double_the_wait_up_to_a_bound() -> None:
    lost = [(FailureKind.LOST, 0.0)] * 9
    assert waits(1.0, *lost) == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    assert waits(0.0, *lost)[:3] == [0.25, 0.5, 1.0]


def test_a_long_time_of_losses_does_not_overflow() -> None:
    assert waits(1.0, *[(FailureKind.LOST, 0.0)] * 5000)[-1] == 30.0


def test_only_a_connection_that_lived_ten_seconds_starts_the_steps_anew() -> None:
    lost, lived, nearly = (FailureKind.LOST, 0.0), (FailureKind.LOST, 10.0), (FailureKind.LOST, 9.9)
    assert waits(1.0, lost, lost, nearly, lived, lost) == [0.5, 1.0, 2.0, 0.5, 1.0]


@pytest.mark.parametrize("random", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("lived_s", [0.0, 9.0, 3600.0])
def test_too_many_connections_cool_down_for_a_minute_at_least_however_long_the_life(
    random: float, lived_s: float
) -> None:
    (wait,) = waits(random, (FailureKind.CONNECTION_LIMIT, lived_s))
    assert 60.0 <= wait <= 75.0


def test_a_refused_key_is_tried_again_rarely_but_for_ever() -> None:
    assert waits(1.0, *[(FailureKind.AUTHENTICATION, 0.1)] * 6) == [60.0, 120.0, 240.0, 480.0, 900.0, 900.0]
