# `make demo` and `make test` are all that a fresh machine needs; each installs what is missing first.
PYTHON ?= python3
BIN := .venv/bin
# Bytecode is kept, whatever the environment says: a run of the tests starts hundreds of processes, and to compile the
# worker takes as long as to import it.
export PYTHONDONTWRITEBYTECODE =
INSTALLED := .venv/.installed

.PHONY: install demo test attacks image test-fast acceptance lint types imports contract format bench bench-quick faults faults-short fuzz fuzz-short model model-quick collector lock sbom clean

install: $(INSTALLED)

$(INSTALLED): tests/requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r tests/requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

demo: install
	$(BIN)/customer-worker demo

# Six modules at a time: most tests wait for Kafka or a process most of the time. They share one Kafka.
test: install
	$(BIN)/python -m pytest -n 6 --dist loadfile --no-loadscope-reorder --durations 20 --ignore tests/attacks --ignore tests/image

# Proxies, other users, web pages, floods: need nginx, socat and root.
attacks: install
	$(BIN)/python -m pytest tests/attacks

# Builds the image and runs its containers: needs Podman or Docker.
image: install
	$(BIN)/python -m pytest tests/image

# Everything that needs no Kafka.
test-fast: install
	$(BIN)/python -m pytest tests/domain tests/store tests/worker tests/deploy

acceptance: install
	$(BIN)/python -m pytest tests/acceptance

lint: install imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

imports: install
	$(BIN)/lint-imports

# Fails on a change that breaks producers or subscribers of the last release.
contract: install
	$(BIN)/customer-worker contract check docs/contract/asyncapi.json

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The worker beside Kafka Streams, Python frameworks and a bare reader, and workers on PostgreSQL; minutes, and the machine should have nothing else to do.
bench: install
	$(BIN)/python -m tests.benchmarks

# Kills, cut networks, frozen brokers, full disks on three brokers. The disk faults need root, the clock ones faketime.
faults: install
	$(BIN)/python -m tests.faults --minutes 20

# The exactly-once protocol in all interleavings, and broken protocols that have to be found. Needs spin and gcc.
model: install
	$(BIN)/python -m tests.model

model-quick: install
	$(BIN)/python -m tests.model --small

faults-short: install
	$(BIN)/python -m tests.faults --short

# Random records: ten million through decoding, then a million through a whole worker.
fuzz: install
	$(BIN)/python -m tests.fuzz --records 10000000
	$(BIN)/python -m tests.fuzz --worker --records 1000000
	$(BIN)/python -m tests.fuzz --worker --records 100000 --store postgres

fuzz-short: install
	$(BIN)/python -m tests.fuzz --records 100000
	$(BIN)/python -m tests.fuzz --worker --records 10000

bench-quick: install
	$(BIN)/python -m tests.benchmarks --customers 400000 --runs 1 --streams-settings 1 --seconds 10 --stored 100000 --only throughput latency

# A real OpenTelemetry Collector; needs Go. `TEST_OTEL_COLLECTOR=$(COLLECTOR)` makes the tests use it.
COLLECTOR := .cache/otelcol

collector:
	cd tests/support/otel_collector && go build -trimpath -ldflags "-s -w" -o ../../../$(COLLECTOR) .

# The files name packages, versions and hashes, never where they come from.
lock: install
	$(BIN)/uv pip compile pyproject.toml --extra otel $(LOCK) -o requirements.txt
	$(BIN)/uv pip compile pyproject.toml --extra dev -c requirements.txt $(LOCK) -o tests/requirements.txt
	echo hatchling | $(BIN)/uv pip compile - -c tests/requirements.txt $(LOCK) -o deploy/image/build-requirements.txt
	echo gssapi | $(BIN)/uv pip compile - $(LOCK) -o $(KERBEROS)/requirements.txt
	printf 'cython==3.3.0\nsetuptools\n' | $(BIN)/uv pip compile - $(LOCK) -o $(KERBEROS)/build-requirements.txt

# The package gssapi, which tests build (tests/support/kerberos/gssapi_library.py) with the Cython that it requires.
KERBEROS := tests/support/kerberos
LOCK := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --quiet

# Software bill of materials (CycloneDX) of the worker and its dependencies, as this Python has them. The image: PYTHON=python3.12.
SBOM := dist/customer-worker.cdx.json
RUNTIME := .cache/runtime

sbom: install
	mkdir -p $(dir $(SBOM))
	$(PYTHON) -m venv --clear --without-pip $(RUNTIME)
	$(BIN)/python -m pip --python $(RUNTIME)/bin/python install --quiet --require-hashes -r requirements.txt
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-file $(SBOM) $(RUNTIME)/bin/python

clean:
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
