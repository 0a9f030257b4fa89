"""Lists in pages: `limit` and `continue`, each page of the same state as the first.

The state of a list that was cut is kept in memory until its last page was read, by its version. It holds
references to objects only, not copies. A token whose state was given up, or is of an earlier life of the
server, is answered with 410 and a token that goes on with the state of then (as in Kubernetes).
"""

import base64
import binascii
import json
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from control_plane.apiserver.failure import Failure
from control_plane.apiserver.selector import Selection
from control_plane.resources.manifest import Manifest, name_of, namespace_of
from control_plane.store.api import Listing

KEPT_STATES = 64
"""Lists being paged through at once; the least recently read is given up."""
_TOKEN_VERSION = "meta.k8s.io/v1"  # noqa: S105 - a name
_ANY_STATE = -1
_LONGEST_TOKEN = 2048
_EXPIRED = (
    "the state that this list began with is no longer held: start a new list without continue, or go on with "
    "the continue token of this answer, which leads to the rest as it is now"
)

_Place = tuple[str, str]
_Key = tuple[str, str, int]


class TokenExpired(Failure):
    """410 with a token to go on with, at the price of consistency."""

    def __init__(self, after: _Place) -> None:
        super().__init__(HTTPStatus.GONE, _EXPIRED)
        self._after = after

    def body(self) -> Manifest:
        return {**super().body(), "metadata": {"continue": Token(_ANY_STATE, self._after).encoded()}}


@dataclass(frozen=True, slots=True)
class Token:
    """Where a list goes on: after an object, in the state of a version."""

    version: int
    after: _Place
    """Namespace and name of the last object told."""

    def encoded(self) -> str:
        """As it travels: clients must not look into it."""
        value = {"v": _TOKEN_VERSION, "rv": self.version, "start": list(self.after)}
        return (
            base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).decode().rstrip("=")
        )

    @classmethod
    def decode(cls, text: str) -> "Token":
        """Raises Failure (400) for what is not one of ours."""
        try:
            padded = text[:_LONGEST_TOKEN] + "=" * (-len(text[:_LONGEST_TOKEN]) % 4)
            value = json.loads(base64.urlsafe_b64decode(padded))
        except (ValueError, binascii.Error, RecursionError):
            value = None
        match value:
            case {"v": "meta.k8s.io/v1", "rv": int(version), "start": [str(namespace), str(name)]}:
                return cls(version, (namespace, name))
            case _:
                raise Failure(
                    HTTPStatus.BAD_REQUEST, "continue key is not valid: it is not one of this server"
                )


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list."""

    items: Sequence[Manifest]
    version: int
    """Of the whole list's state."""
    token: str = ""
    """Leads to the next part; empty at the end."""
    remaining: int = 0

    def metadata(self, *, is_filtered: bool) -> Manifest:
        """`ListMeta`. How many remain is told of lists that leave nothing out, as in Kubernetes."""
        meta: Manifest = {"resourceVersion": str(self.version)}
        if self.token:
            meta["continue"] = self.token
            if not is_filtered:
                meta["remainingItemCount"] = self.remaining
        return meta


class Pages:
    """The states of lists that have been begun."""

    def __init__(self, capacity: int = KEPT_STATES) -> None:
        self._capacity = capacity
        self._states: OrderedDict[_Key, Sequence[Manifest]] = OrderedDict()

    def first(self, kind: str, namespace: str, current: Listing, selection: Selection, limit: int) -> Page:
        """The beginning of a list; all of it when `limit` is 0."""
        version = current.resource_version
        page = _page(_selected(current.items, selection), version, limit, version)
        if page.token:
            self._keep((kind, namespace, version), current.items)
        return page

    def next(
        self, kind: str, namespace: str, token: Token, current: Listing, selection: Selection, limit: int
    ) -> Page:
        """What follows `token`. Raises TokenExpired."""
        if token.version == _ANY_STATE:
            rest = _selected(_after(current.items, token.after), selection)
            return _page(rest, current.resource_version, limit, _ANY_STATE)
        key = (kind, namespace, token.version)
        state = current.items if current.resource_version == token.version else self._states.get(key)
        if state is None:
            raise TokenExpired(token.after)
        self._keep(key, state)
        return _page(_selected(_after(state, token.after), selection), token.version, limit, token.version)

    def _keep(self, key: _Key, state: Sequence[Manifest]) -> None:
        self._states[key] = state
        self._states.move_to_end(key)
        while len(self._states) > self._capacity:
            self._states.popitem(last=False)

    def __len__(self) -> int:
        return len(self._states)


def _selected(items: Sequence[Manifest], selection: Selection) -> Sequence[Manifest]:
    return items if selection.is_everything else [item for item in items if selection.matches(item)]


def _after(items: Sequence[Manifest], place: _Place) -> Sequence[Manifest]:
    """Those that come later in the order of all lists: by namespace, then name."""
    return items[bisect_right(items, place, key=lambda item: (namespace_of(item), name_of(item))) :]


def _page(items: Sequence[Manifest], version: int, limit: int, token_version: int) -> Page:
    if not 0 < limit < len(items):
        return Page(items, version)
    last = items[limit - 1]
    token = Token(token_version, (namespace_of(last), name_of(last))).encoded()
    return Page(items[:limit], version, token, len(items) - limit)
