from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import azure.functions as func
import pytest
from azurefunctions.extensions.bindings.blob import BlobClient, ContainerClient

from local.host import FunctionsHost, IndexingError, UsageError
from local.host.triggers import BlobPath, BlobSource, BlobTrigger, HttpTrigger, TimerTrigger
from tests.host.conftest import HOST_JSON

SETTINGS = {
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    "Uploads": "UseDevelopmentStorage=true",
}


def problems(
    app: func.FunctionApp,
    settings: Mapping[str, str] = SETTINGS,
    host_json: Mapping[str, Any] = HOST_JSON,
) -> str:
    """The error message, which contains all problems."""
    with pytest.raises(IndexingError) as caught:
        FunctionsHost(app, settings, host_json)
    return str(caught.value)


def blob_app(**binding: Any) -> func.FunctionApp:
    app = func.FunctionApp()
    values = {"arg_name": "upload", "path": "uploads/{name}", "connection": "Uploads"} | binding

    @app.blob_trigger(**values)
    def intake(upload: BlobClient) -> None: ...

    return app


def timer_app(schedule: str) -> func.FunctionApp:
    app = func.FunctionApp()

    @app.timer_trigger(arg_name="timer", schedule=schedule)
    def poll(timer: func.TimerRequest) -> None: ...

    return app


class TestAccepted:
    def test_bindings_are_read_and_resolved(self) -> None:
        app = blob_app(path="%NAME%/in/{name}", source=func.BlobSource.EVENT_GRID)

        @app.timer_trigger(arg_name="timer", schedule="%SCHEDULE%", run_on_startup=True)
        def poll(timer: func.TimerRequest) -> None: ...

        @app.route(route="jobs/{id}", methods=["get", "POST"])
        def jobs(req: func.HttpRequest) -> str:
            return ""

        settings = {**SETTINGS, "NAME": "uploads", "SCHEDULE": "*/30 * * * * *"}
        functions = FunctionsHost(app, settings, HOST_JSON).functions
        blob, timer, http = (functions[name].trigger for name in ("intake", "poll", "jobs"))
        assert isinstance(blob, BlobTrigger)
        assert isinstance(timer, TimerTrigger)
        assert isinstance(http, HttpTrigger)
        assert (blob.path.container, blob.source) == ("uploads", BlobSource.EVENT_GRID)
        assert (timer.schedule.expression, timer.run_on_startup) == ("*/30 * * * * *", True)
        assert (http.route, http.methods) == ("jobs/{id}", frozenset({"GET", "POST"}))

    def test_scan_is_the_default_source(self) -> None:
        trigger = FunctionsHost(blob_app(), SETTINGS, HOST_JSON).functions["intake"].trigger
        assert isinstance(trigger, BlobTrigger)
        assert trigger.source is BlobSource.SCAN

    @pytest.mark.parametrize("suffix", ["__blobServiceUri", "__serviceUri", "__accountName"])
    def test_connection_may_be_a_prefix(self, suffix: str) -> None:
        settings = {
            "AzureWebJobsStorage": "UseDevelopmentStorage=true",
            f"Uploads{suffix}": "https://uploads.blob.core.windows.net",
        }
        assert FunctionsHost(blob_app(), settings, HOST_JSON).functions

    def test_app_can_be_hosted_again(self) -> None:
        app = blob_app()
        FunctionsHost(app, SETTINGS, HOST_JSON)
        assert FunctionsHost(app, SETTINGS, HOST_JSON).functions

    def test_timers_require_no_bundle(self) -> None:
        assert FunctionsHost(timer_app("0 */5 * * * *"), {}, {"version": "2.0"}).functions


class TestRefused:
    def test_all_problems_in_one_error(self) -> None:
        app = blob_app(path="{container}/{name}", connection="Nowhere")

        @app.timer_trigger(arg_name="timer", schedule="%MISSING%")
        def poll(timer: func.TimerRequest) -> None: ...

        text = problems(app, host_json={"version": "2.0"})
        assert "4 problem(s)" in text
        for part in (
            "app: host.json has no extensionBundle",
            "function 'intake', binding 'upload': path '{container}/{name}': the container part",
            "connection 'Nowhere' has no app setting; set Nowhere",
            "function 'poll', binding 'timer': '%MISSING%' has no app setting; set MISSING",
        ):
            assert part in text

    def test_underscore_in_a_binding_name(self) -> None:
        app = func.FunctionApp()

        @app.timer_trigger(arg_name="my_timer", schedule="%MISSING%")
        def poll(my_timer: func.TimerRequest) -> None: ...

        text = problems(app)
        assert "set MISSING" in text, "one problem must not hide another"
        assert "function 'poll', binding 'my_timer': " in text
        assert "no underscore" in text

    def test_two_triggers(self) -> None:
        app = func.FunctionApp()

        @app.timer_trigger(arg_name="timer", schedule="0 * * * * *")
        @app.generic_input_binding(arg_name="other", type="queueTrigger")
        def poll(timer: func.TimerRequest, other: str) -> None: ...

        text = problems(app)
        assert "it has 2 triggers" in text
        assert "exactly one" in text

    def test_no_trigger(self) -> None:
        app = func.FunctionApp()

        @app.generic_input_binding(arg_name="other", type="blob")
        def poll(other: str) -> None: ...

        assert "does not have a trigger" in problems(app)

    def test_same_name_twice(self) -> None:
        app = timer_app("0 * * * * *")

        @app.function_name("poll")
        @app.timer_trigger(arg_name="timer", schedule="0 * * * * *")
        def again(timer: func.TimerRequest) -> None: ...

        assert "does not have a unique function name" in problems(app)

    def test_name_of_a_function(self) -> None:
        app = func.FunctionApp()

        @app.function_name("1st poll")
        @app.timer_trigger(arg_name="timer", schedule="0 * * * * *")
        def poll(timer: func.TimerRequest) -> None: ...

        assert "function '1st poll': " in problems(app)

    def test_host_connection_is_missing(self) -> None:
        text = problems(blob_app(), {"Uploads": "UseDevelopmentStorage=true"})
        assert "app setting AzureWebJobsStorage is missing" in text

    def test_extension_bundle_is_missing(self) -> None:
        assert "extensionBundle" in problems(blob_app(), host_json={"version": "2.0"})

    @pytest.mark.parametrize(
        ("path", "reason"),
        [
            ("up{x}/{name}", "the container part of the path contains a pattern"),
            ("Uploads/{name}", "3 to 63 lower-case letters"),
            ("up/{name}", "3 to 63 lower-case letters"),
            ("uploads/", "nothing after the container"),
            ("uploads/{name", "unbalanced '{'"),
            ("uploads/{}", "not a valid parameter name"),
            ("%NOPE%/{name}", "'%NOPE%' has no app setting"),
        ],
    )
    def test_path(self, path: str, reason: str) -> None:
        assert reason in problems(blob_app(path=path))

    def test_value_of_a_setting_is_not_shown(self) -> None:
        settings = {"Uploads": "UseDevelopmentStorage=true", "UPLOADS": "AccountKey=c2VjcmV0"}
        text = problems(blob_app(path="%UPLOADS%/{name}"), settings)
        assert "path '%UPLOADS%/{name}'" in text
        assert "c2VjcmV0" not in text

    def test_source(self) -> None:
        assert "source 'Magic'" in problems(blob_app(source="Magic"))

    @pytest.mark.parametrize("annotation", [bytes, str, ContainerClient])
    def test_annotation(self, annotation: type) -> None:
        app = func.FunctionApp()

        def intake(upload: Any) -> None: ...

        intake.__annotations__ = {"upload": annotation}
        app.blob_trigger(arg_name="upload", path="uploads/{name}", connection="Uploads")(intake)
        assert f"type {annotation.__name__} " in problems(app)

    def test_annotation_that_cannot_be_resolved(self) -> None:
        app = func.FunctionApp()

        @app.blob_trigger(arg_name="upload", path="uploads/{name}", connection="Uploads")
        def intake(upload: Nowhere) -> None: ...  # type: ignore[name-defined] # noqa: F821

        assert "name 'Nowhere' is not defined" in problems(app)

    def test_parameters_and_bindings_must_agree(self) -> None:
        app = func.FunctionApp()

        @app.timer_trigger(arg_name="timer", schedule="0 * * * * *")
        def poll(clock: func.TimerRequest) -> None: ...

        text = problems(app)
        assert "binding 'timer': the function has no such parameter" in text
        assert "parameter 'clock' has no binding" in text

    def test_other_triggers_and_bindings(self) -> None:
        app = func.FunctionApp()

        @app.queue_trigger(arg_name="message", queue_name="q", connection="Uploads")
        def consume(message: func.QueueMessage) -> None: ...

        @app.timer_trigger(arg_name="timer", schedule="0 * * * * *")
        @app.blob_output(arg_name="out", path="a/b", connection="Uploads")
        def poll(timer: func.TimerRequest, out: func.Out[str]) -> None: ...

        text = problems(app)
        assert "trigger type 'queueTrigger' is not supported" in text
        assert "function 'poll', binding 'out': binding type 'blob' is not supported" in text

    def test_route(self) -> None:
        app = func.FunctionApp()

        @app.route(route="jobs/{id:int}")
        def jobs(req: func.HttpRequest) -> str:
            return ""

        assert "route segment '{id:int}' is not supported" in problems(app)

    def test_routes_that_conflict(self) -> None:
        app = func.FunctionApp()

        @app.route(route="jobs/{id}", methods=["GET", "POST"])
        def first(req: func.HttpRequest) -> str:
            return ""

        @app.route(route="Jobs/{ID}", methods=["POST"])
        def second(req: func.HttpRequest) -> str:
            return ""

        @app.route(route="jobs/{id}", methods=["DELETE"])
        def third(req: func.HttpRequest) -> str:
            return ""

        @app.route(route="admin/jobs")
        def fourth(req: func.HttpRequest) -> str:
            return ""

        text = problems(app)
        assert "function 'second': POST jobs/{id} is a route of function 'first'" in text
        assert "function 'fourth': route 'admin/jobs' conflicts with a route of the host" in text
        assert "'third'" not in text

    @pytest.mark.parametrize("host_id", ["My Host", "", "a--b", "x" * 38])
    def test_host_id(self, host_id: str) -> None:
        with pytest.raises(UsageError, match="host id"):
            FunctionsHost(timer_app("0 * * * * *"), SETTINGS, HOST_JSON, host_id=host_id)

    def test_malformed_connection_string(self) -> None:
        host = FunctionsHost(blob_app(), {**SETTINGS, "Uploads": "AccountKey=c2VjcmV0"}, HOST_JSON)
        with pytest.raises(UsageError, match="Uploads is not a connection string") as caught:
            host.start()
        assert "c2VjcmV0" not in str(caught.value)
        host.stop()


class TestDisabled:
    def test_app_setting_disables_a_function(self) -> None:
        settings = {**SETTINGS, "AzureWebJobs.poll.Disabled": "True"}
        assert FunctionsHost(timer_app("0 * * * * *"), settings, HOST_JSON).functions == {}

    @pytest.mark.parametrize(
        "schedule", ["0 0 0 L * *", "0 0 0 * * 7", "60 * * * * *", "secret", ""]
    )
    def test_invalid_schedule_disables_its_function_only(
        self, caplog: pytest.LogCaptureFixture, schedule: str
    ) -> None:
        app = timer_app("%POLL_SCHEDULE%")

        @app.timer_trigger(arg_name="timer", schedule="0 * * * * *")
        def other(timer: func.TimerRequest) -> None: ...

        host = FunctionsHost(app, {"POLL_SCHEDULE": schedule}, {"version": "2.0"})
        assert set(host.functions) == {"other"}
        [record] = [record for record in caplog.records if record.levelname == "ERROR"]
        assert "'poll'" in record.getMessage()
        assert "%POLL_SCHEDULE%" in record.getMessage()
        assert "secret" not in record.getMessage()


class TestBlobPath:
    @pytest.mark.parametrize(
        ("path", "blob", "matches"),
        [
            ("uploads", "any/thing", True),
            ("uploads/{name}", "a/b/c.txt", True),
            ("uploads/{base}.{ext}", "a.b.txt", True),
            ("uploads/{base}.{ext}", "plain", False),
            ("uploads/in/{name}.csv", "in/x.csv", True),
            ("uploads/in/{name}.csv", "IN/x.csv", False),
            ("uploads/{{{name}}}", "{x}", True),
            ("uploads/{{{name}}}", "x", False),
            ("uploads/fixed.txt", "fixed.txt", True),
            ("uploads/fixed.txt", "fixedxtxt", False),
        ],
    )
    def test_matching(self, path: str, blob: str, matches: bool) -> None:
        assert BlobPath.parse(path).matches(blob) is matches
