# Every target installs what it needs into .venv first, and only when that has changed.
PROFILE ?= laptop
PYTHON  ?=
BIN     := .venv/bin
ARGS    ?=

.DEFAULT_GOAL := help
.PHONY: help install book test test-all kernels lint chapters figures paper reproduce full-plan lab explore clean
# An outer environment must not leak in: what tells these tools to work otherwise, though not where packages
# come from. tools/setup_env.py reads both lines.
LEAKS   := PIP_% UV_% NPM_CONFIG_% npm_config_% GIT_% IPYTHON% JUPYTER_% PYTEST_% RUFF_% PYTHONHOME PYTHONPATH PYTHONSTARTUP PYTHONUSERBASE PYTHONOPTIMIZE PYTHONINSPECT VIRTUAL_ENV
SOURCES := %INDEX %INDEX_URL %FIND_LINKS %NO_INDEX %CONFIG_FILE %CERT %PROXY %TRUSTED_HOST %INSECURE_HOST %NATIVE_TLS %KEYRING_PROVIDER %CACHE_DIR %TIMEOUT %RETRIES %OFFLINE %registry %REGISTRY %proxy %cafile %CAFILE %userconfig %USERCONFIG %cache %CACHE GIT_CONFIG_% GIT_SSL_%
$(foreach name,$(filter-out $(SOURCES),$(filter $(LEAKS),$(.VARIABLES))),$(eval unexport $(name)))

help:      ## list the targets
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*##/  make \1\t/' | expand -t 18
	@echo "  PROFILE=smoke|laptop|full chooses the results (default: laptop); ARGS=... goes to pytest"

install:   ## make .venv with everything that the book and the tests need
	@python="$(PYTHON)"; [ -n "$$python" ] || python=$$(sh tools/find-python) || exit 1; "$$python" tools/setup_env.py

book: install  ## execute the chapters, build the book, print its first page
	@$(BIN)/hml book --profile $(PROFILE) $(if $(filter smoke,$(PROFILE)),--fresh)

# A process a core, at most four; a module's tests stay in one, and the book's, which take longest, begin.
PYTEST = $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test: install  ## run the tests, but for those that execute chapters, build wheels or compile the paper
	@$(PYTEST) -m "not slow" $(ARGS)

test-all: install  ## run all tests, as CI does
	@$(PYTEST) $(ARGS)

kernels: install  ## test the GPU kernels without a GPU, in Triton's interpreter (Triton, 1 GB, goes to .cache)
	@[ -d .cache/triton ] || $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --target .cache/triton 'triton>=3.6,<4'
	@HMLCORE_REQUIRE_TRITON=1 PYTHONPATH=.cache/triton $(BIN)/python -m pytest -m "not gpu" tests/ops/hamiltonian/test_triton.py tests/ops/hamiltonian/test_step.py tests/ops/hamiltonian/test_library.py tests/ops/nonlinear/test_triton.py tests/ops/test_fla.py $(ARGS)

lint: install  ## style, import rules and types
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports && $(BIN)/python -m pyright

chapters: install  ## sync the notebook pairs and renew the committed chapters in book/chapters
	@$(BIN)/hml book --commit-chapters

figures: install  ## draw the figures and numbers of PROFILE from its results
	@$(BIN)/hml figures --profile $(PROFILE)

paper: install  ## draw what the paper shows from PROFILE's results, compile and check it (latexmk or tectonic)
	@$(BIN)/hml paper --profile $(PROFILE)

reproduce: install  ## make all of PROFILE: results, figures, chapters, book, paper; ARGS go to snakemake
	@$(BIN)/snakemake --cores all --config profile=$(PROFILE) $(ARGS)

full-plan: install  ## say what the full profile would cost on a GPU
	@$(BIN)/hml plan --profile full $(ARGS)

lab: install  ## open the notebooks in JupyterLab
	@$(BIN)/jupyter lab notebooks

explore: install  ## see inside a memory: open the explorers in the browser (ARGS=memory opens another)
	@$(BIN)/hml explore $(ARGS)

clean:     ## remove what was built (not .venv, not results), and nothing else
	@python="$(PYTHON)"; [ -n "$$python" ] || python=$$(sh tools/find-python) || exit 1; PYTHONPATH=src "$$python" -m hmlcore.manifest .
