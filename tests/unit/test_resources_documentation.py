"""docs/resources.md says everything that the models say, and its examples and defaults are true."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scanplane.local.world import build_world
from scanplane.plan.condition_reasons import CONDITIONS, REASONS
from scanplane.plan.configuration import AnalyzerConfiguration, GatewayConfiguration, ListenerConfiguration
from scanplane.plan.documentation import render_resources
from scanplane.plan.inventory import Reason
from scanplane.plan.planner import plan
from scanplane.resources.common import duration_ns
from scanplane.resources.crds import custom_resource_definition
from scanplane.resources.documentation import FieldRow, field_rows
from scanplane.resources.documents import SourceText, parse_documents
from scanplane.resources.introductions import INTRODUCTIONS
from scanplane.resources.kinds import KINDS, Kind
from scanplane.resources.schema import NodeType, SchemaNode, schema_of, spec_schema
from scanplane.resources.status import ConditionType
from scanplane_operator.manifests import pods
from support.inventories import inventory_of
from support.operator_world import settled_world

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "resources.md"
SPECS = {kind: list(field_rows(spec_schema(info.model))) for kind, info in KINDS.items()}
STATUSES = {kind: list(field_rows(schema_of(info.status))) for kind, info in KINDS.items()}

WITHOUT_CHOICES = """
{kind: Feed, metadata: {name: f}, spec: {provider: Replay, replay: {path: x}}}
---
{kind: Market, metadata: {name: m}, spec: {assetClass: Stocks}}
---
kind: Subscription
metadata: {name: s}
spec: {feedRef: {name: f}, marketRef: {name: m}, channels: [Trades], symbols: [A]}
---
kind: Scanner
metadata: {name: q}
spec: {marketRef: {name: m}, where: price > 1, board: {rankBy: price}, signal: {}}
"""


def section(kind: Kind) -> str:
    return render_resources().partition(f"\n## {kind}\n")[2].partition("\n## ")[0]


def paths(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, child in schema.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        yield here
        yield from paths(child, here)
        yield from paths(child.get("items", {}), f"{here}[]")


def test_the_page_of_resources_is_what_the_models_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == render_resources(), "run `make generate`"


@pytest.mark.parametrize("part", ["spec", "status"])
@pytest.mark.parametrize("kind", list(Kind))
def test_every_field_of_a_definition_has_a_row_or_is_referred_to(kind: Kind, part: str) -> None:
    (version,) = custom_resource_definition(KINDS[kind])["spec"]["versions"]
    rows = {row.path: row for row in (SPECS if part == "spec" else STATUSES)[kind]}
    told = set(rows)
    for path in paths(version["schema"]["openAPIV3Schema"]["properties"][part]):
        above = [path[: match.start()] for match in re.finditer(r"(\[\])?\.", path)]
        is_referred_to = any(
            re.search(r"`\{name(, key)?\}`", rows[each].values) or "Its fields are those of `" in rows[each].meaning
            for each in above
            if each in rows
        )
        assert path in told or is_referred_to, path
        told.discard(path)
    assert told == set(), "rows of fields that there are not"


@pytest.mark.parametrize("kind", list(Kind))
def test_what_is_referred_to_is_the_same_object(kind: Kind) -> None:
    spec = spec_schema(KINDS[kind].model)

    def node_at(path: str) -> SchemaNode:
        node = spec
        for name in path.split("."):
            node = node.properties[name]
        return node

    for row in SPECS[kind]:
        found = re.search(r"Its fields are those of `(.+)`", row.meaning)
        if found:
            assert node_at(row.path).properties == node_at(found[1]).properties
            assert found[1] in {each.path for each in SPECS[kind]}


ALL_ROWS = [
    pytest.param(row, id=f"{kind}.{part}.{row.path}")
    for part, of_kinds in (("spec", SPECS), ("status", STATUSES))
    for kind, rows in of_kinds.items()
    for row in rows
]


@pytest.mark.parametrize("row", ALL_ROWS)
def test_every_figure_has_a_unit_and_every_default_stands_in_its_column(row: FieldRow) -> None:
    if re.match(r"whole number|number|duration|amount|time of day", row.values):
        assert row.unit, "add it to the units of resources/documentation.py"
    assert row.meaning.endswith(".")
    assert not re.search(r"(if|when) left out", row.meaning)
    assert "One of" not in row.meaning


def test_every_row_of_every_table_has_as_many_cells_as_its_header() -> None:
    for table in re.findall(r"(?:^\|.*\n)+", render_resources(), re.MULTILINE):
        assert len({line.replace("\\|", "").count("|") for line in table.splitlines()}) == 1, table


@pytest.mark.parametrize(
    ("description", "default", "meaning"),
    [
        ("How many gateways. 1 if left out.", "1", "How many gateways."),
        ("TCP port. 8080 if left out; 0 takes a free one.", "8080", "TCP port. 0 takes a free one."),
        ("The service, for reference data; Massive's own when left out.", "Massive's own", "The service, for reference data."),
        ("A calendar. XNYS for Stocks, else 24/7, if left out.", "XNYS for Stocks, else 24/7", "A calendar."),
        ("The share, 0 to 1. 0.01 if left out.", "0.01", "The share, 0 to 1."),
        ("Decided by the feed if left out; empty for real time.", "Decided by the feed", "Empty for real time."),
        ("What is promised; what is left out has its default.", "", "What is promised; what is left out has its default."),
    ],
)  # fmt: skip
def test_a_default_is_taken_out_of_its_description(description: str, default: str, meaning: str) -> None:
    field = SchemaNode(type=NodeType.STRING, description=description)
    (row,) = field_rows(SchemaNode(type=NodeType.OBJECT, properties={"field": field}))
    assert (row.default, row.meaning) == (default, meaning)


def test_what_is_decided_for_fields_that_are_left_out_is_what_the_page_says() -> None:
    planned = plan(inventory_of(WITHOUT_CHOICES)).configurations
    listener, analyzer, gateway = planned["listener-f"], planned["analyzer-m-0"], planned["gateway"]
    assert isinstance(listener, ListenerConfiguration)
    assert isinstance(analyzer, AnalyzerConfiguration)
    assert isinstance(gateway, GatewayConfiguration)
    (route,), (scanner,), (stream,) = listener.routes, analyzer.scanners, analyzer.streams
    assert scanner.board is not None
    assert scanner.signal is not None
    decided = {
        (Kind.DATA_PLANE, "gateway.replicas"): settled_world().deployment("gateway")["spec"]["replicas"],
        (Kind.DATA_PLANE, "gateway.port"): gateway.port,
        (Kind.DATA_PLANE, "gateway.maxClients"): gateway.max_clients,
        (Kind.DATA_PLANE, "gateway.maxClientBytes"): gateway.max_client_bytes,
        (Kind.DATA_PLANE, "gateway.maxUpdatesPerSecond"): gateway.max_updates_per_second,
        (Kind.DATA_PLANE, "telemetry.traceRatio"): gateway.services.trace_ratio,
        (Kind.DATA_PLANE, "telemetry.exportInterval"): gateway.services.export_interval_ns,
        (Kind.FEED, "staleAfter"): stream.stale_after_ns,
        (Kind.MARKET, "analyzer.partitions"): route.partitions,
        (Kind.MARKET, "analyzer.evaluationInterval"): analyzer.evaluation_interval_ns,
        (Kind.MARKET, "analyzer.maxSymbols"): analyzer.max_symbols,
        (Kind.SUBSCRIPTION, "delivery.timeToLive"): route.time_to_live_ns,
        (Kind.SUBSCRIPTION, "delivery.maxBytes"): route.max_bytes,
        (Kind.SUBSCRIPTION, "delivery.batchDelay"): route.batch_delay_ns,
        (Kind.SCANNER, "board.limit"): scanner.board.limit,
        (Kind.SCANNER, "signal.cooldown"): scanner.signal.cooldown_ns,
    }
    assert {place: said(*place) for place in decided} == decided


def said(kind: Kind, path: str) -> float:
    """Return a default of the page as a number; a duration in nanoseconds."""
    (row,) = (row for row in SPECS[kind] if row.path == path)
    return duration_ns(row.default) if row.values == "duration" else float(row.default.partition(" (")[0])


def test_the_examples_are_accepted_together_without_a_remark() -> None:
    assert all(introduction.example in section(kind) for kind, introduction in INTRODUCTIONS.items())
    sources = [SourceText(f"{kind}.yaml", introduction.example) for kind, introduction in INTRODUCTIONS.items()]
    world = build_world(sources, {}, assume_inputs=True)
    assert (world.problems, world.remarks) == ((), ())
    assert {key.kind for key in world.plan.accepted} == set(Kind)


def test_the_resources_of_pods_are_those_of_the_operator() -> None:
    rows = re.findall(
        r"^\| (\w+) \| cpu (\w+), memory (\w+) \| memory (\w+) \|$", section(Kind.DATA_PLANE), re.MULTILINE
    )
    told = {role: ({"cpu": cpu, "memory": memory}, {"memory": limit}) for role, cpu, memory, limit in rows}
    assert told == pods._DEFAULT_RESOURCES


def test_every_condition_is_explained_with_every_reason_that_the_planner_has() -> None:
    assert list(CONDITIONS) == list(REASONS) == list(ConditionType)
    accepted = {each.reason for each in REASONS[ConditionType.ACCEPTED]}
    assert accepted == {str(reason) for reason in Reason} | {"InvalidSpec", "Paused"}
    for reasons in REASONS.values():
        assert len({(each.status, each.reason) for each in reasons}) == len(reasons)
        for each in reasons:
            assert f"| {each.status.value} | `{each.reason}` |" in render_resources()


PAGES = sorted(ROOT.glob("docs/**/*.md"))


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_every_resource_on_a_page_is_right(page: Path) -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    found = [parse_documents([SourceText(page.name, block)]) for block in blocks]
    assert [str(problem) for documents in found for problem in documents.problems] == []
    assert all(documents.resources for documents in found)


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_every_link_of_a_page_leads_to_a_page_and_a_heading(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        path, _, heading = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not heading or heading in headings(linked), target


def headings(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
