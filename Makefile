# Two commands do everything on a machine with python3 (>= 3.11), pip and make:
#   make demo   the main job, shown
#   make test   everything that must hold
PYTHON ?= python3
VENV := .venv
# the system's certificates, as pip: a company may have its own
UV := PYTHONPATH=.uv UV_SYSTEM_CERTS=1 $(PYTHON) -m uv
RUN := $(VENV)/bin
MEMBERS := $(foreach member,core $(wildcard plugins/*),-e ./$(member))

.PHONY: demo test test-all bench bench-full lint docs site pins clean

$(VENV)/.ready: constraints.txt pyproject.toml $(wildcard core/pyproject.toml plugins/*/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit("dfly needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; try make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --upgrade --target .uv --constraint constraints.txt uv
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
	$(RUN)/pytest -n 3 --dist worksteal -m "not long and not real"

test-all: lint
	$(RUN)/pytest -n 2 -m "not real" --hypothesis-profile=default

$(VENV)/.bench: $(VENV)/.ready
	@$(UV) pip install --quiet --python $(RUN)/python --constraint constraints.txt --group bench
	@touch $@

bench: $(VENV)/.bench
	$(RUN)/python -m bench.suite

bench-full: $(VENV)/.bench
	$(RUN)/python -m bench.suite --full

docs: $(VENV)/.ready
	$(RUN)/python -m docs.generate

$(VENV)/.docs: $(VENV)/.ready
	@$(UV) pip install --quiet --python $(RUN)/python --constraint constraints.txt --group docs
	@touch $@

# docs/ as pages, into build/site
site: $(VENV)/.docs
	@$(RUN)/python -m mkdocs build --quiet --strict

# writes the versions that are installed now; for newer ones, empty constraints.txt and `make clean pins`
pins: $(VENV)/.ready
	@{ echo "# Everything that make installs, pinned. Written by: make pins"; \
	   { $(UV) pip freeze --python $(RUN)/python --exclude-editable; echo "uv==$$($(UV) --version | cut -d' ' -f2)"; } \
	   | sort; } > .pins && mv .pins constraints.txt

# every wheel of a release, into dist/; with TAG=v1.2.3 only if that is the version
wheels: $(VENV)/.ready
	@$(RUN)/python deploy/release.py dist $(TAG)

clean:
	rm -rf $(VENV) .uv .demo build dist
