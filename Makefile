# Every target sets up what it needs: a virtual environment of its own in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROTOS := $(wildcard protos/cio/sidecar/v1/*.proto)
GENERATED := $(wildcard server/generated/cio/sidecar/v1/*.py)
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help docs run test lint format protos conformance clients reference coverage mutate soak kills large-requests fuzz bench clean
REFERENCE := conformance/reference/node

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

run: $(VENV)/ready ## Run the sidecar against a fake Customer.io and play sample events (ARGS=--once ends)
	$(BIN)/cio-sidecar dev $(ARGS)

test: $(VENV)/ready ## Run every test (ARGS is passed to pytest)
	$(BIN)/pytest -q $(ARGS)

conformance: $(VENV)/ready ## Run the conformance suite against this sidecar (ARGS is passed on)
	$(BIN)/cio-conformance run $(ARGS)

reference: $(VENV)/ready $(REFERENCE)/node_modules ## Run the suite against a second implementation, in Node.js
	$(BIN)/cio-conformance run --exec 'node $(REFERENCE)/server.mjs' --profile documented --api v1 $(ARGS)

clients: $(VENV)/ready ## Build the callers in clients/, and run the suite through them (ARGS is passed on)
	PATH="$(CURDIR)/$(BIN):$$PATH" clients/run $(ARGS)

$(REFERENCE)/node_modules: $(REFERENCE)/package-lock.json
	cd $(REFERENCE) && npm ci --silent
	@touch $@

coverage: $(VENV)/ready ## Check that the cases try every state of every mapping row
	$(BIN)/cio-conformance coverage $(ARGS)

mutate: $(VENV)/ready ## Check that the cases tell of every rule that is changed (ARGS is passed on)
	$(BIN)/cio-conformance mutate $(ARGS)

MINUTES ?= 1
ROUNDS ?= 10
SEEDED = $(if $(SEED),--seed $(SEED))
soak: $(VENV)/ready ## Load a sidecar for MINUTES=1, with every fault, and judge (SEED=7 repeats, ARGS="--faults …")
	$(BIN)/python -m reliability.soak --minutes $(MINUTES) $(SEEDED) $(ARGS)

kills: $(VENV)/ready ## Kill a sidecar under load ROUNDS=10 times, and judge
	$(BIN)/python -m reliability.kills --rounds $(ROUNDS) $(SEEDED) $(ARGS)

large-requests: $(VENV)/ready ## Measure what each large request does to the event loop and memory
	LARGE_REQUESTS=all $(BIN)/pytest -q tests/large_requests $(ARGS)

EXAMPLES ?= 20000
fuzz: $(VENV)/ready ## Fuzz decoding, rendering and the HTTP body reader (EXAMPLES=20000 for each property)
	FUZZ_EXAMPLES=$(EXAMPLES) $(BIN)/pytest -q tests/fuzz $(ARGS)

QUICK ?=
ONLY ?=
bench: $(VENV)/bench ## Measure, and write docs/performance.md (QUICK=1; ONLY=batch-json,unary writes nothing)
	$(BIN)/python -m bench $(if $(QUICK),--quick) $(if $(ONLY),--only "$(ONLY)") $(ARGS)

lint: $(VENV)/ready ## Check format, style, types, imports and protos
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd protos && ../$(BIN)/buf lint

format: $(VENV)/ready ## Format the code and sort its imports
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/ready ## Generate the pages of docs/ that are made from the code
	$(BIN)/python -c 'from cio_sidecar.app.settings_page import settings_page; print(settings_page(), end="")' > docs/settings.md
	$(BIN)/cio-conformance fake --rules > docs/fake-rules.md

protos: $(VENV)/ready ## Generate the Python code of protos/ into server/generated
	$(BIN)/python -m grpc_tools.protoc -Iprotos \
	  --python_out=server/generated --pyi_out=server/generated \
	  --grpc_python_out=server/generated \
	  --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc --mypy_grpc_out=quiet:server/generated \
	  $(PROTOS)

clean: ## Remove the virtual environment and every cache
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# An installation has a copy of the generated code, even where it is editable.
$(VENV)/ready: pyproject.toml constraints.txt $(GENERATED)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "cio-sidecar needs Python 3.11 or newer; set PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

$(VENV)/bench: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@touch $@
