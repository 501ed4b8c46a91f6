# Every target makes what it needs in .venv by itself; the second call takes seconds.
PYTHON ?= python3
ARGS   ?=

.PHONY: demo lab test check bench

demo:  ## execute the quickstart in a real kernel, export its handler into build/demo
	@$(PYTHON) .ci/venv.py demo
	@.venv/bin/python notebooks/demo.py $(ARGS)

lab:  ## open the quickstart in JupyterLab
	@$(PYTHON) .ci/venv.py demo lab
	@.venv/bin/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) notebooks/01_quickstart.ipynb $(ARGS)

test:  ## run the tests; STRICT=1 lets nothing be skipped but gpu
	@$(PYTHON) .ci/venv.py test
	@.venv/bin/python tests/run.py $(if $(STRICT),--strict-skips) $(ARGS)

check:  ## ruff and mypy --strict
	@$(PYTHON) .ci/venv.py dev
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy

bench:  ## ratios against named peers, in one run
	@$(PYTHON) .ci/venv.py test
	@.venv/bin/python benchmarks/run.py $(ARGS)
