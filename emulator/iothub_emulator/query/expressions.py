"""Compiles expressions into functions of a twin document, in three-valued logic.

According to the learn pages, a twin matches if the condition is true, properties may be absent, and
only primitive values can be compared. The rest follows Cosmos DB, which has a similar language:

- Comparing values of different types, including null, is undefined, also with ``!=``.
- NOT of undefined is undefined; AND and OR are defined when one operand decides.
- ``IN`` is equivalent to comparisons by ``=`` joined by OR, ``NIN`` to its negation.
- Operands of a wrong type and division by zero make the result undefined.
"""

from __future__ import annotations

import math
import operator
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

from iothub_emulator.query.tree import UNDEFINED, Call, Expression, Literal, Path, invalid

Document = dict[str, Any]
Evaluate = Callable[[Document], Any]

#: The kinds of primitive values. Documents contain exactly these types, no subclasses.
KINDS = {bool: "boolean", int: "number", float: "number", str: "string", type(None): "null"}
ORDERED_KINDS = {type_: kind for type_, kind in KINDS.items() if kind != "null"}


def compiled(expression: Expression) -> Evaluate:
    """Compile to closures, once per query: a query may evaluate a million documents."""
    match expression:
        case Path((name,)):
            return lambda document: document.get(name, UNDEFINED)
        case Path(names):
            return _path(names)
        case Literal(value):
            return lambda _: value
        case Call("in", (operand, Literal(constants))):
            return _membership(compiled(operand), constants)
        case Call("nin", operands):
            return _negation(compiled(Call("in", operands)))
        case Call("and" | "or" as junction, operands):
            return _junction(junction == "or", [compiled(operand) for operand in operands])
        case Call("not", (operand,)):
            return _negation(compiled(operand))
        case Call(name, operands):
            return _application(name, [compiled(operand) for operand in operands])


def _path(names: tuple[str, ...]) -> Evaluate:
    def evaluate(document: Document) -> Any:
        value: Any = document
        for name in names:
            if not isinstance(value, dict):
                return UNDEFINED
            value = value.get(name, UNDEFINED)
        return value

    return evaluate


def _junction(decisive: bool, operands: list[Evaluate]) -> Evaluate:
    """AND, which one false operand decides, or OR, which one true operand decides."""

    def evaluate(document: Document) -> Any:
        result: Any = not decisive
        for operand in operands:
            value = operand(document)
            if value is decisive:
                return decisive
            if not isinstance(value, bool):
                result = UNDEFINED
        return result

    return evaluate


def _negation(operand: Evaluate) -> Evaluate:
    def evaluate(document: Document) -> Any:
        value = operand(document)
        return not value if isinstance(value, bool) else UNDEFINED

    return evaluate


def _membership(operand: Evaluate, constants: tuple[Any, ...]) -> Evaluate:
    members = frozenset((KINDS.get(type(constant)), constant) for constant in constants)
    kinds = {kind for kind, _ in members}

    def evaluate(document: Document) -> Any:
        value = operand(document)
        kind = KINDS.get(type(value))
        if kind is None:
            return UNDEFINED
        if (kind, value) in members:
            return True
        return False if kinds == {kind} else UNDEFINED

    return evaluate


def _application(name: str, operands: list[Evaluate]) -> Evaluate:
    arities, apply = _FUNCTIONS.get(name, (range(0), None))
    if apply is None:
        known = ", ".join(sorted(filter(str.isidentifier, _FUNCTIONS)))
        raise invalid(f"unknown function {name}; known functions: {known}.")
    if len(operands) not in arities:
        raise invalid(f"{name} does not accept {len(operands)} operands.")
    if len(operands) == 1:
        (only,) = operands
        return lambda document: apply(only(document))
    if len(operands) == 2:
        left, right = operands
        return lambda document: apply(left(document), right(document))
    return lambda document: apply(*[operand(document) for operand in operands])


def _comparison(
    compare: Callable[[Any, Any], bool], kinds: Mapping[type, str]
) -> Callable[[Any, Any], Any]:
    def apply(left: Any, right: Any) -> Any:
        kind = kinds.get(type(left))
        if kind is None or kind != kinds.get(type(right)):
            return UNDEFINED
        return compare(left, right)

    return apply


def _on_numbers(calculate: Callable[..., float]) -> Callable[..., Any]:
    def apply(*operands: Any) -> Any:
        if any(KINDS.get(type(operand)) != "number" for operand in operands):
            return UNDEFINED
        try:
            result = calculate(*map(float, operands))
        except (ArithmeticError, ValueError):
            return UNDEFINED
        return result if math.isfinite(result) else UNDEFINED

    return apply


def _on_strings(calculate: Callable[..., Any]) -> Callable[..., Any]:
    def apply(*operands: Any) -> Any:
        if any(type(operand) is not str for operand in operands):
            return UNDEFINED
        return calculate(*operands)

    return apply


def _is(*kinds: str) -> Callable[[Any], bool]:
    return lambda value: KINDS.get(type(value)) in kinds


def _is_array(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _array_contains(array: Any, element: Any) -> Any:
    kind = KINDS.get(type(element))
    if not _is_array(array) or kind is None:
        return UNDEFINED
    return any(KINDS.get(type(other)) == kind and other == element for other in array)


def _substring(text: Any, start: Any, length: Any = sys.maxsize) -> Any:
    numbers = [float(value) for value in (start, length) if KINDS.get(type(value)) == "number"]
    if type(text) is not str or len(numbers) < 2:
        return UNDEFINED
    if not all(number.is_integer() and number >= 0 for number in numbers):
        return UNDEFINED
    return text[int(numbers[0]) :][: int(numbers[1])]


def _as_number(value: Any) -> Any:
    if type(value) is str:
        return float(value) if _DECIMAL.fullmatch(value) else UNDEFINED
    return value if KINDS.get(type(value)) == "number" else UNDEFINED


_DECIMAL = re.compile(r"[+-]?[0-9]{1,300}(\.[0-9]+)?(e[+-]?[0-9]{1,2})?", re.IGNORECASE)

_ONE, _TWO, _SEVERAL = range(1, 2), range(2, 3), range(2, sys.maxsize)

#: By name, with the possible numbers of operands. Names are those of the learn page, which lists
#: only IS_DEFINED for twins and the others for routes, except that hubs accept STARTSWITH in
#: queries but not the STARTS_WITH of routes (azure-docs#110329). ARRAY_CONTAINS is what the az CLI
#: sends. Which of the others hubs refuse in queries is not published.
_FUNCTIONS: dict[str, tuple[range, Callable[..., Any]]] = {
    "=": (_TWO, _comparison(operator.eq, KINDS)),
    "!=": (_TWO, _comparison(operator.ne, KINDS)),
    "<>": (_TWO, _comparison(operator.ne, KINDS)),
    "<": (_TWO, _comparison(operator.lt, ORDERED_KINDS)),
    "<=": (_TWO, _comparison(operator.le, ORDERED_KINDS)),
    ">": (_TWO, _comparison(operator.gt, ORDERED_KINDS)),
    ">=": (_TWO, _comparison(operator.ge, ORDERED_KINDS)),
    "+": (_TWO, _on_numbers(operator.add)),
    "-": (_TWO, _on_numbers(operator.sub)),
    "*": (_TWO, _on_numbers(operator.mul)),
    "/": (_TWO, _on_numbers(operator.truediv)),
    "%": (_TWO, _on_numbers(math.fmod)),
    "abs": (_ONE, _on_numbers(abs)),
    "exp": (_ONE, _on_numbers(math.exp)),
    "power": (_TWO, _on_numbers(math.pow)),
    "square": (_ONE, _on_numbers(lambda number: number * number)),
    "ceiling": (_ONE, _on_numbers(math.ceil)),
    "floor": (_ONE, _on_numbers(math.floor)),
    "sign": (_ONE, _on_numbers(lambda number: (number > 0) - (number < 0))),
    "sqrt": (_ONE, _on_numbers(math.sqrt)),
    "as_number": (_ONE, _as_number),
    "is_defined": (_ONE, lambda value: value is not UNDEFINED),
    "is_null": (_ONE, _is("null")),
    "is_bool": (_ONE, _is("boolean")),
    "is_number": (_ONE, _is("number")),
    "is_string": (_ONE, _is("string")),
    "is_primitive": (_ONE, _is(*KINDS.values())),
    "is_array": (_ONE, _is_array),
    "is_object": (_ONE, lambda value: isinstance(value, dict)),
    "array_contains": (_TWO, _array_contains),
    "concat": (_SEVERAL, _on_strings(lambda *texts: "".join(texts))),
    "length": (_ONE, _on_strings(len)),
    "lower": (_ONE, _on_strings(str.lower)),
    "upper": (_ONE, _on_strings(str.upper)),
    "substring": (range(2, 4), _substring),
    "index_of": (_TWO, _on_strings(str.find)),
    "startswith": (_TWO, _on_strings(str.startswith)),
    "endswith": (_TWO, _on_strings(str.endswith)),
    "contains": (_TWO, _on_strings(str.__contains__)),
}
