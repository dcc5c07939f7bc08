"""Switches for behaviour of hubs that is not published.

A client that works with every setting does not depend on what is unknown. README.md lists the
switches for users; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

UriEcho = Literal["output", "full", "none"]


@dataclass(frozen=True)
class Choices:
    """The settings of all switches. The comments state the open questions."""

    #: The failureReason of a job that lost access to its storage. Empty for none.
    failure_reason: str = "The job lost access to its storage."
    #: Does a job that failed or was cancelled write importErrors.log?
    log_of_broken_jobs: Literal["none", "write"] = "none"
    #: Is a byte order mark skipped, or does it make the first line invalid?
    byte_order_mark: Literal["skip", "refuse"] = "skip"
    #: Are blank lines skipped or invalid?
    blank_lines: Literal["skip", "refuse"] = "skip"
    #: Are Json.NET's extensions of JSON accepted: comments, single quotes, trailing commas?
    json_syntax: Literal["lenient", "strict"] = "lenient"
    #: Are names of properties and enum values case-insensitive?
    letter_case: Literal["ignore", "exact"] = "ignore"
    #: Does importErrors.log replace an older one, or is it appended?
    error_log: Literal["replace", "append"] = "replace"
    #: How many times does the log contain each error? A published log contained each 20 times.
    error_log_repeats: int = 1
    #: The code in the log for an ETag that does not match.
    etag_mismatch: Literal["PreconditionFailed", "EtagDoesNotMatch"] = "PreconditionFailed"
    #: Are two lines for one device both applied, or is the second one refused?
    repeated_device: Literal["apply", "refuse"] = "apply"
    #: Does a module find a device that a later line of the file creates?
    module_before_device: Literal["refuse", "wait"] = "refuse"
    #: Are null properties in the twin of a new device dropped or refused?
    null_in_new_twin: Literal["drop", "refuse"] = "drop"
    #: Do reported properties of a line have an effect?
    reported: Literal["ignore", "store"] = "ignore"
    #: Does an update keep tags and desired properties that it omits?
    absent_twin_parts: Literal["keep", "clear"] = "keep"
    #: Does a twinETag that does not match refuse the whole line, or its twin alone?
    other_twin_etag: Literal["line", "twin"] = "line"
    #: Which container URIs do answers about a job contain? ``output``: both in the answer to the
    #: creation, only the output container in later ones (recorded from a live hub).
    uri_echo: UriEcho = "output"
    #: Does the progress of a running job increase? A recorded job of five devices had 0 until 100.
    progress: Literal["end", "steps"] = "end"
    #: Does a job require a SAS to write, or is one to create and delete enough?
    output_rights: Literal["write", "create"] = "write"
    #: The time until queries show a change, in seconds.
    query_lag: int = 0
    #: Do exports lag as queries do? The time until they show a change, in seconds.
    export_lag: int = 0
    #: Is the hub linked to a namespace of Azure Device Registry?
    device_registry: Literal["none", "linked"] = "none"
    #: Is a token whose resource has a path valid for the whole hub? Azure IoT Explorer signs
    #: ``devices/query`` for all its requests.
    token_scope: Literal["hub", "path"] = "hub"
    #: The maximum size of an import file in bytes; 0 for none.
    max_import_bytes: int = 0
    #: Is outputBlobName the name of an import's log?
    import_output_name: Literal["ignore", "log"] = "ignore"
    #: Which refusal comes first when the slot is occupied and storage is not accessible?
    first_check: Literal["slot", "storage"] = "slot"
    #: The answer to the DELETE of a running job: 204, or 200 with the job.
    cancel_answer: Literal["204", "200"] = "204"
    #: The answer to the DELETE of a job that has ended or does not exist.
    cancel_of_ended_job: Literal["500", "404"] = "500"

    @classmethod
    def read(cls, settings: Mapping[str, str]) -> Self:
        """Parse switches from strings.

        Raises
        ------
        ValueError
            Unknown switch or invalid value; the message lists the valid ones.
        """
        types = get_type_hints(cls)
        unknown = settings.keys() - types.keys()
        if unknown:
            raise ValueError(
                f"unknown switch {', '.join(sorted(unknown))}; known switches: {', '.join(types)}"
            )
        return cls(**{name: _read(name, types[name], value) for name, value in settings.items()})


def _read(name: str, type_: Any, value: str) -> Any:
    if get_origin(type_) is Literal:
        if value not in get_args(type_):
            raise ValueError(f"{name} must be one of {', '.join(get_args(type_))}, not {value!r}")
        return value
    if type_ is int:
        if not value.isdecimal():
            raise ValueError(f"{name} must be an integer of at least 0, not {value!r}")
        return int(value)
    return value


DEFAULT_CHOICES = Choices()
