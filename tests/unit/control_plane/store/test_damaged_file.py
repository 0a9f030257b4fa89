"""A store whose file is damaged says so, with the mend."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from control_plane.store.database import Database, DatabaseError
from control_plane.store.sqlite import SqliteStore


def _no_tables(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=1")
    connection.close()


def _broken_object(path: Path) -> None:
    database = Database(path)
    database.close()
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO object VALUES ('Pod', 'shop', 'web', '{broken')")
    connection.close()


def _noise(path: Path) -> None:
    path.write_bytes(b"noise" * 2000)


@pytest.mark.parametrize("damage", [_no_tables, _broken_object, _noise])
async def test_refused_by_name_with_the_mend(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    path = tmp_path / "state.db"
    damage(path)
    with pytest.raises(DatabaseError, match=f"store {path}.*move it away"):
        await SqliteStore.open(path)
