"""One type on one stream: wildcard, names, ACK, NACK and stale nonces."""

from control_plane.snapshot import CLUSTER_TYPE, ENDPOINT_TYPE, Resources, Snapshot
from control_plane.subscription import Delivery, Meaning, Subscription, SyncState
from tests.unit.control_plane.xds_sample import cluster, endpoints


def clusters(*names: str, connect_timeout: int = 1) -> Resources:
    messages = [cluster(name, connect_timeout=connect_timeout) for name in names]
    return Snapshot.of_messages(messages).of_type(CLUSTER_TYPE)


def assignments(**ports: int) -> Resources:
    messages = [endpoints(name, port) for name, port in ports.items()]
    return Snapshot.of_messages(messages).of_type(ENDPOINT_TYPE)


def names(delivery: Delivery | None) -> list[str] | None:
    return None if delivery is None else sorted(resource.name for resource in delivery.resources)


def wildcard(view: Resources) -> Subscription:
    """Subscribed to all clusters, sent `view` under nonce `1` and acknowledged."""
    subscription = Subscription(CLUSTER_TYPE)
    subscription.on_request([], "", None)
    assert subscription.deliver(view, "1") is not None
    assert subscription.on_request([], "1", None) is Meaning.ACK
    return subscription


def test_an_empty_first_request_is_a_wildcard_for_clusters_and_nothing_for_endpoints() -> None:
    whole, named = Subscription(CLUSTER_TYPE), Subscription(ENDPOINT_TYPE)
    assert whole.on_request([], "", None) is Meaning.SUBSCRIPTION
    named.on_request([], "", None)
    assert names(whole.deliver(clusters("a", "b"), "1")) == ["a", "b"]
    assert named.deliver(assignments(a=1), "1") is None


def test_the_wildcard_is_answered_even_when_there_is_nothing() -> None:
    subscription = Subscription(CLUSTER_TYPE)
    subscription.on_request([], "", None)
    assert names(subscription.deliver(clusters(), "1")) == []
    subscription.on_request([], "1", None)
    assert subscription.deliver(clusters(), "2") is None


def test_an_empty_request_after_names_means_nothing() -> None:
    subscription = Subscription(CLUSTER_TYPE)
    subscription.on_request(["a"], "", None)
    assert names(subscription.deliver(clusters("a", "b"), "1")) == ["a"]
    subscription.on_request([], "1", None)
    assert not subscription.wants("a")
    assert names(subscription.deliver(clusters("a", "b"), "2")) == []


def test_the_star_is_a_wildcard_beside_names_and_for_endpoints() -> None:
    subscription = Subscription(ENDPOINT_TYPE)
    subscription.on_request(["*", "a"], "", None)
    assert names(subscription.deliver(assignments(a=1, b=2), "1")) == ["a", "b"]
    assert subscription.wants("anything")


def test_an_acknowledged_version_is_not_sent_again() -> None:
    subscription = wildcard(clusters("a"))
    assert subscription.deliver(clusters("a"), "2") is None
    status = subscription.status(clusters("a"))
    assert status.state is SyncState.SYNCED
    assert status.sent_version == status.acked_version != ""


def test_clusters_are_sent_whole_and_a_removal_is_sent_too() -> None:
    subscription = wildcard(clusters("a", "b"))
    assert names(subscription.deliver(clusters("a", "b", "c"), "2")) == ["a", "b", "c"]
    subscription.on_request([], "2", None)
    assert names(subscription.deliver(clusters("a"), "3")) == ["a"]


def test_endpoints_are_sent_where_they_changed() -> None:
    subscription = Subscription(ENDPOINT_TYPE)
    subscription.on_request(["a", "b", "missing"], "", None)
    assert names(subscription.deliver(assignments(a=1, b=1), "1")) == ["a", "b"]
    subscription.on_request(["a", "b", "missing"], "1", None)
    assert names(subscription.deliver(assignments(a=1, b=2), "2")) == ["b"]


def test_a_name_dropped_and_asked_for_again_is_sent_again() -> None:
    subscription = Subscription(ENDPOINT_TYPE)
    view = assignments(a=1, b=1)
    subscription.on_request(["a", "b"], "", None)
    subscription.deliver(view, "1")
    assert subscription.on_request(["a"], "1", None) is Meaning.ACK
    assert subscription.deliver(view, "2") is None
    assert subscription.on_request(["a", "b"], "1", None) is Meaning.SUBSCRIPTION
    assert names(subscription.deliver(view, "2")) == ["b"]


def test_forgotten_names_are_sent_again() -> None:
    subscription = Subscription(ENDPOINT_TYPE)
    view = assignments(a=1, b=1)
    subscription.on_request(["a", "b"], "", None)
    subscription.deliver(view, "1")
    subscription.on_request(["a", "b"], "1", None)
    subscription.forget(["a", "never-sent"])
    assert names(subscription.deliver(view, "2")) == ["a"]


def test_a_stale_nonce_changes_nothing() -> None:
    subscription = Subscription(ENDPOINT_TYPE)
    subscription.on_request(["a"], "", None)
    subscription.deliver(assignments(a=1), "1")
    subscription.deliver(assignments(a=2), "2")
    assert subscription.on_request(["a", "b"], "1", None) is Meaning.STALE
    assert subscription.on_request(["a", "b"], "", None) is Meaning.STALE
    assert not subscription.wants("b")
    assert subscription.status(assignments(a=2)).state is SyncState.STALE
    assert subscription.on_request(["a", "b"], "2", None) is Meaning.ACK
    assert subscription.wants("b")


def test_a_nonce_of_an_older_stream_does_not_spoil_the_first_request() -> None:
    subscription = Subscription(CLUSTER_TYPE)
    assert subscription.on_request([], "old-7", None) is Meaning.SUBSCRIPTION
    assert names(subscription.deliver(clusters("a"), "1")) == ["a"]


def test_a_refusal_keeps_what_was_accepted_and_is_not_repeated() -> None:
    subscription = wildcard(clusters("a"))
    bad = clusters("a", "bad")
    subscription.deliver(bad, "2")
    assert subscription.on_request([], "2", "cluster bad") is Meaning.NACK
    assert set(subscription.accepted) == {"a"}
    assert subscription.deliver(bad, "3") is None
    status = subscription.status(bad)
    assert (status.state, status.nacked_reason) == (SyncState.NACKED, "cluster bad")
    assert names(subscription.deliver(clusters("a", "good"), "3")) == ["a", "good"]
    assert subscription.on_request([], "3", None) is Meaning.ACK
    assert subscription.status(clusters("a", "good")).state is SyncState.SYNCED


def test_going_back_to_what_was_accepted_ends_a_refusal_without_a_response() -> None:
    subscription = wildcard(clusters("a"))
    subscription.deliver(clusters("bad"), "2")
    subscription.on_request([], "2", "no")
    assert subscription.deliver(clusters("a"), "3") is None
    assert subscription.status(clusters("a")).state is SyncState.SYNCED


def test_a_refusal_is_told_by_its_error_even_with_an_empty_text() -> None:
    subscription = wildcard(clusters("a"))
    subscription.deliver(clusters("b"), "2")
    assert subscription.on_request([], "2", "") is Meaning.NACK


def test_states_as_seen_by_people() -> None:
    subscription = Subscription(CLUSTER_TYPE)
    assert subscription.status(clusters("a")).state is SyncState.NOT_SENT
    subscription.on_request([], "", None)
    subscription.deliver(clusters("a"), "1")
    assert subscription.status(clusters("a")).state is SyncState.STALE
    subscription.on_request([], "1", None)
    assert subscription.status(clusters("a")).state is SyncState.SYNCED
    assert subscription.status(clusters("a", "newer")).state is SyncState.STALE


def test_nothing_new_while_an_answer_is_awaited_keeps_the_wait() -> None:
    subscription = wildcard(clusters("a"))
    subscription.deliver(clusters("bad"), "2")
    subscription.on_request([], "2", "no")
    subscription.deliver(clusters("c"), "3")
    assert subscription.deliver(clusters("c"), "4") is None
    assert subscription.in_flight
    assert subscription.rejection == "no"
