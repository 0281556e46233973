# POSIX make. Needs python3 >= 3.11; everything else goes into .venv from the pinned files in requirements/.
# make PYTHON=python3.13 demo   takes another interpreter.
.POSIX:

PYTHON =
SETUP = PYTHON="$(PYTHON)" infra/setup.sh
BIN = .venv/bin
FUZZ = -max_total_time=600 -timeout=20 -max_len=50000
DEMO = $(BIN)/dmarcops --store sqlite:///demo.db

help:
	@echo "make demo          read sample-reports/ into demo.db and show what fails alignment, and why"
	@echo "make test          lint, types, contracts, docs and every test, with coverage"
	@echo "make lint          ruff, mypy, import contracts, docstrings"
	@echo "make bench         throughput and memory, beside parsedmarc and bare lxml"
	@echo "make fuzz          fuzz the reader for ten minutes; FUZZ=options of libFuzzer"
	@echo "make bench-mailbox how fast mail is taken in over IMAP, beside the same mails as files (needs Dovecot)"
	@echo "make bench-policy  how fast the policies of 500 domains are told"
	@echo "make docs          build/docs/index.html; a warning is an error"
	@echo "make requirements  pin the newest versions anew in requirements/"
	@echo "make clean         remove .venv, builds, caches and demo.db"

demo:
	@$(SETUP) base
	@rm -f demo.db demo.db-wal demo.db-shm
	@infra/demo.sh $(DEMO)

test:
	@$(SETUP) base test lint docs
	@infra/install-test-servers.sh
	@$(MAKE) -s run-lint run-docs
	@infra/test.sh $(BIN)/python --numprocesses auto --dist loadfile

lint:
	@$(SETUP) base test lint docs
	@$(MAKE) -s run-lint

docs:
	@$(SETUP) base docs
	@$(MAKE) -s run-docs

bench:
	@$(SETUP) base
	$(BIN)/python benchmarks/run.py

fuzz:
	@$(SETUP) base test
	@mkdir -p build/fuzz
	cd build/fuzz && ../../$(BIN)/python ../../tests/fuzz/fuzz_reader.py corpus $(FUZZ)

bench-mailbox:
	@$(SETUP) base test
	$(BIN)/python benchmarks/imap_intake.py

bench-policy:
	@$(SETUP) base test
	$(BIN)/python benchmarks/policy_fleet.py

requirements:
	@$(SETUP) lock
	infra/lock-requirements.sh $(BIN)/python

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	rm -f .coverage .coverage.* demo.db demo.db-wal demo.db-shm

run-lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/interrogate --quiet src benchmarks sample-reports docs

run-docs:
	$(BIN)/sphinx-build -W --keep-going -q -b html docs build/docs

.PHONY: help demo test lint docs bench bench-mailbox bench-policy fuzz requirements clean run-lint run-docs
