"""The triggers of the function app. Each calls `shared`."""

import logging
import os

import azure.functions as func
import azurefunctions.extensions.bindings.blob as blob

from shared.connections import STORAGE_CONNECTION
from shared.imports.app import importer
from shared.invocation import invocation
from shared.logs import LIBRARIES, redact_libraries
from shared.settings import DEFAULT_POLL_SCHEDULE, DEFAULT_SWEEP_SCHEDULE
from shared.web.routes import Route, routes

# The SDKs log every request at INFO. The worker's own logger keeps its level.
for _library in LIBRARIES:
    logging.getLogger(_library).setLevel(logging.WARNING)
logging.getLogger("azure.functions").setLevel(logging.getLogger().getEffectiveLevel())
redact_libraries()

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)


@app.function_name("import_upload")
@app.blob_trigger(
    arg_name="upload",
    path="%UPLOAD_CONTAINER%/{name}",
    connection=STORAGE_CONNECTION,
    source=func.BlobSource.LOGS_AND_CONTAINER_SCAN
    if os.environ.get("UPLOAD_TRIGGER_SOURCE") == "LogsAndContainerScan"
    else func.BlobSource.EVENT_GRID,
)
def import_upload(upload: blob.BlobClient, context: func.Context) -> None:
    """Import an uploaded file. The client only names the blob; the host never reads its content.

    Event Grid repeats events, and sends those of other containers too.
    """
    with invocation(context):
        importer().on_upload(upload.container_name, upload.blob_name)


@app.function_name("advance_hubs")
@app.timer_trigger(
    arg_name="timer",
    # The host resolves the name but has no default for it.
    schedule="%POLL_SCHEDULE%" if os.environ.get("POLL_SCHEDULE") else DEFAULT_POLL_SCHEDULE,
    use_monitor=False,
)
def advance_hubs(timer: func.TimerRequest, context: func.Context) -> None:
    """Follow running jobs, start the next imports of each hub, and complete ended ones."""
    with invocation(context):
        importer().on_tick()


@app.function_name("sweep")
@app.timer_trigger(
    arg_name="timer",
    schedule="%SWEEP_SCHEDULE%" if os.environ.get("SWEEP_SCHEDULE") else DEFAULT_SWEEP_SCHEDULE,
    use_monitor=False,
)
def sweep(timer: func.TimerRequest, context: func.Context) -> None:
    """Scan for uploads without an event and for interrupted imports; delete expired data."""
    with invocation(context):
        importer().on_sweep()


def _serve(route: Route) -> None:
    """Make one endpoint of API or dashboard a function of its own."""

    def handle(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        # Only those who call pay for the import.
        from shared.web.dispatch import respond
        from shared.web.http_types import Request

        headers = {name.lower(): value for name, value in req.headers.items()}
        request = Request(
            req.method, req.url, req.params, req.route_params, headers, req.get_body()
        )
        with invocation(context):
            response = respond(route, request, importer)
        return func.HttpResponse(
            response.body, status_code=response.status, headers=response.all_headers()
        )

    function = app.route(route=route.path, methods=[route.method], trigger_arg_name="req")(handle)
    app.function_name(route.name)(function)


for _route in (_routes := routes(os.environ.get("HTTP_ENDPOINTS"))):
    _serve(_route)
if not _routes:
    # azure.functions warns at each start that the key of an app without endpoints has no effect.
    logging.getLogger().addFilter(
        lambda record: not str(record.msg).startswith("Auth level is not applied")
    )
