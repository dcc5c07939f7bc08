"""The order of uploads within one second, derived from ETags of Azure Storage.

Azurite has other ETags, so a transport replaces them with those of Azure Storage, and sets one
Last-Modified for all blobs.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import permutations
from typing import Any

import pytest
from azure.core.pipeline import PipelineContext, PipelineRequest
from azure.storage.blob._shared.authentication import SharedKeyCredentialPolicy
from hypothesis import given
from hypothesis import strategies as st

from shared.imports.model.keys import record_key_of, written_at
from tests.app import App, device
from tests.records import import_record

TICK_ZERO = datetime(1, 1, 1, tzinfo=UTC)
NAMES = ("1.ndjson", "2.ndjson", "3.ndjson")
MOMENTS = st.datetimes(datetime(2015, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
MICROSECOND = timedelta(microseconds=1)


def etag_of(moment: datetime) -> str:
    """The ETag that Azure Storage creates at that time."""
    return f"0x{(moment - TICK_ZERO) // MICROSECOND * 10:X}"


def second_of(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


class AzureBlobs:
    """Between app and Azurite: set the write times of blobs in the upload container."""

    def __init__(self, app: App, *, has_ticks: bool = True) -> None:
        self._app = app
        self._has_ticks = has_ticks
        self._second = second_of(datetime.now(UTC) - timedelta(minutes=1))
        #: ETags of Azure Storage by those of Azurite.
        self._etags: dict[str, str] = {}
        key = app.blobs.credential
        self._signer = SharedKeyCredentialPolicy(  # type: ignore[no-untyped-call]
            key.account_name, key.account_key
        )
        app.alter_request, app.alter_response = self._alter_request, self._alter_response

    def upload(self, name: str, microsecond: int, *lines: object) -> None:
        self._app.upload(name, *lines)
        blob = self._app.blobs.get_blob_client(self._app.container, name)
        real = blob.get_blob_properties().etag.strip('"')
        moment = self._second + timedelta(microseconds=microsecond)
        self._etags[real] = etag_of(moment) if self._has_ticks else real

    def _alter_request(self, request: Any) -> None:
        wanted = request.headers.get("If-Match", "").strip('"')
        for real, etag in self._etags.items():
            if etag == wanted != real:
                request.headers["If-Match"] = f'"{real}"'
                signed = PipelineRequest(request, PipelineContext(None))
                self._signer.on_request(signed)  # type: ignore[no-untyped-call]

    def _alter_response(self, response: Any) -> None:
        if f"/{self._app.container}" not in response.request.url:
            return
        headers = response.headers
        etag = self._etags.get(headers.get("ETag", "").strip('"'))
        if etag:
            headers["ETag"] = f'"{etag}"'
            headers["Last-Modified"] = format_datetime(self._second, usegmt=True)
        if "comp=list" in response.request.url:
            self._alter_list(response)

    def _alter_list(self, response: Any) -> None:
        text = response.internal_response.content.decode()
        for real, etag in self._etags.items():
            text = text.replace(real, etag)
        time = format_datetime(self._second, usegmt=True)
        text = re.sub("(<Last-Modified>)[^<]+", rf"\g<1>{time}", text)
        response._content = text.encode()


def order_of_jobs(app: App) -> list[str]:
    """The files in the order of their jobs, one each."""
    jobs = [job["inputBlobContainerUri"] for job in app.hub.jobs if job["type"] == "import"]
    files = {record.staged.container: record.file for record in app.records()}
    return [files[uri.partition("?")[0].rpartition("/")[2]] for uri in jobs]


@pytest.mark.parametrize("events", list(permutations(NAMES)))
def test_uploads_within_a_second_are_applied_in_write_order(
    app: App, events: tuple[str, ...]
) -> None:
    blobs = AzureBlobs(app)
    for number, name in enumerate(NAMES):
        blobs.upload(name, 100 + number, device("pump-1", tags={"n": number}))
    for name in events:
        app.deliver(name)
    assert len({record.uploaded_at for record in app.records()}) == 1
    app.finish()
    assert order_of_jobs(app) == list(NAMES)
    stored = app.hub.registry.get("pump-1")
    assert stored is not None
    assert stored["tags"] == {"n": 2}


@pytest.mark.parametrize("written", list(permutations(NAMES)))
def test_uploads_without_events_are_applied_in_write_order(
    app: App, written: tuple[str, ...]
) -> None:
    """The list of blobs is sorted by name."""
    app.configure(JOB_FILES="1")
    blobs = AzureBlobs(app)
    for number, name in enumerate(written):
        blobs.upload(name, 1000 * number, device(name))
    app.sweep()
    app.finish()
    assert order_of_jobs(app) == list(written)


def test_registration_order_applies_if_etags_contain_no_time(app: App) -> None:
    app.configure(JOB_FILES="1")
    blobs = AzureBlobs(app, has_ticks=False)
    app.hub.occupy_slot()
    for name in NAMES:
        blobs.upload(name, 0, device(name))
    delivery_order = ["2.ndjson", "1.ndjson", "3.ndjson"]
    for name in delivery_order:
        app.deliver(name)
    app.hub.free_slot()
    app.finish()
    # The first event causes a scan of the container, which lists the others by name.
    assert order_of_jobs(app) == ["2.ndjson", "1.ndjson", "3.ndjson"]


def test_etag_of_azure_storage() -> None:
    """Example from the Event Grid documentation; its event has the time 18:41:00.958."""
    last_modified = datetime(2017, 6, 26, 18, 41, tzinfo=UTC)
    moment = written_at("0x8D4BCC2E4835CD0", last_modified)
    assert moment == datetime(2017, 6, 26, 18, 41, 0, 957409, tzinfo=UTC)
    assert written_at('"0x8D4BCC2E4835CD0"', last_modified) == moment


@given(MOMENTS)
def test_etag_time_is_used_only_within_its_second(moment: datetime) -> None:
    etag, second = etag_of(moment), second_of(moment)
    assert written_at(etag, second) == moment
    for offset in (-1, 1):
        assert written_at(etag, second + timedelta(seconds=offset)) is None


@given(st.text() | st.from_regex("0x[0-9A-F]{1,40}", fullmatch=True), MOMENTS)
def test_other_etags_contain_no_time(etag: str, moment: datetime) -> None:
    time = written_at(etag, second_of(moment))
    assert time is None or second_of(time) == second_of(moment)


@given(MOMENTS, MOMENTS, st.booleans())
def test_queue_keys_sort_in_write_order(
    one_time: datetime, other_time: datetime, is_first_seen_later: bool
) -> None:
    first, second = sorted((one_time, other_time))
    registered_at = [second + timedelta(seconds=10 + number) for number in range(2)]
    if is_first_seen_later:
        registered_at.reverse()
    queue_keys = []
    for moment, created_at in zip((first, second), registered_at, strict=True):
        record = import_record(
            "hub", "a", etag_of(moment), second_of(moment), created_at=created_at
        )
        assert record_key_of(record.new_queue_key) == record.row_key
        queue_keys.append(record.new_queue_key)
    if first != second:
        assert queue_keys == sorted(queue_keys)
