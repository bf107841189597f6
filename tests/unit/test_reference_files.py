"""Reference data from files: what is read, and what people are told when it can't be."""

import math
from pathlib import Path

import pytest

from scanplane.plan.configuration import ReferenceConfiguration
from scanplane.reference import ReferenceDataError, load_files
from scanplane.reference.file import read_symbols, read_volume_curve
from scanplane.resources.market import ReferenceSource

EXAMPLES = Path(__file__).parents[2] / "examples"


def written(folder: Path, text: str) -> Path:
    path = folder / "figures.csv"
    path.write_text(text, encoding="utf-8")
    return path


def a_configuration(
    *,
    previous_close: ReferenceSource = ReferenceSource.NONE,
    average_volume: ReferenceSource = ReferenceSource.NONE,
    volume_curve: ReferenceSource = ReferenceSource.NONE,
    free_float: ReferenceSource = ReferenceSource.NONE,
    symbols_file: str | None = None,
    volume_curve_file: str | None = None,
) -> ReferenceConfiguration:
    return ReferenceConfiguration(
        previous_close=previous_close,
        average_volume=average_volume,
        volume_curve=volume_curve,
        free_float=free_float,
        symbols_file=symbols_file,
        volume_curve_file=volume_curve_file,
        rest_endpoint=None,
        api_key=None,
    )


def test_figures_are_read_by_column_name_and_empty_ones_are_unknown(tmp_path: Path) -> None:
    path = written(tmp_path, "free_float,symbol,note,previous_close\n1e6,AAA,x,10.5\n,BRK.B,,\n")
    rows = read_symbols(path, ["previous_close", "free_float"])
    assert rows["AAA"] == {"previous_close": 10.5, "free_float": 1e6}
    assert all(math.isnan(value) for value in rows["BRK.B"].values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1: no column symbol and previous_close; the header is empty"),
        ("symbol,prev_close\nAAA,1\n", ":1: no column previous_close; the header is symbol,prev_close"),
        ("symbol,previous_close,symbol\n", ":1: the column symbol appears twice"),
        ("symbol,previous_close\nAAA,1\nBBB,ten\n", ":3 previous_close: 'ten' is no number; write digits"),
        ("symbol,previous_close\nAAA,-1\n", ":2 previous_close: -1 must be 0 or more"),
        ("symbol,previous_close\nAAA,inf\n", ":2 previous_close: inf must be 0 or more"),
        ("symbol,previous_close\nAAA,1,2\n", ":2: 3 cells, the header has 2 columns"),
        ("symbol,previous_close\n,1\n", ":2 symbol: is empty"),
        ("symbol,previous_close\nAAA,1\n\nAAA,1\n", ":4 symbol: AAA was there before; write each symbol once"),
        ('symbol,previous_close\n"AAA,1\n', ": no CSV in UTF-8"),
    ],
)
def test_a_broken_symbols_file_is_refused_with_line_and_column(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ReferenceDataError) as refusal:
        read_symbols(path, ["previous_close"])
    assert str(refusal.value).startswith(str(path))
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReferenceDataError, match=r"missing\.csv: No such file"):
        read_symbols(tmp_path / "missing.csv", [])


def test_a_curve_of_fractions_holds_for_every_symbol(tmp_path: Path) -> None:
    curve = read_volume_curve(written(tmp_path, "time,fraction\n09:30,0\n12:00,0.5\n16:00,1\n"))
    assert curve.seconds.tolist() == [34200.0, 43200.0, 57600.0]
    assert curve.fractions is not None
    assert curve.fractions.tolist() == [0.0, 0.5, 1.0]


def test_curves_of_symbols_share_one_grid_of_times(tmp_path: Path) -> None:
    text = "symbol,time,cumulative_volume\nA,09:30,100\nB,10:00,50\nA,11:30,300\nB,11:00,90\n"
    curve = read_volume_curve(written(tmp_path, text))
    assert curve.seconds.tolist() == [34200.0, 36000.0, 39600.0, 41400.0]
    assert curve.volumes is not None
    assert curve.volumes[curve.positions["A"]].tolist() == [100.0, 150.0, 250.0, 300.0]
    first, *rest = curve.volumes[curve.positions["B"]].tolist()
    assert math.isnan(first)
    assert rest == [50.0, 90.0, 90.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time,fraction\n", "no rows; write at least one time of day"),
        ("time,share\n09:30,0.1\n", "a volume curve needs the column fraction, or symbol and cumulative_volume"),
        ("time,fraction\n9h,0.1\n", ":2 time: '9h' is no time of day; write HH:MM"),
        ("time,fraction\n09:30,1.5\n", ":2 fraction: 1.5 must be between 0 and 1"),
        ("time,fraction\n09:30,\n", ":2 fraction: is empty"),
        ("time,fraction\n09:30,0.1\n09:30,0.2\n", ":3 time: 09:30 does not come after the time before it"),
        (
            "time,fraction\n09:30,0.3\n09:35,0.2\n",
            ":3 fraction: 0.2 is less than before; write what was traded by then",
        ),
    ],
)
def test_a_broken_curve_is_refused_with_line_and_column(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ReferenceDataError) as refusal:
        read_volume_curve(written(tmp_path, text))
    assert message in str(refusal.value)


async def test_each_figure_comes_from_its_own_source_and_paths_start_at_the_folder(tmp_path: Path) -> None:
    written(tmp_path, "symbol,previous_close,average_volume,free_float\nAAA,10,1e6,5e5\nBBB,0,,7\n")
    configuration = a_configuration(
        previous_close=ReferenceSource.FILE, free_float=ReferenceSource.FILE, symbols_file="figures.csv"
    )
    columns = (await load_files(configuration, tmp_path)).select(["BBB", "AAA", "ZZZ"])
    assert [str(value) for value in columns["previous_close"]] == ["nan", "10.0", "nan"]
    assert [str(value) for value in columns["free_float"]] == ["7.0", "500000.0", "nan"]
    assert [str(value) for value in columns["average_volume"]] == ["nan", "nan", "nan"]


async def test_another_content_of_the_symbols_file_has_another_digest(tmp_path: Path) -> None:
    configuration = a_configuration(previous_close=ReferenceSource.FILE, symbols_file="figures.csv")
    digests = []
    for text in (
        "symbol,previous_close\nAAA,10\n",
        "symbol,previous_close\nAAA,11\n",
        "symbol,previous_close\nAAA,10\n",
    ):
        written(tmp_path, text)
        digests.append((await load_files(configuration, tmp_path)).digest)
    assert digests[0] == digests[2] != digests[1]


async def test_the_examples_reference_files_can_be_loaded() -> None:
    folder = EXAMPLES / "demo-market" / "reference"
    configuration = a_configuration(
        previous_close=ReferenceSource.FILE,
        average_volume=ReferenceSource.FILE,
        volume_curve=ReferenceSource.FILE,
        symbols_file="symbols.csv",
        volume_curve_file="volume_curve.csv",
    )
    reference = await load_files(configuration, folder)
    assert len(reference.symbols) > 7000
    assert reference.curve is not None
    assert reference.curve.fractions is not None
    assert reference.curve.fractions[-1] == 1.0


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        (a_configuration(previous_close=ReferenceSource.FILE), "source File needs reference.file.symbols"),
        (a_configuration(volume_curve=ReferenceSource.FILE), "source File needs reference.file.volumeCurve"),
        (a_configuration(volume_curve=ReferenceSource.PROVIDER), "volumeCurve: the provider gives none"),
        (a_configuration(free_float=ReferenceSource.PROVIDER), "freeFloat: the provider gives none"),
        (a_configuration(previous_close=ReferenceSource.PROVIDER), "needs a Feed of provider Massive"),
    ],
)
async def test_a_source_without_what_it_needs_is_refused(
    configuration: ReferenceConfiguration, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ReferenceDataError, match=message):
        await load_files(configuration, tmp_path)
