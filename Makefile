# The index of the project: every target has one line of help. CI calls only these.
# What is missing is installed by the targets that need it (Debian packages by name, Go tools by version), and said.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Tools, C libraries and the test machine's kernel are kept outside of the tree, so that every checkout shares them.
WEBGEAR_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/webgear
export WEBGEAR_CACHE
CACHE := $(WEBGEAR_CACHE)
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
GOFLAGS_BUILD := -trimpath -ldflags "-s -w -X main.version=$(VERSION)"

GOLANGCI_LINT_VERSION := v2.15.0
GOLANGCI_LINT := $(CACHE)/tools/golangci-lint-$(GOLANGCI_LINT_VERSION)
GOVULNCHECK_VERSION := v1.9.0
GOVULNCHECK := $(CACHE)/tools/govulncheck-$(GOVULNCHECK_VERSION)

NEED := packaging/need.sh
PACKAGES_BUILD := libjpeg62-turbo-dev
PACKAGES_ARM64 := gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static
PACKAGES_SYSTEM := curl ffmpeg strace chromium gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good \
  gstreamer1.0-plugins-bad python3-opencv libjpeg-turbo-progs tshark avahi-daemon iproute2
PACKAGES_LINT := shellcheck

SYSROOT_ARM64 := $(CACHE)/sysroot-arm64
ARM64_ENV := GOOS=linux GOARCH=arm64 CGO_ENABLED=1 CC=aarch64-linux-gnu-gcc \
  CGO_CFLAGS="-O2 -g --sysroot=$(SYSROOT_ARM64) -isystem $(SYSROOT_ARM64)/usr/include/aarch64-linux-gnu" \
  CGO_LDFLAGS="--sysroot=$(SYSROOT_ARM64) -L$(SYSROOT_ARM64)/usr/lib/aarch64-linux-gnu"

# Arguments for webgear run, such as make run ARGS="--source /dev/video0".
ARGS ?=
FUZZTIME ?= 20s
FUZZ ?= .
SOAK_TIME ?= 2m
SOAK_SEED ?=
PKG ?= ./...

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: run
run: build ## Build and show the picture at http://localhost:8000/ (ARGS="--source test" passes flags on)
	bin/webgear run $(ARGS)

.PHONY: build
build: need-build ## Build bin/webgear for this machine
	go build $(GOFLAGS_BUILD) -o bin/webgear ./cmd/webgear

.PHONY: build-arm64
build-arm64: need-arm64 ## Build bin/webgear-linux-arm64 for the Raspberry Pi (64-bit), with cgo
	$(ARM64_ENV) go build $(GOFLAGS_BUILD) -o bin/webgear-linux-arm64 ./cmd/webgear

.PHONY: test
test: test-unit test-nocgo test-arm64 test-system test-lab ## Run every test: unit, without cgo, arm64, real clients and browser, real kernel drivers

.PHONY: test-unit
test-unit: need-build ## Unit tests with the race detector
	go vet ./...
	go test -race -shuffle=on ./...

.PHONY: test-nocgo
test-nocgo: ## Unit tests of a build without cgo
	CGO_ENABLED=0 go test ./...

# Not pkg/datafiles, which kills copies of itself at certain moments: under emulation it is too slow to be hit. Not
# pkg/mdns: qemu-user knows no multicast.
# Nor does it know sock_diag, on which the viewers' tests of SKIP_ARM64 depend.
SKIP_ARM64 := ^Test(HeldViewer|ViewerThatPauses|PicturesThatAHeldViewer|ViewerWithAnInquiry|SlowReader|ViewerIsCutWhenItReadsNothing)
PKG_ARM64 = $(shell go list ./pkg/... | grep -vE '/(datafiles|mdns)$$')

.PHONY: test-arm64
test-arm64: build-arm64 ## Unit tests of the arm64 build, under qemu-user
	mkdir -p $(CACHE)/arm64
	printf '#!/bin/sh\nexec qemu-aarch64-static -L %s "$$@"\n' $(SYSROOT_ARM64) >$(CACHE)/arm64/exec
	chmod +x $(CACHE)/arm64/exec
	$(ARM64_ENV) go test -exec $(CACHE)/arm64/exec -skip '$(SKIP_ARM64)' ./device ./device/v4l2/... ./device/m2m/... ./device/testsrc/... ./device/jpegscan/... ./device/httpjpeg/... $(PKG_ARM64)
	$(CACHE)/arm64/exec bin/webgear-linux-arm64 version

# The tests that need other programs stand in files of their own, with the build tag system.
SYSTEM_FILES = $(shell git grep -l '^//go:build system' -- '*_test.go')
SYSTEM_TESTS = $(shell grep -hoE '^func Test[A-Za-z0-9_]+' $(SYSTEM_FILES) | cut -c6- | paste -sd '|')
SYSTEM_PACKAGES = $(sort $(addprefix ./,$(dir $(SYSTEM_FILES))))

.PHONY: test-system
test-system: need-build need-system ## Real clients (curl, ffmpeg, GStreamer, OpenCV) and a real browser
	go test -race -count=1 -timeout 20m -tags system -run '^($(SYSTEM_TESTS))$$' $(SYSTEM_PACKAGES)

.PHONY: test-lab
test-lab: need-build lab ## Real kernel drivers in a virtual machine (LAB_FULL=1: all there is, an hour)
	go test -count=1 -timeout 3h -v -tags lab ./device/lab

.PHONY: test-lab-arm64
test-lab-arm64: need-build need-arm64 ## The same with an arm64 kernel and the arm64 build, emulated
	LAB_ARCH=arm64 device/lab/setup.sh
	LAB_ARCH=arm64 go test -count=1 -timeout 3h -v -tags lab -run 'InMachine' ./device/lab

.PHONY: lab
lab: ## Fetch what the virtual machine needs
	device/lab/setup.sh

.PHONY: lint
lint: need-build need-lint $(GOLANGCI_LINT) ## Static checks of Go and shell
	$(GOLANGCI_LINT) run --build-tags system,lab,labguest,deb,image ./...
	go mod tidy -diff
	shellcheck $$(git ls-files '*.sh') .ci/run

$(GOLANGCI_LINT):
	@echo "building golangci-lint $(GOLANGCI_LINT_VERSION), once; takes some minutes" >&2
	mkdir -p $(CACHE)/tools/build
	GOBIN=$(CACHE)/tools/build go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	mv $(CACHE)/tools/build/golangci-lint $@

.PHONY: fmt
fmt: $(GOLANGCI_LINT) ## Format the Go code
	$(GOLANGCI_LINT) fmt ./...

.PHONY: bench
bench: need-build ## Cost of passing one picture to many viewers, next to the least it can cost
	go run ./packaging/bench

.PHONY: bench-go
bench-go: need-build ## Go benchmarks, in a form benchstat reads
	go test -run '^$$' -bench . -benchmem $(PKG)

.PHONY: fuzz
fuzz: need-build ## Fuzz every parser, FUZZTIME=20s each (FUZZ=REGEXP: those whose "folder Name" matches)
	packaging/fuzz.sh $(FUZZTIME) '$(FUZZ)'

.PHONY: soak
soak: need-build ## Clients and faults at random for SOAK_TIME=2m (SOAK_SEED=N repeats a run): does anything grow?
	go run ./packaging/soak -time $(SOAK_TIME) $(if $(SOAK_SEED),-seed $(SOAK_SEED))

.PHONY: vuln
vuln: $(GOVULNCHECK) ## Look for known faults in the modules (VULN_REQUIRED=1: fail without the list, GOVULNDB: where it is)
	packaging/vuln.sh $(GOVULNCHECK)

$(GOVULNCHECK):
	@echo "building govulncheck $(GOVULNCHECK_VERSION), once" >&2
	mkdir -p $(CACHE)/tools/build
	GOBIN=$(CACHE)/tools/build go install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)
	mv $(CACHE)/tools/build/govulncheck $@

ARCH ?= $(shell dpkg --print-architecture 2>/dev/null || echo arm64)
PACKAGES_DEB_arm64 := $(PACKAGES_ARM64)
PACKAGES_DEB_armhf := gcc-arm-linux-gnueabihf libc6-dev-armhf-cross
PACKAGES_APT := apt-utils gnupg
PACKAGES_TEST_DEB := $(PACKAGES_APT) lintian mmdebstrap systemd-container
PACKAGES_TEST_DEB_FULL := $(PACKAGES_DEB_arm64) $(PACKAGES_DEB_armhf) qemu-system-x86 qemu-system-arm qemu-utils e2fsprogs cpio \
  kmod busybox-static

.PHONY: deb
deb: need-build ## Build the Debian package for ARCH=arm64, amd64 or armhf into bin/deb
	@$(NEED) $(PACKAGES_DEB_$(ARCH))
	packaging/deb/build.sh $(ARCH) bin/deb

.PHONY: apt-repo
apt-repo: ## Add the packages in bin/deb to the signed apt repository bin/apt (APT_KEY=FINGERPRINT, APT_URL=where it will be)
	@$(NEED) $(PACKAGES_APT)
	packaging/apt/build.sh bin/deb bin/apt

.PHONY: test-deb
test-deb: need-build ## The amd64 package in a booted Debian, as root (DEB_FULL=1: all suites and architectures, faults, cameras, power failures; an hour)
	@$(NEED) $(PACKAGES_TEST_DEB) $(if $(DEB_FULL),$(PACKAGES_TEST_DEB_FULL))
	go test -count=1 -timeout 3h -v -tags deb ./packaging/machine

PACKAGES_IMAGE := $(PACKAGES_ARM64) mmdebstrap arch-test dosfstools mtools fdisk e2fsprogs xz-utils binfmt-support
PACKAGES_TEST_IMAGE := qemu-system-arm qemu-utils
IMAGE_RUN ?= .

.PHONY: image
image: need-build ## Build the image for the card into bin/image
	@$(NEED) $(PACKAGES_IMAGE)
	@packaging/sysroot.sh $(SYSROOT_ARM64) arm64
	packaging/image/build.sh bin/image

.PHONY: test-image
test-image: need-build ## Boot the image in emulated computers (IMAGE=FILE: that one; IMAGE_FULL=1: 20 power failures; IMAGE_RUN=REGEXP: some tests)
	@$(NEED) $(PACKAGES_IMAGE) $(PACKAGES_TEST_IMAGE)
	go test -count=1 -timeout 3h -v -tags image -run '$(IMAGE_RUN)' ./packaging/image

.PHONY: test-image-changed
test-image-changed: ## A short choice of these tests, when what the image is made of changed since they passed
	packaging/image/ci.sh

.PHONY: clean
clean: ## Remove what was built (downloaded tools stay, in ~/.cache/webgear)
	rm -rf bin
	go clean -testcache

.PHONY: need-build need-arm64 need-system need-lint
need-build:
	@$(NEED) $(PACKAGES_BUILD)
need-arm64:
	@$(NEED) $(PACKAGES_ARM64)
	@packaging/sysroot.sh $(SYSROOT_ARM64) arm64
need-system:
	@$(NEED) $(PACKAGES_SYSTEM)
need-lint:
	@$(NEED) $(PACKAGES_LINT)
