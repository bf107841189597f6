"""What an author is told: every problem, where it is, and what to write instead."""

import pickle

import pytest

from scanplane.expressions import ExpressionError, Problem, ValueType
from scanplane.expressions.problems import MAX_PROBLEMS
from scanplane.expressions.program import compile_expression


def problems_of(source: str, expected: ValueType = ValueType.BOOL) -> list[str]:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(source, expected)
    return [str(problem) for problem in caught.value.problems]


def test_one_problem_reads_as_one_line() -> None:
    source = "price >= 2.0 && price <= 20.0 && gapp_percent >= 4.0"
    assert problems_of(source) == ["1:34 unknown feature 'gapp_percent'; did you mean gap_percent?"]


def test_all_problems_are_found_in_one_pass_in_the_order_of_the_source() -> None:
    source = "rvol >= 5 and price = 3\n  && gapp_percent > 20M || symbol == 7 || abs(price) > 2 || (volume >"
    assert problems_of(source) == [
        "1:1 unknown feature 'rvol'; did you mean relative_volume?",
        "1:11 'and' is not a CEL operator; write &&",
        "1:21 '=' is not a CEL operator; write ==",
        "2:6 unknown feature 'gapp_percent'; did you mean gap_percent?",
        "2:21 not a number: '20M'; write 20e6",
        "2:38 '==' compares a text with a number; write '7'",
        "2:43 unknown function 'abs'; did you mean math.abs?",
        "2:61 '(' is not closed; write ) where it ends",
        "2:70 the expression ends too early; a feature, a number or a text belongs here",
    ]


def test_an_error_holds_its_problems_and_prints_one_line_for_each() -> None:
    error = ExpressionError((Problem(1, 2, "this", "that"), Problem(3, 4, "other")))
    assert str(error) == "1:2 this; that\n3:4 other"
    assert pickle.loads(pickle.dumps(error)).problems == error.problems


def test_a_hostile_text_makes_no_long_report() -> None:
    assert len(problems_of(" + ".join(f"unknown_{index}" for index in range(60)) + " > 1")) == MAX_PROBLEMS
    assert max(map(len, problems_of("x" * 4000))) < 1500
    assert all(line.isprintable() for line in problems_of("\x00 \x1b[31m 'a\x07b' ++ \u2028 \ud800"))


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("price AND volume", "1:7 'AND' is not a CEL operator; write &&"),
        ("has(price) OR has(volume)", "1:12 'OR' is not a CEL operator; write ||"),
        ("not has(price)", "1:1 'not' is not a CEL operator; write !"),
        ("price <> 3", "1:7 '<>' is not a CEL operator; write !="),
        ("price === 3", "1:7 '===' is not a CEL operator; write =="),
        ("price => 3", "1:7 '=>' is not a CEL operator; write >="),
        ("price =< 3", "1:7 '=<' is not a CEL operator; write <="),
        ("price ≥ 3", "1:7 '≥' is not a CEL operator; write >="),
        ("has(price) & has(volume)", "1:12 '&' is not a CEL operator; write &&"),
        ("has(price) | has(volume)", "1:12 '|' is not a CEL operator; write ||"),
        ("price ** 2 > 9", "1:7 '**' is not a CEL operator; write x * x"),
        ("price ^ 2 > 9", "1:7 '^' is not a CEL operator; write x * x"),
        ("has(price) == True", "1:15 'True' is not CEL; write true"),
        ("symbol IN ['A']", "1:8 'IN' is not CEL; write in"),
        ("symbol not in ['A']", "1:8 'not in' is not CEL; write !(a in [b, c])"),
        ("price between 2 and 20", "1:7 'between' is not CEL; write x >= a && x <= b"),
        ("price is null", "1:7 'is' is not CEL; to ask whether x is known, write has(x) or !has(x)"),
        ("free_float == null", "1:15 there is no 'null': a value is known or unknown; write !has(free_float)"),
        ("free_float != NaN", "1:15 there is no 'NaN': a value is known or unknown; write has(free_float)"),
        ("symbol like 'A'", "1:8 'like' is not CEL; write symbol.startsWith('A'), .endsWith('A') or .contains('A')"),
        ("if price > 3", "1:1 'if' is reserved by CEL; write condition ? a : b"),
        ("session == “regular”", "1:12 curly quotes are not CEL; write 'regular'"),
        ("# pennies", "1:1 unexpected character '#'; a comment begins with //"),
        ("price > 3;", "1:10 unexpected character ';'; leave it out: an expression ends with its text"),
        ("price > $3", "1:9 unexpected character '$'; leave it out: prices are plain numbers"),
        ("price\u00a0> 3", "1:6 unexpected blank U+00A0; write a plain space"),
        ("2 < price < 20", "1:1 comparisons do not chain; write 2 < price && price < 20"),
        ("gap_percent > 4%", "1:17 the expression ends too early; a percentage is a plain number: write 4 for 4 %"),
        ("volume > 1,000", "1:11 unexpected ','; write a number without commas and a list in [ ]"),
    ],
)
def test_a_habit_of_another_language_is_told_what_cel_writes(source: str, problem: str) -> None:
    assert problem in problems_of(source)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("volume > 5u", "1:10 unsigned integers are not available: '5u'; write 5"),
        ("volume > 50k", "1:10 not a number: '50k'; write 50e3"),
        ("volume > 1_000_000", "1:10 not a number: '1_000_000'; write 1000000"),
        ("volume > 5abc", "1:10 not a number and not a name: '5abc'; a name begins with a letter"),
        ("price > 5.", "1:9 a number cannot end with a point: '5.'; write 5.0"),
        ("price > 1e999", "1:9 the number '1e999' is too large; write at most 1.7e308"),
        (
            "price > 9223372036854775808",
            "1:9 this integer does not fit in 64 bits; write it with an exponent, such as 1e20",
        ),
        ("b'A' == symbol", "1:1 bytes are not available; write a text without the b before it"),
        ("symbol == 'A", "1:11 this text has no end; close it with '"),
        ("symbol == 'A\n", "1:11 this text has no end; close it with '"),
        (r"symbol == '\q'", r"1:11 unknown escape in a text; write \\ for a backslash"),
        (r"symbol == '\x00'", "1:11 a text cannot hold the character NUL; leave it out"),
        (r"symbol == '\ud800'", "1:11 a text cannot hold half of a surrogate pair; write the whole character"),
        (r"symbol == '\UFFFFFFFF'", r"1:11 an escape in this text is beyond Unicode; write at most \U0010ffff"),
    ],
)
def test_a_literal_that_stands_for_nothing_is_refused(source: str, problem: str) -> None:
    assert problems_of(source) == [problem]


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("price[0] > 3", "1:6 an index is not available; a feature is one value of one symbol"),
        ("price{a: 1} > 3", "1:6 a message is not available; a feature is one value of one symbol"),
        ("{'a': 1} == 1", "1:1 maps are not available; write a condition with && and ||"),
        ("price.value > 3", "1:7 features have no fields: '.value'; write the name of a feature alone"),
        (".price > 3", "1:1 unexpected '.'; write the name of a feature without a point before it"),
        ("[1, 2] == price", "1:1 a list stands only after 'in'; write for example symbol in ['AAPL', 'MSFT']"),
        (
            "[1, 2].exists(x, x > price)",
            "1:8 unknown function 'exists'; an expression asks about one symbol at a time: join conditions with && and ||",
        ),
        (
            "symbol.matches('^A')",
            "1:8 unknown function 'matches'; regular expressions have no bounded cost: write startsWith, endsWith or contains",
        ),
        ("double(price) > 3", "1:1 unknown function 'double'; every number is a double already: leave it out"),
        ("timestamp('x') > 3", "1:1 unknown function 'timestamp'; write minutes_since_open or session"),
        ("max(price, 3) > 3", "1:1 unknown function 'max'; did you mean math.greatest?"),
        ("math.sqrt(price) > 3", "1:1 unknown function 'math.sqrt'; square the other side: write x * x"),
        ("symbol.startswith('A')", "1:8 unknown function 'startswith'; did you mean startsWith?"),
        ("math.pi > 3", "1:6 features have no fields: '.pi'; write the name of a feature alone"),
        ("price() > 3", "1:1 unknown function 'price'; it is a feature: write price alone"),
        ("startsWith(symbol, 'A')", "1:1 startsWith is not called like this; write symbol.startsWith('A')"),
        ("math.greatest() > 3", "1:1 math.greatest is not called like this; write math.greatest(a, b)"),
        ("has(price > 3)", "1:1 has takes the name of one feature; write for example has(free_float)"),
        (
            "has(new_high_of_day)",
            "1:1 has(new_high_of_day) is always true, because an event is never unknown; write new_high_of_day alone",
        ),
    ],
)
def test_what_is_not_part_of_expressions_is_refused_with_what_to_write_instead(source: str, problem: str) -> None:
    assert problems_of(source) == [problem]


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("price", "1:1 this expression needs true or false, but this is a number; compare it: price > 0"),
        ("symbol", "1:1 this expression needs true or false, but this is a text; compare it: symbol == 'A'"),
        ("price && has(price)", "1:1 '&&' needs true or false, but this is a number; compare it: price > 0"),
        (
            "!free_float",
            "1:2 '!' needs true or false, but free_float is a number; write !has(free_float) or free_float == 0",
        ),
        ("price > '5'", "1:9 '>' compares a number with a text; leave out the quotes: 5"),
        ("new_high_of_day == 1", "1:20 '==' compares true or false with a number; write new_high_of_day alone"),
        ("has(price) < has(volume)", "1:14 '<' does not order true and false; write &&, ||, == or !="),
        ("price + symbol > 3", "1:9 '+' needs a number, but this is a text"),
        ("-symbol == 'A'", "1:2 '-' needs a number, but this is a text"),
        ("has(price) ? 1 : 'A'", "1:18 ':' after such a value needs a number, but this is a text"),
        ("symbol in ['A', 3]", "1:17 this list needs a text, but this is a number; write '3'"),
        ("has(price) in [true]", "1:1 'in' needs a number or a text before it; write the condition alone"),
        ("size(price) > 3", "1:6 size needs a text, but this is a number"),
    ],
)
def test_a_wrong_type_is_told_where_it_stands(source: str, problem: str) -> None:
    assert problem in problems_of(source)


def test_a_ranking_needs_a_number() -> None:
    assert problems_of("new_high_of_day", ValueType.NUMBER) == [
        "1:1 this expression needs a number, but this is true or false; write new_high_of_day ? 1 : 0"
    ]


def test_an_unknown_name_that_resembles_nothing_is_answered_with_the_catalogue_once() -> None:
    first, second = problems_of("zzz > 1 || qqq > 1")
    assert "there are symbol, session" in first
    assert second == "1:12 unknown feature 'qqq'"


def test_an_empty_expression_is_told_what_an_expression_is() -> None:
    expected = ["1:1 the expression is empty; write for example price >= 2 && volume > 100e3"]
    assert problems_of("") == expected
    assert problems_of(" \n // nothing\n") == expected


def test_positions_count_characters_and_lines_from_one() -> None:
    assert problems_of("// é\n'é' == symbol &&\r\n\tfoo_bar_baz > 1")[0].startswith("3:2 unknown feature")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("(price > 3", "1:1 '(' is not closed; write ) where it ends"),
        ("price > 3)", "1:10 unexpected ')'; leave it out, or write ( where it begins"),
        ("price > 3 volume > 4", "1:11 unexpected 'volume'; write an operator such as && between the two"),
        ("price > 3 ? 1", "1:14 the expression ends too early; expected :"),
        ("a ? b ? c : d : e", "1:7 unexpected '?'; put the inner a ? b : c in parentheses"),
    ],
)
def test_a_broken_sentence_is_reported_where_it_breaks(source: str, expected: str) -> None:
    assert expected in problems_of(source)
