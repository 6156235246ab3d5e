# SPDX-License-Identifier: Apache-2.0
# The front door; Meson does the work. `make` builds, `make help` lists what else there is.
BUILD ?= build
PREFIX ?= /usr/local
MESON_OPTIONS ?=

.PHONY: all help demo check install uninstall fuzz bench format clean deps-build deps-check
all: deps-build $(BUILD)/build.ninja
	ninja -C $(BUILD) $(NINJA_FLAGS)

help:
	@echo 'make           build ($(BUILD)/src/cli/coppice)'
	@echo 'make demo      dump and restore a real program, step by step'
	@echo 'make check     all tests; ends with "N passed, N failed"'
	@echo 'make install   into PREFIX (now $(PREFIX)), DESTDIR is honoured'
	@echo 'make bench     speed, as ratios measured in one run'
	@echo 'make fuzz      fuzzers of every reader, FUZZ_SECONDS each'
	@echo 'make format    clang-format over all sources'

deps-build:
	@ci/install build

deps-check:
	@ci/install build demo check

$(BUILD)/build.ninja:
	meson setup $(BUILD) --prefix=$(PREFIX) $(MESON_OPTIONS) >/dev/null

demo:
	@ci/install build demo
	@$(MAKE) --no-print-directory -s all NINJA_FLAGS=--quiet
	@test/demo/run $(BUILD)/src/cli/coppice

check: deps-check
	@$(MAKE) --no-print-directory -s all NINJA_FLAGS=--quiet
	@ci/check $(BUILD)

# A PREFIX that is given holds, also where the build was set up with another.
install: deps-build $(BUILD)/build.ninja
	$(if $(filter file,$(origin PREFIX)),,meson configure $(BUILD) -Dprefix=$(PREFIX))
	ninja -C $(BUILD) $(NINJA_FLAGS)
	meson install -C $(BUILD) --no-rebuild

uninstall:
	ninja -C $(BUILD) uninstall

bench: deps-check all
	bench/run $(BUILD)

fuzz: deps-check
	ci/fuzz

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

clean:
	rm -rf $(BUILD)
