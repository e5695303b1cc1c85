# Two commands do everything on a bare machine: `make serve` and `make test`. Both set up .venv first.
#
#   PYTHON=...       the interpreter to build .venv with (3.11 or newer; found by itself otherwise)
#   TORCH_INDEX=...  the package index to take torch from, for a build without CUDA (see README)
#   ARGS=...         options for `longlive serve`, for example ARGS="--port 9000 --generators 2"

SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := .venv/bin
export PYTHONUNBUFFERED := 1

.PHONY: help setup serve test test-slow llm-env test-llm lint format numbers numbers-long openapi pictures chromium hls-js

help:
	@echo "make serve      start the service and print its address"
	@echo "make test       lint, check types, run the tests"
	@echo "make test-slow  run the tests that take minutes"
	@echo "make llm-env    an environment with vLLM for a machine without CUDA, in .venv-llm (3 GB)"
	@echo "make test-llm   run the tests of vLLM behind the prompt agent"
	@echo "make setup      only install what the others need"
	@echo "make numbers    measure everything the README claims, and rewrite its table"
	@echo "make numbers-long  the same for a video of an hour, for every fault, and for a service of an hour: two hours"
	@echo "make pictures   take the README's pictures of the page"
	@echo "make openapi    write docs/openapi.json, which a test compares with the API"
	@echo "make lint       ruff and mypy;  make format  ruff's formatter"

setup: .venv/.installed chromium hls-js

serve: .venv/.installed
	@exec $(BIN)/longlive serve $(ARGS)

test: setup lint
	$(BIN)/python scripts/run_tests.py

test-slow: setup
	$(BIN)/pytest -m slow

llm-env: .venv-llm/.installed

.venv-llm/.installed: scripts/make_llm_env.sh scripts/stand_in_wheels.py
	@bash scripts/make_llm_env.sh .venv-llm
	@touch $@

test-llm: setup llm-env
	LONGLIVE_LLM_PYTHON=$(CURDIR)/.venv-llm/bin/python $(BIN)/pytest -m llm

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

openapi: .venv/.installed
	$(BIN)/python -m deployments.api.document

numbers: .venv/.installed
	mkdir -p docs/numbers
	$(BIN)/longlive eval tiny --json > docs/numbers/eval.json
	$(BIN)/longlive eval tiny --switch recache --json > docs/numbers/eval_switch.json
	$(BIN)/python benchmarks/engine.py --json > docs/numbers/engine.json
	$(BIN)/python benchmarks/quantization.py --json --plot docs/quantization.png > docs/numbers/quantization.json
	$(BIN)/python benchmarks/decoders.py --json > docs/numbers/decoders.json
	$(BIN)/python benchmarks/window.py --json --plot docs/window.png > docs/numbers/window.json
	$(BIN)/python benchmarks/seam.py --json --plot docs/seam.png > docs/numbers/seam.json
	$(BIN)/python benchmarks/serve.py --json > docs/numbers/serve.json
	$(BIN)/python benchmarks/viewers.py --json > docs/numbers/viewers.json
	$(BIN)/python benchmarks/snapshots.py --json > docs/numbers/snapshots.json
	$(BIN)/python benchmarks/simulation.py --json --plot docs/simulation.png > docs/numbers/simulation.json
	$(BIN)/python benchmarks/prompts.py --json > docs/numbers/prompts.json
	$(BIN)/python benchmarks/prompt_pictures.py --json > docs/numbers/prompt_pictures.json
	$(BIN)/python benchmarks/table.py docs/numbers

numbers-long: .venv/.installed
	mkdir -p docs/numbers
	$(BIN)/python benchmarks/length.py --json --minutes 60 --plot docs/length.png > docs/numbers/length.json
	$(BIN)/python benchmarks/chaos.py --json --plot docs/chaos.png > docs/numbers/chaos.json
	$(BIN)/python benchmarks/scaling.py --json --plot docs/scaling.png > docs/numbers/scaling.json
	$(BIN)/python benchmarks/soak.py --json --plot docs/soak.png > docs/numbers/soak.json
	$(BIN)/python benchmarks/table.py docs/numbers

pictures: setup
	$(BIN)/python tests/deployments/screenshot.py docs

# torch comes first and by its exact version, so that a CPU build named by TORCH_INDEX is not replaced afterwards.
.venv/.installed: pyproject.toml constraints.txt scripts/make_venv.sh
	@bash scripts/make_venv.sh .venv
	$(BIN)/pip install --disable-pip-version-check $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch==2.13.0
	$(BIN)/pip install --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

chromium:
	@bash scripts/install_chromium.sh

hls-js: .venv/.installed
	@bash scripts/install_hls_js.sh .venv
