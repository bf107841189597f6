"""docs/cli.md names every command, option, default and variable that there is, and no other."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from scanplane.cli.application import application

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
COMMANDS = get_command(application).commands  # type: ignore[attr-defined]  # it is a group
DEFAULTS = {
    (name, each.opts[0]): each.default
    for name, command in COMMANDS.items()
    for each in command.params
    if each.param_type_name == "option"
}


def section(command: str) -> str:
    return PAGE.partition(f"\n## scanplane {command}\n")[2].partition("\n## ")[0]


def rows(command: str) -> dict[str, str]:
    """Return the second cell of each row of a command's options, by the first option that the row names."""
    return {
        cells[0].split("`")[1]: cells[1].strip()
        for line in section(command).splitlines()
        if line.startswith("| `--") and (cells := line.strip("|").split("|"))
    }


def test_every_command_has_a_section_and_a_row_that_leads_to_it() -> None:
    assert sorted(re.findall(r"^## scanplane (\w+)$", PAGE, re.MULTILINE)) == sorted(COMMANDS)
    assert sorted(re.findall(r"^\| .* \| \[`(\w+)`\]\(#scanplane-\1\) \|$", PAGE, re.MULTILINE)) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_section_has_a_row_for_each_option_of_its_command_and_for_no_other(command: str) -> None:
    assert sorted(rows(command)) == sorted(option for name, option in DEFAULTS if name == command)


def test_the_page_names_no_option_that_there_is_not() -> None:
    options = {
        text for each in COMMANDS.values() for option in each.params for text in (*option.opts, *option.secondary_opts)
    }
    assert set(re.findall(r"--[a-z][a-z-]*", PAGE)) == {text for text in options if text.startswith("--")} | {
        "--help",
        "--version",
    }


@pytest.mark.parametrize(("command", "option"), DEFAULTS)
def test_a_row_says_the_default(command: str, option: str) -> None:
    default, told = DEFAULTS[command, option], rows(command)[option]
    if default is None:
        assert told in {"", "required"}
    elif isinstance(default, bool):
        assert told in {"", "mixed"}
    else:
        assert told == str(getattr(default, "value", default)).removeprefix(f"{ROOT}/")


def test_every_variable_of_the_workloads_is_named_and_no_other() -> None:
    pattern = r"SCANPLANE_[A-Z_]*[A-Z]"
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "workloads").rglob("*.py")]
    read = {name for source in sources for name in re.findall(rf'"({pattern})_?"', source)}
    rows_of_variables = PAGE.partition("\n## Environment\n")[2]
    assert set(re.findall(pattern, rows_of_variables)) == read
