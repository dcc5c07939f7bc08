# Each target sets up what it needs first; only Python 3.11+ and Node 20+ have to be there.
PYTHON ?= python3
# What has to be set up is, side by side.
MAKEFLAGS += --jobs=4
RUN = .venv/bin/python -m
PYTEST = $(RUN) pytest -n auto --maxprocesses 4 --dist worksteal
# npm writes this file at the end of each installation.
AZURITE = local/node_modules/.package-lock.json
# Clients of others, current and older versions, for tests of the hub emulator.
CLIENTS = tests/clients/.venv/older/ready tests/clients/node_modules/.package-lock.json
# The policy checker of infra/, which wants other versions of what the app uses.
CHECKOV = tests/checks/.venv/ready

# What needs no storage, and the quickest of what does: for `make test-fast`, at every save.
FAST = tests/device_files tests/emulator tests/hub tests/imports/test_app.py \
	tests/imports/test_record.py tests/imports/test_rows.py $(wildcard tests/test_*.py)

.PHONY: demo up test test-fast test-clients check bench docs

demo: .venv/ready $(AZURITE)
	@$(RUN) local demo $(ARGS)

up: .venv/ready $(AZURITE)
	@$(RUN) local up $(ARGS)

test: .venv/ready $(AZURITE) $(CLIENTS)
	@tests/web/browser/install
	@$(PYTEST) -m "not clients" $(ARGS)

test-clients: .venv/ready $(AZURITE) $(CLIENTS)
	@$(RUN) pytest tests/clients $(ARGS)

test-fast: .venv/ready $(AZURITE)
	@$(PYTEST) --quiet -m "not slow" $(FAST)

check: .venv/ready $(CHECKOV)
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/ruff check --quiet .
	@$(RUN) mypy
	@.venv/bin/lint-imports --no-logo
	@.venv/bin/bandit --quiet --configfile pyproject.toml --recursive shared cli function_app.py
	@$(RUN) pytest --quiet -rs tests/checks

docs: .venv/ready
	@$(RUN) docgen

bench: .venv/ready
	@$(RUN) bench $(ARGS)

.venv/ready: requirements.txt requirements-dev.txt
	$(PYTHON) -m venv .venv
	$(RUN) pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

tests/%/.venv/ready: tests/%/requirements.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# A folder for each older version; what it needs is that of the current one.
tests/clients/.venv/older/ready: tests/clients/older.txt tests/clients/.venv/ready
	for each in $$(cat $<); do \
		tests/clients/.venv/bin/python -m pip install --quiet --disable-pip-version-check \
			--no-deps --target $(@D)/$$each $$each || exit; done
	@touch $@

%/node_modules/.package-lock.json: %/package-lock.json
	npm ci --prefix $* --no-audit --no-fund --loglevel=error
	@touch $@
