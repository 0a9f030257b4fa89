"""Every refusal as Kubernetes' `Status` object (pure): one table from exceptions to code and reason."""

from collections.abc import Sequence
from http import HTTPStatus

from control_plane.resources.invalid import Cause, InvalidResource
from control_plane.resources.manifest import Manifest, ObjectKey
from control_plane.resources.registry import BY_KIND
from control_plane.store.api import (
    HistoryGone,
    NamespaceTerminating,
    ObjectExists,
    ObjectNotFound,
    VersionConflict,
)

REASONS = {
    HTTPStatus.BAD_REQUEST: "BadRequest",
    HTTPStatus.UNAUTHORIZED: "Unauthorized",
    HTTPStatus.FORBIDDEN: "Forbidden",
    HTTPStatus.NOT_FOUND: "NotFound",
    HTTPStatus.METHOD_NOT_ALLOWED: "MethodNotAllowed",
    HTTPStatus.CONFLICT: "Conflict",
    HTTPStatus.GONE: "Expired",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "RequestEntityTooLarge",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "UnsupportedMediaType",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Invalid",
    HTTPStatus.INTERNAL_SERVER_ERROR: "InternalError",
    HTTPStatus.SERVICE_UNAVAILABLE: "ServiceUnavailable",
}


class Failure(Exception):
    """A request that is refused."""

    def __init__(
        self, status: HTTPStatus, message: str, *, reason: str = "", details: Manifest | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason or REASONS.get(status, "")
        self.details = details

    def body(self) -> Manifest:
        """The `Status` object that is the answer."""
        status: Manifest = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": str(self),
            "reason": self.reason,
            "code": int(self.status),
        }
        return status if self.details is None else {**status, "details": self.details}


def success(key: ObjectKey, uid: str) -> Manifest:
    """The answer to a deletion."""
    details = {**_details(key), "uid": uid}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def failure_of(error: Exception) -> Failure | None:
    """What `error` is to the client; None when it is nothing a client can cause."""
    match error:
        case Failure():
            return error
        case InvalidResource():
            return _invalid(error)
        case ObjectNotFound(key=key):
            message = f'{_plural(key)} "{key.name}" not found'
            return Failure(HTTPStatus.NOT_FOUND, message, details=_details(key))
        case ObjectExists(key=key):
            message = f'{_plural(key)} "{key.name}" already exists'
            return Failure(HTTPStatus.CONFLICT, message, reason="AlreadyExists", details=_details(key))
        case VersionConflict(key=key):
            message = f'Operation cannot be fulfilled on {_plural(key)} "{key.name}": {error}'
            return Failure(HTTPStatus.CONFLICT, message, details=_details(key))
        case NamespaceTerminating(key=key):
            return _terminating(key)
        case HistoryGone():
            return Failure(HTTPStatus.GONE, str(error))
        case RecursionError():
            return Failure(HTTPStatus.BAD_REQUEST, "the body is nested too deeply")
        case _:
            return None


def _invalid(error: InvalidResource) -> Failure:
    entry = BY_KIND.get(error.kind)
    group = "" if entry is None else entry.group
    details: Manifest = {
        "name": error.name,
        "group": group,
        "kind": error.kind,
        "causes": _causes(error.causes),
    }
    message = str(error)
    if group:
        message = f"{error.kind}.{group}{message.removeprefix(error.kind)}"
    return Failure(HTTPStatus.UNPROCESSABLE_ENTITY, message, details=_without_empty(details))


def _causes(causes: Sequence[Cause]) -> list[dict[str, str]]:
    return [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes]


def _terminating(key: ObjectKey) -> Failure:
    message = (
        f'{_plural(key)} "{key.name}" is forbidden: unable to create new content in namespace '
        f"{key.namespace} because it is being terminated"
    )
    cause = {
        "reason": "NamespaceTerminating",
        "message": f"namespace {key.namespace} is being terminated",
        "field": "metadata.namespace",
    }
    return Failure(HTTPStatus.FORBIDDEN, message, details={**_details(key), "causes": [cause]})


def _plural(key: ObjectKey) -> str:
    entry = BY_KIND[key.kind]
    return f"{entry.plural}.{entry.group}" if entry.group else entry.plural


def _details(key: ObjectKey) -> Manifest:
    entry = BY_KIND[key.kind]
    return _without_empty({"name": key.name, "group": entry.group, "kind": entry.plural})


def _without_empty(details: Manifest) -> Manifest:
    """As Kubernetes leaves out what is empty, such as the group of core kinds."""
    return {field: value for field, value in details.items() if value}
