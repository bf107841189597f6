"""YAML in, YAML out: every object and every status that the examples become is in a file that a reviewer can read."""

import pytest

from support.operator_golden import GOLDEN, render


@pytest.fixture(scope="module")
def rendered() -> dict[str, str]:
    return render()


def test_the_golden_files_are_those_that_are_rendered(rendered: dict[str, str]) -> None:
    assert sorted(path.name for path in GOLDEN.iterdir()) == sorted(rendered)


@pytest.mark.parametrize("name", ["us-stocks.objects.yaml", "us-stocks.statuses.yaml"])
def test_a_golden_file_is_up_to_date(rendered: dict[str, str], name: str) -> None:
    assert rendered[name] == (GOLDEN / name).read_text(encoding="utf-8"), "make generate writes it again"


def test_rendering_is_the_same_every_time(rendered: dict[str, str]) -> None:
    assert render() == rendered
