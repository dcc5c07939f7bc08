"""The syntax tree of a query."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any

from iothub_emulator import errors
from iothub_emulator.errors import HubError


class Undefined(Enum):
    """The value of a path that does not exist; different from null."""

    UNDEFINED = "undefined"


UNDEFINED = Undefined.UNDEFINED


class Source(StrEnum):
    """The collection of FROM."""

    DEVICES = "devices"
    MODULES = "devices.modules"
    #: The results of scheduled jobs, one document per device.
    JOBS = "devices.jobs"


@dataclass(frozen=True)
class Path:
    names: tuple[str, ...]


@dataclass(frozen=True)
class Literal:
    """A constant, or a tuple of constants for a list."""

    value: Any


@dataclass(frozen=True)
class Call:
    """An operator or function, by its name in lower case, with operands."""

    function: str
    operands: tuple[Expression, ...]


Expression = Path | Literal | Call


@dataclass(frozen=True)
class Item:
    """An element of SELECT: a path, an aggregate of a path, or COUNT(), which has none."""

    path: Path | None
    aggregate: str | None = None
    alias: str | None = None


@dataclass(frozen=True)
class Statement:
    top: int | None
    #: None for ``SELECT *``.
    items: tuple[Item, ...] | None
    source: Source
    condition: Expression | None
    groups: tuple[Path, ...]


def invalid(reason: str) -> HubError:
    return errors.invalid(f"The query is invalid: {reason}")
