"""Builds the argument of a blob trigger as the host and the Python worker do in Azure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import azure.functions as func
from azure.functions import meta
from azure.storage.blob import BlobServiceClient
from azurefunctions.extensions import base
from azurefunctions.extensions.bindings.blob import (
    BlobClient,
)

from local.host.triggers import BlobTrigger

__all__ = ["SUPPORTED_ANNOTATIONS", "blob_argument", "is_supported"]

#: For error messages.
SUPPORTED_ANNOTATIONS: Final = (
    "azurefunctions.extensions.bindings.blob.BlobClient or func.InputStream"
)

_BINDING: Final = "blobTrigger"


@dataclass(frozen=True)
class _ModelBindingData:
    """The gRPC message of the same name, which contains only a reference to the blob."""

    content: str
    version: str = "1.0"
    source: str = "AzureStorageBlobs"
    content_type: str = "application/json"


def is_supported(annotation: Any) -> bool:
    """Whether a blob trigger can have a parameter of that type."""
    return isinstance(annotation, type) and (
        annotation is BlobClient or issubclass(annotation, func.InputStream)
    )


def blob_argument(
    trigger: BlobTrigger, service: BlobServiceClient, container: str, blob: str
) -> Any:
    """Return the argument of the function for this blob.

    The converter of the binding extension decodes SDK types, as in the worker
    (azure-functions-python-worker, bindings/meta.py). It reads the connection from the environment
    instead of ``service``.
    """
    registry = base.get_binding_registry()
    if registry.check_supported_type(trigger.annotation):
        content = {"Connection": trigger.connection, "ContainerName": container, "BlobName": blob}
        datum = base.Datum(_ModelBindingData(json.dumps(content)), "model_binding_data")
        converter = registry.get(_BINDING)
        return converter.decode(datum, trigger_metadata={}, pytype=trigger.annotation)
    return _input_stream(trigger, service, container, blob)


def _input_stream(
    trigger: BlobTrigger, service: BlobServiceClient, container: str, blob: str
) -> Any:
    """The whole blob in memory; as in Azure, as text unless ``data_type=BINARY``."""
    client = service.get_blob_client(container, blob)
    download = client.download_blob()
    content = download.readall()
    properties = download.properties
    if trigger.binary:
        datum = meta.Datum(content, "bytes")
    else:
        datum = meta.Datum(content.decode("utf-8", errors="replace"), "string")
    metadata = {
        "BlobTrigger": meta.Datum(f"{container}/{blob}", "string"),
        "Uri": meta.Datum(client.url, "string"),
        "Metadata": meta.Datum(json.dumps(properties.metadata), "json"),
        "Properties": meta.Datum(
            json.dumps(
                {
                    "ContentLength": properties.size,
                    "ContentType": properties.content_settings.content_type,
                    "ETag": properties.etag,
                    "LastModified": properties.last_modified.isoformat(),
                }
            ),
            "json",
        ),
    }
    converter: Any = meta.get_binding_registry().get(_BINDING)  # type: ignore[no-untyped-call]
    return converter.decode(datum, trigger_metadata=metadata)
