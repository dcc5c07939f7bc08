"""What nobody has published about the hub: a switch for each point, and what the emulator assumes.

A client that is right under every setting does not depend on what is unknown. local/README.md
lists the switches for users.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

UriEcho = Literal["output", "full", "none"]


@dataclass(frozen=True)
class Choices:
    """The settings of all switches; each comment asks what is open."""

    #: How does a job word its failure when storage is lost under it? Empty for no reason at all.
    failure_reason: str = "The job lost access to its storage."
    #: Does a job that failed or was cancelled write importErrors.log?
    log_of_broken_jobs: Literal["none", "write"] = "none"
    #: Is a byte order mark skipped, or part of a line that then cannot be read?
    byte_order_mark: Literal["skip", "refuse"] = "skip"
    #: Are blank lines skipped, or lines that cannot be read?
    blank_lines: Literal["skip", "refuse"] = "skip"
    #: Are Json.NET's additions to JSON accepted: comments, single quotes, trailing commas?
    json_syntax: Literal["lenient", "strict"] = "lenient"
    #: Are the names of members and of enum values matched in any case?
    letter_case: Literal["ignore", "exact"] = "ignore"
    #: Does importErrors.log take the place of an older one, or follow on it?
    error_log: Literal["replace", "append"] = "replace"
    #: How often does each error stand in the log? A published log had each of them 20 times.
    error_log_repeats: int = 1
    #: Which code does a line get whose ETag does not match?
    etag_mismatch: Literal["PreconditionFailed", "EtagDoesNotMatch"] = "PreconditionFailed"
    #: Are two lines for one device carried out one after the other, or is the second refused?
    repeated_device: Literal["apply", "refuse"] = "apply"
    #: Does a module find a device that a later line of the file creates?
    module_before_device: Literal["refuse", "wait"] = "refuse"
    #: Are null members of a twin left out when a device is created, or refused?
    null_in_new_twin: Literal["drop", "refuse"] = "drop"
    #: Do reported properties of a line have an effect?
    reported: Literal["ignore", "store"] = "ignore"
    #: Do tags and desired properties that are absent from an update stay as they are?
    absent_twin_parts: Literal["keep", "clear"] = "keep"
    #: Which container URIs do answers about a job show? ``output``: both in the answer to the
    #: creation, only the output container in later ones (recorded on a live hub).
    uri_echo: UriEcho = "output"
    #: Is there a largest size of an import file? In bytes, 0 for none.
    max_import_bytes: int = 0
    #: Does outputBlobName give the log of an import another name?
    import_output_name: Literal["ignore", "log"] = "ignore"
    #: Is a job refused for the taken slot or for its storage when both are true?
    first_check: Literal["slot", "storage"] = "slot"
    #: What answers the DELETE of a running job: nothing, or the job?
    cancel_answer: Literal["204", "200"] = "204"
    #: What answers the DELETE of a job that is over or unknown?
    cancel_of_ended_job: Literal["500", "404"] = "500"

    @classmethod
    def read(cls, settings: Mapping[str, str]) -> Self:
        """Read switches by name from texts.

        Raises
        ------
        ValueError
            An unknown switch, or a value that it does not have; the text lists what there is.
        """
        types = get_type_hints(cls)
        unknown = settings.keys() - types.keys()
        if unknown:
            raise ValueError(
                f"no switch {', '.join(sorted(unknown))}; there are {', '.join(types)}"
            )
        return cls(**{name: _read(name, types[name], value) for name, value in settings.items()})


def _read(name: str, type_: Any, value: str) -> Any:
    if get_origin(type_) is Literal:
        if value not in get_args(type_):
            raise ValueError(f"{name} is one of {', '.join(get_args(type_))}, not {value!r}")
        return value
    if type_ is int:
        if not value.isdecimal():
            raise ValueError(f"{name} is a whole number, not {value!r}")
        return int(value)
    return value


#: What is assumed where nothing else is said.
ASSUMED = Choices()
