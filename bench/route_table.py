"""50 rules for one host, and the requests that one of the last of them takes (pure).

Both sides try them in the Gateway API's order: exact paths, then longer prefixes, then those with a method,
then those with more header matches. The rule that the requests match is the last but one: 16 before it have
its path, 16 its method too, and differ only in the values of headers.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Final

from bench.shape import Shape
from control_plane.resources.manifest import Manifest


class Rules(Enum):
    """How many each Service's routes have."""

    TWO = 2
    FIFTY = 50


PATH: Final = "/routed"
"""Of the upstream: answers in `X-Echo` with what it was told in headers."""
_VARIANT: Final = "x-variant"
_EXACT, _PREFIXES, _SAME_PATH = 16, 16, 16
_RULES_PER_ROUTE = 10
"""The Gateway API allows 16."""

_REQUEST_EDIT: Manifest = {
    "set": [{"name": "x-team", "value": "bench"}],
    "add": [{"name": "x-hop", "value": "routed"}],
    "remove": ["x-internal"],
}
_RESPONSE_EDIT: Manifest = {
    "set": [{"name": "x-served-by", "value": "bench"}],
    "add": [{"name": "x-rule", "value": "late"}],
    "remove": ["x-removed"],
}
_REQUEST_HEADERS = ((_VARIANT, "late"), ("x-internal", "secret"), ("x-team", "client"))
_RESPONSE_HEADERS = (
    ("x-echo", "bench,routed,"),
    ("x-served-by", "bench"),
    ("x-rule", "late"),
    ("x-removed", None),
)
ROUTED_SHAPES: Final = (
    Shape("get_64", "GET 64 B", PATH, headers=_REQUEST_HEADERS, response_headers=_RESPONSE_HEADERS),
    Shape(
        "get_unique",
        "GET, every head unique, 100 hosts",
        PATH,
        headers=_REQUEST_HEADERS,
        response_headers=_RESPONSE_HEADERS,
        unique=True,
    ),
)


def rules() -> list[Manifest]:
    """Without backends, in the order in which they are tried."""
    exact = [_match("Exact", f"/api/v1/resource-{number:02d}") for number in range(_EXACT)]
    prefixes = [_match("PathPrefix", f"/api/v2/resource-{number:02d}/items") for number in range(_PREFIXES)]
    same_path = [
        _match("PathPrefix", PATH, method="GET", headers={_VARIANT: f"v{number}", "x-team": "client"})
        for number in range(_SAME_PATH)
    ]
    late = _match("PathPrefix", PATH, method="GET", headers={_VARIANT: "late"})
    late["filters"] = [
        {"type": "RequestHeaderModifier", "requestHeaderModifier": _REQUEST_EDIT},
        {"type": "ResponseHeaderModifier", "responseHeaderModifier": _RESPONSE_EDIT},
    ]
    return [*exact, *prefixes, *same_path, late, _match("PathPrefix", "/")]


def parts() -> Iterator[list[Manifest]]:
    """`rules` in pieces that fit into an HTTPRoute each."""
    whole = rules()
    for start in range(0, len(whole), _RULES_PER_ROUTE):
        yield whole[start : start + _RULES_PER_ROUTE]


def _match(kind: str, path: str, method: str = "", headers: dict[str, str] | None = None) -> Manifest:
    match: Manifest = {"path": {"type": kind, "value": path}}
    if method:
        match["method"] = method
    if headers:
        match["headers"] = [{"name": name, "value": value} for name, value in headers.items()]
    return {"matches": [match]}
