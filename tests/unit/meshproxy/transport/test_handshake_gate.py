"""Handshakes take turns: few steps at once, few places, nobody waits behind a peer that dawdles."""

from __future__ import annotations

import asyncio

import pytest

from meshproxy.transport import handshake_gate
from meshproxy.transport.handshake_gate import STEPS_PER_TURN, Admission, HandshakeGate


async def turn() -> None:
    await asyncio.sleep(0)


def nothing() -> None:
    pass


async def test_a_turn_of_the_loop_does_a_few_steps_and_leaves_the_rest_for_the_next():
    gate, done = HandshakeGate(), list[int]()
    for number in range(2 * STEPS_PER_TURN + 1):
        gate.run(lambda number=number: done.append(number))
    assert done == []
    for finished in (STEPS_PER_TURN, 2 * STEPS_PER_TURN, 2 * STEPS_PER_TURN + 1):
        await turn()
        assert done == list(range(finished))
    gate.run(lambda: done.append(-1))
    await turn()
    assert done[-1] == -1


async def test_a_step_that_fails_stops_no_other():
    gate, done, failures = HandshakeGate(), list[str](), list[object]()
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: failures.append(context["exception"])
    )

    def breaks() -> None:
        raise ValueError("a bug")

    gate.run(breaks)
    gate.run(lambda: done.append("next"))
    await turn()
    await turn()
    assert done == ["next"]
    assert [str(failure) for failure in failures] == ["a bug"]


async def test_who_comes_first_gets_the_next_place():
    gate, begun = HandshakeGate(at_once=2), list[str]()
    places: dict[str, Admission] = {}
    for name in "abcde":
        admission = gate.admit(lambda name=name: begun.append(name), nothing)
        assert admission is not None
        places[name] = admission
    await turn()
    assert begun == ["a", "b"]
    assert (gate.under_way, gate.waiting) == (2, 3)
    places["b"].leave()
    places["b"].leave()  # leaving twice frees one place
    await turn()
    assert begun == ["a", "b", "c"]
    places["d"].leave()  # the one that waits may give up
    places["a"].leave()
    await turn()
    assert begun == ["a", "b", "c", "e"]
    assert (gate.under_way, gate.waiting) == (2, 0)


async def test_more_than_may_wait_are_turned_away():
    gate = HandshakeGate(at_once=1, max_waiting=1)
    first, second = gate.admit(nothing, nothing), gate.admit(nothing, nothing)
    assert first is not None
    assert second is not None
    assert gate.admit(nothing, nothing) is None
    first.leave()
    assert gate.admit(nothing, nothing) is not None


async def test_a_silent_peer_loses_its_place_when_others_wait(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(handshake_gate, "PATIENCE", 0.01)
    gate, ended = HandshakeGate(at_once=1), asyncio.Event()

    def cut() -> None:
        assert silent is not None
        silent.leave()

    silent = gate.admit(nothing, cut)
    following = gate.admit(ended.set, nothing)
    await asyncio.wait_for(ended.wait(), 30)
    assert following is not None
    assert (gate.under_way, gate.waiting) == (1, 0)
    following.leave()
    following.cut()  # over: nothing is left to cut
    assert gate.under_way == 0


async def test_nobody_is_cut_while_there_are_places(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(handshake_gate, "PATIENCE", 0.0)
    gate, cuts = HandshakeGate(at_once=1), list[str]()
    first = gate.admit(nothing, lambda: cuts.append("first"))
    second = gate.admit(nothing, lambda: cuts.append("second"))
    assert first is not None
    assert second is not None
    second.leave()
    await asyncio.sleep(0.01)
    assert cuts == []
    first.leave()
