"""A place within a text leads to its place in the file, however the text was written there."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from scanplane.resources.documents import LocatedResource, SourceText, parse_documents
from scanplane.resources.scalar_positions import position_within
from scanplane.resources.yaml_text import ScalarNode, read_documents
from scanplane.resources.yaml_values import locate_value, plain_value
from support.resource_documents import document


def scanner(where: str) -> tuple[str, LocatedResource]:
    text = document("Scanner", f"marketRef: {{name: us-stocks}}\nwhere: {where}\nboard: {{rankBy: volume}}")
    found = parse_documents([SourceText("f.yaml", text)])
    assert not found.problems, [str(problem) for problem in found.problems]
    return text, found.resources[0]


def text_from(text: str, line: int, column: int, length: int) -> str:
    return text.split("\n")[line - 1][column - 1 : column - 1 + length]


@pytest.mark.parametrize(
    "where",
    [
        "price > 2.0 && gapp_percent > 4.0",
        "'price > 2.0 && gapp_percent > 4.0'",
        '"price > 2.0 && gapp_percent > 4.0"',
        "'symbol != ''X'' && gapp_percent > 4.0'",
        '"symbol != \\"X\\" \\t\\n&& gapp_percent > 4.0"',
        '"\\x70rice\\u0020> 2.0 && \\U00000067app_percent > 4.0"',
        "price > 2.0\n    &&\n\n    gapp_percent > 4.0",
        "'price > 2.0\n    && gapp_percent > 4.0'",
        '"price > 2.0 \\\n    && gapp_percent > 4.0"',
        ">-\n    price > 2.0\n    && gapp_percent > 4.0",
        ">\n    price > 2.0\n\n      && gapp_percent > 4.0\n    && volume > 1.0",
        "|\n    price > 2.0\n    && gapp_percent > 4.0",
        "|2-  # why\n    price > 2.0\n\n     && gapp_percent > 4.0",
        "&anchor price > 2.0 && gapp_percent > 4.0",
        "!!str price > 2.0 && gapp_percent > 4.0",
    ],
)
def test_a_name_within_an_expression_is_found_in_the_file(where: str) -> None:
    text, found = scanner(where)
    value = found.resource.spec.where  # type: ignore[union-attr]  # it is a Scanner
    assert value is not None
    offset = value.index("gapp_percent")
    line, column = value.count("\n", 0, offset) + 1, offset - value.rfind("\n", 0, offset)
    at = found.locate("spec.where", line, column)
    expected = "gapp_percent" if "\\U" not in where else "\\U00000067ap"
    assert text_from(text, at.line, at.column, 12) == expected
    problem = found.problem("spec.where", "unknown feature 'gapp_percent'", "did you mean gap_percent?", line, column)
    assert str(problem) == (
        f"f.yaml:{at.line}:{at.column} spec.where: unknown feature 'gapp_percent'; did you mean gap_percent?"
    )


STYLES = st.sampled_from([None, "'", '"', "|", ">"])
TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=126) | st.sampled_from("\n é→"), min_size=1, max_size=60)


@settings(max_examples=500, deadline=None, database=None)
@given(TEXTS, STYLES, st.integers(20, 60), st.data())
def test_every_visible_character_is_found_in_every_style(
    text: str, style: str | None, width: int, data: st.DataObject
) -> None:
    written = yaml.dump({"outer": {"a": text}}, default_style=style, width=width, allow_unicode=True)
    (read,), problems = read_documents(SourceText("f.yaml", written))
    assert not problems
    found = locate_value(read)
    node = found.places["outer", "a"].value
    assert isinstance(node, ScalarNode)
    assert node.text == text
    visible = [index for index, character in enumerate(text) if not character.isspace()]
    if not visible:
        return
    offset = data.draw(st.sampled_from(visible))
    line, column = text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)
    at = position_within(read.source, node, line, column)
    there = text_from(written, at.line, at.column, 2)
    escape = style == '"' or written.split(": ", 2)[-1].startswith('"')
    assert there[0] == text[offset] or (escape and there[0] == "\\" and there[1] in f"xuU{text[offset]}")


def test_a_value_that_is_not_given_is_located_at_the_nearest_one_around_it() -> None:
    _, found = scanner("price > 2.0")
    assert str(found.locate("spec.signal.when")) == str(found.locate("spec"))
    assert str(found.locate("spec.board.columns[3]")) == str(found.locate("spec.board"))
    assert str(found.locate("nothing.of.this")) == "1:1"


def test_a_place_beyond_the_end_of_a_text_is_its_end() -> None:
    text, found = scanner("price > 2.0")
    for line, column in ((1, 12), (1, 99), (7, 1)):
        at = found.locate("spec.where", line, column)
        assert text_from(text, at.line, at.column - 3, 3) == "2.0"
        assert text_from(text, at.line, at.column, 1) == ""


def test_keys_with_dots_and_entries_of_lists_have_places() -> None:
    text = document(
        "Scanner",
        "marketRef: {name: m}\nboard: {rankBy: volume, columns: [price, volume]}",
        head="annotations: {a.b/c: d}",
    )
    found = parse_documents([SourceText("f.yaml", text)]).resources[0]
    at = found.locate("metadata.annotations['a.b/c']")
    assert text_from(text, at.line, at.column, 1) == "d"
    at = found.locate("spec.board.columns[1]")
    assert text_from(text, at.line, at.column, 6) == "volume"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", True), ("Y", True), ("yes", True), ("No", False), ("off", False), ("TRUE", True), ("tRUE", "tRUE"),
        ("~", None), ("Null", None), ("nULL", "nULL"), ("010", 8), ("0o17", 15), ("0x1F", 31), ("0b101", 5), ("08", 8),
        ("1_000", 1000), ("-7", -7), ("+7", 7), ("20e6", 20_000_000), ("1e3", 1000), ("2.50", 2.5), (".5", 0.5), ("1.", 1),
        ("20:00", "20:00"), ("04:00", "04:00"), ("2014-03-26", "2014-03-26"), ("1e999", "1e999"), ("-", "-"), (".", "."),
        ("5s", "5s"), ("24/7", "24/7"), ("_1", "_1"), ("0x", "0x"), ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", 2.0**63),
    ],
)  # fmt: skip
def test_a_text_without_quotes_means_what_it_means_to_kubectl(text: str, value: object) -> None:
    read = plain_value(text)
    assert read == value
    assert type(read) is type(value)
