"""A token minter that remembers what it was asked for."""

from collections.abc import Collection
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Token:
    token: str
    expires_at: float


@dataclass
class RecordingMinter:
    asked: list[dict[str, object]] = field(default_factory=list)

    def mint(
        self,
        *,
        namespace: str,
        service_account: str,
        pod_name: str,
        pod_uid: str,
        audiences: Collection[str],
        ttl: float,
        now: float,
    ) -> Token:
        self.asked.append(
            {
                "who": f"{namespace}/{service_account}",
                "pod": pod_name,
                "uid": pod_uid,
                "audiences": list(audiences),
                "ttl": ttl,
            }
        )
        return Token("signed", now + ttl)
