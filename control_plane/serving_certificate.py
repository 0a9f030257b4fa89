"""The control plane's own certificate, renewed in place: its servers never restart for it."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from random import Random
from typing import Final

import grpc

from certs.ca import DEFAULT_LEAF_TTL, CertificateAuthority
from certs.rotation import renew_at
from certs.spiffe_id import SpiffeId
from certs.svid import KeyedSvid

NAMESPACE: Final = "meshproxy-system"
SERVICE_ACCOUNT: Final = "control-plane"
DNS_NAMES: Final = (
    "localhost",
    "control-plane.meshproxy-system.svc",
    "control-plane.meshproxy-system.svc.cluster.local",
)
ADDRESSES: Final = (ip_address("127.0.0.1"), ip_address("::1"))


@dataclass(frozen=True, slots=True)
class ServingNames:
    """What clients may call the control plane."""

    dns_names: tuple[str, ...]
    addresses: tuple[IPv4Address | IPv6Address, ...]

    @classmethod
    def with_extra(cls, extra_sans: Sequence[str]) -> ServingNames:
        """The standard names and `--extra-san` values, each a DNS name or an IP address; duplicates go."""
        names, addresses = list(DNS_NAMES), list(ADDRESSES)
        for san in extra_sans:
            try:
                addresses.append(ip_address(san))
            except ValueError:
                names.append(san)
        return cls(tuple(dict.fromkeys(names)), tuple(dict.fromkeys(addresses)))


class ServingCertificate:
    """Issues the certificate when first asked and again at half of its life; the key lives only in memory."""

    def __init__(
        self,
        authority: CertificateAuthority,
        names: ServingNames,
        *,
        ttl: float = DEFAULT_LEAF_TTL,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._authority = authority
        self._names = names
        self._ttl = ttl
        self._wall_clock = wall_clock
        self._rng = Random()
        self._current, self._renew_at = self._issue()

    def current(self) -> KeyedSvid:
        """The certificate to present now; the same object until it is renewed."""
        if self._wall_clock() >= self._renew_at:
            self._current, self._renew_at = self._issue()
        return self._current

    def _issue(self) -> tuple[KeyedSvid, float]:
        now = self._wall_clock()
        keyed = self._authority.issue_serving(
            SpiffeId.for_workload(self._authority.trust_domain, NAMESPACE, SERVICE_ACCOUNT),
            dns_names=self._names.dns_names,
            addresses=self._names.addresses,
            now=now,
            ttl=self._ttl,
        )
        return keyed, renew_at(now, keyed.svid.not_after, self._rng)


def grpc_credentials(
    serving: ServingCertificate, *, require_client_certificate: bool
) -> grpc.ServerCredentials:
    """Server credentials that ask for the current certificate at each handshake.

    With `require_client_certificate` clients must show a certificate that leads to the mesh's root (15012);
    without they are not asked (15011).
    """
    presented = serving.current()

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        nonlocal presented
        if (current := serving.current()) is presented:
            return None  # gRPC: unchanged
        presented = current
        return _configuration(current, require_client_certificate)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(presented, require_client_certificate),
        fetch,  # type: ignore[arg-type]  # the stubs leave out None, which grpc documents as "unchanged"
        require_client_authentication=require_client_certificate,
    )


def load_into(context: ssl.SSLContext, keyed: KeyedSvid) -> None:
    """Make `context` (the REST server's) present `keyed` from the next handshake on."""
    descriptor = os.memfd_create("serving-certificate", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(keyed.key_pem + keyed.svid.chain_pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _configuration(keyed: KeyedSvid, with_root: bool) -> grpc.ServerCertificateConfiguration:
    pair = (keyed.key_pem, keyed.svid.chain_pem)
    return grpc.ssl_server_certificate_configuration([pair], keyed.svid.root_pem if with_root else None)
