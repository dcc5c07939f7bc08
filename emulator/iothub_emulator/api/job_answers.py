"""How answers about jobs differ from what the hub does: what a test sets while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

JobDocument = dict[str, Any]


def _unaltered(job: JobDocument) -> JobDocument:
    return job


@dataclass
class JobAnswers:
    """The settings; ages are by the hub's clock."""

    #: Age from which GET /jobs lists a job.
    list_lag: timedelta = timedelta(0)
    #: Age from which GET /jobs/{id} finds a job; it answers 404 JobNotFound before.
    get_lag: timedelta = timedelta(0)
    #: Called with each job before it is sent; sends what it returns.
    alter: Callable[[JobDocument], JobDocument] = _unaltered
