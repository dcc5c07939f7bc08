"""Parses queries; the grammar is in grammar.lark."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any, cast

from lark import Lark, Token, Transformer, UnexpectedInput, UnexpectedToken, v_args
from lark.lexer import PatternStr

from iothub_emulator.errors import HubError
from iothub_emulator.query import tree
from iothub_emulator.query.names import canonical, check_names
from iothub_emulator.query.tree import Call, Expression, Item, Literal, Path, Statement, invalid

#: In characters (learn page).
MAX_LENGTH = 8192
#: Levels of operators, so that no query exhausts the stack.
MAX_DEPTH = 100

_CONSTANTS = {"true": True, "false": False, "null": None, "undefined": tree.UNDEFINED}


def parse(text: str) -> Statement:
    if len(text) > MAX_LENGTH:
        raise invalid(f"it has more than {MAX_LENGTH} characters.")
    try:
        statement = cast(Statement, _PARSER.parse(text))
    except UnexpectedInput as error:
        raise _unexpected(error) from None
    _check_depth(statement.condition)
    check_names(statement)
    return statement


def _unexpected(error: UnexpectedInput) -> HubError:
    at = f"line {error.line}:{error.column}"
    if not isinstance(error, UnexpectedToken):
        return invalid(f"{at} has an unexpected character.")
    actual = error.token or _terminal_name(error.token.type)
    expected = ", ".join(sorted(map(_terminal_name, error.accepts)))
    return invalid(f"{at} has {actual} instead of {expected}.")


def _terminal_name(terminal: str) -> str:
    if terminal == "$END":
        return "the end"
    pattern = _PARSER.get_terminal(terminal).pattern
    if isinstance(pattern, PatternStr):
        return str(pattern.value)
    return f"a {terminal.lower().replace('_', ' ')}"


def _check_depth(condition: Expression | None) -> None:
    level = [condition]
    for _ in range(MAX_DEPTH):
        level = [operand for call in level if isinstance(call, Call) for operand in call.operands]
    if level:
        raise invalid(f"it nests more than {MAX_DEPTH} operators.")


@v_args(inline=True)
class _Builder(Transformer[Token, Any]):
    """Builds the tree; each method handles the grammar rule of the same name."""

    def query(
        self,
        top: int | None,
        items: tuple[Item, ...] | None,
        source: tree.Source,
        condition: Expression | None,
        groups: tuple[Path, ...] | None,
    ) -> Statement:
        return Statement(top, items, source, condition, groups or ())

    def top(self, text: str) -> int:
        number = _number(text)
        if not number.is_integer():
            raise invalid(f"TOP must be an integer, not {text}.")
        return int(number)

    def everything(self) -> None:
        return None

    def items(self, *items: Item) -> tuple[Item, ...]:
        return items

    def item(self, element: Path | Item, alias: str | None) -> Item:
        item = Item(element) if isinstance(element, Path) else element
        return replace(item, alias=alias)

    def aggregate(self, name: str, path: Path | None) -> Item:
        return Item(path, name.lower())

    def source(self, *names: str) -> tree.Source:
        name = ".".join(names).lower()
        if name not in list(tree.Source):
            raise invalid(f"FROM must be {', '.join(tree.Source)}, not {name}.")
        return tree.Source(name)

    def paths(self, *paths: Path) -> tuple[Path, ...]:
        return paths

    def path(self, *names: str) -> Path:
        return canonical(names)

    def name(self, token: Token) -> str:
        return token[2:-2] if token.type == "NAME_IN_BRACKETS" else str(token)

    def infix(self, *children: Any) -> Call:
        """Operands joined by the same operator."""
        return Call(children[1].lower(), children[::2])

    def call(self, function: str, *operands: Expression) -> Call:
        return Call(function.lower(), operands)

    def list(self, *constants: Literal) -> Literal:
        return Literal(tuple(constant.value for constant in constants))

    def number(self, sign: str | None, digits: str) -> Literal:
        return Literal(-_number(digits) if sign else _number(digits))

    def string(self, token: str) -> Literal:
        """A JSON string, also in single quotes and with the escapes for one."""
        changes = {"\\'": "'", '"': '\\"', "''": "'" if token[0] == "'" else "''"}
        body = re.sub(r"\\.|''|\"", lambda match: changes.get(match[0], match[0]), token[1:-1])
        return Literal(json.loads(f'"{body}"', strict=False))

    def constant(self, token: str) -> Literal:
        return Literal(_CONSTANTS[token.lower()])


def _number(text: str) -> float:
    return float(int(text, 16)) if text[1:2] in ("x", "X") else float(text)


_PARSER = Lark.open(
    "grammar.lark",
    rel_to=__file__,
    parser="lalr",
    lexer="basic",
    start="query",
    transformer=_Builder(),
)
