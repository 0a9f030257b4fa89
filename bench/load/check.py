"""The independent judge: asks like a client and compares status and body with what they must be.

It asks before a measurement, a few times a second while load runs, and after it; the load generator's own
counters are compared besides.
"""

from __future__ import annotations

import contextlib
import http.client
import random
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from bench.dataset import service_address
from bench.errors import WrongAnswer
from bench.network import connect
from bench.process import Process
from bench.shape import SERVICE_PORT, SHAPES, Shape, host_name

_READY_SECONDS = 60.0
_PERIOD = 0.2
"""Seconds between the judge's questions under load: few enough not to matter."""


class Checker:
    """Judges one side."""

    def __init__(self, namespace: Path, services: int, shapes: Sequence[Shape] = SHAPES) -> None:
        """`shapes`: what it asks everybody for, the first one of every Service."""
        self._namespace = namespace
        self._services = services
        self._shapes = shapes
        self._rng = random.Random(7)

    def ask(self, shape: Shape, index: int) -> None:
        """One request of a shape to Service `index`. Raises WrongAnswer, OSError, HTTPException."""
        with contextlib.closing(connect(self._namespace, service_address(index), SERVICE_PORT)) as connection:
            number = self._rng.getrandbits(32)
            connection.sendall(shape.request(host_name(index), number))
            response = http.client.HTTPResponse(connection, method=shape.method)
            response.begin()
            body = response.read()
        if response.status != 200 or body != shape.response_body:
            raise WrongAnswer(
                f"{shape.key} of {host_name(index)}: {response.status} with {len(body)} bytes "
                f"({body[:80]!r}), expected 200 with {len(shape.response_body)}"
            )
        for name, value in shape.response_headers:
            if (found := response.getheader(name)) != value:
                raise WrongAnswer(f"{shape.key} of {host_name(index)}: {name}: {found!r}, expected {value!r}")

    def ask_everything(self) -> None:
        """Every shape of one Service, and every Service once. Raises WrongAnswer."""
        try:
            for shape in self._shapes:
                self.ask(shape, 0)
            for index in range(self._services):
                self.ask(self._shapes[0], index)
        except (OSError, http.client.HTTPException) as error:
            raise WrongAnswer(f"no answer: {error!r}") from error

    def wait_until_right(self, processes: Iterable[Process]) -> None:
        """A side may say that it is ready before its last route works. Raises WrongAnswer after a while."""
        give_up_at = time.monotonic() + _READY_SECONDS
        while True:
            try:
                self.ask_everything()
                return
            except WrongAnswer as error:
                for process in processes:
                    process.check()
                if time.monotonic() > give_up_at:
                    tails = "\n".join(f"{each.name} said:\n{each.tail()}" for each in processes)
                    raise WrongAnswer(f"still after {_READY_SECONDS:g} s: {error}\n{tails}") from error
            time.sleep(0.2)

    @contextlib.contextmanager
    def watching(self, shape: Shape) -> Iterator[None]:
        """Ask now and then while the block runs, and at its end. Raises WrongAnswer after it."""
        stop, wrong = threading.Event(), []

        def watch() -> None:
            while not stop.wait(_PERIOD):
                try:
                    self.ask(shape, self._rng.randrange(self._services))
                except (WrongAnswer, OSError, http.client.HTTPException) as error:
                    wrong.append(error)
                    return

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        if wrong:
            raise WrongAnswer(f"under load: {wrong[0]}") from wrong[0]
        self.ask(shape, 0)
