"""A market whose number of partitions changes in mid-session ends where one ends that was never touched."""

from collections.abc import Sequence

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
SETTINGS = SimulatorSettings(frame_events=(100, 100), max_buffer_bytes=2**30)


def resources(url: str, partitions: int) -> str:
    return pipeline(massive_feed(url), ["SecondAggregates"], SCANNERS, interval="60s", partitions=partitions)


async def play(steps: Sequence[tuple[int, int]], figures: dict[str, float] | None = None) -> Results:
    """Play the session; from each number of events on there is a number of partitions."""
    async with at_home(choose_session("market", events=EVENTS), SETTINGS) as (home, (simulator,)):
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
            figures["events_total"] = sum(
                role.status().figures.get("events_total", 0.0) for role in home.made if role.name.startswith("analyzer")
            )
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
