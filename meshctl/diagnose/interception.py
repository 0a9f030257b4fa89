"""Layer 6: connections of pods with a sidecar go through it (pure)."""

from contextlib import suppress
from ipaddress import ip_address

from control_plane.resources.container import Container
from control_plane.resources.pod import Pod
from injector.template import INIT_CONTAINER, SIDECAR_CONTAINER
from meshctl.diagnose.command_line import edit_owner, renew
from meshctl.diagnose.facts import Facts, PodFacts, PodInside, Unseen, has_sidecar
from meshctl.diagnose.finding import Finding, Layer, absent, fault, ok, unseen
from meshproxy.errors import ConfigError
from meshproxy.interception.__main__ import parser, settings_of
from meshproxy.interception.rules import PREFIX, Family, TableRules, ruleset
from meshproxy.interception.settings import InterceptionSettings

_LAYER = Layer.INTERCEPTION
_SHOWN = 4
_DNS_FLAG = "--dns-capture"


def judge(facts: Facts) -> Finding:
    seen, blind = 0, ""
    for pod in facts.pods:
        if not has_sidecar(pod.pod):
            continue
        if isinstance(pod.inside, Unseen):
            blind = pod.inside.why
            continue
        found = _of_pod(pod, pod.inside)
        if found is not None:
            return found
        seen += 1
    found = _app_as_sidecar(facts.client) if facts.client is not None else None
    if found is not None:
        return found
    if seen:
        return ok(_LAYER, f"in force in {seen} {'pod' if seen == 1 else 'pods'}", blind)
    return unseen(_LAYER, blind) if blind else absent(_LAYER, "no pod has a sidecar")


def settings_in(pod: Pod) -> InterceptionSettings | None:
    """What the pod's init container was told, but for DNS; None where nobody sets the interception up."""
    for container in pod.spec.init_containers:
        if container.name == INIT_CONTAINER:
            given = [word for word in (*container.command, *container.args) if word.startswith("--")]
            flags = [word for word in given if not word.startswith(_DNS_FLAG)]
            with suppress(ConfigError):
                return settings_of(parser({}).parse_known_args(flags)[0])
    return None


def bypass(pod: Pod, address: str, port: int) -> str:
    """Why the pod's app calls `address` past its sidecar; empty when it does not."""
    if not has_sidecar(pod):
        return "it has no sidecar"
    settings = settings_in(pod)
    if settings is None:
        return ""
    if port in settings.exclude_outbound_ports:
        return f"its annotation excludeOutboundPorts names {port}"
    if not address:
        return ""
    at = ip_address(address)
    if any(at in one for one in settings.exclude_outbound_ranges):
        return f"its annotation excludeOutboundIPRanges contains {address}"
    ranges = settings.include_outbound_ranges
    if ranges is None or port in settings.include_outbound_ports or any(at in one for one in ranges):
        return ""
    return f"its annotation includeOutboundIPRanges does not contain {address}"


def takes_inbound(pod: Pod, port: int) -> bool:
    """Connections to the app's port meet the sidecar first."""
    settings = settings_in(pod) if has_sidecar(pod) else None
    if settings is None or port in settings.exclude_inbound_ports:
        return False
    return settings.include_inbound_ports is None or port in settings.include_inbound_ports


def _of_pod(pod: PodFacts, inside: PodInside) -> Finding | None:
    settings = settings_in(pod.pod)
    if settings is None:
        return None  # a gateway, or interception by other means
    wanted, there = ruleset(settings, Family.V4)["nat"], inside.rules.get("nat", TableRules())
    missing = [f"missing: -A {chain} {rule}" for chain, rule in _lines(wanted) - _lines(there)]
    strange = [
        f"not ours: -A {chain} {rule}"
        for chain, rule in _lines(there) - _lines(wanted)
        if chain.startswith(PREFIX) and "--dport 53 " not in rule and not chain.endswith("_DNS")
    ]
    if not missing and not strange:
        return None
    found = sorted(missing, key=lambda line: PREFIX in line.split()[2]) + sorted(strange)
    what = "has no interception rules" if not there.chains else "has other interception rules than it should"
    return fault(
        _LAYER,
        f"{pod.full_name} {what}: connections go past its sidecar",
        *found[:_SHOWN],
        f"and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "",
        mend=renew(pod.pod),
        advice="its init container meshproxy-init sets them up again",
    )


def _lines(rules: TableRules) -> set[tuple[str, str]]:
    return {(chain, rule) for chain, lines in rules.chains.items() for rule in lines} | set(rules.jumps)


def _app_as_sidecar(client: PodFacts) -> Finding | None:
    """An app whose user is the sidecar's is taken for it."""
    settings = settings_in(client.pod) if has_sidecar(client.pod) else None
    if settings is None:
        return None
    for container in client.pod.spec.containers:
        user, group = _user(client.pod, container)
        if container.name != SIDECAR_CONTAINER and (
            user == settings.proxy_uid or group == settings.proxy_gid
        ):
            return fault(
                _LAYER,
                f"container {container.name} of {client.full_name} runs as the sidecar's user or group,"
                " so its connections are not intercepted",
                f"runAsUser {user}, runAsGroup {group}",
                mend=edit_owner(client.pod),
                advice=f"give it another user and group than {settings.proxy_uid}",
            )
    return None


def _user(pod: Pod, container: Container) -> tuple[int | None, int | None]:
    own, whole = container.security_context, pod.spec.security_context
    user = own.run_as_user if own is not None and own.run_as_user is not None else whole.run_as_user
    group = own.run_as_group if own is not None and own.run_as_group is not None else whole.run_as_group
    return user, group
