"""A minimal app with the same kinds of triggers: the part of a cold start that is not ours."""

import azure.functions as func
import azurefunctions.extensions.bindings.blob as blob

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)


@app.blob_trigger(arg_name="upload", path="uploads/{name}", connection="ImporterStorage")
def on_upload(upload: blob.BlobClient) -> None:
    """Do nothing."""


@app.timer_trigger(arg_name="timer", schedule="0 * * * * *")
def on_timer(timer: func.TimerRequest) -> None:
    """Do nothing."""


@app.route(route="hello")
def on_request(req: func.HttpRequest) -> func.HttpResponse:
    """Greet."""
    return func.HttpResponse("Hello")
