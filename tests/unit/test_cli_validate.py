"""What ``scanplane validate`` says at its end, of nothing at all and for a cluster."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from scanplane.cli.documents import validate_files

DATA_PLANE = """
apiVersion: scanplane.io/v1alpha1
kind: DataPlane
metadata: {name: default}
spec:
  broker: {urlSecretRef: {name: services, key: broker}}
  cache: {urlSecretRef: {name: services, key: cache}}
"""
MARKET = """
apiVersion: scanplane.io/v1alpha1
kind: Market
metadata: {name: us-stocks}
spec: {assetClass: Stocks, reference: {freeFloat: File, file: {symbols: symbols.csv}}}
"""
SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: services}\nstringData: {broker: b}\n"
DEPLOYMENT = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {}\n"

NOTHING = (
    "scanplane: there is nothing to check: write apiVersion: scanplane.io/v1alpha1 and one of DataPlane, Feed, Market, "
    "Subscription, Scanner"
)


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> "Told":
    monkeypatch.chdir(tmp_path)
    return Told(capsys)


class Told:
    """Writes texts into files a.yaml, b.yaml and so on, validates them, and gives back all that was said."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def by(self, texts: Sequence[str], *, cluster: bool = False) -> tuple[int, list[str], list[str]]:
        """Return the exit code and the lines of output and of errors."""
        paths = [Path(f"{name}.yaml") for name, _ in zip("abcdef", texts, strict=False)]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text)
        code = validate_files(paths, cluster=cluster)
        said = self._capsys.readouterr()
        return code, said.out.splitlines(), said.err.splitlines()


PASSED_OVER = {
    "an empty file": ("", "note: a.yaml:1:1 nothing in it"),
    "comments": ("# nothing yet\n", "note: a.yaml:1:1 nothing in it"),
    "somebody else's": (DEPLOYMENT, "note: a.yaml:1:1 ignored: apps/v1 Deployment web"),
}


@pytest.mark.parametrize("case", PASSED_OVER)
def test_files_without_a_resource_are_no_success(told: Told, case: str) -> None:
    text, note = PASSED_OVER[case]
    assert told.by([text]) == (2, [], [note, NOTHING])


def test_what_is_passed_over_beside_resources_is_counted(told: Told) -> None:
    assert told.by([DATA_PLANE, DEPLOYMENT, ""]) == (
        0,
        ["1 resource, nothing wrong; 2 passed over, as noted."],
        ["note: b.yaml:1:1 ignored: apps/v1 Deployment web", "note: c.yaml:1:1 nothing in it"],
    )


def test_a_secret_alone_can_be_checked(told: Told) -> None:
    assert told.by([SECRET]) == (0, ["1 Secret, nothing wrong."], [])


def test_for_a_cluster_more_has_to_be_there(told: Told) -> None:
    Path("symbols.csv").write_text("symbol,free_float\nAAPL,15e9\n")
    local = DATA_PLANE.replace("  broker:", "  gateway: {}\n#").replace("  cache:", "#")
    assert told.by([local + "---" + MARKET]) == (0, ["2 resources, nothing wrong."], [])
    assert told.by([local + "---" + MARKET], cluster=True) == (
        2,
        [],
        [
            "a.yaml:6:3 spec.broker: a cluster needs a broker: set urlSecretRef",
            "a.yaml:6:3 spec.cache: a cluster needs a cache: set urlSecretRef",
            "a.yaml:10:1 a cluster needs an accepted DataPlane named 'default' with a broker and a cache",
            "a.yaml:13:63 spec.reference.file: on a cluster 'symbols.csv' must be a key of a ConfigMap: set configMapRef",
            "4 problems.",
        ],
    )


def test_for_a_cluster_what_is_referred_to_is_taken_for_there(told: Told) -> None:
    market = MARKET.replace("symbols.csv}", "symbols.csv, configMapRef: {name: reference}}")
    assert told.by([DATA_PLANE, market], cluster=True) == (0, ["2 resources, nothing wrong."], [])


def test_what_is_wrong_with_a_broker_is_not_told_as_none(told: Told) -> None:
    code, _, errors = told.by([DATA_PLANE.replace("{name: services, key: broker}", "{name: services}")], cluster=True)
    assert code == 2
    assert errors == ["a.yaml:6:26 spec.broker.urlSecretRef.key: is missing", "1 problem."]


def test_mistakes_in_reference_files_are_told_like_those_of_resources(told: Told) -> None:
    Path("symbols.csv").write_text("symbol,free_float\nAAPL,15e9\nBAC,-1\n")
    market = MARKET.replace("symbols.csv}", "symbols.csv, volumeCurve: curves/c.csv}, volumeCurve: File")
    other = MARKET.replace("us-stocks", "other").replace("freeFloat", "averageVolume")
    late = other.replace("{assetClass", "{sessions: {premarket: '10:00'}, assetClass")
    no_column = "symbols.csv:1: no column average_volume; the header is symbol,free_float"
    assert told.by([market + "---" + late]) == (
        2,
        [],
        [
            "a.yaml:5:73 spec.reference.file.symbols: symbols.csv:3 free_float: -1 must be 0 or more",
            "a.yaml:5:99 spec.reference.file.volumeCurve: curves/c.csv: No such file or directory",
            "a.yaml:10:31 spec.sessions.premarket: 10:00 is after the open of XNYS: write 09:30 or earlier",
            f"a.yaml:10:109 spec.reference.file.symbols: {no_column}",
            "4 problems.",
        ],
    )
