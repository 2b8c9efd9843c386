# Everything works on a bare machine with Python >= 3.11: the targets make .venv themselves, with uv when it is there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
SEED ?= 7

.PHONY: help demo test check lint docs-pictures dashboards rules alert-demo bench clean

help:
	@echo "make demo        a real multi-agent run on an embedded fake provider: summary, record, page, metrics, checked against its log"
	@echo "make test        all tests"
	@echo "make check       ruff, mypy, import contracts"
	@echo "make alert-demo  a spend spike on the real Prometheus and Alertmanager: watch the page arrive"
	@echo "make docs-pictures  the manual's pictures of the pages (needs Chromium) and of the demo"
	@echo "make dashboards  build grafana/dashboards/*.json from grafana/build/*.py"
	@echo "make rules       build deploy/prometheus/rules/*.yml from thresholds.yml"
	@echo "make bench       overhead beside the peers (makes an environment for each)"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "costspan needs Python 3.11 or newer: make PYTHON=python3.12 …")'
ifdef UV
	@$(UV) venv -q --python $(PYTHON) $(VENV)
else
	@$(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install -q --disable-pip-version-check uv
endif

$(VENV)/.demo: $(BIN)/python pyproject.toml
	@echo "installing costspan[demo] into $(VENV) …"
	@$(or $(UV),$(BIN)/uv) pip install -q --python $(BIN)/python -e '.[demo,server]'
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml
	@echo "installing costspan and its development tools into $(VENV) …"
	@$(or $(UV),$(BIN)/uv) pip install -q --python $(BIN)/python -e '.[all]' --group dev
	@touch $@ $(VENV)/.demo

demo: $(VENV)/.demo
	@$(BIN)/costspan demo --seed $(SEED)

test: $(VENV)/.dev
	@$(BIN)/python -m pytest -q $(PYTEST_ARGS)

check: $(VENV)/.dev
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

lint: check

docs-pictures: $(VENV)/.dev
	@PYTHONPATH=tests $(BIN)/python tests/page_pictures.py docs/pictures
	@$(BIN)/python tests/terminal_picture.py "make demo" docs/pictures/summary.svg $(BIN)/costspan demo --seed $(SEED)

dashboards: $(VENV)/.dev
	@$(BIN)/python -m grafana.build

rules: $(VENV)/.dev
	@$(BIN)/costspan rules --out deploy/prometheus/rules
	@$(BIN)/costspan rules --budgets deploy/prometheus/budgets.example.yaml --out deploy/prometheus/tests/rules
	@$(BIN)/costspan rules --kubernetes --out deploy/kubernetes

alert-demo: $(VENV)/.demo
	@$(BIN)/python -m costspan.demo.alert

bench: $(VENV)/.dev
	@$(BIN)/python benchmarks/overhead.py

clean:
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis costspan-demo
