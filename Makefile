# Each target sets up what it needs first; only Python 3.11+ and Node 20+ have to be there.
PYTHON ?= python3
RUN = .venv/bin/python -m

.PHONY: demo up test check

demo: .venv/ready
	@$(RUN) local demo $(ARGS)

up: .venv/ready
	@$(RUN) local up $(ARGS)

test: .venv/ready
	@$(RUN) pytest $(ARGS)

check: .venv/ready
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/ruff check --quiet .
	@$(RUN) mypy
	@.venv/bin/lint-imports --no-logo

.venv/ready: requirements.txt requirements-dev.txt local/package-lock.json
	$(PYTHON) -m venv .venv
	$(RUN) pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	npm ci --prefix local --no-audit --no-fund --loglevel=error
	@touch $@
