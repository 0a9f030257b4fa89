"""Label and field selectors of list and watch (pure)."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from control_plane.apiserver.failure import Failure
from control_plane.resources.manifest import Manifest, labels_of, name_of, namespace_of, section

_SEPARATOR = re.compile(r",(?![^(]*\))")
_KEY = r"(?P<key>[-A-Za-z0-9_./]+)"
_SET_TERM = re.compile(_KEY + r"\s+(?P<op>in|notin)\s*\((?P<values>[-A-Za-z0-9_.,\s]*)\)")
_EQUALITY_TERM = re.compile(_KEY + r"\s*(?P<op>==|!=|=)\s*(?P<value>[-A-Za-z0-9_.]*)")
_EXISTS_TERM = re.compile(r"(?P<not>!?)\s*" + _KEY)

_FIELDS: Mapping[str, Callable[[Manifest], str]] = {
    "metadata.name": name_of,
    "metadata.namespace": namespace_of,
    "spec.nodeName": lambda manifest: str(section(manifest, "spec").get("nodeName", "")),
    "status.phase": lambda manifest: str(section(manifest, "status").get("phase", "")),
}


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term over one value; None stands for an absent label."""

    key: str
    accepts: Callable[[str | None], bool]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects a list or watch is about: every requirement must hold."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[Requirement, ...] = ()

    def matches(self, manifest: Manifest) -> bool:
        labels = labels_of(manifest)
        return all(term.accepts(labels.get(term.key)) for term in self.labels) and all(
            term.accepts(_FIELDS[term.key](manifest)) for term in self.fields
        )


def parse_selection(label_selector: str, field_selector: str) -> Selection:
    """From the query parameters of the same names. Raises Failure (400)."""
    return Selection(
        tuple(_label_requirement(term) for term in _terms(label_selector)),
        tuple(_field_requirement(term) for term in _terms(field_selector)),
    )


def _terms(selector: str) -> list[str]:
    return [term.strip() for term in _SEPARATOR.split(selector)] if selector.strip() else []


def _label_requirement(term: str) -> Requirement:
    if found := _SET_TERM.fullmatch(term):
        values = frozenset(value.strip() for value in found["values"].split(","))
        return _membership(found["key"], values, found["op"] == "in")
    if found := _EQUALITY_TERM.fullmatch(term):
        return _membership(found["key"], frozenset([found["value"]]), found["op"] != "!=")
    if found := _EXISTS_TERM.fullmatch(term):
        wanted_absent = found["not"] == "!"
        return Requirement(found["key"], lambda value: (value is None) == wanted_absent)
    raise Failure(HTTPStatus.BAD_REQUEST, f"labelSelector: cannot parse {term!r}")


def _membership(key: str, values: frozenset[str], wanted: bool) -> Requirement:
    """As in Kubernetes, an absent label satisfies `!=` and `notin`."""
    return Requirement(key, lambda value: (value in values) == wanted)


def _field_requirement(term: str) -> Requirement:
    found = _EQUALITY_TERM.fullmatch(term)
    if found is None:
        raise Failure(HTTPStatus.BAD_REQUEST, f"fieldSelector: cannot parse {term!r}; use field=value")
    if found["key"] not in _FIELDS:
        supported = ", ".join(_FIELDS)
        raise Failure(HTTPStatus.BAD_REQUEST, f"fieldSelector: {found['key']!r} is none of {supported}")
    return _membership(found["key"], frozenset([found["value"]]), found["op"] != "!=")
