"""How calls end, from trailers, heads and resets."""

import pytest

from meshproxy.rpc.status import failure_of_head, failure_of_reset, failure_of_trailers


@pytest.mark.parametrize(
    ("fields", "failure"),
    [
        ([("grpc-status", "0")], None),
        ([("grpc-status", "7"), ("grpc-message", "who%20are you")], "PERMISSION_DENIED: who are you"),
        ([("grpc-status", "16")], "UNAUTHENTICATED: "),
        ([("grpc-status", "17")], "UNKNOWN: the call ended with grpc-status '17'"),
        ([("grpc-status", "x")], "UNKNOWN: the call ended with grpc-status 'x'"),
        ([], "UNKNOWN: the call ended with grpc-status ''"),
    ],
)
def test_trailers(fields: list[tuple[str, str]], failure: str | None) -> None:
    assert failure_of_trailers(fields) == failure


def test_a_peers_text_is_bounded() -> None:
    failure = failure_of_trailers([("grpc-status", "13"), ("grpc-message", "x" * 5000)])
    assert failure == "INTERNAL: " + "x" * 1024


@pytest.mark.parametrize(
    ("status", "kind", "failure"),
    [
        ("200", "application/grpc", None),
        ("200", "application/grpc+proto", None),
        ("200", "text/html", "UNKNOWN: content-type 'text/html' is not gRPC's"),
        ("503", "text/html", "UNAVAILABLE: HTTP status 503"),
        ("404", "", "UNIMPLEMENTED: HTTP status 404"),
        ("418", "", "UNKNOWN: HTTP status 418"),
    ],
)
def test_heads(status: str, kind: str, failure: str | None) -> None:
    assert failure_of_head([(":status", status), ("content-type", kind)]) == failure


@pytest.mark.parametrize(("code", "name"), [(7, "UNAVAILABLE"), (8, "CANCELLED"), (2, "INTERNAL")])
def test_resets(code: int, name: str) -> None:
    assert failure_of_reset(code) == f"{name}: the stream was reset, HTTP/2 error code {code}"
