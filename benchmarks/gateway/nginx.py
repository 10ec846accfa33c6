"""nginx as the upstream: its own cost is negligible."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.gateway.wire import ANSWER

SETTINGS = """\
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log /dev/null;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  default_type application/json;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 '{answer}'; }} }}
}}
"""


def command(port: int, folder: Path) -> tuple[str, ...]:
    """The command that serves the answer on a port; its files are in the folder."""
    folder.mkdir(exist_ok=True)
    file = folder / "nginx.conf"
    file.write_text(SETTINGS.format(folder=folder, port=port, answer=json.dumps(ANSWER)))
    return ("nginx", "-c", str(file), "-e", "/dev/null")
