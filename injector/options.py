"""The injector's command line (pure)."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from certs.errors import SpiffeIdError
from certs.spiffe_id import TrustDomain
from injector.registration import DNS_NAMES
from injector.template import InjectorSettings

DEFAULTS = InjectorSettings()
PORT = 15017
_HIGHEST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Options:
    """What `python -m injector` was told."""

    kubeconfig: Path
    token_file: Path
    state_directory: Path
    host: str
    port: int
    """0 lets the system choose."""
    signing_address: str
    renewal_address: str
    """`host:port` where the injector itself gets its certificates."""
    registers: bool
    listen_fd: int | None
    """A listening socket opened by the parent, instead of `host` and `port`."""
    webhook_url: str
    """`https://name:port` by which the API server calls us; empty: by our Service."""
    settings: InjectorSettings
    log_level: str

    @property
    def dns_names(self) -> tuple[str, ...]:
        """That our certificate must carry."""
        host = urlsplit(self.webhook_url).hostname
        return (*DNS_NAMES, host) if host else DNS_NAMES

    @property
    def trust_domain(self) -> TrustDomain:
        """Of our own identity and the sidecars'."""
        return TrustDomain(self.settings.trust_domain)


def parse_options(arguments: Sequence[str]) -> Options:
    """Raises SystemExit, with a message on stderr, for a wrong command line."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        return _options(given)
    except (ValueError, SpiffeIdError) as error:
        parser.error(str(error))


def _options(given: argparse.Namespace) -> Options:
    host, _, port = str(given.listen).rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (port.isascii() and port.isdecimal() and int(port) <= _HIGHEST_PORT):
        raise ValueError(f"--listen {given.listen}: must be address:port, such as 0.0.0.0:{PORT}")
    ip_address(host)
    _check_url(given.webhook_url)
    TrustDomain(given.trust_domain)
    settings = InjectorSettings(
        image=given.image,
        python=given.python,
        discovery_address=given.discovery_address,
        signing_address=given.sidecar_signing_address,
        trust_domain=given.trust_domain,
        log_level=given.sidecar_log_level,
    )
    return Options(
        kubeconfig=given.kubeconfig,
        token_file=given.token_file,
        state_directory=given.state_dir,
        host=host,
        port=int(port),
        signing_address=given.signing_address,
        renewal_address=given.renewal_address,
        registers=given.register,
        listen_fd=given.listen_fd,
        webhook_url=given.webhook_url,
        settings=settings,
        log_level=given.log_level.upper(),
    )


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if url and (parts.scheme != "https" or not parts.hostname or parts.path or parts.query):
        raise ValueError(f"--webhook-url {url}: must be https://name:port, without a path")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m injector", description="The mesh's admission webhook.")
    add = parser.add_argument
    add("--kubeconfig", type=Path, required=True, help="of the API server")
    add("--token-file", type=Path, required=True, help="workload token for the first certificate")
    add("--state-dir", type=Path, required=True, help="keeps the certificate; created with mode 0700")
    add("--listen", default=f"0.0.0.0:{PORT}", help="address:port (default %(default)s)")
    add("--listen-fd", type=int, help="listen on this inherited socket")
    add("--webhook-url", default="", help="https://name:port to register (default: the Service's)")
    own = "where this process gets certificates, host:port (default %(default)s)"
    add("--signing-address", default=DEFAULTS.signing_address, help=f"by token: {own}")
    add("--renewal-address", default=DEFAULTS.discovery_address, help=f"by certificate: {own}")
    add("--register", action="store_true", help="make the MutatingWebhookConfiguration when there is none")
    add("--image", default=DEFAULTS.image, help="of the sidecar (default %(default)s)")
    add("--python", default=DEFAULTS.python, help="interpreter in the image (default %(default)s)")
    add("--discovery-address", default=DEFAULTS.discovery_address, help="for sidecars (default %(default)s)")
    add("--sidecar-signing-address", default=DEFAULTS.signing_address, help="(default %(default)s)")
    add("--trust-domain", default=DEFAULTS.trust_domain, help="(default %(default)s)")
    add("--sidecar-log-level", default=DEFAULTS.log_level, help="(default %(default)s)")
    levels = ["debug", "info", "warning", "error"]
    add("--log-level", default="info", choices=levels, help="of this process (default %(default)s)")
    return parser
