"""`device-importer watch`, as lines and on a terminal."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cli.output import Output
from cli.storage_errors import UnreachableError
from cli.watch_source import OpenImport, OpenImports, SelectedImports, Snapshot
from cli.watch_view import LineView
from shared.imports.model.states import ImportState
from shared.imports.store.queue_rows import QueueRow, QueueRows
from tests.app import App
from tests.cli.conftest import Shell, meanwhile, queued
from tests.web.support import share_job

QUICK = ("--interval", "0.2")


def test_selected_imports(app: App, shell: Shell) -> None:
    ids = queued(app, "a.ndjson", "b.ndjson")
    app.hub.free_slot()
    with meanwhile(app.finish):
        done = shell("watch", *ids, *QUICK)
    assert (done.status, done.err) == (0, "")
    ends = [line for line in done.out.splitlines() if "completed" in line]
    assert len(ends) == 2
    assert all("1 imported, took " in line for line in ends)


def test_json(app: App, shell: Shell) -> None:
    [first] = queued(app, "a.ndjson")
    app.hub.free_slot()
    app.hub.faults.add("failJob", reason="the disk is full")
    with meanwhile(app.finish):
        done = shell("watch", first, *QUICK, "--format", "json")
    assert done.status == 1
    states = [item["state"] for item in done.objects]
    assert states[0] in ("queued", "starting", "running")
    assert states[-1] == "failed"
    assert len(states) == len(set(map(str, done.objects)))


def test_lines_that_read_the_same_are_shown_once(app: App, capsys: Any) -> None:
    queued(app, "a.ndjson")
    record = app.record("a.ndjson")
    for form, count in (("text", 2), ("json", 3)):
        view = LineView(Output(form), app.importer.services.clock)
        for status, progress in (("enqueued", 0), ("running", 0), ("running", 0), ("running", 7)):
            job = replace(record.job, status=status, progress=progress)
            shown = replace(record, state=ImportState.RUNNING, job=job)
            view.show(Snapshot([OpenImport(shown)]))
        assert len(capsys.readouterr().out.splitlines()) == count


@pytest.fixture
def long_queue(app: App, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Queue five imports, three of which are shown individually; return their files."""
    monkeypatch.setattr("cli.watch_source.MAX_SHOWN", 3)
    names = [f"{number}.ndjson" for number in range(5)]
    queued(app, *names)
    return names


def test_the_changes_of_a_snapshot_are_in_the_order_of_their_times(app: App, capsys: Any) -> None:
    queued(app, "a.ndjson")
    record = app.record("a.ndjson")
    later = replace(record, id="1" * 24, updated_at=record.updated_at + timedelta(seconds=2))
    ended = replace(record, id="2" * 24, state=ImportState.CANCELLED, finished_at=record.updated_at)
    snapshot = Snapshot([OpenImport(later)])
    snapshot.ended = [replace(ended, finished_at=later.updated_at + timedelta(seconds=1)), ended]
    snapshot.ended[0] = replace(snapshot.ended[0], id="3" * 24)
    LineView(Output("text"), app.importer.services.clock).show(snapshot)
    ids = [line.split()[3] for line in capsys.readouterr().out.splitlines()]
    assert ids == ["2" * 24, "1" * 24, "3" * 24]


def test_all_open_imports(app: App, shell: Shell, long_queue: list[str]) -> None:

    def work() -> None:
        time.sleep(0.5)
        app.hub.free_slot()
        app.finish()

    with meanwhile(work):
        done = shell("watch", "--until-idle", *QUICK)
    assert done.status == 0
    for name in long_queue:
        assert len([x for x in done.out.splitlines() if name in x and "completed" in x]) == 1


def test_an_import_that_ends_between_two_snapshots(app: App, shell: Shell) -> None:
    queued(app, "waits.ndjson")
    app.upload("before.ndjson", {"id": "x"})
    app.deliver("before.ndjson")

    def work() -> None:
        time.sleep(0.3)
        app.upload("bad.ndjson", {"id": "x"})
        app.deliver("bad.ndjson")
        time.sleep(0.3)
        app.hub.free_slot()
        app.finish()

    with meanwhile(work):
        done = shell("watch", "--until-idle", *QUICK)
    assert done.status == 1
    # The output may include the state during validation.
    *_, bad = [line for line in done.out.splitlines() if "bad.ndjson" in line]
    assert "rejected" in bad
    assert "1 of 1 lines invalid" in bad
    assert "before.ndjson" not in done.out


def test_no_open_imports(shell: Shell) -> None:
    done = shell("watch", "--until-idle")
    assert (done.status, done.out, done.err) == (0, "", "No open imports.\n")


def test_ctrl_c(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cli.watch.time.sleep", interrupt)
    assert shell("watch").status == 130


def test_wrong_usage(shell: Shell) -> None:
    assert shell("watch", "0" * 24).status == 3
    assert shell("watch", "--interval", "0").status == 2
    done = shell("watch", "--hub", "mars")
    assert done.status == 2
    assert "There is no hub 'mars'. Hubs: " in done.err


def test_a_short_outage(app: App, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    [waits] = queued(app, "a.ndjson")
    read, reads = SelectedImports.read, iter(range(100))

    def fail_some_requests(self: SelectedImports) -> object:
        number = next(reads)
        if number in (1, 2):
            raise UnreachableError("storage.example", "no answer in time")
        if number == 4:
            app.hub.free_slot()
            app.finish()
        return read(self)

    monkeypatch.setattr(SelectedImports, "read", fail_some_requests)
    done = shell("watch", waits, *QUICK)
    assert done.status == 0
    assert done.err.count("cannot be reached: storage.example (no answer in time)") == 1
    # Fails neither the first read nor any read after the timeout.
    reads = iter((1,))
    assert shell("watch", waits).status == 4
    reads = iter((0, 1))
    monkeypatch.setattr("cli.watch.OUTAGE_TIMEOUT", -1)
    [waits] = queued(app, "b.ndjson")
    assert shell("watch", waits, *QUICK).status == 4


def test_few_requests(app: App, long_queue: list[str]) -> None:
    source = OpenImports(app.importer, [])
    source.read()
    with app.counting() as requests:
        snapshot = source.read()
    # The latest ends at the hub and at no hub, the queue, its first records and the hub's jobs.
    assert len(requests) == 5
    assert [item.record.file for item in snapshot.open] == long_queue[:3]
    assert snapshot.more == {next(iter(app.importer.services.hubs)): 2}


def test_few_requests_for_a_job_of_many_files(app: App) -> None:
    names = [f"{number:02}.ndjson" for number in range(20)]
    records = share_job(app, *names)
    everything = OpenImports(app.importer, [])
    selected = SelectedImports(app.importer, records)
    everything.read()
    for source, count in ((everything, 5), (selected, 2)):
        with app.counting() as requests:
            snapshot = source.read()
        assert len(requests) == count
        assert {(item.record.state, item.queue_position) for item in snapshot.open} <= {
            ("running", 1),
            ("running", None),
        }
    app.importer.actions.cancel(records[0], records[0].job_record)
    app.tick()
    app.finish()
    for source, count in ((everything, 5), (selected, 2)):
        with app.counting() as requests:
            snapshot = source.read()
        assert len(requests) <= count
        assert sorted(record.file for record in snapshot.ended) == names


@pytest.mark.parametrize("hub", [{"job_seconds": 0.7}], indirect=True)
def test_a_terminal(
    app: App, shell: Shell, terminal: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    first, second = queued(app, "a.ndjson", "b.ndjson")
    app.hub.free_slot()

    def work() -> None:
        for _ in range(2):
            time.sleep(0.4)
            app.tick()
        app.finish()

    with meanwhile(work):
        done = shell("watch", "--until-idle", *QUICK)
    assert done.status == 0
    assert "running" in done.out
    assert "queued #2" in done.out
    assert "━" in done.out
    # Ids are shortened on a narrow terminal.
    assert f"  {first[:8]}  a.ndjson" in done.out
    # Final states stay visible in green; the cursor is shown again.
    for import_id in (first, second):
        assert f"{import_id}  \x1b[32mcompleted" in done.out
    assert done.out.rindex("\x1b[?25h") > done.out.rindex("\x1b[?25l")


def test_reasons_and_long_queues_on_a_terminal(
    app: App,
    shell: Shell,
    terminal: None,
    long_queue: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app.tick()
    monkeypatch.setenv("COLUMNS", "140")
    reads = iter((1, 2))

    def sleep(_: float) -> None:
        if next(reads, None) is None:
            raise KeyboardInterrupt

    monkeypatch.setattr("cli.watch.time.sleep", sleep)
    done = shell("watch")
    assert done.status == 130
    assert f"  0.ndjson: {app.record('0.ndjson').failure_reason[:40]}" in done.out
    assert "  and 2 more" in done.out
    assert f"  {app.record('0.ndjson').id}  0.ndjson" in done.out


def test_a_narrow_terminal(
    app: App, shell: Shell, terminal: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{'x' * 50}.ndjson"
    [import_id] = queued(app, name)
    app.tick()
    monkeypatch.setenv("COLUMNS", "40")

    def sleep(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cli.watch.time.sleep", sleep)
    done = shell("watch")
    assert done.status == 130
    assert done.err == "Interrupted. Imports go on; to follow them again: device-importer watch\n"
    lines = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", done.out).splitlines()
    # Enough of the id for commands, and a state that is not cut.
    assert any(line.startswith(f"{import_id[:8]}  queued #1  ") for line in lines)
    assert f"  {'x' * 37}\N{HORIZONTAL ELLIPSIS}" in lines


def test_an_end_between_two_reads_of_a_snapshot(
    app: App, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued(app, "a.ndjson")
    read_queue = QueueRows.oldest

    def end_between_reads(self: QueueRows, *arguments: Any) -> list[QueueRow]:
        rows = read_queue(self, *arguments)
        monkeypatch.setattr(QueueRows, "oldest", read_queue)
        app.hub.free_slot()
        app.finish()
        return rows

    monkeypatch.setattr(QueueRows, "oldest", end_between_reads)
    done = shell("watch", "--until-idle", *QUICK)
    assert done.status == 0
    assert "1 imported" in done.out
