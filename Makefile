# A thin front: the logic is in xtask/.
CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
XTASK := $(CARGO) run --quiet --profile ci --package xtask --

.DEFAULT_GOAL := help
.PHONY: help needs demo test test-kernel test-kubernetes kills bench ci tidy crds fmt clean

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# What has to be there before anything can be built: a C compiler and git are installed where this is root.
needs:
	@./.ci/needs

demo: ## build, bring two dual-stack clusters up with every cable, check them, take them down
	@./.ci/needs demo
	@$(CARGO) build --profile ci --package submariner-bin --package subctl-bin
	@$(TARGET)/ci/subctl playground check --cable-driver all --families dual

test: needs ## all tests that this machine can run
	@$(XTASK) test

test-kubernetes: needs ## API claims and tests of controllers on a real control plane, which is built with Go
	@$(XTASK) test-kubernetes

test-kernel: needs ## tests on other kernels, in virtual machines; ONLY=6.12 for one of them
	@$(XTASK) test-kernel $(if $(ONLY),--only $(ONLY))

kills: needs ## kill a process that stores objects 1000 times, or COUNT=number
	@$(XTASK) kills $(COUNT)

bench: needs ## measure; ONLY=name for one
	@$(CARGO) build --release --package submariner-bin --package subctl-bin --package subm-bench
	@$(TARGET)/release/subm-bench $(if $(ONLY),--only $(ONLY))

ci: needs ## everything that CI runs
	@$(XTASK) ci

tidy: needs ## dependency edges, sizes, names, links, generated files
	@$(XTASK) tidy

crds: needs ## write manifests/crds from the types
	@$(XTASK) crds

fmt: ## format the code
	@$(CARGO) fmt --all

clean: ## remove what was built
	@$(CARGO) clean
