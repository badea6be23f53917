# Each environment is made on first use, and anew when pyproject.toml or constraints.txt change.
# `make test` installs torch; for its small CPU build run
#   PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make test

PYTHON ?= python3
EXTRA_demo = cpu
EXTRA_test = dev
SHLS = .venv-test/bin/shls
STILLS ?= stills

.PHONY: demo test weights clean

demo: .venv-demo/ready
	.venv-demo/bin/shls demo

test: .venv-test/ready
	.venv-test/bin/python -m pytest -q --cov --cov-report=term

# The shipped networks anew, from a folder of stills: hours of 2 cores; what is interrupted goes on where it was.
weights: $(foreach of,cpu tensorrt,weights/shls-edge.int8-$(of).onnx weights/shls-edge-refiner.int8-$(of).onnx weights/shls-edge-prompter.int8-$(of).onnx)

weights/first.onnx: | .venv-test/ready
	$(SHLS) train $(STILLS) --out weights/first
	$(SHLS) export weights/first --out $@

weights/shls-edge.onnx: weights/first.onnx
	$(SHLS) pseudo $(STILLS) --embedding $< --no-refine --out weights/masks
	$(SHLS) train $(STILLS) --masks weights/masks --loss both --out weights/edge
	$(SHLS) export weights/edge --out $@

weights/shls-edge-refiner.onnx: weights/shls-edge.onnx
	$(SHLS) train-refiner $(STILLS) --embedding $< --masks weights/masks --out weights/refiner
	$(SHLS) export weights/refiner --dynamic-batch --out $@

weights/shls-edge-prompter.onnx: weights/shls-edge.onnx
	$(SHLS) train-prompter $(STILLS) --embedding $< --masks weights/masks --out weights/prompter
	$(SHLS) export weights/prompter --out $@

weights/shls-edge.int8-%.onnx: weights/shls-edge.onnx
	$(SHLS) calibrate $< --frames $(STILLS) --target $* --out $@

weights/shls-edge-refiner.int8-%.onnx: weights/shls-edge-refiner.onnx
	$(SHLS) calibrate $< --frames $(STILLS) --embedding weights/shls-edge.onnx --target $* --out $@

weights/shls-edge-prompter.int8-%.onnx: weights/shls-edge-prompter.onnx
	$(SHLS) calibrate $< --frames $(STILLS) --embedding weights/shls-edge.onnx --target $* --out $@

clean:
	rm -rf .venv-demo .venv-test demo-output

.venv-%/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("Python 3.10 or later is needed, $(PYTHON) is " + sys.version.split()[0] + ": make PYTHON=python3.11 ...")'
	@echo "Installing into .venv-$*: some minutes"
	@$(PYTHON) -m venv --clear .venv-$*
	@.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRA_$*)]'
	@touch $@
