"""A request as filters see it, without a proxy around it."""

from __future__ import annotations

from dataclasses import dataclass, field

from meshproxy.filters.api import Answer, AnswerHook, EndHook
from meshproxy.http.events import RequestHead
from meshproxy.http.head_memory import HeadMemory
from meshproxy.http.limits import HeadLimits

OK = b"HTTP/1.1 200 OK\r\n"


def head(*lines: str, method: str = "GET", target: str = "/") -> RequestHead:
    block = "\r\n".join((f"{method} {target} HTTP/1.1", "host: a", *lines))
    return HeadMemory().requests(HeadLimits()).parse(block.encode())[0]


@dataclass
class Request:
    """Implements `FilteredRequest`; `answered` and `end` are what the exchange does."""

    head: RequestHead = field(default_factory=head)
    principal: str = ""
    peer_address: str = "10.0.0.9"
    now: float = 1000.0
    is_forwarded: bool = True
    override: str = ""
    is_strict: bool = False
    hooks: list[AnswerHook] = field(default_factory=list)
    ends: list[EndHook] = field(default_factory=list)

    def after(self, hook: AnswerHook) -> None:
        self.hooks.append(hook)

    def at_end(self, hook: EndHook) -> None:
        self.ends.append(hook)

    def prefer_endpoint(self, address: str, *, strict: bool) -> None:
        self.override, self.is_strict = address, strict

    def answered(self, *lines: str, endpoint: str = "10.0.0.1:80", status: int = 200) -> list[str]:
        """Field lines of the client's answer when the upstream's has these."""
        forward = OK + "".join(f"{line}\r\n" for line in lines).encode()
        answer = Answer(status, forward, endpoint, is_local=not endpoint)
        for hook in reversed(self.hooks):
            hook(answer)
        assert answer.forward.startswith(OK)
        assert answer.forward.endswith(b"\r\n")
        return answer.forward.decode().split("\r\n")[1:-1]

    def end(self) -> None:
        for hook in self.ends:
            hook()
