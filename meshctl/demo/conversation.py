"""A connection to the shop's greeter, kept open from inside a pod and spoken to line by line."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from meshctl.demo.mesh import DemoError, DemoMesh, finish

_ANSWER_TIMEOUT = 10.0


class Conversation:
    """`examples/shop/talk.py` in a pod."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.opened_at = time.monotonic()

    async def line(self) -> str:
        """The next line of the server. Raises DemoError when there is none."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT):
                found = await self._process.stdout.readline()
        except TimeoutError:
            raise DemoError(f"greeter said nothing for {_ANSWER_TIMEOUT:g} s") from None
        if not found:
            assert self._process.stderr is not None
            raise DemoError(f"greeter: {(await self._process.stderr.read()).decode().strip()}")
        return found.decode().strip()

    async def say(self, text: str) -> str:
        """Send a line; the line that comes back."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\n".encode())
        await self._process.stdin.drain()
        return await self.line()

    async def half_close(self) -> str:
        """End our direction; what the server says last."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return await self.line()

    async def close(self) -> None:
        """Whatever state it is in."""
        await finish(self._process)


@asynccontextmanager
async def conversation(mesh: DemoMesh, pod: str) -> AsyncIterator[Conversation]:
    """From `pod` to the greeter."""
    process = await mesh.start(
        pod, "python", "-m", "examples.shop.talk", "greeter", "9000", "--timeout", "60"
    )
    opened = Conversation(process)
    try:
        yield opened
    finally:
        await opened.close()
