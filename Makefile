# Everything a newcomer needs, and nothing to set up first: each target prepares what it uses.

PYTHON ?= python3
INTERMEDIATE_ADDR ?= 127.0.0.1:12345
PIN ?=
ROOM ?= lobby
ROLE ?= both
MEDIA ?= static/output.mp3
SINK ?= speaker
CERT ?= out/intermediate.pem
KEY ?= out/intermediate.key
SCENARIO ?=
PREFER ?=
AVOID ?=
RUNS ?= 40
OUT ?= out/lab-full
DIST ?= dist
SEED ?= 0

BIN := .venv/bin
READY := .venv/.ready
SOUND := .venv/.sound
P2PQUIC := $(BIN)/p2pquic
FINGERPRINT := $(BIN)/python -m p2pquic.trust.server_identity $(CERT) $(KEY)
# The pin of a server on this machine can be read from its certificate. Any other is PIN, or the key
# it has when it is first met.
ON_THIS_MACHINE := $(filter 127.% localhost:% [::1]:%,$(INTERMEDIATE_ADDR))
PINS = $(foreach pin,$(PIN),--pin $(pin))
PINNED = $(or $(PINS),$(if $(ON_THIS_MACHINE),--pin "$$($(FINGERPRINT))"))
SERVERS = $(foreach server,$(INTERMEDIATE_ADDR),--intermediate $(server))
INTERFACES = $(if $(PREFER),--prefer "$(PREFER)") $(if $(AVOID),--avoid "$(AVOID)")
JOIN = $(P2PQUIC) peer $(SERVERS) $(PINNED) --room "$(ROOM)" $(INTERFACES)

.DEFAULT_GOAL := help
.PHONY: help demo test check intermediate peer ps pr cert build docs monitor doctor lab lab-full \
	worlds bench lock clean

help: ## Show this.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "Variables: INTERMEDIATE_ADDR PIN ROOM ROLE MEDIA SINK PREFER AVOID SCENARIO RUNS OUT SEED DIST, as in make ps ROOM=attic"

demo: $(SOUND) ## Hear and see a call survive a move, on this machine alone.
	$(P2PQUIC) lab run break-before-make --demo

test: $(SOUND) ## Run all tests; those that measure real time after the others, one by one.
	$(BIN)/pytest -m "not lab and not alone" -n auto --dist worksteal
	$(BIN)/pytest -m "lab or alone"

check: $(READY) ## Format, lint, types, import direction.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --platform darwin --cache-dir .mypy_cache/darwin src
	$(BIN)/mypy --platform win32 --cache-dir .mypy_cache/win32 src
	$(BIN)/lint-imports

intermediate: $(READY) ## Run the intermediate server at INTERMEDIATE_ADDR.
	$(P2PQUIC) intermediate --listen $(INTERMEDIATE_ADDR) --cert $(CERT) --key $(KEY)

peer: $(SOUND) ## Join ROOM as ROLE.
	$(JOIN) --role $(ROLE) --media "$(MEDIA)" --sink "$(SINK)"

ps: $(SOUND) ## Join ROOM as the sender of MEDIA.
	$(JOIN) --role sender --media "$(MEDIA)"

pr: $(SOUND) ## Join ROOM as a receiver, playing on SINK.
	$(JOIN) --role receiver --sink "$(SINK)"

cert: $(READY) ## Make the server's certificate, if there is none, and print its pin.
	@$(FINGERPRINT)

# What is switched off is a word of the theme about its successors.
docs: $(READY) ## Build the pages about the library into out/site.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

build: $(READY) ## Build wheel and sdist into DIST.
	$(BIN)/python -m build --no-isolation --outdir "$(DIST)"

monitor: $(READY) ## Show this host's address changes as they happen.
	$(P2PQUIC) monitor

doctor: $(READY) ## Say whether a call can be made here, and by INTERMEDIATE_ADDR if it is given.
	$(P2PQUIC) doctor $(if $(filter-out file,$(origin INTERMEDIATE_ADDR)),$(SERVERS)) $(PINS)

lab: $(SOUND) ## List the lab's scenarios, or run SCENARIO.
	$(P2PQUIC) lab $(if $(SCENARIO),run $(SCENARIO),list)

lab-full: $(SOUND) ## Run all that is asked for, RUNS times, into OUT; what is there is kept.
	$(P2PQUIC) lab full --runs $(RUNS) --out $(OUT)

worlds: $(READY) ## Try 10,000 random worlds against an oracle, from SEED on: hours.
	$(P2PQUIC) lab worlds --seed $(SEED)

bench: $(SOUND) ## Measure what a call, the engine and the relay cost.
	$(P2PQUIC) bench

lock: ## Renew requirements.lock after a change in pyproject.toml.
	$(PYTHON) -m venv out/lock
	out/lock/bin/pip install --quiet uv
	UV_CUSTOM_COMPILE_COMMAND="make lock" out/lock/bin/uv pip compile pyproject.toml --quiet \
		--extra lab --extra docs --extra dev --universal --python-version 3.11 --generate-hashes \
		--no-annotate --no-emit-index-url --output-file requirements.lock
	rm -r out/lock

clean: ## Remove everything made, except out/.
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -prune -exec rm -r {} +

# What plays or measures needs GStreamer and the lab's programs; a server needs Python alone.
$(SOUND): $(READY)
	PYTHON="$(PYTHON)" tools/setup-system.sh everything
	touch $@

$(READY): requirements.lock pyproject.toml tools/setup-system.sh
	PYTHON="$(PYTHON)" tools/setup-system.sh python
	[ -x $(BIN)/pip ] || $(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@
