"""The bodies of the hub's refusals, in every shape that was seen on live hubs."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime

from aiohttp import web

from iothub_emulator.errors import ErrorCode, HubError, Shape


def refusal(error: HubError) -> web.Response:
    return error_response(error.code.status, error.code.name, error.message, error.shape)


def error_response(status: int, name: str, message: str, shape: Shape) -> web.Response:
    """An error answer in the given shape, also for codes that this emulator does not know."""
    if shape is Shape.E7:
        return web.Response(status=status, text=message)
    return web.Response(
        status=status,
        text=json.dumps(_body(shape, status, name, message)),
        content_type="application/json",
        headers={"iothub-errorcode": name},
    )


def _body(shape: Shape, status: int, name: str, message: str) -> dict[str, object]:
    now = datetime.now(UTC)
    tracking_id = uuid.uuid4().hex.upper()
    if shape is Shape.E2:
        return {
            "errorCode": _number(status, name),
            "message": message,
            "trackingId": f"{tracking_id}-G:0-TimeStamp:{now:%Y-%m-%dT%H:%M:%SZ}",
            "timestampUtc": f"{now:%Y-%m-%dT%H:%M:%SZ}",
            "info": None,
        }
    if shape is Shape.E3:
        inner = json.dumps(_body(Shape.E2, status, name, message))
        return {"Message": inner, "ExceptionMessage": ""}
    stamp = f"{now:%m/%d/%Y %H:%M:%S}"
    if shape is Shape.E4:
        text = (
            f"Error: {status} ErrorCode: {name}\n"
            f"Message: {message}\nTimestamp: {stamp}\nTracking ID: "
        )
        return {"Message": f"ErrorCode:{name};{text}", "ExceptionMessage": ""}
    return {
        "Message": f"ErrorCode:{name};{message}",
        "ExceptionMessage": f"Tracking ID:{tracking_id}-G:0-TimeStamp:{stamp}",
    }


def _number(status: int, name: str) -> int:
    known = ErrorCode.__members__.get(name)
    return int(known) if known else status * 1000
