"""The SQLite store: the shared suite, and what only a file can do: restarts, crashes, compaction."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from control_plane.resources.manifest import metadata, name_of
from control_plane.store.api import EventType, HistoryGone, Store, StoreClosed
from control_plane.store.database import DatabaseError
from control_plane.store.sqlite import SqliteStore
from tests.unit.control_plane.store.conformance import StoreConformance, config_map, namespace, take


class TestSqliteStore(StoreConformance):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        store = await SqliteStore.open(tmp_path / "state.db")
        yield store
        await store.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


async def test_a_restart_keeps_objects_versions_and_history(path: Path) -> None:
    store = await SqliteStore.open(path, now=lambda: 0.0)
    await store.create(namespace("shop"))
    created = await store.create(config_map("a"))
    await store.update(config_map("a", "2"))
    await store.create(config_map("b"))
    await store.delete("ConfigMap", "shop", "b")
    before = await store.list("ConfigMap")
    await store.close()

    store = await SqliteStore.open(path)
    assert await store.list("ConfigMap") == before
    assert metadata(created)["creationTimestamp"] == "1970-01-01T00:00:00Z"
    replayed = await take(store.events(2), 3)
    assert [event.type for event in replayed] == [EventType.MODIFIED, EventType.ADDED, EventType.DELETED]
    assert replayed[0].previous == created
    assert replayed[2].previous == replayed[1].resource
    assert await store.create(config_map("c"))
    assert store.resource_version == 6
    await store.close()


async def test_versions_go_on_after_a_restart_of_an_emptied_store(path: Path) -> None:
    store = await SqliteStore.open(path, retained=1)
    for _ in range(3):
        await store.create(namespace("shop"))
        await store.delete("Namespace", "", "shop")
    await store.close()
    store = await SqliteStore.open(path, retained=1)
    assert store.resource_version == 6
    await store.close()


async def test_compaction_keeps_the_last_changes_and_refuses_older_ones(path: Path) -> None:
    store = await SqliteStore.open(path, retained=4)
    for number in range(20):
        await store.create(namespace(f"n{number}"))
    assert len(await take(store.events(16), 4)) == 4
    with pytest.raises(HistoryGone, match="resource version 3 is too old"):
        store.events(3)
    await store.close()

    store = await SqliteStore.open(path, retained=4)
    assert len(await take(store.events(16), 4)) == 4
    with pytest.raises(HistoryGone):
        store.events(3)
    await store.close()
    rows = sqlite3.connect(path)
    (kept,) = rows.execute("SELECT count(*) FROM event").fetchone()
    rows.close()
    assert 4 <= kept < 8


async def test_a_reader_that_falls_behind_is_ended_and_costs_nothing(path: Path) -> None:
    store = await SqliteStore.open(path, retained=4)
    slow = store.events(0)
    for number in range(20):
        await store.create(namespace(f"n{number}"))
    with pytest.raises(HistoryGone):
        await anext(slow)
    with pytest.raises(StopAsyncIteration):
        await anext(slow)
    await store.close()


async def test_closing_ends_readers_and_refuses_writers(path: Path) -> None:
    store = await SqliteStore.open(path)
    events = store.events(0)
    pending = asyncio.ensure_future(store.create(namespace("shop")))
    await asyncio.sleep(0)
    await store.close()
    await store.close()
    assert name_of(await pending) == "shop"
    with pytest.raises(StopAsyncIteration):
        await anext(events)
    with pytest.raises(StoreClosed):
        await store.create(namespace("bank"))


async def test_an_operation_that_breaks_fails_alone(path: Path) -> None:
    store = await SqliteStore.open(path)
    outcomes = await asyncio.gather(
        store.create({**namespace("a"), "data": {1, 2}}), store.create(namespace("b")), return_exceptions=True
    )
    assert isinstance(outcomes[0], TypeError)
    assert [name_of(item) for item in (await store.list("Namespace")).items] == ["b"]
    await store.close()


async def test_more_writers_than_fit_one_commit(path: Path) -> None:
    store = await SqliteStore.open(path)
    await asyncio.gather(*(store.create(namespace(f"n{number}")) for number in range(600)))
    assert (await store.list("Namespace")).resource_version == 600
    await store.close()


async def test_a_failed_commit_changes_nothing_and_is_told(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = await SqliteStore.open(path)
    await store.create(namespace("a"))
    await store.put_once("b", "k", 1.0)

    def full_disk(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with pytest.raises(sqlite3.OperationalError, match="full"):
        await store._writer.run(full_disk)
    assert "a commit of 1 operations failed" in caplog.text
    await store.create(namespace("b"))
    assert store.resource_version == 2
    await store.close()


async def test_the_file_is_private_and_used_by_one_process(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await SqliteStore.open(path)
    assert os.stat(path).st_mode & 0o777 == 0o600
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda *args, **kwargs: connect(*args, **{**kwargs, "timeout": 0.01})
    )
    with pytest.raises(DatabaseError, match="locked"):
        await SqliteStore.open(path)
    await store.close()


async def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"missing/state\.db"):
        await SqliteStore.open(tmp_path / "missing" / "state.db")
    (tmp_path / "text").write_text(
        "this is not a database, but long enough to be read as the header of one" * 9
    )
    with pytest.raises(DatabaseError, match="not a database"):
        await SqliteStore.open(tmp_path / "text")
    newer = sqlite3.connect(tmp_path / "newer")
    newer.execute("PRAGMA user_version=99")
    newer.close()
    with pytest.raises(DatabaseError, match="schema 99"):
        await SqliteStore.open(tmp_path / "newer")


_WRITER = """
import asyncio, sys
from pathlib import Path
from control_plane.store.sqlite import SqliteStore

async def main():
    store = await SqliteStore.open(Path(sys.argv[1]))
    async def write(number):
        await store.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"n{number}"}})
        print(number, flush=True)
    for first in range(0, 100_000, 5):
        await asyncio.gather(*(write(first + offset) for offset in range(5)))

asyncio.run(main())
"""


def _write_until_killed(path: Path) -> list[str]:
    """The names whose creation a process acknowledged before it was killed in the middle of its work."""
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    acknowledged = [writer.stdout.readline().strip() for _ in range(50)]
    os.kill(writer.pid, signal.SIGKILL)
    acknowledged += writer.stdout.read().split()
    writer.wait()
    writer.stdout.close()
    return [f"n{number}" for number in acknowledged]


async def test_nothing_acknowledged_is_lost_by_kill_9(path: Path) -> None:
    acknowledged = _write_until_killed(path)

    store = await SqliteStore.open(path)
    listing = await store.list("Namespace")
    names = {name_of(item) for item in listing.items}
    assert set(acknowledged) <= names
    assert listing.resource_version == len(names)
    await store.close()
