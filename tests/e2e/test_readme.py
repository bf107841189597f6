"""The README's commands as they stand there, with the simulator in the place of the provider."""

import re
from pathlib import Path

import pytest

from support.commands import UpProcess, scanplane
from support.journeys import SimulatorProcess, wait_for

pytestmark = [pytest.mark.journey, pytest.mark.timeout(120)]

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
API_KEY = "key-of-the-readme"


def commands() -> list[list[str]]:
    """Return the words of the README's ``scanplane`` commands."""
    text = (ROOT / "README.md").read_text()
    return [
        found.split()
        for found in re.findall(r"^    (scanplane .*)|`(scanplane [^`]*)`", text, re.MULTILINE)
        for found in found
        if found
    ]


def test_what_the_readme_validates_has_nothing_wrong() -> None:
    validated = [words[1:] for words in commands() if words[1] == "validate" and len(words) > 2]
    assert validated
    for arguments in validated:
        assert scanplane(*arguments, folder=ROOT).code == 0


def test_a_market_runs_with_the_key_in_the_environment_and_no_other_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ["scanplane", "up", "examples/us-stocks.yaml", "examples/scanners"] in commands()
    monkeypatch.setenv("SCANPLANE_SECRET_MASSIVE_APIKEY", API_KEY)
    with SimulatorProcess(tmp_path, "market", "--speed", "60", "--api-key", API_KEY) as provider:
        text = (EXAMPLES / "us-stocks.yaml").read_text()
        at = f'endpoint: "{provider.url}"\n    restEndpoint: "http://127.0.0.1:{provider.port}"'
        text = re.sub(r"feed: RealTime .*", at, text).replace("replicas: 1", "port: 0")
        resources = tmp_path / "us-stocks.yaml"
        resources.write_text(text)
        with UpProcess(tmp_path / "up.log", resources, EXAMPLES / "scanners") as up:
            wait_for(lambda: bool(rows_of(up, "top-volume")), "rows on a board")
            assert up.messages("error") == []
            services = [message for message in up.messages("warning") if "in memory serves" in message]
            assert [message.split(": ")[0].rpartition(" ")[2] for message in services] == [
                "spec.broker.urlSecretRef",
                "spec.cache.urlSecretRef",
            ]
            assert up.stop() == 0
        assert "Traceback" not in up.text
        assert API_KEY not in up.text


def rows_of(up: UpProcess, scanner: str) -> int:
    board = up.get(f"/v1/boards/us-stocks/{scanner}")
    return 0 if board is None else len(board["data"]["rows"])
