"""A command in a container over a WebSocket, in Kubernetes' remote command protocol v4 and v5.

Binary messages whose first byte is the channel: 0 stdin, 1 stdout, 2 stderr, 3 the outcome as a `Status`, 4 a
new terminal size, 255 (v5) the end of a channel. Source: k8s.io/apimachinery remotecommand constants.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import struct
import termios
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

from starlette.websockets import WebSocket, WebSocketDisconnect

from lab.enter import PREFIX
from lab.entrance import EnteringCommand

_STDIN, _STDOUT, _STDERR, _OUTCOME, _RESIZE, _CLOSE = 0, 1, 2, 3, 4, 255
_CHUNK = 32 * 1024
_OF_A_TERMINAL = {f"{PREFIX}TERM": "xterm"}
"""The variable that container engines add, without which `top`, `less` and `clear` do not start."""


@dataclass(frozen=True, slots=True)
class ExecRequest:
    """What is to be run, by the names of `PodExecOptions`."""

    command: tuple[str, ...]
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False

    @classmethod
    def of(cls, parameters: Sequence[tuple[str, str]]) -> "ExecRequest":
        """From a request's query; the kubelet's own names (`input`, `output`, `error`) count, too."""
        flags = {name for name, value in parameters if value in ("true", "1")}
        return cls(
            command=tuple(value for name, value in parameters if name == "command"),
            stdin=bool(flags & {"stdin", "input"}),
            stdout=bool(flags & {"stdout", "output"}),
            stderr=bool(flags & {"stderr", "error"}),
            tty="tty" in flags,
        )


def outcome(status: int) -> dict[str, object]:
    """The `Status` that tells an exit code."""
    if status == 0:
        return {"metadata": {}, "status": "Success"}
    causes = [{"reason": "ExitCode", "message": str(status)}]
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {status}",
        "reason": "NonZeroExitCode",
        "details": {"causes": causes},
    }


def refusal(message: str) -> dict[str, object]:
    """The `Status` of a command that could not be run."""
    return {"metadata": {}, "status": "Failure", "message": message, "reason": "InternalError", "code": 500}


async def serve_exec(websocket: WebSocket, request: ExecRequest, command: EnteringCommand | None) -> None:
    """Run the command line until it ends or the client leaves; None: the container does not run."""
    if command is None:
        await _tell(websocket, refusal("container not found: it does not run"))
        return
    session = _Session(websocket, request)
    try:
        status = await session.run(command)
    except (OSError, ValueError) as error:  # a null byte in the command is a ValueError
        await _tell(websocket, refusal(str(error)))
        return
    if status is not None:
        await _tell(websocket, outcome(status))


async def _tell(websocket: WebSocket, status: dict[str, object]) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        await websocket.send_bytes(bytes([_OUTCOME]) + json.dumps(status).encode())
        await websocket.close()


class _Session:
    def __init__(self, websocket: WebSocket, request: ExecRequest) -> None:
        self._websocket = websocket
        self._request = request
        self._terminal: int | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def run(self, command: EnteringCommand) -> int | None:
        """The exit code; None when the client left, and the command was ended."""
        child, outputs = await (self._on_terminal(command) if self._request.tty else self._on_pipes(command))
        reading = asyncio.ensure_future(self._receive())
        ended = asyncio.ensure_future(self._finish(child, outputs))
        try:
            await asyncio.wait({reading, ended}, return_when=asyncio.FIRST_COMPLETED)
            return ended.result() if ended.done() else None
        finally:
            for task in (reading, ended):
                task.cancel()
            await asyncio.gather(reading, ended, return_exceptions=True)
            if child.returncode is None:
                child.kill()
                await child.wait()
            if self._terminal is not None:
                os.close(self._terminal)

    async def _on_pipes(
        self, command: EnteringCommand
    ) -> tuple[asyncio.subprocess.Process, list["asyncio.Task[None]"]]:
        pipe, none = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        child = await asyncio.create_subprocess_exec(
            *command.line,
            env=command.environment,
            stdin=pipe if self._request.stdin else none,
            stdout=pipe,
            stderr=pipe,
        )
        self._writer = child.stdin
        assert child.stdout is not None  # both were asked for
        assert child.stderr is not None
        streams = ((_STDOUT, child.stdout), (_STDERR, child.stderr))
        return child, [asyncio.ensure_future(self._forward(*stream)) for stream in streams]

    async def _on_terminal(
        self, command: EnteringCommand
    ) -> tuple[asyncio.subprocess.Process, list["asyncio.Task[None]"]]:
        ours, theirs = pty.openpty()
        self._terminal = ours
        try:
            # A session of its own whose terminal this is; setsid(1) sets it.
            child = await asyncio.create_subprocess_exec(
                *("setsid", "--ctty", "--wait", *command.line),
                env={**_OF_A_TERMINAL, **command.environment},
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
            )
        finally:
            os.close(theirs)
        reader = await _reader(os.fdopen(os.dup(ours), "rb", buffering=0))
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, os.fdopen(os.dup(ours), "wb", buffering=0)
        )
        self._writer = asyncio.StreamWriter(transport, protocol, None, loop)
        return child, [asyncio.ensure_future(self._forward(_STDOUT, reader))]

    async def _forward(self, channel: int, source: asyncio.StreamReader) -> None:
        while data := await _read(source):
            await self._websocket.send_bytes(bytes([channel]) + data)

    async def _finish(self, child: asyncio.subprocess.Process, outputs: list["asyncio.Task[None]"]) -> int:
        status = await child.wait()
        await asyncio.gather(*outputs, return_exceptions=True)
        return 128 - status if status < 0 else status

    async def _receive(self) -> None:
        """What the client sends, until it leaves."""
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                message = await self._websocket.receive_bytes()
                if message:
                    await self._on_message(message[0], message[1:])

    async def _on_message(self, channel: int, data: bytes) -> None:
        if channel == _RESIZE and self._terminal is not None:
            _resize(self._terminal, data)
        elif channel == _CLOSE and data[:1] == bytes([_STDIN]) and self._writer is not None:
            if self._terminal is None:
                self._writer.close()
        elif channel == _STDIN and self._writer is not None:
            with contextlib.suppress(ConnectionError):
                self._writer.write(data)
                await self._writer.drain()


async def _reader(stream: IO[bytes]) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), stream)
    return reader


async def _read(source: asyncio.StreamReader) -> bytes:
    try:
        return await source.read(_CHUNK)
    except OSError:  # EIO: the terminal's other end was closed
        return b""


def _resize(terminal: int, data: bytes) -> None:
    try:
        size = json.loads(data)
        packed = struct.pack("HHHH", int(size["Height"]), int(size["Width"]), 0, 0)
    except (ValueError, KeyError, TypeError, struct.error):
        return
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, packed)
