"""The shipped data can be made again from its source, byte for byte, and keeps every row."""

import gzip
import os
import zipfile
from pathlib import Path

import pytest

from scanplane.simulator import prepare_examples
from scanplane.simulator.prepare_examples import prepare, prepare_ticks
from scanplane.simulator.sessions.ticks import TICK_FOLDER, TICK_SYMBOLS

EXAMPLES = Path(__file__).parents[2] / "examples"
SOURCE = Path(os.environ.get("SCANPLANE_TEST_LEAN", "/nowhere"))
"""LEAN's own files, which are no part of the repository, in the folders that ``prepare`` expects."""

_DAY = "X 1,XX,10,{volume},1000,True,0.9,1\nY 2,YY,0.5,100,50,False,1,1\n"


def _make_source(folder: Path) -> Path:
    ticks, daily = folder / "us-equities-ticks", folder / "us-equities-daily"
    ticks.mkdir(parents=True)
    daily.mkdir()
    for symbol in ("aig", "bac", "ibm", "spy"):
        with zipfile.ZipFile(ticks / f"{symbol}_20131008_trade.zip", "w") as archive:
            archive.writestr("trades.csv", "34200000,1805050,100,N,1,0\n57599999,5000,300,D,20000020,1\n")
        if symbol != "spy":
            with zipfile.ZipFile(ticks / f"{symbol}_20131008_quote.zip", "w") as archive:
                archive.writestr("quotes.csv", "34200000,1805000,200,0,0,N,1,0\n34200000,0,0,1806000,300,P,1,1\n")
    for day, volume in (("20140324", 100), ("20140325", 300), ("20140326", 900)):
        (daily / f"{day}.csv.gz").write_bytes(gzip.compress(_DAY.format(volume=volume).encode()))
    return folder


def _lines(path: Path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().splitlines()


def test_every_row_is_kept_in_dollars_and_a_quote_is_one_row(tmp_path: Path) -> None:
    prepare(_make_source(tmp_path / "source"), tmp_path / "examples")
    ticks = tmp_path / "examples" / "data" / "us-equities-ticks"
    assert _lines(ticks / "ibm_20131008_trades.csv.gz") == [
        "time_ms,price,size,exchange,conditions,suspicious",
        "34200000,180.505,100,N,1,0",
        "57599999,0.5,300,D,20000020,1",
    ]
    assert _lines(ticks / "ibm_20131008_quotes.csv.gz") == [
        "time_ms,bid_price,bid_size,ask_price,ask_size,bid_exchange,ask_exchange,condition,suspicious",
        "34200000,180.5,200,180.6,300,N,P,1,2",
    ]
    assert not (ticks / "spy_20131008_quotes.csv.gz").exists()


def test_the_demos_reference_is_the_days_before_only(tmp_path: Path) -> None:
    prepare(_make_source(tmp_path / "source"), tmp_path / "examples")
    reference = tmp_path / "examples" / "demo-market" / "reference"
    assert (reference / "symbols.csv").read_text() == "symbol,previous_close,average_volume\nXX,10,200\nYY,0.5,100\n"
    curve = dict(line.split(",") for line in (reference / "volume_curve.csv").read_text().splitlines())
    assert (curve["09:30"], curve["09:35"], curve["15:55"], curve["20:00"]) == (
        "0.000000",
        "1.000000",
        "1.000000",
        "1.000000",
    )


def test_the_same_source_gives_the_same_bytes(tmp_path: Path) -> None:
    source = _make_source(tmp_path / "source")
    for name in ("one", "two"):
        prepare(source, tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len(files) == 4 + 3 + 3 + 1 + 2
    assert all((tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes() for file in files)


@pytest.mark.skipif(not SOURCE.is_dir(), reason="SCANPLANE_TEST_LEAN names no folder of LEAN's files")
@pytest.mark.parametrize("symbol", TICK_SYMBOLS)
def test_the_ticks_that_are_shipped_are_those_of_the_source(tmp_path: Path, symbol: str) -> None:
    prepare_ticks(SOURCE, tmp_path, symbol)
    made = {path.name: path.read_bytes() for path in (tmp_path / TICK_FOLDER).iterdir()}
    shipped = (EXAMPLES / "data" / TICK_FOLDER).glob(f"{symbol.lower()}_*")
    assert [name for name in sorted(made) if made[name] != (EXAMPLES / "data" / TICK_FOLDER / name).read_bytes()] == []
    assert sorted(made) == sorted(path.name for path in shipped)


def test_a_quote_without_its_other_side_is_refused(tmp_path: Path) -> None:
    source = _make_source(tmp_path / "source")
    with zipfile.ZipFile(source / "us-equities-ticks" / "bac_20131008_quote.zip", "w") as archive:
        archive.writestr("quotes.csv", "34200000,1805000,200,0,0,N,1,0\n")
    with pytest.raises(ValueError, match="expected a bid and an ask of the same time"):
        prepare(source, tmp_path / "examples")


def test_the_command_says_how_it_is_used(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["prepare_examples"])
    assert prepare_examples.main() == 2
    assert capsys.readouterr().err.startswith("usage: ")
