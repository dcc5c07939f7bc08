"""Row keys of the imports table. The PartitionKey is the hub's name.

import-<10 digits: upload time in seconds, reversed>-<import id>    a record: newest first
queue-<16 digits: upload time in us>-<13 digits: first seen in ms>-<import id>
                                                                    a queue row: oldest first
queue-<16 digits: approval in us>-u<13 digits: upload time in ms>-<import id>
                                                                    the same, of an approved import
held-<10 digits as in a record>-<import id>                         an import that is held
send-<13 digits: due time in ms>-<import id>                        the event of an end
send-<13 digits: due time in ms>-<state><number>-<import id>        another event
job-<job record id>                                                 a job that is not over
ended-job-<job record id>                                           a job that had several files
day-<yyyymmdd>, day-<yyyymmdd>-<import id>                          counts of a day
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

__all__ = [
    "EPOCH",
    "ended_job_key",
    "event_due_at",
    "event_key",
    "event_name_of",
    "first_record_key",
    "held_key",
    "import_id_of",
    "is_record_key",
    "job_key",
    "moved_queue_key",
    "queue_key",
    "queued_at_of",
    "record_key",
    "record_key_before",
    "record_key_of",
    "record_key_of_held",
    "record_prefix",
    "uploaded_at_of",
    "written_at",
]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: The last second that ten digits can count, in the year 2286.
_LAST_SECOND = 9_999_999_999

_RECORD_KEY = re.compile(r"import-(\d{10})-[0-9a-f]{24}", re.ASCII)
_QUEUE_KEY = re.compile(r"queue-(\d{16})-(?:u(\d{13})|\d{13})-([0-9a-f]{24})", re.ASCII)
_EVENT_KEY = re.compile(r"send-(\d{13})-(?:([a-zA-Z]+\d+)-)?", re.ASCII)

#: .NET's tick zero, and the length of its ticks.
_TICK_ZERO = datetime(1, 1, 1, tzinfo=UTC)
_TICKS_PER_MICROSECOND = 10


def record_key(uploaded_at: datetime, import_id: str) -> str:
    return f"{record_prefix(uploaded_at)}-{import_id}"


def record_prefix(uploaded_at: datetime) -> str:
    """The beginning of the row keys of all records that were uploaded in that second."""
    seconds = _units_since_epoch(uploaded_at, timedelta(seconds=1))
    return f"import-{_LAST_SECOND - min(max(seconds, 0), _LAST_SECOND):010d}"


def record_key_before(row_key: str) -> str:
    """The last row key that sorts before that of a record."""
    prefix, _, import_id = row_key.rpartition("-")
    return f"{prefix}-{max(0, int(import_id, 16) - 1):024x}"


def first_record_key(moment: datetime) -> str:
    """As `record_prefix`, for the first whole second that is not before the moment."""
    is_countable = moment <= EPOCH + timedelta(seconds=_LAST_SECOND)
    return record_prefix(moment + timedelta(microseconds=999_999) if is_countable else moment)


def queue_key(written: datetime, first_seen: datetime, import_id: str) -> str:
    """The row key of a queue row.

    Args:
        written: when the upload was written, as precisely as storage reports it.
    """
    moment = _units_since_epoch(written, timedelta(microseconds=1))
    seen = _units_since_epoch(first_seen, timedelta(milliseconds=1))
    return f"queue-{moment:016d}-{seen:013d}-{import_id}"


def moved_queue_key(place: datetime, uploaded_at: datetime, import_id: str) -> str:
    """The row key of a queue row at another place than that of its upload.

    It keeps the upload time, which leads to the record.

    Args:
        place: before what was uploaded since.
    """
    moment = _units_since_epoch(place, timedelta(microseconds=1))
    uploaded = _units_since_epoch(uploaded_at, timedelta(milliseconds=1))
    return f"queue-{moment:016d}-u{uploaded:013d}-{import_id}"


def held_key(record_row_key: str) -> str:
    """The row key of the row that stands for a held import."""
    return f"held-{record_row_key.removeprefix('import-')}"


def record_key_of_held(row_key: str) -> str:
    return f"import-{row_key.removeprefix('held-')}"


def job_key(job_record: str) -> str:
    """The row key of a job, which sorts before the queue: one query reads both."""
    return f"job-{job_record}"


def ended_job_key(job_record: str) -> str:
    return f"ended-{job_key(job_record)}"


def event_key(due: datetime, import_id: str, name: str = "") -> str:
    """The row key of an event.

    Args:
        name: tells the events of an import apart; "" for that of its end.
    """
    due_at = f"{_units_since_epoch(due, timedelta(milliseconds=1)):013d}"
    return "-".join(filter(None, ("send", due_at, name, import_id)))


def event_name_of(row_key: str) -> str:
    """The name in the row key of an event; "" for the event of an end."""
    match = _EVENT_KEY.match(row_key)
    return (match[2] or "") if match else ""


def event_due_at(row_key: str) -> datetime | None:
    """When an event is due; None if the row key is not that of an event."""
    match = _EVENT_KEY.match(row_key)
    return EPOCH + timedelta(milliseconds=int(match[1])) if match else None


def uploaded_at_of(row_key: str) -> datetime:
    """The upload time in the row key of a record.

    Raises:
        ValueError: the row key is not that of a record.
    """
    match = _RECORD_KEY.fullmatch(row_key)
    if match is None:
        raise ValueError(f"{row_key!r} is not the RowKey of a record")
    return EPOCH + timedelta(seconds=_LAST_SECOND - int(match[1]))


def is_record_key(value: object) -> bool:
    return isinstance(value, str) and _RECORD_KEY.fullmatch(value) is not None


def record_key_of(row_key: str) -> str:
    """The row key of the record that a queue row belongs to.

    Raises:
        ValueError: the row key is not that of a queue row.
    """
    match = _QUEUE_KEY.fullmatch(row_key)
    if match is None:
        raise ValueError(f"{row_key!r} is not the RowKey of a queue row")
    if match[2] is not None:
        return record_key(EPOCH + timedelta(milliseconds=int(match[2])), match[3])
    return record_key(EPOCH + timedelta(microseconds=int(match[1])), match[3])


def queued_at_of(row_key: str) -> datetime | None:
    """The time in the row key of a queue row, by which it is sorted; None if there is none."""
    match = _QUEUE_KEY.fullmatch(row_key)
    return EPOCH + timedelta(microseconds=int(match[1])) if match else None


def import_id_of(row_key: str) -> str:
    """The import id in the row key of a record, a queue row or an event."""
    return row_key.rpartition("-")[2]


def written_at(etag: str, last_modified: datetime) -> datetime | None:
    """When a blob was written, to the microsecond, if its ETag contains that.

    An ETag of Azure Storage is the .NET tick count of the write in hexadecimal. That is not
    documented, so it is trusted only where it decodes to the second of Last-Modified; for other
    ETags, such as Azurite's, the result is None.
    """
    try:
        ticks = int(etag.strip('"').removeprefix("0x"), 16)
        moment = _TICK_ZERO + timedelta(microseconds=ticks // _TICKS_PER_MICROSECOND)
    except (ValueError, OverflowError):
        return None
    return moment if moment.replace(microsecond=0) == last_modified else None


def _units_since_epoch(moment: datetime, unit: timedelta) -> int:
    return (moment - EPOCH) // unit
