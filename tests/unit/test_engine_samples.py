"""Samples of the past: the newest that is old enough is there, however quiet the market was."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanplane.engine.windows import PRICE_SAMPLES, SLOT_NS, VOLUME_SAMPLES, Samples
from scanplane.marketdata.batches import Tick
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.events import Trade
from support.engine_market import MINUTE_NS, SECOND_NS, an_engine, features, new_york, run

OPEN_NS = new_york("2026-03-10 09:30")


@settings(max_examples=60, deadline=None)
@given(
    gaps=st.lists(st.sampled_from([1, 4, 5, 6, 11, 60, 299, 305, 901, 4000]), min_size=1, max_size=400),
    ring=st.sampled_from([(PRICE_SAMPLES, 15), (VOLUME_SAMPLES, 5)]),
)
def test_a_ring_answers_as_if_it_had_kept_every_sample(gaps: list[int], ring: tuple[int, int]) -> None:
    places, longest = ring
    samples, kept = Samples(places), []
    tick_ns = OPEN_NS
    for gap in gaps:
        tick_ns += gap * SECOND_NS
        for minutes in (1, 5, 15):
            if minutes <= longest:
                expected = max((at for at in kept if at <= tick_ns - minutes * MINUTE_NS), default=None)
                found = samples.at_least(minutes * MINUTE_NS, tick_ns)
                assert (None if found is None else found.tick_ns) == expected
        assert samples.is_due(tick_ns) == (not kept or tick_ns // SLOT_NS > kept[-1] // SLOT_NS)
        if samples.is_due(tick_ns):
            samples.take(tick_ns, np.array([float(tick_ns)]))
            kept.append(tick_ns)


def test_a_sample_replaces_that_of_its_slot_and_one_older_than_all_is_left_out() -> None:
    samples = Samples(2)
    for second in (10, 20):
        samples.take(second * SECOND_NS, np.array([float(second)]))
    samples.take(21 * SECOND_NS, np.array([21.0]))
    samples.take(1 * SECOND_NS, np.array([1.0]))
    assert [sample.tick_ns // SECOND_NS for _, sample in samples.places() if sample is not None] == [10, 21]
    assert samples.changed == {0, 1}
    samples.clear()
    assert [sample for _, sample in samples.places()] == [None, None]
    assert samples.at_least(0, 10**18) is None


@pytest.mark.parametrize("pause_s", [310, 314, 1244, 3600])
def test_a_window_after_a_quiet_spell_reaches_back_to_the_last_sample_before_it(pause_s: int) -> None:
    engine = an_engine()
    steps: list[object] = []
    for second, size in ((0, 100.0), (7, 30.0), (pause_s, 5.0), (pause_s + 6, 1.0)):
        at_ns = OPEN_NS + second * SECOND_NS
        steps += [(Channel.TRADES, [Trade("BAC", at_ns, 10.0 + second / 1000, size)]), Tick(at_ns + SECOND_NS)]
    run(engine, steps)  # type: ignore[arg-type]  # pairs and ticks
    assert features(engine, "BAC")["volume_5m"] == 6.0
    assert features(engine, "BAC")["change_5m_percent"] == pytest.approx((pause_s + 6 - 7) / 1000 / 10.007 * 100)
