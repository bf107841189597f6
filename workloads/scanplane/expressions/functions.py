"""The functions of an expression, and what to write instead of those that other languages have."""

from msgspec import Struct

from scanplane.expressions.value_types import Operator, ValueType

__all__ = ["FUNCTIONS", "NAME_HINTS", "FunctionSignature", "hint_for_function"]


class FunctionSignature(Struct, frozen=True, kw_only=True):
    """One function. A method is written ``text.name(arguments)``; ``variadic`` repeats the last parameter."""

    operator: Operator
    parameters: tuple[ValueType, ...]
    result: ValueType
    usage: str
    method: bool = False
    function: bool = False
    variadic: bool = False


_NUMBER = (ValueType.NUMBER,)
_TEXTS = (ValueType.TEXT, ValueType.TEXT)

FUNCTIONS = {
    "math.abs": FunctionSignature(
        operator=Operator.ABSOLUTE,
        parameters=_NUMBER,
        result=ValueType.NUMBER,
        usage="math.abs(gap_percent)",
        function=True,
    ),
    "math.greatest": FunctionSignature(
        operator=Operator.GREATEST,
        parameters=_NUMBER,
        result=ValueType.NUMBER,
        usage="math.greatest(a, b)",
        function=True,
        variadic=True,
    ),
    "math.least": FunctionSignature(
        operator=Operator.LEAST,
        parameters=_NUMBER,
        result=ValueType.NUMBER,
        usage="math.least(a, b)",
        function=True,
        variadic=True,
    ),
    "startsWith": FunctionSignature(
        operator=Operator.STARTS_WITH,
        parameters=_TEXTS,
        result=ValueType.BOOL,
        usage="symbol.startsWith('A')",
        method=True,
    ),
    "endsWith": FunctionSignature(
        operator=Operator.ENDS_WITH,
        parameters=_TEXTS,
        result=ValueType.BOOL,
        usage="symbol.endsWith('A')",
        method=True,
    ),
    "contains": FunctionSignature(
        operator=Operator.CONTAINS,
        parameters=_TEXTS,
        result=ValueType.BOOL,
        usage="symbol.contains('A')",
        method=True,
    ),
    "size": FunctionSignature(
        operator=Operator.SIZE,
        parameters=(ValueType.TEXT,),
        result=ValueType.NUMBER,
        usage="size(symbol)",
        method=True,
        function=True,
    ),
}
"""Every function by the name under which CEL knows it; ``has`` is part of the checker, because it takes a name."""

_WHOLE_SYMBOLS = "an expression asks about one symbol at a time: join conditions with && and ||"
_ALREADY_NUMBER = "every number is a double already: leave it out"
_NO_ROUNDING = "compare with <= and >= instead of rounding"

_FUNCTION_HINTS = {
    "matches": "regular expressions have no bounded cost: write startsWith, endsWith or contains",
    **dict.fromkeys(("all", "exists", "exists_one", "map", "filter", "existsOne", "transformList"), _WHOLE_SYMBOLS),
    **dict.fromkeys(("any", "avg", "mean", "sum", "count", "rank", "percentile", "stdev", "median"), _WHOLE_SYMBOLS),
    **dict.fromkeys(("double", "int", "uint", "float", "number"), _ALREADY_NUMBER),
    **dict.fromkeys(("string", "str", "bool", "bytes", "dyn", "type"), "values are not converted: leave it out"),
    **dict.fromkeys(("timestamp", "duration", "now", "getHours", "getMinutes"), "write minutes_since_open or session"),
    **dict.fromkeys(
        ("round", "floor", "ceil", "trunc", "math.round", "math.floor", "math.ceil", "math.trunc"), _NO_ROUNDING
    ),
    **dict.fromkeys(("abs", "fabs"), "did you mean math.abs?"),
    **dict.fromkeys(("min", "least", "math.min"), "did you mean math.least?"),
    **dict.fromkeys(("max", "greatest", "math.max"), "did you mean math.greatest?"),
    **dict.fromkeys(("len", "length", "strlen"), "did you mean size?"),
    **dict.fromkeys(("startswith", "starts_with", "StartsWith", "left"), "did you mean startsWith?"),
    **dict.fromkeys(("endswith", "ends_with", "EndsWith", "right"), "did you mean endsWith?"),
    **dict.fromkeys(("includes", "Contains", "indexOf", "find", "like"), "did you mean contains?"),
    **dict.fromkeys(("lower", "upper", "lowerAscii", "upperAscii"), "symbols are written as the provider writes them"),
    **dict.fromkeys(("isnull", "isNull", "isna", "isnan", "isNaN", "math.isNaN"), "write !has(x)"),
    **dict.fromkeys(("coalesce", "nvl", "ifnull", "orValue", "optional.of"), "write has(x) ? x : 0"),
    **dict.fromkeys(("iif", "iff", "if", "where", "switch"), "write condition ? a : b"),
    **dict.fromkeys(("between",), "write x >= a && x <= b"),
    **dict.fromkeys(("not",), "write !x"),
    **dict.fromkeys(("math.isInf", "math.isFinite"), "no value is infinite: write has(x)"),
    **dict.fromkeys(("pow", "math.pow", "square"), "write x * x"),
    **dict.fromkeys(("sqrt", "math.sqrt"), "square the other side: write x * x"),
    **dict.fromkeys(("sign", "math.sign"), "write x > 0 or x < 0"),
    **dict.fromkeys(("crosses", "crossed", "crossover", "cross"), "write crossed_above_vwap or crossed_below_vwap"),
}

NAME_HINTS = {
    **dict.fromkeys(("last", "last_price", "close", "px", "last_trade"), "price"),
    **dict.fromkeys(("prev_close", "prior_close", "yesterday_close", "pclose"), "previous_close"),
    **dict.fromkeys(("rvol", "rel_volume", "relative_vol", "rel_vol"), "relative_volume"),
    **dict.fromkeys(("vol", "day_volume", "accumulated_volume"), "volume"),
    **dict.fromkeys(("adv", "avg_volume", "average_daily_volume"), "average_volume"),
    **dict.fromkeys(("float", "shares_float", "float_shares"), "free_float"),
    **dict.fromkeys(("gap", "gap_pct"), "gap_percent"),
    **dict.fromkeys(("change", "change_pct", "chg", "pct_change", "percent_change"), "change_percent"),
    **dict.fromkeys(("spread", "spread_pct"), "spread_percent"),
    **dict.fromkeys(("range", "range_pct"), "range_percent"),
    **dict.fromkeys(("hod", "day_high"), "high_of_day"),
    **dict.fromkeys(("lod", "day_low"), "low_of_day"),
    **dict.fromkeys(("pm_high", "pmh"), "premarket_high"),
    **dict.fromkeys(("pm_low", "pml"), "premarket_low"),
    **dict.fromkeys(("pm_volume", "premarket_vol"), "premarket_volume"),
    **dict.fromkeys(("ticker", "name", "sym"), "symbol"),
    **dict.fromkeys(("offer", "ask_price"), "ask"),
    **dict.fromkeys(("bid_price",), "bid"),
    **dict.fromkeys(("minutes", "time", "minute"), "minutes_since_open"),
    **dict.fromkeys(("turnover", "dollars", "value"), "dollar_volume"),
}
"""What scanners elsewhere call a feature, and its name here."""


def hint_for_function(name: str) -> str:
    """Return what to write instead of an unknown function, or an empty text."""
    return _FUNCTION_HINTS.get(name, "")
