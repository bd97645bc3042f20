# Verbs, one line each; `make` alone lists them. What they do lives in Python.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PY = .venv/bin/python
COMPOSE ?= docker compose
STACK = $(COMPOSE) -f docker-compose.prod.yml $(if $(MINIO),-f docker-compose.minio.yml)
.DEFAULT_GOAL = help
.PHONY: help setup clients peers lock demo train promote rollback retire status history verify backup restore-backup serve worker mlflow dashboards test test-stack test-s3 test-compose secrets up down logs ps smoke upgrade lint format bench bench-front bench-overload bench-swap bench-training bench-fleet bench-polling bench-log chart nightly clean

help:  ## list these verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## build .venv from the hashed lock; beside it GROUP=tensorflow (for Keras), GROUP=airflow, GROUP=ray, GROUP=chart
	@$(PYTHON) infra/environment.py $(or $(GROUP),dev)

clients:  ## an environment with other people's clients, for the tests of the protocols
	@$(PYTHON) infra/environment.py clients

peers:  ## the environments of the servers that `make bench` compares with: 4 GB
	@for group in peers peers-models peers-frameworks; do $(PYTHON) infra/environment.py $$group || exit; done

lock:  ## resolve all dependency groups again and write locks/
	@$(PYTHON) infra/lock.py

demo: setup  ## the whole product on real data; KEEP=1 leaves server and MLflow up
	@$(PY) -m benchmarks.demo $(if $(KEEP),--keep)

train: setup  ## train and register: WORKLOAD=petr4 (or mine.toml) SERIES= SOURCE= FILE= MODEL= PARAMS="a=1 b=2"
	@$(PY) -m training run $(WORKLOAD) $(if $(SERIES),--series "$(SERIES)") $(if $(SOURCE),--source $(SOURCE)) $(if $(FILE),--file "$(FILE)") $(if $(MODEL),--model "$(MODEL)") $(foreach p,$(PARAMS),--param $(p))

promote: setup  ## through the gates into Production: MODEL= VERSION= STAGE= (trained last if none)
	@$(PY) -m registry promote $(MODEL) $(VERSION) $(if $(STAGE),--stage $(STAGE))

rollback: setup  ## back to the version before: MODEL= VERSION=
	@$(PY) -m registry rollback $(MODEL) $(if $(VERSION),--to $(VERSION))

retire: setup  ## take Production away, nothing serves: MODEL= REASON=
	@$(PY) -m registry retire $(MODEL) $(if $(REASON),--reason "$(REASON)")

status: setup  ## what serves where, and what MLflow shows: MODEL=
	@$(PY) -m registry status $(MODEL)

history: setup  ## every change of a model's Production version: MODEL=
	@$(PY) -m registry history $(MODEL)

verify: setup  ## whether the ledger is still what was appended to it: MODEL=
	@$(PY) -m registry verify $(MODEL)

backup: setup  ## copy experiments, versions, artifacts and ledger: TO=backups (or s3://…) KEEP=
	@$(PY) -m registry backup $(or $(TO),backups) $(if $(KEEP),--keep $(KEEP))

restore-backup: setup  ## put a backup where the settings say: FROM=backups BACKUP= REPLACE=1 CHECK=1
	@$(PY) -m registry restore $(or $(FROM),backups) $(if $(BACKUP),--backup $(BACKUP)) $(if $(REPLACE),--replace) $(if $(CHECK),--check)

serve: setup  ## serve the Production versions, and follow them
	@exec $(PY) -m serving

worker: setup  ## do the jobs that were asked for over HTTP, until Ctrl-C
	@exec $(PY) -m training worker

mlflow: setup  ## MLflow's own UI on the same registry: PORT=5000
	@exec $(PY) -m registry mlflow --port $(or $(PORT),5000)

dashboards: setup  ## write Grafana's dashboards from the code in infra/grafana/
	@$(PY) infra/grafana/build.py

test: setup clients  ## all tests
	@for group in tensorflow stack mlflow; do $(PYTHON) infra/environment.py $$group || exit; done
	@$(PY) -m pytest $(ARGS)

test-stack: setup  ## the stack as processes of this machine: PostgreSQL, S3, MLflow with its login, nginx, Prometheus
	@for group in mlflow stack; do $(PYTHON) infra/environment.py $$group || exit; done
	@$(PY) -m pytest tests/stack $(ARGS)

test-s3: setup  ## the tests of S3 against another server: ENDPOINT= BUCKET=, keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
	@BATON_TEST_S3_ENDPOINT=$(ENDPOINT) BATON_TEST_S3_BUCKET=$(BUCKET) BATON_TEST_S3_WRITER_KEY=$$AWS_ACCESS_KEY_ID BATON_TEST_S3_WRITER_SECRET=$$AWS_SECRET_ACCESS_KEY $(PY) -m pytest tests/integration/test_fetch_s3.py tests/integration/test_score.py -k s3 $(ARGS)

test-compose: setup  ## the stack in a real Docker engine, started and removed by the test; as root
	@$(PYTHON) infra/environment.py stack
	@BATON_TEST_COMPOSE=1 $(PY) -m pytest tests/stack/test_compose.py -s $(ARGS)

secrets:  ## make the stack's secrets that are not there: HOST=baton.example.org; an API key: KEY=shop SCOPES=predict
	@$(PYTHON) infra/stack_secrets.py --host $(or $(HOST),localhost) $(if $(KEY),--key "$(KEY)" --scopes $(or $(SCOPES),predict))

up:  ## build the images and start the production stack, until all of it is healthy: MINIO=1
	@$(STACK) up --build --detach --wait || { $(STACK) logs --no-log-prefix check; exit 1; }

down:  ## stop the stack; its volumes stay
	@$(STACK) down

logs:  ## follow the stack's logs: SERVICE=
	@$(STACK) logs --follow --tail 100 $(SERVICE)

ps:  ## what of the stack runs, and how it is
	@$(STACK) ps --all

smoke:  ## look at a running stack as clients see it; changes nothing: ARGS="--host baton.example.org"
	@$(PYTHON) infra/smoke.py $(ARGS)

upgrade:  ## a running stack to the images of this checkout, one node after the other
	@$(PYTHON) infra/upgrade.py $(STACK)

lint: setup  ## style, types, layers: what CI checks
	@$(PY) -m ruff check && $(PY) -m ruff format --check && $(PY) -m mypy && $(dir $(PY))lint-imports

format: setup  ## let the formatter and the fixable rules do their work
	@$(PY) -m ruff check --fix -q; $(PY) -m ruff format -q

bench: setup peers  ## measure what the README claims, beside others; needs wrk: ARGS="--rounds 1"
	@$(PY) -m benchmarks && $(PY) -m benchmarks.front $(ARGS)

bench-front: setup  ## one row of iris beside what is written by hand only; needs wrk: ARGS=
	@$(PYTHON) infra/environment.py peers && $(PY) -m benchmarks.front --near $(ARGS)

bench-overload: setup  ## five times more requests than can be answered; needs wrk: ARGS="--path loop"
	@$(PY) -m benchmarks.overload $(ARGS)

bench-swap: setup  ## measure the swap, over an hour: ARGS="--only plain --runs 3"
	@$(PY) -m benchmarks.swap $(ARGS)

bench-training: setup  ## how long whole trainings take: ARGS="--rounds 5"
	@$(PYTHON) infra/environment.py tensorflow
	@$(PY) -m benchmarks.trainings $(ARGS)

bench-fleet: setup  ## a model a series, and whole tables; Ray where GROUP=ray is set up: ARGS="--only score"
	@$(PY) -m benchmarks.fleet $(ARGS)

bench-polling: setup  ## what nodes cost the database of the ledger: ARGS="--nodes 10 100 --seconds 5"
	@$(PY) -m benchmarks.polling $(ARGS)

bench-log: setup  ## what writing predictions down costs, and how fast they are shipped; needs wrk: ARGS="--pairs 5"
	@$(PY) -m benchmarks.log_cost $(ARGS)

chart: setup  ## pack the Helm chart with its rules into var/chart/, after Helm's linter and our tests of it
	@$(PYTHON) infra/environment.py chart && $(PY) -m pytest tests/stack/chart && var/environments/chart/bin/python infra/chart.py

nightly: setup  ## what takes too long for every change: ARGS="--only million"
	@for group in airflow ray clients tensorflow; do $(PYTHON) infra/environment.py $$group || exit; done
	@$(PY) -m benchmarks.nightly $(ARGS)

clean:  ## remove .venv and var/: everything trained, promoted and stored here
	@rm -rf .venv var
