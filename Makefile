# `make` alone lists the targets. Everything runs from .venv, which `make up` and `make test` set up by themselves.
# PYTHON=/path/to/python3.12 chooses the interpreter for it.
# Written for GNU make 3.81 (macOS) and later, and any POSIX shell; the checkout's path may hold spaces.

PY = .venv/bin/python
TRAIN_PY = .venv-train/bin/python
SOURCES = megaservice microservices servicekit tests benchmarks scripts
TIERS = unit shapes property contract fault e2e
# Folders that are there: a tier joins `make test` with its first file, and is an error when it collects nothing.
present = $(wildcard $(SOURCES))
test_folders = $(wildcard $(addprefix tests/,$(TIERS)))
# Further options for pytest, e.g. make test-unit ARGS="-k ports -x"
ARGS =

.DEFAULT_GOAL = help
.PHONY: help up down up-docker down-docker status logs serve test test-unit test-property test-contract test-fault test-e2e \
	check lint types imports sizes format lock bench bench-assistants model model-eval clean venv venv-dev

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

up: venv ## Start every service and wait until all are ready
	@$(PY) -m megaservice up

down: ## Stop every service
	@if [ -f .venv/.stamp-run ]; then $(PY) -m megaservice down; else echo "Nothing to stop: there is no .venv yet."; fi

up-docker: ## Start every service in containers instead, with Ollama, and wait until all are ready
	@sh scripts/docker.sh up

down-docker: ## Stop the containers; models and data are kept
	@sh scripts/docker.sh down

status: venv ## Show each service's state, pid, port and readiness
	@$(PY) -m megaservice status

logs: venv ## Follow the services' logs (Ctrl-C ends it); SERVICE=llm for one of them
	@$(PY) -m megaservice logs $(SERVICE) -f

serve: venv ## Run the gateway alone, in the foreground
	@exec $(PY) -m megaservice serve

test: venv-dev ## Run all tests, the quick ones first
	@$(PY) -m pytest $(test_folders) $(ARGS)

test-unit: venv-dev ## Run the tests without sockets (seconds)
	@$(PY) -m pytest tests/unit $(wildcard tests/shapes) $(ARGS)

test-property: venv-dev ## Run the property tests (Hypothesis)
	@$(PY) -m pytest tests/property $(ARGS)

test-contract: venv-dev ## Run the tests of what clients rely on (real SDK, error table, SSE bytes)
	@$(PY) -m pytest tests/contract $(ARGS)

test-fault: venv-dev ## Run the tests of refusals, cuts, stalls and disconnects
	@$(PY) -m pytest tests/fault $(ARGS)

test-e2e: venv-dev ## Run the tests against the real processes and the real llama.cpp
	@$(PY) -m pytest tests/e2e $(ARGS)

check: lint types imports sizes ## Run lint, types, import rules and size limits

lint: venv-dev
	@$(PY) -m ruff check $(present)
	@$(PY) -m ruff format --check $(present)

types: venv-dev
	@$(PY) -m mypy $(wildcard megaservice microservices servicekit tests benchmarks scripts)

imports: venv-dev
	@.venv/bin/lint-imports

sizes: venv-dev
	@$(PY) scripts/check_sizes.py $(present)

format: venv-dev ## Format the code and apply the safe fixes
	@$(PY) -m ruff check --fix-only $(present)
	@$(PY) -m ruff format $(present)

lock: venv-dev ## Write the lock files anew from requirements*.txt (ARGS=--upgrade takes newer versions)
	@$(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--custom-compile-command "make lock" $(ARGS) requirements.txt -o requirements.lock
	@$(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--custom-compile-command "make lock" $(ARGS) requirements-dev.txt -o requirements-dev.lock
	@$(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--custom-compile-command "make lock" $(ARGS) requirements-litellm.txt -o requirements-litellm.lock

bench: venv ## Measure the gateway beside stock OPEA and nginx, twelve minutes (ARGS=--quick: one); needs Linux and cc
	@$(PY) -m benchmarks $(ARGS)

bench-assistants: venv-dev ## Measure the assistants' durable runs on SQLite and PostgreSQL, a minute
	@$(PY) -m benchmarks.assistants $(ARGS)

model: ## Train the phrasebook model from nothing, up to an hour (in .venv-train, see its MODEL_CARD.md)
	@$(TRAIN_PY) -c 'import torch, gguf, tokenizers' 2>/dev/null || { echo "Training needs PyTorch, gguf and tokenizers" \
		"in .venv-train, and nothing else does: microservices/llm/phrasebook/MODEL_CARD.md says how to install" \
		"them, PyTorch as its CPU build. Or name a Python that has them: make model TRAIN_PY=..."; exit 1; }
	@$(TRAIN_PY) -m microservices.llm.phrasebook.train $(ARGS)
	@$(TRAIN_PY) -m microservices.llm.phrasebook.export

model-eval: venv ## Measure the phrasebook model; its figures are in the model card
	@$(PY) -m microservices.llm.phrasebook.evaluate $(ARGS)

clean: down ## Stop the services and remove .venv, logs and caches
	@rm -rf .venv .run .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find $(present) -name __pycache__ -type d -prune -exec rm -rf {} +

# Quick and silent when nothing is to be done.
venv:
	@PYTHON="$(PYTHON)" sh scripts/setup_venv.sh run

venv-dev:
	@PYTHON="$(PYTHON)" sh scripts/setup_venv.sh dev
