"""Dialling for those who wait: whoever waits hears of an end, and every counter comes back."""

from __future__ import annotations

import asyncio
import random

import pytest

from meshproxy.clock import SystemClock
from meshproxy.config.model import Cluster, ClusterType, Endpoint, OutlierDetection, UpstreamTls
from meshproxy.http.codec import scan_codec
from meshproxy.http.h2.message import Messages
from meshproxy.http.head_memory import HeadMemory
from meshproxy.http.limits import HeadLimits
from meshproxy.policy.outlier import OutlierEvent
from meshproxy.tasks import TaskGroupRegistry
from meshproxy.upstream.cluster import ClusterRuntime
from meshproxy.upstream.connector import ConnectFailed
from meshproxy.upstream.pool import PoolSettings
from meshproxy.upstream.services import UpstreamServices

ONE, TWO = Endpoint("10.0.0.1", 80), Endpoint("10.0.0.2", 80)
HERE = ("", 0)


class Transport:
    """Takes everything; tells its protocol of its end."""

    def __init__(self, protocol):
        self.protocol = protocol
        self.is_closed = False

    def get_extra_info(self, name):
        return None

    def set_write_buffer_limits(self, high=None, low=None):
        pass

    def close(self):
        if not self.is_closed:
            self.is_closed = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    abort = close


class Dialler:
    """A `Connector` whose dials end when the test says how."""

    def __init__(self):
        self.dials: list[tuple[asyncio.Future[None], object]] = []

    async def connect(self, target, protocol):
        done = asyncio.get_running_loop().create_future()
        self.dials.append((done, protocol))
        await done

    async def succeed(self, index):
        done, protocol = self.dials[index]
        protocol.connection_made(Transport(protocol))
        done.set_result(None)
        await settle()
        return protocol

    async def fail(self, index, error):
        self.dials[index][0].set_exception(error)
        await settle()


class Waiter:
    def __init__(self):
        self.connection = None
        self.error = None

    def on_connection(self, connection):
        self.connection = connection

    def on_connect_failed(self, error):
        self.error = error


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def dialler():
    return Dialler()


@pytest.fixture
def failures():
    return []


@pytest.fixture
def outliers():
    return []


class Services:
    """What clusters of a test share; nothing runs by itself."""

    def __init__(self, dialler, failures, outliers):
        self.upstream = UpstreamServices(
            dialler,
            SystemClock(),
            TaskGroupRegistry(),
            scan_codec(HeadMemory(), HeadLimits()),
            Messages(HeadMemory().requests(HeadLimits()), HeadMemory().responses(HeadLimits())),
            random.Random(1),
            PoolSettings(),
            lambda name, error: failures.append(error.reason),
            lambda name, event, ejected: outliers.append((event, ejected)),
        )

    def cluster(self, config):
        runtime = ClusterRuntime(config, self.upstream)
        runtime.update(config, config.endpoints)
        return runtime


def services():
    return Services(Dialler(), [], [])


@pytest.fixture
def cluster(dialler, failures, outliers):
    config = Cluster("a", ClusterType.STATIC, endpoints=(ONE,))
    return Services(dialler, failures, outliers).cluster(config)


def assert_unused(cluster, endpoint):
    assert (cluster.pending_requests, cluster.connections) == (0, 0)
    assert (endpoint.connecting, endpoint.connections, len(endpoint.waiters), len(endpoint.idle)) == (
        0,
        0,
        0,
        0,
    )


async def wait_for_dial(cluster):
    endpoint, waiter = cluster.pick((), HERE), Waiter()
    assert cluster.connect(endpoint, waiter)
    await settle()
    return endpoint, waiter


async def test_a_connection_lost_before_its_dial_returns_fails_the_one_that_waits(cluster, dialler, failures):
    endpoint, waiter = await wait_for_dial(cluster)
    protocol = dialler.dials[0][1]
    transport = Transport(protocol)
    protocol.connection_made(transport)
    transport.close()
    await settle()
    dialler.dials[0][0].set_result(None)
    await settle()
    assert waiter.error is not None
    assert failures == ["closed"]
    assert_unused(cluster, endpoint)


async def test_an_end_heard_before_the_dial_returns_fails_the_one_that_waits(cluster, dialler):
    endpoint, waiter = await wait_for_dial(cluster)
    protocol = dialler.dials[0][1]
    protocol.connection_made(Transport(protocol))
    protocol.eof_received()
    dialler.dials[0][0].set_result(None)
    await settle()
    assert waiter.error is not None
    assert_unused(cluster, endpoint)


async def test_a_server_that_speaks_before_it_is_asked_is_no_connection(cluster, dialler):
    endpoint, waiter = await wait_for_dial(cluster)
    protocol = dialler.dials[0][1]
    protocol.connection_made(Transport(protocol))
    protocol.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    dialler.dials[0][0].set_result(None)
    await settle()
    assert waiter.error is not None
    assert_unused(cluster, endpoint)


async def test_a_bug_while_dialling_fails_the_one_that_waits_and_is_logged(cluster, dialler, caplog):
    endpoint, waiter = await wait_for_dial(cluster)
    await dialler.fail(0, RuntimeError("bug"))
    assert waiter.error.reason == "internal"
    assert "ended unexpectedly" in caplog.text
    assert_unused(cluster, endpoint)


async def test_the_dial_of_one_that_left_does_not_fail_the_next(cluster, dialler):
    endpoint, left = await wait_for_dial(cluster)
    _, waits = await wait_for_dial(cluster)
    cluster.cancel_wait(endpoint, left)
    await dialler.fail(0, ConnectFailed("too late", "timeout"))
    assert waits.error is None
    connection = await dialler.succeed(1)
    assert waits.connection is connection
    assert left.connection is left.error is None
    connection.close()
    await settle()
    assert_unused(cluster, endpoint)


async def test_everybody_hears_when_every_dial_fails(cluster, dialler):
    pairs = [await wait_for_dial(cluster) for _ in range(3)]
    for index in (2, 0, 1):
        await dialler.fail(index, ConnectFailed("refused", "refused"))
    assert all(waiter.error is not None for _, waiter in pairs)
    assert_unused(cluster, pairs[0][0])


async def test_unsolicited_bytes_take_a_pooled_connection_out_of_use_at_once(cluster, dialler):
    endpoint, waiter = await wait_for_dial(cluster)
    connection = await dialler.succeed(0)
    waiter.connection.finish(reusable=True)
    assert len(endpoint.idle) == 1
    connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    assert connection.is_lost  # although the transport has not yet said so
    await settle()
    assert_unused(cluster, endpoint)


async def test_an_address_given_twice_leaves_no_connection_behind(cluster, dialler):
    config = cluster.cluster
    cluster.update(config, (ONE, ONE))
    both = cluster.endpoints
    for endpoint in both:
        waiter = Waiter()
        cluster.connect(endpoint, waiter)
        await settle()
        connection = await dialler.succeed(len(dialler.dials) - 1)
        connection.finish(reusable=True)
    cluster.update(config, (ONE,))
    cluster.update(config, ())
    await settle()
    for endpoint in both:
        assert_unused(cluster, endpoint)


async def test_a_cluster_that_is_gone_makes_no_new_endpoints(cluster):
    config = Cluster("p", ClusterType.ORIGINAL_DST)
    cluster.update(config, ())
    assert cluster.pick((), ("10.9.9.9", 80)) is not None
    cluster.retire()
    assert cluster.pick((), ("10.9.9.8", 80)) is None


async def test_original_destinations_follow_an_update(cluster):
    cluster.update(Cluster("p", ClusterType.ORIGINAL_DST, connect_timeout=5.0), ())
    endpoint = cluster.pick((), ("10.9.9.9", 80))
    cluster.update(Cluster("p", ClusterType.ORIGINAL_DST, connect_timeout=1.0, bind_address="127.0.0.6"), ())
    assert cluster.pick((), ("10.9.9.9", 80)) is endpoint
    assert endpoint.target.connect_timeout == 1.0
    assert endpoint.target.bind_address == "127.0.0.6"


async def test_ten_thousand_original_destinations_stay_within_the_table(cluster):
    cluster.update(Cluster("p", ClusterType.ORIGINAL_DST), ())
    busy = cluster.pick((), ("10.8.8.8", 80))
    busy.active_requests = 1
    for number in range(10_000):
        assert cluster.pick((), (f"10.7.{number >> 8}.{number & 255}", 80)) is not None
    assert len(cluster.endpoints) <= 1024
    assert cluster.pick((), ("10.8.8.8", 80)) is busy


QUICK = OutlierDetection(consecutive_5xx=1, always_eject_one_host=True)


async def test_an_endpoint_that_left_is_not_judged(cluster, outliers):
    [one] = cluster.endpoints
    cluster.update(Cluster("a", ClusterType.STATIC, outlier_detection=QUICK), (TWO,))
    cluster.on_attempt_failed(one)
    assert (cluster.ejected, one.health.failures, outliers) == (0, 0, [])


async def test_a_cluster_that_is_gone_has_nothing_ejected(cluster, outliers):
    cluster.update(Cluster("a", ClusterType.STATIC, outlier_detection=QUICK), (ONE, TWO))
    one, two = cluster.endpoints
    cluster.on_attempt_failed(one)
    assert {cluster.pick((), HERE) for _ in range(4)} == {two}
    assert cluster.pick((id(two),), HERE) is two  # a retry has nowhere else to go
    cluster.retire()
    assert outliers == [(OutlierEvent.EJECTED, 1), (OutlierEvent.RETURNED, 0)]
    assert cluster.pick((), HERE) is None


async def test_weights_hold_among_those_that_are_left(cluster):
    heavy, light = Endpoint("10.0.0.3", 80, weight=3), Endpoint("10.0.0.4", 80, weight=1)
    cluster.update(Cluster("a", ClusterType.STATIC, outlier_detection=QUICK), (ONE, heavy, light))
    cluster.on_attempt_failed(cluster.endpoints[0])
    picked = [cluster.pick((), HERE).endpoint for _ in range(40)]
    assert (picked.count(ONE), picked.count(heavy), picked.count(light)) == (0, 30, 10)


def limited(dialler, **limits):
    config = Cluster("a", ClusterType.STATIC, endpoints=(ONE, TWO), **limits)
    return Services(dialler, [], []).cluster(config)


async def test_at_the_limit_of_connections_who_comes_waits_for_one_in_use(dialler):
    cluster = limited(dialler, max_connections=1)
    endpoint = cluster.endpoints[0]
    first, second = Waiter(), Waiter()
    assert cluster.connect(endpoint, first)
    assert cluster.connect(endpoint, second)
    await settle()
    assert (len(dialler.dials), cluster.pending_requests, cluster.overflows) == (1, 2, 1)
    await dialler.succeed(0)
    assert (first.connection is not None, second.connection) == (True, None)
    cluster._free(endpoint, first.connection)
    assert second.connection is first.connection
    assert cluster.pending_requests == 0


async def test_who_waits_for_a_connection_that_ends_gets_a_new_one(dialler):
    cluster = limited(dialler, max_connections=1)
    endpoint = cluster.endpoints[0]
    first, second = Waiter(), Waiter()
    cluster.connect(endpoint, first)
    cluster.connect(endpoint, second)
    await settle()
    await dialler.succeed(0)
    first.connection.close()
    await settle()
    await dialler.succeed(1)
    assert second.connection is not None


async def test_every_endpoint_may_have_one_connection(dialler):
    cluster = limited(dialler, max_connections=1)
    for endpoint in cluster.endpoints:
        cluster.connect(endpoint, Waiter())
    await settle()
    assert (len(dialler.dials), cluster.connections) == (2, 2)


async def test_where_nothing_is_left_to_wait_for_everybody_hears_of_the_failure(dialler):
    cluster = limited(dialler, max_connections=1)
    endpoint = cluster.endpoints[0]
    waiters = [Waiter() for _ in range(3)]
    for waiter in waiters:
        cluster.connect(endpoint, waiter)
    await settle()
    await dialler.fail(0, ConnectFailed("refused", "refused"))
    assert [waiter.error is not None for waiter in waiters] == [True] * 3
    assert_unused(cluster, endpoint)


ALPN = ("istio-h2", "istio-http/1.1")


@pytest.fixture
def negotiating(dialler, failures, outliers):
    """A cluster whose endpoint chooses the version."""
    tls = UpstreamTls("sni", ALPN[1:], ("spiffe://cluster.local/ns/a/sa/b",))
    config = Cluster(
        "a", ClusterType.STATIC, endpoints=(ONE,), tls=tls, http2_alpn=ALPN, max_pending_requests=2
    )
    return Services(dialler, failures, outliers).cluster(config)


async def wait_alone(cluster):
    endpoint, waiter = cluster.pick((), HERE), Waiter()
    assert cluster.connect_alone(endpoint, waiter)
    await settle()
    return endpoint, waiter


async def test_who_must_have_http_1_1_is_dialled_for_alone(negotiating, dialler):
    endpoint, other = await wait_for_dial(negotiating)
    _, waiter = await wait_alone(negotiating)
    connection = await dialler.succeed(1)
    assert waiter.connection is connection
    assert other.connection is None
    assert (negotiating.pending_requests, negotiating.connections, endpoint.connecting) == (1, 2, 1)


async def test_whom_a_dial_alone_fails_hears_of_it_and_nobody_else(negotiating, dialler, failures):
    endpoint, other = await wait_for_dial(negotiating)
    _, waiter = await wait_alone(negotiating)
    await dialler.fail(1, ConnectFailed("no", "refused"))
    assert waiter.error.reason == "refused"
    assert other.error is None
    assert (endpoint.alone, len(endpoint.waiters), endpoint.connecting) == ([], 1, 1)
    assert failures == ["refused"]


async def test_a_connection_dialled_for_one_who_left_is_closed(negotiating, dialler):
    endpoint, waiter = await wait_alone(negotiating)
    negotiating.cancel_wait(endpoint, waiter)
    assert negotiating.pending_requests == 0
    connection = await dialler.succeed(0)
    await settle()
    assert waiter.connection is None
    assert connection.is_lost
    assert_unused(negotiating, endpoint)


async def test_who_waits_alone_counts_as_pending(negotiating):
    for _ in range(2):
        await wait_alone(negotiating)
    assert not negotiating.connect_alone(negotiating.pick((), HERE), Waiter())
    assert negotiating.overflows == 1
