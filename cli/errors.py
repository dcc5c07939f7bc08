"""What can be foreseen to go wrong: what to tell of it, and the exit status.

A storage account's own words about a refused key hold signatures, so only its codes are repeated.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from cli.exits import Exit
from shared.connections import STORAGE_CONNECTION
from shared.errors import FilterError, ImporterError, PermanentError, TemporaryError

__all__ = ["UnreachableError", "UsageError", "explain"]

TABLE_ROLE, BLOB_ROLE = "Storage Table Data Contributor", "Storage Blob Data Contributor"
_ROLES = (
    f"the roles {TABLE_ROLE} (for the table of imports) and {BLOB_ROLE} (for uploads and the "
    "containers of imports)"
)
_BY_ENTRA_ID = (
    f"set {STORAGE_CONNECTION}__blobServiceUri, {STORAGE_CONNECTION}__queueServiceUri and "
    f"{STORAGE_CONNECTION}__tableServiceUri instead of {STORAGE_CONNECTION}, and run `az login`"
)


class UsageError(ImporterError):
    """The command line or the settings do not say what to do."""


class UnreachableError(ImporterError):
    """No connection to the storage account could be made."""

    def __init__(self, host: str, why: str) -> None:
        super().__init__(
            f"The storage account cannot be reached: {host} ({why}). "
            f"Check {STORAGE_CONNECTION} and the network."
        )


def explain(error: Exception) -> tuple[Exit, str] | None:
    """Exit status and text for a person; None for what nobody foresaw."""
    match error:
        case UsageError() | FilterError():
            return Exit.WRONG_USAGE, str(error)
        case UnreachableError():
            return Exit.NO_STORAGE, str(error)
        case TemporaryError():
            return Exit.NOT_POSSIBLE, f"{error} Try again."
        case PermanentError():
            return Exit.NOT_POSSIBLE, str(error)
        case ClientAuthenticationError() if error.response is None:
            return Exit.NO_STORAGE, _not_signed_in(error)
        case HttpResponseError():
            return _refused(error)
        case AzureError():
            told = "The connection to the storage account broke off"
            return Exit.NO_STORAGE, f"{told} ({type(error).__name__}). Try again."
        case OSError() if error.filename:
            return Exit.WRONG_USAGE, f"{error.filename}: {error.strerror or error}"
    return None


def _not_signed_in(error: ClientAuthenticationError) -> str:
    if type(error).__name__ == "AzureSigningError":
        return f"The account key in {STORAGE_CONNECTION} is damaged: it is not base64."
    return (
        f"There is no sign-in for the storage account: run `az login`. Your account needs {_ROLES}."
    )


def _refused(error: HttpResponseError) -> tuple[Exit, str]:
    host, code = _host(error), _code(error)
    status = error.status_code or 0
    if status in (401, 403):
        return (
            Exit.NO_STORAGE,
            f"The storage account refuses: {host}, {code}. {_remedy(host, code)}",
        )
    if status == 429 or status >= 500:
        return Exit.NO_STORAGE, f"{host} is too busy or not well: {status} {code}. Try again."
    return Exit.NO_STORAGE, f"The storage account refuses: {host}, {status} {code}."


def _remedy(host: str, code: str) -> str:
    role = _ROLES
    if ".table." in host:
        role = f"the role {TABLE_ROLE}"
    elif ".blob." in host:
        role = f"the role {BLOB_ROLE}"
    match code:
        case "AuthorizationPermissionMismatch" | "InsufficientAccountPermissions":
            return f"Your account needs {role} on it; new roles take minutes to apply."
        case "AuthenticationFailed" | "InvalidAuthenticationInfo":
            return (
                f"The account key in {STORAGE_CONNECTION} or your sign-in is not accepted: renew "
                "it, and see that the clock of this machine is right."
            )
        case "KeyBasedAuthenticationNotPermitted":
            return f"It takes no account keys: {_BY_ENTRA_ID}. Your account needs {role}."
    return (
        f"Its firewall has to admit this machine, and the key in {STORAGE_CONNECTION} has to be "
        f"its own; with Entra ID instead of a key, your account needs {role}."
    )


def _host(error: HttpResponseError) -> str:
    request = getattr(error.response, "request", None)
    return urlsplit(request.url).netloc if request is not None else "the storage account"


def _code(error: HttpResponseError) -> str:
    code = getattr(error, "error_code", None) or error.reason or ""
    return str(getattr(code, "value", code))
