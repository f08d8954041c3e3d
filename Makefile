# The most used targets are serve, export, lint and test. CONTRIBUTING.md describes all; CI runs .ci/run.
PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
WORKERS ?= 1
MODELS ?= models
GRPC_PORT ?= 8001
NETWORK ?= convnet
DATA ?=
OPTIONS ?=
IMAGE ?= convserve
INTERPRETERS ?= 3.11 3.12 3.13

VENV := .venv
AUDIT := build/audit
NEWEST := build/newest
BIN := $(VENV)/bin
MKDOCS = NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
PYTEST := -m pytest --numprocesses=auto --dist=loadfile
LOCK = uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --quiet \
	--constraint requirements/constraints.txt $(if $(UPGRADE),--upgrade)

.PHONY: serve export convnet lenet5 signnet alexnet lint test coverage test-all newest format lock audit sbom docs docs-serve \
	proto bench bench-classify attack lifecycle clean image image-cuda image-export image-test release

serve: $(VENV)/serve.stamp
	@$(BIN)/python -m service serve --host $(HOST) --port $(PORT) --grpc-port $(GRPC_PORT) \
		--workers $(WORKERS) --models $(MODELS)

# make export NETWORK=lenet5 DATA=folder OPTIONS=--resume; make lenet5 DATA=folder is short for NETWORK=lenet5.
export: $(VENV)/dev.stamp
	$(BIN)/python -m export $(NETWORK) --models $(MODELS) $(if $(DATA),--data $(DATA)) $(OPTIONS)

convnet lenet5 signnet alexnet:
	@$(MAKE) export NETWORK=$@

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/hadolint docker/Dockerfile*
	$(BIN)/mypy service export tests benchmarks scripts
	$(MKDOCS) build --strict --quiet

test: $(VENV)/dev.stamp
	$(BIN)/python $(PYTEST) $(ARGS)

# Runs the suite under coverage, including servers, workers and commands, and fails below the minimum.
coverage: $(VENV)/dev.stamp
	rm -rf build/coverage
	PYTHONPATH=$(CURDIR)/tests/support/coverage_hooks \
		$(BIN)/coverage run $(PYTEST) -m "not image and not measures" $(ARGS)
	find build/coverage -empty -delete  # killed processes leave empty files
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --include="export/*" --fail-under=90
	$(BIN)/coverage report --include="service/*" --fail-under=95

# Runs the suite with the locked versions on each interpreter of INTERPRETERS that the machine has.
test-all:
	scripts/test_all.sh "$(INTERPRETERS)" $(ARGS)

# Runs the suite with the newest versions that pyproject.toml allows, in a separate environment.
newest:
	$(call check-python,$(PYTHON))
	rm -rf $(NEWEST)
	$(PYTHON) -m venv $(NEWEST)
	$(NEWEST)/bin/python $(PIP_INSTALL) --upgrade "pip>=25.1"
	$(NEWEST)/bin/python $(PIP_INSTALL) --quiet --constraint requirements/constraints.txt --group dev \
		--editable ".[export,otel,parquet]"
	$(NEWEST)/bin/python $(PYTEST) $(ARGS)

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Builds with docker if its daemon runs, otherwise with buildah; BASE=… selects another base image.
image:
	docker/build.sh Dockerfile $(IMAGE)

image-cuda:
	docker/build.sh Dockerfile.cuda $(IMAGE)-cuda

image-export:
	docker/build.sh Dockerfile.export $(IMAGE)-export

# Builds the image on a base of Debian's packages, starts its root file system and sends requests to it.
# Needs buildah, debootstrap and root.
image-test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -m image $(ARGS) tests/deploy

# Writes the generated protobuf messages; tests/contract checks that they are up to date.
proto: $(VENV)/dev.stamp
	$(BIN)/python scripts/generate_protobuf.py

# Measures all figures of docs/explanation/performance-results.md, in twenty minutes on an idle machine.
# ARGS="--quick" makes a short run of two minutes; ARGS="--rows c64 many" measures these rows only.
bench: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks $(or $(ARGS),--publish)

# Measures `convserve classify` on 100,000 small files beside decoder and engine alone, in about two minutes.
# ARGS="--mnist folder" classifies MNIST's test images; ARGS="--files 20000 --format csv" makes a shorter run.
bench-classify: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks.classify_folder $(ARGS)

# Attacks a server of two workers on loopback for three minutes while polite clients ask; fails if one is affected.
# ARGS="--seconds 20 --settle 5" makes a short run; ARGS="--each --seconds 10" plays one attack after the other.
attack: $(VENV)/dev.stamp
	$(BIN)/python -m tests.attack $(ARGS)

# Changes the served versions ten times as often as `make test` does, with one and four workers.
lifecycle: $(VENV)/dev.stamp
	CONVSERVE_LIFECYCLE=10 $(BIN)/python $(PYTEST) tests/lifecycle $(ARGS)

# Writes the generated reference pages, then builds the site in build/site; a broken link is an error.
docs: $(VENV)/dev.stamp
	@for page in settings cli metrics log_fields exit_codes dashboard; do \
		$(BIN)/python scripts/generate_$$page.py || exit 1; \
	done
	$(MKDOCS) build --strict

# Serves the site on http://127.0.0.1:8080 and rebuilds it when a page changes.
docs-serve: $(VENV)/dev.stamp
	$(MKDOCS) serve --dev-addr 127.0.0.1:8080

# make release VERSION=x.y.z checks version, changelog, documentation and working tree, and creates the tag.
release: $(VENV)/dev.stamp
	$(BIN)/python scripts/release.py "$(VERSION)"

check-python = @scripts/check_python.sh "$(1)"

# Removes an incomplete environment, because make would treat it as complete.
$(VENV)/bin/python:
	$(call check-python,$(PYTHON))
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# The environment is installed in two steps, because serving needs no TensorFlow and export and tests do.
# The editable install puts convserve and convserve-export into $(BIN).
$(VENV)/serve.stamp: requirements/serve.txt requirements/build.txt | $(VENV)/bin/python
	$(BIN)/python $(PIP_INSTALL) --require-hashes -r requirements/serve.txt -r requirements/build.txt
	$(BIN)/python $(PIP_INSTALL) --quiet --no-deps --no-build-isolation --no-index --editable .
	touch $@

$(VENV)/dev.stamp: requirements/dev.txt | $(VENV)/bin/python
	$(BIN)/python $(PIP_INSTALL) --require-hashes -r $<
	touch $@

# Locks new dependencies and keeps the other versions; UPGRADE=1 upgrades all.
lock:
	$(LOCK) --output-file requirements/serve.txt
	$(LOCK) --extra export --extra otel --extra parquet --group dev --constraint requirements/serve.txt --output-file requirements/dev.txt
	$(LOCK) --extra export --constraint requirements/dev.txt --output-file requirements/export.txt
	$(LOCK) --extra gpu --constraint requirements/serve.txt --no-emit-package onnxruntime --output-file requirements/cuda.txt
	$(subst pyproject.toml,--group build,$(LOCK)) --output-file requirements/build.txt
	$(subst pyproject.toml,--group audit,$(LOCK)) --output-file requirements/audit.txt

# Reports known vulnerabilities of the locked packages; sbom writes their bill of materials. Both use a
# separate environment.
audit: $(AUDIT)/stamp
	$(AUDIT)/bin/python scripts/audit.py $(AUDIT)/bin/pip-audit requirements/serve.txt

sbom: $(AUDIT)/stamp
	$(AUDIT)/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible \
		--output-file build/sbom.json requirements/serve.txt

$(AUDIT)/stamp: requirements/audit.txt
	$(call check-python,$(PYTHON))
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python $(PIP_INSTALL) --require-hashes -r $<
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
