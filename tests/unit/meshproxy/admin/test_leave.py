"""The sidecar's preStop hook: one request to the admin port, and what is said when it fails."""

import http.server
import threading
from collections.abc import Iterator

import pytest

from meshproxy.admin import leave as hook


class _Admin(http.server.BaseHTTPRequestHandler):
    status = 200
    asked: list[str]

    def do_POST(self) -> None:
        self.asked.append(self.path)
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def admin() -> Iterator[http.server.HTTPServer]:
    _Admin.asked, _Admin.status = [], 200
    with http.server.HTTPServer(("127.0.0.1", 0), _Admin) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_it_has_the_sidecar_drain_and_go_on(
    admin: http.server.HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hook, "_ADMIN_PORT", admin.server_port)
    assert hook.main() == 0
    assert _Admin.asked == ["/drain?skip_exit=true"]


def test_what_goes_wrong_is_said(
    admin: http.server.HTTPServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hook, "_ADMIN_PORT", admin.server_port)
    _Admin.status = 404
    assert hook.main() == 1
    assert capsys.readouterr().err == f"sidecar at port {admin.server_port}: the answer is 404\n"


def test_who_does_not_speak_http_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def request(self, *_: object) -> None:
            raise hook.http.client.BadStatusLine("no")

        def close(self) -> None:
            pass

    monkeypatch.setattr(hook.http.client, "HTTPConnection", Refusing)
    with pytest.raises(ConnectionError, match="BadStatusLine"):
        hook.leave(1)
