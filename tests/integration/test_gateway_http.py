"""The HTTP endpoints over a real socket."""

import csv
import io
import re
from importlib.resources import files
from typing import Any

import msgspec
import pytest

from scanplane.cache import keys
from scanplane.cache.interface import Entry, Write
from scanplane.cache.memory import MemoryCache
from scanplane.features.catalogue import CATALOGUE
from scanplane.marketdata.partitions import Partition
from scanplane.marketdata.results import QuoteRow
from scanplane.roles.interface import RoleInputError, SecretMissingError
from scanplane.telemetry.listening import ListenError
from scanplane.telemetry.status import Phase, RoleStatus
from support.gateway import (
    NAMESPACE,
    SECOND_NS,
    TICK_NS,
    RunningGateway,
    new_gateway,
    part_of,
    running_gateway,
    signal_of,
)

TOKENS = {"dashboards": {"alice": "alices-long-token"}}


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


async def test_a_board_comes_with_its_freshness() -> None:
    async with running_gateway() as gateway:
        await gateway.analyst.write(part_of(data_label="15 min delayed"))
        answer = await gateway.json("/v1/boards/us-stocks/gappers")
    assert [row["symbol"] for row in answer["data"]["rows"]] == ["AAPL", "MSFT"]
    assert answer["topic"] == "boards/us-stocks/gappers"
    fresh = answer["freshness"]
    assert (fresh["delay"], fresh["live"], fresh["stale"]) == ("15 min delayed", False, False)
    assert fresh["tickTime"] == "2026-01-05T14:00:00.000Z"
    assert 0 <= fresh["lagMilliseconds"] < 10_000


async def test_boards_are_listed_without_their_rows() -> None:
    async with running_gateway() as gateway:
        await gateway.analyst.write(part_of("losers"), part_of("gappers"))
        await gateway.analyst.write(part_of(market="crypto"), market="crypto")
        everything = await gateway.json("/v1/boards")
        some = await gateway.json("/v1/boards", params={"market": "crypto"})
    topics = [board["topic"] for board in everything["boards"]]
    assert topics == ["boards/crypto/gappers", "boards/us-stocks/gappers", "boards/us-stocks/losers"]
    assert [board["topic"] for board in some["boards"]] == ["boards/crypto/gappers"]
    assert everything["boards"][0]["rows"] == 2


@pytest.mark.parametrize("asked", [{"params": {"format": "csv"}}, {"headers": {"Accept": "text/csv"}}])
async def test_a_board_can_be_downloaded_as_csv(asked: dict[str, Any]) -> None:
    async with running_gateway() as gateway:
        await gateway.analyst.write(part_of(rows=[("=CMD()", 5.0)], data_label="replay"))
        response = await gateway.http.get("/v1/boards/us-stocks/gappers", **asked)
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    name = "us-stocks_gappers_2026-01-05T14-00-00.000Z.csv"
    assert response.headers["Content-Disposition"] == f'attachment; filename="{name}"'
    assert response.headers["X-Scanplane-Delay"] == "replay"
    assert response.headers["X-Scanplane-Stale"] == "false"
    assert rows_of(response.text)[0]["symbol"] == "'=CMD()"


@pytest.mark.parametrize(
    ("path", "status", "hint"),
    [
        ("/v1/boards/us-stocks/gapers", 404, "did you mean /v1/boards/us-stocks/gappers?"),
        ("/v1/boards/xxxxxxxxx/yyyyyyyyyy", 404, "/v1/boards lists"),
        ("/v1/boards/us-stocks/gappers?format=xml", 400, "write json or csv"),
        ("/v1/quotes/us-stocks/NONE", 404, "knows nothing of 'NONE'"),
        ("/v1/quotes/us-stocks", 400, "?symbols=AAPL,MSFT"),
        ("/v1/signals?limit=0", 400, "a number from 1 to 1000"),
        ("/v1/signals?limit=many", 400, "a number from 1 to 1000"),
        ("/v1/signals?since=yesterday", 400, "write one such as"),
        ("/v1/signals?since=c.broken", 400, "this cursor is damaged"),
        ("/v1/stream", 426, "connect with ws://"),
        ("/metrics", 404, "status port"),
        ("/nothing/here", 404, "see /v1/openapi.json"),
        ("/page/../api.py", 404, "see /v1/openapi.json"),
        ("/page/nothing.js", 404, "no such file"),
    ],
)
async def test_an_error_is_one_line_that_says_what_to_write(path: str, status: int, hint: str) -> None:
    async with running_gateway() as gateway:
        await gateway.analyst.write(part_of())
        response = await gateway.http.get(path)
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/json"
    assert set(response.json()) == {"error"}
    assert hint in response.json()["error"]
    assert response.text.count("\n") == 1


async def test_only_reading_is_possible() -> None:
    async with running_gateway() as gateway:
        response = await gateway.http.post("/v1/boards", json={})
        assert response.status_code == 405
        assert set(response.json()) == {"error"}
        assert (await gateway.http.head("/v1/boards")).status_code == 200


async def test_quotes_come_in_the_asked_order_and_unknown_ones_are_named() -> None:
    async with running_gateway() as gateway:
        quotes = [QuoteRow("us-stocks", symbol, TICK_NS, {"price": 1.5}) for symbol in ("AAPL", "BRK/A", "MSFT")]
        await gateway.analyst.write(part_of(data_label="replay"), quotes=quotes)
        several = await gateway.json("/v1/quotes/us-stocks", params={"symbols": "MSFT, NONE,AAPL"})
        one = await gateway.json("/v1/quotes/us-stocks/BRK/A")
        table = await gateway.http.get("/v1/quotes/us-stocks", params={"symbols": "MSFT,AAPL", "format": "csv"})
    assert [quote["data"]["symbol"] for quote in several["quotes"]] == ["MSFT", "AAPL"]
    assert several["unknown"] == ["NONE"]
    assert one["data"]["values"] == {"price": 1.5}
    assert one["freshness"]["delay"] == "replay"
    assert [row["price"] for row in rows_of(table.text)] == ["1.5", "1.5"]


async def page_through(gateway: RunningGateway, since: str, **parameters: Any) -> list[str]:
    """Follow the cursor until there is no more, and return the ids."""
    found: list[str] = []
    while True:
        page = await gateway.json("/v1/signals", params={"since": since, **parameters})
        found += [signal["signalId"] for signal in page["signals"]]
        since = page["next"]
        if not page["more"]:
            return found


async def write_signals(
    gateway: RunningGateway, partition: Partition, numbers: range, scanner: str = "gappers"
) -> None:
    signals = [signal_of(number, scanner=scanner) for number in numbers]
    await gateway.analyst.write(signals=signals, partition=partition)


async def test_without_a_place_to_begin_the_newest_signals_come() -> None:
    async with running_gateway() as gateway:
        await write_signals(gateway, Partition(0, 1), range(1, 30))
        async with gateway.client("signals/*") as client:
            await client.first("snapshot")
            page = await gateway.json("/v1/signals", params={"limit": 3})
    assert [signal["signalId"] for signal in page["signals"]] == ["gappers-27", "gappers-28", "gappers-29"]
    assert not page["more"]


async def test_a_cursor_misses_nothing_and_repeats_nothing_although_a_partition_is_late() -> None:
    async with running_gateway() as gateway:
        await write_signals(gateway, Partition(0, 2), range(10, 20, 2))
        first = await gateway.json("/v1/signals", params={"since": "2026-01-01T00:00:00Z"})
        await write_signals(gateway, Partition(1, 2), range(9, 25, 2))
        await write_signals(gateway, Partition(0, 2), range(20, 26, 2))
        later = await page_through(gateway, first["next"], limit=2)
    seen = [signal["signalId"] for signal in first["signals"]] + later
    assert len(seen) == len(set(seen))
    assert set(seen) == {f"gappers-{number}" for number in [*range(10, 26, 2), *range(9, 25, 2)]}
    numbers = [int(each.removeprefix("gappers-")) for each in later]
    assert numbers == sorted(numbers)


async def test_long_streams_are_read_page_by_page_in_the_order_of_time() -> None:
    async with running_gateway() as gateway:
        await write_signals(gateway, Partition(0, 2), range(0, 2400, 2))
        await write_signals(gateway, Partition(1, 2), range(1, 2401, 2))
        found = await page_through(gateway, "2026-01-05T14:00:00Z", limit=700)
    assert found == [f"gappers-{number}" for number in range(2400)]


async def test_a_time_begins_at_that_very_tick() -> None:
    async with running_gateway() as gateway:
        await write_signals(gateway, Partition(0, 1), range(10))
        page = await gateway.json("/v1/signals", params={"since": TICK_NS + 7 * SECOND_NS})
        nothing = await gateway.json("/v1/signals", params={"since": "2027-01-01T00:00:00Z"})
    assert [signal["signalId"] for signal in page["signals"]] == ["gappers-7", "gappers-8", "gappers-9"]
    assert nothing["signals"] == []


async def test_signals_of_one_scanner_or_market_can_be_asked_for() -> None:
    async with running_gateway() as gateway:
        await write_signals(gateway, Partition(0, 1), range(5))
        await write_signals(gateway, Partition(0, 1), range(5, 8), scanner="losers")
        found = await page_through(gateway, "2026-01-01T00:00:00Z", scanner="losers", limit=2)
        none = await page_through(gateway, "2026-01-01T00:00:00Z", market="crypto")
    assert found == ["losers-5", "losers-6", "losers-7"]
    assert none == []


async def test_a_cursor_of_a_recording_that_was_started_again_begins_anew() -> None:
    async with running_gateway() as gateway:
        await write_signals(gateway, Partition(0, 1), range(1000, 1003))
        before = await gateway.json("/v1/signals", params={"since": "2026-01-01T00:00:00Z"})
        await gateway.analyst.cache.delete([keys.signals(NAMESPACE, "us-stocks", Partition(0, 1))])
        await write_signals(gateway, Partition(0, 1), range(3))
        async with gateway.client("signals/*") as client:
            await client.until(lambda _: len(client.messages[-1].get("data", ())) == 3)
            again = await page_through(gateway, before["next"])
    assert again == ["gappers-0", "gappers-1", "gappers-2"]


async def test_signals_can_be_downloaded_as_csv_with_the_cursor_in_a_header() -> None:
    async with running_gateway() as gateway:
        await write_signals(gateway, Partition(0, 1), range(3))
        response = await gateway.http.get("/v1/signals", params={"since": "2026-01-01T00:00:00Z", "format": "csv"})
        rest = await page_through(gateway, response.headers["X-Scanplane-Next"])
    assert [row["signal_id"] for row in rows_of(response.text)] == ["gappers-0", "gappers-1", "gappers-2"]
    assert rest == []


async def test_signals_in_csv_say_how_fresh_their_market_is() -> None:
    async with running_gateway() as gateway:
        silent = {"market": "crypto", "evaluated_ns": 1, "tick_ns": TICK_NS - SECOND_NS}
        for part in (part_of(data_label="replay"), part_of("silent", **silent)):
            await gateway.analyst.write(part, market=part.market)
        await gateway.analyst.write(signals=[msgspec.structs.replace(signal_of(1), market="forex", data_label="late")])
        told = {}
        for market in ("us-stocks", "crypto", "forex", "options", ""):
            response = await gateway.http.get("/v1/signals", params={"market": market, "format": "csv"})
            told[market] = [response.headers[f"X-Scanplane-{name}"] for name in ("Tick", "Delay", "Stale")]
    assert told["us-stocks"] == ["2026-01-05T14:00:00.000Z", "replay", "false"]
    assert told["crypto"][::2] == told[""][::2] == ["2026-01-05T13:59:59.000Z", "true"]
    assert told["forex"] == ["2026-01-05T14:00:01.000Z", "late", "false"]
    assert told["options"] == ["", "", "false"]


async def test_a_value_that_can_not_be_read_is_counted_and_stops_nothing() -> None:
    async with running_gateway() as gateway, gateway.client("*") as client:
        stream = keys.signals(NAMESPACE, "us-stocks", Partition(0, 1))
        board = keys.board(NAMESPACE, "us-stocks", "broken", Partition(0, 1))
        broken = {"values": {board: b"{"}, "entries": {stream: [Entry((1, 1), b"null")]}}
        await gateway.analyst.cache.write(Write(fence_key="f", generation=1, **broken))  # type: ignore[arg-type]  # see above
        await gateway.analyst.write(part_of(), signals=[signal_of(1)])
        await client.first("signal")
        await client.first("snapshot", topic="boards/us-stocks/gappers")
        assert gateway.role.status().figures["updates_malformed_total"] == 2
        assert await page_through(gateway, "2026-01-01T00:00:00Z") == ["gappers-1"]


async def test_a_page_of_signals_that_can_not_be_read_is_passed_over() -> None:
    cache = MemoryCache()
    garbage = [Entry((number, 1), b"{") for number in range(1, 1001)]
    good = Entry((2000, 1), msgspec.json.encode(signal_of(1)))
    stream = keys.signals(NAMESPACE, "us-stocks", Partition(0, 1))
    await cache.write(Write(fence_key="fence", generation=1, entries={stream: [*garbage, good]}))
    async with running_gateway(cache) as gateway:
        signals = (await gateway.json("/v1/signals"))["signals"]
    assert [signal["signalId"] for signal in signals] == ["gappers-1"]


async def test_status_shows_every_role_and_market() -> None:
    async with running_gateway() as gateway:
        status = RoleStatus(
            role="listener",
            instance="listener-massive",
            configuration="abc",
            phase=Phase.ACTIVE,
            version="1",
            started_ns=1,
            updated_ns=2,
            figures={"events_total": 5.0},
        )
        value = {keys.status(NAMESPACE, "listener-massive"): msgspec.json.encode(status)}
        await gateway.analyst.cache.write(Write(fence_key="f", generation=1, values=value))
        await gateway.analyst.write(part_of(data_label="replay"))
        async with gateway.client("status/*") as client:
            await client.first("snapshot", topic="status/listener-massive")
            answer = await gateway.json("/v1/status")
    assert answer["roles"]["listener-massive"]["figures"] == {"events_total": 5.0}
    assert answer["gateway"]["phase"] == "Active"
    assert answer["gateway"]["figures"]["clients"] == 1
    (market,) = answer["markets"]
    assert (market["market"], market["boards"], market["freshness"]["delay"]) == ("us-stocks", 1, "replay")


async def test_the_catalogue_tells_the_page_units_and_definitions() -> None:
    async with running_gateway() as gateway:
        answer = await gateway.json("/v1/features")
    assert {feature["name"]: feature["unit"] for feature in answer["features"]} == {
        name: feature.unit for name, feature in CATALOGUE.items()
    }


async def test_probes_and_metrics() -> None:
    async with running_gateway() as gateway:
        assert (await gateway.json("/healthz"))["ok"]
        assert (await gateway.json("/readyz"))["ok"]


async def test_whoever_has_no_token_gets_one_line_and_whoever_has_one_gets_the_board() -> None:
    async with running_gateway(secrets=TOKENS, tokens_secret="dashboards") as gateway:
        await gateway.analyst.write(part_of())
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic YTpi"}):
            response = await gateway.http.get("/v1/boards", headers=headers)
            assert response.status_code == 401
            assert response.headers["WWW-Authenticate"] == 'Bearer realm="scanplane"'
            assert set(response.json()) == {"error"}
        assert (await gateway.http.get("/v1/boards?token=alices-long-token")).status_code == 401
        await gateway.json("/v1/boards", headers={"Authorization": "Bearer alices-long-token"})
        assert gateway.role.status().figures["http_unauthorized_total"] == 4


async def test_page_and_probes_need_no_token() -> None:
    async with running_gateway(secrets=TOKENS, tokens_secret="dashboards") as gateway:
        for path in ("/", "/page/app.js", "/healthz", "/readyz", "/v1/openapi.json", "/v1/features"):
            assert (await gateway.http.get(path)).status_code == 200


async def test_a_missing_or_empty_secret_of_tokens_is_said_at_once() -> None:
    with pytest.raises(SecretMissingError):
        new_gateway(tokens_secret="nowhere")
    with pytest.raises(RoleInputError, match="secret 'empty' holds no token"):
        new_gateway(tokens_secret="empty", secrets={"empty": {}})


async def test_a_port_that_is_taken_is_said_in_one_line() -> None:
    async with running_gateway() as gateway:
        with pytest.raises(ListenError, match=r"address already in use; choose another port with spec\.gateway\.port"):
            async with running_gateway(port=gateway.role.port):
                pass


async def test_the_page_is_self_contained_and_under_a_strict_policy() -> None:
    async with running_gateway() as gateway:
        response = await gateway.http.get("/")
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    folder = files("scanplane.gateway") / "page"
    for file in folder.iterdir():
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//[a-z]+\.[a-z]+/", text), file.name
        assert not re.search(r"\son[a-z]+=|style=", text) or file.name.endswith((".js", ".css")), file.name
