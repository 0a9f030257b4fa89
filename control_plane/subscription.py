"""One client's subscription to one resource type on one ADS stream, state of the world (pure).

It knows what the client asked for, what it was sent and what it accepted. The rules are those of Envoy's
`xds_protocol` document: a response is answered by a request with its nonce, which is an ACK, or a NACK when
it carries `error_detail` (never told by comparing versions); a request with any other nonce is stale and
ignored, because the client will answer the newer response too; an empty list of names is a wildcard for
listeners and clusters until the client has named something once, afterwards it means "nothing"; `*` is
always the wildcard.

Listeners and clusters are sent whole, since a resource that is missing there has been removed. Routes and
endpoints are sent only where they differ from what the client holds, so that one endpoint's change costs
one resource.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum

from control_plane.snapshot import (
    CLUSTER_TYPE,
    LISTENER_TYPE,
    NAME_TABLE_TYPE,
    Resource,
    Resources,
    version_of,
)

WILDCARD = "*"
_WHOLE_TYPES = frozenset({LISTENER_TYPE, CLUSTER_TYPE, NAME_TABLE_TYPE})


class Meaning(Enum):
    """What a request says about the last response."""

    SUBSCRIPTION = "subscription"
    """It answers nothing: a first request, or changed names after the answer."""
    ACK = "ack"
    NACK = "nack"
    STALE = "stale"
    """Ignore it."""


class SyncState(Enum):
    """How far a client is, in the words of `proxy-status`."""

    SYNCED = "SYNCED"
    STALE = "STALE"
    """Sent and not answered yet, or newer content waits to be sent."""
    NACKED = "NACKED"
    NOT_SENT = "NOT SENT"


@dataclass(frozen=True, slots=True)
class TypeStatus:
    """One line of `proxy-status`."""

    state: SyncState
    sent_version: str = ""
    acked_version: str = ""
    nacked_reason: str = ""
    """The client's words; empty unless the state is NACKED."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Resources to send at a version."""

    version: str
    resources: tuple[Resource, ...]


class Subscription:
    """State of one type on one stream. `known` is what the client holds if it accepts everything sent so
    far.
    """

    def __init__(self, type_url: str) -> None:
        self.type_url = type_url
        self.names: frozenset[str] = frozenset()
        self.wildcard = False
        self.in_flight = False
        """A response awaits its answer."""
        self.rejection: str | None = None
        """Why the last answered response was refused."""
        self.known: dict[str, Resource] = {}
        self.accepted: dict[str, Resource] = {}
        """What the client holds for certain."""
        self._nonce = ""
        self._named_once = False
        self._owed = True
        """A response is due even if it would be empty or unchanged (whole types only)."""
        self._sent_version = ""
        self._acked_version = ""
        self._rejected_version = ""

    @property
    def is_whole(self) -> bool:
        """Whether a response lists all subscribed resources, so that absence means removal."""
        return self.type_url in _WHOLE_TYPES

    def on_request(self, names: Collection[str], nonce: str, error: str | None) -> Meaning:
        """Take in a request. `error` is the text of `error_detail`, None when that is absent."""
        if self._nonce and nonce != self._nonce:
            return Meaning.STALE
        self._select(names)
        if not self._nonce:
            return Meaning.SUBSCRIPTION
        if error is not None:
            self._reject(error)
            return Meaning.NACK
        if not self.in_flight:
            return Meaning.SUBSCRIPTION
        self.in_flight = False
        self.rejection = None
        self.accepted = dict(self.known)
        self._acked_version = self._sent_version
        return Meaning.ACK

    def deliver(self, view: Resources, nonce: str) -> Delivery | None:
        """What to send so that the client gets to `view`, under `nonce`; None when nothing is to be sent.

        Content that the client has refused is not sent a second time.
        """
        selected = self.select(view)
        changed = [resource for name, resource in selected.items() if not self._is_held(name, resource)]
        is_reduced = self.is_whole and len(selected) != len(self.known)
        if not changed and not is_reduced and not (self.is_whole and self._owed):
            if not self.in_flight:
                self.rejection = None
            return None
        version = version_of(selected)
        if self.rejection is not None and version == self._rejected_version:
            return None
        self.known = dict(selected) if self.is_whole else {**self.known, **selected}
        self._nonce, self._sent_version, self._owed, self.in_flight = nonce, version, False, True
        return Delivery(version, tuple(selected.values() if self.is_whole else changed))

    def select(self, view: Resources) -> dict[str, Resource]:
        """The part of `view` that the client asked for."""
        if self.wildcard:
            return dict(view)
        return {name: view[name] for name in sorted(self.names) if name in view}

    def wants(self, name: str) -> bool:
        """Whether the client asked for this resource."""
        return self.wildcard or name in self.names

    def forget(self, names: Iterable[str]) -> None:
        """The client needs these again although they did not change."""
        for name in names:
            self.known.pop(name, None)

    def status(self, target: Resources) -> TypeStatus:
        """Where the client stands against what it should have."""
        return TypeStatus(self._state(target), self._sent_version, self._acked_version, self.rejection or "")

    def _state(self, target: Resources) -> SyncState:
        if not self._sent_version:
            return SyncState.NOT_SENT
        if self.in_flight:
            return SyncState.STALE
        if self.rejection is not None:
            return SyncState.NACKED
        wanted = self.select(target)
        is_behind = any(not self._is_held(name, resource) for name, resource in wanted.items())
        return SyncState.STALE if is_behind else SyncState.SYNCED

    def _is_held(self, name: str, resource: Resource) -> bool:
        """Same object first: nodes share resources, and a push compares all of them for each node."""
        held = self.known.get(name)
        return held is resource or held == resource

    def _select(self, names: Collection[str]) -> None:
        before = (self.wildcard, self.names)
        self.names = frozenset(names) - {WILDCARD}
        self.wildcard = WILDCARD in names or (not names and self.is_whole and not self._named_once)
        self._named_once = self._named_once or bool(names)
        self._owed = self._owed or before != (self.wildcard, self.names)
        if not self.wildcard:
            for held in (self.known, self.accepted):
                for name in held.keys() - self.names:
                    del held[name]

    def _reject(self, error: str) -> None:
        self.in_flight = False
        self.rejection = error
        self._rejected_version = self._sent_version
        self.known = dict(self.accepted)
