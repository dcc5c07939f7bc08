from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.hub.jobs import ImportJobRequest, JobProperties, JobStatus

JOB = {
    "jobId": "5c4d1a5e",
    "startTimeUtc": "2026-08-15T10:11:12.1234567Z",
    "endTimeUtc": "0001-01-01T00:00:00Z",
    "type": "import",
    "status": "running",
    "progress": 40,
    "inputBlobContainerUri": "https://a.blob.core.windows.net/in?sv=1&sig=SECRET%3D&sp=r",
    "outputBlobContainerUri": "https://a.blob.core.windows.net/out?sig=SECRET",
    "excludeKeysInExport": False,
    "failureReason": None,
}


def test_all_properties_of_the_response_are_read() -> None:
    job = JobProperties.model_validate(JOB)
    assert job.job_id == "5c4d1a5e"
    assert job.start_time_utc == datetime(2026, 8, 15, 10, 11, 12, 123456, UTC)
    assert job.end_time_utc is None
    assert (job.type, job.status, job.progress) == ("import", JobStatus.RUNNING, 40)
    assert job.failure_reason == ""


def test_the_format_of_the_first_publication() -> None:
    job = JobProperties.model_validate({**JOB, "progress": "40", "endTimeUtc": ""})
    assert job.progress == 40


def test_signatures_are_removed_on_reading() -> None:
    job = JobProperties.model_validate(JOB)
    assert job.input_blob_container_uri == (
        "https://a.blob.core.windows.net/in?sv=1&sig=REDACTED&sp=r"
    )
    assert "SECRET" not in repr(job)


@pytest.mark.parametrize("status", list(JobStatus))
def test_the_end_of_a_job(status: JobStatus) -> None:
    assert status.is_final == (status.value in {"completed", "failed", "cancelled"})


def test_an_unknown_status_keeps_its_text() -> None:
    job = JobProperties.model_validate({**JOB, "status": "hibernating"})
    assert (job.status, job.status_text) == (JobStatus.UNKNOWN, "hibernating")


@given(
    st.dictionaries(
        st.sampled_from([*JOB, "identity", "somethingNew"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text()),
    )
)
def test_unexpected_values_never_raise(members: dict[str, object]) -> None:
    JobProperties.model_validate({**JOB, **members})


def test_the_request() -> None:
    request = ImportJobRequest(
        input_blob_container_uri="https://a/in?sig=SECRET",
        output_blob_container_uri="https://a/out?sig=SECRET",
        storage_authentication_type="identityBased",
        user_assigned_identity="/subscriptions/s/x",
    )
    assert request.to_json() == {
        "type": "import",
        "inputBlobContainerUri": "https://a/in?sig=SECRET",
        "outputBlobContainerUri": "https://a/out?sig=SECRET",
        "inputBlobName": "devices.txt",
        "storageAuthenticationType": "identityBased",
        "identity": {"userAssignedIdentity": "/subscriptions/s/x"},
    }
    assert "SECRET" not in repr(request)
