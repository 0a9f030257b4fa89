"""The ruleset as data: order of the rules, and the text that turns one ruleset into another."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.interception import rules
from meshproxy.interception.rules import (
    EMPTY,
    Family,
    TableRules,
    normalise,
    parse_save,
    restore_text,
    ruleset,
)
from meshproxy.interception.settings import InterceptionSettings

DEFAULT = InterceptionSettings()


def chain(name: str, settings: InterceptionSettings = DEFAULT, family: Family = Family.V4) -> list[str]:
    return list(ruleset(settings, family)["nat"].chains[name])


@pytest.mark.parametrize(
    ("family", "loopback", "source"),
    [(Family.V4, "127.0.0.1/32", "127.0.0.6/32"), (Family.V6, "::1/128", "::6/128")],
)
def test_outbound_rules_stand_in_the_order_that_makes_self_calls_work(
    family: Family, loopback: str, source: str
) -> None:
    assert chain(rules.OUTPUT, family=family) == [
        f"-s {source} -o lo -j RETURN",
        f"! -d {loopback} -o lo -m owner --uid-owner 1337 -j MESHPROXY_IN_REDIRECT",
        "-o lo -m owner ! --uid-owner 1337 -j RETURN",
        "-m owner --uid-owner 1337 -j RETURN",
        f"! -d {loopback} -o lo -m owner --gid-owner 1337 -j MESHPROXY_IN_REDIRECT",
        "-o lo -m owner ! --gid-owner 1337 -j RETURN",
        "-m owner --gid-owner 1337 -j RETURN",
        f"-d {loopback} -j RETURN",
        "-j MESHPROXY_REDIRECT",
    ]


def test_everything_inbound_is_redirected_but_the_sidecars_own_ports() -> None:
    assert chain(rules.INBOUND) == [
        "-p tcp -m tcp --dport 15020 -j RETURN",
        "-p tcp -m tcp --dport 15021 -j RETURN",
        "-p tcp -m tcp --dport 15090 -j RETURN",
        "-p tcp -j MESHPROXY_IN_REDIRECT",
    ]
    assert chain(rules.IN_REDIRECT) == ["-p tcp -j REDIRECT --to-ports 15006"]
    assert chain(rules.REDIRECT) == ["-p tcp -j REDIRECT --to-ports 15001"]


def test_only_included_inbound_ports_are_redirected_and_exclusion_is_stronger() -> None:
    settings = InterceptionSettings(include_inbound_ports=(80, 443), exclude_inbound_ports=(443, 22))
    assert chain(rules.INBOUND, settings) == [
        "-p tcp -m tcp --dport 22 -j RETURN",
        "-p tcp -m tcp --dport 443 -j RETURN",
        "-p tcp -m tcp --dport 15020 -j RETURN",
        "-p tcp -m tcp --dport 15021 -j RETURN",
        "-p tcp -m tcp --dport 15090 -j RETURN",
        "-p tcp -m tcp --dport 80 -j MESHPROXY_IN_REDIRECT",
        "-p tcp -m tcp --dport 443 -j MESHPROXY_IN_REDIRECT",
    ]


def test_outbound_exclusions_stand_before_inclusions_and_ranges_go_to_their_family() -> None:
    settings = InterceptionSettings(
        exclude_outbound_ports=(3306,),
        include_outbound_ports=(9000,),
        exclude_outbound_ranges=(ip_network("10.9.0.0/16"), ip_network("fd09::/16")),
        include_outbound_ranges=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")),
    )
    v4, v6 = chain(rules.OUTPUT, settings), chain(rules.OUTPUT, settings, Family.V6)
    assert v4[0] == v6[0] == "-p tcp -m tcp --dport 3306 -j RETURN"
    assert v4[-3:] == [
        "-d 10.9.0.0/16 -j RETURN",
        "-p tcp -m tcp --dport 9000 -j MESHPROXY_REDIRECT",
        "-d 10.0.0.0/8 -j MESHPROXY_REDIRECT",
    ]
    assert (v6[-3], v6[-1]) == ("-d fd09::/16 -j RETURN", "-d fd00::/8 -j MESHPROXY_REDIRECT")


def test_no_included_range_redirects_nothing_outbound() -> None:
    settings = InterceptionSettings(include_outbound_ranges=())
    assert "-j MESHPROXY_REDIRECT" not in chain(rules.OUTPUT, settings)


def test_dns_to_the_pods_servers_goes_to_the_resolver_but_not_the_resolvers_own() -> None:
    settings = InterceptionSettings(dns_servers=(ip_address("10.96.0.10"), ip_address("fd00::a")))
    found = ruleset(settings, Family.V4)
    assert found["nat"].chains[rules.DNS] == (
        "-m owner --uid-owner 1337 -j RETURN",
        "-m owner --gid-owner 1337 -j RETURN",
        "-d 10.96.0.10/32 -p udp -m udp --dport 53 -j REDIRECT --to-ports 15053",
    )
    assert found["nat"].jumps[-1] == ("OUTPUT", "-p udp -m udp --dport 53 -j MESHPROXY_DNS")
    over_tcp = "-d 10.96.0.10/32 -p tcp -m tcp --dport 53 -j REDIRECT --to-ports 15053"
    output = chain(rules.OUTPUT, settings)
    assert output.index("-m owner --gid-owner 1337 -j RETURN") < output.index(over_tcp)
    assert output.index(over_tcp) < output.index("-j MESHPROXY_REDIRECT")
    assert chain(rules.DNS, settings, Family.V6)[-1].startswith("-d fd00::a/128 -p udp")


def test_the_resolvers_queries_are_tracked_apart_from_the_apps() -> None:
    settings = InterceptionSettings(dns_servers=(ip_address("10.96.0.10"),))
    raw = ruleset(settings, Family.V4)["raw"]
    assert raw.chains[rules.DNS_OUT] == (
        "-m owner --uid-owner 1337 -j CT --zone 1",
        "-m owner --gid-owner 1337 -j CT --zone 1",
    )
    assert raw.jumps == (
        ("OUTPUT", "-p udp -m udp --dport 53 -j MESHPROXY_DNS_OUT"),
        ("PREROUTING", "-p udp -m udp --sport 53 -j MESHPROXY_DNS_IN"),
    )


@pytest.mark.parametrize(
    ("settings", "family"),
    [
        (DEFAULT, Family.V4),
        (InterceptionSettings(dns_servers=(ip_address("10.96.0.10"),)), Family.V6),
        (
            InterceptionSettings(dns_servers=(ip_address("10.96.0.10"),), exclude_outbound_ports=(53,)),
            Family.V4,
        ),
    ],
)
def test_dns_is_left_alone_without_servers_of_the_family_or_where_port_53_is_excluded(
    settings: InterceptionSettings, family: Family
) -> None:
    found = ruleset(settings, family)
    assert "raw" not in found
    assert rules.DNS not in found["nat"].chains


def test_invalid_packets_are_dropped_unless_told_otherwise() -> None:
    mangle = ruleset(DEFAULT, Family.V4)["mangle"]
    assert mangle.chains == {"MESHPROXY_INVALID": ("-j DROP",)}
    assert mangle.jumps == (("PREROUTING", "-p tcp -m conntrack --ctstate INVALID -j MESHPROXY_INVALID"),)
    assert "mangle" not in ruleset(InterceptionSettings(drop_invalid=False), Family.V4)


SAVE = """\
# Generated by iptables-save v1.8.9 (nf_tables)
*nat
:PREROUTING ACCEPT [1:60]
:OUTPUT ACCEPT [0:0]
:MESHPROXY_OLD - [0:0]
:MESHPROXY_OUTPUT - [0:0]
:OTHERS - [0:0]
-A PREROUTING -p tcp -j OTHERS
-A OUTPUT -p tcp -j MESHPROXY_OUTPUT
-A OUTPUT -p tcp -j MESHPROXY_OUTPUT
[7:420] -A OUTPUT -p udp -g MESHPROXY_OLD
-A OUTPUT -m comment --comment "-j MESHPROXY_OUTPUT" -j OTHERS
-A OUTPUT -p tcp
-A MESHPROXY_OUTPUT -j RETURN
-A OTHERS -j ACCEPT
COMMIT
"""
SAVED = {
    "nat": TableRules(
        {"MESHPROXY_OLD": (), "MESHPROXY_OUTPUT": ("-j RETURN",)},
        (
            ("OUTPUT", "-p tcp -j MESHPROXY_OUTPUT"),
            ("OUTPUT", "-p tcp -j MESHPROXY_OUTPUT"),
            ("OUTPUT", "-p udp -g MESHPROXY_OLD"),
        ),
    )
}


def test_our_part_is_told_apart_in_a_saved_ruleset() -> None:
    assert parse_save(SAVE) == SAVED


def test_a_jump_without_its_chains_is_still_ours() -> None:
    save = "*nat\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -j MESHPROXY_OUTPUT\nCOMMIT\n"
    assert parse_save(save) == {"nat": TableRules({}, (("OUTPUT", "-j MESHPROXY_OUTPUT"),))}


def test_a_change_deletes_surplus_jumps_and_old_chains_and_keeps_what_is_right() -> None:
    target = {
        "nat": TableRules({"MESHPROXY_OUTPUT": ("-j DROP",)}, (("OUTPUT", "-p tcp -j MESHPROXY_OUTPUT"),))
    }
    assert restore_text(SAVED, target) == (
        "*nat\n"
        ":MESHPROXY_OLD - [0:0]\n"
        ":MESHPROXY_OUTPUT - [0:0]\n"
        "-D OUTPUT -p tcp -j MESHPROXY_OUTPUT\n"
        "-D OUTPUT -p udp -g MESHPROXY_OLD\n"
        "-A MESHPROXY_OUTPUT -j DROP\n"
        "-X MESHPROXY_OLD\n"
        "COMMIT\n"
    )


def test_nothing_to_do_is_no_text() -> None:
    assert restore_text(EMPTY, EMPTY) == ""


def carry_out(text: str, before: dict[str, TableRules]) -> dict[str, TableRules]:
    """What `iptables-restore --noflush` makes of a ruleset of ours, in the few words `restore_text` uses."""
    chains = {
        table: {name: list(lines) for name, lines in each.chains.items()} for table, each in before.items()
    }
    jumps = {table: list(each.jumps) for table, each in before.items()}
    table = ""
    for line in text.splitlines():
        verb, _, rest = line.partition(" ")
        name, _, rule = rest.partition(" ")
        if line.startswith("*"):
            table = line[1:]
            chains.setdefault(table, {})
            jumps.setdefault(table, [])
        elif line.startswith(":"):
            chains[table][verb[1:]] = []
        elif verb == "-A" and name.startswith(rules.PREFIX):
            chains[table][name].append(rule)
        elif verb == "-A":
            jumps[table].append((name, rule))
        elif verb == "-D":
            jumps[table].remove((name, rule))
        elif verb == "-X":
            assert chains[table].pop(name) == []
    return {
        table: TableRules({name: tuple(lines) for name, lines in chains[table].items()}, tuple(jumps[table]))
        for table in chains
        if chains[table] or jumps[table]
    }


PORTS = st.lists(st.integers(1, 65535), max_size=3, unique=True).map(tuple)
SETTINGS = st.builds(
    InterceptionSettings,
    include_inbound_ports=st.none() | PORTS,
    exclude_inbound_ports=PORTS,
    include_outbound_ports=PORTS,
    exclude_outbound_ports=PORTS,
    drop_invalid=st.booleans(),
)


def same(left: dict[str, TableRules], right: rules.Ruleset) -> bool:
    def content(
        ruleset: rules.Ruleset,
    ) -> dict[str, tuple[dict[str, tuple[str, ...]], list[tuple[str, str]]]]:
        return {table: (dict(each.chains), sorted(each.jumps)) for table, each in ruleset.items()}

    return content(left) == content(right)


@given(first=SETTINGS, second=SETTINGS, family=st.sampled_from(Family))
def test_any_change_ends_in_its_target_and_cleaning_in_nothing(
    first: InterceptionSettings, second: InterceptionSettings, family: Family
) -> None:
    state: dict[str, TableRules] = {}
    for target in (ruleset(first, family), ruleset(second, family), ruleset(second, family), EMPTY):
        state = carry_out(restore_text(state, target), state)
        assert same(state, target)


def test_what_was_applied_is_read_back_as_what_it_is() -> None:
    target = ruleset(DEFAULT, Family.V4)
    assert same(dict(parse_save(restore_text(EMPTY, target))), target)


def test_an_empty_table_equals_no_table_and_counters_do_not_count() -> None:
    empty = "# Generated\n*nat\n:PREROUTING ACCEPT [5:300]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n# Completed\n"
    assert normalise(empty) == normalise("") == []
    assert normalise(SAVE) == normalise(SAVE.replace("[1:60]", "[9:99]").replace("[7:420] ", "[8:480] "))
    assert normalise("*filter\n:INPUT DROP [0:0]\nCOMMIT\n") == ["*filter", ":INPUT DROP"]
    assert normalise(SAVE) != normalise(empty)
