"""Which Entra ID credential the app uses: the managed identity in Azure, a person's own at home.

Microsoft advises one deterministic credential in production; the chain of DefaultAzureCredential is
for development only (learn: "Credential chains in the Azure Identity library for Python").
"""

from __future__ import annotations

from azure.core.credentials import TokenCredential

from shared.settings import Settings

__all__ = ["entra_credential"]


def entra_credential(settings: Settings, client_id: str | None) -> TokenCredential:
    """A credential for the identity with this client id, or for the system-assigned one."""
    # Only identity-based setups pay for this import.
    from azure.identity import DefaultAzureCredential, ManagedIdentityCredential

    if client_id or settings.is_in_azure:
        return ManagedIdentityCredential(client_id=client_id)
    return DefaultAzureCredential()
