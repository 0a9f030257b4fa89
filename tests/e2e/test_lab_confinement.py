"""What a container put into its files does not reach the host: links in volumes, programs named as ours."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.container_runner import _output
from lab.entrance import EnteringCommand, enter_line, entering
from lab.environment import PodStartError
from lab.launch import LaunchPlan, Mount
from lab.sandbox import Sandbox, container_path, runtime_paths, view_mounts
from lab.volume import make_empty_dir, make_sub_path

pytestmark = pytest.mark.privileged

ENVIRONMENT = {"PATH": container_path(), "NAME": "value"}


def plan(*command: str, uid: int = 20001, mounts: list[Mount] | None = None) -> LaunchPlan:
    return LaunchPlan(
        argv=list(command),
        env=ENVIRONMENT,
        network="/proc/self/ns/net",
        hostname="web",
        uid=uid,
        gid=uid,
        mounts=[*view_mounts(runtime_paths()), *(mounts or [])],
    )


@contextmanager
def pod() -> Iterator[Sandbox]:
    sandbox = Sandbox("/proc/self/ns/net", "web")
    try:
        yield sandbox
    finally:
        sandbox.kill()
        sandbox.pause.wait()


def output_of(sandbox: Sandbox, wanted: LaunchPlan) -> str:
    process = sandbox.spawn(wanted, subprocess.PIPE, subprocess.STDOUT)
    return process.communicate(timeout=90)[0].decode()


@contextmanager
def container(sandbox: Sandbox, mounts: list[Mount] | None = None, uid: int = 20001) -> Iterator[int]:
    """One that is a container by now; its pid."""
    wanted = plan("sh", "-c", "echo up; exec sleep 60", uid=uid, mounts=mounts)
    process = sandbox.spawn(wanted, subprocess.PIPE, None)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"up\n"
        yield process.pid
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def run(entered: EnteringCommand) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        entered.line, env=entered.environment, capture_output=True, text=True, timeout=300, check=False
    )


def test_a_link_in_a_volume_does_not_lead_out_of_it(tmp_path: Path) -> None:
    volume, secret = tmp_path / "volume", tmp_path / "host"
    make_empty_dir(volume)
    secret.mkdir()
    (secret / "key").write_text("of the host")
    (volume / "out").symlink_to(secret)
    (volume / "in").symlink_to("real")
    (volume / "real").mkdir()
    (volume / "real" / "file").write_text("of the pod")
    with pod() as sandbox:
        for below in ("out", "out/key", "../host"):
            stolen = output_of(
                sandbox, plan("sh", "-c", "cat /v/key /v", mounts=[Mount("/v", str(volume), below=below)])
            )
            assert "of the host" not in stolen
            assert "cannot start" in stolen
        own = output_of(sandbox, plan("cat", "/v/file", mounts=[Mount("/v", str(volume), below="in")]))
        assert own == "of the pod"


def test_nothing_is_made_outside_of_a_volume(tmp_path: Path) -> None:
    volume, outside = tmp_path / "volume", tmp_path / "host"
    make_empty_dir(volume)
    outside.mkdir()
    (volume / "out").symlink_to(outside)
    (volume / "lost").symlink_to("/nowhere/at/all")
    for below in ("out/made", "out", "lost/x"):
        with pytest.raises(PodStartError, match="leads out of volume"):
            make_sub_path(volume, below)
    assert list(outside.iterdir()) == []
    make_sub_path(volume, "a/./b//c")
    assert (volume / "a/b/c").stat().st_mode & 0o777 == 0o777


def test_what_enters_a_container_runs_nothing_of_it_with_the_hosts_rights(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    make_empty_dir(volume)
    evil = tmp_path / "evil"
    evil.write_text("#!/bin/sh\nid -u > /v/ran\nexec sleep 0\n")
    evil.chmod(0o755)
    shadowed = [Mount(f"/usr/bin/{name}", str(evil)) for name in ("setpriv", "env", "nsenter")]
    with pod() as sandbox, container(sandbox, [*shadowed, Mount("/v", str(volume), read_only=False)]) as pid:
        ended = run(entering(pid, 20001, 20001, "/", ENVIRONMENT, ["sh", "-c", "id -u; echo $NAME; id -G"]))
        assert ended.stdout.split() == ["20001", "value", "20001"], ended.stderr
        assert not (volume / "ran").exists()


def test_what_enters_has_the_containers_view_and_no_capability() -> None:
    script = "hostname; cat /proc/1/comm; grep -E 'CapEff|NoNewPrivs' /proc/self/status"
    with pod() as sandbox, container(sandbox, uid=0) as pid:
        line = enter_line(pid, 0, 0, "/", ["sh", "-c", script])
        said = subprocess.run(line, capture_output=True, text=True, timeout=300, check=True).stdout.split()
        assert said == ["web", "sh", "CapEff:", "0" * 16, "NoNewPrivs:", "1"]
        missing = run(entering(pid, 0, 0, "/", ENVIRONMENT, ["no-such-program"]))
        assert (missing.returncode, "no-such-program" in missing.stderr) == (127, True)
        assert run(entering(pid, 0, 0, "/", ENVIRONMENT, ["sh", "-c", "exit 5"])).returncode == 5
    assert run(entering(pid, 0, 0, "/", ENVIRONMENT, ["true"])).returncode == 126


def test_a_command_that_was_killed_leaves_nothing_in_the_container() -> None:
    with pod() as sandbox, container(sandbox) as pid:
        entered = entering(pid, 20001, 20001, "/", ENVIRONMENT, ["sh", "-c", "echo $$; exec sleep 50"])
        process = subprocess.Popen(entered.line, env=entered.environment, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.stdout.read() == b""  # the last who had it has ended
        process.stdout.close()


def test_the_hosts_interpreter_cannot_be_seen_by_a_containers_root() -> None:
    """Neither while a container starts, nor while something enters it (CVE-2019-5736)."""
    drop = "from lab import syscalls; syscalls.drop_privileges(0, 0, frozenset())"
    command = [sys.executable, "-c", f"{drop}; print(1, flush=True); input()"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"1\n"
        peek = [sys.executable, "-c", f"{drop}; open('/proc/{process.pid}/exe', 'rb')"]
        seen = subprocess.run(peek, capture_output=True, text=True, timeout=300, check=False)
        assert "PermissionError" in seen.stderr
    finally:
        process.communicate(b"\n", timeout=90)


async def test_a_probe_that_never_stops_talking_is_not_kept_in_memory() -> None:
    child = await asyncio.create_subprocess_exec(
        "sh", "-c", "head -c 50000000 /dev/zero | tr '\\0' x", stdout=asyncio.subprocess.PIPE
    )
    assert await _output(child) == b"x" * 4096
