"""CORS of the blob service, which lets the dashboard upload files."""

from __future__ import annotations

from azure.storage.blob import BlobServiceClient, CorsRule

__all__ = ["allow_uploads"]


def allow_uploads(blobs: BlobServiceClient, *origins: str) -> None:
    """Let pages of these origins upload blobs, as `infra/storage.bicep` does in Azure."""
    rule = CorsRule(
        list(origins),
        ["PUT"],
        allowed_headers=["x-ms-blob-type", "x-ms-meta-*", "if-none-match", "content-type"],
        # Seconds; each block has its own preflight request.
        max_age_in_seconds=600,
    )
    blobs.set_service_properties(cors=[rule])
