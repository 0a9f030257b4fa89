"""Kubernetes' protobuf bodies, written by hand: numbers, zeros, maps, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.apiserver.protobuf_body import ProtobufError, read_protobuf
from control_plane.resources.manifest import Manifest


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    content = bytearray()
    while number >= 0x80:
        content.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*content, number])


def field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def body(kind: str, *fields: bytes, version: str = "v1") -> bytes:
    head = field(1, field(1, version) + field(2, kind))
    return b"k8s\x00" + head + field(2, b"".join(fields)) + field(3, "") + field(4, "")


NAMED = field(1, field(1, "a") + field(2, "") + field(8, b""))
META: Manifest = {"name": "a"}


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (body("Namespace", NAMED, field(2, b""), field(3, field(1, ""))), {}),
        (body("ConfigMap", NAMED, field(2, field(1, "k") + field(2, "v"))), {"data": {"k": "v"}}),
        (
            body("ConfigMap", NAMED, field(2, field(2, "v")), field(4, 0)),
            {"data": {"": "v"}, "immutable": False},
        ),
        (body("Secret", NAMED, field(2, field(1, "k") + field(2, b"\xff"))), {"data": {"k": "/w=="}}),
        (
            body(
                "Service", NAMED, field(2, field(1, field(3, 80) + field(4, field(1, 1) + field(3, "http"))))
            ),
            {"spec": {"ports": [{"port": 80, "targetPort": "http"}]}},
        ),
        (
            body("Service", NAMED, field(2, field(1, field(4, field(2, 8080)) + field(5, 0)))),
            {"spec": {"ports": [{"targetPort": 8080}]}},
        ),
        (
            body("Deployment", NAMED, field(2, field(1, 0) + field(5, 0) + field(7, 1))),
            {"spec": {"replicas": 0, "paused": True}},
        ),
        (
            body(
                "Ingress",
                NAMED,
                field(2, field(3, field(1, "h") + field(2, field(1, field(1, field(1, "/")))))),
            ),
            {"spec": {"rules": [{"host": "h", "http": {"paths": [{"path": "/"}]}}]}},
        ),
        (
            body("Eviction", NAMED, field(2, field(1, -1) + field(5, "All"))),
            {"deleteOptions": {"gracePeriodSeconds": -1, "dryRun": ["All"]}},
        ),
    ],
)
def test_reads(content: bytes, wanted: Manifest) -> None:
    found = read_protobuf(content)
    assert found.pop("apiVersion") == "v1"
    found.pop("kind")
    assert found == {"metadata": META, **wanted}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{}", "does not begin"),
        (body("Lease"), "kind Lease is not read; send JSON"),
        (b"k8s\x00", r"kind \(none\)"),
        (body("ConfigMap", field(9, 1)), "field 9 of ConfigMap is not read"),
        (body("ConfigMap", field(1, 1)), "a number where none belongs"),
        (body("ConfigMap", field(4, "x")), "not a number"),
        (body("ConfigMap", field(1, field(1, b"\xff"))), "not UTF-8"),
        (body("ConfigMap", b"\x09" + b"\x00" * 8), "no field of these kinds"),
        (body("ConfigMap", b"\x0b"), "unknown encoding"),
        (body("ConfigMap", b"\x0a\x05a"), "cut short"),
        (body("ConfigMap", b"\x80"), "cut short"),
        (body("ConfigMap", b"\x80" * 11), "too long"),
    ],
)
def test_refuses(content: bytes, message: str) -> None:
    with pytest.raises(ProtobufError, match=message):
        read_protobuf(content)


@given(st.binary(max_size=200), st.sampled_from(["Deployment", "Ingress", "Service", "Job"]))
def test_any_bytes_are_read_or_refused(content: bytes, kind: str) -> None:
    try:
        read_protobuf(body(kind, content))
    except ProtobufError:
        pass
