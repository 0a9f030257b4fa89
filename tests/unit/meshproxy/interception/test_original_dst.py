"""SO_ORIGINAL_DST's answers, as the kernel gives them; the real kernel is asked in
tests/e2e/test_interception.py."""

import errno
import socket
import struct

import pytest

from meshproxy.interception.original_dst import original_destination


class PlayedSocket:
    """Answers one socket option."""

    def __init__(
        self, family: int, peer: object, answers: dict[tuple[int, int], bytes], error: int = 0
    ) -> None:
        self.family = family
        self._peer = peer
        self._answers = answers
        self._error = error

    def getpeername(self) -> object:
        return self._peer

    def getsockopt(self, level: int, option: int, size: int, /) -> bytes:
        if self._error:
            raise OSError(self._error, "played")
        answer = self._answers[level, option]
        assert len(answer) == size
        return answer


V4 = struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", 8080, bytes([10, 96, 0, 20]))
V6 = struct.pack("=H", socket.AF_INET6) + struct.pack(
    "!HI16s4x", 443, 0, socket.inet_pton(socket.AF_INET6, "fd00::20")
)


def test_an_ipv4_socket_is_asked_at_the_ip_level() -> None:
    connection = PlayedSocket(socket.AF_INET, ("10.244.0.3", 4000), {(0, 80): V4})
    assert original_destination(connection) == ("10.96.0.20", 8080)


def test_an_ipv6_socket_is_asked_at_the_ipv6_level() -> None:
    connection = PlayedSocket(socket.AF_INET6, ("fd00::3", 4000, 0, 0), {(41, 80): V6})
    assert original_destination(connection) == ("fd00::20", 443)


def test_a_link_local_peer_is_an_ipv6_peer() -> None:
    connection = PlayedSocket(socket.AF_INET6, ("fe80::3%eth0", 4000, 0, 2), {(41, 80): V6})
    assert original_destination(connection) == ("fd00::20", 443)


def test_an_ipv4_client_of_a_dual_stack_socket_is_asked_at_the_ip_level() -> None:
    connection = PlayedSocket(socket.AF_INET6, ("::ffff:10.244.0.3", 4000, 0, 0), {(0, 80): V4})
    assert original_destination(connection) == ("10.96.0.20", 8080)


@pytest.mark.parametrize("error", [errno.ENOENT, errno.ENOPROTOOPT, errno.EOPNOTSUPP])
def test_what_the_kernel_does_not_know_is_none(error: int) -> None:
    assert original_destination(PlayedSocket(socket.AF_INET, None, {}, error)) is None


def test_other_errors_are_the_callers() -> None:
    with pytest.raises(OSError, match="played"):
        original_destination(PlayedSocket(socket.AF_INET, None, {}, errno.ENOTCONN))
