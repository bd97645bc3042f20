"""Images that cannot be pulled here, under their names: **stand-ins**, and called so in the output.

They are made of Debian's packages (and SeaweedFS's wheel) with entrypoints of our own that do what
our files ask of the real ones. They prove our images and our files, not those images. Grafana's is
a page that answers where Grafana would: no Grafana is to be had.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.stack.engine import Engine, run

ROOT = Path(__file__).resolve().parents[2]
PYTHON = "python:3.11.14-slim-bookworm"
_CA = "/etc/ssl/certs/ca-certificates.crt"
_BASE = ("ca-certificates", "libpython3-dev", "python3", "python3-venv")
# As Debian's slim images, which Python's are made of.
_SLIM = ("/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*", "*/libpython3*.a")
_OTHERS = (
    "ca-certificates", "curl", "nginx-light", "postgresql", "prometheus", "prometheus-alertmanager",
    "prometheus-blackbox-exporter", "wget",
)  # fmt: skip
_POSTGRES = r"""#!/bin/bash
set -euo pipefail
bin=$(echo /usr/lib/postgresql/*/bin)
export PGDATA=/var/lib/postgresql/data
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  "$bin/initdb" -U postgres --pwfile="$POSTGRES_PASSWORD_FILE" --auth-local=trust \
    $POSTGRES_INITDB_ARGS >/dev/null
  echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
  "$bin/pg_ctl" -w -o "-c listen_addresses='' -k /var/run/postgresql" start >/dev/null
  export PGHOST=/var/run/postgresql POSTGRES_USER=postgres
  for script in /docker-entrypoint-initdb.d/*.sh; do bash "$script"; done
  "$bin/pg_ctl" -w -m fast stop >/dev/null
fi
exec "$bin/postgres" -c listen_addresses='*' -c unix_socket_directories=/var/run/postgresql
"""
_NGINX = r"""#!/bin/bash
set -euo pipefail
for template in /etc/nginx/templates/*.template; do
  perl -pe "s/\\\$\{(${NGINX_ENVSUBST_FILTER}\w*)\}/exists \$ENV{\$1} ? \$ENV{\$1} : \$&/ge" \
    "$template" > "$NGINX_ENVSUBST_OUTPUT_DIR/$(basename "$template" .template)"
done
exec "$@"
"""
_GRAFANA = """# Answers where Grafana would. This is not Grafana.
daemon off; pid /tmp/pid; error_log stderr; events {}
http {
  access_log off;
  client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
  server {
    listen 3000;
    location = /api/health { return 200; }
    location / { return 401; }
  }
}
"""
_RUNS: Mapping[str, tuple[str, ...]] = {
    "postgres:15.14-bookworm": (
        "COPY postgres /usr/local/bin/start",
        "RUN chmod 755 /usr/local/bin/start",
        "RUN install -d -o postgres -g postgres -m 0700 /var/lib/postgresql/data",
        "RUN ln -s /usr/lib/postgresql/*/bin/pg_isready /usr/local/bin/pg_isready",
        'ENTRYPOINT ["/usr/local/bin/start"]',
    ),
    "nginx:1.28.1": (
        "COPY nginx /usr/local/bin/start",
        "RUN chmod 755 /usr/local/bin/start",
        'ENTRYPOINT ["/usr/local/bin/start"]',
    ),
    "chrislusf/seaweedfs:4.48": ("COPY weed /usr/bin/weed", 'ENTRYPOINT ["/usr/bin/weed"]'),
    "prom/prometheus:v3.5.0": (
        "RUN mkdir -p /prometheus && chown 65534:65534 /prometheus",
        "USER 65534:65534",
        'ENTRYPOINT ["prometheus"]',
    ),
    "prom/alertmanager:v0.28.1": (
        "RUN mkdir -p /alertmanager && chown 65534:65534 /alertmanager",
        "USER 65534:65534",
        'ENTRYPOINT ["prometheus-alertmanager"]',
    ),
    "prom/blackbox-exporter:v0.27.0": (
        "USER 65534:65534",
        'ENTRYPOINT ["prometheus-blackbox-exporter"]',
    ),
    "grafana/grafana:12.3.1": (
        "COPY grafana /etc/grafana.conf",
        "USER 472:0",
        'ENTRYPOINT ["nginx", "-e", "stderr", "-c", "/etc/grafana.conf"]',
    ),
}


def make(engine: Engine, scratch: Path, say: Callable[[str], None]) -> None:
    """Make all of them in the engine, the base of our own images too."""
    say(f"STAND-INS, not the published images: {PYTHON}, {', '.join(_RUNS)}")
    ca = f"ENV PIP_CERT={_CA} SSL_CERT_FILE={_CA}"
    _import(engine, PYTHON, _BASE, ca)
    _import(
        engine, "baton-stand-in", _OTHERS, "ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    )
    context = scratch / "stand-ins"
    context.mkdir()
    for name, text in (("postgres", _POSTGRES), ("nginx", _NGINX), ("grafana", _GRAFANA)):
        (context / name).write_text(text)
    weed = Path(sys.executable).with_name("weed")
    shutil.copy(weed if weed.exists() else str(shutil.which("weed")), context / "weed")
    for image, lines in _RUNS.items():
        label = 'LABEL org.opencontainers.image.description="a stand-in"'
        file = context / "Dockerfile"
        file.write_text("\n".join(("FROM baton-stand-in", label, *lines)) + "\n")
        engine.docker("build", "--quiet", "--tag", image, str(context))


def _import(engine: Engine, name: str, packages: tuple[str, ...], change: str) -> None:
    engine.docker("import", "--change", change, str(_system(packages)), name)


def _system(packages: tuple[str, ...]) -> Path:
    """A small Debian with these packages, and this machine's certificates; made once a checkout."""
    key = hashlib.sha256(" ".join((*packages, *_SLIM)).encode()).hexdigest()[:12]
    made = ROOT / "var" / "stand-ins" / f"bookworm-{key}.tar"
    if made.exists():
        return made
    made.parent.mkdir(parents=True, exist_ok=True)
    part = made.with_suffix(".part.tar")
    upload = f"upload {_CA} {_CA}" if Path(_CA).exists() else "true"
    slim = [f"--dpkgopt=path-exclude={path}" for path in _SLIM]
    options = ["--variant=minbase", f"--include={','.join(packages)}", "--quiet", *slim]
    environ = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    try:
        run(
            ["mmdebstrap", *options, f"--customize-hook={upload}", "bookworm", str(part)],
            environ,
            seconds=600,
        )
    except subprocess.TimeoutExpired:
        part.unlink(missing_ok=True)
        raise
    part.rename(made)
    return made
