"""A connection whose peer chooses the version of HTTP in the TLS handshake (RFC 7301). [8]"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from meshproxy.upstream.h2_connection import H2UpstreamConnection
from meshproxy.upstream.http_connection import HttpUpstreamConnection


class ByAlpn:
    """The protocol of a dialled connection until it is known which one it is."""

    def __init__(
        self, http2: str, make: Callable[[bool], HttpUpstreamConnection | H2UpstreamConnection]
    ) -> None:
        """`http2`: what the peer chooses for HTTP/2; anything else, or nothing, is HTTP/1.1. `make(is_http2)`
        makes the connection."""
        self._http2 = http2
        self._make = make
        self.chosen: HttpUpstreamConnection | H2UpstreamConnection | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast("asyncio.Transport", transport)
        agreed = stream.get_extra_info("ssl_object").selected_alpn_protocol()
        self.chosen = self._make(agreed == self._http2)
        stream.set_protocol(cast("asyncio.Protocol", self.chosen))
        self.chosen.connection_made(stream)
