# Sallyport. `make` prints what there is to do. Everything built lands in .build, which may be deleted at any time when no
# stack of this checkout is up.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

STACK  ?= local
BUILD  := $(CURDIR)/.build
BIN    := $(BUILD)/bin
PULUMI := tools/pulumi.sh
LINT   := go tool -modfile=go.tools.mod golangci-lint

# One flag set for everything, so that the Pulumi SDKs are compiled once.
export CGO_ENABLED := 0
export SALLYPORT_BUILD_DIR := $(BUILD)
# Stack local holds no secret: its salt in stacks/ belongs to the empty passphrase.
ifeq ($(STACK),local)
export PULUMI_CONFIG_PASSPHRASE :=
# It needs no cloud's SDK either, and they take minutes to compile (infra/clouds_local.go).
PULUMI := GOFLAGS="$$GOFLAGS -tags=local" tools/pulumi.sh
endif

PULUMI_VERSION := v3.259.0
# A user's own Pulumi is used when it can run Go programs.
OWN_PULUMI := $(shell command -v pulumi >/dev/null && command -v pulumi-language-go >/dev/null && echo yes)

say = @echo "==> $(1)"

.PHONY: help
help: ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F'\t' '{printf "  make %-14s %s\n", $$1, $$2}'
	@echo "  STACK=name chooses the stack for up, preview, refresh, down and recover (default local)"

## ---- build

$(BIN):
	@mkdir -p $@

ifneq ($(OWN_PULUMI),yes)
$(BIN)/pulumi: tools/go.mod tools/go.sum | $(BIN)
	$(call say,building the Pulumi command line $(PULUMI_VERSION) from its module - once - 2 to 4 minutes on 2 cores)
	@cd tools && go build -ldflags "-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=$(PULUMI_VERSION)" \
		-o $@ github.com/pulumi/pulumi/pkg/v3/cmd/pulumi

$(BIN)/pulumi-language-go: tools/go.mod tools/go.sum $(wildcard tools/pulumi-language-go/*.go) | $(BIN)
	$(call say,building the Go language host)
	@cd tools && go build -ldflags "-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=$(PULUMI_VERSION)" \
		-o $@ ./pulumi-language-go

TOOLS := $(BIN)/pulumi $(BIN)/pulumi-language-go
endif

$(BIN)/coredns: tools/coredns/go.mod tools/coredns/go.sum $(wildcard tools/coredns/*.go) | $(BIN)
	$(call say,building CoreDNS from its module - once - about a minute)
	@cd tools/coredns && go build -ldflags "-s -w" -o $@ .

$(BIN)/gotestsum: tools/gotestsum/go.mod tools/gotestsum/go.sum | $(BIN)
	@cd tools/gotestsum && go build -o $@ gotest.tools/gotestsum

.PHONY: tools
tools: $(TOOLS) $(BIN)/coredns ## build the pinned Pulumi command line, its Go host and CoreDNS, once

.PHONY: build
build: | $(BIN) ## build our own programs
	$(call say,building sallyport - the lab provider - the agent)
	@go build -ldflags "-s -w" -o $(BIN)/ ./cmd/sallyport ./lab/cmd/labd ./lab/cmd/pulumi-resource-lab
	@go build -ldflags "-s -w" -o $(BIN)/sallyport-policies ./policies
	@go build -trimpath -buildvcs=false -ldflags "-s -w -buildid=" -o $(BIN)/sallyport-agent ./proxyimage/cmd/sallyport-agent

.PHONY: image
image: build ## build the proxy image for amd64 and arm64 (one OCI layout) and this machine's root filesystem, without a container engine
	$(call say,building the agent for the other architecture)
	@for arch in $(filter-out $(shell go env GOARCH),amd64 arm64); do \
		GOARCH=$$arch go build -trimpath -buildvcs=false -ldflags "-s -w -buildid=" -o $(BIN)/sallyport-agent-$$arch ./proxyimage/cmd/sallyport-agent || exit; done
	$(call say,building the proxy image)
	@$(BIN)/sallyport image build --all-platforms

.PHONY: image-push
image-push: $(if $(REF),image) ## push the proxy image: make image-push REF=registry/repository:tag, with the credentials of docker or podman
	@$(BIN)/sallyport image push --ref "$(REF)"

.PHONY: image-test
image-test: ## check every golden configuration with the image's own HAProxy
	@go test -count=1 -v -run 'TestHAProxyTakesEveryGoldenConfiguration' ./proxyimage/oci

.PHONY: image-local
image-local: build
	$(call say,building the proxy image)
	@$(BIN)/sallyport image build --allow-newer

## ---- stacks

# Stack local is asked for nothing; a stack of a cloud shows its preview and asks. YES=--yes answers.
YES ?= $(if $(filter local,$(STACK)),--yes)

# The policy pack judges every preview and every up; settings of a stack are in policies/config.
POLICIES := --policy-pack $(BIN)/sallyport-policies \
	$(if $(wildcard policies/config/$(STACK).json),--policy-pack-config policies/config/$(STACK).json)

.PHONY: ready
ready: tools build $(if $(filter local,$(STACK)),image-local)
	$(call say,checking stacks/Pulumi.$(STACK).yaml)
	@$(BIN)/sallyport plan --stack $(STACK) >/dev/null
	$(call say,compiling the program)
	@go build $(if $(filter local,$(STACK)),-tags local) ./infra ./infra/topology
	@$(PULUMI) stack select --create $(STACK) >/dev/null

.PHONY: up
up: ready ## bring the stack up and repair what drifted; STACK=local is a working egress layer on this machine
	$(call say,pulumi up of stack $(STACK))
	@$(PULUMI) up --stack $(STACK) $(YES) --refresh --suppress-outputs $(POLICIES)
	@$(BIN)/sallyport $(if $(filter local,$(STACK)),lab summary,allowlist --format text) --stack $(STACK)

.PHONY: preview
preview: ready ## show what up would change; without the cloud's provider on this machine, against a stand-in of it
	@tools/preview.sh $(STACK) $(POLICIES)

.PHONY: refresh
refresh: ready ## compare the stack's state with reality
	@$(PULUMI) refresh --stack $(STACK) --yes

.PHONY: down
down: tools build ## destroy the stack
	$(call say,pulumi destroy of stack $(STACK))
	@$(PULUMI) stack select --create $(STACK) >/dev/null
	@$(PULUMI) destroy --stack $(STACK) $(YES) --refresh

.PHONY: recover
recover: ready ## after a crash or kill of the command line: release the lock, take stock, bring the stack up
	$(call say,ending what the crashed run left and releasing its lock)
	@tools/recover.sh $(STACK)
	$(if $(shell grep -sE 'sallyport:cloud: *"?(aws|gcp)' stacks/Pulumi.$(STACK).yaml),@go run ./cmd/sallyport-recover $(STACK))
	@$(MAKE) --no-print-directory up STACK=$(STACK)

.PHONY: demo
demo: ## send load through stack local (make up first) and print measured beside predicted, within two minutes
	@$(BIN)/sallyport lab demo --stack $(STACK) --out $(BUILD)/demo

## ---- checks

# Packages without the Pulumi SDK that have something to race: cheap enough for the detector.
RACE := ./lab/daemon/... ./lab/partner/... ./lab/registry/... ./lab/twhold/... ./proxyimage/agent/...

# A test of real processes and packets that fails on a busy machine is run once more, and the summary says so. Data races, and more than
# six failures (a subtest and its parent are two), are not.
GOTEST := $(BIN)/gotestsum --rerun-fails=1 --rerun-fails-max-failures=6 --rerun-fails-run-root-test --rerun-fails-abort-on-data-race

.PHONY: test
test: tools build image-local $(BIN)/gotestsum ## everything that needs no cloud; root is needed for the lab
	$(call say,vet and unit tests)
	@go vet ./...
	@cd tools && go vet ./pulumi-language-go
	@$(GOTEST) --format standard-quiet --packages "$$(go list ./... | grep -v '/test\b' | tr '\n' ' ')" -- -count=1
	$(call say,race detector over the packages without Pulumi)
	@CGO_ENABLED=1 $(GOTEST) --format standard-quiet --packages "$(RACE)" -- -count=1 -race -short
	$(call say,end to end: real command line and real packets)
	@$(GOTEST) --format standard-verbose --packages ./test/... -- -count=1 -p 1 -timeout 30m

# Modules of their own, because Kubernetes, Prometheus and Istio have no place among the program's dependencies.
CLUSTER_TESTS := test/manifests test/manifests/admission test/manifests/promql test/istio

.PHONY: test-cluster
test-cluster: ## what is installed in a cluster, against the API's schemas, CEL, PromQL and Istio's own translation; the first run compiles for long
	@for module in $(CLUSTER_TESTS); do echo "==> $$module"; (cd $$module && go test -count=1 ./...) || exit; done

# A real API server and its etcd, from their modules: 15 minutes to compile on two cores, once.
SERVERS := $(BUILD)/servers
KUBERNETES_VERSION := v1.37.0

$(SERVERS)/%: test/apiserver/servers/go.mod test/apiserver/servers/go.sum
	$(call say,building $(@F) from its module - once)
	@mkdir -p $(@D)
	@cd test/apiserver/servers && go build -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$(KUBERNETES_VERSION)" \
		-o $@ $(if $(filter etcd,$(@F)),go.etcd.io/etcd/server/v3,k8s.io/kubernetes/cmd/$(@F))

.PHONY: test-apiserver
test-apiserver: $(SERVERS)/etcd $(SERVERS)/kube-apiserver ## what is installed in a cluster, given to a real API server; the first run compiles it
	@cd test/apiserver && SALLYPORT_SERVERS=$(SERVERS) go test -count=1 ./...

.PHONY: golden
golden: ## rewrite the golden files, then show what changed
	@UPDATE_GOLDEN=1 go test $$(go list ./... | grep -v '/test\b') >/dev/null || true
	@git diff --stat -- '*testdata*'

.PHONY: lint
lint: ## golangci-lint, built from its own module
	@$(LINT) run ./...
	@cd tools && go vet ./pulumi-language-go

.PHONY: fmt
fmt: ## format
	@$(LINT) fmt ./...

.PHONY: verify
verify: fmt lint ## format, lint and tidy; fails if that changes anything
	@go mod tidy && cd tools && go mod tidy && cd coredns && go mod tidy
	@git diff --exit-code

.PHONY: bench
bench: image-local ## our proxy against nginx, stock HAProxy and no proxy, within 10 minutes; BENCH="-quick", "-only connect", "-soak 10m", "-help"
	$(call say,proxy benchmark)
	@go build -o $(BIN)/bench-proxy ./bench/proxy
	@$(BIN)/bench-proxy $(BENCH)
