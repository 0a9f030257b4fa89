"""Pushes: the order in which a client gets from one snapshot to the next, without a socket."""

from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.api.envoy.service.discovery.v3.discovery_pb2 import DiscoveryResponse
from control_plane.push import StreamState
from control_plane.snapshot import Snapshot
from control_plane.subscription import SyncState
from tests.unit.control_plane.xds_sample import (
    Follower,
    cluster,
    endpoints,
    listener,
    names_of,
    request,
    route,
    shop,
    trace,
)

Trace = list[tuple[str, list[str]]]


class Stream:
    """A stream and its client; `log` is everything sent."""

    def __init__(self) -> None:
        self.state = StreamState(nonce_prefix="s", answer_timeout=5.0)
        self.client = Follower()
        self.log: list[DiscoveryResponse] = []

    def settle(self, sent: list[DiscoveryResponse], now: float = 0.0) -> Trace:
        """The client answers everything until nothing more comes; returns what it got."""
        start = len(self.log)
        queue = list(sent)
        while queue:
            response = queue.pop(0)
            self.log.append(response)
            for answer in self.client.on_response(response):
                queue += self.state.on_request(answer, now)
        return trace(self.log[start:])

    def snapshot(self, snapshot: Snapshot, now: float = 0.0) -> Trace:
        return self.settle(self.state.on_snapshot(snapshot, now), now)


def connected(snapshot: Snapshot) -> Stream:
    """A client that has asked for clusters and listeners, got everything and acknowledged it."""
    stream = Stream()
    stream.state.on_snapshot(snapshot, 0.0)
    for short in ("cds", "lds"):
        stream.settle(stream.state.on_request(request(short, node="n"), 0.0))
    assert is_settled(stream)
    return stream


def is_settled(stream: Stream) -> bool:
    """Everything that was asked for was sent and accepted."""
    states = {status.state for status in stream.state.statuses().values()}
    return states <= {SyncState.SYNCED, SyncState.NOT_SENT}


def with_listener(*services: str, rds: str = "80", port: int = 80) -> Snapshot:
    front = listener("front", rds=rds, port=port)
    clusters = [cluster(name) for name in services]
    assignments = [endpoints(name, 1) for name in services]
    return Snapshot.of_messages([front, route(rds, *services), *clusters, *assignments])


def test_a_client_that_asks_before_there_is_a_snapshot_is_answered_when_it_comes() -> None:
    stream = Stream()
    assert stream.state.on_request(request("cds", node="n"), 0.0) == []
    assert stream.state.on_request(request("lds"), 0.0) == []
    assert stream.snapshot(shop("a")) == [
        ("cds", ["a"]),
        ("lds", ["0.0.0.0_80"]),
        ("eds", ["a"]),
        ("rds", ["80"]),
    ]


def test_what_is_gone_leaves_last() -> None:
    stream = connected(shop("old"))
    assert stream.snapshot(shop("new")) == [
        ("cds", ["new", "old"]),
        ("eds", ["new"]),
        ("rds", ["80"]),
        ("cds", ["new"]),
    ]
    assert stream.state.next_deadline() is None


def test_a_replaced_listener_leaves_before_the_clusters() -> None:
    stream = connected(shop("old"))
    assert stream.snapshot(with_listener("new")) == [
        ("cds", ["new", "old"]),
        ("eds", ["new"]),
        ("lds", ["0.0.0.0_80", "front"]),
        ("rds", ["80"]),
        ("lds", ["front"]),
        ("cds", ["new"]),
    ]


def test_an_unchanged_snapshot_sends_nothing() -> None:
    stream = connected(shop("a"))
    assert stream.snapshot(shop("a")) == []


def test_endpoints_alone_move_alone() -> None:
    stream = connected(shop("a", "b"))
    front = [listener("0.0.0.0_80", rds="80")]
    clusters = [cluster("a"), cluster("b")]
    assignments = [endpoints("a", 8080), endpoints("b", 9)]
    changed = Snapshot.of_messages([*front, route("80", "a", "b"), *clusters, *assignments])
    assert stream.snapshot(changed) == [("eds", ["b"])]


def test_endpoints_are_sent_again_when_their_cluster_changed_even_if_empty() -> None:
    def made(timeout: int) -> Snapshot:
        return Snapshot.of_messages([cluster("a", connect_timeout=timeout), endpoints("a")])

    stream = Stream()
    stream.state.on_snapshot(made(1), 0.0)
    stream.settle(stream.state.on_request(request("cds", node="n"), 0.0))
    assert stream.snapshot(made(2)) == [("cds", ["a"]), ("eds", ["a"])]


def test_a_second_cluster_on_known_endpoints_gets_them_again() -> None:
    stream = Stream()
    one = Snapshot.of_messages([cluster("a", eds="shared"), endpoints("shared", 1)])
    both = Snapshot.of_messages(
        [cluster("a", eds="shared"), cluster("b", eds="shared"), endpoints("shared", 1)]
    )
    stream.state.on_snapshot(one, 0.0)
    [first] = stream.state.on_request(request("cds", node="n"), 0.0)
    stream.state.on_request(request("cds", answers=first), 0.0)
    [second] = stream.state.on_request(request("eds", ["shared"]), 0.0)
    stream.state.on_request(request("eds", ["shared"], answers=second), 0.0)
    assert trace(stream.state.on_snapshot(both, 0.0)) == [("cds", ["a", "b"]), ("eds", ["shared"])]


def test_nothing_goes_on_until_the_group_is_answered() -> None:
    stream = connected(shop("old"))
    clusters = stream.state.on_snapshot(shop("new"), 0.0)
    assert trace(clusters) == [("cds", ["new", "old"])]
    assert stream.state.on_timer(4.9) == []
    assert stream.state.on_request(request("cds", answers=clusters[0]), 4.9) == []
    [assignment] = stream.state.on_request(
        request("eds", ["new", "old"], nonce=stream.client.nonces["eds"]), 4.9
    )
    assert names_of(assignment) == ["new"]
    sent = stream.state.on_request(request("eds", ["new", "old"], answers=assignment), 4.9)
    assert trace(sent) == [("rds", ["80"])]


def test_a_client_that_does_not_answer_is_passed_over_group_by_group() -> None:
    stream = connected(shop("old"))
    stream.state.on_snapshot(shop("new"), 0.0)
    assert stream.state.next_deadline() == 5.0
    assert trace(stream.state.on_timer(5.0)) == [("rds", ["80"])]
    assert stream.state.next_deadline() == 10.0
    assert trace(stream.state.on_timer(10.0)) == [("cds", ["new"])]
    assert stream.state.on_timer(15.0) == []
    assert stream.state.next_deadline() is None


def test_snapshots_during_a_push_coalesce_to_the_newest() -> None:
    stream = connected(shop("v1"))
    first = stream.state.on_snapshot(shop("v2"), 0.0)
    assert stream.state.on_snapshot(shop("v3"), 0.0) == []
    assert stream.state.on_snapshot(shop("v4"), 0.0) == []
    seen = {name for _, names in stream.settle(first) for name in names}
    assert seen == {"v1", "v2", "v4", "80"}
    assert {status.state for status in stream.state.statuses().values()} == {SyncState.SYNCED}


def test_a_refusal_ends_the_push_before_anything_is_taken_away() -> None:
    stream = connected(shop("old"))
    [clusters] = stream.state.on_snapshot(shop("bad"), 0.0)
    assert stream.state.on_request(request("cds", answers=clusters, error="bad"), 0.0) == []
    assert stream.state.next_deadline() is None
    assert stream.state.statuses()["cds"].state is SyncState.NACKED


def test_after_a_refusal_the_next_push_starts_from_what_was_accepted() -> None:
    stream = connected(shop("old"))
    [clusters] = stream.state.on_snapshot(shop("bad"), 0.0)
    stream.state.on_request(request("cds", answers=clusters, error="bad"), 0.0)
    assert stream.snapshot(shop("good")) == [
        ("cds", ["good", "old"]),
        ("eds", ["good"]),
        ("rds", ["80"]),
        ("cds", ["good"]),
    ]


def test_refused_content_is_not_sent_again_but_endpoints_still_are() -> None:
    def made(port: int) -> Snapshot:
        clusters, assignments = (
            [cluster("old"), cluster("bad")],
            [endpoints("old", port), endpoints("bad", 1)],
        )
        front = listener("0.0.0.0_80", rds="80")
        return Snapshot.of_messages([front, route("80"), *clusters, *assignments])

    stream = connected(shop("old"))
    [clusters] = stream.state.on_snapshot(made(1), 0.0)[:1]
    stream.state.on_request(request("cds", answers=clusters, error="bad"), 0.0)
    assert trace(stream.state.on_snapshot(made(2), 0.0)) == [("eds", ["old"])]


def test_a_snapshot_that_waited_starts_after_a_refusal() -> None:
    stream = connected(shop("old"))
    [clusters] = stream.state.on_snapshot(shop("bad"), 0.0)
    stream.state.on_snapshot(shop("good"), 0.0)
    sent = stream.state.on_request(request("cds", answers=clusters, error="bad"), 0.0)
    assert trace(sent) == [("cds", ["good", "old"])]


def test_stale_requests_and_foreign_types_are_ignored() -> None:
    stream = connected(shop("a"))
    assert stream.state.on_request(request("cds", nonce="s-0"), 0.0) == []
    foreign = request("cds")
    foreign.type_url = "type.googleapis.com/envoy.service.runtime.v3.Runtime"
    assert stream.state.on_request(foreign, 0.0) == []
    assert set(stream.state.statuses()) == {"cds", "eds", "lds", "rds"}


def test_statuses_before_anything_was_asked_for() -> None:
    state = StreamState(nonce_prefix="s")
    assert {status.state for status in state.statuses().values()} == {SyncState.NOT_SENT}


_services = st.lists(st.sampled_from("abcd"), unique=True, max_size=4)


@settings(max_examples=60, deadline=None)
@given(st.lists(_services, min_size=1, max_size=5), st.data())
def test_no_reference_ever_dangles_at_a_client_that_applies_what_it_gets(
    steps: list[list[str]], data: st.DataObject
) -> None:
    """After each response, routes only name clusters that are there and have endpoints."""
    stream = connected(shop(*steps[0]))
    held = _Held(steps[0])
    for services in steps[1:]:
        queue = list(stream.state.on_snapshot(shop(*services), 0.0))
        while queue:
            response = queue.pop(0)
            held.apply(response)
            held.check()
            answers = stream.client.on_response(response)
            if data.draw(st.booleans()):
                answers.reverse()
            for answer in answers:
                queue += stream.state.on_request(answer, 0.0)
    assert is_settled(stream)
    assert held.clusters == set(steps[-1])


class _Held:
    """What a client holds that applies each response at once."""

    def __init__(self, services: list[str]) -> None:
        self.clusters = set(services)
        self.assignments = set(services)
        self.routed = set(services)

    def apply(self, response: DiscoveryResponse) -> None:
        [(short, names)] = trace([response])
        if short == "cds":
            self.clusters = set(names)
        elif short == "eds":
            self.assignments |= set(names)
        elif short == "rds":
            self.routed = set(_domains(response))

    def check(self) -> None:
        assert self.routed <= self.clusters
        assert self.routed <= self.assignments


def _domains(response: DiscoveryResponse) -> Iterator[str]:
    for body in response.resources:
        for host in route("").FromString(body.value).virtual_hosts:
            yield from (domain for domain in host.domains if domain != "*")
