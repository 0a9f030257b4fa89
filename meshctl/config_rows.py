"""A sidecar's configuration as tables (pure): from its admin pages to a row of titles and rows of cells."""

from meshctl.json_value import JsonObject, member, objects, text, texts

Row = list[str]
_SHOWN_DOMAINS = 3
_ANY = "ALL"


def listeners(content: object) -> list[Row]:
    """One row a filter chain."""
    rows = [["LISTENER", "ADDRESS", "CHAIN", "MATCH", "DESTINATION"]]
    for listener in _named(content):
        address = _address(member(listener, "address"))
        chains = objects(listener.get("filter_chains"))
        default = listener.get("default_filter_chain")
        for chain in [*chains, *objects([default])]:
            match = _chain_match(chain) if chain is not default else "otherwise"
            cells = [text(chain, "name"), match, _destination(chain)]
            rows.append([text(listener, "name"), address, *cells])
    return rows


def routes(content: object) -> list[Row]:
    """One row a route."""
    rows = [["TABLE", "VIRTUAL HOST", "DOMAINS", "MATCH", "DESTINATION"]]
    for table in _named(content):
        for host in objects(table.get("virtual_hosts")):
            for route in objects(host.get("routes")):
                place = [text(table, "name"), text(host, "name"), _domains(host)]
                rows.append([*place, _path_match(route), _route_destination(route)])
    return rows


def clusters(content: object) -> list[Row]:
    """One row a cluster; the numbers are this sidecar's own."""
    rows = [["CLUSTER", "TYPE", "ENDPOINTS", "CONNECTIONS", "ACTIVE REQUESTS"]]
    for cluster in objects(content):
        found = len(objects(cluster.get("endpoints")))
        numbers = [text(cluster, "connections"), text(cluster, "active_requests")]
        rows.append([text(cluster, "name"), text(cluster, "type"), str(found), *numbers])
    return rows


def endpoints(content: object) -> list[Row]:
    """One row an endpoint of a cluster."""
    rows = [["ENDPOINT", "CLUSTER", "TLS", "IDENTITY", "REQUESTS", "CONNECTIONS"]]
    for cluster in objects(content):
        for endpoint in objects(cluster.get("endpoints")):
            tls = "mutual" if endpoint.get("tls") else "none"
            identity = text(endpoint, "spiffe_id") or "-"
            numbers = [text(endpoint, "requests"), text(endpoint, "connections")]
            rows.append([text(endpoint, "address"), text(cluster, "name"), tls, identity, *numbers])
    return rows


def certificates(content: object) -> list[Row]:
    """The certificate in use, one row a property."""
    rows = [["PROPERTY", "VALUE"]]
    for section in ("certificate", "counters"):
        for name, value in _items(member(content, section)):
            rows.append([name.replace("_", " "), str(value)])
    if problem := text(content, "last_error"):
        rows.append(["last error", problem])
    return rows


def _named(content: object) -> list[JsonObject]:
    return objects(list(content.values())) if isinstance(content, dict) else []


def _items(value: object) -> list[tuple[str, object]]:
    return list(value.items()) if isinstance(value, dict) else []


def _address(value: object) -> str:
    found = member(value, "socket_address")
    return f"{text(found, 'address')}:{text(found, 'port_value')}"


def _chain_match(chain: JsonObject) -> str:
    match = member(chain, "filter_chain_match")
    words = [
        f"port {text(match, 'destination_port')}" if text(match, "destination_port") else "",
        text(match, "transport_protocol"),
        "/".join(texts(match, "application_protocols")),
    ]
    return " ".join(word for word in words if word) or _ANY


def _destination(chain: JsonObject) -> str:
    """Of the chain's last filter: a cluster, or a route table."""
    for entry in reversed(objects(chain.get("filters"))):
        config = member(entry, "typed_config")
        if name := text(config, "rds", "route_config_name"):
            return f"routes {name}"
        if isinstance(member(config, "route_config"), dict):
            hosts = objects(member(config, "route_config", "virtual_hosts"))
            found = [_route_destination(route) for host in hosts for route in objects(host.get("routes"))]
            return ", ".join(found)
        if cluster := text(config, "cluster"):
            return cluster
    return "-"


def _domains(host: JsonObject) -> str:
    found = texts(host, "domains")
    more = f" + {len(found) - _SHOWN_DOMAINS} more" if len(found) > _SHOWN_DOMAINS else ""
    return ", ".join(found[:_SHOWN_DOMAINS]) + more


def _path_match(route: JsonObject) -> str:
    match = member(route, "match")
    if path := text(match, "path"):
        return f"= {path}"
    return f"{text(match, 'path_separated_prefix') or text(match, 'prefix').rstrip('/')}/*"


def _route_destination(route: JsonObject) -> str:
    if (status := text(route, "direct_response", "status")) != "":
        return f"answers {status}"
    weighted = objects(member(route, "route", "weighted_clusters", "clusters"))
    if weighted:
        return ", ".join(f"{text(entry, 'name')} ({text(entry, 'weight') or '0'})" for entry in weighted)
    return text(route, "route", "cluster") or "-"
