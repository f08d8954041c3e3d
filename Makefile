# Four verbs for every developer: serve, export, lint, test. CI calls the last two.
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

VENV := .venv
AUDIT := build/audit
BIN := $(VENV)/bin
LOCK = uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --quiet \
	--constraint requirements/constraints.txt $(if $(UPGRADE),--upgrade)

.PHONY: serve export convnet lenet5 signnet alexnet lint test format lock audit sbom docs proto bench clean image image-cuda image-export image-test

serve: $(VENV)/serve.stamp
	@$(BIN)/python -m service serve --host $(HOST) --port $(PORT) --grpc-port $(GRPC_PORT) \
		--workers $(WORKERS) --models $(MODELS)

# make export NETWORK=lenet5 DATA=folder OPTIONS=--resume; or the name of the network alone: make lenet5 DATA=folder
export: $(VENV)/dev.stamp
	$(BIN)/python -m export $(NETWORK) --models $(MODELS) $(if $(DATA),--data $(DATA)) $(OPTIONS)

convnet lenet5 signnet alexnet:
	@$(MAKE) export NETWORK=$@

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/hadolint docker/Dockerfile*
	$(BIN)/mypy service export tests benchmarks scripts

test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest --numprocesses=auto --dist=loadfile $(ARGS)

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# With docker where its daemon runs, else with buildah; BASE=… for another base image.
image:
	docker/build.sh Dockerfile $(IMAGE)

image-cuda:
	docker/build.sh Dockerfile.cuda $(IMAGE)-cuda

image-export:
	docker/build.sh Dockerfile.export $(IMAGE)-export

# Builds the image on a base of Debian's own packages, starts its root and asks it (buildah, debootstrap and root).
image-test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -m image $(ARGS) tests/deploy

# The generated messages; tests/contract holds that they are fresh.
proto: $(VENV)/dev.stamp
	$(BIN)/python scripts/generate_protobuf.py

# Every figure of docs/performance.md anew, in twenty minutes; ARGS="--quick" tries the rows in two minutes,
# ARGS="--rows c64 many" measures some. Nothing else should run meanwhile.
bench: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks $(or $(ARGS),--publish)

docs: $(VENV)/serve.stamp
	$(BIN)/python scripts/generate_settings.py
	$(BIN)/python scripts/generate_dashboard.py

# The environment grows in two steps: serving needs no TensorFlow, the workshop and the tests do.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/serve.stamp: requirements/serve.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

$(VENV)/dev.stamp: requirements/dev.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

# Keeps the versions already locked and adds what is new; UPGRADE=1 moves every package to its newest version.
lock:
	$(LOCK) --output-file requirements/serve.txt
	$(LOCK) --extra export --extra otel --group dev --constraint requirements/serve.txt --output-file requirements/dev.txt
	$(LOCK) --extra export --constraint requirements/dev.txt --output-file requirements/export.txt
	$(LOCK) --extra gpu --constraint requirements/serve.txt --no-emit-package onnxruntime --output-file requirements/cuda.txt
	$(subst pyproject.toml,--group build,$(LOCK)) --output-file requirements/build.txt
	$(subst pyproject.toml,--group audit,$(LOCK)) --output-file requirements/audit.txt

# Known vulnerabilities of what serving installs, and its bill of materials; their tools stay out of .venv.
audit: $(AUDIT)/stamp
	$(AUDIT)/bin/python requirements/audit.py $(AUDIT)/bin/pip-audit requirements/serve.txt

sbom: $(AUDIT)/stamp
	$(AUDIT)/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible \
		--output-file build/sbom.json requirements/serve.txt

$(AUDIT)/stamp: requirements/audit.txt
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
