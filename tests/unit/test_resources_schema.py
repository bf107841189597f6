"""The CRDs say everything that the models say, in the form that Kubernetes asks for."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from scanplane.cli.generate import GENERATORS, Generator, main, stale_files, write_files
from scanplane.resources.crds import render_crds
from scanplane.resources.kinds import KINDS, Kind
from scanplane.resources.yaml_values import plain_value

ROOT = Path(__file__).resolve().parents[2]
CRDS = {name: yaml.safe_load(text) for name, text in render_crds().items()}
STRUCTURAL = {
    "type", "description", "format", "enum", "pattern", "minimum", "exclusiveMinimum", "maximum", "minLength", "maxLength",
    "minItems", "maxItems", "required", "properties", "items", "additionalProperties", "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys", "x-kubernetes-validations",
}  # fmt: skip


def version_of(crd: dict[str, Any]) -> dict[str, Any]:
    (version,) = crd["spec"]["versions"]
    return dict(version)


def nodes(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")


ALL_NODES = [
    pytest.param(path, schema, id=path)
    for crd in CRDS.values()
    for part in ("spec", "status")
    for path, schema in nodes(
        version_of(crd)["schema"]["openAPIV3Schema"]["properties"][part], f"{crd['spec']['names']['kind']}.{part}"
    )
]


@pytest.mark.parametrize(("path", "schema"), ALL_NODES)
def test_every_field_is_described_and_bounded_and_has_no_default(path: str, schema: dict[str, Any]) -> None:
    assert len(schema["description"]) > 10, path
    assert "`" not in schema["description"], path
    assert set(schema) <= STRUCTURAL, "no default, no union, no reference"
    if schema["type"] == "string" and "enum" not in schema and schema.get("format") != "date-time":
        assert "maxLength" in schema, f"{path}: the cost of rules needs a bound"
    if schema["type"] == "array":
        assert "maxItems" in schema, f"{path}: the cost of rules needs a bound"


@pytest.mark.parametrize(("path", "schema"), ALL_NODES)
def test_no_field_and_no_value_means_something_else_to_yaml(path: str, schema: dict[str, Any]) -> None:
    for word in [*schema.get("properties", {}), *schema.get("enum", [])]:
        if word not in ("True", "False"):  # the status of a condition, which only programs write
            assert plain_value(word) == word, path


def test_every_enum_names_its_members_in_its_description() -> None:
    for param in ALL_NODES:
        schema = param.values[1]
        assert isinstance(schema, dict)
        for member in schema.get("enum", []):
            assert member in schema["description"]


@pytest.mark.parametrize("name", list(CRDS))
def test_a_crd_fits_into_the_annotation_of_a_client_side_apply_many_times(name: str) -> None:
    assert len(render_crds()[name].encode()) < 64 * 1024


@pytest.mark.parametrize("kind", list(Kind))
def test_a_kind_is_namespaced_categorized_and_has_conditions_by_type(kind: Kind) -> None:
    crd = next(crd for crd in CRDS.values() if crd["spec"]["names"]["kind"] == kind.value)
    assert (crd["spec"]["scope"], crd["spec"]["names"]["categories"]) == ("Namespaced", ["scanplane"])
    version = version_of(crd)
    assert version["subresources"]["status"] == {}
    assert ("scale" in version["subresources"]) is (kind is Kind.MARKET)
    status = version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    assert "observedGeneration" in status
    conditions = status["conditions"]
    assert (conditions["x-kubernetes-list-type"], conditions["x-kubernetes-list-map-keys"]) == ("map", ["type"])
    assert "observedGeneration" in conditions["items"]["required"]
    names = {"Accepted", "Available", "Progressing", "DataFlowing", "Paused", "Ready"}
    assert set(conditions["items"]["properties"]["type"]["enum"]) == names


@pytest.mark.parametrize("kind", list(Kind))
def test_every_printer_column_reads_a_field_that_exists(kind: Kind) -> None:
    crd = next(crd for crd in CRDS.values() if crd["spec"]["names"]["kind"] == kind.value)
    schema = version_of(crd)["schema"]["openAPIV3Schema"]
    for column in KINDS[kind].columns:
        node = schema
        for part in column.path.removeprefix(".").split("."):
            node = node["properties"][part]
        assert node["type"] == {"date": "string"}.get(column.type, column.type)


def test_the_committed_files_are_what_the_models_say() -> None:
    assert stale_files(ROOT) == [], "run `make generate`"


def test_rendering_does_not_depend_on_the_process() -> None:
    code = "import hashlib; from scanplane.resources.crds import render_crds; "
    code += "print(hashlib.sha256(repr(render_crds()).encode()).hexdigest())"
    hashes = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(hashes) == 1


def test_a_stale_a_missing_and_a_forgotten_file_are_named(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    assert main(["--root", str(tmp_path)]) == 0
    assert main(["--root", str(tmp_path), "--check"]) == 0
    first, second, *_ = sorted(path.name for path in (tmp_path / "crds").iterdir())
    (tmp_path / "crds" / first).write_text("changed")
    (tmp_path / "crds" / second).unlink()
    (tmp_path / "crds" / "old.yaml").touch()
    (tmp_path / "crds" / "README.md").touch()
    assert sorted(stale_files(tmp_path)) == sorted(
        [f"crds/{first} is stale", f"crds/{second} is missing", "crds/old.yaml is not generated any more"]
    )
    assert main(["--root", str(tmp_path), "--check"]) == 1
    assert main(["--root", str(tmp_path)]) == 0
    assert stale_files(tmp_path) == []
    assert not (tmp_path / "crds" / "old.yaml").exists()


def test_a_generator_that_shares_a_folder_leaves_other_files_alone(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "guide.md").touch()
    single = Generator(folder="docs", render=lambda: {"features.md": "x"}, owns="features.md")
    assert write_files(tmp_path, [single]) == ["docs/features.md"]
    assert stale_files(tmp_path, [single]) == []
    assert (tmp_path / "docs" / "guide.md").exists()
    assert all(generator.owns for generator in GENERATORS)


def test_the_command_says_where_it_must_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(tmp_path)]) == 2
    assert "pyproject.toml" in capsys.readouterr().err
