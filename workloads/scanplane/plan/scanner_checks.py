"""What makes a Scanner acceptable: expressions that compile, columns that exist, features that somebody feeds."""

import difflib
import functools
from collections.abc import Iterator, Mapping

from msgspec import Struct

from scanplane.expressions import ExpressionError, ValueType, check_expression
from scanplane.features.catalogue import CATALOGUE
from scanplane.marketdata.channels import Channel
from scanplane.plan.acceptance import Acceptance, Judgement, missing_or_refused
from scanplane.plan.inventory import Finding, Reason
from scanplane.resources.kinds import Kind
from scanplane.resources.market import Market, ReferenceSource
from scanplane.resources.scanner import Scanner

__all__ = ["check_scanner", "check_scanner_texts", "default_columns"]

_EXPRESSIONS = (
    ("spec.board.rankBy", ValueType.NUMBER),
    ("spec.where", ValueType.BOOL),
    ("spec.signal.when", ValueType.BOOL),
)
_PLACES = {name: place for place, name in enumerate(CATALOGUE)}


def check_scanner(scanner: Scanner, acceptance: Acceptance) -> list[Finding]:
    """Check a Scanner."""
    judgement = Judgement(scanner)
    market = acceptance.markets.get(scanner.spec.market_ref.name)
    if market is None:
        missing_or_refused(acceptance, Kind.MARKET, scanner.spec.market_ref.name, "spec.marketRef.name", judgement)
    used: dict[str, str] = {}
    for path, source, expected in _expressions(scanner):
        judged = _judge(source, expected)
        for text, line, position in judged.problems:
            judgement.refuse(Reason.INVALID_EXPRESSION, path, text, line=line, column=position)
        used |= dict.fromkeys(sorted(judged.features), path)
    if scanner.spec.board is not None:
        for index, column in enumerate(scanner.spec.board.columns or ()):
            path = f"spec.board.columns[{index}]"
            if column in CATALOGUE:
                used.setdefault(column, path)
            else:
                judgement.refuse(Reason.UNKNOWN_FEATURE, path, _unknown_feature(column))
    if market is not None:
        _check_fed(used, market, acceptance, judgement)
    return judgement.findings


def check_scanner_texts(document: Mapping[str, object]) -> Iterator[tuple[str, str, int, int]]:
    """Check what can be checked of a Scanner that is malformed elsewhere: its expressions and columns.

    Yield for each problem its path, what is wrong, and the line and column within the text at that path.
    """
    for path, expected in _EXPRESSIONS:
        source = _value_at(document, path)
        if isinstance(source, str):
            yield from ((path, *problem) for problem in _judge(source, expected).problems)
    columns = _value_at(document, "spec.board.columns")
    for index, column in enumerate(columns if isinstance(columns, list) else ()):
        if isinstance(column, str) and column not in CATALOGUE:
            yield f"spec.board.columns[{index}]", _unknown_feature(column), 1, 1


def _value_at(document: object, path: str) -> object:
    for name in path.split("."):
        document = document.get(name) if isinstance(document, Mapping) else None
    return document


def default_columns(scanner: Scanner) -> tuple[str, ...]:
    """Return the columns of a board that names none: what it ranks by, then what ``where`` asks, then price and volume."""
    names: list[str] = []
    for path, source, expected in _expressions(scanner):
        if path != "spec.signal.when":
            features = _judge(source, expected).features
            names.extend(sorted(features, key=_PLACES.__getitem__))
    unique = dict.fromkeys([*names, "price", "volume"])
    return tuple(name for name in unique if name not in {"symbol", "session"})


def _expressions(scanner: Scanner) -> list[tuple[str, str, ValueType]]:
    spec = scanner.spec
    rank_by = None if spec.board is None else spec.board.rank_by
    when = None if spec.signal is None else spec.signal.when
    texts = (rank_by, spec.where, when)
    return [
        (path, text, expected) for (path, expected), text in zip(_EXPRESSIONS, texts, strict=True) if text is not None
    ]


class _Judged(Struct, frozen=True):
    """What is to be known of an expression: the features that it reads, and each mistake with its line and column."""

    features: frozenset[str] = frozenset()
    problems: tuple[tuple[str, int, int], ...] = ()


@functools.lru_cache(maxsize=16_384)
def _judge(source: str, expected: ValueType) -> _Judged:
    """Check an expression, once for as long as nobody changes it: an operator plans a thousand of them again and again."""
    try:
        return _Judged(features=check_expression(source, expected).features)
    except ExpressionError as error:
        problems = (
            (f"{each.message}; {each.suggestion}" if each.suggestion else each.message, each.line, each.column)
            for each in error.problems
        )
        return _Judged(problems=tuple(problems))


def _unknown_feature(name: str) -> str:
    near = difflib.get_close_matches(name, CATALOGUE, n=1)
    return f"unknown feature '{name}'" + (f"; did you mean {near[0]}?" if near else "; docs/features.md lists them")


def _check_fed(used: dict[str, str], market: Market, acceptance: Acceptance, judgement: Judgement) -> None:
    """Warn of features that would stay unknown for ever: no channel or no reference data behind them."""
    subscribed: set[Channel] = set()
    for subscription in acceptance.subscriptions.values():
        if subscription.spec.market_ref.name == market.metadata.name:
            subscribed |= set(subscription.spec.channels)
    for name, path in used.items():
        feature = CATALOGUE[name]
        if feature.any_of and subscribed and not subscribed & set(feature.any_of):
            wanted = " or ".join(feature.any_of)
            judgement.warn(
                Reason.FEATURE_WITHOUT_DATA,
                path,
                f"{name} stays unknown: no Subscription of this Market takes {wanted}",
            )
        if feature.needs_reference and not _has_reference(market, feature.needs_reference):
            judgement.warn(
                Reason.FEATURE_WITHOUT_DATA,
                path,
                f"{name} stays unknown: Market '{market.metadata.name}' has no spec.reference.{feature.needs_reference}",
            )


def _has_reference(market: Market, field: str) -> bool:
    reference = market.spec.reference
    if reference is None:
        return False
    source = {
        "previousClose": reference.previous_close,
        "averageVolume": reference.average_volume,
        "volumeCurve": reference.volume_curve,
        "freeFloat": reference.free_float,
    }[field]
    return source not in {None, ReferenceSource.NONE}
