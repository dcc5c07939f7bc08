"""Row keys of the imports table. The PartitionKey is the hub's name.

import-<10 digits: upload time in seconds, reversed>-<import id>    a record: newest first
queue-<16 digits: upload time in us>-<13 digits: first seen in ms>-<import id>
                                                                    a queue row: oldest first
send-<13 digits: due time in ms>-<import id>                        an event to send
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
    "first_record_key",
    "import_id_of",
    "is_record_key",
    "job_key",
    "queue_key",
    "record_key",
    "record_key_of",
    "record_prefix",
    "uploaded_at_of",
    "written_at",
]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: The last second that ten digits can count, in the year 2286.
_LAST_SECOND = 9_999_999_999

_RECORD_KEY = re.compile(r"import-(\d{10})-[0-9a-f]{24}", re.ASCII)
_QUEUE_KEY = re.compile(r"queue-(\d{16})-\d{13}-([0-9a-f]{24})", re.ASCII)
_EVENT_KEY = re.compile(r"send-(\d{13})-", re.ASCII)

#: .NET's tick zero, and the length of its ticks.
_TICK_ZERO = datetime(1, 1, 1, tzinfo=UTC)
_TICKS_PER_MICROSECOND = 10


def record_key(uploaded_at: datetime, import_id: str) -> str:
    return f"{record_prefix(uploaded_at)}-{import_id}"


def record_prefix(uploaded_at: datetime) -> str:
    """The beginning of the row keys of all records that were uploaded in that second."""
    seconds = _units_since_epoch(uploaded_at, timedelta(seconds=1))
    return f"import-{_LAST_SECOND - min(max(seconds, 0), _LAST_SECOND):010d}"


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


def job_key(job_record: str) -> str:
    """The row key of a job, which sorts before the queue: one query reads both."""
    return f"job-{job_record}"


def ended_job_key(job_record: str) -> str:
    return f"ended-{job_key(job_record)}"


def event_key(due: datetime, import_id: str) -> str:
    return f"send-{_units_since_epoch(due, timedelta(milliseconds=1)):013d}-{import_id}"


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
    return record_key(EPOCH + timedelta(microseconds=int(match[1])), match[2])


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
