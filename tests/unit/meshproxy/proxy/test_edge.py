"""What strangers may say, by Envoy's rules for `use_remote_address`."""

import asyncio
from dataclasses import replace

import pytest

from meshproxy.config.model import EdgeSettings
from meshproxy.config.route import Redirect, Route, RouteTable, VirtualHost, WeightedCluster
from meshproxy.config.route_match import EVERY_PATH
from meshproxy.http.codec import strict_codec
from meshproxy.http.events import Request
from meshproxy.http.limits import HeadLimits
from meshproxy.proxy.edge import EdgeRules
from tests.unit.meshproxy.proxy.harness import (
    Upstream,
    answering,
    http_listener,
    ok,
    running,
    snapshot,
    static_cluster,
)

PEER = "192.0.2.9"


def admitted(fields: bytes = b"", scheme: bytes = b"https", **settings: object) -> Request:
    data = b"GET /a HTTP/1.1\r\nHost: a\r\n%b\r\n" % fields
    [request] = strict_codec(HeadLimits()).request_reader().receive(data)
    assert isinstance(request, Request)
    return EdgeRules(EdgeSettings(**settings)).admit(request, PEER, scheme)  # type: ignore[arg-type]


def fields_of(request: Request) -> dict[bytes, bytes]:
    """Of what is sent on; it says what routes see."""
    lines = request.head.forward.split(b"\r\n")[1:-1]
    pairs = tuple((line.partition(b":")[0].lower(), line.partition(b":")[2].strip()) for line in lines)
    assert set(pairs) == {pair for pair in request.head.headers if pair[0] != b"x-envoy-peer-metadata"}
    return dict(pairs)


def test_a_plain_request_gets_its_peers_address_and_scheme():
    found = fields_of(admitted())
    assert found == {
        b"host": b"a",
        b"x-forwarded-for": b"192.0.2.9",
        b"x-forwarded-proto": b"https",
        b"x-envoy-external-address": b"192.0.2.9",
    }


def test_what_an_untrusted_peer_forwards_is_kept_but_not_believed():
    found = fields_of(
        admitted(
            b"X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2\r\nX-Forwarded-Proto: https\r\n", b"http"
        )
    )
    assert found[b"x-forwarded-for"] == b"10.0.0.1,10.0.0.2,192.0.2.9"
    assert found[b"x-forwarded-proto"] == b"http"
    assert found[b"x-envoy-external-address"] == b"192.0.2.9"


@pytest.mark.parametrize(
    ("forwarded", "hops", "client"),
    [
        (b"203.0.113.7", 1, b"203.0.113.7"),
        (b"10.9.9.9, 203.0.113.7", 1, b"203.0.113.7"),
        (b"203.0.113.7, 10.0.0.1", 2, b"203.0.113.7"),
        (b"2001:db8::7", 1, b"2001:db8::7"),
        (b"203.0.113.7", 2, b"192.0.2.9"),  # the second hop says nothing
        (b"unknown", 1, b"192.0.2.9"),
        (b"fe80::1%what ever", 1, b"192.0.2.9"),
    ],
)
def test_with_trusted_hops_the_client_is_who_they_saw(forwarded, hops, client):
    found = fields_of(admitted(b"X-Forwarded-For: %b\r\n" % forwarded, trusted_hops=hops))
    assert found[b"x-envoy-external-address"] == client
    assert found[b"x-forwarded-for"] == forwarded + b",192.0.2.9"


@pytest.mark.parametrize(("told", "scheme"), [(b"https", b"https"), (b"HTTP", b"http"), (b"gopher", b"http")])
def test_a_trusted_hop_says_how_the_client_came(told, scheme):
    found = fields_of(admitted(b"X-Forwarded-Proto: %b\r\n" % told, b"http", trusted_hops=1))
    assert found[b"x-forwarded-proto"] == scheme


def test_steering_fields_are_dropped_and_others_are_not():
    found = fields_of(
        admitted(
            b"X-Envoy-Retry-On: 5xx\r\nx-envoy-internal: true\r\nX-Envoy-Max-Retries: 99\r\nX-Own: 1\r\n"
        )
    )
    assert b"x-own" in found
    assert not found.keys() & {b"x-envoy-retry-on", b"x-envoy-internal", b"x-envoy-max-retries"}


def test_the_request_id_is_made_here_unless_told_to_keep_it():
    line = b"X-Request-Id: mine\r\n"
    assert admitted(line).request_id == b""
    assert admitted(line, keep_request_id=True).request_id == b"mine"


def test_forwarded_for_may_be_left_as_it_came():
    assert b"x-forwarded-for" not in fields_of(admitted(append_forwarded_for=False))


def test_the_head_of_the_codec_is_not_touched():
    [request] = strict_codec(HeadLimits()).request_reader().receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert isinstance(request, Request)
    before = (request.head.headers, request.head.forward)
    EdgeRules(EdgeSettings()).admit(request, PEER, b"http")
    assert (request.head.headers, request.head.forward) == before


async def test_through_a_listener_the_upstream_sees_what_the_edge_wrote():
    seen: list[bytes] = []
    upstream = await Upstream(answering(ok(), seen)).start()
    listener = http_listener(WeightedCluster("a", 1), edge=EdgeSettings())
    async with running(snapshot(listener, static_cluster("a", upstream.endpoint)), codec="strict") as mesh:
        reader, writer = await mesh.connect()
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: forged\r\nX-Envoy-Retry-On: 5xx\r\n\r\n")
        assert (await asyncio.wait_for(reader.readuntil(b"hello"), 30)).startswith(b"HTTP/1.1 200 ")
        writer.close()
    await upstream.stop()
    assert b"\r\nx-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\n" in seen[0]
    assert b"forged" not in seen[0]
    assert b"retry-on" not in seen[0].lower()


async def test_redirects_follow_the_scheme_that_a_trusted_hop_reports():
    redirect = Redirect(host="b")
    table = RouteTable("t", (VirtualHost("v", ("*",), (Route("r", EVERY_PATH, redirect),)),))
    listener = http_listener(WeightedCluster("a", 1), edge=EdgeSettings(trusted_hops=1))
    manager = listener.filter_chains[0].network
    chain = replace(listener.filter_chains[0], network=replace(manager, route_table=table))
    async with running(snapshot(replace(listener, filter_chains=(chain,)))) as mesh:
        reader, writer = await mesh.connect()
        writer.write(b"GET /x HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
        assert b"\r\nlocation: https://b/x\r\n" in head
        writer.close()
