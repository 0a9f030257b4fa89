"""What is asked: `web -> catalog:8080` (pure)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_ARROWS = ("->", "→", "to")
_WORD = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?\.?")


class BadQuestion(ValueError):
    """It does not say who calls whom; the message says how to."""


@dataclass(frozen=True, slots=True)
class Question:
    """Who does not reach whom."""

    client: str
    """Name of a Pod or Deployment."""
    client_namespace: str
    """Empty: wherever there is one of this name."""
    host: str
    """As the client would call it: `catalog`, `catalog.shop`, `catalog.shop.svc.cluster.local`."""
    port: int | None
    """None: the Service's only one."""

    def __str__(self) -> str:
        place = f"{self.client_namespace}/" if self.client_namespace else ""
        return f"{place}{self.client} -> {self.host}{'' if self.port is None else f':{self.port}'}"


def parse_question(words: Sequence[str]) -> Question:
    """From the command line's words: with an arrow, in one word or several, or without one.

    Raises BadQuestion.
    """
    if list(words[1:]) == ["-"]:
        raise BadQuestion("the shell took `>` as its own and wrote a file; quote it: 'web -> catalog:8080'")
    text = " ".join(words).replace("→", "->").replace("->", " -> ")
    parts = [part for part in text.split() if part not in _ARROWS]
    if len(parts) != 2:
        raise BadQuestion(f"{text.strip()!r}: say who calls whom, as in 'web -> catalog:8080'")
    client, destination = parts
    namespace, name = _client(client)
    host, port = _destination(destination)
    return Question(name, namespace, host, port)


def _client(word: str) -> tuple[str, str]:
    """`web`, `shop/web` or `web.shop`."""
    namespace, _, name = word.rpartition("/")
    if not namespace:
        name, _, namespace = word.partition(".")
    if not _WORD.fullmatch(name) or (namespace and not _WORD.fullmatch(namespace)):
        raise BadQuestion(f"client {word!r}: use a Pod's or Deployment's name, NAME or NAMESPACE/NAME")
    return namespace, name


def _destination(word: str) -> tuple[str, int | None]:
    host, colon, port = word.removeprefix("http://").rstrip("/").partition(":")
    if not _WORD.fullmatch(host):
        raise BadQuestion(f"destination {word!r}: use a Service's name and port, as in catalog:8080")
    if colon and not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise BadQuestion(f"destination {word!r}: {port!r} is not a port, 1-65535")
    return host.rstrip("."), int(port) if colon else None


def service_of(host: str, namespace: str) -> tuple[str, str]:
    """(namespace, name) of the Service that a client in `namespace` means by `host`."""
    name, *rest = host.removesuffix(".cluster.local").removesuffix(".svc").split(".")
    return (rest[0] if rest else namespace), name
