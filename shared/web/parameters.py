"""Parameters of requests, strictly: whoever misspells one is told so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from shared.imports.model.states import ImportState
from shared.imports.operate.api_models import FileName
from shared.imports.operate.reader import ImportFilter
from shared.web.messages import ProblemError, Request

__all__ = [
    "CheckQuery",
    "DaysQuery",
    "FilePath",
    "ImportPath",
    "ListQuery",
    "NoQuery",
    "read",
    "read_path",
]

#: The host takes its keys from these (learn: "Work with access keys in Azure Functions").
_OF_THE_HOST = frozenset({"code", "clientId"})

_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def _comma_separated(value: Any) -> Any:
    return value.split(",") if isinstance(value, str) else value


def _time(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        if _TIME.fullmatch(value):
            return datetime.fromisoformat(value.upper())
    except ValueError:
        # Such as the 30th of February.
        pass
    raise ValueError("is not a time such as 2026-11-23T09:30:00Z")


def _digits(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(r"[0-9]{1,9}", value):
        raise ValueError("is not a whole number")
    return value


T = TypeVar("T", bound=BaseModel)

Time = Annotated[datetime, BeforeValidator(_time)]
#: As the settings allow them; the parentheses are those of NO_HUB.
HubName = Annotated[str, Field(pattern=r"^([A-Za-z0-9._:-]+|\(none\))$", max_length=255)]


class NoQuery(BaseModel):
    """A call without parameters."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=False)


class ListQuery(NoQuery):
    """Which imports to list."""

    hub: Annotated[list[HubName], BeforeValidator(_comma_separated)] = Field(
        default=[],
        min_length=1,
        description="Names of hubs, or (none) for uploads whose folder names no hub; "
        "left out: all.",
    )
    state: Annotated[list[ImportState], BeforeValidator(_comma_separated)] = Field(
        default=[], min_length=1, description="States to list; left out: all."
    )
    uploaded_after: Time | None = Field(None, description="Uploaded at that time or later.")
    uploaded_before: Time | None = Field(None, description="Uploaded before that time.")
    limit: Annotated[int, Field(ge=1, le=1000), BeforeValidator(_digits)] = Field(
        50, description="How many imports to list at most."
    )
    continuation: str = Field(
        "",
        pattern=r"^([A-Za-z0-9_-]{56})?$",
        description="From the answer before: where the next page begins.",
    )

    def filter(self) -> ImportFilter:
        return ImportFilter(
            frozenset(self.hub), frozenset(self.state), self.uploaded_after, self.uploaded_before
        )


class DaysQuery(NoQuery):
    """Which days to count."""

    days: Annotated[int, Field(ge=1, le=366), BeforeValidator(_digits)] = Field(
        30, description="How many days to list, today (UTC) included."
    )


class CheckQuery(NoQuery):
    """How a posted file is to be taken."""

    name: str = Field(
        # Escaped, it has to fit into the first line of a request, which hosts bound at 8 KiB.
        "",
        max_length=512,
        description="Name that the file would be uploaded under, or the end of it.",
    )
    confirm_deletes: Annotated[int, Field(ge=0, le=10_000_000), BeforeValidator(_digits)] = Field(
        0, description="How many devices it may delete, as the blob's metadata confirmDeletes."
    )


class ImportPath(BaseModel):
    """The import of a route."""

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{24}$")] = Field(description="Id of the import.")


class FilePath(ImportPath):
    """A file of an import."""

    name: FileName = Field(description="What was written about the import.")


def read(model: type[T], values: Mapping[str, str]) -> T:
    """The parameters of a request.

    Raises:
        ProblemError: 400, with each parameter that is wrong.
    """
    given = {name: value for name, value in values.items() if name not in _OF_THE_HOST}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        errors = [
            {"parameter": str(one["loc"][0]), "message": _said(one)}
            for one in error.errors(include_input=False, include_url=False)
        ]
    first = errors[0]
    raise ProblemError(
        400,
        "invalid-request",
        f"The parameter {first['parameter']!r} {first['message']}.",
        errors=errors,
    )


def _said(error: Any) -> str:
    match error["type"]:
        case "extra_forbidden":
            return "does not exist"
        case "value_error":
            return str(error["ctx"]["error"])
    return f"is wrong: {error['msg'][0].lower()}{error['msg'][1:]}"


def read_path(model: type[T], request: Request) -> T:
    """The parameters of a request's route.

    Raises:
        ProblemError: 404: such a thing cannot be there.
    """
    try:
        return model.model_validate(dict(request.path))
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        name, value = wrong["loc"][0], wrong["input"]
    raise ProblemError(404, "not-found", f"There is nothing with the {name} {value!r}.")
