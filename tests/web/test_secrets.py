"""No answer of any endpoint tells a key or a signature, but retry.ndjson the keys of its lines."""

from __future__ import annotations

import base64
import json
import re

from shared.web.openapi import OPERATIONS
from tests.app import App, device
from tests.test_secrets import PRIMARY, SECONDARY, with_keys
from tests.web.support import Client, complete, partly

REFUSED = base64.b64encode(b"made-up key of a refused line").decode()


def test_no_endpoint_tells_a_secret(app: App, client: Client) -> None:
    complete(app, "good.ndjson", with_keys("pump-1"))
    keys = {"primaryKey": REFUSED, "secondaryKey": REFUSED}
    refused = device(
        "exists",
        importMode="create",
        authentication={"type": "sas", "symmetricKey": keys},
    )
    partly(app, "partly.ndjson", with_keys("new"), refused)
    broken = {**with_keys("pump 1"), "status": PRIMARY}
    app.upload("broken.ndjson", broken, b'{"k":"%s' % PRIMARY.encode())
    app.deliver("broken.ndjson")
    app.hub.faults.add("failJob", reason="https://a.blob.core.windows.net/c?sv=1&sig=c2lnbmF0dXJl")
    app.upload("failed.ndjson", with_keys("pump-2"))
    app.deliver("failed.ndjson")
    app.finish()
    app.hub.occupy_slot()
    app.upload("waits.ndjson", with_keys("pump-3"))
    app.deliver("waits.ndjson")
    states = {record.state.value for record in app.records()}
    assert states == {"completed", "completedWithErrors", "rejected", "failed", "queued"}

    ids = client.ids(code="key-of-the-app")
    for path in ("queues", "days", "health", "openapi.json"):
        client.get(path, code="key-of-the-app")
    for import_id in ids:
        client.get(f"imports/{import_id}")
        for name in ("report.json", "problems.csv", "retry.ndjson"):
            client.get(f"imports/{import_id}/files/{name}")
        for verb in ("cancel", "retry"):
            client.post(f"imports/{import_id}/{verb}", code="key-of-the-app")
    content = b"\n".join([json.dumps(broken).encode(), b'{"id":"a","k":"%s' % PRIMARY.encode()])
    assert client.post("check", content).json()["importable"] is False
    app.configure(
        IOTHUB=app.hub.connection_string("service"),
        ImporterStorage=re.sub("AccountKey=.", "AccountKey=a", app.settings["ImporterStorage"]),
    )
    assert client.get("health").status_code == 503
    client.get("imports")
    app.configure(ImporterStorage="AccountName=a;SharedKey=c2VjcmV0", EVENTS_URL="http://secret")
    assert client.get("health").status_code == 503

    asked = {(answer.request.method, answer.request.path_url) for answer in client.answers}
    assert len(asked) > len(OPERATIONS)
    secrets = [PRIMARY, SECONDARY, "key-of-the-app", "c2VjcmV0", "http://secret", "c2lnbmF0dXJl"]
    for setting in ("IOTHUB", "AzureWebJobsStorage"):
        secrets += re.findall(r"(?:SharedAccessKey|AccountKey)=([^;]+)", app.settings[setting])
    secrets += re.findall(r"sig=([^&\"]+)", json.dumps(list(app.hub.jobs)))
    assert len(secrets) >= 10
    tellers = set()
    for answer in client.answers:
        told = f"{answer.text}{answer.headers}"
        for secret in secrets:
            assert secret not in told, answer.request.path_url
        if REFUSED in told:
            tellers.add(answer.request.path_url.rpartition("/")[2])
    assert tellers == {"retry.ndjson"}
