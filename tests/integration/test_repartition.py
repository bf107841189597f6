"""A market whose number of partitions changes in mid-session ends where one ends that was never touched."""

from collections.abc import Sequence

import msgspec
import pytest
import pytest_asyncio

from scanplane.simulator.sessions.choice import choose_session
from scanplane.simulator.settings import SimulatorSettings
from support.journeys import Results
from support.repartitioned import AHome, at_home, until
from support.resource_texts import a_board, a_signal, massive_feed, pipeline

EVENTS = 30_000
COLUMNS = ("price", "open", "high_of_day", "low_of_day", "vwap", "volume", "change_5m_percent", "volume_5m")
SCANNERS = (
    a_board("volume", "volume", COLUMNS),
    a_board("movers", "change_5m_percent", COLUMNS, where="volume > 1000.0", signal="change_5m_percent > 0.5"),
    a_signal("highs", "new_high_of_day", where="volume > 100000.0", cooldown="5m"),
    a_signal("cheap", "price < 20.0"),
)
SPEED = 8000.0
"""The day in seven seconds: time for every change to fall into the middle of it."""
SETTINGS = SimulatorSettings(speed=SPEED, frame_events=(1, 100), max_buffer_bytes=2**30)


def resources(url: str, partitions: int) -> str:
    return pipeline(massive_feed(url), ["SecondAggregates"], SCANNERS, interval="60s", partitions=partitions)


async def play(
    steps: Sequence[tuple[int, int]], figures: dict[str, float] | None = None, *, speed: float = SPEED
) -> Results:
    """Play the session; from each number of events on there is a number of partitions."""
    settings = msgspec.structs.replace(SETTINGS, speed=speed)
    async with at_home(choose_session("market", events=EVENTS), settings) as (home, (simulator,)):
        for events, partitions in steps:
            await until(lambda at=events: simulator.events >= at, f"event {events}")  # type: ignore[misc]
            assert not simulator.finished.is_set()
            assert await home.apply(resources(simulator.url, partitions)) == []
        await until(simulator.finished.is_set, "the end")
        await until(lambda: is_applied(home, partitions), f"the last board: {home.problems()}")
        assert home.problems() == {}
        await until_tidy(home, partitions)
        if figures is not None:
            names = ("missing_batches_total", "repeated_batches_total", "lost_seals_total", "lost_states_total")
            figures |= {name: home.total(name) for name in names}
            figures["events_total"] = home.total("events_total", "analyzer")
    results, _ = await home.results()
    return results


def is_applied(home: AHome, partitions: int) -> bool:
    figures = home.figures()
    newest = max(each.get("event_time_unix_seconds", 0.0) for each in figures.listeners.values())
    ticks = [each.get("tick_unix_seconds", 0.0) for each in figures.analyzers.values()]
    return newest > 0 and len(ticks) == partitions and all(tick > newest for tick in ticks)


async def until_tidy(home: AHome, partitions: int) -> None:
    """Wait until nothing of another layout is left but its signals."""
    cache = home.cache

    def left() -> list[str]:
        keys = [
            key for key in (*cache._values, *cache._states) if "-of-" in key and not key.endswith(f"-of-{partitions}")
        ]
        return [key for key in keys if cache._values.get(key) or cache._states.get(key)]

    await until(lambda: not left(), "the removal of what old layouts left")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def undisturbed() -> Results:
    results = await play([(0, 1)])
    assert len(results.signals) > 200
    return results


@pytest.mark.parametrize(
    "counts",
    [(1, 4), (4, 1), (2, 3), (1, 2, 4, 1), (3, 1, 3)],
    ids=lambda counts: "-".join(map(str, counts)),
)
async def test_it_ends_with_the_boards_and_signals_of_the_undisturbed_run(
    undisturbed: Results, counts: tuple[int, ...]
) -> None:
    figures: dict[str, float] = {}
    steps = [(index * EVENTS // (len(counts) + 1), count) for index, count in enumerate(counts)]
    results = await play(steps, figures)
    assert results.merged() == undisturbed.merged()
    assert results.signals == undisturbed.signals
    assert figures == {
        "missing_batches_total": 0,
        "repeated_batches_total": 0,
        "lost_seals_total": 0,
        "lost_states_total": 0,
        "events_total": EVENTS,
    }


async def test_changes_that_follow_each_other_at_once_end_there_too(undisturbed: Results) -> None:
    steps = [(EVENTS // 50, count) for count in (2, 1, 4, 1, 3)]
    figures: dict[str, float] = {}
    results = await play([(0, 1), *steps], figures, speed=SPEED / 4)
    assert results.merged() == undisturbed.merged()
    assert results.signals == undisturbed.signals
    assert (figures["missing_batches_total"], figures["events_total"]) == (0, EVENTS)


# --- two feeds, each with a listener that goes elsewhere at a moment of its own ---

FIRST, SECOND = (("AAPL", "BAC", "C", "F", "GE", "MSFT", "T"), ("AMD", "INTC", "PFE", "QQQ", "SIRI", "SPY", "XLF"))
LASTING = ("price", "open", "high", "low", "volume", "vwap")


def two_feeds(urls: Sequence[str], counts: int) -> str:
    feeds = [
        massive_feed(url).replace("name: simulated", f"name: {name}").replace("spec:", "spec:\n  maxConnections: 2")
        for url, name in zip(urls, ("first", "second"), strict=True)
    ]
    text = pipeline("\n---\n".join(feeds), ["SecondAggregates"], SCANNERS, interval="60s", partitions=counts)
    head, _, subscription = text.partition("kind: Subscription")
    subscription, _, scanners = subscription.partition("\n---\n")
    both = [
        f"kind: Subscription{subscription}".replace("name: everything", f"name: {name}")
        .replace("name: simulated", f"name: {name}")
        .replace('["*"]', f"[{', '.join(symbols)}]")
        for name, symbols in (("first", FIRST), ("second", SECOND))
    ]
    return f"{head}{both[0]}\n---\napiVersion: scanplane.io/v1alpha1\n{both[1]}\n---\n{scanners}"


async def play_two(changes: Sequence[tuple[str, int]]) -> dict[str, dict[str, object]]:
    """Play both; *changes* say what of the plan for a number of partitions is applied, one after the other."""
    sessions = [choose_session("market", events=EVENTS) for _ in range(2)]
    async with at_home(sessions[0], SETTINGS, more=(sessions[1],)) as (home, simulators):
        urls = [simulator.url for simulator in simulators]
        assert await home.apply(two_feeds(urls, 1)) == []
        for number, (only, partitions) in enumerate(changes, start=1):
            middle = number * EVENTS // (len(changes) + 2)
            await until(lambda at=middle: simulators[0].events >= at, "the middle")  # type: ignore[misc]
            assert await home.apply(two_feeds(urls, partitions), only=only) == []
        for simulator in simulators:
            await until(simulator.finished.is_set, "the end")
        heard = home.total("events_total", "listener")
        await until(lambda: home.total("events_total", "analyzer") >= heard, f"every event: {home.problems()}")
        partitions = changes[-1][1] if changes else 1
        await until(lambda: is_applied(home, partitions), f"the last board: {home.problems()}")
        for figure in ("missing_batches_total", "lost_seals_total", "lost_states_total", "dropped_batches_total"):
            assert home.total(figure) == 0, figure
        assert home.total("events_total", "analyzer") == heard
        await home.supervisor.apply({})
        _, quotes = await home.results()
    return {symbol: {name: row.values.get(name) for name in LASTING} for symbol, row in sorted(quotes.items())}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def two_undisturbed() -> dict[str, dict[str, object]]:
    quotes = await play_two([])
    assert set(quotes) == {*FIRST, *SECOND}
    return quotes


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param([("", 3)], id="together"),
        pytest.param([("analyzer", 3), ("listener-first", 3), ("listener-second", 3)], id="one after the other"),
        pytest.param(
            [("analyzer", 2), ("listener-second", 2), ("analyzer", 1), ("listener-second", 1)],
            id="one goes and comes back before the other has moved",
        ),
        pytest.param(
            [("analyzer", 2), ("listener-first", 2), ("analyzer", 4), ("listener", 4)], id="one is a layout behind"
        ),
    ],
)
async def test_of_two_feeds_every_event_is_applied_once(
    two_undisturbed: dict[str, dict[str, object]], changes: Sequence[tuple[str, int]]
) -> None:
    assert await play_two(changes) == two_undisturbed
