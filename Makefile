# Two commands do everything: "make run" and "make test". "make help" lists the rest.
GO ?= go
export GOTOOLCHAIN := local
export GOFLAGS := -buildvcs=false
export CGO_ENABLED ?= 0
FUZZTIME ?= 10s
BENCHTIME ?= 1s
ROUNDS ?= 200
TREE ?= dist

.PHONY: help build run story story-nodes qemu-test qemu-update-test test unit check race leaks fuzz fuzz-short couch-faults couch-conformance bench bench-couch bench-nodes bench-vpn generate debian clean

help: ## show what the targets do
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

build: ## build leapd, leapc, leap and leap-sign into bin/
	$(GO) build -trimpath -ldflags='-s -w' -o bin/ ./appliance/cmd/leapd ./client/cmd/leapc ./image/cmd/leap ./updater/cmd/leap-sign

run: build ## start a whole provider on loopback, let two users live on it, stay up
	$(GO) run ./tests/story --stay --dir var

story: build ## the same, in a scratch directory, and end
	$(GO) run ./tests/story

story-nodes: build ## the same on a database of three processes, one of them killed before each step
	$(GO) run ./tests/story --nodes 3

# Five nodes at once are all that two processors can emulate: beside them, nothing else.
qemu-test: debian build ## boot nodes and a whole provider as virtual machines, and break them
	$(GO) test -count=1 -timeout 30m -v ./tests/cluster -qemu
	$(GO) test -count=1 -p 2 -timeout 30m -v ./tests/faults ./tests/uefi ./tests/update ./tests/node ./tests/gateway ./tests/local ./tests/boot ./tests/qemu -qemu

qemu-update-test: debian ## have nodes update themselves: good releases, bad ones, refused ones, the power cut on the way, a cluster by waves, and all of docs/lab.md
	$(GO) test -count=1 -timeout 2h -v ./tests/cluster -run TestWaves -qemu -long
	$(GO) test -count=1 -timeout 2h -v ./tests/walk -qemu -long
	$(GO) test -count=1 -timeout 3h -v ./tests/update -qemu -long

test: debian unit leaks fuzz-short story story-nodes qemu-test ## everything that CI runs: unit, end-to-end, leaks, the story, a slice of fuzzing, whole clusters of nodes

unit: ## go vet and go test over all packages but that of leaks
	$(GO) vet ./...
	$(GO) test -timeout 8m $$($(GO) list ./... | grep -v /tests/leaks$$)

check: ## formatting, vet, staticcheck, dead code, modernizers, layering, generated files
	./.ci/check

race: ## go test -race over all packages (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -timeout 20m ./...

leaks: ## count what leaves a computer outside its VPN, by packets, beside runs that must leak (needs root)
	@cd tests/leaks && $(GO) test -count=1 -timeout 8m

fuzz: ## run every fuzz target for FUZZTIME (10s)
	./.ci/fuzz $(FUZZTIME)

fuzz-short:
	./.ci/fuzz 200x

couch-conformance: debian ## let kivik, pouchdb and pouchdb-server judge the database, and print one line
	@$(GO) run ./tests/couch/conformance

couch-faults: ## kill, freeze, cut off and damage database nodes under load, ROUNDS (200) times
	$(GO) run ./tests/couchfaults --rounds $(ROUNDS)

bench: ## run the benchmarks and record the figures under tests/bench/results
	$(GO) run ./tests/bench

bench-couch: ## measure the database beside pouchdb-server and the bare disk, and record the figures
	$(GO) run ./tests/bench -couch

bench-nodes: ## boot nodes in QEMU, measure what is promised of them, and record the figures
	$(GO) run ./tests/bench -nodes

bench-vpn: ## measure the VPN beside OpenVPN in network namespaces (as root), and record the figures
	$(GO) run ./tests/bench -vpn

.PHONY: bench-updates release reproducible
bench-updates: ## measure a delta between two releases, and what updates cost, and record the figures
	$(GO) run ./tests/bench -updates

release: ## build image and clients as they are published, into dist/ (TREE), of the version RELEASE, for VENDOR_ROOT and VENDOR_SOURCE
	$(GO) run ./image/cmd/leap image tree $(TREE) $(if $(RELEASE),--release $(RELEASE)) $(if $(VENDOR_ROOT),--vendor-root $(VENDOR_ROOT)) $(addprefix --vendor-source ,$(VENDOR_SOURCE)) $(RELEASE_FLAGS)

reproducible: ## build the release of the last commit twice, in two places, and compare every byte (slow)
	./.ci/reproducible

generate: ## rewrite generated files
	$(GO) generate ./...

debian: ## install the Debian packages that tests talk to, or say which are missing
	@./.ci/debian

clean: ## remove what was built and what "make run" wrote
	rm -rf bin var
