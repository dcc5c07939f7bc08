"""The hub reads exactly the validated lines, from the import's own container."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from azure.storage.blob import BlobClient

from shared.imports.operate.import_detail import ImportDetail
from shared.imports.store.import_container import ForeignContainerError, container_name
from shared.imports.workflow.registration import Upload, record_of
from tests.app import App, device

NAME = "pumps.ndjson"


def replace_blob(staged: BlobClient) -> None:
    """Replace the blob by one of the same length."""
    content = staged.download_blob().readall().replace(b"pump-1", b"pump-2")
    staged.upload_blob(content, overwrite=True)


@pytest.mark.parametrize("change", [replace_blob, BlobClient.delete_blob])
def test_a_changed_staged_file_is_not_imported(
    app: App, change: Callable[[BlobClient], None]
) -> None:
    app.hub.occupy_slot()
    app.upload(NAME, device("pump-1"))
    app.deliver(NAME)
    change(app.container_of(app.record(NAME)).get_blob_client("devices.txt"))
    app.hub.free_slot()
    app.finish()
    record = app.record(NAME)
    assert (record.state, record.imported, record.job.id) == ("failed", 0, "")
    assert f"{record.staged.container}/devices.txt" in record.failure_reason
    for device_id in ("pump-1", "pump-2"):
        assert app.hub.registry.get(device_id) is None
    # The upload is unchanged.
    assert ImportDetail.of(record).actions == ["retry"]
    app.importer.actions.retry(record)
    app.finish()
    assert app.hub.registry.get("pump-1")
    assert app.hub.registry.get("pump-2") is None


def test_a_foreign_container_is_not_used(app: App) -> None:
    app.configure(MAX_ATTEMPTS="1")
    app.upload(NAME, device("pump-1"))
    blob = app.blobs.get_blob_client(app.container, NAME).get_blob_properties()
    name = container_name(record_of(app.importer.services, Upload.of(blob)).id)
    theirs = app.blobs.create_container(name, metadata={"table": "Others"})
    with pytest.raises(ForeignContainerError):
        app.deliver(NAME)
    record = app.record(NAME)
    assert (record.state, record.imported) == ("failed", 0)
    assert name in record.failure_reason
    assert list(theirs.list_blobs()) == []
    assert app.hub.registry.get("pump-1") is None
