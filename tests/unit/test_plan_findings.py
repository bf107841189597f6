"""What is wrong with a resource becomes a reason and a sentence, and never stops the rest."""

import json

import pytest

from scanplane.features.catalogue import CATALOGUE
from scanplane.marketdata.channels import Channel
from scanplane.plan.inventory import Finding, Home, Reason, ResourceKey, Severity
from scanplane.plan.planner import plan
from scanplane.resources.kinds import Kind
from support.inventories import US_STOCKS, inventory_of

SECOND_FEED = """
---
apiVersion: scanplane.io/v1alpha1
kind: Feed
metadata: {name: other}
spec:
  provider: Massive
  massive: {feed: Delayed, apiKeySecretRef: {name: massive, key: apiKey}}
  maxConnections: 2
---
apiVersion: scanplane.io/v1alpha1
kind: Subscription
metadata: {name: zz}
spec:
  feedRef: {name: other}
  marketRef: {name: us-stocks}
  channels: [SecondAggregates]
  symbols: [AAPL]
"""
SECOND_MARKET = """
---
apiVersion: scanplane.io/v1alpha1
kind: Market
metadata: {name: crypto}
spec: {assetClass: Crypto}
---
apiVersion: scanplane.io/v1alpha1
kind: Subscription
metadata: {name: zz}
spec:
  feedRef: {name: massive}
  marketRef: {name: crypto}
  channels: [Trades]
  symbols: ["*"]
"""
SECOND_DELIVERY = """
---
apiVersion: scanplane.io/v1alpha1
kind: Subscription
metadata: {name: aa}
spec:
  feedRef: {name: massive}
  marketRef: {name: us-stocks}
  channels: [SecondAggregates]
  symbols: ["*"]
  delivery: {timeToLive: 5s}
---
apiVersion: scanplane.io/v1alpha1
kind: Subscription
metadata: {name: zz}
spec:
  feedRef: {name: massive}
  marketRef: {name: us-stocks}
  channels: [SecondAggregates]
  symbols: ["*"]
  delivery: {timeToLive: 10s}
"""
TWO_SPELLINGS = """
apiVersion: scanplane.io/v1alpha1
kind: Feed
metadata: {name: one}
spec: {provider: Massive, massive: {feed: RealTime, apiKeySecretRef: {name: massive, key: apiKey}}, maxConnections: 2}
---
apiVersion: scanplane.io/v1alpha1
kind: Feed
metadata: {name: two}
spec: {provider: Massive, massive: {feed: RealTime, apiKeySecretRef: {name: massive, key: apiKey}}, maxConnections: 2}
---
apiVersion: scanplane.io/v1alpha1
kind: Market
metadata: {name: crypto}
spec: {assetClass: Crypto}
---
apiVersion: scanplane.io/v1alpha1
kind: Subscription
metadata: {name: aa}
spec: {feedRef: {name: one}, marketRef: {name: crypto}, channels: [Trades], symbols: [BTC-USD]}
---
apiVersion: scanplane.io/v1alpha1
kind: Subscription
metadata: {name: zz}
spec: {feedRef: {name: two}, marketRef: {name: crypto}, channels: [Trades], symbols: ["ETH-USD", "X:BTC-USD"]}
"""

CASES = [
    pytest.param(
        US_STOCKS.replace("feedRef: {name: massive}", "feedRef: {name: masive}"),
        "Subscription/us-stocks-seconds",
        Reason.REFERENCE_NOT_FOUND,
        "feedRef.name there is no Feed 'masive' in namespace 'default'; there is massive",
        id="dangling feed",
    ),
    pytest.param(
        US_STOCKS.replace("kind: Scanner", "kind: Scanner").replace(
            "  marketRef: {name: us-stocks}\n  where", "  marketRef: {name: eu-stocks}\n  where"
        ),
        "Scanner/top-gappers",
        Reason.REFERENCE_NOT_FOUND,
        "marketRef.name there is no Market 'eu-stocks' in namespace 'default'; there is us-stocks",
        id="dangling market",
    ),
    pytest.param(
        US_STOCKS.replace("gap_percent >= 4.0", "gapp_percent >= 4.0"),
        "Scanner/top-gappers",
        Reason.INVALID_EXPRESSION,
        "where:1:17 unknown feature 'gapp_percent'; did you mean gap_percent?",
        id="bad expression",
    ),
    pytest.param(
        US_STOCKS.replace("limit: 20", "columns: [prise]"),
        "Scanner/top-gappers",
        Reason.UNKNOWN_FEATURE,
        "board.columns[0] unknown feature 'prise'; did you mean price?",
        id="bad column",
    ),
    pytest.param(
        US_STOCKS.replace("name: massive, key: apiKey", "name: massiv, key: apiKey"),
        "Feed/massive",
        Reason.SECRET_NOT_FOUND,
        "massive.apiKeySecretRef.name there is no Secret 'massiv': create it with the key 'apiKey'",
        id="missing secret",
    ),
    pytest.param(
        US_STOCKS.replace("key: apiKey", "key: apikey"),
        "Feed/massive",
        Reason.SECRET_NOT_FOUND,
        "massive.apiKeySecretRef.key Secret 'massive' has no key 'apikey'; it has apiKey",
        id="missing key",
    ),
    pytest.param(
        US_STOCKS.replace("assetClass: Stocks", "assetClass: Stocks\n  calendar: NYSEE"),
        "Market/us-stocks",
        Reason.UNKNOWN_CALENDAR,
        "calendar there is no calendar 'NYSEE': write an exchange's MIC such as XNYS, or 24/7",
        id="unknown calendar",
    ),
    pytest.param(
        US_STOCKS.replace("previousClose: Provider", "freeFloat: Provider"),
        "Market/us-stocks",
        Reason.REFERENCE_WITHOUT_PROVIDER,
        "reference.freeFloat the provider's bulk snapshot does not hold it: write File or None",
        id="a figure that the provider's snapshot lacks",
    ),
    pytest.param(
        US_STOCKS.replace("assetClass: Stocks", "assetClass: Crypto").replace("  sessions:", "  analyzer: {}\n  #"),
        "Market/us-stocks",
        Reason.REFERENCE_WITHOUT_PROVIDER,
        "reference.previousClose the provider's bulk snapshot is of stocks, not of Crypto: write File or None",
        id="previous closes of another asset class",
    ),
    pytest.param(
        US_STOCKS.replace("assetClass: Stocks", "assetClass: Options").replace("previousClose", "averageVolume"),
        "Market/us-stocks",
        Reason.REFERENCE_WITHOUT_PROVIDER,
        "reference.averageVolume the provider's bulk snapshot is of stocks, not of Options: write File or None",
        id="average volumes of another asset class",
    ),
    pytest.param(
        US_STOCKS.replace("RealTime", "Delayed").replace("[SecondAggregates]", "[Quotes]"),
        "Subscription/us-stocks-seconds",
        Reason.UNSUPPORTED_CHANNEL,
        "channels[0] the delayed feed has no Quotes for asset class Stocks; "
        "use FairMarketValue, MinuteAggregates, SecondAggregates, Trades",
        id="channel that the feed lacks",
    ),
    pytest.param(
        US_STOCKS + SECOND_FEED,
        "Subscription/zz",
        Reason.OVERLAPPING_FEEDS,
        "symbols Subscription 'us-stocks-seconds' already brings SecondAggregates of its symbols to this Market from Feed "
        "'massive', and both together would be counted twice: take each symbol from one Feed",
        id="the same from two feeds",
    ),
    pytest.param(
        TWO_SPELLINGS,
        "Subscription/zz",
        Reason.OVERLAPPING_FEEDS,
        "symbols Subscription 'aa' already brings Trades of X:BTC-USD to this Market from Feed 'one', and both together "
        "would be counted twice: take each symbol from one Feed",
        id="the same from two feeds in two spellings",
    ),
    pytest.param(
        US_STOCKS + SECOND_MARKET,
        "Subscription/zz",
        Reason.CONFLICTING_ASSET_CLASS,
        "feedRef.name one connection carries one asset class, and Subscription 'us-stocks-seconds' takes Stocks from Feed "
        "'massive': make a Feed of its own for Crypto",
        id="two asset classes on one connection",
    ),
    pytest.param(
        US_STOCKS + SECOND_DELIVERY,
        "Subscription/zz",
        Reason.CONFLICTING_DELIVERY,
        "delivery.timeToLive 10s contradicts 5s in Subscription 'aa' to the same Market: write the same, or leave one out",
        id="deliveries that contradict",
    ),
]


def errors_of(findings: tuple[Finding, ...]) -> list[Finding]:
    return [finding for finding in findings if finding.severity is Severity.ERROR]


@pytest.mark.parametrize(("text", "key", "reason", "message"), CASES)
def test_a_mistake_is_told_with_its_place_and_what_to_write(text: str, key: str, reason: Reason, message: str) -> None:
    found = [finding for finding in plan(inventory_of(text)).findings if str(finding.key) == key]
    assert [(finding.reason, str(finding)) for finding in found] == [(reason, message)]


def option_quotes(name: str, contracts: range, feed: str = "massive") -> str:
    """Return a Subscription to Market us-stocks that takes quotes of made-up contracts."""
    symbols = ", ".join(f'"O:AAPL251219C{number:08}"' for number in contracts)
    return f"""
---
apiVersion: scanplane.io/v1alpha1
kind: Subscription
metadata: {{name: {name}}}
spec:
  feedRef: {{name: {feed}}}
  marketRef: {{name: us-stocks}}
  channels: [Quotes]
  symbols: [{symbols}]
"""


def test_subscriptions_of_one_feed_share_what_its_connection_takes() -> None:
    options = US_STOCKS.replace("assetClass: Stocks", "assetClass: Options").replace("previousClose: Provider, ", "")
    shared = options + option_quotes("bb", range(600)) + option_quotes("cc", range(100, 1000))
    running = plan(inventory_of(shared))
    assert not errors_of(running.findings), "they take 1000 contracts together"

    (refused,) = errors_of(plan(inventory_of(shared + option_quotes("dd", range(999, 1001)))).findings)
    assert (str(refused.key), refused.reason) == ("Subscription/dd", Reason.TOO_MANY_SYMBOLS)
    assert str(refused) == (
        "symbols Massive takes at most 1000 symbols for Quotes of Options over one connection, and it would be 1001 from Feed "
        "'massive' together with 'bb', 'cc': name fewer"
    )
    more = inventory_of(shared + option_quotes("aa", range(1, 1001)), last_good=running.accepted)
    assert [str(each.key) for each in errors_of(plan(more).findings)] == ["Subscription/aa"], "who runs goes on"


def test_a_duration_in_another_unit_is_no_contradiction() -> None:
    text = US_STOCKS + SECOND_DELIVERY.replace("10s", "5000ms")
    assert not errors_of(plan(inventory_of(text)).findings)


def feeds_of_one_account(*names: str, key: str = "apiKey", asset_class: str = "Stocks", connections: int = 1) -> str:
    """Return Feeds of one API key, each with a Market and a Subscription of its own, all of the Feed's name."""
    return "---".join(
        f"""
apiVersion: scanplane.io/v1alpha1
kind: Feed
metadata: {{name: {name}}}
spec:
  provider: Massive
  massive: {{feed: RealTime, apiKeySecretRef: {{name: massive, key: {key}}}}}
  maxConnections: {connections}
---
apiVersion: scanplane.io/v1alpha1
kind: Market
metadata: {{name: {name}}}
spec: {{assetClass: {asset_class}}}
---
apiVersion: scanplane.io/v1alpha1
kind: Subscription
metadata: {{name: {name}}}
spec: {{feedRef: {{name: {name}}}, marketRef: {{name: {name}}}, channels: [Trades], symbols: ["*"]}}
"""
        for name in names
    )


KEYS = {"massive": {"apiKey": "1", "other": "2"}}
CONNECTIONS = [
    pytest.param(feeds_of_one_account("a"), "", id="one"),
    pytest.param(
        feeds_of_one_account("b", "a").replace("  maxConnections: 1\n", ""),
        "Subscription/b feedRef.name Feed 'a' holds the one connection that the account of this API key has for Stocks, "
        "live and delayed together: take everything from one Feed, or write maxConnections: 2 in a Feed if the account "
        "allows more",
        id="two",
    ),
    pytest.param(feeds_of_one_account("a", "b", connections=2), "", id="two that the account allows"),
    pytest.param(
        feeds_of_one_account("a") + "---" + feeds_of_one_account("b", connections=2), "", id="one Feed says so for both"
    ),
    pytest.param(
        feeds_of_one_account("a", "b", "c", connections=2),
        "Subscription/c feedRef.name Feeds 'a', 'b' hold the 2 connections that the account of this API key has for "
        "Stocks, live and delayed together: take everything from one Feed, or write maxConnections: 3 in a Feed if the "
        "account allows more",
        id="three where two are allowed",
    ),
    pytest.param(feeds_of_one_account("a") + "---" + feeds_of_one_account("b", key="other"), "", id="another account"),
    pytest.param(
        feeds_of_one_account("a") + "---" + feeds_of_one_account("b", asset_class="Crypto"),
        "",
        id="another asset class",
    ),
    pytest.param(
        feeds_of_one_account("a", "b").replace("feedRef: {name: b}", "feedRef: {name: a}"),
        "",
        id="a Feed that nothing takes from",
    ),
]


@pytest.mark.parametrize(("text", "expected"), CONNECTIONS)
def test_no_more_feeds_are_used_than_the_account_allows_connections(text: str, expected: str) -> None:
    planned = plan(inventory_of(text, secrets=KEYS))
    assert [f"{finding.key} {finding}" for finding in planned.findings] == ([expected] if expected else [])
    assert {finding.reason for finding in planned.findings} <= {Reason.TOO_MANY_CONNECTIONS}
    listeners = {name for name in planned.configurations if name.startswith("listener-")}
    assert "listener-a" in listeners
    assert not {f"listener-{finding.key.name}" for finding in planned.findings} & listeners


def test_who_holds_the_connection_keeps_it_whatever_is_added_or_edited() -> None:
    before = plan(inventory_of(feeds_of_one_account("z"), secrets=KEYS))
    both = feeds_of_one_account("a", "z")
    added = plan(inventory_of(both, secrets=KEYS, last_good=before.accepted))
    edited = both.replace("name: z}, channels: [Trades]", "name: z}, channels: [Trades, Quotes]")
    assert edited != both
    later = plan(inventory_of(edited, secrets=KEYS, last_good=added.accepted))
    for planned in (added, later):
        assert [str(finding.key) for finding in errors_of(planned.findings)] == ["Subscription/a"]
        assert "listener-z" in planned.configurations


EDITS = {
    "the key of another Feed": (
        feeds_of_one_account("a") + "---" + feeds_of_one_account("b", key="other"),
        "key: other",
    ),
    "fewer connections": (feeds_of_one_account("a", "b", connections=2), "maxConnections: 2"),
}


@pytest.mark.parametrize("case", EDITS)
def test_an_edit_that_would_cost_a_feed_its_connection_is_refused_and_what_runs_goes_on(case: str) -> None:
    text, before = EDITS[case]
    good = plan(inventory_of(text, secrets=KEYS))
    assert good.findings == ()
    after = before.replace("other", "apiKey").replace("2", "1")
    edited = plan(inventory_of(text.replace(before, after), secrets=KEYS, last_good=good.accepted))
    (finding,) = edited.findings
    assert (str(finding.key), finding.reason) == ("Feed/b", Reason.TOO_MANY_CONNECTIONS)
    assert str(finding).startswith("massive.apiKeySecretRef Feed 'a' holds the one connection that the account")
    assert edited.configurations == good.configurations
    again = plan(inventory_of(text, secrets=KEYS, last_good=edited.accepted))
    assert again.findings == ()


@pytest.mark.parametrize("gone", ["Feed", "Subscription"])
def test_a_connection_that_is_given_up_in_the_same_edit_is_free(gone: str) -> None:
    good = plan(inventory_of(EDITS["the key of another Feed"][0], secrets=KEYS))
    documents = feeds_of_one_account("a", "b").split("---")
    kept = [each for each in documents if f"kind: {gone}\nmetadata: {{name: a}}" not in each]
    assert len(kept) == len(documents) - 1
    edited = plan(inventory_of("---".join(kept), secrets=KEYS, last_good=good.accepted))
    assert not [finding for finding in edited.findings if finding.reason is Reason.TOO_MANY_CONNECTIONS]
    assert "listener-b" in edited.configurations


def test_a_recording_takes_no_connection() -> None:
    replay = """
---
apiVersion: scanplane.io/v1alpha1
kind: Feed
metadata: {name: b}
spec: {provider: Replay, replay: {path: a.recording}}
"""
    assert plan(inventory_of(feeds_of_one_account("a", "b") + replay, secrets=KEYS)).findings == ()


def test_a_mistake_in_one_scanner_leaves_the_others_running() -> None:
    broken = US_STOCKS[US_STOCKS.index("apiVersion", US_STOCKS.index("kind: Subscription")) :]
    broken = "---\n" + broken.replace("top-gappers", "broken").replace("price >= 2.0", "prise >= 2.0")
    broken = broken[broken.rindex("---") :]
    planned = plan(inventory_of(US_STOCKS + broken))
    assert [finding.key.name for finding in errors_of(planned.findings)] == ["broken"]
    analyzer = planned.configurations["analyzer-us-stocks-0"]
    assert [scanner.name for scanner in analyzer.scanners] == ["top-gappers"]  # type: ignore[union-attr]  # an analyzer


def test_a_bad_edit_keeps_the_last_good_version_running() -> None:
    good = plan(inventory_of(US_STOCKS))
    bad = inventory_of(US_STOCKS.replace("gap_percent >= 4.0", "gap_percent >== 4.0"), last_good=good.accepted)
    planned = plan(bad)
    assert errors_of(planned.findings)
    assert planned.configurations == good.configurations
    assert planned.accepted == good.accepted


def test_a_secret_that_is_gone_is_told_and_takes_nothing_down() -> None:
    good = plan(inventory_of(US_STOCKS))
    planned = plan(inventory_of(US_STOCKS, secrets={}, last_good=good.accepted))
    assert [(str(finding.key), finding.reason) for finding in errors_of(planned.findings)] == [
        ("Feed/massive", Reason.SECRET_NOT_FOUND)
    ]
    assert planned.configurations.keys() == good.configurations.keys()
    assert planned.accepted == good.accepted


def test_a_cluster_without_a_data_plane_accepts_nothing_that_would_run() -> None:
    planned = plan(inventory_of(US_STOCKS, home=Home.CLUSTER))
    assert {(str(finding.key), finding.reason) for finding in errors_of(planned.findings)} >= {
        ("Feed/massive", Reason.SERVICE_REQUIRED),
        ("Market/us-stocks", Reason.SERVICE_REQUIRED),
    }


FILES = """
apiVersion: scanplane.io/v1alpha1
kind: DataPlane
metadata: {name: default}
spec:
  broker: {urlSecretRef: {name: services, key: broker}}
  cache: {urlSecretRef: {name: services, key: cache}}
---
apiVersion: scanplane.io/v1alpha1
kind: Market
metadata: {name: us-stocks}
spec:
  assetClass: Stocks
  reference: {freeFloat: File, file: {symbols: symbols.csv CONFIG_MAP}}
"""


@pytest.mark.parametrize(
    ("config_map", "there", "expected"),
    [
        ("", {}, "reference.file on a cluster 'symbols.csv' must be a key of a ConfigMap: set configMapRef"),
        (", configMapRef: {name: data}", {}, "reference.file.configMapRef.name there is no ConfigMap 'data'"),
        (
            ", configMapRef: {name: data}",
            {"data": {"other.csv": "1"}},
            "reference.file ConfigMap 'data' has no key 'symbols.csv'; it has other.csv",
        ),
        (", configMapRef: {name: data}", {"data": {"symbols.csv": "1"}}, None),
    ],
)
def test_files_on_a_cluster_are_keys_of_a_config_map(
    config_map: str, there: dict[str, dict[str, str]], expected: str | None
) -> None:
    services = {"services": {"broker": "1", "cache": "2"}}
    text = FILES.replace(" CONFIG_MAP", config_map)
    planned = plan(inventory_of(text, home=Home.CLUSTER, secrets=services, config_maps=there))
    messages = [str(finding) for finding in errors_of(planned.findings)]
    assert len(messages) == (expected is not None)
    assert expected is None or messages[0].startswith(expected)


@pytest.mark.parametrize(
    ("symbols", "expected"),
    [
        (
            "reference/symbols.csv",
            ["file.symbols 'reference/symbols.csv' can't be a key of a ConfigMap: write symbols.csv"],
        ),
        (
            "my/",
            ["file.symbols 'my/' can't be a key of a ConfigMap: use letters, digits, hyphens, dots and underscores"],
        ),
        ("/usr/share/symbols.csv", []),
    ],
)
def test_what_cannot_be_a_key_of_a_config_map_is_told_so(symbols: str, expected: list[str]) -> None:
    text = FILES.replace("symbols.csv CONFIG_MAP", f'"{symbols}", configMapRef: {{name: data}}')
    services = {"services": {"broker": "1", "cache": "2"}}
    planned = plan(inventory_of(text, home=Home.CLUSTER, secrets=services, config_maps={"data": {"symbols.csv": "1"}}))
    assert [str(finding).removeprefix("reference.") for finding in errors_of(planned.findings)] == expected
    assert errors_of(plan(inventory_of(text)).findings) == []


def test_a_deleted_resource_is_not_kept_by_its_last_good_version() -> None:
    good = plan(inventory_of(US_STOCKS))
    without = US_STOCKS[: US_STOCKS.rindex("---")]
    planned = plan(inventory_of(without, last_good=good.accepted))
    assert planned.configurations["analyzer-us-stocks-0"].scanners == ()  # type: ignore[union-attr]  # an analyzer


def test_what_stands_on_a_refused_resource_says_which_one_to_mend() -> None:
    planned = plan(inventory_of(US_STOCKS, secrets={}))
    messages = {str(finding.key): str(finding) for finding in errors_of(planned.findings)}
    assert (
        messages["Subscription/us-stocks-seconds"]
        == "feedRef.name Feed 'massive' is not accepted itself: mend it first"
    )
    assert sorted(planned.configurations) == ["gateway"]


def test_a_feature_that_nobody_feeds_is_a_warning() -> None:
    planned = plan(inventory_of(US_STOCKS.replace("price >= 2.0", "spread_percent < 1.0 && free_float < 2e7")))
    assert [(finding.severity, finding.reason, str(finding)) for finding in planned.findings] == [
        (
            Severity.WARNING,
            Reason.FEATURE_WITHOUT_DATA,
            "where free_float stays unknown: Market 'us-stocks' has no spec.reference.freeFloat",
        ),
        (
            Severity.WARNING,
            Reason.FEATURE_WITHOUT_DATA,
            "where spread_percent stays unknown: no Subscription of this Market takes Quotes",
        ),
    ]
    assert ResourceKey(Kind.SCANNER, "top-gappers") in planned.accepted


@pytest.mark.parametrize("channel", [each for each in Channel if each is not Channel.INDEX_VALUES])
def test_a_channel_that_feeds_no_feature_is_a_warning(channel: Channel) -> None:
    feeds_some = any(channel in feature.any_of for feature in CATALOGUE.values())
    planned = plan(inventory_of(US_STOCKS.replace("[SecondAggregates]", f"[SecondAggregates, {channel}]")))
    assert [(finding.severity, finding.reason, str(finding)) for finding in planned.findings] == (
        []
        if feeds_some
        else [
            (
                Severity.WARNING,
                Reason.CHANNEL_WITHOUT_FEATURE,
                f"channels[1] no feature is made of {channel}, so no Scanner can ask for it: leave it out",
            )
        ]
    )
    assert ResourceKey(Kind.SUBSCRIPTION, "us-stocks-seconds") in planned.accepted


def test_a_cluster_needs_a_broker_and_a_cache() -> None:
    data_plane = "apiVersion: scanplane.io/v1alpha1\nkind: DataPlane\nmetadata: {name: default}\nspec: {}\n"
    planned = plan(inventory_of(data_plane, home=Home.CLUSTER))
    assert [finding.reason for finding in planned.findings] == [Reason.SERVICE_REQUIRED] * 2
    assert plan(inventory_of(data_plane)).findings == ()


GUARDED = """
---
apiVersion: scanplane.io/v1alpha1
kind: DataPlane
metadata: {name: default}
spec:
  broker: {urlSecretRef: {name: services, key: broker}}
  cache: {urlSecretRef: {name: services, key: cache}}
  gateway: {tokensSecretRef: {name: readers}}
"""
KEY = {"massive": {"apiKey": "1"}}
TOKENS = {"readers": {"alice": "2"}}
SERVICES = {"services": {"broker": "3", "cache": "4"}}


@pytest.mark.parametrize("home", Home)
@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        (US_STOCKS + GUARDED, [Reason.SECRET_NOT_FOUND]),
        (US_STOCKS + GUARDED.replace("{name: default}", "{name: defualt}"), [Reason.NOT_USED, Reason.SECRET_NOT_FOUND]),
    ],
)
def test_a_refused_data_plane_is_not_taken_for_one_that_is_left_out(
    text: str, reasons: list[Reason], home: Home
) -> None:
    planned = plan(inventory_of(text, home=home, secrets=KEY | SERVICES))
    refused = [finding for finding in errors_of(planned.findings) if finding.key.kind is Kind.DATA_PLANE]
    assert [finding.reason for finding in refused] == reasons
    assert planned.is_withheld
    assert planned.configurations == {}


def test_nothing_runs_where_a_data_plane_is_so_malformed_that_its_settings_are_not_known() -> None:
    malformed = frozenset({ResourceKey(Kind.DATA_PLANE, "default")})
    assert plan(inventory_of(US_STOCKS, malformed=malformed)).configurations == {}


@pytest.mark.parametrize("home", [Home.LOCAL, Home.PROCESSES])
def test_a_refused_data_plane_leaves_what_runs_as_it_is(home: Home) -> None:
    good = plan(inventory_of(US_STOCKS + GUARDED, home=home, secrets=KEY | SERVICES | TOKENS))
    edited = (US_STOCKS + GUARDED).replace("readers", "raeders")
    bad = inventory_of(edited, home=home, secrets=KEY | SERVICES | TOKENS, last_good=good.accepted)
    assert errors_of(plan(bad).findings)
    assert plan(bad).configurations == good.configurations

    without = plan(inventory_of(US_STOCKS, home=home, secrets=KEY))
    added = inventory_of(US_STOCKS + GUARDED, home=home, secrets=KEY | SERVICES, last_good=without.accepted)
    assert errors_of(plan(added).findings)
    assert plan(added).configurations == without.configurations


def test_in_one_process_a_broker_and_a_cache_in_memory_serve_where_the_secrets_of_others_are_not_there() -> None:
    planned = plan(inventory_of(US_STOCKS + GUARDED, secrets=KEY | TOKENS | {"services": {"cache": "4"}}))
    assert [(finding.severity, finding.reason, str(finding)) for finding in planned.findings] == [
        (
            Severity.WARNING,
            Reason.SECRET_NOT_FOUND,
            "broker.urlSecretRef there is no key 'broker' of a Secret 'services' here: a broker in memory serves",
        )
    ]
    services = planned.configurations["gateway"].services
    assert services.broker_url is None
    assert services.cache_url is not None


@pytest.mark.parametrize("home", [Home.PROCESSES, Home.CLUSTER])
def test_several_processes_need_the_broker_and_the_cache_that_are_named(home: Home) -> None:
    planned = plan(inventory_of(US_STOCKS + GUARDED, home=home, secrets=KEY | TOKENS))
    refused = [finding for finding in errors_of(planned.findings) if finding.key.kind is Kind.DATA_PLANE]
    assert [str(finding) for finding in refused] == [
        "broker.urlSecretRef.name there is no Secret 'services': create it with the key 'broker'",
        "cache.urlSecretRef.name there is no Secret 'services': create it with the key 'cache'",
    ]
    assert planned.configurations == {}


def test_a_data_plane_of_another_name_is_not_used_and_says_so() -> None:
    data_plane = "apiVersion: scanplane.io/v1alpha1\nkind: DataPlane\nmetadata: {name: other}\nspec: {}\n"
    planned = plan(inventory_of(data_plane))
    assert [finding.reason for finding in planned.findings] == [Reason.NOT_USED]


HOURS = {
    ("Stocks", "XNYS", "09:30", "16:00"): [],
    ("Stocks", None, "09:31", "15:59"): [
        "sessions.postmarket 15:59 is before the close of XNYS: write 16:00 or later",
        "sessions.premarket 09:31 is after the open of XNYS: write 09:30 or earlier",
    ],
    ("Crypto", None, "00:00", None): [],
    ("Crypto", None, "00:01", "23:59"): [
        "sessions.postmarket 23:59 is before the close of 24/7: leave it out",
        "sessions.premarket 00:01 is after the open of 24/7: leave it out",
    ],
    ("Indices", "CMES", "00:00", None): ["sessions.premarket 00:00 is after the open of CMES: leave it out"],
    ("Indices", "ICE", None, "20:00"): [],
    ("Indices", "ICE", None, "17:00"): ["sessions.postmarket 17:00 is before the close of ICE: write 18:00 to 20:00"],
    ("Indices", "ICE", None, "20:01"): [
        "sessions.postmarket 20:01 is after the next open of ICE: write 18:00 to 20:00"
    ],
}


@pytest.mark.parametrize("hours", HOURS, ids=str)
def test_extended_hours_lie_around_the_calendars_own(hours: tuple[str, str, str | None, str | None]) -> None:
    asset_class, calendar, premarket, postmarket = hours
    sessions = {"premarket": premarket, "postmarket": postmarket}
    spec = {
        "assetClass": asset_class,
        **({"calendar": calendar} if calendar else {}),
        "sessions": {session: time for session, time in sessions.items() if time},
    }
    market = {"apiVersion": "scanplane.io/v1alpha1", "kind": "Market", "metadata": {"name": "m"}, "spec": spec}
    found = plan(inventory_of(json.dumps(market))).findings
    assert [str(finding) for finding in found] == HOURS[hours]
    assert {finding.reason for finding in found} <= {Reason.CONFLICTING_SESSIONS}
