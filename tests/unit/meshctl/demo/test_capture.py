"""The capture's reading of packets, and a real capture on a loopback interface."""

import socket

import pytest

from lab import netns
from meshctl.demo.capture import Capture, tcp_payload


def frame(payload: bytes, *, protocol: int = socket.IPPROTO_TCP, options: int = 0, padding: int = 0) -> bytes:
    tcp = b"\0" * 12 + bytes([(5 + options) << 4]) + b"\0" * 7 + b"\0" * 4 * options
    length = 20 + len(tcp) + len(payload)
    ip = b"\x45\0" + length.to_bytes(2, "big") + b"\0" * 5 + bytes([protocol]) + b"\0" * 10
    return b"\0" * 12 + b"\x08\0" + ip + tcp + payload + b"\xff" * padding


def test_the_payload_is_what_follows_the_headers_and_precedes_the_padding():
    assert tcp_payload(frame(b"hello")) == b"hello"
    assert tcp_payload(frame(b"hello", options=3, padding=9)) == b"hello"
    assert tcp_payload(frame(b"")) == b""


def test_other_packets_have_no_payload():
    assert tcp_payload(frame(b"hello", protocol=socket.IPPROTO_UDP)) == b""
    assert tcp_payload(b"\0" * 12 + b"\x86\xdd" + b"\0" * 60) == b""
    assert tcp_payload(b"short") == b""


@pytest.mark.privileged
def test_texts_are_found_in_what_passes_the_interfaces_of_a_namespace(tmp_path):
    network = tmp_path / "network"
    netns.create(network)
    try:
        netns.run(network, ["ip", "link", "set", "lo", "up"])
        server = netns.inside(network, lambda: socket.create_server(("127.0.0.1", 0)))
        client = netns.inside(network, lambda: socket.create_connection(server.getsockname()))
        capture = Capture(network, ["needle", "absent"])
        capture.start()
        client.sendall(b"GET /needle HTTP/1.1\r\n\r\n")
        accepted, _ = server.accept()
        assert accepted.recv(100)
        client.sendall(b"\x17\x03\x03\0\x01x")
        assert accepted.recv(100)
        captured = capture.stop()
        for opened in (server, client, accepted):
            opened.close()
    finally:
        netns.delete(network)
    assert captured.found["needle"] > 0
    assert captured.found["absent"] == 0
    assert (captured.interfaces, captured.dropped) == (1, 0)
    assert captured.tls_segments > 0
    assert set(captured.plain_http) == {("127.0.0.1", "127.0.0.1")}
