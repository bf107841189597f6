"""Reference data from the provider, against a small HTTP server on loopback."""

import math

import pytest
from aiohttp import web

from scanplane.plan.configuration import ReferenceConfiguration, SecretKey
from scanplane.reference import ReferenceDataError, ReferenceUnavailableError, day_reference, fetch_from_provider
from scanplane.reference import provider as provider_module
from scanplane.reference.provider import fetch_snapshot
from scanplane.resources.market import ReferenceSource
from support.engine_market import new_york
from support.snapshot_server import serving

KEY = "a-very-secret-key"
NOON_NS = new_york("2026-03-10 12:00")
SNAPSHOT = {
    "status": "OK",
    "tickers": [
        {
            "ticker": "AAA",
            "day": {"o": 11, "h": 12, "l": 10.5, "c": 11.5, "v": 500},
            "prevDay": {"c": 10.5, "v": 1000, "o": 1},
            "updated": NOON_NS,
        },
        {"ticker": "BBB", "day": {"o": 0, "h": 0, "l": 0}, "prevDay": {"c": 0, "v": 0}, "updated": 0},
        {"ticker": "CCC"},
        {"ticker": "DDD", "day": None, "prevDay": None, "updated": None},
        {"ticker": "EEE", "prevDay": {"c": 7}, "updated": 1},
    ],
}


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_module, "FIRST_PAUSE_S", 0.001)


def a_configuration(endpoint: str, average_volume: ReferenceSource) -> ReferenceConfiguration:
    return ReferenceConfiguration(
        previous_close=ReferenceSource.PROVIDER,
        average_volume=average_volume,
        volume_curve=ReferenceSource.NONE,
        free_float=ReferenceSource.NONE,
        symbols_file=None,
        volume_curve_file=None,
        rest_endpoint=endpoint,
        api_key=SecretKey(name="massive", key="apiKey"),
    )


async def test_previous_closes_and_volumes_of_all_symbols_come_with_one_request() -> None:
    async with serving(lambda _request, _before: web.json_response(SNAPSHOT)) as (endpoint, requests):
        configuration = a_configuration(endpoint, ReferenceSource.PROVIDER)
        snapshot = await fetch_from_provider(configuration, lambda _key: KEY)
    assert snapshot is not None
    reference = day_reference(configuration, snapshot, 5)
    known = {symbol: (row.previous_close, row.average_volume) for symbol, row in reference.symbols.items()}
    assert known.pop("AAA") == (10.5, 1000.0)
    close, volume = known.pop("EEE")
    assert (close, math.isnan(volume)) == (7.0, True)
    assert known == {}
    assert reference.begin_ns == 5
    assert [request.headers["Authorization"] for request in requests] == [f"Bearer {KEY}"]


async def test_the_regular_session_so_far_and_the_newest_update_are_told() -> None:
    async with serving(lambda _request, _before: web.json_response(SNAPSHOT)) as (endpoint, _):
        configuration = a_configuration(endpoint, ReferenceSource.NONE)
        snapshot = await fetch_from_provider(configuration, lambda _key: KEY)
    assert snapshot is not None
    reference = day_reference(configuration, snapshot, 5)
    assert {symbol: (bar.open, bar.high, bar.low) for symbol, bar in reference.so_far.items()} == {
        "AAA": (11.0, 12.0, 10.5)
    }
    assert abs(reference.as_of_ns - NOON_NS) < 1000


async def test_a_source_that_no_figure_has_is_not_asked() -> None:
    async with serving(lambda _request, _before: web.json_response(SNAPSHOT)) as (endpoint, requests):
        configuration = a_configuration(endpoint, ReferenceSource.NONE)
        without = ReferenceConfiguration(
            previous_close=ReferenceSource.NONE,
            average_volume=ReferenceSource.NONE,
            volume_curve=ReferenceSource.NONE,
            free_float=ReferenceSource.NONE,
            symbols_file=None,
            volume_curve_file=None,
            rest_endpoint=configuration.rest_endpoint,
            api_key=configuration.api_key,
        )
        assert await fetch_from_provider(without, lambda _key: KEY) is None
    assert requests == []


@pytest.mark.parametrize(
    "empty",
    [
        {"status": "OK", "tickers": []},
        {"status": "OK", "tickers": None},
        {"status": "OK"},
        {"tickers": [{"ticker": "AAA", "prevDay": {"c": 0, "v": 0}}, {"ticker": "BBB", "prevDay": None}]},
    ],
)
async def test_an_empty_snapshot_is_asked_for_again(empty: dict[str, object]) -> None:
    def answer(_request: web.Request, before: int) -> web.StreamResponse:
        return web.json_response(SNAPSHOT if before == 2 else empty)

    async with serving(answer) as (endpoint, requests):
        assert (await fetch_snapshot(endpoint, KEY)).previous["AAA"].close == 10.5
    assert len(requests) == 3


async def test_a_snapshot_that_stays_empty_may_be_there_later() -> None:
    async with serving(lambda _request, _before: web.json_response({"tickers": []})) as (endpoint, requests):
        with pytest.raises(
            ReferenceUnavailableError,
            match="the snapshot is empty: it is being cleared for the next day; tried 4 times",
        ):
            await fetch_snapshot(endpoint, KEY)
    assert len(requests) == 4


@pytest.mark.parametrize(
    ("updated", "newest_ns"),
    [
        (None, 0),
        (0, 0),
        (1, 0),
        (1_773_158_400_000, 1_773_158_400_000_000_000),
        (1_773_158_400_000_000_000, 1_773_158_400_000_000_000),
        (1e300, 0),
    ],
)
async def test_an_update_is_told_in_nanoseconds_and_nonsense_is_no_time(updated: float | None, newest_ns: int) -> None:
    answer = {"tickers": [{"ticker": "AAA", "prevDay": {"c": 1}, "updated": updated}]}
    async with serving(lambda _request, _before: web.json_response(answer)) as (endpoint, _):
        assert (await fetch_snapshot(endpoint, KEY)).newest_ns == newest_ns


async def test_a_failure_that_may_pass_is_tried_again() -> None:
    def answer(request: web.Request, before: int) -> web.StreamResponse:
        del request
        return web.json_response(SNAPSHOT) if before == 2 else web.Response(status=(500, 429)[before])

    async with serving(answer) as (endpoint, requests):
        assert (await fetch_snapshot(endpoint, KEY)).previous["AAA"].close == 10.5
    assert len(requests) == 3


async def test_a_failure_that_stays_is_told_after_four_tries_without_the_key() -> None:
    async with serving(lambda _request, _before: web.Response(status=503, text=KEY)) as (endpoint, requests):
        with pytest.raises(ReferenceUnavailableError, match="HTTP 503; tried 4 times") as refusal:
            await fetch_snapshot(endpoint, KEY)
    assert len(requests) == 4
    assert KEY not in str(refusal.value)


async def test_nobody_listening_is_told() -> None:
    async with serving(lambda _request, _before: web.Response()) as (endpoint, _):
        pass
    with pytest.raises(ReferenceUnavailableError, match="tried 4 times"):
        await fetch_snapshot(endpoint, KEY)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "the API key is not accepted"),
        (403, "not entitled"),
        (404, "check the Feed's restEndpoint"),
        (302, "HTTP 302"),
    ],
)
async def test_a_refusal_is_final(status: int, message: str) -> None:
    async with serving(lambda _request, _before: web.Response(status=status)) as (endpoint, requests):
        with pytest.raises(ReferenceDataError, match=message) as refusal:
            await fetch_snapshot(endpoint, KEY)
    assert not isinstance(refusal.value, ReferenceUnavailableError)
    assert len(requests) == 1


async def test_an_answer_that_is_something_else_is_refused() -> None:
    async with serving(lambda _request, _before: web.Response(text="<html>")) as (endpoint, _):
        with pytest.raises(ReferenceDataError, match="no snapshot of tickers"):
            await fetch_snapshot(endpoint, KEY)


async def test_an_answer_beyond_the_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_module, "MAX_BYTES", 50)
    async with serving(lambda _request, _before: web.json_response(SNAPSHOT)) as (endpoint, _):
        with pytest.raises(ReferenceDataError, match="larger than 50 bytes"):
            await fetch_snapshot(endpoint, KEY)
