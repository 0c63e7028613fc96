# Needs Python 3.11 or newer and make; everything else goes into .venv. `make` alone says what there is.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

# The interpreter for .venv; by default the first suitable one of python3.11, python3, ...
PYTHON ?=
TARGET ?=
ARGS ?=
export TARGET

python := .venv/bin/python
vqfuzz := $(python) -m fuzz
export PIP_DISABLE_PIP_VERSION_CHECK := 1
PIP_DEFAULT_TIMEOUT ?= 60
export PIP_DEFAULT_TIMEOUT

.PHONY: help
help:
	@echo 'make fuzz                  fuzz the reference device, which conforms, then one with a planted fault'
	@echo "make fuzz TARGET=... ARGS='...'"
	@echo '                           vqfuzz fuzz TARGET ARGS, e.g. TARGET=qemu-storage-daemon ARGS="--runs 1000"'
	@echo 'make test                  ruff, mypy, and all tests; tests of real targets that are not there are skipped'
	@echo 'make lint                  ruff and mypy alone'
	@echo 'make rules                 make docs/rules.md from the catalogue and the planted faults'
	@echo 'make targets               install the real targets that the tests use (root, Debian)'
	@echo 'make bench                 measure programs and events per second'
	@echo "make oss-fuzz-check        check the contract of OSS-Fuzz without docker; ARGS='--quick --target NAME' for less"
	@echo 'make clean                 remove .venv and all that was made here'
	@echo
	@echo 'PYTHON=/path/to/python3    the interpreter to use (3.11 or newer); otherwise one is looked for'

# --- the virtual environment: made once, renewed when pyproject.toml changes --------------------------------------------

$(python):
	@echo 'making .venv'
	@scripts/venv '$(PYTHON)'

# The development tools include everything, so they count as both.
.venv/.installed: pyproject.toml | $(python)
	@echo 'installing vqfuzz into .venv'
	@$(python) -m pip install --quiet --editable .
	@touch $@

.venv/.installed-dev: pyproject.toml | $(python)
	@echo 'installing vqfuzz and the development tools into .venv'
	@$(python) -m pip install --quiet --editable '.[dev]'
	@touch $@ .venv/.installed

# --- what there is to do ----------------------------------------------------------------------------------------------

.PHONY: fuzz
ifeq ($(TARGET),)
fuzz: .venv/.installed
	@echo '== 1 of 2: the reference device, 2000 programs. It conforms, so nothing is to be found (exit status 0).'
	$(vqfuzz) fuzz model --runs 2000 --seed 1 $(ARGS)
	@echo
	@echo '== 2 of 2: the same device with a planted fault. It is to be found, shrunk and explained (exit status 1).'
	@echo '$(vqfuzz) fuzz model:a05 --seed 1'
	@status=0; $(vqfuzz) fuzz model:a05 --seed 1 $(ARGS) || status=$$?; \
	if [ $$status -ne 1 ]; then echo "exit status $$status, where 1 was expected" >&2; exit 1; fi
	@echo
	@echo '== Both as expected. Now yours: make fuzz TARGET=vhost-user:/path/to/socket'
else
fuzz: .venv/.installed
	$(vqfuzz) fuzz "$$TARGET" $(ARGS)
endif

.PHONY: lint
lint: .venv/.installed-dev
	$(python) -m ruff check .
	$(python) -m mypy

.PHONY: test
test: lint
	$(python) -m pytest -q -rs --no-fold-skipped $(ARGS)

.PHONY: rules
rules: .venv/.installed
	$(python) -c 'from fuzz.report.rules_page import whole; print(whole(), end="")' > docs/rules.md.new
	mv docs/rules.md.new docs/rules.md

.PHONY: bench
bench: .venv/.installed-dev
	$(python) scripts/bench.py $(ARGS)

.PHONY: oss-fuzz-check
oss-fuzz-check: .venv/.installed
	$(python) -m scripts.oss_fuzz $(ARGS)

# sid changes by the day and is sometimes broken: what needs it is skipped then.
.PHONY: targets
targets:
	scripts/install-targets
	scripts/install-targets --sid || echo 'targets: going on without those from sid'
	scripts/install-targets --linux-sources || echo 'targets: going on without sources of the kernel'
	scripts/install-targets --linux-guests || echo 'targets: going on without guests'
	scripts/install-targets --libblkio || echo 'targets: going on without libblkio'

.PHONY: targets-sid
targets-sid:
	scripts/install-targets --sid

.PHONY: clean
clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis vqfuzz-out build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
