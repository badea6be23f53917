# Each environment is made on first use, and anew when pyproject.toml or constraints.txt change.
# `make test` installs torch; for its small CPU build run
#   PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make test

PYTHON ?= python3
EXTRA_demo = cpu
EXTRA_test = dev

.PHONY: demo test clean

demo: .venv-demo/ready
	.venv-demo/bin/shls demo

test: .venv-test/ready
	.venv-test/bin/python -m pytest -q

clean:
	rm -rf .venv-demo .venv-test demo-output

.venv-%/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("Python 3.10 or later is needed, $(PYTHON) is " + sys.version.split()[0] + ": make PYTHON=python3.11 ...")'
	@echo "Installing into .venv-$*: some minutes"
	@$(PYTHON) -m venv --clear .venv-$*
	@.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRA_$*)]'
	@touch $@
