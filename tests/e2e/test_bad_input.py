"""Bad input to the real command: one clear line each, exit code 2, and what runs goes on."""

import re
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from scanplane.feeds.replay.files import RecordingReader
from scanplane.feeds.replay.recording import RecordingError
from support.commands import Outcome, RecordProcess, UpProcess, members_of, scanplane
from support.journeys import SimulatorProcess, wait_for

pytestmark = [pytest.mark.journey, pytest.mark.timeout(120)]

API_KEY = f"api-key-{secrets.token_hex(8)}"
ANALYZER = "analyzer-us-stocks-0"
LISTENER = "listener-simulated"

PIPELINE = """
apiVersion: v1
kind: Secret
metadata: {{name: provider}}
stringData: {{apiKey: {key}}}
---
apiVersion: scanplane.io/v1alpha1
kind: DataPlane
metadata: {{name: default}}
spec: {{gateway: {{port: {port}}}}}
---
apiVersion: scanplane.io/v1alpha1
kind: Feed
metadata: {{name: simulated}}
spec:
  provider: Massive
  massive: {{endpoint: "{url}", apiKeySecretRef: {{name: provider, key: apiKey}}}}
---
apiVersion: scanplane.io/v1alpha1
kind: Market
metadata: {{name: us-stocks}}
spec:
  assetClass: Stocks
  reference: {{previousClose: {close}, file: {{symbols: symbols.csv}}}}
  analyzer: {{evaluationInterval: 5s}}
---
apiVersion: scanplane.io/v1alpha1
kind: Subscription
metadata: {{name: everything}}
spec:
  feedRef: {{name: simulated}}
  marketRef: {{name: us-stocks}}
  channels: [Trades]
  symbols: ["*"]
"""
SCANNER = """
apiVersion: scanplane.io/v1alpha1
kind: Scanner
metadata: {name: volume}
spec:
  marketRef: {name: us-stocks}
  where: price > 1.0
  board: {rankBy: volume, limit: 50, columns: [price, volume]}
"""


def pipeline(url: str = "ws://127.0.0.1:1", port: int = 0, close: str = "None") -> str:
    return PIPELINE.format(key=API_KEY, url=url, port=port, close=close)


def tells(outcome: Outcome, *lines: str) -> None:
    """Hold a refused command to its word: exit code 2, these lines of error, and no traceback."""
    assert outcome.code == 2
    assert outcome.err == list(lines)


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    folder = tmp_path_factory.mktemp("provider")
    with SimulatorProcess(folder, "ticks", "--channel", "Trades", "--speed", "40", "--api-key", API_KEY) as simulator:
        yield simulator


@pytest.fixture
def folder(tmp_path: Path, provider: SimulatorProcess) -> Path:
    """A folder of good resources."""
    made = tmp_path / "resources"
    made.mkdir()
    (made / "pipeline.yaml").write_text(pipeline(provider.url))
    (made / "scanner.yaml").write_text(SCANNER)
    return made


def test_validate_tells_every_mistake_of_every_file_at_once(tmp_path: Path) -> None:
    files = {
        "a.yaml": "apiVersion: scanplane.io/v1alpha1\nkind: Feeed\nmetadata: {name: x}\nspec: {}\n",
        "b.yaml": "a: [1\n",
        "c.yaml": SCANNER.replace("price > 1.0", "pricee > 1.0 && volume").replace("limit: 50", "limit: many"),
        "d.yaml": SCANNER,
        "e.yaml": "- a\n- list\n",
        "f.yaml": "\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    outcome = scanplane("validate", *files, folder=tmp_path)
    no_market = (
        "6:21 spec.marketRef.name: there is no Market 'us-stocks' in namespace 'default': apply a Market of that name"
    )
    tells(
        outcome,
        "note: f.yaml:1:1 nothing in it",
        "a.yaml:2:7 kind: unknown kind 'Feeed'; did you mean Feed?",
        "b.yaml:2:1 not valid YAML: did not find expected ',' or ']'; close the list with ], its entries parted by commas",
        f"c.yaml:{no_market}",
        "c.yaml:7:10 spec.where: unknown feature 'pricee'; did you mean price?",
        "c.yaml:7:26 spec.where: '&&' needs true or false, but this is a number; compare it: volume > 0",
        "c.yaml:8:34 spec.board.limit: must be a whole number, not the text 'many'",
        "d.yaml:4:18 metadata.name: Scanner volume is declared twice; the first is at c.yaml:4",
        f"d.yaml:{no_market}",
        "e.yaml:1:1 a document must be a mapping with apiVersion, kind and metadata",
        "9 problems in 5 files.",
    )
    assert outcome.out == []


def test_validate_tells_remarks_from_problems(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(pipeline() + "---" + SCANNER.replace("volume, limit", "gap_percent, limit"))
    outcome = scanplane("validate", "a.yaml", folder=tmp_path)
    assert outcome.code == 0
    assert outcome.out == ["5 resources, nothing wrong."]
    assert [line.startswith("note: a.yaml:") for line in outcome.err] == [True] * len(outcome.err)
    assert "gap_percent stays unknown" in outcome.err[0]
    assert API_KEY not in str(outcome)


@pytest.mark.parametrize("command", ["validate", "plan", "up"])
def test_what_cannot_be_read_is_one_line(command: str, tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\x80\x81")
    (tmp_path / "huge.yaml").write_bytes(b"#" * (4 * 1024 * 1024 + 1))
    (tmp_path / "empty").mkdir()
    told = {
        "missing.yaml": "scanplane: can't read missing.yaml: no such file or directory",
        "binary.yaml": "scanplane: binary.yaml is not UTF-8 text: byte 0 is 0x80",
        "huge.yaml": "scanplane: huge.yaml is larger than 4 MiB: it is no file of resources",
        "empty": "scanplane: empty holds no .yaml file: name a file or another folder",
    }
    for path, line in told.items():
        tells(scanplane(command, path, folder=tmp_path), line)


def test_plan_writes_nothing_where_it_cannot(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(pipeline())
    tells(
        scanplane("plan", "a.yaml", "--output", "a.yaml", folder=tmp_path),
        "scanplane: can't write to a.yaml: file exists",
    )


def test_run_refuses_what_is_no_configuration_and_a_missing_secret_and_reference_file(tmp_path: Path) -> None:
    (tmp_path / "no.json").write_text("{]")
    tells(
        scanplane("run", "no.json", folder=tmp_path),
        "scanplane: no.json is no role configuration: JSON is malformed: object keys must be strings (byte 1)",
    )
    tells(
        scanplane("run", "missing.json", folder=tmp_path),
        "scanplane: can't read the configuration missing.json: no such file or directory",
    )
    (tmp_path / "a.yaml").write_text(pipeline(close="File"))
    assert scanplane("plan", "a.yaml", "--output", "plan", folder=tmp_path).code == 0
    shutil.rmtree(tmp_path / "plan" / "secrets")
    options = ("--status-host", "127.0.0.1", "--status-port", "0", "--logs", "json")
    for name, told in (
        (
            LISTENER,
            "secret 'provider' has no key 'apiKey': neither secrets/provider/apiKey nor the environment variable",
        ),
        (ANALYZER, "symbols.csv: No such file or directory"),
    ):
        outcome = scanplane("run", f"plan/{name}.json", *options, folder=tmp_path)
        assert outcome.code == 2
        assert told in outcome.err[-1]
        assert '"level": "error"' in outcome.err[-1]
        assert "Traceback" not in str(outcome)


def test_up_says_what_is_missing_to_run(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(pipeline().replace("kind: Market", "kind: Markt"))
    outcome = scanplane("up", "a.yaml", folder=tmp_path)
    assert outcome.code == 2
    assert "unknown kind 'Markt'; did you mean Market?" in outcome.err[0]
    assert outcome.err[-1] == (
        "scanplane: nothing to run: it takes a Feed, a Market and a Subscription that are accepted"
    )
    assert API_KEY not in str(outcome)


def test_nothing_starts_with_a_data_plane_whose_tokens_are_missing(folder: Path, tmp_path: Path) -> None:
    text = (folder / "pipeline.yaml").read_text()
    (folder / "pipeline.yaml").write_text(text.replace("port: 0", "port: 0, tokensSecretRef: {name: readers}"))
    last = "scanplane: nothing starts with a DataPlane that is refused or can't be read: mend it first"
    for command in (("up", folder), ("record", folder, "--output", "a.recording")):
        outcome = scanplane(*command, folder=tmp_path)
        assert outcome.code == 2
        assert "tokensSecretRef: there is no Secret 'readers': create it with one key for each client" in outcome.err[0]
        assert outcome.err[-1] == last
        assert "listens" not in str(outcome)


def test_up_says_that_its_port_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "a.yaml").write_text(pipeline(port=port))
        outcome = scanplane("up", "a.yaml", folder=tmp_path)
    assert outcome.code == 2
    assert outcome.err[-1] == (
        f"scanplane: gateway can't start: can't listen on 127.0.0.1:{port}: address already in use; "
        "choose another port with spec.gateway.port of the DataPlane, or 0 for a free one"
    )
    assert "Traceback" not in str(outcome)


REFERENCES = {
    "missing": (None, "symbols.csv: No such file or directory"),
    "without its column": ("symbol\nAAPL\n", "symbols.csv:1: no column previous_close; the header is symbol"),
    "no number": ("symbol,previous_close\nAAPL,cheap\n", "symbols.csv:2 previous_close: 'cheap' is no number"),
    "negative": ("symbol,previous_close\nAAPL,-1\n", "symbols.csv:2 previous_close: -1 must be 0 or more"),
}


@pytest.mark.parametrize("case", REFERENCES)
def test_up_says_what_is_wrong_with_a_reference_file(case: str, tmp_path: Path) -> None:
    content, told = REFERENCES[case]
    if content is not None:
        (tmp_path / "symbols.csv").write_text(content)
    (tmp_path / "a.yaml").write_text(pipeline(close="File"))
    outcome = scanplane("up", "a.yaml", folder=tmp_path)
    assert outcome.code == 2
    assert outcome.err[-1].startswith(f"scanplane: {ANALYZER} can't start: {told}")
    assert "Traceback" not in str(outcome)


def test_a_bad_edit_leaves_what_runs_alone_and_a_good_one_restarts_it(folder: Path, tmp_path: Path) -> None:
    scanner, feed = folder / "scanner.yaml", folder / "pipeline.yaml"
    good_feed = feed.read_text()
    with UpProcess(tmp_path / "up.log", folder) as up:
        wait_for(lambda: limit_of(up) == 50, "the first board")
        mark = up.mark()
        scanner.write_text(SCANNER.replace("limit: 50", "limit: 60"))
        up.wait_log(rf"restarting {ANALYZER}: ScannerChanged \(Scanner/volume edited\)", mark)
        wait_for(lambda: limit_of(up) == 60, "the board of the edit")
        restarts = len([line for line in up.messages() if line.startswith("restarting ")])
        for path, text, told in (
            (
                scanner,
                SCANNER.replace("price >", "pricee >"),
                r"scanner\.yaml:7:10 spec\.where: unknown feature 'pricee'",
            ),
            (scanner, SCANNER[:70], r"scanner\.yaml:\d+:\d+ "),
            (scanner, "", r"scanner\.yaml:1:1 the file is empty now"),
            (feed, good_feed[: good_feed.index("massive: {")], r"pipeline\.yaml:\d+:\d+ spec"),
            (feed, "", r"pipeline\.yaml:1:1 the file is empty now"),
        ):
            mark = up.mark()
            path.write_text(text)
            up.wait_log(told, mark)
            up.wait_log("nothing that runs is different", mark)
        assert len([line for line in up.messages() if line.startswith("restarting ")]) == restarts
        assert limit_of(up) == 60
        assert up.status(LISTENER)["figures"]["connects_total"] == 1
        mark = up.mark()
        feed.write_text(good_feed)
        scanner.write_text(SCANNER.replace("limit: 50", "limit: 70"))
        wait_for(lambda: limit_of(up) == 70, "the board of the good edit")
        assert [line for line in up.messages()[mark:] if line.startswith("restarting ")] == [
            f"restarting {ANALYZER}: ScannerChanged (Scanner/volume edited)"
        ]
        assert up.stop() == 0
        assert "Traceback" not in up.text
        assert API_KEY not in up.text


def limit_of(up: UpProcess) -> int:
    board = up.get("/v1/boards/us-stocks/volume")
    return 0 if board is None else int(board["data"]["limit"])


LIBRARIES = ("msgspec", "uvloop", "numpy", "pandas")


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_ctrl_c_while_it_loads_ends_it_without_a_traceback(library: str, folder: Path, tmp_path: Path) -> None:
    with UpProcess(tmp_path / "up.log", folder, wait=False) as up:
        wait_for(lambda: library in Path(f"/proc/{up.pid}/maps").read_text(), f"the loading of {library}")
        up.send(signal.SIGINT)
        assert up.wait() in {0, 130, -signal.SIGINT}
        assert "Traceback" not in up.text
        assert "Error" not in up.text


MOMENTS = [
    ("gateway listens", signal.SIGINT),
    (f"{ANALYZER} is active", signal.SIGTERM),
    (f"{LISTENER} is active", signal.SIGINT),
    ("connected to", signal.SIGTERM),
    ("restarting", signal.SIGINT),
]


@pytest.mark.parametrize(("moment", "number"), MOMENTS, ids=[moment.replace(" ", "-") for moment, _ in MOMENTS])
def test_a_signal_at_any_moment_ends_it_in_order(
    moment: str, number: signal.Signals, folder: Path, tmp_path: Path, provider: SimulatorProcess
) -> None:
    with UpProcess(tmp_path / "up.log", folder, wait=False) as up:
        if moment == "restarting":
            up.wait_log("connected to")
            (folder / "scanner.yaml").write_text(SCANNER.replace("limit: 50", "limit: 60"))
        up.wait_log(moment)
        assert up.stop(number) == 0
        assert "Traceback" not in up.text
        assert "Error" not in up.text
        assert members_of(up.pid) == []
    wait_for(lambda: provider.status()["connections"]["now"] == 0, "the end of the provider's connection")
    closed = {entry["closeCode"] for entry in provider.status()["log"] if entry["authenticatedNs"]}
    assert closed <= {1000}, provider.status()["log"]


def test_a_second_signal_ends_it_at_once(folder: Path, tmp_path: Path) -> None:
    with UpProcess(tmp_path / "up.log", folder) as up:
        up.send(signal.SIGSTOP)
        up.send(signal.SIGINT)
        up.send(signal.SIGTERM)
        up.send(signal.SIGCONT)
        assert up.wait() == 130
        assert "Traceback" not in up.text


def frames_in(recording: Path) -> int:
    """Return how many frames can be read; of a recording that goes on those of its whole blocks."""
    frames = 0
    with suppress(RecordingError), RecordingReader(recording) as reader:
        for records in reader.blocks():
            frames += len(records)
    return frames


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_ends_a_recording_in_order_with_all_that_came(
    number: signal.Signals, folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "a.recording"
    with RecordProcess(tmp_path / "record.log", folder, output) as recording:
        wait_for(lambda: frames_in(output) > 0, "a frame in the recording")
        assert recording.stop(number) == 0
        assert members_of(recording.pid) == []
    with RecordingReader(output) as reader:
        frames = sum(map(len, reader.blocks()))
    assert recording.text == f"{frames:,} frames are in {output}; 0 were dropped\n"


def test_a_recording_ends_after_its_time_and_is_refused_where_it_cannot_be(folder: Path, tmp_path: Path) -> None:
    outcome = scanplane("record", folder, "--output", "a.recording", "--seconds", "1", folder=tmp_path)
    assert (outcome.code, outcome.err) == (0, [])
    assert re.fullmatch(r"[\d,]+ frames are in a\.recording; 0 were dropped", outcome.out[0])
    tells(
        scanplane("record", folder, "--output", "a.recording", folder=tmp_path),
        "scanplane: recording a.recording exists already; give another name or remove it",
    )
    tells(
        scanplane("record", folder, "--output", "b.recording", "--feed", "other", folder=tmp_path),
        "scanplane: there is no Feed 'other' to record: write --feed with one of simulated",
    )


def test_a_full_disk_ends_a_recording_with_what_fits(folder: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no small file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        with SimulatorProcess(tmp_path, "load", "--rate", "20000", "--api-key", API_KEY) as load:
            (folder / "pipeline.yaml").write_text(pipeline(load.url))
            outcome = scanplane("record", folder, "--output", disk / "a.recording", "--seconds", "30")
        assert outcome.code == 1
        assert re.fullmatch(r"[\d,]+ frames are in .*a\.recording; [\d,]+ were dropped", outcome.out[0])
        assert re.search(r"recording .*a\.recording stopped after \d+ frames: No space left on device", outcome.err[-1])
        assert "Traceback" not in str(outcome)
        assert API_KEY not in str(outcome)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
