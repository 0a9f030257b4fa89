"""The fields of each kind that may be selected by (pure): Kubernetes', as far as the kind is served."""

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus

from control_plane.apiserver.failure import Failure
from control_plane.resources.manifest import Manifest, name_of, namespace_of, section

FieldReader = Callable[[Manifest], str]

_TERM = re.compile(r"(?P<field>[-A-Za-z0-9_./]+)\s*(?P<op>==|!=|=)\s*(?P<value>(?:[^\\,=]|\\[\\,=])*)")
_ESCAPED = re.compile(r"\\([\\,=])")
_SEPARATOR = re.compile(r"(?<!\\),")


def _at(*path: str, default: str = "") -> FieldReader:
    def read(manifest: Manifest) -> str:
        *outer, last = path
        for name in outer:
            manifest = section(manifest, name)
        value = manifest.get(last)
        if isinstance(value, bool):
            return str(value).lower()
        return default if value is None else str(value)

    return read


def _dotted(*names: str) -> dict[str, FieldReader]:
    return {name: _at(*name.split(".")) for name in names}


_EVERY_KIND: Mapping[str, FieldReader] = {"metadata.name": name_of, "metadata.namespace": namespace_of}
_OF_KIND: Mapping[str, Mapping[str, FieldReader]] = {
    "Pod": {
        **_dotted("spec.nodeName", "spec.serviceAccountName", "status.phase", "status.podIP"),
        **_dotted("status.nominatedNodeName"),
        "spec.restartPolicy": _at("spec", "restartPolicy", default="Always"),
        "spec.schedulerName": _at("spec", "schedulerName", default="default-scheduler"),
        "spec.hostNetwork": _at("spec", "hostNetwork", default="false"),
    },
    "Event": {
        **_dotted(
            *(
                f"involvedObject.{field}"
                for field in (
                    "kind",
                    "namespace",
                    "name",
                    "uid",
                    "apiVersion",
                    "resourceVersion",
                    "fieldPath",
                )
            ),
            *("reason", "type", "reportingComponent"),
        ),
        "source": _at("source", "component"),
    },
    "Secret": {"type": _at("type", default="Opaque")},
    "Namespace": _dotted("status.phase"),
    "Node": {"spec.unschedulable": _at("spec", "unschedulable", default="false")},
    "Service": {
        "spec.clusterIP": _at("spec", "clusterIP"),
        "spec.type": _at("spec", "type", default="ClusterIP"),
    },
    "ReplicaSet": {"status.replicas": _at("status", "replicas", default="0")},
    "Job": {"status.successful": _at("status", "succeeded", default="0")},
}


def field_terms(selector: str, kind: str) -> list[tuple[FieldReader, str, bool]]:
    """For each term: how its field is read, the value, and whether it must be equal. Raises Failure (400)."""
    return [_term(term.strip(), kind) for term in _SEPARATOR.split(selector) if term.strip()]


def _term(term: str, kind: str) -> tuple[FieldReader, str, bool]:
    found = _TERM.fullmatch(term)
    if found is None:
        message = f"invalid selector: {term!r}; can't understand it; use field=value"
        raise Failure(HTTPStatus.BAD_REQUEST, message)
    field = found["field"]
    reader = _EVERY_KIND.get(field) or _OF_KIND.get(kind, {}).get(field)
    if reader is None:
        known = ", ".join([*_EVERY_KIND, *_OF_KIND.get(kind, {})])
        raise Failure(HTTPStatus.BAD_REQUEST, f"field label not supported: {field}; supported are {known}")
    return reader, _ESCAPED.sub(r"\1", found["value"].strip()), found["op"] != "!="
