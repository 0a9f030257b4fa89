"""Sending a client elsewhere (pure): the `Location` of a `RedirectAction`.

What the action leaves empty stays as the request has it. Envoy's rules for the port: one that is given is
written, whatever the scheme; otherwise the request's own stays, unless the host is another, or the scheme
changes and the port was the old scheme's default.
"""

from __future__ import annotations

from typing import Final

from meshproxy.config.route import Redirect
from meshproxy.config.route_match import PathMatch
from meshproxy.http.events import RequestHead
from meshproxy.routing.path_rewrite import compile_path_rewrite

_DEFAULT_PORTS: Final = {b"http": b":80", b"https": b":443"}


class CompiledRedirect:
    """A redirect ready to be answered."""

    __slots__ = ("_host", "_keeps_query", "_path", "_port", "_rewrite", "_scheme", "status")

    def __init__(self, action: Redirect, match: PathMatch) -> None:
        """Raises ConfigError for a bad regular expression or substitution."""
        self.status = action.status
        self._scheme = action.scheme.encode()
        self._host = action.host.encode()
        self._port = b":%d" % action.port if action.port else b""
        self._path = action.path.encode()
        self._keeps_query = not action.strip_query
        self._rewrite = compile_path_rewrite(action.rewrite, match) if action.rewrite else None

    def location(self, head: RequestHead, scheme: bytes) -> bytes:
        """Value of the `location` field. `scheme` is how the client came: `http` or `https`."""
        new_scheme = self._scheme or scheme
        host = self._host or self._own_host(head.authority.encode(), scheme, new_scheme)
        return b"%b://%b%b%b" % (new_scheme, host, self._port, self._target(head.target))

    def _own_host(self, authority: bytes, scheme: bytes, new_scheme: bytes) -> bytes:
        host, colon, port = authority.rpartition(b":")
        if not colon or not port.isdigit():
            return authority
        is_default = new_scheme != scheme and colon + port == _DEFAULT_PORTS.get(scheme)
        return host if self._port or is_default else authority

    def _target(self, target: bytes) -> bytes:
        if b"?" in self._path:
            return self._path
        if self._path:
            _, mark, query = target.partition(b"?")
            return self._path + mark + query if self._keeps_query else self._path
        if target == b"*":
            target = b"/"
        if self._rewrite is not None:
            target = self._rewrite(target)
        return target if self._keeps_query else target.partition(b"?")[0]
