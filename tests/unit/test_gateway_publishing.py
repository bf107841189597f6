"""How fresh a quote is: its age is its own, the label and the liveness are its market's."""

import time

import pytest

from scanplane.gateway.hub import Hub
from scanplane.gateway.publishing import Publisher
from scanplane.gateway.view import View
from scanplane.marketdata.results import QuoteRow
from scanplane.telemetry.latency import LatencyHistogram
from support.gateway import SECOND_NS, part_of
from support.traced import Traced

MINUTE_NS = 60 * SECOND_NS


def a_publisher(*, behind_ns: int, label: str = "") -> Publisher:
    """A publisher of a market whose newest board was received and evaluated just now, at a tick *behind_ns* ago."""
    view, now_ns = View(), time.time_ns()
    view.put_part(
        part_of(
            tick_ns=now_ns - behind_ns, received_ns=now_ns, evaluated_ns=now_ns, data_label=label, market="us-stocks"
        )
    )
    latency = LatencyHistogram("receipt_to_gateway", "")
    publisher = Publisher(
        view, Hub(lambda: 0), max_updates_per_second=4.0, receipt_to_gateway=latency, traces=Traced().traces
    )
    publisher.problem = ""
    return publisher


def a_quote(*, age_ns: int) -> QuoteRow:
    return QuoteRow("us-stocks", "AAPL", time.time_ns() - age_ns, {"price": 1.5})


@pytest.mark.parametrize("minutes", [0.5, 30, 400, 100_000])
@pytest.mark.parametrize(
    ("behind_ns", "label", "delay"),
    [
        (SECOND_NS // 10, "", ""),
        (15 * MINUTE_NS, "", "15 min delayed"),
        (15 * MINUTE_NS, "delayed by the exchange", "delayed by the exchange"),
    ],
)
def test_a_symbol_that_does_not_trade_is_as_live_as_its_market(
    minutes: float, behind_ns: int, label: str, delay: str
) -> None:
    age_ns = behind_ns + round(minutes * MINUTE_NS)
    quote = a_quote(age_ns=age_ns)
    fresh = a_publisher(behind_ns=behind_ns, label=label).judge_quote(quote)
    assert (fresh.delay, fresh.live, fresh.stale) == (delay, True, False)
    assert (fresh.tick_ns, fresh.age_seconds) == (quote.tick_ns, pytest.approx(age_ns / SECOND_NS, abs=5.0))


def test_a_quote_of_a_recorded_session_has_no_age_however_new_it_is_there() -> None:
    fresh = a_publisher(behind_ns=3650 * 24 * 60 * MINUTE_NS).judge_quote(a_quote(age_ns=3650 * 24 * 60 * MINUTE_NS))
    assert fresh.delay.startswith("recorded session of ")
    assert (fresh.live, fresh.age_seconds) == (False, None)
