"""HAProxy and nginx as one-hop proxies: yardsticks with the same hosts, weights and timeouts, configured by
file because no control plane of ours speaks to them. They listen where a sidecar would."""

from __future__ import annotations

from pathlib import Path

from bench.dataset import SERVER_ADDRESSES
from bench.process import PROXY_CORE, Process
from bench.result import Side
from bench.shape import SERVICE_PORT, host_name, service_name

_OUTBOUND_PORT = 15001
_WEIGHTS = (80, 20)


def start_comparison(side: Side, namespace: Path, folder: Path, services: int) -> Process:
    """One worker, in the foreground."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / f"{side.value}.conf"
    if side is Side.HAPROXY:
        hosts = "\n".join(f"{host_name(index)} {service_name(index)}" for index in range(services))
        (folder / "hosts.map").write_text(hosts + "\n")
        config.write_text(_haproxy(folder, services))
        command = ["haproxy", "-db", "-f", str(config)]
    else:
        config.write_text(_nginx(folder, services))
        command = ["nginx", "-c", str(config), "-p", str(folder), "-e", "stderr"]
    log = folder / f"{side.value}.log"
    return Process(command, namespace=namespace, core=PROXY_CORE, log=log, is_proxy=True)


def _haproxy(folder: Path, services: int) -> str:
    backends = "\n".join(_haproxy_backend(index, services) for index in range(services))
    return f"""
global
  nbthread 1
  maxconn 4000
  stats socket {folder}/haproxy.sock
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 15s
  timeout http-request 15s
  retries 2
  retry-on conn-failure empty-response
  option redispatch
  http-reuse always
frontend outbound
  bind :{_OUTBOUND_PORT}
  use_backend %[req.hdr(host),lower,map({folder}/hosts.map)]
{backends}
"""


def _haproxy_backend(index: int, services: int) -> str:
    lines = [f"backend {service_name(index)}", "  balance roundrobin"]
    for name, weight in zip(_backends(index, services), _WEIGHTS, strict=True):
        for number, address in enumerate(SERVER_ADDRESSES):
            server = f"{name}-{number} {address}:{SERVICE_PORT}"
            lines.append(f"  server {server} weight {weight} maxconn 10000")
    return "\n".join(lines)


def _backends(index: int, services: int) -> tuple[str, str]:
    return f"a-{service_name(index)}", f"b-{service_name((index + 1) % services)}"


def _nginx(folder: Path, services: int) -> str:
    return f"""
daemon off;
master_process off;
worker_processes 1;
pid {folder}/proxy.pid;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  client_body_temp_path {folder}/proxy-body;
  proxy_temp_path {folder}/proxy-proxy;
  fastcgi_temp_path {folder}/proxy-fastcgi;
  uwsgi_temp_path {folder}/proxy-uwsgi;
  scgi_temp_path {folder}/proxy-scgi;
  large_client_header_buffers 8 16k;
  server_names_hash_max_size 4096;
  server_names_hash_bucket_size 128;
  split_clients $request_id $share {{ {_WEIGHTS[0]}% a; * b; }}
{"".join(_nginx_service(index) for index in range(services))}
}}
"""


def _nginx_service(index: int) -> str:
    host = host_name(index).partition(":")[0]
    upstreams = "".join(_nginx_upstream(f"{share}-{service_name(index)}") for share in "ab")
    return f"""{upstreams}
  server {{
    listen {_OUTBOUND_PORT};
    server_name {host};
    location / {{
      proxy_pass http://$share-{service_name(index)};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_connect_timeout 5s;
      proxy_read_timeout 15s;
      proxy_next_upstream error timeout;
      proxy_next_upstream_tries 3;
      proxy_buffers 16 16k;
      proxy_buffer_size 16k;
    }}
  }}
"""


def _nginx_upstream(name: str) -> str:
    servers = "".join(f" server {address}:{SERVICE_PORT} max_fails=5;" for address in SERVER_ADDRESSES)
    return f"  upstream {name} {{{servers} keepalive 256; }}\n"
