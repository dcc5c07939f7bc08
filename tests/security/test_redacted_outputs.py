"""No key leaves the app through text of a hub, a job, a log or an exception."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from azure.core.exceptions import HttpResponseError
from hypothesis import assume, example, given
from hypothesis import strategies as st

from shared import logs
from shared.errors import TemporaryError
from shared.hub.error_log import read_error_log
from shared.hub.exceptions import error_from_response
from shared.hub.jobs import JobProperties
from shared.imports.model.parts import HubJob
from shared.imports.model.record import ImportRecord
from shared.imports.store.rows import to_row
from shared.imports.workflow import job_reasons as reasons
from shared.imports.workflow.completion import build_report
from shared.invocation import invocation
from tests.security.support import CapturedLog
from tests.security.test_redaction import secrets, words


def refusals(text: str) -> Iterator[str]:
    """Errors from a hub response in every body shape."""
    e2 = json.dumps({"errorCode": 400004, "message": text, "trackingId": text})
    bodies = [
        json.dumps({"Message": f"ErrorCode:ArgumentInvalid;{text}", "ExceptionMessage": text}),
        e2,
        json.dumps({"Message": e2, "ExceptionMessage": ""}),
        json.dumps({"Message": f"ErrorCode:X\r\nError: 403 ErrorCode: X\r\nMessage: {text}\r\n"}),
        json.dumps({"isSuccessful": False, "errors": [{"errorCode": text, "errorStatus": text}]}),
        json.dumps({"code": text, "message": text}),
        text,
        e2[:-1],
    ]
    for body in bodies:
        for status in (400, 401, 403, 429, 500):
            error = error_from_response(status, {"iothub-errorcode": text}, body)
            yield f"{error} {error.details}"  # type: ignore[attr-defined]
    yield reasons.job_rejected(error)


def jobs(text: str) -> Iterator[str]:
    """Stored data of a job whose properties all contain the text."""
    members = ("jobId", "type", "status", "inputBlobContainerUri", "inputBlobName", "failureReason")
    job = JobProperties.model_validate(dict.fromkeys(members, text))
    yield repr(job)
    now = datetime.now(UTC)
    record = ImportRecord(
        hub="h",
        id="of-a-test",
        file="a",
        upload_etag="e",
        uploaded_at=now,
        created_at=now,
        updated_at=now,
        job=HubJob(id="1", failure_reason=text),
        failure_reason=text,
    )
    yield json.dumps(to_row(record), default=str)
    yield json.dumps(build_report(record))
    yield reasons.job_failed(record.job, False)


def error_log(text: str) -> Iterator[str]:
    """Shown entries of an error log whose properties all contain the text."""
    quoted = f'Invalid device format in line: {{"id":"a"}}. {text}'
    entries = [
        {"deviceId": "pump-1", "errorCode": 400004, "errorStatus": text},
        {
            "deviceId": f"a {text}",
            "moduleId": f"b {text}",
            "errorCode": text,
            "errorStatus": quoted,
        },
        {"errorStatus": {"nested": text}, "errorCode": [text]},
    ]
    lines = [*map(json.dumps, entries), text, json.dumps(entries[0])[:-1]]
    for failed in read_error_log(["\n".join(lines).encode("utf-8", "replace")], set()):
        yield f"{failed.shown_id} {failed.shown_module_id} {failed.code} {failed.text}"


def exceptions(text: str) -> Iterator[str]:
    """Output of library exceptions that contain the text."""
    logger = logging.getLogger("shared.test")
    logger.setLevel(logging.INFO)
    with CapturedLog() as captured:
        try:
            try:
                raise HttpResponseError(message=text)
            except HttpResponseError as error:
                raise TemporaryError(text) from error
        except TemporaryError as error:
            yield str(error)
            logs.logger("shared.test").exception("%s of %r", text, error)
            logs.logger("shared.test").info(text)
    yield from captured.lines
    try:
        with invocation(None):  # type: ignore[arg-type]
            raise OSError(text)
    except OSError as error:
        yield "".join(traceback.format_exception(error)) + repr(error)


@given(words, st.sampled_from(' \n"(,;|'), secrets(), words)
@example("", " ", ('"primaryKey":"qqqqqqqqqqqq"', "q" * 12, str), "")
@example("", " ", ('"secondaryKey" : "qqqqqqqqqqqq",', "q" * 12, str), "> x")
def test_no_key_reaches_any_output(
    before: str, stop: str, secret: tuple[str, str, Callable[[str], str]], after: str
) -> None:
    text, key, encode = secret
    material = key.rstrip("=")
    pieces = {material[start : start + 12] for start in range(len(material) - 11)}
    pieces |= set(map(encode, pieces))
    line = f"{before}{stop}{text} {after}"
    assume(not any(piece in before + after for piece in pieces))
    for channel in (refusals, jobs, error_log, exceptions):
        for output in channel(line):
            assert not [piece for piece in pieces if piece in output], (channel, output)
