"""Which modules are compiled, and where the result lives (pure).

What is here is on the way of every request and touches mostly what is here too: a call between compiled and
interpreted code costs more than one between two of a kind. The sources are ordinary Python, typed; mypyc
wants of them that classes have no base that is not compiled, and that nobody refers to them weakly.
"""

from __future__ import annotations

import hashlib
import json
import sysconfig
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

MODULES: Final = (
    "meshproxy.http.bounded_memory",
    "meshproxy.http.chunked",
    "meshproxy.http.events",
    "meshproxy.http.field_line",
    "meshproxy.http.grpc",
    "meshproxy.http.h1_scan",
    "meshproxy.http.h1_strict",
    "meshproxy.http.h2.block_writer",
    "meshproxy.http.h2.frame",
    "meshproxy.http.h2.hpack",
    "meshproxy.http.h2.huffman",
    "meshproxy.http.h2.inflow",
    "meshproxy.http.h2.message",
    "meshproxy.http.h2.outflow",
    "meshproxy.http.h2.session",
    "meshproxy.http.h2.settings",
    "meshproxy.http.h2.static_table",
    "meshproxy.http.h2.stream",
    "meshproxy.http.head_memory",
    "meshproxy.http.head_template",
    "meshproxy.http.limits",
    "meshproxy.http.message_reader",
    "meshproxy.http.request_head",
    "meshproxy.http.response_head",
    "meshproxy.http.start_line",
    "meshproxy.http.syntax",
    "meshproxy.policy.timeout_wheel",
    "meshproxy.proxy.client_side",
    "meshproxy.proxy.h2_connection",
    "meshproxy.proxy.h2_exchange",
    "meshproxy.proxy.http_connection",
    "meshproxy.proxy.http_exchange",
    "meshproxy.proxy.http_manager",
    "meshproxy.proxy.http_stream",
    "meshproxy.proxy.reporter",
    "meshproxy.proxy.request_body",
    "meshproxy.proxy.services",
    "meshproxy.proxy.upgrade",
    "meshproxy.routing.candidates",
    "meshproxy.routing.cluster_choice",
    "meshproxy.routing.head_edit",
    "meshproxy.routing.match",
    "meshproxy.routing.path_index",
    "meshproxy.routing.request_facts",
    "meshproxy.routing.table",
    "meshproxy.routing.virtual_host",
    "meshproxy.upstream.balancer.round_robin",
    "meshproxy.upstream.by_alpn",
    "meshproxy.upstream.cluster",
    "meshproxy.upstream.connections",
    "meshproxy.upstream.endpoint",
    "meshproxy.upstream.h2_connection",
    "meshproxy.upstream.http_connection",
    "meshproxy.upstream.lane",
    "meshproxy.upstream.pool",
)

FOLDER: Final = "meshproxy_compiled"
"""Beside the installed packages: visible wherever the interpreter is, never in the source tree."""
MANIFEST: Final = "manifest.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was compiled from what."""

    interpreter: str
    """`sysconfig`'s EXT_SUFFIX: extension modules of one do not load in another."""
    sources: dict[str, str]
    """Module -> SHA-256 of its source."""
    files: dict[str, str]
    """Module (and the shared library they are in) -> file name."""

    def text(self) -> str:
        return json.dumps(asdict(self), indent=1, sort_keys=True)

    @classmethod
    def parse(cls, text: str) -> Manifest:
        """Raises ValueError, KeyError or TypeError for what `text` did not make."""
        return cls(**json.loads(text))


def folder() -> Path:
    return Path(sysconfig.get_path("purelib")) / FOLDER


def interpreter() -> str:
    return str(sysconfig.get_config_var("EXT_SUFFIX"))


def source_of(module: str, root: Path) -> Path:
    """`root` is the directory that holds `meshproxy/`."""
    return root / (module.replace(".", "/") + ".py")


def digests(root: Path) -> dict[str, str]:
    """SHA-256 of every module's source. Raises FileNotFoundError."""
    return {module: hashlib.sha256(source_of(module, root).read_bytes()).hexdigest() for module in MODULES}
