# make test      everything that CI runs
# make demo      Postgres, a HubSpot and the pipeline between them, all throwaway
# make help      the rest

.DEFAULT_GOAL := help
SHELL := /bin/sh
.NOTPARALLEL:
.PHONY: help test demo build test-unit test-go test-page screenshots test-matrix test-huge fuzz chaos failpoints mutants bench bench-go test-deploy lint fmt generate generated deps clean

# Tools are built at these versions from the module proxy into .tools.
GOLANGCI_LINT_VERSION := v2.15.0
GOLANGCI_LINT := .tools/bin/golangci-lint-$(GOLANGCI_LINT_VERSION)

# What is tested, and how: make test-go PACKAGES=./ledger TEST_FLAGS=-v
PACKAGES := ./...
TEST_FLAGS := -race -shuffle=on -timeout 20m

# The servers of test-matrix. Where root runs the tests, the user postgres must
# be able to enter POSTGRES_DIR.
PG_MAJORS := 14 15 16 17 18
POSTGRES_DIR := .tools/postgres

# Seconds for each fuzz target, and for all of them.
FUZZ_SECONDS := 5
FUZZ_TOTAL := 120

# The commit is written into the binary, where git answers.
BUILDVCS := $(shell git rev-parse HEAD >/dev/null 2>&1 && echo auto || echo false)

## test: everything that CI runs; installs what it needs where it may
test: deps lint build generated fuzz test-go

## demo: the whole thing in a terminal, with a throwaway Postgres; Ctrl-C ends it
demo:
	@scripts/deps postgres
	@$(MAKE) --no-print-directory build
	@exec bin/pgcrm demo

## build: bin/pgcrm, static
build:
	CGO_ENABLED=0 go build -trimpath -buildvcs=$(BUILDVCS) -ldflags '-s -w' -o bin/pgcrm .

## test-unit: the tests that need no Postgres, quickly
test-unit:
	go test -short ./...

# Unit and integration tests, in an order that changes, under the race detector.
test-go:
	go test $(TEST_FLAGS) $(PACKAGES)

## test-matrix: the same tests against each of PG_MAJORS, fetched into POSTGRES_DIR
test-matrix:
	@scripts/deps cc
	@scripts/postgres-servers $(POSTGRES_DIR) $(PG_MAJORS)
	@failed=; for major in $(PG_MAJORS); do \
		echo "Postgres $$major"; \
		PGCRM_TEST_PG_BIN=$(abspath $(POSTGRES_DIR))/$$major/bin go test $(TEST_FLAGS) $(PACKAGES) || failed="$$failed $$major"; \
	done; [ -z "$$failed" ] || { echo "failed on Postgres$$failed" >&2; exit 1; }

## test-huge: a transaction of HUGE_ROWS rows, and HUGE_LOG bytes of log beside the mapped tables
test-huge:
	go test ./internal/e2e -count=1 -timeout 60m -v -run 'TestPGHuge|TestPGTheSlotKeepsUp' -huge-rows=$(HUGE_ROWS) -busy-log=$(HUGE_LOG)

HUGE_ROWS := 2000000
HUGE_LOG := 1000000000

# The status page's test drives a browser with what is installed here.
PAGE := .tools/page

## test-page: the status page in a headless Chromium, where there is one and Node.js
test-page: $(PAGE)/node_modules
	PGCRM_TEST_PAGE=$(abspath $(PAGE)) go test ./internal/e2e -count=1 -timeout 10m -run TestStatusPage -v

## screenshots: those of the status page in docs/images, taken anew
screenshots: $(PAGE)/node_modules
	PGCRM_TEST_SHOTS=$(abspath docs/images) $(MAKE) --no-print-directory test-page

$(PAGE)/node_modules: internal/e2e/page/package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing: apt-get install npm" >&2; exit 1; }
	mkdir -p $(PAGE)
	cp internal/e2e/page/package.json internal/e2e/page/package-lock.json $(PAGE)
	cd $(PAGE) && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

## fuzz: every fuzz target, FUZZ_SECONDS each, FUZZ_TOTAL in all
fuzz:
	@scripts/fuzz $(FUZZ_SECONDS) $(FUZZ_TOTAL)

# Minutes of chaos, and its seed; 0 draws one and prints it.
MINUTES := 10
SEED := 0

## chaos: everything that can go wrong at once, for MINUTES; SEED=N repeats a run that failed
chaos:
	go test ./pipeline -count=1 -timeout 0 -run TestCrashAndReplay -chaos.for $$(( $(MINUTES) * 12 ))s -chaos.first $(SEED)
	go test ./internal/e2e -count=1 -timeout 0 -run TestChaos -v -chaos-seed=$(SEED) -chaos-for=$(MINUTES)m -chaos-patience=10m

## failpoints: crash, and meet an error, between every two durable steps
failpoints:
	go test ./internal/e2e -count=1 -timeout 60m -run TestFailpoints -failpoints

## mutants: break the rules of delivery one by one; the tests must notice each
mutants:
	PGCRM_MUTANTS=all go test ./pipeline -count=1 -timeout 60m -run TestMutants -v

## test-deploy: charts, manifests, units and alerts, each by its own tool
test-deploy:
	@scripts/test-deploy .tools/bin

# What bench measures, how often, and at what part of its full size.
WORKLOADS := a,b,c,d,e,f,g
REPS := 5
SCALE := 1

## bench: pgcrm beside references, into docs/benchmarks.md; WORKLOADS=a,b REPS=3 SCALE=0.1
bench: build
	@scripts/deps postgres
	go build -o bin/bench ./bench
	bin/bench -workloads '$(WORKLOADS)' -reps $(REPS) -scale $(SCALE)

## bench-go: the benchmarks of the packages
bench-go:
	go test -run '^$$' -bench . -benchmem ./...

## lint: format, vet and the linters of .golangci.yml
lint: $(GOLANGCI_LINT)
	$(GOLANGCI_LINT) fmt --diff
	go vet ./...
	$(GOLANGCI_LINT) run

## fmt: format the code as lint wants it
fmt: $(GOLANGCI_LINT)
	$(GOLANGCI_LINT) fmt

## generate: what is made from the code, such as the tables of docs
generate:
	go generate ./...

# What is generated is what is committed.
generated:
	@scripts/generated

deps:
	@scripts/deps postgres cc

$(GOLANGCI_LINT):
	mkdir -p $(@D)
	GOBIN=$(abspath $(@D)) GOFLAGS= go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	mv $(@D)/golangci-lint $@

clean:
	rm -rf bin .tools

help:
	@sed -n 's/^## \([a-z-]*\): /\1\t/p' Makefile | expand -t 12
