"""``docs/features.md``, written from the catalogue, so that what scanners can ask and what people read never differ."""

from scanplane.features.catalogue import CATALOGUE, Feature, FeatureType

__all__ = ["render_features"]

_INTRODUCTION = """\
<!-- Generated from workloads/scanplane/features/catalogue.py by `make generate`. Edit there. -->

# Features

What a Scanner's expressions can ask of every symbol, at every tick. A feature that needs what the Market does not have
(a channel that no Subscription takes, reference data without a source) stays unknown. The Scanner is accepted all the same:
`scanplane validate` prints a note, and `Accepted` carries the reason `FeatureWithoutData`.

*Unknown* is a value of its own: a comparison with it is false, and `has(free_float)` asks for it. In boards, signals and
quotes it is `null`.

## All features

`double` is a number; an `event` is a truth that holds at the one tick at which it happened.
"""

_RULES = """\
## Rules behind the definitions

### The day

A trading day begins with premarket (with the open, where a Market has no premarket; at 00:00 UTC for the calendar `24/7`)
and lasts until the next one begins: what Friday left stays until Monday's premarket. Then everything is forgotten,
at the first tick of the new day, whether or not anything trades, and the reference data of the new day is taken; symbols
without an event in the day before are released. Holidays, early closes and daylight saving time come from the calendar; on
an early close postmarket ends as much earlier as the close does (17:00 instead of 20:00 in New York).

An event belongs to the session of its own exchange time, whenever it arrives: a trade of 15:59 that arrives at 16:10
still counts for `high`, and a trade of 16:10 never does. The closing auction counts for the regular session although
it prints moments after the close. An event that is older than the trading day, or belongs to a later one, changes
nothing and is counted; of the next day it waits for that day's first tick.

### What nobody told

An analyzer that begins in the middle of a live session, or has lost its state, did not hear the open, nor the highest price.
It invents neither: `open`, `high` and `low` are what the provider's bars and snapshot say (`previousClose: Provider` fetches
that anyway), volume and VWAP what bars say. What nobody tells (`high_of_day`, `premarket_high` and what follows from them,
events included) is unknown until the next day, and the analyzer's status says so. A recording counts as whole.

Previous closes belong to one trading day. From the provider they are fetched for each day, half an hour before it begins, and
again while symbols trade of which the answer knew nothing. A file's are those of the day at which it was read; on the next
they are unknown, and the status says so, until the file is renewed (on a cluster: the ConfigMap, which restarts the analyzer).

### Which trades count

US stocks: by their sale conditions, as the consolidated tapes (CTA and UTP) prescribe; the table is
`workloads/scanplane/marketdata/conditions.py`. In short:

- odd lots, average prices, cash and next-day sales, price variations, contingent trades, seller's options: `volume` only;
- sold out of sequence, derivatively priced, prior reference price, bunched sold: highs, lows and `volume`, not `price`;
- official opening and closing prices of a market center: nothing, since they repeat other trades;
- extended hours (Form T): everything outside the regular session; within it, `volume` only, since it is a late report.

Other asset classes: every trade. A trade whose price or size is missing or 0 changes nothing and is counted. Of
trades with the same exchange time, the one that arrived last is the last.

### Trades and bars together

Highs and lows are those of trades and bars together. Of `price` the newer says more: a trade says it exactly, until a bar
comes that began after the trade.

`volume` stands on the provider's accumulated volume of the newest bar, because that includes what was traded before
Scanplane began to listen, and adds the trades from that bar's end on; a trade of before is in the bar already. So `volume`
is as new as the trades are, goes on with trades when bars end and with bars when trades do, and counts nothing twice.
`vwap` likewise, with the trades that came after the bar did. Without accumulated volume (crypto, forex) bars are summed,
and a trade adds to them if it is later than all of them; as much as trades or bars alone have shown, `volume` is at least.
The same holds where bars come more than 10 seconds late: then nobody can tell which trades they include.

`open` is the provider's own as soon as a bar has it. Second and minute bars of the same symbol never add up: of both, the
one that ended last says the figure, and of two that ended together the minute; of sums, the greater counts.

### Corrected bars

A bar that is sent again replaces its earlier version. Accumulated volume, VWAP and close are those of the bar that ended
last. A correction of the bars that hold a session's highest or second-highest price (or lowest) is exact; a later
version of any other bar can raise a high but not lower it. Where the provider gives no accumulated volume (crypto,
forex), the newest 16 second bars and 16 minute bars of a symbol can be corrected or filled in; what comes later is
counted and left out of `volume`.

### The window rule

At the first tick in every 5 seconds of event time, `price` and `volume` of every symbol are sampled. A window feature
compares the value at the tick with that of the newest sample that is at least 1, 5 or 15 minutes older than the tick, so
the window is up to 5 seconds longer than its name says, and longer still where the whole market was silent just then. It
is unknown until such a sample of the same day exists; a change also when the symbol had no price then. A symbol that had
no volume then counts from 0, or from the accumulated volume before its first bar. An event counts from when it arrived. A
correction of the volume corrects the window with it, but a window's volume is never less than 0.

### Crossing VWAP

A symbol is above VWAP when its price is more than 0.05 % above, below when more than 0.05 % below, and in between it
stays what it was; so a price that trembles around VWAP does not fire with every tick.

### Boards and signals

A board ranks the symbols that match `where` and whose rank is known; of equal rank the symbol that comes first in the
alphabet is first. A signal fires when `where && when` becomes true; if it asks for an event, at every tick at which it is
true. At the first evaluation after a Scanner was created or its expressions were changed, symbols that match already do
not fire. The cooldown counts from the last signal of the symbol, in event time; what would have fired meanwhile is dropped.
"""


def render_features() -> str:
    """Return the whole document as Markdown."""
    rows = [_row(feature) for feature in CATALOGUE.values()]
    header = ["| feature | type | unit | definition | needs | source |", "|---|---|---|---|---|---|"]
    return "\n".join([_INTRODUCTION, *header, *rows, "", _RULES])


def _row(feature: Feature) -> str:
    kind = "event" if feature.type is FeatureType.EVENT else str(feature.type)
    cells = (f"`{feature.name}`", kind, str(feature.unit), feature.definition, _needs(feature), feature.source)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _needs(feature: Feature) -> str:
    needs = [" or ".join(feature.any_of)] if feature.any_of else []
    if feature.needs_reference:
        needs.append(f"reference `{feature.needs_reference}`")
    return "; ".join(needs)
