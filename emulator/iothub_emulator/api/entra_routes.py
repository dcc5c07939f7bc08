"""The endpoints of Entra ID from which clients get a token for the emulator.

Paths are those that MSAL uses below an authority such as ``https://127.0.0.1:8081``; answers have
the properties that it requires (msal ``authority.py``, microsoft-authentication-library-for-js
``OpenIdConfigResponse.ts``). Any tenant, client and secret is accepted.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime

from aiohttp import web

from iothub_emulator.auth.entra import ALGORITHM, LIFETIME, Issuer

_DEFAULT_SCOPE = "/.default"


class EntraRoutes:
    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer

    def add_to(self, app: web.Application) -> None:
        discovery = "/.well-known/openid-configuration"
        app.router.add_get(f"/{{tenant}}/v2.0{discovery}", self._discover)
        # MSAL requests this path for the tenant "adfs", whose authority it does not first look up
        # on the internet. So credentials that cannot disable instance discovery work as well.
        app.router.add_get(f"/{{tenant}}{discovery}", self._discover)
        app.router.add_get("/{tenant}/discovery/v2.0/keys", self._show_keys)
        app.router.add_post("/{tenant}/oauth2/v2.0/token", self._issue)

    async def _discover(self, request: web.Request) -> web.Response:
        # MSAL for Go requires the host of the request in the issuer.
        tenant = f"{request.scheme}://{request.host}/{request.match_info['tenant']}"
        document = {
            "issuer": f"{tenant}/v2.0",
            "authorization_endpoint": f"{tenant}/oauth2/v2.0/authorize",
            "token_endpoint": f"{tenant}/oauth2/v2.0/token",
            "end_session_endpoint": f"{tenant}/oauth2/v2.0/logout",
            "jwks_uri": f"{tenant}/discovery/v2.0/keys",
            "response_types_supported": ["token"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
        }
        return web.json_response(document)

    async def _show_keys(self, request: web.Request) -> web.Response:
        return web.json_response(self._issuer.key_set())

    async def _issue(self, request: web.Request) -> web.Response:
        """The client credentials grant: a token for the resource that the scope names."""
        form = {name: str(value) for name, value in (await request.post()).items()}
        try:
            client_id, resource = _read(form)
        except _OAuthError as error:
            return error.response()
        token = self._issuer.issue(
            client_id, audience=resource, tenant_id=request.match_info["tenant"]
        )
        answer = {
            "token_type": "Bearer",
            "expires_in": LIFETIME,
            "ext_expires_in": LIFETIME,
            "access_token": token,
        }
        return web.json_response(answer, headers={"Cache-Control": "no-store"})


class _OAuthError(Exception):
    """An error answer as in RFC 6749, section 5.2, with the additions of Entra ID."""

    def __init__(self, error: str, number: int, text: str, status: int = 400) -> None:
        super().__init__(text)
        self._error = error
        self._number = number
        self._text = text
        self._status = status

    def response(self) -> web.Response:
        body = {
            "error": self._error,
            "error_description": f"AADSTS{self._number}: {self._text}",
            "error_codes": [self._number],
            "timestamp": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%SZ}",
            "trace_id": str(uuid.uuid4()),
            "correlation_id": str(uuid.uuid4()),
        }
        return web.json_response(body, status=self._status)


def _read(form: Mapping[str, str]) -> tuple[str, str]:
    """Return client id and resource; _OAuthError if the request is invalid."""
    grant_type = _parameter(form, "grant_type")
    if grant_type != "client_credentials":
        text = f"The app requested an unsupported grant type '{grant_type}'."
        raise _OAuthError("unsupported_grant_type", 70003, text)
    client_id = _parameter(form, "client_id")
    if not (form.get("client_secret") or form.get("client_assertion")):
        text = (
            "The request body must contain the following parameter: "
            "'client_assertion' or 'client_secret'."
        )
        raise _OAuthError("invalid_client", 7000218, text, status=401)
    scope = _parameter(form, "scope")
    resource = scope.removesuffix(_DEFAULT_SCOPE)
    if not resource or resource == scope or " " in scope:
        text = (
            f"The provided value for scope {scope} is not valid. Client credential flows must "
            "have a scope value with /.default suffixed to the resource identifier."
        )
        raise _OAuthError("invalid_scope", 1002012, text)
    return client_id, resource


def _parameter(form: Mapping[str, str], name: str) -> str:
    if not form.get(name):
        text = f"The request body must contain the following parameter: '{name}'."
        raise _OAuthError("invalid_request", 900144, text)
    return form[name]
