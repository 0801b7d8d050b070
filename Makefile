# The project's commands. Each sets up what it needs in .venv; nothing is installed outside it.

PYTHON ?= python3
ENV ?= dev
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Named as environments are, so that linters pass it by.
CHECKOV := .cache/checkov/.venv
SDK3 := .cache/sagemaker-3/.venv
DBT := .cache/dbt/.venv

# One local endpoint per worker; tests/conftest.py sets their number.
# Without bytecode each worker would rewrite every test's assertions again.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder
LOCK := $(BIN)/uv pip compile --quiet --no-annotate --no-strip-extras --generate-hashes --python-version 3.12 --custom-compile-command 'make lock'

.PHONY: local generate test test-fast test-release check lock bench soak fuzz screenshots warehouse gold dbt deploy delete clean help

help:  ## these lines
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /make \1\t/' | expand -t 14

local: $(READY)  ## the main job on this machine: from real beers to a registered model
	@$(BIN)/python -m pipelines.run --local

test: $(READY)  ## all tests but those of test-release
	$(PYTEST)

test-fast: $(READY)  ## the tests that need no local endpoint, in seconds
	$(PYTEST) -m 'not endpoint and not release'

test-release: $(READY) $(SDK3)/.ready $(DBT)/.ready  ## the long proofs, before a release
	$(PYTEST) -m release

generate: $(READY)  ## rewrite what is derived from the schema, the definition and the state machines
	@$(BIN)/python -m pipelines.authoring.generate
	@$(BIN)/python -m localaws.parity
	@$(BIN)/python -m pipelines.run --graph docs/pipeline.svg

check: $(READY) $(CHECKOV)/.ready  ## every static check
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/cfn-lint --format pretty cloudformation/*.yaml
	@# Offline: it would ask PyPI for a newer checkov, and send what it finds to the service that a key is for.
	CKV_SKIP_PACKAGE_UPDATE_CHECK=true BC_API_KEY= $(CHECKOV)/bin/checkov --directory cloudformation \
		--framework cloudformation --skip-download --compact --quiet
	$(BIN)/python -m pipelines.authoring.generate --check
	$(BIN)/python -m localaws.parity --check
	$(BIN)/python -m pipelines.checks

lock: $(READY)  ## the hashes of what the workflows with a role install, after a change of setup.py or constraints*.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	@$(LOCK) --constraint constraints.txt setup.py --output-file .ci/deploy.txt
	@echo setuptools==80.9.0 | $(LOCK) - --output-file .ci/build.txt
	@printf 'dbt-core\ndbt-athena\n' | $(LOCK) --constraint constraints-dbt.txt - --output-file .ci/warehouse.txt

bench: $(READY)  ## what is measured: stages, executor, inner loop, transform, delivery, growth, model, gate, serving, console
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -m benchmarks.stages
	$(BIN)/python -m benchmarks.executor
	$(BIN)/python -m benchmarks.inner_loop
	$(BIN)/python -m benchmarks.transform
	$(BIN)/python -m benchmarks.load --records 20000
	$(BIN)/python -m benchmarks.scale
	$(BIN)/python -m benchmarks.chain
	$(BIN)/python -m benchmarks.model
	$(BIN)/python -m benchmarks.gate
	$(BIN)/python -m benchmarks.serving
	$(BIN)/python -m benchmarks.console

soak: $(READY)  ## how a workspace ages: 300 runs, 500 executions over 5,000 objects, kills
	$(BIN)/python -m benchmarks.soak
	$(BIN)/python -m benchmarks.crash --kills 40 --stacks 20

fuzz: $(READY)  ## 60 s of coverage-guided fuzzing each: the transform, the API's answers
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[fuzz]'
	$(BIN)/python -m tests.fuzz.transform --seconds 60
	$(BIN)/python -m tests.fuzz.answers --seconds 60

screenshots: $(READY)  ## README's pictures of the console (needs Chromium), into docs/screenshots
	$(BIN)/python -m tests.support.screenshots

warehouse: $(READY) $(DBT)/.ready  ## the gold tables by dbt on this machine
	@$(BIN)/python -m pipelines.warehouse --local

gold: $(READY) $(DBT)/.ready  ## the gold tables in your account: make gold ENV=dev
	@$(BIN)/python -m pipelines.warehouse --env $(ENV)

dbt: $(DBT)/.ready  ## dbt in an environment of its own, for the two above

deploy: $(READY)  ## an environment in your account: make deploy ENV=dev
	@$(BIN)/python -m pipelines.deploy --env $(ENV)

delete: $(READY)  ## delete an environment; buckets and models stay (DATA=1: those too)
	@$(BIN)/python -m pipelines.deploy --env $(ENV) --delete $(if $(DATA),--data) $(if $(UNPROTECT),--unprotect)

clean:  ## remove the environment and the local workspace
	rm -rf $(VENV) .local .cache build *.egg-info

# The environment, made again when what it is made from has changed.
$(READY): setup.py constraints.txt
	@$(PYTHON) .ci/environment.py $(VENV) --constraint constraints.txt --editable '.[local,console,dev]'
	@# Endpoints and steps write no bytecode; without it each start of one compiles 150 modules.
	@$(BIN)/python -m compileall -q localaws pipelines console ingestion processing training evaluation benchmarks tests/support
	@touch $@

# checkov needs other versions of packages that are used here, so it has an environment of its own.
$(CHECKOV)/.ready: constraints-checkov.txt
	@$(PYTHON) .ci/environment.py $(CHECKOV) --constraint $< checkov
	@touch $@

# The SageMaker SDK v3, which no environment can hold beside v2.
$(SDK3)/.ready: constraints-sagemaker-3.txt
	@$(PYTHON) .ci/environment.py $(SDK3) --no-deps --requirement $<
	@touch $@

# So does dbt.
$(DBT)/.ready: constraints-dbt.txt
	@$(PYTHON) .ci/environment.py $(DBT) --constraint $< dbt-core dbt-athena
	@touch $@
