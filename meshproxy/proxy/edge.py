"""What a request from outside the mesh may not say, and what is said of it instead (pure). [5]

Envoy's rules for `use_remote_address`: fields that steer a proxy are dropped, `x-forwarded-for` gets the
peer's address, `x-forwarded-proto` and `x-envoy-external-address` are written anew, and the request gets its
own id. With trusted hops the client's address is the one that they saw, and their `x-forwarded-proto`
stays. No address counts as internal.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

from meshproxy.config.model import EdgeSettings
from meshproxy.http.events import Headers, Request, RequestHead

_FORWARDED_FOR: Final = b"x-forwarded-for"
_FORWARDED_PROTO: Final = b"x-forwarded-proto"
_EXTERNAL_ADDRESS: Final = b"x-envoy-external-address"
_STEERING: Final = frozenset(
    b"x-envoy-%b" % name
    for name in (
        b"decorator-operation downstream-service-cluster downstream-service-node expected-rq-timeout-ms"
        b" external-address force-trace hedge-on-per-try-timeout internal ip-tags max-retries original-url"
        b" retriable-header-names retriable-status-codes retry-grpc-on retry-on upstream-alt-stat-name"
        b" upstream-rq-per-try-timeout-ms upstream-rq-timeout-alt-response upstream-rq-timeout-ms"
    ).split()
)
"""Fields by which requests inside a mesh steer proxies; those from outside never may."""
_SCHEMES: Final = (b"http", b"https")


class EdgeRules:
    """The live twin of `EdgeSettings`."""

    __slots__ = ("_keeps_id", "_settings")

    def __init__(self, settings: EdgeSettings) -> None:
        self._settings = settings
        self._keeps_id = settings.keep_request_id

    def admit(self, request: Request, peer_address: str, scheme: bytes) -> Request:
        """The request as the mesh sees it. `scheme` is how the peer came: `http` or `https`."""
        head = request.head
        given = _values(head.headers, _FORWARDED_FOR)
        peer = peer_address.encode()
        fields: list[tuple[bytes, bytes]] = []
        replaced = {*_STEERING, _FORWARDED_PROTO}
        if self._settings.append_forwarded_for:
            replaced.add(_FORWARDED_FOR)
            fields.append((_FORWARDED_FOR, b",".join((*given, peer))))
        fields.append((_FORWARDED_PROTO, self.scheme(head, scheme)))
        fields.append((_EXTERNAL_ADDRESS, self._client(given) or peer))
        return Request(
            _rewritten(head, replaced, tuple(fields)), request.request_id if self._keeps_id else b""
        )

    def scheme(self, head: RequestHead, scheme: bytes) -> bytes:
        """How the client came: what a trusted hop says of it, else what we see."""
        if self._settings.trusted_hops:
            told = _values(head.headers, _FORWARDED_PROTO)
            if len(told) == 1 and told[0].lower() in _SCHEMES:
                return told[0].lower()
        return scheme

    def _client(self, given: list[bytes]) -> bytes | None:
        """The address that the outermost trusted hop saw; None when it does not say."""
        hops = self._settings.trusted_hops
        if not hops:
            return None
        addresses = b",".join(given).split(b",")
        if len(addresses) < hops:
            return None
        address = addresses[-hops].strip(b" \t")
        if b"%" in address:
            return None  # a zone, in which anything may stand
        try:
            return str(ip_address(address.decode("ascii"))).encode()
        except ValueError:
            return None


def _values(headers: Headers, name: bytes) -> list[bytes]:
    return [value for field, value in headers if field == name and value]


def _rewritten(head: RequestHead, replaced: set[bytes], fields: Headers) -> RequestHead:
    """A copy: heads are shared."""
    copy = head.copy()
    copy.headers = (*(field for field in head.headers if field[0] not in replaced), *fields)
    start, *lines = head.forward.split(b"\r\n")[:-1]
    kept = [line for line in lines if line.partition(b":")[0].lower() not in replaced]
    copy.forward = b"\r\n".join((start, *kept, *(b"%b: %b" % field for field in fields), b""))
    return copy
