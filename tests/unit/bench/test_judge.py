"""What is accepted as an answer, and as a sidecar that may be measured."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from bench.errors import BenchError, WrongAnswer
from bench.load import check
from bench.load.check import Checker
from bench.proxies import data_path_of, worker_pids_of
from bench.shape import SMALL_BODY, Shape

SHAPE = Shape("edited", "", "/", response_headers=(("x-rule", "late"), ("x-removed", None)))


def judge(monkeypatch: pytest.MonkeyPatch, head: bytes) -> None:
    """Ask somebody who answers with `head` among the headers."""
    asker, answerer = socket.socketpair()
    with answerer:
        answerer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n" + head + b"\r\n" + SMALL_BODY)
        monkeypatch.setattr(check, "connect", lambda *_: asker)
        Checker(Path("nowhere"), 1, (SHAPE,)).ask(SHAPE, 0)


def test_edited_heads_are_accepted(monkeypatch):
    judge(monkeypatch, b"X-Rule: late\r\n")


@pytest.mark.parametrize("head", [b"", b"X-Rule: early\r\n", b"X-Rule: late\r\nX-Removed: yes\r\n"])
def test_heads_that_were_not_edited_are_wrong(monkeypatch, head):
    with pytest.raises(WrongAnswer, match="x-r"):
        judge(monkeypatch, head)


@pytest.mark.parametrize("data_path", ["compiled", "sources"])
def test_the_data_path_is_what_the_sidecar_says(data_path):
    page = json.dumps({"data_path": data_path, "compiled_modules": "not built"}).encode()
    assert data_path_of(page, "client") == data_path


def test_a_sidecar_with_outdated_modules_is_not_measured():
    page = json.dumps({"data_path": "sources", "compiled_modules": "outdated: …"}).encode()
    with pytest.raises(BenchError, match="client: compiled modules are outdated"):
        data_path_of(page, "client")


def test_the_processes_that_carry_traffic_are_the_sidecar_or_its_workers():
    assert worker_pids_of(b'{"pid": 7}') == [7]
    assert worker_pids_of(b'{"pid": 7, "workers": [{"pid": 8}, {"pid": 9}]}') == [8, 9]
