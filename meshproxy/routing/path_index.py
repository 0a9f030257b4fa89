"""Which routes of a virtual host a path may take, without looking at all of them (pure).

Exact paths are in a dictionary. Prefixes are sorted, each with a link to the longest other one that it starts
with: the prefixes of a path are then one bisection and one walk along links. A prefix of whole elements is
a plain prefix once both sides end in a slash. A regular expression stands under its literal start, and is
asked only for paths that have it. The cost of a look-up grows with the number of routes that the path meets,
not with the number there are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from meshproxy.config.route_match import PathMatch, PathMatchKind


class PrefixIndex:
    """Prefixes with the positions of their routes."""

    __slots__ = ("_keys", "_parents", "_positions")

    def __init__(self, entries: Iterable[tuple[str, int]]) -> None:
        """`entries` are (prefix, position of a route)."""
        positions: dict[str, list[int]] = {}
        for prefix, position in entries:
            positions.setdefault(prefix, []).append(position)
        self._keys = sorted(positions)
        self._positions = [positions[key] for key in self._keys]
        self._parents = _parents(self._keys)

    def collect(self, path: str, found: list[int]) -> None:
        """Append the positions of every prefix of `path` to `found`."""
        keys, parents = self._keys, self._parents
        place = bisect_right(keys, path) - 1
        while place >= 0:
            if path.startswith(keys[place]):
                found += self._positions[place]
            place = parents[place]


def _parents(keys: list[str]) -> list[int]:
    """For each of the sorted keys, the place of the longest other key that it starts with, or -1."""
    parents: list[int] = []
    open_places: list[int] = []
    for place, key in enumerate(keys):
        while open_places and not key.startswith(keys[open_places[-1]]):
            open_places.pop()
        parents.append(open_places[-1] if open_places else -1)
        open_places.append(place)
    return parents


class _SpelledIndex:
    """The routes that compare paths in one spelling."""

    __slots__ = ("_elements", "_exact", "_has_elements", "_has_prefixes", "_prefixes")

    def __init__(self, entries: list[tuple[PathMatchKind, str, int]]) -> None:
        self._exact: dict[str, list[int]] = {}
        prefixes: list[tuple[str, int]] = []
        elements: list[tuple[str, int]] = []
        for kind, value, position in entries:
            if kind is PathMatchKind.EXACT:
                self._exact.setdefault(value, []).append(position)
            elif kind is PathMatchKind.PATH_SEPARATED_PREFIX:
                elements.append((value.rstrip("/") + "/", position))
            else:
                prefixes.append((value, position))
        self._has_prefixes = bool(prefixes)
        self._has_elements = bool(elements)
        self._prefixes = PrefixIndex(prefixes)
        self._elements = PrefixIndex(elements)

    def collect(self, path: str, found: list[int]) -> None:
        exact = self._exact.get(path)
        if exact is not None:
            found += exact
        if self._has_prefixes:
            self._prefixes.collect(path, found)
        if self._has_elements:
            self._elements.collect(path + "/", found)


class PathIndex:
    """The path matches of a list of routes."""

    __slots__ = ("_folded", "_plain")

    def __init__(self, matches: Iterable[tuple[PathMatch, str]]) -> None:
        """Path matches in list order, each with the literal start of its regular expression if it is one."""
        plain: list[tuple[PathMatchKind, str, int]] = []
        folded: list[tuple[PathMatchKind, str, int]] = []
        for position, (match, literal_start) in enumerate(matches):
            if match.kind is PathMatchKind.REGEX:
                plain.append((match.kind, literal_start, position))
            elif match.case_sensitive:
                plain.append((match.kind, match.value, position))
            else:
                folded.append((match.kind, match.value.lower(), position))
        self._plain = _SpelledIndex(plain)
        self._folded = _SpelledIndex(folded) if folded else None

    def candidates(self, path: str) -> list[int]:
        """Positions in list order of the routes whose path match holds, or, if it is a regular expression,
        may hold."""
        found: list[int] = []
        self._plain.collect(path, found)
        if self._folded is not None:
            self._folded.collect(path.lower(), found)
        found.sort()
        return found
