"""Keys and certificates in a short-lived process: the sidecar's end of `key_work.py`.

`cryptography` brings an OpenSSL of its own, 14 MB that a sidecar would keep for ever and use for a few
milliseconds at half of a certificate's life. Here the system takes all of it back when the process ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from types import TracebackType
from typing import Any, Final, Self

from certs.errors import CertificateError
from certs.spiffe_id import SpiffeId
from meshproxy.identity.identity import Identity
from meshproxy.identity.keys import IdentityUnavailable

ANSWER_TIMEOUT: Final = 20.0
"""Seconds for one answer, the interpreter's start included: it takes 0.1 s with a core to itself."""

_MAX_LINE: Final = 8 << 20
"""Bytes: above what a trust bundle of the largest size becomes in JSON."""
_MODULE: Final = "meshproxy.identity.key_work"


class KeyProcess:
    """`Keys` in a process that lives as long as the `async with` block."""

    def __init__(self, command: tuple[str, ...] = ()) -> None:
        """`command`: what to run; by default the module, in an interpreter as isolated as ours."""
        flags = ("-I",) if sys.flags.isolated else ()
        self._command: Final = command or (sys.executable, *flags, "-m", _MODULE)
        self._process: asyncio.subprocess.Process | None = None
        self._spiffe_id: SpiffeId | None = None

    async def __aenter__(self) -> Self:
        """Raises IdentityUnavailable when there cannot be such a process."""
        pipe = asyncio.subprocess.PIPE
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=pipe, stdout=pipe, limit=_MAX_LINE
            )
        except OSError as error:
            raise IdentityUnavailable(f"{self._command[0]} cannot be run ({error.strerror})") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process, self._process = self._process, None
        assert process is not None
        with contextlib.suppress(ProcessLookupError):  # it has nothing left to do and nothing to tidy up
            process.kill()
        await process.communicate()

    async def request(self, spiffe_id: SpiffeId) -> bytes:
        self._spiffe_id = spiffe_id
        return _bytes((await self._ask("request", spiffe_id=str(spiffe_id)))["csr"])

    async def bundle(self, pem: bytes, what: str) -> bytes:
        return _bytes((await self._ask("bundle", pem=pem.decode("latin-1"), what=what))["pem"])

    async def identity(self, chain: list[str], root_pem: bytes, now: float, generation: int) -> Identity:
        assert self._spiffe_id is not None, "a chain answers a request"
        facts = await self._ask("identity", chain=chain, root_pem=root_pem.decode("latin-1"), now=now)
        return Identity(
            spiffe_id=self._spiffe_id,
            generation=generation,
            serial_number=facts["serial_number"],
            not_before=facts["not_before"],
            not_after=facts["not_after"],
            chain_pem=_bytes(facts["chain_pem"]),
            root_pem=_bytes(facts["root_pem"]),
            key_pem=_bytes(facts["key_pem"]),
        )

    async def _ask(self, kind: str, **question: object) -> dict[str, Any]:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                line = await self._exchange(json.dumps({"kind": kind, **question}).encode() + b"\n")
        except TimeoutError as error:
            raise IdentityUnavailable(f"the key process took more than {ANSWER_TIMEOUT:g} s") from error
        if not line.endswith(b"\n"):
            raise IdentityUnavailable("the key process ended early; what it said is on stderr")
        answer: dict[str, Any] = json.loads(line)
        if "refused" in answer:
            raise CertificateError(answer["refused"])
        return answer

    async def _exchange(self, line: bytes) -> bytes:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(ConnectionError):  # it has ended: the answer is the end of its output
            process.stdin.write(line)
            await process.stdin.drain()
        return await process.stdout.readline()


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")
