"""What stands in examples/ is right, and a spec's digest is about the spec alone."""

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from scanplane.local.world import build_world
from scanplane.plan.configuration import AnalyzerConfiguration
from scanplane.plan.inventory import Home
from scanplane.resources.digest import spec_digest
from scanplane.resources.documents import SourceText, parse_documents
from scanplane.resources.feed import Feed
from scanplane.resources.market import Market

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted(path for path in (ROOT / "examples").rglob("*.yaml") if "data" not in path.parts)
FOLDERS = sorted({path.parent for path in EXAMPLES})


@pytest.mark.parametrize("folder", FOLDERS, ids=[str(folder.relative_to(ROOT)) for folder in FOLDERS])
def test_every_example_is_right(folder: Path) -> None:
    paths = [path for path in EXAMPLES if path.parent == folder]
    found = parse_documents([SourceText(str(path.relative_to(ROOT)), path.read_text()) for path in paths])
    assert [str(problem) for problem in found.problems] == []
    assert found.resources
    assert not [secret for secret in found.secrets if len("".join(secret.values.values())) > 20], "no real key"


def test_the_stock_example_holds_every_kind_and_its_references_meet() -> None:
    paths = [ROOT / "examples" / "us-stocks.yaml", *sorted((ROOT / "examples" / "scanners").glob("*.yaml"))]
    found = parse_documents([SourceText(path.name, path.read_text()) for path in paths])
    names = {(resource.kind.value, resource.name) for resource in found.resources}
    assert {kind for kind, _ in names} == {"DataPlane", "Feed", "Market", "Subscription", "Scanner"}
    for resource in found.resources:
        spec = msgspec.to_builtins(resource.resource.spec)
        for field, kind in (("feedRef", "Feed"), ("marketRef", "Market")):
            if field in spec:
                assert (kind, spec[field]["name"]) in names
    boards = {"top-volume", "top-gappers", "top-gainers", "highs-of-day", "lows-of-day", "low-float-gappers"}
    assert {name for kind, name in names if kind == "Scanner"} == boards


REFERENCE = ("volumeCurve: File", "freeFloat: File", "file: {symbols:")


@pytest.mark.parametrize("home", [Home.LOCAL, Home.CLUSTER])
@pytest.mark.parametrize("lines", [(), REFERENCE], ids=["as it is", "with files"])
def test_the_stock_example_works_in_both_homes_also_with_the_files_that_it_speaks_of(
    home: Home, lines: Sequence[str]
) -> None:
    text = (ROOT / "examples" / "us-stocks.yaml").read_text()
    for line in lines:
        assert text.count(f"#   {line}") == 1
        text = text.replace(f"#   {line}", line)
    scanners = [SourceText(path.name, path.read_text()) for path in (ROOT / "examples" / "scanners").glob("*.yaml")]
    world = build_world([SourceText("us-stocks.yaml", text), *scanners], {}, home=home, assume_inputs=True)
    assert [str(problem) for problem in world.problems] == []
    unknown = {remark.message.partition(" stays unknown")[0] for remark in world.remarks}
    assert unknown == (set() if lines else {"free_float", "relative_volume"})
    analyzer = world.plan.configurations["analyzer-us-stocks-0"]
    assert isinstance(analyzer, AnalyzerConfiguration)
    if lines:
        named = (analyzer.reference.symbols_file, analyzer.reference.volume_curve_file)
        mentioned = re.findall(r"--from-file=(\S+)", text[text.index("kubectl create configmap") :])
        assert list(named) == mentioned


def market(**spec: object) -> Market:
    made = {"metadata": {"name": "m"}, "spec": {"assetClass": "Stocks", **spec}}
    return msgspec.convert(made, Market)


def test_a_digest_is_the_same_for_the_same_spec_and_another_for_another() -> None:
    assert spec_digest(market()) == spec_digest(market(calendar=None))
    named = msgspec.convert({"metadata": {"name": "other", "generation": 7}, "spec": {"assetClass": "Stocks"}}, Market)
    assert spec_digest(named) == spec_digest(market())
    assert spec_digest(market(calendar="XNYS")) != spec_digest(market())
    assert spec_digest(market(analyzer={"partitions": 1, "standby": True})) == spec_digest(
        market(analyzer={"standby": True, "partitions": 1})
    )


def test_a_digest_does_not_change_between_releases() -> None:
    feed = msgspec.convert(
        {"metadata": {"name": "f"}, "spec": {"provider": "Replay", "replay": {"path": "day.csv", "speed": 2}}}, Feed
    )
    assert spec_digest(feed) == "e76b1909f9426418"
    assert spec_digest(market(calendar="XNYS")) == "d2eab0c142ad2f05"
