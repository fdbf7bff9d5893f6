# Two commands do everything on a machine with python3 (>= 3.11), pip and make:
#   make demo   the main job, shown
#   make test   everything that must hold
PYTHON ?= python3
VENV := .venv
UV := PYTHONPATH=.uv $(PYTHON) -m uv
RUN := $(VENV)/bin
MEMBERS := $(foreach member,core $(wildcard plugins/*),-e ./$(member))

.PHONY: demo test test-all lint check clean

$(VENV)/.ready: constraints.txt pyproject.toml $(wildcard core/pyproject.toml plugins/*/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit("dfly needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; try make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --upgrade --target .uv uv
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	@$(UV) pip install --quiet --python $(RUN)/python --constraint constraints.txt $(MEMBERS) --group dev
	@touch $@

demo: $(VENV)/.ready
	@$(RUN)/python -m tests.demo

lint: $(VENV)/.ready
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports

test: lint
	$(RUN)/pytest -m "not long and not real"

test-all: lint
	$(RUN)/pytest -m "not real"

clean:
	rm -rf $(VENV) .uv .demo build dist
