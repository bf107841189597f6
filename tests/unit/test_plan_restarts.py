"""Every restart says why."""

import pytest

from scanplane.plan.planner import plan
from scanplane.plan.restarts import RestartReason, explain_restart
from support.inventories import US_STOCKS, inventory_of

OTHER_SECRET = {"massive": {"apiKey": "digest-2"}}


@pytest.mark.parametrize(
    ("old", "new", "instance", "reason", "cause"),
    [
        ("RealTime", "Delayed", "listener-massive", RestartReason.FEED_CHANGED, "Feed/massive edited"),
        ("limit: 20", "limit: 30", "analyzer-us-stocks-0", RestartReason.SCANNER_CHANGED, "Scanner/top-gappers edited"),
        (
            'symbols: ["*"]',
            "symbols: [AAPL]",
            "listener-massive",
            RestartReason.SUBSCRIPTION_CHANGED,
            "Subscription/us-stocks-seconds edited",
        ),
        (
            'premarket: "04:00"',
            'premarket: "07:00"',
            "analyzer-us-stocks-0",
            RestartReason.MARKET_CHANGED,
            "Market/us-stocks edited",
        ),
        (
            "name: top-gappers",
            "name: gappers",
            "analyzer-us-stocks-0",
            RestartReason.SCANNER_CHANGED,
            "Scanner/gappers added, Scanner/top-gappers removed",
        ),
    ],
)
def test_a_changed_field_is_named(old: str, new: str, instance: str, reason: RestartReason, cause: str) -> None:
    before = plan(inventory_of(US_STOCKS)).configurations[instance]
    after = plan(inventory_of(US_STOCKS.replace(old, new))).configurations[instance]
    assert str(explain_restart(before, after)) == f"{reason} ({cause})"


def test_a_rotated_key_is_named_without_its_value() -> None:
    before = plan(inventory_of(US_STOCKS)).configurations["listener-massive"]
    after = plan(inventory_of(US_STOCKS, secrets=OTHER_SECRET)).configurations["listener-massive"]
    assert str(explain_restart(before, after)) == "CredentialsRotated"


def test_several_changes_at_once_are_all_named() -> None:
    text = US_STOCKS.replace("limit: 20", "limit: 30").replace('premarket: "04:00"', 'premarket: "07:00"')
    before = plan(inventory_of(US_STOCKS)).configurations["analyzer-us-stocks-0"]
    restart = explain_restart(before, plan(inventory_of(text)).configurations["analyzer-us-stocks-0"])
    assert restart.reasons == (RestartReason.MARKET_CHANGED, RestartReason.SCANNER_CHANGED)
