"""In which form a client wants objects: themselves, a `Table`, or only their metadata."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from starlette.requests import Request

from control_plane.apiserver.answer import JSON, MediaType, accepted
from control_plane.apiserver.failure import Failure
from control_plane.apiserver.table.document import (
    META_GROUP,
    partial_metadata,
    partial_metadata_list,
    table,
)
from control_plane.resources.manifest import Manifest, metadata
from control_plane.resources.registry import ResourceKind

_VERSIONS = ("v1", "v1beta1")
_TABLE = "Table"
_INCLUDES = ("None", "Metadata", "Object")


@dataclass(frozen=True, slots=True)
class Representation:
    """One form of the objects of one kind."""

    kind: ResourceKind
    now: Callable[[], float]
    form: str = ""
    """`Table`, `PartialObjectMetadata`, or empty for the objects themselves."""
    version: str = "v1"
    """Of `meta.k8s.io`."""
    include: str = "Metadata"
    """What of each object stands in a table's row."""

    def one(self, manifest: Manifest) -> Manifest:
        """The answer to a get."""
        if self.form == _TABLE:
            version = metadata(manifest).get("resourceVersion")
            return self._table([manifest], {"resourceVersion": version})
        return partial_metadata(manifest, self.version) if self.form else self.kind.shown(manifest)

    def many(self, items: Sequence[Manifest], list_metadata: Manifest) -> Manifest:
        """The answer to a list."""
        if self.form == _TABLE:
            return self._table(items, list_metadata)
        if self.form:
            return partial_metadata_list(items, list_metadata, self.version)
        envelope = {"kind": f"{self.kind.kind}List", "apiVersion": self.kind.api_version}
        shown = [self.kind.shown(item) for item in items]
        return {**envelope, "metadata": list_metadata, "items": shown}

    def of_events(self) -> Callable[[Manifest], Manifest]:
        """How a watch tells each object; only the first table of a watch has the columns."""
        if self.form != _TABLE:
            return self.one
        is_first = True

        def row(manifest: Manifest) -> Manifest:
            nonlocal is_first
            version = metadata(manifest).get("resourceVersion")
            told = self._table([manifest], {"resourceVersion": version}, with_columns=is_first)
            is_first = False
            return told

        return row

    def _table(
        self, items: Sequence[Manifest], list_metadata: Manifest, *, with_columns: bool = True
    ) -> Manifest:
        shown = [self.kind.shown(item) for item in items]
        return table(
            self.kind.kind,
            shown,
            list_metadata,
            version=self.version,
            include=self.include,
            now=self.now(),
            with_columns=with_columns,
        )


def representation(
    request: Request, kind: ResourceKind, now: Callable[[], float], *, of_list: bool
) -> Representation:
    """The first form in `Accept` that is served. `now`: seconds since the epoch.

    Raises Failure (400, 406).
    """
    types = accepted(request)
    for one in types:
        form = _form(one, "PartialObjectMetadataList" if of_list else "PartialObjectMetadata")
        if form is not None:
            version = one.parameters.get("v", "v1")
            return Representation(kind, now, form, version, _include(request.query_params))
    if not types:
        return Representation(kind, now)
    message = f"only the following media types are accepted: {JSON}"
    raise Failure(HTTPStatus.NOT_ACCEPTABLE, message, reason="NotAcceptable")


def _form(media_type: MediaType, partial: str) -> str | None:
    """What one element of `Accept` asks for; None for what is not served."""
    if media_type.name not in (JSON, "application/*", "*/*"):
        return None
    wanted = media_type.parameters.get("as", "")
    if not wanted:
        return ""
    if not (media_type.says(g=META_GROUP) and media_type.parameters.get("v") in _VERSIONS):
        return None
    return {_TABLE: _TABLE, partial: "PartialObjectMetadata"}.get(wanted)


def _include(query: Mapping[str, str]) -> str:
    value = query.get("includeObject", "Metadata")
    if value not in _INCLUDES:
        raise Failure(
            HTTPStatus.BAD_REQUEST, f"includeObject must be one of {', '.join(_INCLUDES)}, not {value!r}"
        )
    return value
