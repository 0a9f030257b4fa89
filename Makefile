# Every target works from any directory name and may be interrupted and repeated.
# PYTHON=/path/to/python names the interpreter that .venv is made with (3.11 or later).
.PHONY: help venv demo test test-parity test-dashboards lint format unit
.DEFAULT_GOAL := help
export PYTHON

RUN := .venv/bin/python -m

help:
	@echo 'make demo          run a whole mesh on this machine and check what it promises (root)'
	@echo 'make demo KEEP=1   the same, and leave it up until Ctrl-C'
	@echo 'make test          everything CI runs: format, lint, types, all tests (root for all of them)'
	@echo 'make test-parity   the same traffic on our sidecar and on stock Envoy, compared (root)'
	@echo 'make test-dashboards   Prometheus on a lab under traffic: every panel against the ledger of the load (root)'
	@echo 'make lint          format, lint and types only'
	@echo 'make unit          unit and property tests only'
	@echo 'make format        format the sources'
	@echo 'make venv          make .venv and install what is missing'
	@echo 'make bench         side by side with Envoy, HAProxy and nginx (root, a quiet machine); FULL=1 for longer'
	@echo 'make profile WORKLOAD=NAME   a flame graph of the sidecar under that workload'

venv:
	@bash .ci/prepare

demo: venv
	@$(RUN) meshctl demo $(if $(KEEP),--keep)

lint: venv
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy

unit: venv
	$(RUN) pytest -q tests/unit tests/property tests/test_architecture.py

test: venv
	@bash .ci/tests

test-parity: venv
	@$(RUN) pytest -q tests/parity

test-dashboards: venv
	@command -v promtool >/dev/null || { echo 'needs Prometheus; on Debian and Ubuntu: apt-get install prometheus'; exit 1; }
	@promtool check rules deploy/prometheus/rules.yml
	@promtool test rules deploy/prometheus/rules_test.yml
	@$(RUN) tests.dashboards.check

format: venv
	$(RUN) ruff format .
	$(RUN) ruff check --fix .

include bench/Makefile.inc
