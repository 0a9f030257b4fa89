"""Reading over HTTP: forms of an answer, versions, bookmarks, compression."""

import asyncio
import gzip
import json

import pytest

from control_plane.apiserver import watch
from tests.unit.control_plane.apiserver.conftest import Api

PODS = "/api/v1/namespaces/default/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


async def get(api: Api, accept: str, path: str = PODS, **params: str):
    return await api.http.get(path, headers={"Accept": accept}, params=params)


@pytest.fixture
async def two(api: Api) -> Api:
    for name in ("a", "b"):
        await api.call("POST", PODS, {"metadata": {"name": name}, "data": {"k": "v"}})
    return api


async def test_a_table(two: Api):
    answer = (await get(two, TABLE)).json()
    assert (answer["kind"], answer["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert [column["name"] for column in answer["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert [row["cells"][:2] for row in answer["rows"]] == [["a", 1], ["b", 1]]
    assert answer["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert answer["metadata"]["resourceVersion"] == str(two.store.resource_version)
    whole = (await get(two, TABLE, includeObject="Object")).json()
    assert whole["rows"][0]["object"]["data"] == {"k": "v"}
    bare = (await get(two, TABLE, f"{PODS}/a", includeObject="None")).json()
    assert [row["object"] for row in bare["rows"]] == [None]
    assert (await get(two, TABLE, includeObject="all")).status_code == 400


async def test_only_metadata(two: Api):
    many = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    answer = (await get(two, many)).json()
    assert answer["kind"] == "PartialObjectMetadataList"
    assert "data" not in answer["items"][0]
    one = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    assert (await get(two, one, f"{PODS}/a")).json()["metadata"]["name"] == "a"


@pytest.mark.parametrize(
    "accept",
    [
        "application/yaml",
        "application/json;as=Table;v=v7;g=meta.k8s.io",
        "application/json;as=Nonsense;v=v1;g=meta.k8s.io",
        "application/vnd.kubernetes.protobuf",
    ],
)
async def test_forms_that_are_not_served(two: Api, accept: str):
    answer = await get(two, accept)
    assert (answer.status_code, answer.json()["reason"]) == (406, "NotAcceptable")
    assert (await get(two, f"{accept},*/*")).json()["kind"] == "ConfigMapList"


async def test_versions(two: Api):
    now = str(two.store.resource_version)
    for parameters in ({"resourceVersion": now, "resourceVersionMatch": "Exact"}, {"resourceVersion": "0"}):
        assert (await two.call("GET", PODS, **parameters))[0] == 200
    old = {"resourceVersion": "1", "resourceVersionMatch": "Exact"}
    assert (await two.call("GET", PODS, **old))[0] == 410
    code, answer = await two.call("GET", PODS, resourceVersion="999")
    assert (code, answer["reason"]) == (504, "Timeout")


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"resourceVersionMatch": "Exact"}, 422),
        ({"resourceVersionMatch": "Exact", "resourceVersion": "0"}, 422),
        ({"resourceVersionMatch": "Nearly", "resourceVersion": "1"}, 422),
        ({"sendInitialEvents": "true"}, 422),
        ({"watch": "1", "sendInitialEvents": "true"}, 422),
        ({"watch": "1", "resourceVersionMatch": "NotOlderThan", "resourceVersion": "1"}, 422),
        ({"limit": "-1"}, 400),
        ({"continue": "x"}, 400),
    ],
)
async def test_queries_that_are_refused(api: Api, parameters: dict[str, str], code: int):
    assert (await api.call("GET", PODS, **parameters))[0] == code


async def watched(api: Api, accept: str = "application/json", **parameters: str) -> list[dict]:
    api.app.streams.close()  # so that the watch ends after what it has to tell at once
    answer = await get(api, accept, watch="true", **parameters)
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_a_watch_that_begins_with_everything_tells_where_that_ends(two: Api):
    begin = {
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
    }
    events = await watched(two, **begin)
    assert [event["type"] for event in events] == ["ADDED", "ADDED", "BOOKMARK"]
    meta = events[-1]["object"]["metadata"]
    assert meta["annotations"] == {watch.INITIAL_EVENTS_END: "true"}
    assert meta["resourceVersion"] == str(two.store.resource_version)
    del begin["sendInitialEvents"], begin["resourceVersionMatch"]
    without = {"sendInitialEvents": "false", "resourceVersionMatch": "NotOlderThan"}
    assert await watched(two, **without) == []


async def test_a_watch_in_tables_tells_the_columns_once(two: Api):
    first, second = await watched(two, TABLE)
    assert first["object"]["columnDefinitions"]
    assert second["object"]["columnDefinitions"] is None
    assert second["object"]["rows"][0]["cells"][0] == "b"


async def test_too_old_a_watch_is_told_so_in_the_stream(tmp_path, two: Api):
    two.store._log._events.clear()
    (event,) = await watched(two, resourceVersion="1")
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")


async def test_silence_is_broken_by_bookmarks(two: Api):
    events = two.store.events(two.store.resource_version, {"Pod"})
    lines = watch.event_lines(
        [],
        events,
        namespace="",
        selection=watch.Selection(),
        streams=watch.WatchStreams(),
        lifetime=60,
        bookmarks=watch.Bookmarks({"kind": "Pod", "apiVersion": "v1"}, interval=0.01),
    )
    async with asyncio.timeout(30):
        before = json.loads(await anext(lines))
        await two.call("POST", PODS, {"metadata": {"name": "c"}})
        while (after := json.loads(await anext(lines))) == before:
            pass
    assert after["type"] == "BOOKMARK"
    assert after["object"]["metadata"]["resourceVersion"] == str(two.store.resource_version)
    await lines.aclose()  # type: ignore[attr-defined]


async def test_big_answers_are_compressed(two: Api):
    await two.call("POST", PODS, {"metadata": {"name": "big"}, "data": {"k": "v" * 200_000}})
    async with two.http.stream("GET", PODS, headers={"Accept-Encoding": "gzip"}) as answer:
        content = b"".join([part async for part in answer.aiter_raw()])
        assert answer.headers["content-encoding"] == "gzip"
    assert len(json.loads(gzip.decompress(content))["items"]) == 3
    plain = await two.http.get(PODS, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
