"""The HTTP/1.1 corpus: one file a case, the bytes as a peer sends them, and `verdicts.json` beside them.

`request/` is what a client sends on one connection, `response/` what a server answers one request with; the
connection then ends. A name that ends in `-eof` says that this end comes too early. In `verdicts.json`, by
case:

- `ours`: `messages` complete before anything was refused, and `status` and `reason` of the refusal if any;
- `envoy`: measured by `envoy_verdicts.py`, never written by hand. Of a request case: `statuses` it answered
  with and `requests` that its upstream saw. Of a response case: the `status` its client got, and whether the
  message was `complete`;
- `exception`: why we take what Envoy refuses. `docs/http1.md` tells them all.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, TypedDict

CORPUS: Final = Path(__file__).parent / "corpus" / "http1"
VERDICTS: Final = CORPUS / "verdicts.json"


class OurVerdict(TypedDict, total=False):
    messages: int
    status: int
    reason: str


class EnvoyVerdict(TypedDict, total=False):
    statuses: list[int]
    requests: int
    status: int
    complete: bool


class CaseVerdicts(TypedDict, total=False):
    ours: OurVerdict
    envoy: EnvoyVerdict
    exception: str


class Verdicts(TypedDict):
    envoy_version: str
    cases: dict[str, CaseVerdicts]


def load(kind: str) -> dict[str, bytes]:
    """Bytes of every case of `request` or `response`, by name like `request/cl-te`."""
    found = {f"{kind}/{path.stem}": path.read_bytes() for path in sorted((CORPUS / kind).glob("*.http"))}
    assert found, f"no corpus in {CORPUS / kind}"
    return found


def load_verdicts() -> Verdicts:
    verdicts: Verdicts = json.loads(VERDICTS.read_text())
    return verdicts


def method_of(case: str) -> bytes:
    """Method of the request that a response case answers."""
    return b"HEAD" if case.startswith("response/answers-head") else b"GET"


def dump(verdicts: Verdicts) -> str:
    """JSON with a line for every verdict, so that a change is one line of a diff."""
    shown = []
    for case, verdict in verdicts["cases"].items():
        parts = ",\n".join(f"   {json.dumps(key)}: {json.dumps(value)}" for key, value in verdict.items())
        shown.append(f"  {json.dumps(case)}: {{\n{parts}\n  }}")
    body = ",\n".join(shown)
    return f'{{\n "envoy_version": {json.dumps(verdicts["envoy_version"])},\n "cases": {{\n{body}\n }}\n}}\n'
