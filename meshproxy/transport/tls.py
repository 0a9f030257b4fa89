"""TLS as a transport of its own: `SSLObject` + `MemoryBIO` over a plain protocol. [2]

uvloop's own TLS cannot half-close, cannot resume sessions and loses bytes read before `start_tls`; this one
replays sniffed bytes, half-closes, and reports an end without close_notify as the truncation it is (RFC 8446
section 6.1).
To the raw transport it is the protocol; to the protocol above it is the transport.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Final, cast

from meshproxy.openssl import Session, offer_session
from meshproxy.transport.bounded_read import MAX_READ, bound_reads
from meshproxy.transport.handshake_gate import HandshakeGate

_READ_SIZE: Final = 16384
"""One TLS record (RFC 8446 section 5.1: 2^14 bytes of plaintext); a larger buffer is allocated in vain."""

_SLICE: Final = 16384 + 22
"""Bytes given to OpenSSL at once to decrypt: a record with its head and tag. A memory BIO keeps for good what
it once held: 256 KiB of a single large read, on each connection and in each direction."""

_SEALED_AT_ONCE: Final = 2 * 16384
"""Bytes given to OpenSSL at once to encrypt, for the same reason. Two records cost 5 % less than one."""

_RECORD_HEAD: Final = 5
"""Bytes of type, version and, in the last two, length (RFC 8446 section 5.1)."""


class TlsFailure(ConnectionError):
    """The handshake failed, the peer rejected us, or the record layer broke; the text is OpenSSL's reason."""


class TlsTruncated(ConnectionResetError):
    """The peer's TCP stream ended without close_notify: what was received may be incomplete."""


class TlsConnection(asyncio.Transport, asyncio.Protocol):
    """One TLS connection over a raw transport.

    `on_established(self)` runs once, after a successful handshake, and must end in `attach(protocol)`;
    `on_failed(error)` runs instead when the handshake does not succeed. Afterwards the protocol above hears
    `data_received`, `eof_received` (close_notify), `connection_lost`, `pause_writing`, `resume_writing`.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        on_established: Callable[[TlsConnection], None],
        on_failed: Callable[[Exception], None],
        server_name: str | None = None,
        session: Session | None = None,
        gate: HandshakeGate | None = None,
        on_tickets: Callable[[ssl.SSLObject], None] | None = None,
    ) -> None:
        """`session` is offered to the server. With a `gate` the handshake's steps wait for their turn.

        `on_tickets(ssl_object)` runs at most once, when the server's session tickets must have come: with its
        first byte of data, or at the end. Its session is then the one to keep.
        """
        super().__init__()
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object: ssl.SSLObject = context.wrap_bio(
            self._incoming, self._outgoing, server_side, server_hostname=server_name
        )
        if session is not None:
            offer_session(self._object, session)
        self._on_established: Callable[[TlsConnection], None] | None = on_established
        self._on_failed: Callable[[Exception], None] | None = on_failed
        self._on_tickets = on_tickets
        self._gate = gate
        self._is_step_due = False
        self._raw: asyncio.Transport | None = None
        self._protocol: asyncio.Protocol | None = None
        self._established = False
        self._eof_received = False
        self._write_closed = False
        self._closing = False
        self._early = False
        self._early_eof = False

    # --- protocol side: called by the raw transport ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw = cast("asyncio.Transport", transport)  # uvloop's transports do not subclass asyncio's
        if not self._object.server_side:
            self._advance()

    def data_received(self, data: bytes) -> None:
        chunks: list[bytes] | None = None
        if len(data) > _SLICE and self._protocol is not None:
            chunks, data = self._decrypt_front(data)
        self._incoming.write(data)
        if self._protocol is not None:
            self._read(data, chunks)
        elif not self._established:
            self._advance()
        elif not self._closing:
            self._early = True  # what came before `attach` waits in the BIO
            self.pause_reading()

    def _decrypt_front(self, data: bytes) -> tuple[list[bytes], bytes]:
        """What the front of a large read holds, and the rest of it. Errors show again with the rest.

        `SSL_read` is called only where a record is whole for certain: one that finds less than a record
        costs an exception, a tenth of decrypting it.
        """
        if len(data) > MAX_READ and self._raw is not None:
            bound_reads(self._raw, self)
        incoming, read, view, chunks = self._incoming, self._object.read, memoryview(data), list[bytes]()
        last = len(data) - _SLICE
        for start in range(0, last, _SLICE):
            incoming.write(view[start : min(start + _SLICE, last)])
            try:
                while incoming.pending >= _SLICE and (chunk := read(_READ_SIZE)):
                    chunks.append(chunk)
            except (ssl.SSLError, OSError):
                pass
        return chunks, data[last:]

    def eof_received(self) -> bool:
        """TCP FIN. After close_notify it says nothing new; before it, the stream was cut."""
        if self._eof_received:
            return True
        if not self._established:
            self._fail(TlsFailure("peer closed the connection during the TLS handshake"))
        elif self._protocol is None and not self._closing:
            self._early_eof = True
            return True
        else:
            self._lose(TlsTruncated("TLS stream ended without close_notify"))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._established:
            self._fail(exc or TlsFailure("connection lost during the TLS handshake"))
            return
        self._lose(exc)

    def pause_writing(self) -> None:
        if self._protocol is not None:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._protocol is not None:
            self._protocol.resume_writing()

    # --- handshake ---

    def _advance(self) -> None:
        """Take the next step of the handshake, now or when it is our turn."""
        if self._gate is None:
            self._handshake()
        elif not self._is_step_due:
            self._is_step_due = True
            self.pause_reading()  # what the peer sends meanwhile, its end too, waits in the kernel
            self._gate.run(self._take_turn)

    def _take_turn(self) -> None:
        self._is_step_due = False
        try:
            self._handshake()
        except BaseException:
            self.abort()  # what is made of an established connection failed: our bug, its end
            raise
        if not self._established and not self._closing:
            self.resume_reading()

    def _handshake(self) -> None:
        if self._closing:
            return
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except (ssl.SSLError, ssl.CertificateError, OSError) as error:
            self._flush()  # the alert that says why
            self._fail(TlsFailure(_reason(error)))
            return
        self._flush()
        self._established = True
        if self._gate is not None:
            self._gate = None
            self._early = True  # reading is paused, also by us: `attach` resumes it
        elif self._incoming.pending:
            self._early = True
            self.pause_reading()
        on_established, self._on_established = self._on_established, None
        self._on_failed = None
        assert on_established is not None
        on_established(self)

    def _fail(self, error: Exception) -> None:
        on_failed, self._on_failed = self._on_failed, None
        self._on_established = None
        self._closing = True
        if self._raw is not None:
            self._raw.close()
        if on_failed is not None:
            on_failed(error)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """From now on another protocol hears what comes."""
        self._protocol = cast("asyncio.Protocol", protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol is not None
        return self._protocol

    def attach(self, protocol: asyncio.Protocol) -> None:
        """Give the established connection to the protocol above it, with what arrived meanwhile."""
        self._protocol = protocol
        is_early, self._early = self._early, False
        if is_early:
            self.resume_reading()  # first: the protocol may want to pause it
        protocol.connection_made(self)
        if is_early and self._incoming.pending:
            self._read()
        if self._early_eof and not self._eof_received:
            self._lose(TlsTruncated("TLS stream ended without close_notify"))

    # --- reading ---

    def _read(self, received: bytes = b"", chunks: list[bytes] | None = None) -> None:
        """Deliver what is here: it ends with `received`, and `chunks` were decrypted before it."""
        read = self._object.read
        data = b""
        try:
            data = read(_READ_SIZE)
            # An empty BIO needs no last SSL_read to say so, nor does one with a part of a record.
            while data and (self._incoming.pending or self._object.pending()):
                if _is_part(received, self._incoming.pending) and not self._object.pending():
                    break
                if chunks is None:
                    chunks = []
                chunks.append(data)
                data = b""
                data = read(_READ_SIZE)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._eof_received = True
        except (ssl.SSLError, OSError) as error:
            self._deliver(chunks, b"")
            self._lose(TlsFailure(_reason(error)))
            return
        else:
            if not data:
                self._eof_received = True
        if self._outgoing.pending:  # key updates, tickets
            self._flush()
        self._deliver(chunks, data)
        if self._eof_received:
            self._deliver_eof()

    def _deliver(self, chunks: list[bytes] | None, data: bytes) -> None:
        if chunks:
            chunks.append(data)
            data = b"".join(chunks)
        if data and self._protocol is not None:
            if self._on_tickets is not None:
                self._report_tickets()
            self._protocol.data_received(data)

    def _report_tickets(self) -> None:
        on_tickets, self._on_tickets = self._on_tickets, None
        if on_tickets is not None:
            on_tickets(self._object)

    def _deliver_eof(self) -> None:
        protocol = self._protocol
        if protocol is not None and not self._closing and not protocol.eof_received():
            self.close()

    def _lose(self, exc: Exception | None) -> None:
        protocol, self._protocol = self._protocol, None
        self._closing = True
        if protocol is not None:
            self._report_tickets()
        raw = self._raw
        if raw is not None and not raw.is_closing():
            raw.abort()
        if protocol is not None:
            protocol.connection_lost(exc)

    # --- transport side: called by the protocol above ---

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing or self._write_closed:
            return
        if len(data) > _SEALED_AT_ONCE:
            self._write_much(memoryview(data))
            return
        try:
            self._object.write(data)
        except (ssl.SSLError, OSError) as error:
            self._lose_soon(error)
            return
        raw = self._raw
        assert raw is not None
        raw.write(self._outgoing.read())

    def _write_much(self, data: memoryview) -> None:
        sealed = []
        try:
            for start in range(0, len(data), _SEALED_AT_ONCE):
                self._object.write(data[start : start + _SEALED_AT_ONCE])
                sealed.append(self._outgoing.read())
        except (ssl.SSLError, OSError) as error:
            self._lose_soon(error)
            return
        raw = self._raw
        assert raw is not None
        raw.writelines(sealed)

    def _lose_soon(self, error: Exception) -> None:
        asyncio.get_running_loop().call_soon(self._lose, TlsFailure(_reason(error)))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Half-close: close_notify, then FIN. Reading goes on."""
        if self._closing or self._write_closed:
            return
        self._write_closed = True
        self._send_close_notify()
        raw = self._raw
        assert raw is not None
        if not raw.is_closing():
            raw.write_eof()

    def close(self) -> None:
        """Send what is buffered, then close_notify and FIN."""
        if self._closing:
            return
        self._closing = True
        if not self._write_closed:
            self._write_closed = True
            self._send_close_notify()
        if self._raw is not None:
            self._raw.close()

    def abort(self) -> None:
        """Cut the connection: the peer sees a truncation, never a clean end."""
        self._closing = True
        if self._raw is not None:
            self._raw.abort()

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        if self._raw is not None and not self._raw.is_closing():
            self._raw.pause_reading()

    def resume_reading(self) -> None:
        if self._raw is not None and not self._raw.is_closing():
            self._raw.resume_reading()

    def get_write_buffer_size(self) -> int:
        return self._raw.get_write_buffer_size() if self._raw is not None else 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if self._raw is not None:
            self._raw.set_write_buffer_limits(high, low)

    def get_extra_info(self, name: str, default: object = None) -> object:
        if name == "ssl_object":
            return self._object
        return self._raw.get_extra_info(name, default) if self._raw is not None else default

    @property
    def ssl_object(self) -> ssl.SSLObject:
        """For the peer's certificate and the negotiated ALPN protocol."""
        return self._object

    def _send_close_notify(self) -> None:
        # Pending plaintext has been drained; `unwrap` fails on data that is still queued, hence once only.
        try:
            self._object.unwrap()
        except (ssl.SSLError, OSError):
            pass  # want read: our close_notify is out, the peer's has not come; anything else: FIN says it
        self._flush()

    def _flush(self) -> None:
        raw = self._raw
        if raw is not None and self._outgoing.pending and not raw.is_closing():
            raw.write(self._outgoing.read())


def _is_part(received: bytes, pending: int) -> bool:
    """The last `pending` bytes of `received`, behind a record, are less than the next one."""
    if pending < _RECORD_HEAD:
        return True
    if pending > len(received):
        return False  # they came before it: SSL_read may say
    start = len(received) - pending
    return pending < _RECORD_HEAD + int.from_bytes(received[start + 3 : start + _RECORD_HEAD])


def _reason(error: Exception) -> str:
    """OpenSSL's reason in one line, e.g. `tlsv1 alert unknown ca`."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return str(error) or type(error).__name__
