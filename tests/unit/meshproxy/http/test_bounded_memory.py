import pytest

from meshproxy.http import bounded_memory
from meshproxy.http.bounded_memory import BoundedMemory, ParsedMemory


def memory(max_entries=4, max_bytes=1000, max_key=100):
    return BoundedMemory(max_entries=max_entries, max_bytes=max_bytes, max_key=max_key)


def learn(table, *keys):
    for key in keys:
        table.offer(key, key)
        table.offer(key, key)


def test_the_doorkeeper_admits_at_the_second_sighting():
    table = memory()
    assert not table.offer(b"a", 1)
    assert table.get(b"a") is None
    assert table.offer(b"a", 1)
    assert table.get(b"a") == 1
    assert not table.offer(b"a", 2)
    assert table.get(b"a") == 1


def test_a_long_key_is_not_kept():
    table = memory(max_key=3)
    learn(table, b"abcd")
    assert table.size == 0


def test_entries_are_bounded_over_two_generations():
    table = memory(max_entries=4)
    learn(table, *[b"%d" % number for number in range(100)])
    assert table.size <= 8


def test_key_bytes_are_bounded():
    table = memory(max_entries=1000, max_bytes=50, max_key=40)
    learn(table, *[b"%040d" % number for number in range(100)])
    assert table.size == 2


def test_what_is_used_survives_a_flood_and_what_is_not_is_forgotten():
    table = memory(max_entries=4)
    learn(table, b"hot", b"cold")
    for number in range(100):
        learn(table, b"%d" % number)
        assert (table.get(b"hot") or table.recall(b"hot")) == b"hot"
    assert table.recall(b"cold") is None


def test_the_doorkeepers_marks_are_bounded(monkeypatch):
    monkeypatch.setattr(bounded_memory, "_DOOR_MARKS", 2)
    table = memory()
    for key in (b"a", b"b", b"c"):
        table.offer(key, 1)
    assert not table.offer(b"a", 1)


def test_parsed_memory_parses_until_it_remembers():
    calls = []

    def parse(key):
        calls.append(key)
        return key.upper()

    table = ParsedMemory(parse, max_entries=1, max_bytes=100, max_key=10)
    assert [table[b"a"] for _ in range(4)] == [b"A"] * 4
    assert calls == [b"a", b"a"]
    assert [table[b"b"] for _ in range(3)] == [b"B"] * 3
    assert table[b"a"] == b"A"
    assert calls == [b"a", b"a", b"b", b"b"]


def test_parsed_memory_does_not_remember_failures():
    table = ParsedMemory(int, max_entries=1, max_bytes=100, max_key=10)
    for _ in range(3):
        with pytest.raises(ValueError):
            table[b"x"]
    assert table.size == 0
