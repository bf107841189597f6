"""Wrong arguments are one line and exit code 2, whatever the command."""

import sys

import pytest

from scanplane.cli import application

MISUSES = {
    "validate": "Missing argument 'FILE...'; see scanplane validate --help",
    "validate --nope": "No such option: --nope; see scanplane validate --help",
    "vaildate": "No such command 'vaildate'. Did you mean 'validate'",
    "plan x.yaml --namespace": "Option '--namespace' requires an argument; see scanplane",
    "plan x.yaml --namespace a:b": "'a:b' is no namespace: use lower-case letters, digits and hyphens",
    "run": "Missing argument 'configuration'; see scanplane run --help",
    "run x.json --logs loud": "'loud' is not one of 'auto', 'json', 'terminal'; see scanplane run --help",
    "run x.json --status-port 99999": "Invalid value for '--status-port': Input should be less than or equal to 65535",
    "run x.json --status-port http": "Invalid value for '--status-port': Input should be a valid integer",
    "record x.yaml": "Missing option '--output'",
    "record x.yaml --output a --seconds -1": "Invalid value for '--seconds': Input should be greater than or equal to 0",
    "record x.yaml --output a --seconds nan": "Invalid value for '--seconds': Input should be greater than or equal to 0",
    "simulate --port -1": "Invalid value for '--port': Input should be greater than or equal to 0",
    "simulate --speed nan": "Invalid value for '--speed': Input should be greater than or equal to 0",
    "simulate --hostile rude": "'rude' is not one of 'truncated', 'not-json'",
    "simulate --hostile-rate 2": "Invalid value for '--hostile-rate': Input should be less than or equal to 1",
    "simulate --connection-limit 0": "Invalid value for '--connection-limit': Input should be greater than or equal to 1",
    "simulate --cut-after-events -1": "Invalid value for '--cut-after-events': Input should be greater than or equal to 0",
    "simulate --frame-events 5-1": "--frame-events 5-1: write a number such as 500, or a range such as 1-10",
    "simulate nothing": "no session and no recording is called nothing; try ticks, market, load",
    "simulate --data /nowhere": "the folder /nowhere is missing; run within a checkout, or name the data's folder",
    "demo nothing": "there is no demo 'nothing'",
    "watch --rows many": "Invalid value for '--rows': Input should be a valid integer",
}


def run(arguments: str, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setattr(sys, "argv", ["scanplane", *arguments.split()])
    with pytest.raises(SystemExit) as ended:
        application.main()
    return ended.value.code


@pytest.mark.parametrize("arguments", MISUSES)
def test_a_misuse_is_told_in_one_line(
    arguments: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments, monkeypatch) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("scanplane")
    assert MISUSES[arguments] in err
    assert err.count("\n") == 1
    assert err.endswith("\n")


def test_without_a_command_the_help_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("", monkeypatch) == 2
    out, err = capsys.readouterr()
    assert "validate" in out
    assert err == ""


@pytest.mark.parametrize("arguments", ["--help", "--version", "validate --help", "simulate --help", "record --help"])
def test_help_and_version_are_no_errors(
    arguments: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments, monkeypatch) in {0, None}
    out, err = capsys.readouterr()
    assert out
    assert err == ""
