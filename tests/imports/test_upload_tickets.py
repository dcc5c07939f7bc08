"""Who uploaded a file: a ticket counts for one version of one blob, and no upload needs it."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest
from azure.core.exceptions import ServiceResponseError
from azure.data.tables import UpdateMode
from hypothesis import given
from hypothesis import strategies as st

from shared.imports.model.record import ImportRecord
from shared.imports.model.safeguards import Actor
from shared.imports.store import tickets
from shared.imports.store.tickets import TICKET_METADATA, UploadTicket, ticket_of
from tests.app import App, device, fail_writes

NAME = "pumps.ndjson"
ADA = Actor("ada@example.com", "11111111-2222-3333-4444-555555555555", "dashboard")
UPLOADED = [("upload", *ADA.__dict__.values())]


def issue(app: App, name: str = NAME, minutes: float = 15) -> UploadTicket:
    services = app.importer.services
    return services.tickets.issue(name, ADA, services.clock() + timedelta(minutes=minutes))


def upload(app: App, ticket: UploadTicket | str, name: str = NAME, member: str = "") -> None:
    ticket_id = ticket if isinstance(ticket, str) else ticket.id
    metadata = {member or TICKET_METADATA: ticket_id}
    app.upload(name, device("pump-1"), metadata=metadata)


def acts(record: ImportRecord) -> list[tuple[str, str, str, str]]:
    return [(act.name.value, act.who, act.id, act.via) for act in record.acts]


def acts_of(app: App, name: str = NAME) -> list[tuple[str, str, str, str]]:
    app.deliver(name)
    return acts(app.record(name))


def edit(app: App, ticket: UploadTicket, **columns: object) -> None:
    row = {"PartitionKey": "(uploads)", "RowKey": ticket.id, **columns}
    app.table.update_entity(row, UpdateMode.MERGE)


@pytest.mark.parametrize("member", [TICKET_METADATA, "UploadTicket"])
@pytest.mark.parametrize("how", ["event", "sweep"])
def test_the_record_contains_who_uploaded_the_file(app: App, how: str, member: str) -> None:
    upload(app, issue(app), member=member)
    app.deliver(NAME) if how == "event" else app.sweep()
    record = app.record(NAME)
    assert acts(record) == UPLOADED
    assert record.acts[0].at == record.uploaded_at
    app.finish()
    assert acts(app.record(NAME)) == UPLOADED


def test_a_rejected_upload_has_its_uploader(app: App) -> None:
    app.upload(NAME, {"id": "pump 1"}, metadata={TICKET_METADATA: issue(app).id})
    assert acts_of(app) == UPLOADED
    assert app.record(NAME).state == "rejected"


@pytest.mark.parametrize("ticket", ["0" * 32, "ada@example.com", "A" * 32, "../" * 9, ""])
def test_a_forged_ticket_names_nobody(app: App, ticket: str) -> None:
    issue(app)
    metadata = {TICKET_METADATA: ticket} if ticket else {}
    app.upload(NAME, device("pump-1"), metadata={**metadata, "who": "ada", "uploadedby": "ada"})
    assert acts_of(app) == []


def test_a_ticket_of_another_blob(app: App) -> None:
    upload(app, issue(app, "other.ndjson"))
    assert acts_of(app) == []


def test_a_ticket_counts_once(app: App) -> None:
    """Somebody else replaces the blob, and copies its metadata."""
    ticket = issue(app)
    upload(app, ticket)
    assert acts_of(app) == UPLOADED
    upload(app, ticket)
    app.deliver(NAME)
    assert sorted(map(acts, app.records())) == [[], UPLOADED]


def test_an_expired_ticket(app: App) -> None:
    upload(app, issue(app, minutes=-16))
    assert acts_of(app) == []
    upload(app, issue(app, "late.ndjson", minutes=-14), "late.ndjson")
    # Clocks may differ.
    assert acts_of(app, "late.ndjson") == UPLOADED


@pytest.mark.parametrize(
    "columns",
    [{"schema": 99}, {"who": 7}, {"until": "tomorrow"}, {"file": "x"}, {"importId": "f" * 24}],
    ids=str,
)
def test_an_edited_ticket_names_nobody(app: App, columns: dict[str, object]) -> None:
    ticket = issue(app)
    edit(app, ticket, **columns)
    upload(app, ticket)
    assert acts_of(app) == []
    app.finish()
    assert app.record(NAME).state == "completed"


def test_names_are_cleaned(app: App) -> None:
    ticket = issue(app)
    edit(app, ticket, who="a\r\nb\x1b[2J" + "x " * 500, actorId="", via="")
    upload(app, ticket)
    [(_, who, user_id, via)] = acts_of(app)
    assert who.startswith("a b\ufffd[2Jx x")
    assert (len(who), user_id, via) == (256, "", "")


@pytest.mark.parametrize("is_sent", [False, True], ids=["not sent", "answer lost"])
def test_a_fault_at_any_request_loses_nothing(app: App, no_waiting: None, is_sent: bool) -> None:
    """Whatever fails, there is one import of the upload, and it has its uploader."""
    names: list[str] = []
    app.hub.occupy_slot()
    while True:
        name = f"{len(names):02}.ndjson"
        names.append(name)
        upload(app, issue(app, name), name)
        countdown = [len(names)]

        def fail(request: str, left: list[int] = countdown) -> None:
            left[0] -= 1
            if not left[0]:
                raise ServiceResponseError("injected") if is_sent else RuntimeError("injected")

        setattr(app, "after_request" if is_sent else "before_request", fail)
        with contextlib.suppress(Exception):
            app.deliver(name)
        setattr(app, "after_request" if is_sent else "before_request", lambda _: None)
        app.configure()
        app.deliver(name)
        assert acts(app.record(name)) == UPLOADED, countdown
        if countdown[0] > 0:
            break
    assert len(names) > 10
    assert len(app.records()) == len(names)


def test_a_process_that_ends_between_ticket_and_record(app: App) -> None:
    ticket = issue(app)
    upload(app, ticket)
    [blob] = app.blobs.get_container_client(app.container).list_blobs()

    def end(request: str) -> None:
        if "$batch" in request:
            raise RuntimeError("killed")

    app.before_request = end
    with contextlib.suppress(Exception):
        app.deliver(NAME)
    app.before_request = lambda _: None
    assert app.records() == []
    assert acts_of(app) == UPLOADED
    assert app.record(NAME).upload_etag == blob.etag.strip('"')


def test_two_processes_use_a_ticket_at_the_same_time(app: App) -> None:
    ticket = issue(app)
    store = app.importer.services.tickets
    now = app.clock()
    meanwhile: list[object] = []

    def overtake(request: str) -> None:
        if request.startswith("PATCH") and not meanwhile:
            meanwhile.append(None)
            meanwhile[0] = store.use(ticket.id, NAME, now, "a" * 24)

    app.before_request = overtake
    # The same import: both are right. Another one: only the first.
    assert store.use(ticket.id, NAME, now, "a" * 24) == ADA
    assert meanwhile == [ADA]
    assert store.use(ticket.id, NAME, now, "b" * 24) is None
    other = issue(app)

    def overtake_by_another(request: str) -> None:
        if request.startswith("PATCH") and len(meanwhile) == 1:
            meanwhile.append(None)
            meanwhile[1] = store.use(other.id, NAME, now, "c" * 24)

    app.before_request = overtake_by_another
    assert store.use(other.id, NAME, now, "a" * 24) is None
    assert meanwhile == [ADA, ADA]


def test_storage_that_fails_during_the_validation_keeps_the_uploader(app: App) -> None:
    upload(app, issue(app))
    app.before_request = fail_writes
    with contextlib.suppress(Exception):
        app.deliver(NAME)
    app.before_request = lambda _: None
    assert acts_of(app) == UPLOADED


def test_an_upload_without_a_ticket_costs_no_request(app: App) -> None:
    counts = []
    for name in ("first.ndjson", "without.ndjson", "with.ndjson"):
        ticket = issue(app, name)
        if name == "with.ndjson":
            upload(app, ticket, name)
        else:
            app.upload(name, device("pump-1"))
        with app.counting() as requests:
            app.deliver(name)
        counts.append((len(requests), sum("%28uploads%29" in request for request in requests)))
    assert (counts[1][1], counts[2][1]) == (0, 2)
    assert counts[2][0] == counts[1][0] + 2


def test_old_tickets_are_swept(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tickets, "MAX_DELETED", 120)
    old = [issue(app) for _ in range(130)]
    app.clock.ahead_hours(24 * 6)
    app.sweep()
    young = issue(app)
    app.clock.ahead_hours(24 * 7 + 1)
    find = app.importer.services.tickets.find
    app.sweep()
    assert sum(find(ticket.id) is not None for ticket in old) == 10
    app.sweep()
    assert not any(find(ticket.id) for ticket in old)
    assert find(young.id) == young


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=40)))
def test_any_metadata(metadata: dict[str, str]) -> None:
    assert ticket_of(metadata) == ""
    assert ticket_of({**metadata, "UPLOADTICKET": "0" * 32}) == "0" * 32
