"""The embedded API server answers as kube-apiserver v1.20.2 did to the same requests, in the same order.

`kubernetes_answers.json` holds requests and what was answered: code, reason, the fields of causes, names of
lists, columns of tables. Where ours answers otherwise, `DIFFERENT` says what, and docs/rest_api.md why.
"""

import json
import ssl
from pathlib import Path
from typing import Any

import httpx

from tests.unit.control_plane.apiserver.serving import serving

CASES: list[dict[str, Any]] = json.loads(Path(__file__).with_name("kubernetes_answers.json").read_text())
INVALID = {"code": 422, "reason": "Invalid"}
BAD_REQUEST = {"code": 400, "reason": "BadRequest"}


def invalid(*fields: str, reason: str = "FieldValueInvalid") -> dict[str, Any]:
    return {**INVALID, "causes": [[reason, field] for field in fields]}


DIFFERENT: dict[str, dict[str, Any]] = {
    # A lab runs commands, not images.
    "pod no image": {"code": 201},
    # v1.20 refuses to replace a Service without its resourceVersion and addresses; later versions do not.
    # What comes next finds other ports there.
    "svc put": {"code": 200},
    "svc strat ports": {"code": 200},
    # Types and unknown fields are named; old versions fail in the decoder.
    "cm number value": invalid("data.a", reason="FieldValueTypeInvalid"),
    "ssa unknown field": invalid("bogus", reason="FieldValueForbidden"),
    # Not the client's fault in old versions.
    "cm put badrv": {"code": 409, "reason": "Conflict"},
    "rv list bad": BAD_REQUEST,
    "watch bad rv": BAD_REQUEST,
    "dep strat bad": BAD_REQUEST,
    # Requests that are wrong in themselves.
    "cm dry bad": BAD_REQUEST,
    "cm merge bad": BAD_REQUEST,
    "ssa nomanager": INVALID,
    "delete bad propagation": INVALID,
    "rv match": INVALID,
    "group unknown": {"code": 404, "reason": "NotFound"},
    # Rules about several fields have one cause.
    "fin put new finalizer": invalid("metadata.finalizers", reason="FieldValueForbidden"),
    "svc no ports": invalid("spec"),
    "svc dup ports": invalid("spec"),
    "svc ip taken": invalid("spec.clusterIP"),
    "svc ip out": invalid("spec.clusterIP"),
    "pod dup container": invalid("spec"),
    "pod no containers": invalid("spec.containers"),
    "pod volume missing": invalid("spec"),
    "dep selector": invalid("spec"),
    "dep sel mismatch": invalid("spec"),
}


async def test_the_same_requests_get_the_same_answers(tmp_path: Path) -> None:
    async with serving(tmp_path) as serve:
        trust = ssl.create_default_context(cadata=serve.config.ca_pem)
        headers = {"Authorization": f"Bearer {serve.config.token}"}
        async with httpx.AsyncClient(base_url=serve.config.server, verify=trust, headers=headers) as client:
            found = {case["title"]: verdict(await ask(client, case)) for case in CASES}
    wanted = {case["title"]: DIFFERENT.get(case["title"], case["answer"]) for case in CASES}
    differing = {title: (answer, wanted[title]) for title, answer in found.items() if answer != wanted[title]}
    assert differing == {}
    assert DIFFERENT.keys() <= wanted.keys()


async def ask(client: httpx.AsyncClient, case: dict[str, Any]) -> httpx.Response:
    body = case["body"]
    content = body if body is None or isinstance(body, str) else json.dumps(body)
    return await client.request(
        case["method"], case["path"], params=case["params"], headers=case["headers"], content=content
    )


def verdict(answer: httpx.Response) -> dict[str, Any]:
    """What of an answer is compared."""
    try:
        body = answer.json()
    except ValueError:
        body = {}
    found: dict[str, Any] = {"code": answer.status_code}
    if body.get("kind") == "Status":
        if body.get("reason"):
            found["reason"] = body["reason"]
        if causes := body.get("details", {}).get("causes"):
            found["causes"] = sorted([cause.get("reason", ""), cause.get("field", "")] for cause in causes)
    if body.get("kind") == "Table":
        found["columns"] = [column["name"] for column in body["columnDefinitions"]]
    elif body.get("kind", "").endswith("List"):
        found["names"] = sorted(item["metadata"]["name"] for item in body["items"])
    elif "data" in body:
        found["data"] = body["data"]
    return found
