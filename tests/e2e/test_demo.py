"""The first thing that a newcomer runs, as he sees it: on a terminal, or in the log of a machine without one."""

import re

import httpx
import pytest

from support.findings import say
from support.terminal import ALTERNATE_SCREEN, MAIN_SCREEN, ShownCommand, readable

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]

PROMISED_S = 180.0
"""What the README promises; at the demos' own speeds a day takes 96 s at most, and an idle machine can play it faster."""

FINAL_FIGURES = {
    "events a second": r"[\d,]+ on average, [\d,]+ at most",
    "tick to board, p99 over 10 s": r"[\d,]+ ms at the median, [\d,]+ ms at most",
    "evaluations of all scanners": r"[1-9][\d,]*",
    "signals": r"[1-9][\d,]*",
    "lost: frames, events, batches": "0",
    "refused by the decoder": "0",
    "provider connections at once, at most": "1",
}
"""Whatever is played, by name; the second is a pattern."""


def figures_of(final: str) -> dict[str, str]:
    """The table of figures at the end: two columns, two spaces or more apart."""
    rows = [re.split(r"\s{2,}", line.strip()) for line in final.partition("the pipeline")[2].splitlines()]
    return dict(row for row in rows if len(row) == 2)


def boards_of(final: str) -> dict[str, list[str]]:
    """The symbols of each board, best first."""
    found: dict[str, list[str]] = {}
    for title, table in re.findall(
        r"^us-stocks/(\S+) *\n(.*?)\d+ matches", final.replace(",", ""), re.DOTALL | re.MULTILINE
    ):
        found[title] = re.findall(r"^  ([A-Z.]+) ", table, re.MULTILINE)
    return found


def look_at_the_page(command: ShownCommand) -> str:
    """Open the page that was announced, as a browser and as a program do; return its address."""
    url = command.wait_text(r"the same on a page: (http://127\.0\.0\.1:\d+)")[1]
    page = httpx.get(url, timeout=60)
    assert (page.status_code, page.headers["content-type"].partition(";")[0]) == (200, "text/html")
    assert "<title>Scanplane" in page.text
    markets = httpx.get(f"{url}/v1/boards", timeout=60)
    assert markets.is_success
    return url


def watch_beside(url: str, symbol: str) -> None:
    """Watch the same on another terminal until *symbol* is on a board, and leave."""
    with ShownCommand("watch", url, "boards/us-stocks/top-volume", terminal=True) as watcher:
        watcher.wait_text(rf"us-stocks/top-volume[^$]*\b{symbol}\b", patience_s=60)
        watcher.interrupt()
        assert watcher.wait() == 130
        assert watcher.errors == ""
        assert watcher.output.startswith(ALTERNATE_SCREEN)
        assert MAIN_SCREEN in watcher.output


def ends_well(command: ShownCommand, events: int) -> str:
    """Wait for the end, hold it to what was promised, and return what is on the screen then."""
    code = command.wait()
    final = readable(command.output.rpartition(MAIN_SCREEN)[2])
    assert (code, command.errors) == (0, "")
    assert command.took_s < PROMISED_S
    assert command.living() == []
    figures = figures_of(final)
    assert figures["events applied"] == f"{events:,} of {events:,} played"
    wrong = {name: figures.get(name) for name, form in FINAL_FIGURES.items() if not re.fullmatch(form, figures[name])}
    assert wrong == {}
    told = int(re.search(r"the last of ([\d,]+) signals", final)[1].replace(",", ""))  # type: ignore[index]  # fails
    assert figures["signals"] == f"{told:,}"
    say(f"ended after {command.took_s:.0f} s (promised: {PROMISED_S:.0f} s), nothing that it started lives on")
    say("; ".join(f"{name}: {figures[name]}" for name in ("events applied", *FINAL_FIGURES)))
    return final


def test_the_whole_market_is_drawn_on_a_terminal_to_its_end() -> None:
    with ShownCommand("demo", "market", terminal=True) as command:  # what `make demo` runs, at its own speed
        command.wait_text(r"The whole US market of 2014-03-26 \(.*the path between two closes is synthetic\)")
        watch_beside(look_at_the_page(command), "PLUG")
        final = ends_well(command, 2_500_000)
    before, _, drawn = command.output.partition(ALTERNATE_SCREEN)
    drawn = drawn.partition(MAIN_SCREEN)[0]
    assert "us-stocks" not in before
    screens = [readable(screen) for screen in drawn.split("\x1b[H")]
    assert (
        len([screen for screen in screens if re.search(r"New York  [1-9][\d,]* events, [\d,]+ a second", screen)]) > 20
    )
    signal = (
        r"\d\d:\d\d:\d\d.*  us-stocks/(high-of-day-momentum|low-of-day|back-above-vwap|price-spike|premarket-gappers)"
    )
    assert any("us-stocks/top-gainers" in screen and re.search(signal, screen) for screen in screens)
    boards = boards_of(final)
    assert list(boards) == ["top-volume", "top-gainers", "top-gappers", "unusual-volume"]
    assert boards["top-volume"][:5] == ["PLUG", "SPY", "FB", "SIRI", "BAC"]
    assert boards["top-gainers"][0] == "FFHL"


def test_the_real_ticks_are_told_line_by_line_without_a_terminal() -> None:
    with ShownCommand("demo", "ticks", "--speed", "3000", terminal=False) as command:
        command.wait_text(r"every quote of the first three \(real ticks; the source has no quotes of SPY\)")
        look_at_the_page(command)
        final = ends_well(command, 1_564_132)
    assert "\x1b" not in command.output
    assert len(re.findall(r"^2013-10-08 \d\d:\d\d:\d\d New York  [\d,]+ events, .* 0 lost", final, re.MULTILINE)) > 3
    assert {name: sorted(symbols) for name, symbols in boards_of(final).items()} == {
        name: ["AIG", "BAC", "IBM", "SPY"] for name in ("from-open", "movers", "tape")
    }


@pytest.mark.parametrize("terminal", [True, False], ids=["on a terminal", "through a pipe"])
@pytest.mark.parametrize(
    "moment", ["The whole US market of 2014-03-26", r"the same on a page", r"New York  [1-9][\d,]* events"]
)
def test_ctrl_c_ends_the_demo_and_all_that_it_started(moment: str, *, terminal: bool) -> None:
    with ShownCommand("demo", "market", terminal=terminal) as command:
        command.wait_text(moment)
        command.interrupt()
        code = command.wait(30)
        assert (code, command.errors) == (130, "")
        assert command.living() == []
    assert "Traceback" not in command.text
    assert command.output.count(ALTERNATE_SCREEN) == command.output.count(MAIN_SCREEN)
