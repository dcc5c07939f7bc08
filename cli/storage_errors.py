"""Explain the expected errors of the storage account and of actions to the operator.

The service's message about a rejected key contains signatures, so only its error code is shown.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from cli.errors import CommandError, Exit
from shared.connections import STORAGE_CONNECTION
from shared.errors import FilterError, PermanentError, TemporaryError, cause_of
from shared.storage.client import DelegationKeyRefusedError

__all__ = ["UnreachableError", "command_error"]

TABLE_ROLE, BLOB_ROLE = "Storage Table Data Contributor", "Storage Blob Data Contributor"
_ROLES = (
    f"the roles {TABLE_ROLE} (table of imports) and {BLOB_ROLE} (uploads and import containers)"
)
_USE_ENTRA_ID = (
    f"set {STORAGE_CONNECTION}__blobServiceUri, {STORAGE_CONNECTION}__queueServiceUri and "
    f"{STORAGE_CONNECTION}__tableServiceUri instead of {STORAGE_CONNECTION}, and run `az login`"
)


class UnreachableError(CommandError):
    """No connection to the storage account could be made."""

    def __init__(self, host: str, cause: str) -> None:
        super().__init__(
            Exit.NO_ACCESS,
            f"The storage account cannot be reached: {host} ({cause}). "
            f"Check {STORAGE_CONNECTION} and the network.",
        )


def command_error(error: Exception) -> CommandError | None:
    """Status and message for the operator; None for an unexpected error."""
    match error:
        case CommandError():
            return error
        case FilterError():
            return CommandError(Exit.USAGE, str(error))
        case DelegationKeyRefusedError():
            return CommandError(
                Exit.NO_ACCESS,
                "The storage account does not let you sign a SAS for the hub. Grant your account "
                f"the role {BLOB_ROLE} on the storage account, not only on a container.",
            )
        case TemporaryError():
            return CommandError(Exit.NOT_POSSIBLE, f"{error} Try again.")
        case PermanentError():
            return CommandError(Exit.NOT_POSSIBLE, str(error))
        case AzureError():
            return CommandError(Exit.NO_ACCESS, _storage_message(error))
        case OSError() if error.filename:
            return CommandError(Exit.USAGE, f"{error.filename}: {error.strerror or error}")
    return None


def _storage_message(error: AzureError) -> str:
    if isinstance(error, ClientAuthenticationError) and error.response is None:
        if type(error).__name__ == "AzureSigningError":
            return f"The account key in {STORAGE_CONNECTION} is invalid: it is not base64."
        return f"Not signed in to the storage account. Run `az login`. Your account needs {_ROLES}."
    if not isinstance(error, HttpResponseError):
        cause = cause_of(error) or "no answer"
        return f"The connection to the storage account failed ({cause}). Try again."
    host, code, status = _host(error), _code(error), error.status_code or 0
    if status in (401, 403):
        return f"The storage account denied access: {host}, {code}. {_remedy(host, code)}"
    if status == 429 or status >= 500:
        return f"{host} is busy or unavailable: {status} {code}. Try again."
    return f"The storage account rejected the request: {host}, {status} {code}."


def _remedy(host: str, code: str) -> str:
    roles = _ROLES
    if ".table." in host:
        roles = f"the role {TABLE_ROLE}"
    elif ".blob." in host:
        roles = f"the role {BLOB_ROLE}"
    match code:
        case "AuthorizationPermissionMismatch" | "InsufficientAccountPermissions":
            return (
                f"Grant your account {roles}. A new role assignment can take several minutes to "
                "take effect."
            )
        case "AuthenticationFailed" | "InvalidAuthenticationInfo":
            return (
                f"Renew the account key in {STORAGE_CONNECTION} or your sign-in, and check that "
                "the clock of this machine is correct."
            )
        case "KeyBasedAuthenticationNotPermitted":
            return f"Account keys are disabled: {_USE_ENTRA_ID}. Your account needs {roles}."
    return (
        f"Allow this machine in the account's firewall, and check the key in {STORAGE_CONNECTION}. "
        f"With Entra ID, your account needs {roles}."
    )


def _host(error: HttpResponseError) -> str:
    request = getattr(error.response, "request", None)
    return urlsplit(request.url).netloc if request is not None else "the storage account"


def _code(error: HttpResponseError) -> str:
    code = getattr(error, "error_code", None) or error.reason or ""
    return str(getattr(code, "value", code))
