#!/usr/bin/env bash
# Makes the databases and the roles of the stack, and nothing they do not need.
#
# Run once by the official postgres image, on an empty data directory, from
# /docker-entrypoint-initdb.d. Run it again to change passwords:
#   docker compose exec postgres /docker-entrypoint-initdb.d/roles.sh
# Each role's password is the one in its own URL, a file in SECRETS_DIR: there is no second
# place that could say another one. What the roles may do with Baton's tables is granted by
# `python -m registry migrate`. Needs psql 15.
set -euo pipefail

secrets=${SECRETS_DIR:-/run/secrets}

fail() {
  echo "roles.sh: $*" >&2
  exit 1
}

# password SECRET ROLE DATABASE: the password in the URL in the file SECRET, for ROLE and DATABASE
password() {
  local file="$secrets/$1" url form found
  form="postgresql://$2:PASSWORD@HOST/$3"
  [ -f "$file" ] || fail "$file: there is no such secret; expected $form, \`make secrets\` makes it"
  [ -r "$file" ] || fail "$file: may not be read by $(id -un)"
  url=$(tr -d '[:space:]' <"$file")
  [ -n "$url" ] || fail "$file: is empty; expected $form, \`make secrets\` makes it"
  [[ $url =~ ^postgres(ql)?(\+psycopg2)?://([^:@/]+):([^@/]+)@[^/]+/([^?]+) ]] ||
    fail "$file: expected $form, got something else"
  [ "${BASH_REMATCH[3]}" = "$2" ] || fail "$file: expected the role $2, got ${BASH_REMATCH[3]}"
  [ "${BASH_REMATCH[5]}" = "$3" ] || fail "$file: expected the database $3, got ${BASH_REMATCH[5]}"
  found=${BASH_REMATCH[4]//\\/\\\\}
  printf -v found '%b' "${found//%/\\x}"
  [ ${#found} -ge 16 ] ||
    fail "$file: the password has ${#found} characters, expected 16 at least; \`make secrets\` makes one"
  printf '%s' "$found"
}

OWNER_PASSWORD=$(password ledger_url_owner baton_owner baton)
WRITER_PASSWORD=$(password ledger_url_writer baton_writer baton)
NODE_PASSWORD=$(password ledger_url_node baton_node baton)
WORKER_PASSWORD=$(password jobs_url_worker baton_worker baton)
LOG_PASSWORD=$(password predictions_url_log baton_log baton)
MLFLOW_PASSWORD=$(password mlflow_database_url mlflow mlflow)
auth_password=$(password mlflow_auth_database_url mlflow mlflow_auth)
[ "$MLFLOW_PASSWORD" = "$auth_password" ] ||
  fail "$secrets/mlflow_auth_database_url: expected the password of mlflow_database_url: it is one role"
export OWNER_PASSWORD WRITER_PASSWORD NODE_PASSWORD WORKER_PASSWORD LOG_PASSWORD MLFLOW_PASSWORD

# A statement that fails is not written to the server's log: some of these have a password.
export PGOPTIONS="-c log_statement=none -c log_min_error_statement=panic -c client_min_messages=warning"
psql -X -q -v ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\getenv owner OWNER_PASSWORD
\getenv writer WRITER_PASSWORD
\getenv node NODE_PASSWORD
\getenv worker WORKER_PASSWORD
\getenv log LOG_PASSWORD
\getenv mlflow MLFLOW_PASSWORD

SELECT format('CREATE ROLE %I', role)
  FROM unnest(ARRAY['baton_owner', 'baton_writer', 'baton_node', 'baton_worker', 'baton_log',
    'mlflow']) AS role
 WHERE role NOT IN (SELECT rolname FROM pg_roles) \gexec

ALTER ROLE baton_owner NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
  LOGIN PASSWORD :'owner';
ALTER ROLE baton_writer NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
  LOGIN PASSWORD :'writer';
ALTER ROLE baton_node NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
  LOGIN PASSWORD :'node';
ALTER ROLE baton_worker NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
  LOGIN PASSWORD :'worker';
ALTER ROLE baton_log NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
  LOGIN PASSWORD :'log';
ALTER ROLE mlflow NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
  LOGIN PASSWORD :'mlflow';

SELECT format('CREATE DATABASE %I OWNER %I', name, owner)
  FROM (VALUES ('mlflow', 'mlflow'), ('mlflow_auth', 'mlflow'), ('baton', 'baton_owner'))
    AS wanted (name, owner)
 WHERE name NOT IN (SELECT datname FROM pg_database) \gexec

-- Nobody connects to what is not theirs, or makes even a temporary table, but for who ships
-- predictions: they are copied into one first.
REVOKE ALL ON DATABASE mlflow, mlflow_auth, baton, postgres, template1 FROM PUBLIC;
GRANT CONNECT ON DATABASE baton TO baton_writer, baton_node, baton_worker, baton_log;
GRANT TEMPORARY ON DATABASE baton TO baton_log;

\connect mlflow
ALTER SCHEMA public OWNER TO mlflow;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
\connect mlflow_auth
ALTER SCHEMA public OWNER TO mlflow;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
\connect baton
ALTER SCHEMA public OWNER TO baton_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO baton_writer, baton_node, baton_worker, baton_log;
SQL
echo "roles.sh: databases mlflow, mlflow_auth and baton, with the roles that use them"
