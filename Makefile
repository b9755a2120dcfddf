# The project's verbs. Each needs nothing but python3; `make help` lists them.
.PHONY: help serve test check gen sim crash fuzz flood bench bench-kernel \
	bench-scale budget clean

DIR ?= .
SEEDS ?= 10000
KILLS ?= 1000
SECONDS ?= 600
PYTHON = .venv/bin/python

help:
	@echo "make serve DIR=/srv/data   serve a directory"
	@echo "make test                  set up and run all tests (tests/run.py)"
	@echo "make check                 ruff, mypy --strict and the layer tests alone"
	@echo "make sim SEEDS=100000      the simulator, any number of seeds"
	@echo "make crash KILLS=1000      a server that is killed under load"
	@echo "make fuzz SECONDS=3600     everything that takes bytes of strangers"
	@echo "make flood                 what a client keeps of its throughput beside a flood"
	@echo "make bench                 beside nfs-ganesha and the floor, over the wire"
	@echo "make bench-kernel          the same through the stock kernel client"
	@echo "make bench-scale           many connections, files and names"
	@echo "make budget                instructions of each kind of call, counted by valgrind"
	@echo "make gen                   generate the *_xdr.py modules, the man page and completions"

serve:
	python3 -m nfsloop serve $(DIR)

test:
	python3 tests/run.py

check:
	python3 tests/run.py tests/test_style.py tests/test_layers.py

gen:
	python3 -m oncrpc.rpcgen --all
	$(PYTHON) share/generate.py

sim:
	$(PYTHON) tests/sim/simulator.py --seeds $(SEEDS)

crash:
	$(PYTHON) tests/crash/kills.py --kills $(KILLS)

fuzz:
	$(PYTHON) tests/fuzz/fuzz.py --seconds $(SECONDS)

flood:
	$(PYTHON) tests/flood/run_flood.py

bench:
	$(PYTHON) -m benchmarks wire

bench-kernel:
	$(PYTHON) -m benchmarks kernel

bench-scale:
	$(PYTHON) -m benchmarks scale

budget:
	$(PYTHON) tests/budget/budget_instructions.py

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
