"""The query of a list or watch (pure): what Kubernetes' `ListOptions` may say, and how they go together."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from control_plane.apiserver.failure import Failure
from control_plane.apiserver.paging import Token
from control_plane.apiserver.selector import Selection, parse_selection

_MAX_DIGITS = 18
"""Of a number in a query: fits into 64 bits; Python refuses to read very long ones."""
_EXACT, _NOT_OLDER = "Exact", "NotOlderThan"


@dataclass(frozen=True, slots=True)
class ListOptions:
    """One request's."""

    selection: Selection
    is_watch: bool = False
    since: int | None = None
    """`resourceVersion`; None when it is not given."""
    match: str = ""
    limit: int = 0
    token: Token | None = None
    lifetime: int = 0
    """Seconds of a watch; 0 for the default."""
    with_bookmarks: bool = False
    initial_events: bool | None = None
    """`sendInitialEvents`; None when it is not given."""

    @property
    def is_exact(self) -> bool:
        """Whether the state of exactly `since` is asked for."""
        return self.match == _EXACT


def parse_list_options(query: Mapping[str, str], kind: str) -> ListOptions:
    """Raises Failure (400, 422)."""
    token = query.get("continue", "")
    given = query.get("resourceVersion", "")
    options = ListOptions(
        selection=parse_selection(query.get("labelSelector", ""), query.get("fieldSelector", ""), kind),
        is_watch=flag(query, "watch") or False,
        since=number(query, "resourceVersion") if given else None,
        match=query.get("resourceVersionMatch", ""),
        limit=number(query, "limit"),
        token=Token.decode(token) if token else None,
        lifetime=number(query, "timeoutSeconds"),
        with_bookmarks=flag(query, "allowWatchBookmarks") or False,
        initial_events=flag(query, "sendInitialEvents"),
    )
    (_check_watch if options.is_watch else _check_list)(options)
    return options


def _check_list(options: ListOptions) -> None:
    if options.initial_events is not None:
        raise _invalid("sendInitialEvents", "sendInitialEvents is forbidden for list")
    if options.token is not None and options.since:
        message = "specifying resource version is not allowed when using continue"
        raise Failure(HTTPStatus.BAD_REQUEST, message)
    if not options.match:
        return
    if options.match not in (_EXACT, _NOT_OLDER):
        message = f'resourceVersionMatch: Unsupported value: "{options.match}": supported values: "Exact", '
        raise _invalid("", f'{message}"NotOlderThan"')
    if options.since is None:
        message = "resourceVersionMatch is forbidden unless resourceVersion is provided"
        raise _invalid("resourceVersionMatch", message)
    if options.is_exact and options.since == 0:
        message = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
        raise _invalid("resourceVersionMatch", message)


def _check_watch(options: ListOptions) -> None:
    if options.initial_events is None:
        if options.match:
            message = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            raise _invalid("resourceVersionMatch", message)
    elif options.match != _NOT_OLDER:
        message = 'sendInitialEvents requires setting resourceVersionMatch to "NotOlderThan"'
        raise _invalid("resourceVersionMatch", message)


def _invalid(field: str, message: str) -> Failure:
    told = f"{field}: Forbidden: {message}" if field else message
    return Failure(HTTPStatus.UNPROCESSABLE_ENTITY, f'ListOptions.meta.k8s.io "" is invalid: {told}')


def number(query: Mapping[str, str], name: str) -> int:
    """A decimal parameter; 0 when it is absent. Raises Failure (400)."""
    value = query.get(name, "")
    if value and not (value.isascii() and value.isdecimal() and len(value) <= _MAX_DIGITS):
        raise Failure(HTTPStatus.BAD_REQUEST, f"{name} must be a number, not {value[:40]!r}")
    return int(value or 0)


def flag(query: Mapping[str, str], name: str) -> bool | None:
    """A truth value; present and empty is true, as in Kubernetes. None when it is absent."""
    value = query.get(name)
    return None if value is None else value.lower() not in ("0", "false", "f")
