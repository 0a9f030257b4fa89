"""`python -m meshproxy.interception`: what the pod's init container runs before anything else starts.

Every flag can also be given by an environment variable, `MESHPROXY_` and the flag's name; the flag wins.
Exit status: 0 done, 1 the rules could not be changed, 2 a flag is wrong.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path

from meshproxy.config.resolv_conf import nameservers
from meshproxy.errors import ConfigError
from meshproxy.interception.apply import InterceptionError, Interceptor
from meshproxy.interception.settings import (
    Address,
    InterceptionSettings,
    parse_ports,
    parse_ports_or_all,
    parse_ranges,
    parse_ranges_or_all,
)

_FLAGS = (
    ("mode", "REDIRECT", "how connections are caught; REDIRECT is the only one"),
    ("inbound-port", "15006", "port of the sidecar's inbound listener"),
    ("outbound-port", "15001", "port of the sidecar's outbound listener"),
    ("proxy-uid", "1337", "user id whose connections are the sidecar's own"),
    ("proxy-gid", "1337", "group id whose connections are the sidecar's own"),
    ("include-inbound-ports", "*", "ports of the pod that are redirected; * is all"),
    ("exclude-inbound-ports", "", "ports of the pod that are not; the sidecar's own never are"),
    ("include-outbound-ports", "", "ports redirected whatever their address is"),
    ("exclude-outbound-ports", "", "ports that the app reaches directly"),
    ("include-outbound-ip-ranges", "*", "address ranges that are redirected; * is all"),
    ("exclude-outbound-ip-ranges", "", "address ranges that the app reaches directly"),
    ("dns-capture", "false", "redirect DNS queries to the servers of resolv.conf: true or false"),
    ("dns-port", "15053", "port of the sidecar's resolver"),
    ("resolv-conf", "/etc/resolv.conf", "file that names the pod's DNS servers"),
    ("drop-invalid", "true", "drop TCP packets that conntrack calls INVALID: true or false"),
)


def environment_name(flag: str) -> str:
    """`inbound-port` -> `MESHPROXY_INBOUND_PORT`."""
    return "MESHPROXY_" + flag.upper().replace("-", "_")


def parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    """Flags, with the environment's values as their defaults."""
    flags = argparse.ArgumentParser(
        prog="python -m meshproxy.interception",
        description="Redirect this network namespace's TCP connections, and its DNS queries, to the sidecar."
        " Lists have commas.",
    )
    action = flags.add_mutually_exclusive_group()
    action.add_argument("--dry-run", action="store_true", help="print the rules and change nothing")
    action.add_argument("--clean", action="store_true", help="remove the rules")
    for name, default, text in _FLAGS:
        variable = environment_name(name)
        value = environment.get(variable, default)
        flags.add_argument(
            f"--{name}", default=value, metavar="VALUE", help=f"{text} [{variable}, {default!r}]"
        )
    return flags


def settings_of(arguments: argparse.Namespace) -> InterceptionSettings:
    """Raises ConfigError naming the flag, the value and the mend."""
    given: dict[str, str] = vars(arguments)
    if given["mode"] != "REDIRECT":
        raise ConfigError(f"--mode: {given['mode']!r} is not supported; use REDIRECT")
    return InterceptionSettings(
        inbound_port=_number(given, "inbound_port"),
        outbound_port=_number(given, "outbound_port"),
        proxy_uid=_number(given, "proxy_uid"),
        proxy_gid=_number(given, "proxy_gid"),
        include_inbound_ports=parse_ports_or_all(given["include_inbound_ports"], "--include-inbound-ports"),
        exclude_inbound_ports=parse_ports(given["exclude_inbound_ports"], "--exclude-inbound-ports"),
        include_outbound_ports=parse_ports(given["include_outbound_ports"], "--include-outbound-ports"),
        exclude_outbound_ports=parse_ports(given["exclude_outbound_ports"], "--exclude-outbound-ports"),
        include_outbound_ranges=parse_ranges_or_all(
            given["include_outbound_ip_ranges"], "--include-outbound-ip-ranges"
        ),
        exclude_outbound_ranges=parse_ranges(
            given["exclude_outbound_ip_ranges"], "--exclude-outbound-ip-ranges"
        ),
        dns_port=_number(given, "dns_port"),
        dns_servers=_dns_servers(given),
        drop_invalid=_truth(given, "drop_invalid"),
    )


def _dns_servers(given: Mapping[str, str]) -> tuple[Address, ...]:
    if not _truth(given, "dns_capture"):
        return ()
    path = Path(given["resolv_conf"])
    try:
        servers = nameservers(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"--resolv-conf: {path} cannot be read: {error}; or use --dns-capture=false"
        ) from error
    return tuple(ip_address(server) for server in servers)


def _number(given: Mapping[str, str], name: str) -> int:
    value = given[name]
    if not (value.isascii() and value.isdecimal()):
        raise ConfigError(f"--{name.replace('_', '-')}: {value!r} is not a number; use decimal digits")
    return int(value)


def _truth(given: Mapping[str, str], name: str) -> bool:
    value = given[name]
    if value not in ("true", "false"):
        raise ConfigError(f"--{name.replace('_', '-')}: {value!r} is neither; use true or false")
    return value == "true"


def main(arguments: Sequence[str], environment: Mapping[str, str], interceptor: Interceptor) -> int:
    """Exit status."""
    parsed = parser(environment).parse_args(arguments)
    try:
        settings = settings_of(parsed)
        if parsed.dry_run:
            print(interceptor.dry_run(settings), end="")
        elif parsed.clean:
            interceptor.clean()
        else:
            interceptor.apply(settings)
    except (ConfigError, InterceptionError) as error:
        print(f"interception: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ, Interceptor()))
