"""Import ids may be abbreviated to a prefix that only one import has, as commit ids in git."""

from __future__ import annotations

import re

from shared.errors import AmbiguousIdError
from shared.imports.services import Services
from shared.imports.store.claims import ClaimedId
from shared.imports.store.rows import NewerRowError, UnreadableRowError
from shared.text import clean

__all__ = ["MIN_DIGITS", "full_id"]

#: Digits of an abbreviated id, as in git.
MIN_DIGITS = 4

#: Imports that an error lists; more are read to know whether there are more.
MAX_LISTED = 10

_DIGITS = 24
_PREFIX = re.compile(rf"[0-9a-f]{{{MIN_DIGITS},{_DIGITS - 1}}}")
_MAX_NAME = 100


def full_id(services: Services, text: str) -> str:
    """The import id that a prefix abbreviates: one request for a prefix, none for a full id.

    An import whose claim was deleted is found by its full id only.

    Returns:
        The text itself if no import has an id that begins so.

    Raises:
        AmbiguousIdError: several imports have one; the error lists some of them.
    """
    if not _PREFIX.fullmatch(text):
        return text
    claimed = services.claims.ids_with_prefix(text, MAX_LISTED + 1)
    if len(claimed) > 1:
        shown = [_described(services, item) for item in claimed[:MAX_LISTED]]
        raise AmbiguousIdError(text, shown, has_more=len(claimed) > MAX_LISTED)
    return claimed[0].import_id if claimed else text


def _described(services: Services, claimed: ClaimedId) -> str:
    """Id, state and file of an import."""
    try:
        record = services.find_record(claimed.import_id)
    except (UnreadableRowError, NewerRowError):
        record = None
    state = record.state if record else "unknown"
    return f"{claimed.import_id}  {state}  {clean(claimed.file, _MAX_NAME)}"
