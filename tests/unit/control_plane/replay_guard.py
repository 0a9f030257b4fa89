"""A replay guard in memory, for tests of what stands above it."""


class MemoryReplayGuard:
    """`tokens.ReplayGuard`; `held` is what a store would have on disk."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], float] = {}

    async def put_once(self, bucket: str, key: str, expires_at: float) -> bool:
        if (bucket, key) in self.held:
            return False
        self.held[bucket, key] = expires_at
        return True

    async def forget_expired(self, now: float) -> None:
        self.held = {key: expires_at for key, expires_at in self.held.items() if expires_at > now}
