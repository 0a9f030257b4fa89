"""A sidecar's configuration as tables."""

from meshctl import config_rows
from meshctl.json_value import member, objects, text, texts
from meshctl.text_table import table_lines

TCP = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"


def test_steps_into_json_of_another_shape_end_in_nothing():
    assert member({"a": {"b": 1}}, "a", "b") == 1
    assert member({"a": 1}, "a", "b") is None
    assert member([], "a") is None
    assert text({"a": None}, "a") == ""
    assert objects("no list") == []
    assert objects([{"a": 1}, "no object"]) == [{"a": 1}]
    assert texts({"a": ["x", 1]}, "a") == ["x", "1"]
    assert texts({"a": "x"}, "a") == []


def test_tables_are_aligned_without_blanks_at_the_ends():
    assert table_lines([["A", "B"], ["long", "x"]]) == ["A      B", "long   x"]


def test_listeners_show_each_chain_with_its_match_and_where_it_leads():
    listener = {
        "name": "virtualInbound",
        "address": {"socket_address": {"address": "0.0.0.0", "port_value": 15006}},
        "filter_chains": [
            {
                "name": "a",
                "filter_chain_match": {
                    "destination_port": 8080,
                    "transport_protocol": "tls",
                    "application_protocols": ["istio-http/1.1", "h2"],
                },
                "filters": [
                    {
                        "typed_config": {
                            "route_config": {
                                "virtual_hosts": [{"routes": [{"route": {"cluster": "inbound|8080||"}}]}]
                            }
                        }
                    }
                ],
            },
            {"name": "b", "filters": [{"typed_config": {"rds": {"route_config_name": "8080"}}}]},
            {"name": "c", "filters": [{"typed_config": {"@type": "another"}}]},
        ],
        "default_filter_chain": {
            "name": "d",
            "filters": [{"typed_config": {"@type": TCP, "cluster": "pass"}}],
        },
    }
    rows = config_rows.listeners({"virtualInbound": listener})
    place = ["virtualInbound", "0.0.0.0:15006"]
    assert rows[1:] == [
        [*place, "a", "port 8080 tls istio-http/1.1/h2", "inbound|8080||"],
        [*place, "b", "ALL", "routes 8080"],
        [*place, "c", "ALL", "-"],
        [*place, "d", "otherwise", "pass"],
    ]


def test_routes_show_domains_match_and_destination():
    weighted = {"clusters": [{"name": "one", "weight": 90}, {"name": "two"}]}
    host = {
        "name": "catalog",
        "domains": ["a", "b", "c", "d", "e"],
        "routes": [
            {"match": {"path": "/exact"}, "direct_response": {"status": 500}},
            {"match": {"path_separated_prefix": "/part"}, "route": {"weighted_clusters": weighted}},
            {"match": {"prefix": "/"}, "route": {"cluster": "one"}},
            {"match": {"prefix": "/"}, "route": {}},
        ],
    }
    rows = config_rows.routes({"8080": {"name": "8080", "virtual_hosts": [host]}})
    place = ["8080", "catalog", "a, b, c + 2 more"]
    assert rows[1:] == [
        [*place, "= /exact", "answers 500"],
        [*place, "/part/*", "one (90), two (0)"],
        [*place, "/*", "one"],
        [*place, "/*", "-"],
    ]


def test_clusters_and_endpoints_show_this_sidecars_own_numbers():
    endpoints = [
        {"address": "10.0.0.1:80", "tls": True, "spiffe_id": "spiffe://a", "requests": 3, "connections": 1},
        {"address": "10.0.0.2:80", "tls": False, "spiffe_id": "", "requests": 0, "connections": 0},
    ]
    cluster = {"name": "c", "type": "eds", "connections": 1, "active_requests": 0, "endpoints": endpoints}
    assert config_rows.clusters([cluster])[1] == ["c", "eds", "2", "1", "0"]
    assert config_rows.endpoints([cluster])[1:] == [
        ["10.0.0.1:80", "c", "mutual", "spiffe://a", "3", "1"],
        ["10.0.0.2:80", "c", "none", "-", "0", "0"],
    ]


def test_the_certificate_is_shown_without_its_bytes():
    content = {
        "certificate": {"spiffe_id": "spiffe://a", "valid_from": "now"},
        "counters": {"renewals": 2},
        "cert_chain": "-----BEGIN",
        "last_error": "refused",
    }
    rows = config_rows.certificates(content)
    assert rows[1:] == [
        ["spiffe id", "spiffe://a"],
        ["valid from", "now"],
        ["renewals", "2"],
        ["last error", "refused"],
    ]
    assert config_rows.certificates({}) == [["PROPERTY", "VALUE"]]
    assert config_rows.listeners(None) == [["LISTENER", "ADDRESS", "CHAIN", "MATCH", "DESTINATION"]]
