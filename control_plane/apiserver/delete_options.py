"""`meta/v1 DeleteOptions`, from the body and the query of a request (pure)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Literal

from pydantic import ValidationError

from control_plane.apiserver.failure import Failure
from control_plane.resources.base import Model, without_nulls
from control_plane.resources.invalid import causes_of
from control_plane.resources.manifest import Manifest
from control_plane.store.deletion import DeletionRequest


class Preconditions(Model):
    uid: str = ""
    resource_version: str = ""


class DeleteOptions(Model):
    api_version: str = ""
    kind: Literal["DeleteOptions"] = "DeleteOptions"
    grace_period_seconds: int | None = None
    preconditions: Preconditions = Preconditions()
    orphan_dependents: bool | None = None
    """Deprecated; as `propagationPolicy` Orphan or Background."""
    propagation_policy: Literal["", "Background", "Foreground", "Orphan"] = ""
    dry_run: tuple[Literal["All"], ...] = ()
    ignore_store_read_error_with_cluster_breaking_potential: bool = False
    """Accepted and without effect: every object of this store can be read."""

    @property
    def request(self) -> DeletionRequest:
        """What the store is asked."""
        propagation = self.propagation_policy
        if self.orphan_dependents is not None:
            propagation = "Orphan" if self.orphan_dependents else "Background"
        uid, version = self.preconditions.uid, self.preconditions.resource_version
        return DeletionRequest(uid, version, self.grace_period_seconds, propagation)


def delete_options(body: Manifest, query: Mapping[str, str]) -> Manifest:
    """The options as one object: those of the body; without a body those of the query. Raises Failure."""
    if body:
        return body
    options: Manifest = {}
    if policy := query.get("propagationPolicy"):
        options["propagationPolicy"] = policy
    if orphan := query.get("orphanDependents"):
        options["orphanDependents"] = orphan in ("1", "true", "True")
    if grace := query.get("gracePeriodSeconds"):
        if not (grace.removeprefix("-").isascii() and grace.removeprefix("-").isdecimal()):
            raise Failure(HTTPStatus.BAD_REQUEST, f"gracePeriodSeconds must be a number, not {grace[:40]!r}")
        options["gracePeriodSeconds"] = int(grace[:18])
    return options


def parse_options(options: Manifest) -> DeleteOptions:
    """Raises Failure (422), also for two ways of saying what becomes of dependents."""
    try:
        # JSON has lists where the model has tuples.
        found = DeleteOptions.model_validate(without_nulls(options), strict=False)
    except ValidationError as exc:
        causes = "; ".join(f"{cause.field}: {cause.message}" for cause in causes_of(exc))
        raise Failure(HTTPStatus.UNPROCESSABLE_ENTITY, f'DeleteOptions "" is invalid: {causes}') from exc
    if found.orphan_dependents is not None and found.propagation_policy:
        message = (
            'DeleteOptions "" is invalid: propagationPolicy: orphanDependents and propagationPolicy cannot '
            "be both set"
        )
        raise Failure(HTTPStatus.UNPROCESSABLE_ENTITY, message)
    return found
