"""Cancelling and retrying what a filter shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from azure.core.exceptions import ServiceRequestError

from shared.errors import FilterError
from shared.imports.model.record import ImportRecord
from shared.imports.model.safeguards import Actor
from shared.imports.model.states import ImportState, StateGroup
from shared.imports.operate import bulk
from shared.imports.operate.bulk import BulkAction, Outcome, Result, Selection
from shared.imports.operate.import_filter import ImportFilter
from tests.app import App, device
from tests.imports.shared_jobs import gather, start
from tests.web.guarded import guard, hold_deletes
from tests.web.support import partly, reject

ANNA = Actor("anna@example.com", "1", "API")
CANCEL, RETRY = BulkAction.CANCEL, BulkAction.RETRY
EVERY = ImportFilter(uploaded_after=datetime(2020, 1, 1, tzinfo=UTC))


def queue(app: App, *names: str) -> None:
    """Queue imports at a busy hub."""
    app.hub.occupy_slot()
    for name in names:
        app.upload(name, device(name))
        app.deliver(name)


def select(app: App, action: BulkAction, wanted: ImportFilter = EVERY) -> Selection:
    return app.importer.bulk.select(action, wanted)


def run(app: App, selection: Selection) -> list[Result]:
    return list(app.importer.bulk.run(selection, ANNA))


def files(imports: Iterable[ImportRecord]) -> set[str]:
    return {record.file for record in imports}


def outcomes(results: list[Result]) -> Counter[Outcome]:
    return Counter(result.outcome for result in results)


def test_what_waits_is_cancelled_and_nothing_else(app: App) -> None:
    queue(app, "pump-1.ndjson", "pump-2.ndjson", "meter.ndjson")
    reject(app)
    selection = select(app, CANCEL, ImportFilter(file="pump"))
    assert files(selection.imports) == {"pump-1.ndjson", "pump-2.ndjson"}
    results = run(app, selection)
    assert outcomes(results) == {Outcome.CANCELLED: 2}
    for result in results:
        record = app.record(result.selected.file)
        assert (record.state, record.acts[-1].name, record.acts[-1].who) == (
            *("cancelled", "cancel"),
            ANNA.who,
        )
    assert app.record("meter.ndjson").state == "queued"
    # Found by who did it.
    assert select(app, RETRY, ImportFilter(who="ANNA")).count == 2
    assert select(app, CANCEL, ImportFilter(who="anna")).count == 0
    assert select(app, CANCEL, ImportFilter(states=StateGroup.ATTENTION.states)).count == 0


def test_what_is_uploaded_later_is_not_selected_again(app: App) -> None:
    queue(app, "a.ndjson")
    first = app.record("a.ndjson")
    selection = select(app, CANCEL)
    assert selection.filter.uploaded_before == first.uploaded_at + timedelta(seconds=1)
    assert select(app, CANCEL, selection.filter).filter == selection.filter
    assert select(app, CANCEL, selection.filter).count == 1
    assert select(app, CANCEL, ImportFilter(uploaded_before=first.uploaded_at)).count == 0
    assert selection.is_confirmed(1)
    assert selection.is_confirmed(2)
    assert not selection.is_confirmed(0)
    assert not selection.is_confirmed(None)


def test_an_import_that_ended_meanwhile(app: App) -> None:
    queue(app, "a.ndjson", "b.ndjson")
    selection = select(app, CANCEL)
    app.importer.actions.cancel(app.record("b.ndjson"))
    app.hub.free_slot()
    app.finish()
    results = {result.selected.file: result for result in run(app, selection)}
    assert results["a.ndjson"].outcome is Outcome.ENDED
    assert results["b.ndjson"].outcome is Outcome.CANCELLED
    assert results["a.ndjson"].record == app.record("a.ndjson")


def test_a_shared_job_is_cancelled_only_with_all_of_its_files(app: App) -> None:
    gather(app)
    start(app, "hangJob")
    selection = select(app, CANCEL, ImportFilter(file="a.ndjson"))
    assert (selection.count, files(selection.in_shared_jobs)) == (0, {"a.ndjson"})
    selection = select(app, CANCEL)
    assert (selection.count, selection.in_shared_jobs) == (3, [])
    assert outcomes(run(app, selection)) == {Outcome.CANCEL_REQUESTED: 3}
    assert {app.record(f"{name}.ndjson").cancel_reason for name in "abc"} == {"operator"}
    acts = app.record("a.ndjson").acts
    # Once for the job, not once for each of its files.
    assert [act.who for act in acts] == [ANNA.who]
    # As long as the job is not over, only its own row says who cancelled it.
    assert len(app.importer.reader.page(ImportFilter(who="anna"), 10).imports) == 3
    assert select(app, CANCEL).count == 0
    app.tick()
    app.finish()
    assert {app.record(f"{name}.ndjson").state for name in "abc"} == {"cancelled"}


def test_a_job_that_starts_meanwhile_with_other_files(app: App) -> None:
    gather(app)
    selection = select(app, CANCEL, ImportFilter(file="a.ndjson"))
    assert selection.count == 1
    start(app, "hangJob")
    [result] = run(app, selection)
    assert (result.outcome, result.record) == (Outcome.FAILED, None)
    assert "in one job with 2 other files" in result.message
    assert app.record("a.ndjson").cancel_reason is None


def test_a_job_that_starts_meanwhile_with_all_of_its_files(app: App) -> None:
    gather(app)
    selection = select(app, CANCEL)
    assert selection.count == 4
    start(app, "hangJob")
    results = run(app, selection)
    assert outcomes(results) == {Outcome.CANCEL_REQUESTED: 3, Outcome.ENDED: 1}


def test_held_imports_are_counted_and_not_cancelled(app: App) -> None:
    guard(app)
    held = hold_deletes(app)
    queue(app, "a.ndjson")
    for states in (StateGroup.OPEN.states, StateGroup.WAITING.states):
        wanted = ImportFilter(states=states)
        selection = select(app, CANCEL, wanted)
        assert (files(selection.imports), selection.held) == ({"a.ndjson"}, 1)
    done = ImportFilter(states=frozenset({ImportState.COMPLETED}))
    assert select(app, CANCEL, done).held == 0
    selection = select(app, CANCEL, ImportFilter(states=frozenset({ImportState.HELD})))
    assert (selection.count, selection.held) == (0, 1)
    run(app, select(app, CANCEL))
    assert app.record(held.file).state == "held"


def test_each_import_is_retried_once_in_upload_order(app: App) -> None:
    partly(app)
    queue(app, "a.ndjson", "b.ndjson", "c.ndjson")
    run(app, select(app, CANCEL))
    reject(app)
    app.importer.actions.retry(app.record("b.ndjson"))
    selection = select(app, RETRY)
    assert files(selection.imports) == {"partly.ndjson", "a.ndjson", "c.ndjson"}
    with app.counting() as requests:
        select(app, RETRY)
    # Two partitions, a request for each of four imports, and one more for that with a retry.
    assert len(requests) <= 2 + 4 + 1 + 1
    results = run(app, selection)
    assert outcomes(results) == {Outcome.RETRIED: 3}
    uploaded = [result.selected.row_key for result in results]
    assert uploaded == sorted(uploaded, reverse=True)
    new = [result.record for result in results if result.record]
    assert [record.retry_of for record in new] == [result.selected.id for result in results]
    assert {record.acts[0].who for record in new} == {ANNA.who}
    keys = [record.queue_key for record in new]
    assert keys == sorted(keys)
    assert select(app, RETRY).count == 0


def test_a_selection_is_bounded(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "MAX_SELECTED", 2)
    queue(app, *(f"{number}.ndjson" for number in range(5)))
    found = []
    for count in (2, 2, 1):
        selection = select(app, CANCEL)
        assert (selection.count, selection.is_cut) == (count, count == 2)
        # It selects the same again.
        again = select(app, CANCEL, selection.filter)
        assert again.imports == selection.imports
        found += [result.selected.id for result in run(app, selection)]
    assert len(set(found)) == 5
    # Those that were retried before do not hide the others.
    for record in app.records()[:3]:
        app.importer.actions.retry(record)
    assert select(app, RETRY).count == 2


def test_errors_of_one_import_and_an_outage(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    queue(app, "a.ndjson", "b.ndjson", "c.ndjson")
    selection = select(app, CANCEL)
    first, second, third = selection.imports
    app.table.delete_entity(first.hub, first.row_key)

    def fail(request: str) -> None:
        if third.row_key in request:
            raise ServiceRequestError("no route to https://account?sig=secret")

    monkeypatch.setattr(app, "before_request", fail)
    deleted, cancelled, outage = run(app, selection)
    assert (deleted.outcome, deleted.record) == (Outcome.FAILED, None)
    assert deleted.message == f"The record of import {first.id} was deleted."
    assert (cancelled.selected, cancelled.outcome) == (second, Outcome.CANCELLED)
    assert (outage.selected, outage.outcome) == (third, Outcome.FAILED)
    assert "secret" not in outage.message


def test_an_import_that_others_change_again_and_again(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue(app, "a.ndjson")
    selection = select(app, CANCEL)
    row_key = selection.imports[0].row_key

    def change(request: str) -> None:
        if request.startswith("GET ") and row_key in request:
            app.table.update_entity({"PartitionKey": app.hub.address, "RowKey": row_key})

    monkeypatch.setattr(app, "after_request", change)
    [result] = run(app, selection)
    assert (result.outcome, result.record) == (Outcome.FAILED, None)
    assert result.message.endswith("is being changed by other processes. Try again.")


def test_no_such_hub(app: App) -> None:
    with pytest.raises(FilterError, match="There is no hub 'mars'"):
        select(app, CANCEL, ImportFilter(frozenset({"mars"})))
