"""What holds of the chart's files without helm: values, schema, versions, and metrics that exist."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from scanplane import __version__
from scanplane.resources.crds import render_chart_crds, render_crds
from scanplane.resources.kinds import KINDS
from support.chart import CHART, ROOT, expressions, metrics_of

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
DASHBOARD = json.loads((CHART / "files" / "dashboard.json").read_text())
ALERTS = [
    rule for group in yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["groups"] for rule in group["rules"]
]
SOURCES = "\n".join(path.read_text() for folder in ("workloads", "operator") for path in (ROOT / folder).rglob("*.py"))


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    reference = node.get("$ref")
    return resolved(SCHEMA["$defs"][reference.removeprefix("#/$defs/")]) if reference else node


def leaves(values: dict[str, Any], node: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Return path, default and schema of every value."""
    for name, value in values.items():
        below = resolved(node["properties"][name])
        if "properties" in below:
            yield from leaves(value, below, f"{path}{name}.")
        else:
            yield f"{path}{name}", value, below


def test_the_schema_knows_the_values_of_the_chart_and_no_others() -> None:
    def compare(values: dict[str, Any], node: dict[str, Any], path: str) -> None:
        assert node["additionalProperties"] is False, path
        known = set(node["properties"]) - {"global"}
        if not path.endswith(("resources.", "persistence.")):  # what may be said there need not be
            assert known == set(values), path
        for name, value in values.items():
            below = resolved(node["properties"][name])
            if "properties" in below:
                compare(value, below, f"{path}{name}.")

    compare(VALUES, SCHEMA, "")
    assert len(list(leaves(VALUES, SCHEMA))) > 50


def test_every_value_says_in_one_line_what_it_is() -> None:
    lines = (CHART / "values.yaml").read_text().splitlines()
    undocumented = []
    for number, line in enumerate(lines):
        key = re.match(r"^( *)([A-Za-z]+):(.*)$", line)
        if key is None or (not key[3].strip() and not lines[number - 1].strip().startswith("#")):
            continue  # a group; its values have their lines
        if key[2] in {"requests", "limits"}:
            continue  # the comment is that of resources
        if not lines[number - 1].strip().startswith("# "):
            undocumented.append(f"{number + 1}: {line}")
    assert undocumented == []


def test_chart_application_and_package_have_one_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == __version__


def test_the_definitions_in_the_chart_differ_from_the_others_by_what_helm_decides() -> None:
    plain, templates = render_crds(), render_chart_crds()
    assert templates.keys() == plain.keys()
    assert len(templates) == len(KINDS)
    for name, template in templates.items():
        rest = template.partition("\nspec:\n")[2].removesuffix("{{- end }}\n")
        assert rest == plain[name].partition("\nspec:\n")[2]


def test_a_description_with_braces_is_no_action_for_helm(monkeypatch: pytest.MonkeyPatch) -> None:
    from scanplane.resources import crds  # noqa: PLC0415

    original = crds.custom_resource_definition

    def braced(info: Any) -> dict[str, Any]:
        definition = original(info)
        definition["spec"]["versions"][0]["additionalPrinterColumns"][0]["description"] = "{{ .Values }}"
        return definition

    monkeypatch.setattr(crds, "custom_resource_definition", braced)
    for template in render_chart_crds().values():
        assert '{{ "{{" }} .Values }}' in template


EXPRESSIONS = expressions()


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS, ids=[where for where, _ in EXPRESSIONS])
def test_every_metric_that_is_asked_for_exists(where: str, expression: str) -> None:
    assert expression.count("(") == expression.count(")"), where
    metrics = metrics_of(expression)
    assert metrics or where in {"open hours", "ScanplaneOperatorGone"}
    for metric in metrics:
        assert exists(metric), f"{where}: nothing tells {metric}"


def explained() -> dict[str, list[str]]:
    """Return the metrics that the documentation explains: each with the cells of its row behind the name."""
    rows = re.findall(
        r"^\| (`(?:scanplane|process)_[^|]+) \|(.+)\|$", (ROOT / "docs" / "telemetry.md").read_text(), re.MULTILINE
    )
    return {
        name: [cell.strip() for cell in cells.split("|")]
        for names, cells in rows
        for name in re.findall(r"`((?:scanplane|process)_[a-z0-9_]+)", names)
    }


def test_every_metric_that_is_asked_for_is_explained_with_its_unit() -> None:
    documented = explained()
    wanted = set().union(*(metrics_of(expression) for _, expression in EXPRESSIONS))
    wanted = {metric.removesuffix("_bucket") for metric in wanted}
    assert wanted - documented.keys() == set()
    assert [name for name in wanted if len(documented[name]) != 2 or not all(documented[name])] == []


def test_every_metric_of_the_operator_is_explained() -> None:
    documented = {name.removesuffix("_total") for name in explained()}
    assert set(re.findall(r'"(scanplane_operator_[a-z_]+)"', SOURCES)) <= documented


def test_every_metric_that_is_explained_exists() -> None:
    assert [name for name in explained() if not exists(name) and not exists(f"{name}_bucket")] == []
    assert len(explained()) > 40


def exists(metric: str) -> bool:
    """Whether some line of the sources names the figure, the latency or the operator's metric behind *metric*."""
    if metric.startswith("process_"):
        return metric in {"process_cpu_seconds_total", "process_resident_memory_bytes"}
    if metric.startswith("scanplane_operator_"):
        return f'"{metric}"' in SOURCES or f'"{metric.removesuffix("_total")}"' in SOURCES
    figure = metric.removeprefix("scanplane_").removeprefix("scanner_")
    if figure.endswith("_seconds_bucket"):
        figure = figure.removesuffix("_seconds_bucket")
    counted = rf"^    {figure}: int\b|^    {figure.removesuffix('_total')}: int\b"
    return f'"{figure}"' in SOURCES or re.search(counted, SOURCES, re.MULTILINE) is not None


def test_a_metric_that_nobody_tells_would_be_found() -> None:
    assert not exists("scanplane_reconnects_since_yesterday_total")
    assert exists("scanplane_scanner_signals_total")


def test_every_alert_says_what_it_means_and_how_bad_it_is() -> None:
    assert len({rule["alert"] for rule in ALERTS}) == len(ALERTS)
    for rule in ALERTS:
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert set(rule["annotations"]) == {"summary", "description"}
        assert "\n" not in rule["annotations"]["summary"] + rule["annotations"]["description"]


def test_panels_have_their_own_place_and_say_what_they_show() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
        assert panel["type"] == "row" or panel["description"].endswith("."), panel["title"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
