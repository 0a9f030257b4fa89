"""Who makes a request: users by bearer token, and the user of the present request."""

import hmac
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum

from control_plane.resources.manifest import Manifest

AUTHENTICATED = "system:authenticated"
"""Group of everybody whose token is known."""


class Role(Enum):
    """What a token of the data directory lets its bearer do; the value is the user's name."""

    ADMIN = "admin"
    EDITOR = "editor"
    VIEWER = "viewer"


_GROUPS = {
    Role.ADMIN: "system:masters",
    Role.EDITOR: "meshproxy:editors",
    Role.VIEWER: "meshproxy:viewers",
}


@dataclass(frozen=True, slots=True)
class User:
    """As in Kubernetes' `UserInfo`."""

    name: str
    groups: tuple[str, ...]
    role: Role
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def info(self) -> Manifest:
        """As it travels."""
        info: Manifest = {"username": self.name, "groups": list(self.groups)}
        if self.uid:
            info["uid"] = self.uid
        if self.extra:
            info["extra"] = {key: list(values) for key, values in self.extra.items()}
        return info


def user_of(role: Role) -> User:
    """The user that stands for a role."""
    return User(role.value, (_GROUPS[role], AUTHENTICATED), role)


class TokenUsers:
    """Users by their static tokens."""

    def __init__(self, tokens: Mapping[Role, str]) -> None:
        """Raises ValueError for an empty token, which would let everybody in."""
        for role, token in tokens.items():
            if not token:
                raise ValueError(f"the {role.value}'s token must not be empty")
        self._users = [(token.encode(), user_of(role)) for role, token in tokens.items()]

    def find(self, token: bytes) -> User | None:
        """The bearer; None when the token is nobody's."""
        found = None
        for known, user in self._users:
            # Constant time: how long a wrong token takes must not tell how much of it is right.
            if hmac.compare_digest(token, known):
                found = user
        return found


_user: ContextVar[User | None] = ContextVar("request_user", default=None)


@contextmanager
def acting_as(user: User) -> Iterator[None]:
    """What runs within is the user's request."""
    token = _user.set(user)
    try:
        yield
    finally:
        _user.reset(token)


def current_user() -> User:
    """Of the present request; the administrator outside of one, where the server itself acts."""
    return _user.get() or user_of(Role.ADMIN)
