"""What a Kubernetes-shaped API server answers instead of doing what it was asked."""

import json
from http import HTTPStatus

from control_plane.resources.manifest import objects, section


class ApiError(Exception):
    """The server refused a request. `reason` is the `Status` reason, e.g. `"AlreadyExists"`."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.causes: tuple[str, ...] = ()
        """Reasons in `details.causes`, e.g. `"NamespaceTerminating"`."""


class Unauthorized(ApiError):
    """401: the token is missing or wrong."""


class NotFound(ApiError):
    """404: no such object, namespace or path."""


class Conflict(ApiError):
    """409: the object exists already (`AlreadyExists`), or has changed since it was read (`Conflict`)."""


class Gone(ApiError):
    """410: the resource version is too old; list again."""


class Invalid(ApiError):
    """422: the object was refused; the message names each field."""


_ERRORS: dict[int, type[ApiError]] = {
    401: Unauthorized,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
}


def error_of(status: int, content: bytes) -> ApiError:
    """The error a `Status` body describes; anything else is quoted."""
    try:
        body = json.loads(content)
    except ValueError:
        body = {}
    if not isinstance(body, dict):
        body = {}
    message = body.get("message") or content[:200].decode("utf-8", "replace") or f"HTTP status {status}"
    error = _ERRORS.get(status, ApiError)(status, str(body.get("reason") or ""), str(message))
    error.causes = tuple(str(cause.get("reason")) for cause in objects(section(body, "details"), "causes"))
    return error


def is_worth_retrying(error: ApiError) -> bool:
    """410 asks for a new list; 429 and 5xx pass; other refusals would only repeat."""
    return error.status in (410, 429) or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
