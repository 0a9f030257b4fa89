"""The application behind every proxy: an nginx worker that answers at once, on the core of the load."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bench.dataset import CONNECTION_TARGET
from bench.network import DIRECT_PORT
from bench.process import LOAD_CORE, Process
from bench.route_table import PATH
from bench.shape import GRPC_MESSAGE, RESPONSE_1M, RESPONSE_16K, SERVICE_PORT, SMALL_BODY

RESET_LOG: Final = "resets.log"
"""A line for each request to `/resetting` that was reset."""


def start_upstream(namespace: Path, folder: Path, *, http2: bool = False) -> Process:
    """Serves `/small`, `/routed`, `/16k`, `/1m` and POSTs to `/post`: to Services, to `relay`, and past the
    proxies.

    `/grpc` answers calls of gRPC, `/grpc_stream` with the file that a workload puts there; with `http2`
    Services are spoken to by it. `/held` takes minutes, `/status` counts who waits. `/closing` ends its
    connection after each answer, `/resetting` ends it instead of 1 % of the answers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "16k").write_bytes(RESPONSE_16K)
    (folder / "post").touch()
    (folder / "grpc").touch()
    (folder / "grpc_answer").write_bytes(GRPC_MESSAGE)
    (folder / "1m").write_bytes(RESPONSE_1M)
    config = folder / "nginx.conf"
    config.write_text(_configuration(folder, http2=http2))
    command = ["nginx", "-c", str(config), "-p", str(folder), "-e", "stderr"]
    return Process(command, namespace=namespace, core=LOAD_CORE, log=folder / "upstream.log")


def _configuration(folder: Path, *, http2: bool) -> str:
    listen = "\n".join(f"    listen {port};" for port in (CONNECTION_TARGET, DIRECT_PORT))
    listen += f"\n    listen {SERVICE_PORT}{' http2' if http2 else ''};"
    return f"""
daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  http2_max_concurrent_streams 2048;  # or who has not read the settings yet is refused
  keepalive_timeout 600s;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  large_client_header_buffers 8 16k;
  sendfile on;
  tcp_nopush on;
  open_file_cache max=10;
  split_clients $request_id $fault {{ 1% 1; * 0; }}
  log_format fault $request_id;
  default_type application/octet-stream;
  server {{
{listen}
    root {folder};
    location /small {{ return 200 "{SMALL_BODY.decode()}"; }}
    # `return` would answer before the body is there, as no application does; `mirror` waits for it, then
    # the static handler refuses POST, which is turned into the small answer.
    location = /post {{ mirror /nowhere; error_page 405 =200 /small; }}
    location /closing {{ keepalive_timeout 0; return 200 "{SMALL_BODY.decode()}"; }}
    # What the proxy added, changed and left out of the request, told to whoever judges.
    location {PATH} {{
      add_header X-Echo "$http_x_team,$http_x_hop,$http_x_internal";
      add_header X-Removed yes;
      return 200 "{SMALL_BODY.decode()}";
    }}
    location /resetting {{
      access_log {folder}/{RESET_LOG} fault if=$fault;
      if ($fault) {{ return 444; }}
      return 200 "{SMALL_BODY.decode()}";
    }}
    location = /grpc {{ mirror /nowhere; error_page 405 =200 /grpc_answer; }}
    location = /grpc_answer {{ types {{ }} default_type application/grpc; add_trailer grpc-status 0; }}
    location = /grpc_stream {{ types {{ }} default_type application/grpc; add_trailer grpc-status 0; }}
    location = /held {{ limit_rate 64; alias {folder}/16k; }}
    location = /status {{ stub_status; }}
    location = /nowhere {{ internal; return 204; }}
    location / {{ }}
  }}
}}
"""
