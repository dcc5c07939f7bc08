"""Keys and signatures never occur outside uploads and staged lines."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from urllib.parse import unquote

import pytest

from shared.imports.model.states import ImportState
from shared.web.routes import ROUTES
from tests.app import App, device
from tests.events.receiver import Receiver
from tests.events.support import KEY, publisher, tick
from tests.security.support import (
    PRIMARY,
    SECONDARY,
    Account,
    CapturedLog,
    signatures_sent,
    with_keys,
)
from tests.telemetry.support import CapturedTelemetry
from tests.web.support import Client

#: Keys of rejected devices, which the retry file contains.
REFUSED = base64.b64encode(b"made-up key of a refused line").decode()
#: A key of the function app.
CODE = "made-up-key-of-the-app"
#: Secrets of others, as a hub may quote them.
SAS = "https://a.blob.core.windows.net/c?sv=1&sig=c2lnbmF0dXJl"
STRING = "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=YWNjb3VudA==;EndpointSuffix=x"
QUOTED = ("c2lnbmF0dXJl", "YWNjb3VudA")
#: Secrets in the URL of the event receiver.
URL_SECRETS = {"path-secret", "query-secret"}

_KEY = PRIMARY.encode()

#: Blobs that must contain device lines.
WITH_LINES = re.compile(
    r"devices(-\d+-[0-9a-f]{12})?\.txt|retry-[0-9a-f]{12}\.ndjson|importErrors\.log"
)


def secrets_of(app: App) -> set[str]:
    """Keys of the app, its devices and its event receiver."""
    settings = json.dumps(app.settings)
    keys = re.findall(r"(?:SharedAccessKey|AccountKey)=([^;\"]+)", settings)
    assert len(keys) >= 3
    return {*keys, PRIMARY, SECONDARY, *QUOTED, KEY, *URL_SECRETS}


def signatures_given(app: App) -> set[str]:
    """Signatures of the SAS that the hub received."""
    signatures = set(re.findall(r"sig=([^&\"]+)", json.dumps(list(app.hub.jobs))))
    return signatures | {*map(unquote, signatures)}


def upload(app: App, name: str, *lines: object) -> None:
    app.upload(name, *lines)
    app.deliver(name)


def run_all_outcomes(app: App, client: Client) -> None:
    """Run imports to every final state, with logged errors on the way."""
    rejected = with_keys("exists", REFUSED, REFUSED, importMode="create")
    keyed = with_keys("odd", REFUSED, REFUSED)
    unreadable = {**keyed, "authentication": {**keyed["authentication"], "type": "SELF_SIGNED"}}  # type: ignore[dict-item]
    app.hub.registry.put(device("exists"))
    faults = app.hub.faults

    upload(app, "good.ndjson", with_keys("pump-1"), b"", with_keys("pump-2"))
    app.finish()
    upload(app, "broken.ndjson", {**with_keys("pump 1"), "status": PRIMARY}, b'{"k":"%s' % _KEY)
    upload(app, "headless.csv", b"pump-1,enabled,sas,%s" % _KEY)
    app.upload("partly.ndjson", rejected, keyed)
    app.deliver_unvalidated("partly.ndjson", rejected, unreadable)
    app.finish()

    faults.add("failJob", reason=f"cannot read {SAS} of {STRING}")
    upload(app, "failed.ndjson", with_keys("pump-3"))
    app.finish()
    faults.add("error", operation="createJob", status=400, message=f"cannot write {SAS}")
    upload(app, "refused.ndjson", with_keys("pump-4"))
    # A lost response of a created job, and a request that did not reach the hub.
    for number, kind in enumerate(("dropReply", "refuse")):
        faults.add(kind, operation="createJob")
        upload(app, f"lost-{number}.ndjson", with_keys("pump-5"))
        app.tick()
        app.pass_minutes(11)
        app.finish()
    faults.add("hangJob")
    upload(app, "cancelled.ndjson", with_keys("pump-6"))
    faults.add("error", operation="getJob", status=500, message=f"lost {STRING}")
    app.tick()
    client.post(f"imports/{app.record('cancelled.ndjson').id}/cancel", code=CODE)
    app.tick()
    app.finish()

    def overwrite(request: str) -> None:
        if request == f"GET /devstoreaccount1/{app.container}/superseded.ndjson":
            app.before_request = lambda _: None
            app.upload("superseded.ndjson", with_keys("pump-8"))

    app.before_request = overwrite
    upload(app, "superseded.ndjson", with_keys("pump-7"))

    def fail_to_read(request: str) -> None:
        if request == f"GET /devstoreaccount1/{app.container}/unread.ndjson":
            raise OSError("the disk is on fire")

    app.before_request = fail_to_read
    app.upload("unread.ndjson", with_keys("pump-9"))
    app.host.announce(app.container, "unread.ndjson")
    app.host.drain()
    app.before_request = lambda _: None
    app.host.announce(app.container, "superseded.ndjson")


def call_all_endpoints(app: App, client: Client) -> None:
    """Call each endpoint, and those of a single import for each import."""
    for path in ("imports", "queues", "days", "health", "openapi.json"):
        client.get(path, code=CODE)
    for path in ("dashboard", "dashboard/health", "dashboard?state=odd"):
        client.get(path)
    for import_id in client.ids():
        client.get(f"imports/{import_id}", code=CODE)
        client.get(f"dashboard/imports/{import_id}")
        for name in ("report.json", "problems.csv", "retry.ndjson", "results.csv"):
            client.get(f"imports/{import_id}/files/{name}", code=CODE)
        for verb in ("cancel", "retry"):
            client.post(f"imports/{import_id}/{verb}", code=CODE)
            client.post(f"dashboard/imports/{import_id}/{verb}")
    broken = b'{"id":"pump 1","status":"%s"}\n{"id":"a","k":"%s' % (_KEY, _KEY)
    assert client.post("check", broken, code=CODE).json()["importable"] is False


def test_a_whole_run_exposes_no_secret(
    account: Account,
    app_with_receiver: App,
    client: Client,
    receiver: Receiver,
    captured_telemetry: CapturedTelemetry,
    captured_log: CapturedLog,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = app_with_receiver
    # Off by default, but an operator may enable it.
    caplog.set_level("DEBUG", "azure")
    sent = signatures_sent(monkeypatch)
    # Rejected events stay in the outbox.
    receiver.judge = lambda _: 503
    run_all_outcomes(app, client)
    app.hub.occupy_slot()
    for import_id in client.ids():
        client.post(f"imports/{import_id}/retry", code=CODE)
    for path in ("imports", "queues", "dashboard"):
        client.get(path)
    rows, messages = account.rows(), account.messages()
    app.host.announce(app.container, "superseded.ndjson")
    app.host.drain()
    app.hub.free_slot()
    app.finish()
    publisher(app).wait()
    app.host.tick("sweep")
    receiver.judge = lambda _: 204
    app.clock.ahead_hours(1)
    tick(app)
    call_all_endpoints(app, client)
    app.finish()
    tick(app)
    rows += account.rows()
    blobs = list(account.blobs())
    states = Counter(record.state for record in app.records())
    assert states.keys() == {state for state in ImportState if state.is_final}

    secrets = secrets_of(app) | signatures_given(app) | sent
    assert len(secrets) > 100
    app_blobs = [blob for blob in blobs if blob.container != app.container]
    places = {
        "log": "\n".join(line for line in captured_log.lines if not line.startswith("urllib3")),
        "log of connections": "\n".join(captured_log.lines),
        "output": "".join(capfd.readouterr()),
        "spans and metrics": "".join(span.to_json() for span in captured_telemetry.spans())
        + repr(captured_telemetry.metrics()),
        "rows": json.dumps(rows, default=str),
        "blobs": "\n".join(
            blob.content.decode("latin-1")
            for blob in app_blobs
            if not WITH_LINES.fullmatch(blob.name)
        ),
        "metadata": json.dumps([account.containers(), *(blob.metadata for blob in blobs)]),
        "messages": "\n".join(messages),
        "events": "\n".join(f"{post.headers}{post.body.decode()}" for post in receiver.posts),
        "answers": "\n".join(
            f"{answer.headers}{answer.content.decode()}" for answer in client.answers
        ),
    }
    for where, text in places.items():
        leaked = {secret for secret in secrets | {CODE} if secret in text}
        if where == "log of connections":
            # At DEBUG, which is off by default, urllib3 logs each URL.
            leaked -= URL_SECRETS
        assert leaked == set(), f"{where}: a secret"
        if where != "answers":
            assert REFUSED not in text, f"{where}: a key"
    paths_with_keys = {
        answer.request.path_url for answer in client.answers if REFUSED in answer.content.decode()
    }
    assert {path.partition("?")[0].rpartition("/")[2] for path in paths_with_keys} == {
        "retry.ndjson"
    }

    # All places were searched, and contained data.
    assert {row["RowKey"].partition("-")[0] for row in rows} >= {
        "import",
        "queue",
        "day",
        "send",
    }
    assert {"(sweep)", "(claims)", "(app)"} <= {row["PartitionKey"] for row in rows}
    assert places["rows"].count("sig=REDACTED") >= 4
    assert places["rows"].count("AccountKey=REDACTED") >= 2
    # Another test's host may have left its lock in the account.
    names = {
        re.sub(r"-[0-9a-f]{12}\.", ".", blob.name)
        for blob in app_blobs
        if not blob.name.startswith("locks/")
    }
    assert names == {
        *("devices.txt", "devices-1.txt", "retry.ndjson", "importErrors.log"),
        *("report.json", "problems.csv", "lines.bin"),
    }
    with_keys = {blob.name for blob in app_blobs if PRIMARY.encode() in blob.content}
    assert {re.sub(r"-[0-9a-f]{12}\.", ".", name) for name in with_keys} == {
        "devices.txt",
        "devices-1.txt",
    }
    assert all(
        app.settings["IMPORTS_TABLE"] in str(metadata) for metadata in _import_metadata(account)
    )
    assert any("unread.ndjson" in message for message in messages)
    assert any("superseded.ndjson" in message for message in messages)
    assert "/jobs/create" in places["log"]
    assert "the disk is on fire" in places["log"]
    assert "pump-3" not in places["log"]
    assert {post.event["type"].rpartition(".")[2] for post in receiver.posts} == {
        f"{state[0].upper()}{state[1:]}" for state in states
    }
    assert len(receiver.posts) > states.total()
    asked = {answer.request.path_url.partition("?")[0] for answer in client.answers}
    assert len(asked) > 8 * states.total() > 4 * len(ROUTES)
    assert {span.name for span in captured_telemetry.spans()} >= {
        "import",
        "validate",
        "start",
        "end",
        "retry",
    }


def _import_metadata(account: Account) -> list[dict[str, str]]:
    containers = account.containers()
    return [metadata for name, metadata in containers.items() if name.startswith("import-")]


def test_invalid_settings_expose_no_secret(
    app: App, client: Client, captured_log: CapturedLog, capfd: pytest.CaptureFixture[str]
) -> None:
    secrets = secrets_of(app)
    message = f"cannot list for {SAS} of {STRING}"
    app.hub.faults.add("error", operation="listJobs", status=500, message=message)
    health = client.get("health", code=CODE)
    assert "sig=REDACTED" in health.text
    wrong = re.sub("AccountKey=.", "AccountKey=a", app.settings["ImporterStorage"])
    app.configure(IOTHUB=app.hub.connection_string("service"), ImporterStorage=wrong)
    secrets |= secrets_of(app)
    for path in ("health", "imports", "queues", "dashboard", "dashboard/health"):
        assert client.get(path, code=CODE if "dash" not in path else "").status_code == 503
    app.configure(
        ImporterStorage="AccountName=a;SharedKey=c2VjcmV0", EVENTS_URL="http://secret", IOTHUB="{"
    )
    for path in ("health", "imports", "dashboard", "dashboard/health"):
        answer = client.get(path)
        assert answer.status_code == 503
        assert "EVENTS_URL is not an https URL" in answer.text
    output = "\n".join(
        (
            *captured_log.lines,
            *capfd.readouterr(),
            *(f"{answer.headers}{answer.text}" for answer in client.answers),
        )
    )
    for secret in (*secrets, CODE, "c2VjcmV0", "http://secret"):
        assert secret not in output


#: A device line as a hub quotes it, in plain text and in JSON.
LINE = json.dumps(with_keys("pump-1"))
QUOTES = {
    "line": LINE,
    "cut line": LINE[: LINE.index(SECONDARY) + 15],
    "line in JSON": json.dumps(LINE)[1:-1],
    "line in JSON in JSON": json.dumps(json.dumps(LINE))[1:-1],
    "key": PRIMARY,
    "key in JSON": PRIMARY.replace("=", "\\u003d"),
    "key in an address": PRIMARY.replace("=", "%253D"),
    "signature": "https%3A%2F%2Fa%2Fc%3Fsig%3D" + SECONDARY.replace("=", "%253D"),
}


def end_with_quote(app: App, what: str, quote: str) -> str:
    """Run an import at a hub that returns the quote in this response; return the import id."""
    faults = app.hub.faults
    name = f"{what}.ndjson"
    match what:
        case "job":
            faults.add("failJob", reason=f"Error parsing line: {quote}")
        case "refusal":
            faults.add(
                "error", operation="createJob", status=400, code="ArgumentInvalid", message=quote
            )
        case "busy":
            faults.add("error", operation="createJob", status=503, code=quote, message=quote)
    app.upload(name, with_keys("pump-1"))
    app.deliver(name)
    app.hub.wait_idle()
    if what == "log":
        status = f'Invalid device format in line: {LINE}. Error converting value "{quote}"'
        entries = [
            {"errorCode": 400012, "errorStatus": status},
            {"deviceId": "pump-1", "errorCode": quote, "errorStatus": quote},
            {"deviceId": f"quoted {quote}", "errorCode": 400004, "errorStatus": quote},
        ]
        log = "\n".join([*map(json.dumps, entries), quote])
        container = app.container_of(app.record(name))
        container.upload_blob("importErrors.log", log.encode(), overwrite=True)
    elif what == "follow":
        faults.add("error", operation="getJob", status=500, code=quote, message=quote)
    app.tick()
    app.finish()
    return app.record(name).id


@pytest.mark.parametrize("quote", QUOTES.values(), ids=QUOTES)
def test_keys_quoted_by_a_hub_are_redacted(
    quote: str,
    account: Account,
    app: App,
    client: Client,
    captured_telemetry: CapturedTelemetry,
    captured_log: CapturedLog,
) -> None:
    ids = {
        what: end_with_quote(app, what, quote)
        for what in ("job", "refusal", "busy", "log", "follow")
    }
    assert {what: app.record(f"{what}.ndjson").state.value for what in ids} == {
        "job": "failed",
        "refusal": "failed",
        "busy": "completed",
        "log": "completedWithErrors",
        "follow": "completed",
    }
    for path in ("imports", "dashboard", *(f"dashboard/imports/{id_}" for id_ in ids.values())):
        client.get(path)
    for id_ in ids.values():
        client.get(f"imports/{id_}")
        client.get(f"imports/{id_}/files/report.json")
    places = {
        "log": "\n".join(captured_log.lines),
        "spans": "".join(span.to_json() for span in captured_telemetry.spans()),
        "rows": json.dumps(account.rows(), default=str),
        "reports": "".join(
            blob.content.decode()
            for blob in account.blobs()
            if re.fullmatch(r"report-[0-9a-f]{12}\.json", blob.name)
        ),
        "answers": "".join(answer.text for answer in client.answers),
    }
    pieces = {key[at : at + 12] for key in (PRIMARY, SECONDARY) for at in range(len(key) - 12)}
    for where, text in places.items():
        assert {piece for piece in pieces if piece in text} == set(), where
        assert "REDACTED" in text, where
