"""TLS sessions kept for the next dial to the same peer (RFC 8446 section 4.6.1). [8]

A resumed handshake spares both sides the signatures and the check of the chain: about half of the CPU. It
skips the check of the certificates too, so a session is only offered where all that was checked still holds:
to the same address, for the same expected identity, with the same certificate and roots of our own (a context
is built once for each of those). Who the peer is, and whether its certificate still holds, is checked after
every handshake by the caller.
"""

from __future__ import annotations

import ssl
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

MAX_SESSIONS: Final = 256
"""Kept for one context, those used last. Each takes about 20 KB, the peer's certificate included."""
REFRESH_AFTER: Final = 60.0
"""Seconds before a session is replaced by a newer one. Copying one costs 0.1 ms, and what is newer does not
last longer than needed: tickets live two hours."""
RETRY_AFTER: Final = 1.0
"""The same for a session that the peer declined: it has restarted or changed its keys, and the next one will
do; or it never resumes, and copies are made in vain, no more than one a second."""


class _Kept:
    """What is remembered of one peer."""

    __slots__ = ("kept_at", "session")

    def __init__(self, session: ssl.SSLSession, kept_at: float) -> None:
        self.session: ssl.SSLSession | None = session
        """None: it was declined."""
        self.kept_at = kept_at


class SessionStore:
    """The newest session for each peer, for one client context at a time."""

    def __init__(self, max_sessions: int = MAX_SESSIONS) -> None:
        """`max_sessions` above `MAX_SESSIONS` counts as that; 0 keeps none."""
        self._max_sessions = min(max_sessions, MAX_SESSIONS)
        self._context: ssl.SSLContext | None = None
        self._sessions: OrderedDict[Hashable, _Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def find(self, context: ssl.SSLContext, peer: Hashable) -> ssl.SSLSession | None:
        """The session to offer to `peer`; none that another context made."""
        if context is not self._context:
            self._sessions.clear()
            self._context = context
            return None
        found = self._sessions.get(peer)
        if found is None:
            return None
        self._sessions.move_to_end(peer)
        return found.session

    def is_wanted(self, context: ssl.SSLContext, peer: Hashable, now: float) -> bool:
        """Whether a session that has just come should be kept; `now` is in seconds of any steady clock."""
        if context is not self._context or self._max_sessions == 0:
            return False  # a connection of before the rotation, or none is kept
        found = self._sessions.get(peer)
        if found is None:
            return True
        return now - found.kept_at >= (RETRY_AFTER if found.session is None else REFRESH_AFTER)

    def keep(self, context: ssl.SSLContext, peer: Hashable, session: ssl.SSLSession, now: float) -> None:
        """Offer `session` to `peer` from now on."""
        if context is not self._context or not session.has_ticket or self._max_sessions == 0:
            return
        self._sessions[peer] = _Kept(session, now)
        self._sessions.move_to_end(peer)
        if len(self._sessions) > self._max_sessions:
            self._sessions.popitem(last=False)

    def decline(self, peer: Hashable, offered: ssl.SSLSession) -> None:
        """`offered` was not resumed: the peer made a full handshake of it. A newer one stays."""
        found = self._sessions.get(peer)
        if found is not None and found.session is offered:
            found.session = None

    def forget(self, peer: Hashable) -> None:
        """It led to a connection that was refused."""
        self._sessions.pop(peer, None)
