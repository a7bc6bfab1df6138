# Everything sets itself up: a machine with Python 3.11 and make is enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PROTOS := $(wildcard proto/licensemaster/v1/*.proto)
GENERATED := proto/licensemaster/v1/.generated

# What tests start loads compiled code, whatever the environment says: compiling it anew costs each of these processes
# as much as running it.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup demo test test-slow test-long lint breaking audit pins sbom bench chaos format clean
help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) $(GENERATED) ## virtual environment, dependencies, generated code
	@echo "setup: done; '. $(VENV)/bin/activate' brings license-master into this shell"

$(READY): pyproject.toml licensemaster/pyproject.toml slave_client/pyproject.toml license_agent/pyproject.toml requirements/development.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=...")'
	@test -x $(BIN)/python || { echo "setup: a virtual environment in $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "setup: the dependencies, in the versions of constraints.txt (about 800 MB, a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --require-hashes --only-binary :all: --no-deps --requirement requirements/development.txt
	@# Our own four have no hash, being these sources. Built with what was just installed, they bring nothing in.
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --check-build-dependencies -e licensemaster -e slave_client -e license_agent -e .
	@$(BIN)/python -m pip check
	@touch $@

$(GENERATED): $(PROTOS) $(READY) Makefile
	@echo "setup: the code of the API, from the protos"
	@cd proto && PATH="$(CURDIR)/$(BIN):$$PATH" $(CURDIR)/$(BIN)/python -m grpc_tools.protoc -I. \
		--include_source_info --include_imports --descriptor_set_out=licensemaster/v1/descriptors.binpb \
		--python_out=. --grpc_python_out=. --mypy_out=readable_stubs,quiet:. --mypy_grpc_out=quiet:. $(PROTOS:proto/%=%)
	@touch $@

demo: setup ## a live estate: master, sites, outage, recovery (under a minute)
	$(BIN)/license-master demo

test: setup ## rules, storage, API, client, commands: the whole proof, on SQLite and PostgreSQL
	$(BIN)/python -m pytest -n auto --dist worksteal --ignore tests/slow

test-slow: setup ## stories, faults, chaos, bad neighbours, a newcomer's first year
	$(BIN)/python -m pytest -n auto --dist worksteal --ignore tests/slow/neighbours tests/slow
	@# What make test asks SQLite alone.
	TESTS_DATABASE=postgresql $(BIN)/python -m pytest -n auto --dist worksteal -k "not (sqlite or postgresql)" \
		tests/rules tests/service tests/rpc/services
	@# With the machine for themselves, as they measure.
	$(BIN)/python -m pytest -n 0 tests/slow/neighbours

test-long: setup ## what goes by chance, at length and with other seeds; each bad neighbour for ten seconds
	TESTS_LONG=1 $(BIN)/python -m pytest -n auto --dist worksteal tests/rpc/admission/test_every_rpc.py \
		tests/rpc/admission/test_document_fuzz.py tests/domain tests/invariants tests/slow/test_histories.py tests/slow/faults \
		tests/slave_client/test_never_too_many.py tests/slave_client/test_restored.py \
		tests/license_agent/test_hostile.py tests/slow/agent
	TESTS_LONG=1 $(BIN)/python -m pytest -n 0 tests/slow/neighbours tests/slow/kamailio/test_exact.py

lint: setup ## formatting, types, architecture, protos
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code

breaking: setup ## whether the API on this branch breaks that of main
	$(BIN)/buf breaking --against '.git#branch=main'

audit: setup ## known vulnerabilities of the pinned dependencies, as the package index tells them; needs one that does
	test -x build/audit/bin/pip-audit || $(PYTHON) -m venv build/audit
	build/audit/bin/python -m pip install --quiet pip-audit==2.10.1
	build/audit/bin/pip-audit --strict --disable-pip --no-deps --requirement requirements/development.txt

pins: setup ## requirements/*.txt anew from constraints.txt, with the hashes that the package index gives
	test -x build/pins/bin/pip-compile || { $(PYTHON) -m venv build/pins; \
		build/pins/bin/python -m pip install --quiet pip-tools==7.6.2; }
	$(BIN)/python requirements/renew.py build/pins/bin/pip-compile

sbom: $(READY) ## build/sbom*.cdx.json: what a master and an agent are made of, as CycloneDX, from installations of them
	test -x build/sbom/bin/cyclonedx-py || { $(PYTHON) -m venv build/sbom; \
		build/sbom/bin/python -m pip install --quiet cyclonedx-bom==7.5.0; }
	@# From a copy: building writes code of the API beside the protos, without the types that development has.
	rm -rf build/source && git checkout-index --all --prefix=build/source/
	$(call bill,runtime,.,sbom)
	$(call bill,agent,license_agent,sbom-agent)

define bill
	$(PYTHON) -m venv --clear --without-pip build/shipped
	$(BIN)/python -m pip --python build/shipped install --quiet --require-hashes --only-binary :all: --no-deps -r requirements/$(1).txt
	rm -rf build/wheels && cd build/source && $(CURDIR)/$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation \
		--wheel-dir ../wheels ./licensemaster ./slave_client ./$(2)
	$(BIN)/python -m pip --python build/shipped install --quiet --no-deps --no-index build/wheels/license_master*.whl
	build/sbom/bin/cyclonedx-py environment --pyproject $(2)/pyproject.toml --output-reproducible \
		--output-file build/$(3).cdx.json build/shipped
endef

format: setup ## rewrite sources in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/buf format --write

bench: setup ## measure; ratios against a gRPC echo, etcd and Redis, into build/bench.json
	$(BIN)/python -m bench

chaos: setup ## fault stories at length; STORIES="cut loss" SECONDS=60 SEED=1 JSON=1; figures into build/chaos.json
	@$(BIN)/python -m tests.slow.chaos $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)) $(if $(JSON),--json) $(STORIES)

clean: ## remove everything that was made here
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find proto -name '*_pb2*' -delete; rm -f $(GENERATED) proto/licensemaster/v1/descriptors.binpb
