"""Warnings about Namespaces whose author wants sidecars and will not get them (pure).

A label that nobody looks at is silent otherwise: the pods run, in plaintext.
"""

from collections.abc import Iterator

from control_plane.resources.base import Resource
from control_plane.resources.namespace import Namespace

LABEL = "meshproxy.io/injection"
ENABLED = "enabled"
_VALUES = (ENABLED, "disabled")
_OF_OTHERS = ("istio-injection", "istio.io/rev", "linkerd.io/inject")
"""Labels and annotations of other meshes that mean the same."""


def advice(wanted: Resource, current: Resource | None) -> Iterator[str]:
    """For a person who creates or changes an object; only about what is new."""
    if not isinstance(wanted, Namespace):
        return
    meta = wanted.metadata
    told = {**meta.annotations, **meta.labels}
    before = {} if current is None else {**current.metadata.annotations, **current.metadata.labels}
    changed = {name: value for name, value in told.items() if before.get(name) != value}
    value = changed.get(LABEL, ENABLED)
    if value not in _VALUES:
        yield f"{LABEL} is {value!r}, which enables nothing: only {ENABLED!r} gives pods a sidecar"
    for name in _OF_OTHERS:
        if name in changed and meta.labels.get(LABEL) != ENABLED:
            yield f"{name} has no effect: pods get a sidecar by the label {LABEL}={ENABLED}"
