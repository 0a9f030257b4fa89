"""The virtual addresses and node ports of a Service: given out, checked, and kept when it changes (pure).

As kube-apiserver does it: the first family is that of the first Service network; a second address is given
where the policy asks for one and there is a network for it; node ports come from 30000 to 32767. What is in
use is read from the other Services, so that nothing has to be kept in step.
"""

from collections.abc import Collection, Iterable, Sequence
from ipaddress import ip_address

from control_plane.apiserver.cluster_ip import (
    DEFAULT_NETWORK,
    ClusterIpAllocator,
    ClusterIpRefused,
    Network,
)
from control_plane.resources.invalid import Cause
from control_plane.resources.manifest import Manifest, objects, section
from control_plane.resources.service import EXTERNAL_NAME, HEADLESS, WITH_NODE_PORTS

NODE_PORTS = range(30_000, 32_768)
"""kube-apiserver's `--service-node-port-range`."""
_FOR_WHO_ASKS = 86
"""The first node ports are given out unasked only when no other is left: Kubernetes' static band."""
_FAMILIES = {4: "IPv4", 6: "IPv6"}
_SINGLE, _REQUIRE = "SingleStack", "RequireDualStack"
_ADDRESS_FIELDS = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")


class ServiceRefused(ValueError):
    """A Service that cannot have what it asks for."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.cause = Cause(field, message)


class ServiceAllocator:
    """Gives addresses of one or two networks, one a family; the first network's family is the default."""

    def __init__(self, networks: Sequence[Network] = (DEFAULT_NETWORK,)) -> None:
        self._addresses = {_FAMILIES[network.version]: ClusterIpAllocator(network) for network in networks}
        if len(self._addresses) < len(networks):
            raise ValueError("two Service networks must be of two families")
        self._next_port = _FOR_WHO_ASKS

    def complete(self, service: Manifest, others: Iterable[Manifest]) -> Manifest:
        """`service` with every address and node port it needs. `others`: all Services but itself. Raises
        ServiceRefused."""
        spec, others = section(service, "spec"), list(others)
        if spec.get("type") == EXTERNAL_NAME:
            return service
        policy, families = self._families(spec)
        return {
            **service,
            "spec": {
                **spec,
                **self._cluster_ips(spec, families, others),
                "ipFamilies": list(families),
                "ipFamilyPolicy": policy,
                **self._ports(spec, others),
            },
        }

    def _families(self, spec: Manifest) -> tuple[str, tuple[str, ...]]:
        """The policy, and the families in their order."""
        given = _strings(spec, "ipFamilies") or tuple(_family(address) for address in _given_addresses(spec))
        families = given or (next(iter(self._addresses)),)
        policy = str(spec.get("ipFamilyPolicy") or (_REQUIRE if len(families) > 1 else _SINGLE))
        for number, family in enumerate(families):
            if family not in self._addresses:
                raise ServiceRefused(
                    f"spec.ipFamilies[{number}]", f"{family} is not configured on this cluster"
                )
        if policy == _SINGLE and len(families) > 1:
            raise ServiceRefused(
                "spec.ipFamilyPolicy", "SingleStack, but there are two families or addresses"
            )
        if policy == _REQUIRE and len(self._addresses) == 1:
            raise ServiceRefused(
                "spec.ipFamilyPolicy", "this cluster is not configured for dual-stack services"
            )
        if policy != _SINGLE:
            families = (*families, *(family for family in self._addresses if family not in families))
        return policy, families

    def _cluster_ips(self, spec: Manifest, families: tuple[str, ...], others: list[Manifest]) -> Manifest:
        if spec.get("clusterIP") == HEADLESS:
            return {"clusterIP": HEADLESS, "clusterIPs": [HEADLESS]}
        given = _given_addresses(spec)
        used = {address for other in others for address in _given_addresses(section(other, "spec"))}
        addresses = []
        for number, family in enumerate(families):
            allocator = self._addresses[family]
            try:
                if number < len(given):
                    allocator.check(given[number], used)
                    addresses.append(given[number])
                else:
                    addresses.append(allocator.choose(used))
            except ClusterIpRefused as error:
                field = "spec.clusterIP" if number == 0 else f"spec.clusterIPs[{number}]"
                raise ServiceRefused(field, str(error)) from error
        return {"clusterIP": addresses[0], "clusterIPs": list(addresses)}

    def _ports(self, spec: Manifest, others: list[Manifest]) -> Manifest:
        if not _needs_node_ports(spec):
            return {}
        used = {port for other in others for port in _node_ports(section(other, "spec"))}
        own = set(_node_ports(spec))
        ports = []
        for number, port in enumerate(objects(spec, "ports")):
            wanted = port.get("nodePort")
            if isinstance(wanted, int) and wanted:
                _check_node_port(wanted, used, f"spec.ports[{number}].nodePort")
            else:
                wanted = self._choose_port(used | own)
            own.add(wanted)
            ports.append({**port, "nodePort": wanted})
        return {"ports": ports}

    def _choose_port(self, used: Collection[int]) -> int:
        for step in range(len(NODE_PORTS)):
            number = NODE_PORTS[(self._next_port + step) % len(NODE_PORTS)]
            if number not in used:
                self._next_port = number - NODE_PORTS.start + 1
                return number
        raise ServiceRefused(
            "spec.ports", f"every node port of {NODE_PORTS.start}-{NODE_PORTS.stop - 1} is in use"
        )


def _check_node_port(wanted: int, used: Collection[int], field: str) -> None:
    if wanted not in NODE_PORTS:
        valid = f"{NODE_PORTS.start}-{NODE_PORTS.stop - 1}"
        raise ServiceRefused(
            field, f"provided port is not in the valid range. The range of valid ports is {valid}"
        )
    if wanted in used:
        raise ServiceRefused(field, "provided port is already allocated")


def carried_over(wanted: Manifest, current: Manifest) -> Manifest:
    """A Service that is replaced without naming its addresses and node ports keeps them; one that becomes of
    a type without them loses them."""
    spec, before = section(wanted, "spec"), section(current, "spec")
    if spec.get("type") == EXTERNAL_NAME:
        lost = {field for field in _ADDRESS_FIELDS if spec.get(field) == before.get(field)}
        kept = {field: value for field, value in spec.items() if field not in lost}
        return {**wanted, "spec": _with_node_ports(kept, before)}
    if before.get("type") != EXTERNAL_NAME:
        spec = _with_addresses(spec, before)
    elif spec.get("externalName") == before.get("externalName"):
        spec = {field: value for field, value in spec.items() if field != "externalName"}
    return {**wanted, "spec": _with_node_ports(spec, before)}


def _with_addresses(spec: Manifest, before: Manifest) -> Manifest:
    result = dict(spec)
    if not spec.get("clusterIP"):
        result.pop("clusterIPs", None)
    if result.get("clusterIP") in (None, "", before.get("clusterIP")):
        for field in _ADDRESS_FIELDS:
            if not result.get(field) and before.get(field):
                result[field] = before[field]
    elif _strings(spec, "clusterIPs") == _strings(before, "clusterIPs"):
        # Only one of the two was changed, by a patch; that it may not be is said elsewhere.
        result["clusterIPs"] = [result["clusterIP"], *_strings(before, "clusterIPs")[1:]]
    if spec.get("ipFamilyPolicy") == _SINGLE:  # was of two families until now
        for field in ("clusterIPs", "ipFamilies"):
            values = _strings(result, field)
            if values == _strings(before, field):
                result[field] = list(values[:1])
    return result


def _with_node_ports(spec: Manifest, before: Manifest) -> Manifest:
    """Ports are the same when they have the same name."""
    policy = spec.get("externalTrafficPolicy")
    if spec.get("type") not in WITH_NODE_PORTS and policy == before.get("externalTrafficPolicy"):
        spec = {field: value for field, value in spec.items() if field != "externalTrafficPolicy"}
    ports = objects(spec, "ports")
    known = {port.get("name"): port["nodePort"] for port in objects(before, "ports") if port.get("nodePort")}
    if not known:
        return spec
    if not _needs_node_ports(spec):
        kept = [
            {
                field: value
                for field, value in port.items()
                if (field, value) != ("nodePort", known.get(port.get("name")))
            }
            for port in ports
        ]
        return {**spec, "ports": kept}
    taken = {port.get("nodePort") for port in ports}
    filled = []
    for port in ports:
        number = known.get(port.get("name"))
        is_free = not port.get("nodePort") and number is not None and number not in taken
        filled.append({**port, "nodePort": number} if is_free else port)
    return {**spec, "ports": filled}


def claims(service: Manifest) -> tuple[object, ...]:
    """What decides which addresses and node ports a Service needs: equal claims need nothing new."""
    spec = section(service, "spec")
    ports = objects(spec, "ports") if _needs_node_ports(spec) else []
    wanted = [(port.get("name"), port.get("protocol"), port.get("nodePort")) for port in ports]
    return (spec.get("type"), *(spec.get(field) for field in _ADDRESS_FIELDS), wanted)


def _needs_node_ports(spec: Manifest) -> bool:
    if spec.get("type") == "LoadBalancer":
        return spec.get("allocateLoadBalancerNodePorts") is not False
    return spec.get("type") in WITH_NODE_PORTS


def _node_ports(spec: Manifest) -> list[int]:
    found = (port.get("nodePort") for port in objects(spec, "ports"))
    return [port for port in found if isinstance(port, int) and port]


def _given_addresses(spec: Manifest) -> tuple[str, ...]:
    given = _strings(spec, "clusterIPs") or (str(spec.get("clusterIP") or ""),)
    return tuple(address for address in given if address not in ("", HEADLESS))


def _family(address: str) -> str:
    try:
        return _FAMILIES[ip_address(address).version]
    except ValueError:
        raise ServiceRefused("spec.clusterIPs", f"{address} is not an IP address") from None


def _strings(spec: Manifest, field: str) -> tuple[str, ...]:
    value = spec.get(field)
    return tuple(str(item) for item in value) if isinstance(value, list) else ()
