"""Brings one ADS stream from what it has to a new snapshot without a moment of dangling references (pure).

Make before break: a push goes through groups, and each group waits for the client's answers before the next
one.

    1. union of old and new clusters, then endpoints      3. the new listeners without what is gone
    2. the same of listeners, then routes and secrets     4. the new clusters without what is gone, and names

Clusters and endpoints share a group because Envoy answers a cluster update only after the new clusters got
their endpoints; for listeners and routes the same is allowed. Endpoints are sent again, even unchanged,
whenever their cluster changed: Envoy warms a changed cluster until it hears of them, 15 s at worst.

A client that does not answer within the timeout is passed over: one lost answer must not hold up
configuration for ever. A refusal ends the push where it stands, so that nothing the client still uses is
taken away; the next snapshot starts from what the client accepted. A snapshot that arrives during a push
waits, and only the newest one is kept.
"""

from __future__ import annotations

from collections.abc import Mapping

from control_plane.api.envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse
from control_plane.snapshot import (
    CLUSTER_TYPE,
    ENDPOINT_TYPE,
    LISTENER_TYPE,
    NAME_TABLE_TYPE,
    NO_RESOURCES,
    ROUTE_TYPE,
    SECRET_TYPE,
    SHORT_NAMES,
    Resources,
    Snapshot,
)
from control_plane.subscription import Meaning, Subscription, SyncState, TypeStatus

ANSWER_TIMEOUT = 5.0
"""Seconds one group waits for the client's answers."""

_GROUPS = (
    (CLUSTER_TYPE, ENDPOINT_TYPE),
    (LISTENER_TYPE, ROUTE_TYPE, SECRET_TYPE),
    (LISTENER_TYPE,),
    (CLUSTER_TYPE, NAME_TABLE_TYPE),
)
_FIRST_FINAL_GROUP = 2
_NOT_OF_ALL = (SECRET_TYPE, NAME_TABLE_TYPE)
"""Types that only gateways, and only sidecars that answer DNS, ask for."""
_CHILD = {CLUSTER_TYPE: ENDPOINT_TYPE, LISTENER_TYPE: ROUTE_TYPE}


class StreamState:
    """Everything about one ADS stream but its socket. Each method returns the responses to send, in order."""

    def __init__(
        self,
        *,
        nonce_prefix: str,
        answer_timeout: float = ANSWER_TIMEOUT,
        withheld: frozenset[str] = frozenset(),
    ) -> None:
        """`nonce_prefix` keeps nonces of different streams apart: one of an older stream must never match.
        `withheld`: type URLs that are not served on this stream."""
        self._withheld = withheld
        self._nonce_prefix = nonce_prefix
        self._answer_timeout = answer_timeout
        self._sent = 0
        self._subscriptions: dict[str, Subscription] = {}
        self._view: dict[str, Resources] = dict.fromkeys(SHORT_NAMES, NO_RESOURCES)
        """What the client should hold at this moment of the push."""
        self._target: Snapshot | None = None
        self._waiting: Snapshot | None = None
        self._group: int | None = None
        """Which group awaits answers; None when no push is under way."""
        self._deadline = 0.0

    def on_request(self, request: DiscoveryRequest, now: float) -> list[DiscoveryResponse]:
        """Take in one request of the client; requests for types that are not served are ignored."""
        if request.type_url not in SHORT_NAMES or request.type_url in self._withheld:
            return []
        subscription = self._subscriptions.setdefault(request.type_url, Subscription(request.type_url))
        error = request.error_detail.message if request.HasField("error_detail") else None
        meaning = subscription.on_request(request.resource_names, request.response_nonce, error)
        if meaning is Meaning.STALE:
            return []
        responses = [] if self._target is None else self._deliver(request.type_url)
        if meaning is Meaning.NACK:
            return responses + self._stop(now)
        return responses + self._advance(now)

    def on_snapshot(self, snapshot: Snapshot, now: float) -> list[DiscoveryResponse]:
        """Push `snapshot`, or keep it until the push under way has ended."""
        if self._group is not None:
            self._waiting = snapshot
            return []
        return self._begin(snapshot, now)

    def on_timer(self, now: float) -> list[DiscoveryResponse]:
        """Call at `next_deadline()`: goes on without the answers that did not come."""
        return self._advance(now)

    def next_deadline(self) -> float | None:
        """When `on_timer` is due, on the caller's monotonic clock; None while no push is under way."""
        return None if self._group is None else self._deadline

    def statuses(self) -> Mapping[str, TypeStatus]:
        """By short type name (`cds`, `eds`, `lds`, `rds`): how the client stands against the newest
        snapshot.
        """
        target = self._waiting or self._target or Snapshot()
        return {
            short: self._subscriptions[type_url].status(target.of_type(type_url))
            if type_url in self._subscriptions
            else TypeStatus(SyncState.NOT_SENT)
            for type_url, short in SHORT_NAMES.items()
            if type_url not in _NOT_OF_ALL or type_url in self._subscriptions
        }

    def _begin(self, snapshot: Snapshot, now: float) -> list[DiscoveryResponse]:
        is_first, self._target = self._target is None, snapshot
        if is_first:
            return self._start()
        for type_url, subscription in self._subscriptions.items():
            if subscription.rejection is not None:
                self._view[type_url] = dict(subscription.accepted)
        return self._enter(0, now) + self._advance(now)

    def _start(self) -> list[DiscoveryResponse]:
        """A client that has nothing yet asks in its own order and is answered at once."""
        assert self._target is not None
        self._view = {type_url: self._target.of_type(type_url) for type_url in SHORT_NAMES}
        return [response for type_url in SHORT_NAMES for response in self._deliver(type_url)]

    def _enter(self, group: int, now: float) -> list[DiscoveryResponse]:
        assert self._target is not None
        self._group, self._deadline = group, now + self._answer_timeout
        responses: list[DiscoveryResponse] = []
        for type_url in _GROUPS[group]:
            final = self._target.of_type(type_url)
            is_final = group >= _FIRST_FINAL_GROUP
            self._view[type_url] = final if is_final else _union(self._view[type_url], final)
            responses += self._deliver(type_url)
        return responses

    def _advance(self, now: float) -> list[DiscoveryResponse]:
        """Go on to the next group for as long as the one under way is answered, or out of time."""
        responses: list[DiscoveryResponse] = []
        while self._group is not None:
            if any(self._is_refused(type_url) for type_url in _GROUPS[self._group]):
                return responses + self._stop(now)
            if now < self._deadline and not self._is_answered(self._group):
                break
            if self._group + 1 < len(_GROUPS):
                responses += self._enter(self._group + 1, now)
            else:
                responses += self._finish(now)
        return responses

    def _finish(self, now: float) -> list[DiscoveryResponse]:
        assert self._target is not None
        self._view = {type_url: self._target.of_type(type_url) for type_url in SHORT_NAMES}
        return self._stop(now)

    def _stop(self, now: float) -> list[DiscoveryResponse]:
        """End the push under way and begin the one that waited for it."""
        self._group = None
        waiting, self._waiting = self._waiting, None
        return [] if waiting is None else self._begin(waiting, now)

    def _deliver(self, type_url: str) -> list[DiscoveryResponse]:
        """Send what the client lacks of its view of one type; endpoints follow changed clusters."""
        subscription = self._subscriptions.get(type_url)
        if subscription is None:
            return []
        before = dict(subscription.known)
        nonce = f"{self._nonce_prefix}-{self._sent + 1}"
        delivery = subscription.deliver(self._view[type_url], nonce)
        if delivery is None:
            return []
        self._sent += 1
        response = DiscoveryResponse(
            version_info=delivery.version,
            type_url=type_url,
            nonce=nonce,
            resources=[resource.body for resource in delivery.resources],
        )
        if type_url != CLUSTER_TYPE or ENDPOINT_TYPE not in self._subscriptions:
            return [response]
        changed = [resource for resource in delivery.resources if before.get(resource.name) != resource]
        self._subscriptions[ENDPOINT_TYPE].forget(name for item in changed for name in item.references)
        return [response, *self._deliver(ENDPOINT_TYPE)]

    def _is_refused(self, type_url: str) -> bool:
        subscription = self._subscriptions.get(type_url)
        return subscription is not None and subscription.rejection is not None and not subscription.in_flight

    def _is_answered(self, group: int) -> bool:
        types = _GROUPS[group]
        subscriptions = [
            self._subscriptions[type_url] for type_url in types if type_url in self._subscriptions
        ]
        if any(subscription.in_flight for subscription in subscriptions):
            return False
        return group >= _FIRST_FINAL_GROUP or self._is_followed_up(types[0])

    def _is_followed_up(self, parent: str) -> bool:
        """Whether the client has asked for all that its accepted listeners or clusters refer to."""
        child = _CHILD[parent]
        subscription, view = self._subscriptions.get(parent), self._view[child]
        needed = {
            name
            for resource in (subscription.accepted.values() if subscription else ())
            for name in resource.references
            if name in view
        }
        child_subscription = self._subscriptions.get(child)
        if child_subscription is None:
            return not needed
        return all(child_subscription.wants(name) for name in needed)


def _union(old: Resources, new: Resources) -> Resources:
    """Old and new together; the new one where both have a name."""
    return new if old.keys() <= new.keys() else {**old, **new}
