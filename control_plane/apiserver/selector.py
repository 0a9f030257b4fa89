"""Label and field selectors of list and watch (pure)."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from control_plane.apiserver.failure import Failure
from control_plane.apiserver.field_selector import FieldReader, field_terms
from control_plane.resources.manifest import Manifest, labels_of

_SEPARATOR = re.compile(r",(?![^(]*\))")
_KEY = r"(?P<key>[-A-Za-z0-9_./]+)"
_SET_TERM = re.compile(_KEY + r"\s+(?P<op>in|notin)\s*\((?P<values>[-A-Za-z0-9_.,\s]*)\)")
_EQUALITY_TERM = re.compile(_KEY + r"\s*(?P<op>==|!=|=)\s*(?P<value>[-A-Za-z0-9_.]*)")
_EXISTS_TERM = re.compile(r"(?P<not>!?)\s*" + _KEY)


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term over one value; None stands for an absent label."""

    key: str
    accepts: Callable[[str | None], bool]


@dataclass(frozen=True, slots=True)
class FieldRequirement:
    """One term over one field; an absent field is empty."""

    read: FieldReader
    value: str
    is_equal: bool

    def holds(self, manifest: Manifest) -> bool:
        return (self.read(manifest) == self.value) == self.is_equal


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects a list or watch is about: every requirement must hold."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[FieldRequirement, ...] = ()

    def matches(self, manifest: Manifest) -> bool:
        labels = labels_of(manifest)
        return all(term.accepts(labels.get(term.key)) for term in self.labels) and all(
            term.holds(manifest) for term in self.fields
        )

    @property
    def is_everything(self) -> bool:
        """Nothing is left out."""
        return not self.labels and not self.fields


def parse_selection(label_selector: str, field_selector: str, kind: str = "") -> Selection:
    """From the query parameters of the same names; `kind` says which fields there are.

    Raises Failure (400).
    """
    return Selection(
        tuple(_label_requirement(term) for term in _terms(label_selector)),
        tuple(FieldRequirement(*term) for term in field_terms(field_selector, kind)),
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
