"""Tokens to a syntax tree: recursive descent with precedence climbing over the grammar of CEL.

A mistake is reported where it stands, the rest of its operand is skipped, and parsing goes on after the next ``&&``,
``||`` or closing bracket. Depth and number of nodes are bounded, so that hostile text cannot exhaust the stack here or
in any later walk over the tree.
"""

from scanplane.expressions.lexer import Token, TokenKind, tokenize
from scanplane.expressions.problems import ProblemCollector, Span, quote
from scanplane.expressions.syntax import (
    Arithmetic,
    Call,
    Comparison,
    Conditional,
    Invalid,
    ListLiteral,
    Literal,
    Logical,
    Membership,
    Name,
    Negation,
    Node,
    Not,
)

__all__ = ["MAX_DEPTH", "MAX_NODES", "MAX_SOURCE_CHARACTERS", "parse"]

MAX_SOURCE_CHARACTERS = 4096
MAX_DEPTH = 64
MAX_NODES = 1000

_RELATIONS = ("==", "!=", "<", "<=", ">", ">=")
_LEVELS = {
    "||": 1,
    "&&": 2,
    **dict.fromkeys((*_RELATIONS, "in", "not in"), 3),
    "+": 4,
    "-": 4,
    **dict.fromkeys("*/%", 5),
}
_OPENING = {"(": ")", "[": "]", "{": "}"}
_CLOSING = frozenset(_OPENING.values())
_RESUME_AT = frozenset({"&&", "||", ",", *_CLOSING})

_RESERVED = frozenset(
    {"as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package"}
    | {"namespace", "return", "var", "void", "while"}
)
_WORD_HINTS = {
    "between": "write x >= a && x <= b",
    "is": "to ask whether x is known, write has(x) or !has(x)",
    "like": "write symbol.startsWith('A'), .endsWith('A') or .contains('A')",
    "then": "write condition ? a : b",
    "else": "write condition ? a : b",
    "if": "write condition ? a : b",
    "xor": "write a != b",
    "matches": "write symbol.startsWith('A'), .endsWith('A') or .contains('A')",
}


class _TooComplexError(Exception):
    """Depth or size is over its limit; already reported."""


class _Parser:
    def __init__(self, tokens: list[Token], problems: ProblemCollector) -> None:
        self._tokens = tokens
        self._problems = problems
        self._index = 0
        self._depth = 0
        self._nodes = 0

    def fragments(self) -> tuple[Node, ...]:
        """Return one tree, or where something was skipped the several that remain."""
        found: list[Node] = []
        try:
            found.append(self._expression())
            while self._token.kind is not TokenKind.END:
                self._unexpected()
                if self._resumes():
                    found.append(self._expression())
        except _TooComplexError:
            return ()
        return tuple(found)

    def _resumes(self) -> bool:
        """Go over everything up to and with the next ``&&`` or ``||`` outside brackets, if there is one."""
        while True:
            self._skip()
            token = self._take()
            if token.kind is TokenKind.END or token.text in {"&&", "||"}:
                return token.kind is not TokenKind.END

    # Tokens

    @property
    def _token(self) -> Token:
        return self._tokens[self._index]

    def _take(self) -> Token:
        token = self._token
        if token.kind is not TokenKind.END:
            self._index += 1
        return token

    def _at(self, *texts: str) -> bool:
        return self._token.kind is TokenKind.SYMBOL and self._token.text in texts

    def _expect(self, text: str, opening: Span | None = None) -> Span:
        if self._at(text):
            return self._take().span
        if self._token.kind is TokenKind.END and opening is not None:
            self._problems.add(opening, f"{quote(_opening_of(text))} is not closed", f"write {text} where it ends")
            return self._token.span
        self._unexpected(f"expected {text}")
        self._skip()
        return self._take().span if self._at(text) else self._token.span

    def _skip(self) -> None:
        """Go on to where an operand can end, over whole brackets."""
        nested: list[str] = []
        while self._token.kind is not TokenKind.END:
            text = self._token.text if self._token.kind is TokenKind.SYMBOL else ""
            if nested and text == nested[-1]:
                nested.pop()
            elif text in _OPENING:
                nested.append(_OPENING[text])
            elif not nested and text in _RESUME_AT:
                return
            self._take()

    def _unexpected(self, expected: str = "") -> None:
        token = self._token
        if token.kind is TokenKind.INVALID:
            return
        if token.kind is TokenKind.END:
            self._problems.add(token.span, "the expression ends too early", self._hint(token) or expected)
        elif token.kind is TokenKind.NAME and token.text.lower() in _WORD_HINTS:
            hint = _WORD_HINTS[token.text.lower()]
            self._problems.add(token.span, f"{quote(token.text)} is not CEL", hint)
        else:
            hint = self._hint(token) or expected
            self._problems.add(token.span, f"unexpected {quote(token.text)}", hint)

    def _hint(self, token: Token) -> str:
        previous = self._tokens[self._index - 1] if self._index else None
        if previous is None:
            return ""
        after_number = previous.kind is TokenKind.NUMBER
        if previous.kind is TokenKind.SYMBOL and previous.text == "%":
            return "a percentage is a plain number: write 4 for 4 %"
        if after_number and token.text == ",":
            return "write a number without commas and a list in [ ]"
        if token.text in _CLOSING and not self._depth:
            return f"leave it out, or write {_opening_of(token.text)} where it begins"
        if token.kind in {TokenKind.NUMBER, TokenKind.TEXT, TokenKind.NAME} or token.text in _OPENING:
            return "write an operator such as && between the two" if _ends_operand(previous) else ""
        return ""

    # Limits

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._refuse_depth(self._token.span)

    def _deeper(self, span: Span, *children: Node) -> int:
        """Count a node and return its depth."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._problems.add(span, f"more than {MAX_NODES} operands and operators", "split it into several scanners")
            raise _TooComplexError
        depth = 1 + max((child.depth for child in children), default=0)
        if depth > MAX_DEPTH:
            self._refuse_depth(span)
        return depth

    def _refuse_depth(self, span: Span) -> None:
        self._problems.add(span, f"nested deeper than {MAX_DEPTH} levels", "write it flatter")
        raise _TooComplexError

    # Grammar

    def _expression(self) -> Node:
        self._enter()
        condition = self._binary(1)
        if self._at("?"):
            self._take()
            then = self._binary(1)
            if self._at("?"):
                self._unexpected("put the inner a ? b : c in parentheses")
                self._skip()
            self._expect(":")
            otherwise = self._expression()
            span = condition.span.until(otherwise.span)
            depth = self._deeper(span, condition, then, otherwise)
            condition = Conditional(span=span, depth=depth, condition=condition, then=then, otherwise=otherwise)
        self._depth -= 1
        return condition

    def _binary(self, lowest: int) -> Node:
        left = self._unary()
        while self._token.kind is TokenKind.SYMBOL and _LEVELS.get(self._token.text, 0) >= lowest:
            operator = self._take().text
            if operator in {"&&", "||"}:
                left = self._logical(operator, left)
            else:
                left = self._joined(operator, left, self._operand(_LEVELS[operator] + 1))
        return left

    def _operand(self, lowest: int) -> Node:
        self._enter()
        operand = self._binary(lowest)
        self._depth -= 1
        return operand

    def _logical(self, operator: str, first: Node) -> Node:
        operands = [first, self._operand(_LEVELS[operator] + 1)]
        while self._at(operator):
            self._take()
            operands.append(self._operand(_LEVELS[operator] + 1))
        span = first.span.until(operands[-1].span)
        return Logical(span=span, depth=self._deeper(span, *operands), operator=operator, operands=tuple(operands))

    def _joined(self, operator: str, left: Node, right: Node) -> Node:
        span = left.span.until(right.span)
        depth = self._deeper(span, left, right)
        if operator in _RELATIONS:
            return Comparison(span=span, depth=depth, operator=operator, left=left, right=right)
        if operator in {"in", "not in"}:
            return Membership(span=span, depth=depth, value=left, container=right)
        return Arithmetic(span=span, depth=depth, operator=operator, left=left, right=right)

    def _unary(self) -> Node:
        signs: list[Token] = []
        while self._at("!", "-"):
            signs.append(self._take())
        node = self._member()
        for sign in reversed(signs):
            span = sign.span.until(node.span)
            kind = Not if sign.text == "!" else Negation
            node = kind(span=span, depth=self._deeper(span, node), operand=node)
        return node

    def _member(self) -> Node:
        node = self._primary()
        while self._at(".", "[", "{"):
            opening = self._token
            if opening.text == ".":
                node = self._selected(node)
                continue
            what = "an index" if opening.text == "[" else "a message"
            self._problems.add(opening.span, f"{what} is not available", "a feature is one value of one symbol")
            self._bracket()
            node = Invalid(span=node.span.until(opening.span))
        return node

    def _selected(self, target: Node) -> Node:
        self._take()
        if self._token.kind is not TokenKind.NAME:
            self._unexpected("write a function's name after the point")
            return Invalid(span=target.span)
        name = self._take()
        if self._at("("):
            if isinstance(target, Name) and target.name == "math":
                return self._call(f"math.{name.text}", target.span.until(name.span), None, target.span)
            return self._call(name.text, name.span, target, target.span)
        instead = "write size(x)" if name.text in {"length", "size", "len"} else "write the name of a feature alone"
        self._problems.add(name.span, f"features have no fields: {quote('.' + name.text)}", instead)
        return Invalid(span=target.span.until(name.span))

    def _call(self, function: str, function_span: Span, target: Node | None, begin: Span) -> Node:
        arguments, end = self._items(")")
        span = begin.until(end)
        depth = self._deeper(span, *arguments, *((target,) if target else ()))
        return Call(
            span=span, depth=depth, function=function, function_span=function_span, target=target, arguments=arguments
        )

    def _items(self, closing: str) -> tuple[tuple[Node, ...], Span]:
        opening = self._take().span
        items: list[Node] = []
        while not self._at(closing):
            items.append(self._expression())
            if not self._at(","):
                break
            self._take()
        return tuple(items), self._expect(closing, opening)

    def _bracket(self) -> None:
        """Go over a whole bracket without looking into it."""
        closing = _OPENING[self._take().text]
        while self._token.kind is not TokenKind.END and not self._at(closing):
            self._skip()
            if not self._at(closing):
                self._take()
        self._take()

    def _primary(self) -> Node:
        token = self._token
        if token.kind is TokenKind.NAME:
            return self._named()
        if token.kind in {TokenKind.NUMBER, TokenKind.TEXT}:
            self._take()
            assert token.value is not None
            return Literal(span=token.span, depth=self._deeper(token.span), value=token.value, text=token.text)
        if self._at("("):
            self._take()
            inner = self._expression()
            self._expect(")", token.span)
            return inner
        if self._at("["):
            items, end = self._items("]")
            span = token.span.until(end)
            return ListLiteral(span=span, depth=self._deeper(span, *items), items=items)
        return self._no_operand()

    def _named(self) -> Node:
        token = self._take()
        if token.value is not None:
            return Literal(span=token.span, depth=self._deeper(token.span), value=token.value, text=token.text)
        if self._at("("):
            return self._call(token.text, token.span, None, token.span)
        if token.text in _RESERVED:
            self._problems.add(token.span, f"{quote(token.text)} is reserved by CEL", _WORD_HINTS.get(token.text, ""))
            self._skip()
            return Invalid(span=token.span)
        return Name(span=token.span, depth=self._deeper(token.span), name=token.text)

    def _no_operand(self) -> Node:
        token = self._token
        if token.kind is TokenKind.INVALID:
            self._take()
        elif self._at("{"):
            self._problems.add(token.span, "maps are not available", "write a condition with && and ||")
            self._bracket()
        elif self._at("."):
            self._unexpected("write the name of a feature without a point before it")
            while self._at("."):
                self._take()
            if self._token.kind is TokenKind.NAME:
                return self._named()
        else:
            self._unexpected("a feature, a number or a text belongs here")
            if not (self._at(*_RESUME_AT) or token.text in _LEVELS):
                self._skip()
        return Invalid(span=token.span)


def _opening_of(closing: str) -> str:
    return next(opening for opening, end in _OPENING.items() if end == closing)


def _ends_operand(token: Token) -> bool:
    return token.kind is not TokenKind.SYMBOL or token.text in _CLOSING


def parse(source: str, problems: ProblemCollector) -> tuple[Node, ...]:
    """Return the tree of *source*; several fragments, or none, where *problems* were added."""
    if len(source) > MAX_SOURCE_CHARACTERS:
        everything = Span(1, 1, 0, len(source))
        message = f"the expression has {len(source)} characters, {MAX_SOURCE_CHARACTERS} are allowed"
        problems.add(everything, message, "split it into several scanners")
        return ()
    tokens = tokenize(source, problems)
    if tokens[0].kind is TokenKind.END:
        problems.add(Span(1, 1, 0, 0), "the expression is empty", "write for example price >= 2 && volume > 100e3")
        return ()
    return _Parser(tokens, problems).fragments()
