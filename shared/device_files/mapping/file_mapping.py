"""A mapping as the validation applies it: to the header of a CSV file, its rows, and other lines.

`document.read_mapping` makes it of a file. Nothing of a mapping is evaluated: names are compared,
and cells are inserted into texts.
"""

from __future__ import annotations

import copy
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

from shared.device_files.characters import INVISIBLE

__all__ = [
    "MAPPING_NAME",
    "NO_MAPPING",
    "Default",
    "FileMapping",
    "Template",
    "TemplateError",
    "column_key",
    "is_mapping_name",
    "mapping_path",
]

#: The name of a mapping in the folder that it applies to.
MAPPING_NAME = "_mapping.json"

#: Doubled braces stand for themselves; in the name of a column, in pairs.
_TOKEN = re.compile(r"\{\{|\}\}|\{(?P<column>(?:[^{}]|\{\{[^{}]*\}\})*)\}|[^{}]+|[{}]")
_BRACES = {"{{": "{", "}}": "}"}


def is_mapping_name(path: str) -> bool:
    """Whether a blob or file of this name is a mapping and no device file."""
    return path.replace("\\", "/").rpartition("/")[2] == MAPPING_NAME


def mapping_path(file: str) -> str:
    """The name of the mapping that applies to a blob: the one in exactly its folder."""
    folder, slash, _ = file.rpartition("/")
    return f"{folder}{slash}{MAPPING_NAME}"


def column_key(name: str) -> str:
    """What the names of columns are compared by: neither letter case nor white space counts."""
    visible = unicodedata.normalize("NFC", name).strip(f'{INVISIBLE} \t\r\n"')
    return " ".join(visible.split()).casefold()


class TemplateError(ValueError):
    """A text has a brace or a placeholder that cannot be read."""


@dataclass(frozen=True)
class Template:
    """A value that is made of cells, such as `pump-{Serial No}`."""

    #: The property, written as in the header of a CSV file.
    target: str
    #: Texts, and the names of columns as the mapping has them, in turn; a text is first and last.
    parts: tuple[str, ...]

    @classmethod
    def of(cls, target: str, text: str) -> Self:
        """Read a text with placeholders.

        Raises:
            TemplateError: says what is wrong.
        """
        parts = [""]
        for match in _TOKEN.finditer(text):
            if (column := match["column"]) is not None:
                if not column_key(column):
                    raise TemplateError("{} names no column")
                parts += [column.replace("{{", "{").replace("}}", "}"), ""]
            elif match[0] in ("{", "}"):
                raise TemplateError(f"write {match[0] * 2} for a {match[0]} that is text")
            else:
                parts[-1] += _BRACES.get(match[0], match[0])
        return cls(target, tuple(parts))

    @property
    def columns(self) -> tuple[str, ...]:
        return self.parts[1::2]

    def fill(self, cells: Sequence[str]) -> str:
        """The value of a row.

        Args:
            cells: those of `columns`, in their order.
        """
        texts = [*self.parts]
        texts[1::2] = cells
        return "".join(texts)


@dataclass(frozen=True)
class Default:
    """The value of a property in lines that do not have it."""

    #: Names of the objects around the property, and its own.
    steps: tuple[str, ...]
    value: Any
    #: How many of the steps are names of the hub, in which letter case does not count.
    documented: int

    def add_to(self, members: dict[str, Any]) -> bool:
        """Add the property to a line without it; returns whether that changed the line."""
        if self._is_in(members, 0):
            return False
        for index, step in enumerate(self.steps[:-1]):
            name = next((name for name in members if self._fits(index, [name])), step)
            if members.get(name) is None:
                members[name] = {}
            members = members[name]
        last = len(self.steps) - 1
        name = next((name for name in members if self._fits(last, [name])), self.steps[-1])
        members[name] = copy.deepcopy(self.value)
        return True

    def _is_in(self, members: Mapping[str, Any], start: int) -> bool:
        """Whether an object has the steps from a start on, or something that excludes them."""
        for name, value in members.items():
            # At the top, dotted names are paths.
            own = [name] if start else name.split(".")
            end = start + len(own)
            if not self._fits(start, own):
                continue
            # The hub takes null for an absent property, except within twins.
            if value is None and end <= self.documented and len(own) == 1:
                continue
            is_above = end < len(self.steps) and isinstance(value, dict)
            if not is_above or self._is_in(value, end):
                return True
        return False

    def _fits(self, start: int, names: Sequence[str]) -> bool:
        """Whether names are the steps from a start on, as far as both go."""
        for index, (step, name) in enumerate(zip(self.steps[start:], names, strict=False), start):
            is_same = step.lower() == name.lower() if index < self.documented else step == name
            if not is_same:
                return False
        return True


@dataclass(frozen=True)
class FileMapping:
    """What applies to the files of a folder."""

    #: Properties, written as in the header of a CSV file, by the names of the file's columns.
    columns: Mapping[str, str] = field(default_factory=dict)
    values: tuple[Template, ...] = ()
    defaults: tuple[Default, ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether it changes nothing."""
        return not (self.columns or self.values or self.defaults or self.ignored)

    @cached_property
    def required(self) -> Mapping[str, str]:
        """The names of the columns that a CSV file must have, by their keys."""
        placeholders = [name for template in self.values for name in template.columns]
        return {column_key(name): name for name in (*placeholders, *self.columns)}

    @cached_property
    def _targets(self) -> Mapping[str, str]:
        return {column_key(name): target for name, target in self.columns.items()}

    @cached_property
    def _ignored(self) -> Mapping[str, str]:
        return {column_key(name): name for name in self.ignored}

    @cached_property
    def _ids(self) -> frozenset[str]:
        """The keys of columns that ids are made of."""
        columns = [name for name, target in self.columns.items() if _is_id(target)]
        in_values = [name for x in self.values if _is_id(x.target) for name in x.columns]
        return frozenset(map(column_key, (*columns, *in_values)))

    @property
    def makes_id(self) -> bool:
        """Whether it says which column the id is in."""
        return bool(self._ids)

    def target_of(self, name: str) -> str | None:
        """The property that a column of the file is for; None if the mapping does not say."""
        return self._targets.get(column_key(name))

    def has(self, name: str) -> bool:
        """Whether the mapping names a column of the file."""
        key = column_key(name)
        return key in self.required or key in self._ignored

    def ignored_name(self, name: str) -> str | None:
        """The name by which the mapping ignores a column of the file; None if it does not."""
        return self._ignored.get(column_key(name))

    def makes_id_of(self, name: str) -> bool:
        """Whether ids are made of this column of the file."""
        return column_key(name) in self._ids

    def add_defaults(self, members: dict[str, Any]) -> bool:
        """Add what a line does not have; returns whether that changed the line."""
        is_changed = False
        for default in self.defaults:
            is_changed |= default.add_to(members)
        return is_changed


def _is_id(target: str) -> bool:
    return target.partition(":")[0].lower() == "id"


#: For folders without a mapping.
NO_MAPPING = FileMapping()
