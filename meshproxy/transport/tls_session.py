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

from meshproxy.openssl import Session

MAX_SESSIONS: Final = 256
"""Kept for one context, those used last. Each takes about 20 KB, the peer's certificate included."""
REFRESH_AFTER: Final = 3000.0
"""Seconds before a session is replaced by a newer one; tickets live two hours. Seldom: where `openssl` cannot
help, reading one costs 0.1 ms and, in CPython 3.11, 7 KB for ever."""
RETRY_AFTER: Final = 1.0
"""The same for the second that the peer declined in a row, doubled for each that follows. The first is
replaced at once: mostly the peer has restarted, or has forgotten it; but it may never resume any."""


class _Kept:
    """What is remembered of one peer."""

    __slots__ = ("declined", "kept_at", "session")

    def __init__(self) -> None:
        self.session: Session | None = None
        """None: it was declined."""
        self.kept_at = 0.0
        self.declined = 0
        """In a row."""

    @property
    def lifetime(self) -> float:
        """Seconds from `kept_at` until another is kept."""
        if self.session is not None:
            return REFRESH_AFTER
        if self.declined < 2:
            return 0.0
        return float(min(RETRY_AFTER * 2 ** min(self.declined - 2, 32), REFRESH_AFTER))


class SessionStore:
    """The newest session for each peer, for one client context at a time."""

    def __init__(self, max_sessions: int = MAX_SESSIONS) -> None:
        """`max_sessions` above `MAX_SESSIONS` counts as that; 0 keeps none."""
        self._max_sessions = min(max_sessions, MAX_SESSIONS)
        self._context: ssl.SSLContext | None = None
        self._sessions: OrderedDict[Hashable, _Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def find(self, context: ssl.SSLContext, peer: Hashable) -> Session | None:
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
        return now - found.kept_at >= found.lifetime

    def keep(self, context: ssl.SSLContext, peer: Hashable, session: Session, now: float) -> None:
        """Offer `session` to `peer` from now on."""
        if context is not self._context or not session.has_ticket or self._max_sessions == 0:
            return
        kept = self._sessions.setdefault(peer, _Kept())
        kept.session, kept.kept_at = session, now
        self._sessions.move_to_end(peer)
        if len(self._sessions) > self._max_sessions:
            self._sessions.popitem(last=False)

    def on_answer(self, peer: Hashable, offered: Session, *, is_resumed: bool) -> None:
        """The handshake that `offered` was offered in is done. What was not resumed is not offered again."""
        found = self._sessions.get(peer)
        if found is None or found.session is not offered:
            return  # a newer one came meanwhile
        if is_resumed:
            found.declined = 0
        else:
            found.session = None
            found.declined += 1

    def forget(self, peer: Hashable) -> None:
        """It led to a connection that was refused."""
        self._sessions.pop(peer, None)
