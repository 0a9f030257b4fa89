"""Where a request wants to go inside its cluster: the hash policies of its route. [6]

Envoy's rules: each policy that finds a value adds its hash to the one before; a terminal one ends the search
once there is a hash. A cookie that is absent is made where its policy has a lifetime, and set on the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from meshproxy.config.route import HashCookie, HashHeader, HashPolicy, HashQuery, HashSourceIp
from meshproxy.http.events import RequestHead
from meshproxy.routing.regex import Substitution
from meshproxy.routing.request_facts import cookie_value, query_value, request_values
from meshproxy.upstream.balancer.consistent_hash import combine, hash_value

_COOKIE: Final = b"set-cookie: "


class HashPolicies:
    """The hash policies of one route, compiled."""

    __slots__ = ("_policies",)

    def __init__(self, policies: tuple[HashPolicy, ...]) -> None:
        """Raises ConfigError for a bad regular expression."""
        self._policies = tuple((policy, _reader(policy)) for policy in policies)

    def hash(
        self, head: RequestHead, peer_address: str, draw: Callable[[int], int]
    ) -> tuple[int | None, bytes]:
        """(hash, or None when no policy found a value; `set-cookie` lines to add to the answer). `draw(bits)`
        gives random bits for cookies that are made."""
        found: int | None = None
        lines = b""
        for policy, read in self._policies:
            value = read(head, peer_address)
            if value is None and isinstance(policy, HashCookie) and policy.ttl is not None:
                value = b"%032x" % draw(128)
                lines += _set_cookie(policy, policy.ttl, value)
            if value is not None:
                found = combine(found, hash_value(value))
            if policy.terminal and found is not None:
                break
        return found, lines


_Reader = Callable[[RequestHead, str], bytes | None]


def _reader(policy: HashPolicy) -> _Reader:
    if isinstance(policy, HashHeader):
        return _header_reader(policy)
    if isinstance(policy, HashCookie):
        cookie = policy.name.encode()
        return lambda head, address: cookie_value(head.headers, cookie)
    if isinstance(policy, HashQuery):
        parameter = policy.name.encode()
        return lambda head, address: query_value(head.target, parameter)
    assert isinstance(policy, HashSourceIp)
    return lambda head, address: address.encode() or None


def _header_reader(policy: HashHeader) -> _Reader:
    name = policy.name.encode()
    rewrite = Substitution(policy.rewrite).apply if policy.rewrite is not None else None

    def read(head: RequestHead, address: str) -> bytes | None:
        values = request_values(head, name)
        if rewrite is not None:
            values = [rewrite(value) for value in values]
        return b",".join(sorted(values)) if values else None  # sorted: fields may arrive in any order

    return read


def _set_cookie(policy: HashCookie, ttl: float, value: bytes) -> bytes:
    parts = [b"%b=%b" % (policy.name.encode(), value)]
    if ttl > 0:
        parts.append(b"Max-Age=%d" % ttl)
    if policy.path:
        parts.append(b"Path=%b" % policy.path.encode())
    parts += [f"{name}={text}".encode() if text else name.encode() for name, text in policy.attributes]
    parts.append(b"HttpOnly")
    return _COOKIE + b"; ".join(parts) + b"\r\n"
