"""Requests and expected answers."""

from __future__ import annotations

import h11
import pytest

from bench.load import wrk
from bench.route_table import ROUTED_SHAPES
from bench.shape import SHAPES, SMALL, host_name


def parsed(data: bytes) -> tuple[h11.Request, bytes]:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    request = connection.next_event()
    assert isinstance(request, h11.Request)
    body = b""
    while isinstance(event := connection.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    return request, body


@pytest.mark.parametrize("shape", [*SHAPES, *ROUTED_SHAPES], ids=lambda shape: shape.key)
def test_a_request_is_valid_http(shape):
    request, body = parsed(shape.request(host_name(3), 7))
    assert request.method.decode() == shape.method
    assert dict(request.headers.raw_items())[b"Host"] == b"svc-003.bench:8080"
    assert body == shape.request_body


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.key)
def test_only_unique_shapes_differ_from_request_to_request(shape):
    assert (shape.request("h", 1) != shape.request("h", 2)) == shape.unique


def test_the_shapes_have_the_sizes_they_are_named_after():
    sizes = {shape.key: len(shape.response_body) for shape in SHAPES}
    assert (sizes["get_64"], sizes["get_16k"], sizes["get_1m"]) == (64, 16 << 10, 1 << 20)
    heads = {shape.key: len(shape.request("h")) for shape in SHAPES}
    assert 4096 <= heads["get_4k_headers"] <= 6000
    assert 4096 <= heads["post_4k"] <= 4300


def test_the_worst_small_shape_leaves_out_the_big_one():
    assert [shape.key for shape in SHAPES if not shape.small] == ["get_1m"]


def test_lua_of_a_fixed_shape_builds_no_request():
    text = wrk.script(SMALL, services=100, keep_alive=False)
    assert 'wrk.headers["Connection"] = "close"' in text
    assert "function request" not in text


def test_lua_of_a_unique_shape_takes_a_salt():
    unique = next(shape for shape in SHAPES if shape.unique)
    text = wrk.script(unique, services=7, keep_alive=True)
    assert "number % 7" in text
    assert "args[1]" in text


def test_lua_of_a_unique_shape_sends_its_headers():
    routed = next(shape for shape in ROUTED_SHAPES if shape.unique)
    text = wrk.script(routed, services=7, keep_alive=True)
    assert (
        '.bench:8080\\r\\nx-variant: late\\r\\nx-internal: secret\\r\\nx-team: client\\r\\ntraceparent: 00-"'
        in text
    )
