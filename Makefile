# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

PYTHON := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help quickstart quickstart-down check test campaign benchmark clean

help: ## say what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 18

quickstart: .venv/made ## hosts, XMPP server, two hypervisors, a machine that answers and moves (root, Debian)
	@$(PYTHON) -m lab.quickstart

quickstart-down: .venv/made ## remove all that quickstart made
	@$(PYTHON) -m lab.quickstart down

check: .venv/made ## the quick checks, for each edit
	@$(PYTHON) tests/checks/run.py

test: .venv/made ## every check, as CI runs them
	@$(PYTHON) tests/checks/run.py --tags test

campaign: .venv/made ## moves while all is killed, cut and filled, on hosts of a lab of its own: SEED=… MINUTES=…
	@$(PYTHON) -m lab.campaign $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES))

benchmark: .venv/made ## ratios against direct libvirt and community.libvirt
	@$(PYTHON) tests/checks/run.py --tags benchmark

clean: ## remove what the checks made here
	rm -rf .cache .nox .venv .mypy_cache .pytest_cache .ruff_cache build dist *.egg-info *.tar.gz

.venv/made: pyproject.toml tests/checks/venv
	@tests/checks/venv
	@touch $@
