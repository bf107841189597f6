"""Reference data from the provider, against a small HTTP server on loopback."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from scanplane.plan.configuration import ReferenceConfiguration, SecretKey
from scanplane.reference import ReferenceDataError, load_reference
from scanplane.reference import provider as provider_module
from scanplane.reference.provider import SNAPSHOT_PATH, fetch_previous_days
from scanplane.resources.market import ReferenceSource

KEY = "a-very-secret-key"
SNAPSHOT = {
    "status": "OK",
    "tickers": [
        {"ticker": "AAA", "day": {"c": 99}, "prevDay": {"c": 10.5, "v": 1000, "o": 1}, "updated": 1},
        {"ticker": "BBB", "prevDay": {"c": 0, "v": 0}},
        {"ticker": "CCC"},
    ],
}

Answer = Callable[[web.Request, int], web.StreamResponse]


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[tuple[str, list[web.Request]]]:
    """Serve *answer*, which is told how many requests came before; yield the endpoint and the requests."""
    requests: list[web.Request] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        requests.append(request)
        return answer(request, len(requests) - 1)

    application = web.Application()
    application.router.add_get(SNAPSHOT_PATH, handle)
    server = TestServer(application, host="127.0.0.1")
    async with server:
        yield str(server.make_url("/")), requests


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_module, "FIRST_PAUSE_S", 0.001)


async def test_previous_closes_and_volumes_of_all_symbols_come_with_one_request(tmp_path: Path) -> None:
    async with serving(lambda _request, _before: web.json_response(SNAPSHOT)) as (endpoint, requests):
        configuration = ReferenceConfiguration(
            previous_close=ReferenceSource.PROVIDER,
            average_volume=ReferenceSource.PROVIDER,
            volume_curve=ReferenceSource.NONE,
            free_float=ReferenceSource.NONE,
            symbols_file=None,
            volume_curve_file=None,
            rest_endpoint=endpoint,
            api_key=SecretKey(name="massive", key="apiKey"),
        )
        reference = await load_reference(configuration, lambda _key: KEY, tmp_path)
    columns = reference.select(["AAA", "BBB", "CCC"])
    assert [str(value) for value in columns["previous_close"]] == ["10.5", "nan", "nan"]
    assert [str(value) for value in columns["average_volume"]] == ["1000.0", "nan", "nan"]
    assert [request.headers["Authorization"] for request in requests] == [f"Bearer {KEY}"]


async def test_a_failure_that_may_pass_is_tried_again() -> None:
    def answer(request: web.Request, before: int) -> web.StreamResponse:
        del request
        return web.json_response(SNAPSHOT) if before == 2 else web.Response(status=(500, 429)[before])

    async with serving(answer) as (endpoint, requests):
        assert (await fetch_previous_days(endpoint, KEY))["AAA"].close == 10.5
    assert len(requests) == 3


async def test_a_failure_that_stays_is_told_after_four_tries_without_the_key() -> None:
    async with serving(lambda _request, _before: web.Response(status=503, text=KEY)) as (endpoint, requests):
        with pytest.raises(ReferenceDataError, match="HTTP 503; tried 4 times") as refusal:
            await fetch_previous_days(endpoint, KEY)
    assert len(requests) == 4
    assert KEY not in str(refusal.value)


async def test_nobody_listening_is_told() -> None:
    async with serving(lambda _request, _before: web.Response()) as (endpoint, _):
        pass
    with pytest.raises(ReferenceDataError, match="tried 4 times"):
        await fetch_previous_days(endpoint, KEY)


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
        with pytest.raises(ReferenceDataError, match=message):
            await fetch_previous_days(endpoint, KEY)
    assert len(requests) == 1


async def test_an_answer_that_is_something_else_is_refused() -> None:
    async with serving(lambda _request, _before: web.Response(text="<html>")) as (endpoint, _):
        with pytest.raises(ReferenceDataError, match="no snapshot of tickers"):
            await fetch_previous_days(endpoint, KEY)


async def test_an_answer_beyond_the_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_module, "MAX_BYTES", 50)
    async with serving(lambda _request, _before: web.json_response(SNAPSHOT)) as (endpoint, _):
        with pytest.raises(ReferenceDataError, match="larger than 50 bytes"):
            await fetch_previous_days(endpoint, KEY)
