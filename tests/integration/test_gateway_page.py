"""The live page in a real browser."""

from collections.abc import AsyncIterator

import pytest

from scanplane.marketdata.results import QuoteRow
from support.browser import Browser, open_browser
from support.gateway import SECOND_NS, TICK_NS, RunningGateway, eventually, part_of, running_gateway, signal_of
from support.servers import ServerUnavailableError

pytestmark = pytest.mark.server

ROWS = "[...document.querySelectorAll('tbody tr')].map(row => [...row.cells].map(cell => cell.textContent).join(' '))"


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    try:
        context = open_browser()
        opened = await context.__aenter__()
    except ServerUnavailableError as error:
        pytest.fail(str(error), pytrace=False)
    try:
        yield opened
    finally:
        await context.__aexit__(None, None, None)


async def open_page(gateway: RunningGateway, browser: Browser, width: int = 1440) -> None:
    await browser.open(gateway.role.url, width=width)
    await browser.until("document.querySelector('#connection')?.textContent === 'connected'")


async def test_the_page_shows_live_rows_in_their_units_and_complains_of_nothing(browser: Browser) -> None:
    async with running_gateway() as gateway:
        await gateway.analyst.write(part_of(data_label="replay"), signals=[signal_of(1)])
        await open_page(gateway, browser)
        await browser.until(f"{ROWS}.includes('AAPL 10.00 +5.00 %')")
        changed = part_of(rows=[("TSLA", 9.0), ("AAPL", -6.0)], tick_ns=TICK_NS + SECOND_NS, data_label="replay")
        await gateway.analyst.write(changed, signals=[signal_of(2, symbol="TSLA")])
        await browser.until(f"{ROWS}.join() === 'TSLA 10.00 +9.00 %,AAPL 10.00 -6.00 %'")
        assert await browser.evaluate("document.querySelector('td.down').textContent") == "-6.00 %"
        await browser.until("document.querySelector('#signals li:first-child .symbol').textContent === 'TSLA'")
        assert await browser.evaluate("document.querySelectorAll('#signals li').length") == 2
        await browser.until("document.querySelector('#markets .pill')?.textContent === 'replay'")
        await browser.evaluate("document.querySelector('th:nth-child(3) button').click()")
        await browser.evaluate("document.querySelector('th:nth-child(3) button').click()")
        assert await browser.evaluate("document.querySelector('th:nth-child(3)').ariaSort") == "ascending"
        assert (await browser.evaluate(ROWS))[0].startswith("AAPL")
    assert browser.complaints == []


@pytest.mark.parametrize("width", [375, 1440])
async def test_nothing_runs_out_of_the_window(browser: Browser, width: int) -> None:
    async with running_gateway() as gateway:
        wide = [part_of(name, [(f"SYM{number}", float(number)) for number in range(30)]) for name in ("a", "b" * 60)]
        await gateway.analyst.write(*wide, signals=[signal_of(1)])
        await open_page(gateway, browser, width)
        await browser.until("document.querySelectorAll('tbody tr').length === 60")
        assert await browser.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_a_symbol_shows_its_quote(browser: Browser) -> None:
    async with running_gateway() as gateway:
        await gateway.analyst.write(
            part_of(), quotes=[QuoteRow("us-stocks", "AAPL", TICK_NS, {"volume": 12_345_678.0})]
        )
        await open_page(gateway, browser)
        await browser.until("document.querySelector('td .symbol')")
        await browser.evaluate("document.querySelector('td .symbol').click()")
        await browser.until("document.querySelector('#quote-values').textContent === 'Volume12.35M'")
        await browser.evaluate("document.querySelector('#quote-close').click()")
        await eventually(lambda: gateway.role.status().figures["subscriptions"] == 3)


async def test_the_page_asks_for_the_token_and_forgets_a_wrong_one(browser: Browser) -> None:
    secrets = {"dashboards": {"alice": "alices-long-token"}}
    async with running_gateway(secrets=secrets, tokens_secret="dashboards") as gateway:
        await gateway.analyst.write(part_of())
        await browser.open(gateway.role.url)
        enter = "document.querySelector('#token').value = '{}'; document.querySelector('#login-form').requestSubmit()"
        await browser.until("document.querySelector('#login')?.open")
        await browser.evaluate(enter.format("wrong"))
        await browser.until("document.querySelector('#login-error').textContent === 'This token is not known.'")
        assert await browser.evaluate("document.querySelectorAll('tbody tr').length") == 0
        await browser.evaluate(enter.format("alices-long-token"))
        await browser.until("document.querySelectorAll('tbody tr').length === 2")
        assert not await browser.evaluate("document.querySelector('#login').open")
        assert "token" not in await browser.evaluate("location.href")


async def test_the_page_says_that_the_gateway_is_gone_and_comes_back_with_it(browser: Browser) -> None:
    async with running_gateway() as gateway:
        port = gateway.role.port
        await gateway.analyst.write(part_of())
        await open_page(gateway, browser)
        await browser.until("document.querySelectorAll('tbody tr').length === 2")
    await browser.until("document.querySelector('#connection').textContent !== 'connected'")
    async with running_gateway(port=port) as again:
        await again.analyst.write(part_of(rows=[("BACK", 1.0)]))
        await browser.until(f"{ROWS}.join().includes('BACK')")
        assert await browser.evaluate("document.querySelector('#connection').textContent") == "connected"
