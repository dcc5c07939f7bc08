"""The file of a mapping: its members, and the checks that make a `FileMapping` of it."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationError

from shared.device_files.formats.csv_columns import (
    Column,
    documented,
    has_type,
    parse_column,
    type_problem,
)
from shared.device_files.lines.damage import holds_key, is_secret
from shared.device_files.lines.device_line import check_line
from shared.device_files.lines.members import resolve
from shared.device_files.lines.strict_json import StrictReader
from shared.device_files.mapping.file_mapping import (
    Default,
    FileMapping,
    Template,
    TemplateError,
    column_key,
)
from shared.device_files.rules import Finding, Rule, Severity
from shared.redaction import redact

__all__ = ["MAX_MAPPING_BYTES", "InvalidMappingError", "MappingDocument", "read_mapping"]

MAX_MAPPING_BYTES = 64 * 1024
_MAX_ENTRIES = 1000
_BOM = b"\xef\xbb\xbf"

#: A name of a column in the file.
_Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]
#: A property as in the header of a CSV file.
_Property = Annotated[str, StringConstraints(min_length=1, max_length=512)]
_Text = Annotated[str, StringConstraints(min_length=1, max_length=1024)]


class MappingDocument(BaseModel):
    """What the columns of other people's device files stand for.

    Save it as _mapping.json in a folder of the upload container: it applies to the files of exactly
    that folder.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, title="Mapping")

    schema_: str = Field("", alias="$schema", description="Address of this schema, for editors.")
    columns: dict[_Name, _Property] = Field(
        {},
        max_length=_MAX_ENTRIES,
        description="Columns of CSV files, and the property that each contains, such as "
        '"Serial No": "id" or "Interval": "properties.desired.interval:number". A file without one '
        "of the columns is rejected. Neither letter case nor white space of their names counts.",
    )
    values: dict[_Property, _Text] = Field(
        {},
        max_length=_MAX_ENTRIES,
        description="Properties whose values are made of columns of CSV files, such as "
        '"id": "pump-{Serial No}". Write {{ and }} for braces that are text, also for pairs of '
        'them in the name of a column, such as "{Serial {{no}}}". An empty or blank cell is an '
        "error.",
    )
    defaults: dict[_Property, JsonValue] = Field(
        {},
        max_length=_MAX_ENTRIES,
        description="Values of properties in rows, lines and elements without them, in files of "
        'all formats, such as "status": "enabled". A value in the file has precedence.',
    )
    ignore: list[_Name] = Field(
        [],
        max_length=_MAX_ENTRIES,
        description="Columns of CSV files that are not imported. Any other column that is neither "
        "a property nor named here rejects the file.",
    )


class InvalidMappingError(Exception):
    """A mapping that cannot be used; names every problem, none with a value."""

    def __init__(self, problems: list[tuple[int | None, Finding]]) -> None:
        super().__init__("; ".join(f.detail for _, f in problems))
        #: Lines of the mapping, and what is wrong there.
        self.problems = problems


#: A member, by its names from the outside.
_Place = tuple[str, ...]


def read_mapping(data: bytes) -> FileMapping:
    """Read the file of a mapping.

    Raises:
        InvalidMappingError: it breaks a rule.
    """
    text = _decoded(data)
    value, findings = StrictReader().read(text)
    if findings:
        raise InvalidMappingError([_unreadable(text, finding) for finding in findings])
    if not isinstance(value, dict):
        raise InvalidMappingError([(None, _finding((), "it must be a JSON object"))])
    lines = _lines(text)
    mapping, problems = FileMapping(), [*_secrets(value)]
    if not problems:
        try:
            document = MappingDocument.model_validate(value)
        except ValidationError as error:
            problems += _of_model(error)
            # One mistake must not hide those of other members.
            broken = {place[0] for place, _ in problems}
            sound = {name: member for name, member in value.items() if name not in broken}
            document = MappingDocument.model_validate(sound)
        mapping, others = _mapping_of(document)
        problems += others
    if problems:
        # Elements of arrays have no lines of their own.
        raise InvalidMappingError(
            [
                (lines.get(place) or lines.get(place[:1]), _finding(place, detail))
                for place, detail in problems
            ]
        )
    return mapping


def _decoded(data: bytes) -> str:
    problem = ""
    if len(data) > MAX_MAPPING_BYTES:
        problem = f"it has more than {MAX_MAPPING_BYTES:,} bytes"
    elif not data.strip():
        problem = "it is empty; {} maps nothing"
    else:
        try:
            return data.removeprefix(_BOM).decode()
        except UnicodeDecodeError as error:
            problem = f"it is not UTF-8, from byte {error.start + 1:,}; save it as UTF-8"
    raise InvalidMappingError([(None, _finding((), problem))])


def _finding(place: _Place, detail: str) -> Finding:
    return Finding(".".join(place), Rule.MAPPING_INVALID, redact(detail))


def _unreadable(text: str, finding: Finding) -> tuple[int | None, Finding]:
    """What keeps the text from being read, and its line."""
    line = None
    if finding.rule is Rule.JSON_INVALID:
        try:
            json.loads(text)
        except json.JSONDecodeError as error:
            line = error.lineno
    elif finding.field:
        line = _lines(text).get(tuple(finding.field.split(".")))
    meaning = finding.rule.meaning.replace("the line is not", "it is not")
    # Columns of an error are those of its line.
    detail = re.sub(r" at column [0-9,]+", "", finding.detail)
    return line, _finding((finding.field,), f"{meaning}{detail and f': {detail}'}")


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,\n]')


def _lines(text: str) -> dict[_Place, int]:
    """The line of each member of a JSON text."""
    lines: dict[_Place, int] = {}
    path: list[str] = []
    line, last = 1, ""
    for match in _TOKEN.finditer(text):
        mark = match[0]
        if mark == "\n":
            line += 1
        elif mark in "{[":
            path.append("")
        elif mark in "}]":
            path.pop()
        elif mark == ":" and path:
            path[-1] = json.loads(last)
            lines.setdefault(tuple(path), line)
        last = mark if mark[0] == '"' else last
    return lines


def _secrets(value: Any, place: _Place = ()) -> Iterator[tuple[_Place, str]]:
    """Members that contain keys: a mapping is kept, and shown to everybody who sees imports."""
    what = "it contains a key or connection string (not shown), which a mapping must not"
    if isinstance(value, dict):
        for name, item in value.items():
            if is_secret(name) or holds_key(name):
                yield place, what
            else:
                yield from _secrets(item, (*place, name))
    elif isinstance(value, list):
        for item in value:
            yield from _secrets(item, place)
    elif isinstance(value, str) and (is_secret(value) or holds_key(value)):
        yield place, what


#: By pydantic's types of errors.
_MESSAGES = {
    "dict_type": "it must be an object",
    "list_type": "it must be an array",
    "string_type": "it must be a string",
    "string_too_short": "it must not be empty",
    "string_too_long": "it must have {max_length} characters at most",
    "too_long": "it must have {max_length} entries at most",
}


def _of_model(error: ValidationError) -> Iterator[tuple[_Place, str]]:
    members = [field.alias or name for name, field in MappingDocument.model_fields.items()]
    for problem in error.errors(include_input=False, include_url=False):
        place = tuple(str(step) for step in problem["loc"] if step != "[key]")
        if problem["type"] == "extra_forbidden":
            close = difflib.get_close_matches(place[-1].lower(), members, n=1)
            hint = f"did you mean {close[0]}?" if close else f"expected: {', '.join(members)}"
            yield place, f"unknown member; {hint}"
        else:
            message = _MESSAGES.get(problem["type"], "{msg}")
            yield place, message.format(msg=problem["msg"], **problem.get("ctx", {}))


class _Checks:
    """The problems of a document whose members have the right types."""

    def __init__(self, document: MappingDocument) -> None:
        self.document = document
        self.problems: list[tuple[_Place, str]] = []
        #: Where each property is named, by its path in the documented case.
        self.targets: dict[str, _Place] = {}
        self.defaults: dict[str, _Place] = {}

    def add(self, place: _Place, detail: str) -> None:
        self.problems.append((place, detail))

    def check_target(self, name: str, place: _Place) -> None:
        """Check the name of a property that has its value from the file."""
        column = parse_column(name)
        if not isinstance(column, Column):
            self.add(place, _explained(column))
        elif problem := type_problem(name):
            self.add(place, problem)
        elif column.path in self.targets:
            other = ".".join(self.targets[column.path])
            self.add(place, f"{other} already is for {column.path}; keep one of them")
        else:
            self.targets[column.path] = place

    def make_templates(self) -> tuple[Template, ...]:
        templates = []
        for name, text in self.document.values.items():
            place = ("values", name)
            self.check_target(name, place)
            try:
                template = Template.of(name, text)
            except TemplateError as error:
                self.add(place, str(error))
                continue
            if not template.columns:
                self.add(place, "it names no column in braces; move it to defaults")
            elif name.lower().startswith("authentication.symmetrickey"):
                self.add(place, "keys cannot be made of text; name their columns in columns")
            templates.append(template)
        return tuple(templates)

    def check_names(self, templates: tuple[Template, ...]) -> None:
        """Check that each column of the file is named once, or used in several values."""
        named: dict[str, _Place] = {}
        for place, name in (
            *((("columns", name), name) for name in self.document.columns),
            *((("ignore",), name) for name in self.document.ignore),
        ):
            key = column_key(name)
            if not key:
                self.add(place, "the name of a column is blank")
            elif key in named:
                self.add(place, f"{'.'.join(named[key])} already names this column")
            named.setdefault(key, (*place, name)[:2])
        ignored = {*map(column_key, self.document.ignore)}
        for template in templates:
            if any(column_key(name) in ignored for name in template.columns):
                self.add(("values", template.target), "it uses a column that is in ignore")

    def make_defaults(self) -> tuple[Default, ...]:
        defaults = []
        for name, value in self.document.defaults.items():
            place = ("defaults", name)
            known = documented(name)
            if has_type(name):
                self.add(place, "remove the type from the name, and write the value as JSON")
            elif isinstance(known, Finding):
                self.add(place, _explained(known))
            elif known[0] in ("id", "moduleId"):
                self.add(place, f"{known[0]} is different in each line")
            elif known[0].startswith("authentication.symmetricKey"):
                self.add(place, "a mapping must not contain keys")
            elif known[1]:
                self.add(place, f"{known[0]} is an object: name its properties")
            elif known[0] in self.defaults:
                other = ".".join(self.defaults[known[0]])
                self.add(place, f"{other} already is for {known[0]}; keep one of them")
            else:
                self.defaults[known[0]] = place
                steps, _, _ = resolve(known[0])
                defaults.append(Default(tuple(known[0].split(".")), value, len(steps)))
        return tuple(defaults)

    def check_together(self, defaults: tuple[Default, ...]) -> None:
        """Check properties that are within each other, and lines that have all of them."""
        places = self.targets | self.defaults
        for path in places:
            steps = path.split(".")
            for outer in (".".join(steps[:end]) for end in range(1, len(steps))):
                if outer in places:
                    self.add(places[path], f"{'.'.join(places[outer])} is for {outer} as a whole")
        if self.problems:
            return
        line: dict[str, Any] = {"id": "a", "status": "enabled"}
        for path in self.targets:
            if path not in line:
                Column(path, str).put("a", line)
        for path in self.defaults:
            line.pop(path, None)
        for default in defaults:
            default.add_to(line)
        findings: list[Finding] = []
        check_line(line, findings)
        names = (Rule.TWIN_KEY_CHARACTERS, Rule.TWIN_KEY_LENGTH, Rule.TWIN_DEPTH)
        for finding in findings:
            if finding.rule.severity is not Severity.ERROR:
                continue
            places = self.defaults if finding.rule not in names else self.targets | self.defaults
            if place := _nearest(places, finding.field):
                self.add(place, _explained(finding))


def _mapping_of(document: MappingDocument) -> tuple[FileMapping, list[tuple[_Place, str]]]:
    checks = _Checks(document)
    for name, target in document.columns.items():
        checks.check_target(target, ("columns", name))
    templates = checks.make_templates()
    checks.check_names(templates)
    defaults = checks.make_defaults()
    if not checks.problems:
        checks.check_together(defaults)
    mapping = FileMapping(document.columns, templates, defaults, tuple(document.ignore))
    return mapping, checks.problems


def _nearest(places: Mapping[str, _Place], path: str) -> _Place | None:
    """Where a property, or one around it, or one inside it, is named."""
    for name, place in places.items():
        if f"{name}.".startswith(f"{path}.") or f"{path}.".startswith(f"{name}."):
            return place
    return None


def _explained(finding: Finding) -> str:
    rule = finding.rule
    if rule is Rule.CSV_HEADER:
        return finding.detail
    meaning = rule.meaning.removesuffix("; the hub ignores it")
    return "; ".join(filter(None, (meaning, finding.detail)))
