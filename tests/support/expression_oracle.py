"""Another implementation of CEL as the judge of ours: cel-python, row by row.

A generated tree is written three times. ``ours`` is what a scanner's author writes. ``guarded`` is for cel-python, with the
meaning of unknown written out: each number operation passes ``finite``, each comparison asks ``known`` first. ``plain``
is for cel-python too, but with nothing written out and parentheses only where CEL's grammar needs them: it is used where
nothing is unknown, and then it is CEL's own opinion of precedence and logic. cel-python has neither ``%`` on doubles nor
the mathematics extension, so these are functions in both.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import celpy
from celpy.celtypes import BoolType, DoubleType, StringType
from hypothesis import strategies as st

CelValue = float | str | bool

__all__ = ["EVENTS", "NUMBERS", "TEXTS", "Expression", "Oracle", "conditions", "numbers"]

NUMBERS = ("price", "gap_percent", "volume", "free_float")
EVENTS = ("new_high_of_day", "crossed_above_vwap")
TEXTS = ("symbol", "session")

_CONDITIONAL, _OR, _AND, _RELATION, _SUM, _PRODUCT, _UNARY, _ATOM = range(8)


class Expression(NamedTuple):
    """One tree in its three forms; ``precedence`` is that of its outermost operator."""

    ours: str
    guarded: str
    plain: str
    precedence: int = _ATOM

    def inside(self, precedence: int) -> "Expression":
        """Return it as an operand of something that binds as tightly as *precedence*."""
        if self.precedence >= precedence:
            return self
        return Expression(f"({self.ours})", self.guarded, f"({self.plain})")


class Oracle:
    """cel-python with the functions that the written-out meaning of unknown needs."""

    def __init__(self) -> None:
        self._environment = celpy.Environment()
        self._saw_unknown = False
        self.expressions, self.values = 0, 0
        """How much was judged so far."""
        self._functions: dict[str, Callable[..., Any]] = {
            "finite": self._finite,
            "known": lambda value: BoolType(math.isfinite(value)),
            "absolute": lambda value: DoubleType(abs(value)),
            "greatest": lambda *values: self._finite(max(values) if all(map(math.isfinite, values)) else math.nan),
            "least": lambda *values: self._finite(min(values) if all(map(math.isfinite, values)) else math.nan),
            "remainder": self._remainder,
        }

    def _finite(self, value: float) -> DoubleType:
        if math.isfinite(value):
            return DoubleType(value)
        self._saw_unknown = True
        return DoubleType("nan")

    def _remainder(self, dividend: float, divisor: float) -> DoubleType:
        a, b = float(dividend), float(divisor)  # cel-python's own double refuses to be compared with Python's 0
        return self._finite(math.fmod(a, b) if math.isfinite(a) and math.isfinite(b) and b != 0 else math.nan)

    def evaluate(self, expression: Expression, rows: list[Mapping[str, CelValue]]) -> list[Any]:
        """Return one Python value for each row. Where nothing was unknown, both forms have to agree first."""
        guarded, plain = self._program(expression.guarded), self._program(expression.plain)
        results = []
        for row in rows:
            activation = {name: _to_cel(value) for name, value in row.items()}
            self._saw_unknown = any(isinstance(value, float) and math.isnan(value) for value in row.values())
            result = _to_python(guarded.evaluate(activation))
            if not self._saw_unknown:
                again = _to_python(plain.evaluate(activation))
                assert _same(again, result), f"cel-python contradicts itself: {expression} {dict(row)}"
            results.append(result)
        self.expressions, self.values = self.expressions + 1, self.values + len(rows)
        return results

    def _program(self, source: str) -> celpy.Runner:
        return self._environment.program(self._environment.compile(source), functions=self._functions)


def _to_cel(value: CelValue) -> BoolType | DoubleType | StringType:
    if isinstance(value, bool):
        return BoolType(value)
    return DoubleType(value) if isinstance(value, float) else StringType(value)


def _to_python(value: Any) -> bool | float:
    return bool(value) if isinstance(value, BoolType | bool) else float(value)


def _same(left: float, right: float) -> bool:
    return left == right or (math.isnan(left) and math.isnan(right))


def _literal(value: float, *, as_integer: bool) -> Expression:
    text = repr(value) if "e" in repr(value) or "." in repr(value) else f"{value}.0"
    ours = str(int(value)) if as_integer and value.is_integer() and value < 2**53 else text
    return Expression(ours, text, text)


def _binary(operator: str, precedence: int) -> Callable[[Expression, Expression], Expression]:
    def build(left: Expression, right: Expression) -> Expression:
        a, b = left.inside(precedence), right.inside(precedence + 1)
        ours = f"{a.ours} {operator} {b.ours}"
        plain = f"{a.plain} {operator} {b.plain}"
        guarded = f"finite({a.guarded} {operator} {b.guarded})"
        if operator == "%":
            plain = guarded = f"remainder({a.guarded}, {b.guarded})"
            return Expression(ours, guarded, plain, precedence)
        return Expression(ours, guarded, plain, precedence)

    return build


def _comparison(operator: str, left: Expression, right: Expression) -> Expression:
    a, b = left.inside(_SUM), right.inside(_SUM)
    guarded = f"(known({a.guarded}) && known({b.guarded}) && ({a.guarded} {operator} {b.guarded}))"
    return Expression(f"{a.ours} {operator} {b.ours}", guarded, f"{a.plain} {operator} {b.plain}", _RELATION)


def _logical(operator: str, operands: list[Expression]) -> Expression:
    precedence = _AND if operator == "&&" else _OR
    parts = [operand.inside(precedence + (index > 0)) for index, operand in enumerate(operands)]
    joined = [f" {operator} ".join(texts) for texts in zip(*(part[:3] for part in parts), strict=True)]
    return Expression(joined[0], f"({joined[1]})", joined[2], precedence)


def _conditional(condition: Expression, then: Expression, otherwise: Expression) -> Expression:
    parts = (condition.inside(_OR), then.inside(_OR), otherwise)
    ours, guarded, plain = ("{} ? {} : {}".format(*texts) for texts in zip(*(part[:3] for part in parts), strict=True))
    return Expression(ours, f"({guarded})", plain, _CONDITIONAL)


def _unary(operator: str, operand: Expression) -> Expression:
    inner = operand.inside(_ATOM)
    return Expression(*(f"{operator}{text}" for text in (inner.ours, f"({inner.guarded})", inner.plain)), _UNARY)


def _function(ours: str, oracle: str, arguments: list[Expression]) -> Expression:
    written, guarded, plain = (", ".join(texts) for texts in zip(*(part[:3] for part in arguments), strict=True))
    return Expression(f"{ours}({written})", f"{oracle}({guarded})", f"{oracle}({plain})")


def _member(value: Expression, items: list[Expression]) -> Expression:
    inner = value.inside(_SUM)
    written, guarded, plain = (", ".join(texts) for texts in zip(*(item[:3] for item in items), strict=True))
    return Expression(
        f"{inner.ours} in [{written}]",
        f"(known({inner.guarded}) && ({inner.guarded} in [{guarded}]))",
        f"{inner.plain} in [{plain}]",
        _RELATION,
    )


def _same_everywhere(text: str, precedence: int = _ATOM) -> Expression:
    return Expression(text, f"({text})", text, precedence)


_VALUES = st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.5, 10.0, 20e6, 1e-3, 0.1, 1e200, 1.7e308, 5e-324])
_LITERALS = st.builds(lambda value, as_integer: _literal(value, as_integer=as_integer), _VALUES, st.booleans())
_FEATURES = st.sampled_from(NUMBERS).map(_same_everywhere)
_LEAVES = _FEATURES | _LITERALS
_WORDS = st.sampled_from(["A", "AA", "AAPL", "B", "regular", "premarket", "", "é", "Z9"])
_TEXT_VALUES = st.sampled_from(TEXTS).map(_same_everywhere) | _WORDS.map(lambda word: _same_everywhere(f"'{word}'"))
_RELATIONS = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])


def _text_conditions() -> st.SearchStrategy[Expression]:
    compared = st.builds(
        lambda operator, a, b: _same_everywhere(f"{a.ours} {operator} {b.ours}", _RELATION),
        _RELATIONS,
        _TEXT_VALUES,
        _TEXT_VALUES,
    )
    searched = st.builds(
        lambda method, a, b: _same_everywhere(f"{a.ours}.{method}({b.ours})"),
        st.sampled_from(["startsWith", "endsWith", "contains"]),
        _TEXT_VALUES,
        _TEXT_VALUES,
    )
    listed = st.builds(
        lambda a, words: _same_everywhere(f"{a.ours} in [{', '.join(map(repr, words))}]", _RELATION),
        _TEXT_VALUES,
        st.lists(_WORDS, min_size=1, max_size=14),
    )
    return compared | searched | listed


def _sizes() -> st.SearchStrategy[Expression]:
    return _TEXT_VALUES.map(
        lambda text: Expression(f"size({text.ours})", *[f"double(size({text.ours}))"] * 2)
    ) | st.sampled_from(TEXTS).map(lambda text: Expression(f"{text}.size()", *[f"double(size({text}))"] * 2))


def numbers(depth: int = 3) -> st.SearchStrategy[Expression]:
    """Return trees that yield a number."""
    if depth == 0:
        return _LEAVES
    inner = numbers(depth - 1)
    sums = [st.builds(_binary(operator, _SUM), inner, inner) for operator in "+-"]
    products = [st.builds(_binary(operator, _PRODUCT), inner, inner) for operator in "*/%"]
    calls = [
        st.builds(_function, st.just("math.abs"), st.just("absolute"), st.lists(inner, min_size=1, max_size=1)),
        st.builds(_function, st.just("math.greatest"), st.just("greatest"), st.lists(inner, min_size=1, max_size=3)),
        st.builds(_function, st.just("math.least"), st.just("least"), st.lists(inner, min_size=1, max_size=3)),
    ]
    negated = st.builds(_unary, st.just("-"), inner)
    chosen = st.builds(_conditional, conditions(depth - 1), inner, inner)
    return st.one_of(_LEAVES, _sizes(), negated, chosen, *sums, *products, *calls)


def conditions(depth: int = 3) -> st.SearchStrategy[Expression]:
    """Return trees that yield a truth."""
    compared = st.builds(_comparison, _RELATIONS, numbers(max(depth - 1, 0)), numbers(max(depth - 1, 0)))
    known = st.sampled_from(NUMBERS).map(lambda name: Expression(f"has({name})", f"known({name})", f"known({name})"))
    leaves = compared | known | st.sampled_from([*EVENTS, "true", "false"]).map(_same_everywhere)
    if depth == 0:
        return leaves
    inner = conditions(depth - 1)
    listed = st.builds(_member, numbers(depth - 1), st.lists(_LITERALS, min_size=1, max_size=30))
    joined = st.builds(_logical, st.sampled_from(["&&", "||"]), st.lists(inner, min_size=2, max_size=4))
    equal = st.builds(
        lambda operator, a, b: _same_relation(operator, a.inside(_SUM), b.inside(_SUM)),
        st.sampled_from(["==", "!="]),
        inner,
        inner,
    )
    negated = st.builds(_unary, st.just("!"), inner)
    chosen = st.builds(_conditional, inner, inner, inner)
    return st.one_of(leaves, _text_conditions(), listed, joined, equal, negated, chosen)


def _same_relation(operator: str, left: Expression, right: Expression) -> Expression:
    forms = (f"{a} {operator} {b}" for a, b in zip(left[:3], right[:3], strict=True))
    ours, guarded, plain = forms
    return Expression(ours, f"({guarded})", plain, _RELATION)
