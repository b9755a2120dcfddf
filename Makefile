# The project's verbs. Each needs nothing but python3; `make help` lists them.
.PHONY: help serve test check gen clean

DIR ?= .
PYTHON = .venv/bin/python

help:
	@echo "make serve DIR=/srv/data   serve a directory"
	@echo "make test                  set up and run all tests (tests/run.py)"
	@echo "make check                 ruff, mypy --strict and the layer tests alone"
	@echo "make gen                   generate the *_xdr.py modules from their .x files"

serve:
	python3 -m nfsloop serve $(DIR)

test:
	python3 tests/run.py

check:
	python3 tests/run.py tests/test_style.py tests/test_layers.py

gen:
	python3 -m oncrpc.rpcgen --all

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
