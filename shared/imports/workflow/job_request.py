"""Requests for jobs: which container the hub may access, and how."""

from __future__ import annotations

from shared.hub.jobs import ExportJobRequest, ImportJobRequest
from shared.imports.model.parts import StagedFile
from shared.imports.services import Services

__all__ = ["export_request", "import_request"]


def import_request(services: Services, file: StagedFile) -> ImportJobRequest:
    """A job that imports a file; its log is written to the container of the file."""
    settings, uri = services.settings.jobs, _uri(services, file.container)
    return ImportJobRequest(
        input_blob_container_uri=uri,
        output_blob_container_uri=uri,
        input_blob_name=file.name,
        storage_authentication_type=settings.storage_authentication,
        user_assigned_identity=settings.storage_identity,
    )


def export_request(services: Services, container: str, *, with_keys: bool) -> ExportJobRequest:
    """A job that writes the registry to a container."""
    settings = services.settings.jobs
    return ExportJobRequest(
        output_blob_container_uri=_uri(services, container),
        exclude_keys=not with_keys,
        storage_authentication_type=settings.storage_authentication,
        user_assigned_identity=settings.storage_identity,
    )


def _uri(services: Services, container: str) -> str:
    """The container's URI, with a SAS unless the hub uses its identity."""
    settings = services.settings.jobs
    if settings.storage_authentication == "identityBased":
        return services.storage.container_uri(container)
    return services.storage.container_uri_with_sas(
        container, settings.sas_lifetime, services.clock()
    )
