"""Exceptions as `Status` objects."""

import pytest

from control_plane.apiserver.failure import Failure, failure_of, success
from control_plane.resources.invalid import Cause, InvalidResource
from control_plane.resources.manifest import ObjectKey
from control_plane.store.api import (
    HistoryGone,
    NamespaceTerminating,
    ObjectExists,
    ObjectNotFound,
    VersionConflict,
)

POD = ObjectKey("Pod", "shop", "a")
ROUTE = ObjectKey("HTTPRoute", "shop", "a")


@pytest.mark.parametrize(
    ("error", "code", "reason", "message"),
    [
        (ObjectNotFound(POD), 404, "NotFound", 'pods "a" not found'),
        (ObjectNotFound(ROUTE), 404, "NotFound", 'httproutes.gateway.networking.k8s.io "a" not found'),
        (ObjectExists(POD), 409, "AlreadyExists", 'pods "a" already exists'),
        (VersionConflict(POD, "changed"), 409, "Conflict", 'cannot be fulfilled on pods "a": changed'),
        (NamespaceTerminating(POD), 403, "Forbidden", 'pods "a" is forbidden: unable to create new content'),
        (HistoryGone(3, 9), 410, "Expired", "resource version 3 is too old"),
        (RecursionError(), 400, "BadRequest", "nested too deeply"),
        (InvalidResource("Pod", "a", [Cause("spec", "bad")]), 422, "Invalid", "spec: bad"),
    ],
)
def test_table(error: Exception, code: int, reason: str, message: str) -> None:
    failure = failure_of(error)
    assert failure is not None
    body = failure.body()
    assert (body["kind"], body["status"], body["code"], body["reason"]) == ("Status", "Failure", code, reason)
    assert message in str(body["message"])


def test_a_failure_is_itself_and_a_bug_is_none() -> None:
    failure = Failure(failure_of(RecursionError()).status, "x")  # type: ignore[union-attr]
    assert failure_of(failure) is failure
    assert "details" not in failure.body()
    assert failure_of(KeyError("x")) is None


def test_causes_travel_in_the_details() -> None:
    failure = failure_of(InvalidResource("Pod", "a", [Cause("spec.x", "bad", "FieldValueForbidden")]))
    assert failure is not None
    assert failure.body()["details"] == {
        "name": "a",
        "kind": "Pod",
        "causes": [{"reason": "FieldValueForbidden", "message": "bad", "field": "spec.x"}],
    }


def test_success_names_what_is_gone() -> None:
    details = {"name": "a", "kind": "pods", "uid": "u"}
    assert success(POD, "u")["details"] == details
