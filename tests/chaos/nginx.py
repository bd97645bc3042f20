"""A real nginx in front of a node, retrying prediction requests on the node's other worker."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.node import free_port
from tests.missing import ServiceMissing

_PATIENCE_SECONDS = 20
# The same upstream twice, and never out of use: the second try reaches another of its workers.
_CONFIG = """
{user}
daemon off; worker_processes 1; pid {root}/pid; error_log {root}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {root}/body; proxy_temp_path {root}/proxy;
  fastcgi_temp_path {root}/f; uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;
  keepalive_timeout 3600; keepalive_requests 100000000;
  upstream node {{
    server 127.0.0.1:{node} max_fails=0;
    server 127.0.0.1:{node} max_fails=0;
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://node;
      proxy_set_header X-Attempt-Of $request_id;
      proxy_next_upstream error timeout http_502 http_503 non_idempotent;
      proxy_next_upstream_tries 2;
    }}
  }}
}}
"""


@contextmanager
def nginx(root: Path, node: int) -> Iterator[int]:
    """Run it before the server on port `node`; gives its own port."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if not program:
        ServiceMissing("no nginx is installed").skip_or_fail()
    root.mkdir()
    port = free_port()
    config = root / "nginx.conf"
    user = f"user {pwd.getpwuid(os.geteuid()).pw_name};" if os.geteuid() == 0 else ""
    config.write_text(_CONFIG.format(root=root, node=node, port=port, user=user))
    command = [program, "-p", str(root), "-e", str(root / "error.log"), "-c", str(config)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait(process, root)
            yield port
        finally:
            process.terminate()


def _wait(process: subprocess.Popen[bytes], root: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if (root / "pid").exists() and (root / "pid").read_text().strip():
            return
        time.sleep(0.02)
    raise AssertionError(f"nginx did not start: {(root / 'error.log').read_text()}")
