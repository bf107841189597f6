"""What runs is what the files say, and where they say nothing sensible, what they said last."""

from collections.abc import Mapping

import pytest

from scanplane.local.world import World, build_world
from scanplane.plan.configuration import AnalyzerConfiguration, ListenerConfiguration, SecretKey, configuration_hash
from scanplane.plan.inventory import ResourceKey
from scanplane.resources.documents import SourceText
from scanplane.resources.kinds import Kind

FEED = """
apiVersion: v1
kind: Secret
metadata: {name: massive}
stringData: {apiKey: first-key}
---
apiVersion: scanplane.io/v1alpha1
kind: Feed
metadata: {name: massive}
spec:
  provider: Massive
  massive: {feed: RealTime, apiKeySecretRef: {name: massive, key: apiKey}}
---
apiVersion: scanplane.io/v1alpha1
kind: Market
metadata: {name: us-stocks}
spec: {assetClass: Stocks}
---
apiVersion: scanplane.io/v1alpha1
kind: Subscription
metadata: {name: seconds}
spec:
  feedRef: {name: massive}
  marketRef: {name: us-stocks}
  channels: [SecondAggregates]
  symbols: ["*"]
"""
SCANNER = """
apiVersion: scanplane.io/v1alpha1
kind: Scanner
metadata: {name: volume}
spec:
  marketRef: {name: us-stocks}
  where: price > 1.0
  board: {rankBy: volume, limit: 50}
"""


def world_of(files: Mapping[str, str], before: World | None = None) -> World:
    return build_world([SourceText(name, text) for name, text in files.items()], {}, before)


def hashes(world: World) -> dict[str, str]:
    return {name: configuration_hash(each) for name, each in world.plan.configurations.items()}


def lines(world: World) -> list[str]:
    return [str(problem) for problem in world.problems]


GOOD = {"feed.yaml": FEED, "scanner.yaml": SCANNER}

NOT_A_NAME = (
    "metadata.name: 'us_stocks' is not a resource name; use lower-case letters, digits and hyphens, such as us-stocks"
)
NO_MARKET = "spec.marketRef.name: there is no Market 'us-stocks' in namespace 'default': apply a Market of that name"

BAD_SCANNERS = {
    "a bad expression": (
        SCANNER.replace("price > 1.0", "pricee > 1.0"),
        "scanner.yaml:7:10 spec.where: unknown feature",
    ),
    "a wrong type": (SCANNER.replace("price > 1.0", "price"), "scanner.yaml:7:10 spec.where:"),
    "half a document": (SCANNER[: SCANNER.index("kind")], "scanner.yaml:2:1 kind: is missing"),
    "half a line": (SCANNER[: SCANNER.index("kind") + 6], "scanner.yaml:3:6 kind: is missing"),
    "half a list": (SCANNER[: SCANNER.index(", limit")], "scanner.yaml:"),
    "no field": (SCANNER.replace("limit: 50", "limits: 50"), "scanner.yaml:8:27 spec.board.limits: unknown field"),
    "nothing": ("", "scanner.yaml:1:1 the file is empty now"),
    "blank lines": ("\n  \n", "scanner.yaml:1:1 the file is empty now"),
}


@pytest.mark.parametrize("edit", BAD_SCANNERS)
def test_a_bad_edit_is_told_with_its_place_and_changes_nothing_that_runs(edit: str) -> None:
    good = world_of(GOOD)
    assert lines(good) == []
    text, told = BAD_SCANNERS[edit]
    bad = world_of(GOOD | {"scanner.yaml": text}, good)
    assert [line for line in lines(bad) if line.startswith(told)], lines(bad)
    assert hashes(bad) == hashes(good)


@pytest.mark.parametrize("second", BAD_SCANNERS)
def test_a_second_bad_edit_changes_nothing_either_and_a_good_one_counts_at_once(second: str) -> None:
    good = world_of(GOOD)
    bad = world_of(GOOD | {"scanner.yaml": "a: [1"}, good)
    worse = world_of(GOOD | {"scanner.yaml": BAD_SCANNERS[second][0]}, bad)
    assert worse.problems
    assert hashes(worse) == hashes(good)
    better = world_of(GOOD | {"scanner.yaml": SCANNER.replace("50", "60")}, worse)
    assert lines(better) == []
    changed = {name for name, each in hashes(better).items() if each != hashes(good)[name]}
    assert changed == {"analyzer-us-stocks-0"}


@pytest.mark.parametrize("text", ["", "a: [1", FEED.replace("apiKey: first-key", "apiKey: [first-key]")])
def test_a_secret_in_a_broken_file_stays_known(text: str) -> None:
    good = world_of(GOOD)
    once = world_of(GOOD | {"feed.yaml": text}, good)
    twice = world_of(GOOD | {"feed.yaml": "b: {"}, once)
    for bad in (once, twice):
        assert hashes(bad) == hashes(good)
        assert bad.secrets.read(SecretKey(name="massive", key="apiKey")) == "first-key"
        assert "first-key" not in repr(bad) + str(lines(bad))


GUARDED = """
apiVersion: scanplane.io/v1alpha1
kind: DataPlane
metadata: {name: default}
spec: {gateway: {tokensSecretRef: {name: readers}}}
"""
READERS = """
apiVersion: v1
kind: Secret
metadata: {name: readers}
stringData: {alice: a-token}
"""
BAD_DATA_PLANES = {
    "another Secret": GUARDED.replace("readers", "raeders"),
    "another name": GUARDED.replace("default", "defualt"),
    "no name": GUARDED.replace("{name: default}", "{}"),
    "a name that is none": GUARDED.replace("default", "Default"),
    "another kind": GUARDED.replace("DataPlane", "DataPlan"),
    "another group": GUARDED.replace("scanplane.io", "scanplan.io"),
    "an unknown field": GUARDED.replace("tokensSecretRef", "tokenSecretRef"),
    "no spec": GUARDED[: GUARDED.index("spec")],
    "half a document": GUARDED[: GUARDED.index("kind")],
    "half a line": GUARDED[: GUARDED.index("tokens")],
    "a list": "- a\n- b\n",
}


@pytest.mark.parametrize("case", BAD_DATA_PLANES)
def test_nothing_starts_with_a_data_plane_that_cannot_be_used_as_it_is_written(case: str) -> None:
    files = GOOD | {"readers.yaml": READERS, "data_plane.yaml": BAD_DATA_PLANES[case]}
    world = world_of(files)
    assert [line for line in lines(world) if line.startswith("data_plane.yaml:")], lines(world)
    assert world.plan.is_withheld
    assert hashes(world) == {}


@pytest.mark.parametrize("case", [*BAD_DATA_PLANES, "nothing"])
def test_a_bad_edit_of_the_data_plane_leaves_the_gateway_as_it_runs(case: str) -> None:
    files = GOOD | {"readers.yaml": READERS, "data_plane.yaml": GUARDED}
    good = world_of(files)
    once = world_of(files | {"data_plane.yaml": BAD_DATA_PLANES.get(case, "")}, good)
    twice = world_of(files | {"data_plane.yaml": "a: ["}, once)
    for bad in (once, twice):
        assert [line for line in lines(bad) if line.startswith("data_plane.yaml:")], lines(bad)
        assert hashes(bad) == hashes(good)
    removed = world_of(GOOD, twice)
    assert lines(removed) == []
    assert hashes(removed) == hashes(world_of(GOOD))


def test_a_mistake_in_another_file_keeps_no_gateway_from_starting_as_its_data_plane_says() -> None:
    files = GOOD | {"readers.yaml": READERS, "data_plane.yaml": GUARDED, "other.yaml": "a: ["}
    assert "gateway" in hashes(world_of(files))


def test_a_removed_file_takes_what_it_declared_with_it() -> None:
    good = world_of(GOOD)
    less = world_of({"feed.yaml": FEED}, good)
    assert lines(less) == []
    analyzer = less.plan.configurations["analyzer-us-stocks-0"]
    assert isinstance(analyzer, AnalyzerConfiguration)
    assert analyzer.scanners == ()


def test_a_resource_that_is_removed_from_a_file_that_can_be_read_goes() -> None:
    text = FEED + "---" + SCANNER
    good = world_of({"all.yaml": text})
    less = world_of({"all.yaml": FEED}, good)
    assert lines(less) == []
    assert hashes(less) == hashes(world_of({"all.yaml": FEED}))


def test_an_emptied_file_that_held_nothing_is_no_problem() -> None:
    good = world_of(GOOD | {"notes.yaml": "# nothing yet"})
    blank = world_of(GOOD | {"notes.yaml": ""}, good)
    assert lines(blank) == []
    assert [str(remark) for remark in blank.remarks] == ["notes.yaml:1:1 nothing in it"]


def test_a_resource_knows_its_file_also_while_that_cannot_be_read() -> None:
    good = world_of({"here/feed.yaml": FEED})
    bad = world_of({"here/feed.yaml": "a: ["}, good)
    assert bad.files[ResourceKey(Kind.FEED, "massive")] == "here/feed.yaml"


def test_a_rotated_secret_is_another_configuration() -> None:
    good = world_of(GOOD)
    rotated = world_of(GOOD | {"feed.yaml": FEED.replace("first-key", "second-key")}, good)
    listener = rotated.plan.configurations["listener-massive"]
    assert isinstance(listener, ListenerConfiguration)
    assert hashes(rotated)["listener-massive"] != hashes(good)["listener-massive"]


def test_problems_of_every_kind_stand_in_the_order_of_the_files_and_their_lines() -> None:
    scanner = SCANNER.replace("price > 1.0", "pricee > 1.0 &&").replace("limit: 50", "limit: 0, columns: [volumee]")
    feed = FEED.replace("RealTime", "Realtime").replace("{name: us-stocks}\nspec: {a", "{name: us_stocks}\nspec: {a")
    world = world_of({"feed.yaml": feed, "scanner.yaml": scanner})
    assert lines(world) == [
        "feed.yaml:12:19 spec.massive.feed: unknown feed 'Realtime'; did you mean RealTime?",
        "feed.yaml:16:18 " + NOT_A_NAME,
        "feed.yaml:23:19 spec.feedRef.name: Feed 'massive' is not accepted itself: mend it first",
        "feed.yaml:24:21 " + NO_MARKET,
        "scanner.yaml:6:21 " + NO_MARKET,
        "scanner.yaml:7:10 spec.where: unknown feature 'pricee'; did you mean price?",
        "scanner.yaml:7:25 spec.where: the expression ends too early; a feature, a number or a text belongs here",
        "scanner.yaml:8:34 spec.board.limit: must be at least 1, not 0",
        "scanner.yaml:8:47 spec.board.columns[0]: unknown feature 'volumee'; did you mean volume?",
    ]


AT_ONCE: dict[str, tuple[str, str, list[str]]] = {
    "a rule and what the planner knows": (
        "Market",
        "{assetClass: Stocks, calendar: NYSEE, reference: {volumeCurve: File, freeFloat: Provider}}",
        [
            "spec.calendar: there is no calendar 'NYSEE': write an exchange's MIC such as XNYS, or 24/7",
            "spec.reference.volumeCurve: volumeCurve: File needs spec.reference.file.volumeCurve",
            "spec.reference.freeFloat: the provider's bulk snapshot does not hold it: write File or None",
        ],
    ),
    "a rule about what stands around it": (
        "Market",
        "{assetClass: Stocks, reference: {previousClose: File, freeFloat: Provider}}",
        [
            "spec.reference: source File needs spec.reference.file.symbols",
            "spec.reference.freeFloat: the provider's bulk snapshot does not hold it: write File or None",
        ],
    ),
    "a wrong type, an expression and a reference": (
        "Scanner",
        "{marketRef: {name: eu-stocks}, where: pricee > 1.0, board: {rankBy: volume, limit: many}}",
        [
            "spec.marketRef.name: there is no Market 'eu-stocks' in namespace 'default'; there is us-stocks",
            "spec.where: unknown feature 'pricee'; did you mean price?",
            "spec.board.limit: must be a whole number, not the text 'many'",
        ],
    ),
    "an entry of a list and the next one": (
        "Scanner",
        "{marketRef: {name: us-stocks}, board: {rankBy: volume, columns: [Price, prise]}}",
        [
            "spec.board.columns[0]: 'Price' is not the name of a feature; use the catalogue's names, such as gap_percent",
            "spec.board.columns[1]: unknown feature 'prise'; did you mean price?",
        ],
    ),
    "too little to read": (
        "Subscription",
        '{feedRef: {name: masive}, channels: [Trades], symbols: ["*"]}',
        ["spec.marketRef: is missing"],
    ),
    "a reference and a delivery": (
        "Subscription",
        '{feedRef: {name: masive}, marketRef: {name: us-stocks}, channels: [Trades], symbols: ["*"], delivery: {timeToLive: 5}}',
        [
            "spec.feedRef.name: there is no Feed 'masive' in namespace 'default'; there is massive",
            "spec.delivery.timeToLive: 5 is not a duration; write a number with its unit (ms, s, m or h), such as 5s",
        ],
    ),
    "what is wrong within what is missing otherwise": (
        "DataPlane",
        "{broker: {urlSecretRef: {name: services}}, gateway: {tokensSecretRef: {name: readers}}}",
        [
            "spec.broker.urlSecretRef.key: is missing",
            "spec.gateway.tokensSecretRef: there is no Secret 'readers': create it with one key for each client",
        ],
    ),
}


@pytest.mark.parametrize("case", AT_ONCE)
@pytest.mark.parametrize("name", ["other", "default", "Other"])
def test_every_mistake_of_a_resource_is_told_at_once(case: str, name: str) -> None:
    kind, spec, told = AT_ONCE[case]
    name = "default" if kind == "DataPlane" and name == "other" else name
    text = f"apiVersion: scanplane.io/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    found = [line for line in lines(world_of({"feed.yaml": FEED, "bad.yaml": text})) if line.startswith("bad.yaml:")]
    in_spec = [line.partition(" ")[2] for line in found if " metadata.name: " not in line]
    assert sorted(in_spec) == sorted(told)
    assert (len(found) > len(in_spec)) is (name == "Other")


def test_a_second_declaration_is_checked_like_the_first() -> None:
    second = SCANNER.replace("price > 1.0", "pricee > 1.0")
    world = world_of(GOOD | {"zz.yaml": second})
    assert lines(world) == [
        "zz.yaml:4:18 metadata.name: Scanner volume is declared twice; the first is at scanner.yaml:4",
        "zz.yaml:7:10 spec.where: unknown feature 'pricee'; did you mean price?",
    ]
    assert hashes(world) == hashes(world_of(GOOD))


def test_a_missing_secret_is_told_where_it_is_referred_to() -> None:
    world = world_of({"feed.yaml": FEED[FEED.index("---") :]})
    assert lines(world) == [
        "feed.yaml:7:53 spec.massive.apiKeySecretRef.name: there is no Secret 'massive': create it with the key 'apiKey'",
        "feed.yaml:18:19 spec.feedRef.name: Feed 'massive' is not accepted itself: mend it first",
    ]
