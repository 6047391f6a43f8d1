# p2pmusic: what to make, see README.md.
#
#   make demo      install what is missing, build, and show a whole swarm
#   make test      install what is missing and run every test
#   make check     format, lints, tests, documentation
#   make bench     print the figures: first sound, memory, bytes moved, a tracker under load
#   make fuzz      feed every decoder hostile bytes, FUZZ_SECONDS=60 each
#   make sim       5,000 simulated swarms of each kind: SEEDS=5000, or SEED=7 for one
#   make soak      a week in an hour: MINUTES=30 of all that happens to nodes
#   make cross     for another machine: TARGET=aarch64-unknown-linux-gnu, or armv7-unknown-linux-gnueabihf
#   make cross-test  what is built for a Raspberry Pi, in a swarm with this machine, under qemu
#   make deb       a package for Debian and Raspberry Pi OS, TARGET=… as for cross
#   make packages  those for amd64, arm64 and armhf, and an apt repository of them in dist/apt,
#                  which is signed with SIGN_KEY=…, a key that gpg has
#   make system-test  install that into Debians that boot, one and then three, and use it:
#                  SUITE=trixie for 13
#   make install   into $(DESTDIR)$(PREFIX)

PREFIX ?= /usr/local
CARGO ?= cargo
RUSTC ?= rustc
SUDO = $(if $(filter 0,$(shell id -u)),,sudo)

# What the build links against, and what the demo and the tests play with.
BUILD_PACKAGES = build-essential pkg-config libasound2-dev
DEMO_PACKAGES = $(BUILD_PACKAGES) ffmpeg
TEST_PACKAGES = $(DEMO_PACKAGES) mpc iproute2 pulseaudio libasound2-plugins faketime systemd \
    avahi-daemon avahi-utils dbus nftables uidmap acl

# What a build for another machine takes from Debian: a compiler, and the library of its
# architecture. Another distribution can use `cross`, which brings its own: CROSS=cross.
CROSS_TARGET = $(or $(TARGET),aarch64-unknown-linux-gnu)
CROSS_PROFILE = $(or $(PROFILE),release)
CROSS_ARCH = $(CROSS_ARCH_$(CROSS_TARGET))
CROSS_ARCH_aarch64-unknown-linux-gnu = arm64
CROSS_ARCH_armv7-unknown-linux-gnueabihf = armhf
CROSS_GNU = $(CROSS_GNU_$(CROSS_ARCH))
CROSS_GNU_arm64 = aarch64-linux-gnu
CROSS_GNU_armhf = arm-linux-gnueabihf
CROSS_PACKAGES = build-essential pkg-config gcc-$(CROSS_GNU) libc6-dev-$(CROSS_ARCH)-cross \
    libasound2-dev:$(CROSS_ARCH)
CROSS_TEST_PACKAGES = $(CROSS_PACKAGES) ffmpeg qemu-user-static
CROSS_QEMU = $(CROSS_QEMU_$(CROSS_ARCH))
CROSS_QEMU_arm64 = qemu-aarch64-static
CROSS_QEMU_armhf = qemu-arm-static

# What `make cross-test` tries, and which of the library's own tests, by name: all of them have
# a `::`. None if this is empty.
TARGETS ?= aarch64-unknown-linux-gnu armv7-unknown-linux-gnueabihf
CROSS_ROOMS = ::

# What makes a package, and what boots a Debian to install it into.
DEB_PACKAGES = dpkg-dev
REPOSITORY_PACKAGES = $(DEB_PACKAGES) apt-utils gpg
SYSTEM_TEST_PACKAGES = debootstrap systemd-container iproute2

BINARY = target/release/p2pmusic
SOURCES = $(shell find src -name '*.rs') Cargo.toml Cargo.lock

# How long each fuzz target runs, and what one input may cost it.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS = $(notdir $(basename $(wildcard fuzz/fuzz_targets/*.rs)))
FUZZ_LIMITS = -max_total_time=$(FUZZ_SECONDS) -timeout=20 -rss_limit_mb=1024 \
    -malloc_limit_mb=256 -max_len=16384

.PHONY: all toolchain deps deps-demo deps-test deps-cross deps-cross-test deps-deb build demo test check lint bench fuzz sim \
    soak cross cross-known cross-test cross-rooms cross-swarm deb packages system-test install uninstall clean

all: build

# Asked for before anything is installed, since Debian's own is older. A checkout has git's
# time in what is built from it.
RUST_NEEDED = $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
toolchain:
	@if test -e .git && ! command -v git >/dev/null; then \
	    echo "git is missing: sudo apt install git"; exit 1; \
	fi; \
	for tool in $(CARGO) $(RUSTC); do \
	    version=$$($$tool --version 2>/dev/null | sed -n 's/^[a-z]* \([0-9][0-9.]*\).*/\1/p'); \
	    if test -n "$$version" && printf '%s\n' $(RUST_NEEDED) $$version | sort -V -C; then \
	        continue; \
	    fi; \
	    echo "Rust $(RUST_NEEDED) or newer is needed; $${version:-no $$tool} is here. Debian's packages"; \
	    echo "of it are older: take rustup, which needs no root (https://rustup.rs), then open a new"; \
	    echo "shell and say it again. Nothing has been installed or changed."; \
	    exit 1; \
	done

# An index that cannot be refreshed (a foreign architecture's, say) is no
# reason to stop: whether the packages can be had is what counts. A package of a
# foreign architecture is named with it, and does not count as one of this machine's.
# Where the network swallows everything, apt alone would try for many minutes; what is
# being unpacked is never broken off.
APT_SECONDS ?= 900
APT_INSTALL = apt-get install -y --no-install-recommends --no-remove
define install_packages
	@native=$$(dpkg --print-architecture); \
	missing=$$(for p in $(1); do \
	    arch=$${p#*:}; test $$arch != $$p || arch=$$native; \
	    dpkg-query -W -f='$${Status} $${Architecture}\n' $$p 2>/dev/null | \
	        grep -Eq "ok installed ($$arch|all)" || echo $$p; \
	done); \
	if [ -n "$$missing" ]; then \
	    echo "Installing from Debian:" $$missing; \
	    $(SUDO) timeout $(APT_SECONDS) apt-get update || \
	        echo "(not every package list could be refreshed; going on)"; \
	    $(SUDO) timeout $(APT_SECONDS) $(APT_INSTALL) --download-only $$missing || { \
	        echo "They cannot be had from Debian (or not within $(APT_SECONDS) s)."; exit 1; }; \
	    $(SUDO) env DEBIAN_FRONTEND=noninteractive $(APT_INSTALL) $$missing; \
	fi
endef

deps: toolchain
	$(call install_packages,$(BUILD_PACKAGES))
deps-demo: toolchain
	$(call install_packages,$(DEMO_PACKAGES))
deps-test: toolchain
	$(call install_packages,$(TEST_PACKAGES))

$(BINARY): $(SOURCES)
	$(CARGO) build --release --locked

build: deps
	$(MAKE) $(BINARY)

demo: deps-demo
	$(MAKE) $(BINARY)
	$(BINARY) demo

test: deps-test
	@# With the door open, what fuzzing has found is tried as well.
	tests/report $(CARGO) test --locked --features door --no-fail-fast

lint: deps
	$(CARGO) fmt --check
	$(CARGO) clippy --locked -- -D warnings
	$(CARGO) clippy --locked --all-targets --features door -- -D warnings

check: lint test
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items

# Every law of the simulation with many seeds; a failure prints its own. Optimised, which
# takes longer to build and is ten times as fast.
SEEDS ?= 5000
sim: deps
	CARGO_PROFILE_TEST_OPT_LEVEL=2 $(if $(SEED),P2PMUSIC_SEED=$(SEED),P2PMUSIC_SEEDS=$(SEEDS)) \
	    $(CARGO) test --locked --lib sim::tests

# The sanitizers want a nightly compiler, or a stable one that is told so.
# What is found lies in fuzz/artifacts.
fuzz: deps
	command -v cargo-fuzz >/dev/null || $(CARGO) install --locked cargo-fuzz
	for target in $(FUZZ_TARGETS); do \
	    mkdir -p fuzz/corpus/$$target && \
	    RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run $$target fuzz/corpus/$$target \
	        $$(fuzz/seeds.sh $$target) -- $(FUZZ_LIMITS) || exit 1; \
	done

bench: deps-test
	$(MAKE) $(BINARY)
	$(CARGO) bench --locked --features door --bench first_sound --bench swarm --bench footprint --bench mpd --bench tracker --bench house
	@# The benches' binary has a feature more than what is installed.
	$(CARGO) build --release --locked

MINUTES ?= 30
soak: deps-test
	$(MAKE) $(BINARY)
	MINUTES=$(MINUTES) $(CARGO) test --locked --release --test soak -- --ignored --nocapture

# For another machine. `cross` would look for Cross.toml if it were not told.
CROSS_BUILD = build --locked --profile $(CROSS_PROFILE) --target $(CROSS_TARGET)
ifneq ($(CROSS),)
cross:
	CROSS_CONFIG=cross.toml $(CROSS) $(CROSS_BUILD)
else
cross: deps-cross
	$(CROSS_ENV) $(CARGO) $(CROSS_BUILD)
endif

# All of it by target, so that what cargo builds for this machine stays as it is.
CROSS_ENV = $(call cross_env,$(CROSS_GNU),$(subst -,_,$(CROSS_TARGET)))
cross_env = CC_$(2)=$(1)-gcc AR_$(2)=$(1)-ar \
    CARGO_TARGET_$(call upper,$(2))_LINKER=$(1)-gcc \
    CARGO_TARGET_$(call upper,$(2))_RUNNER=$(CROSS_QEMU) \
    PKG_CONFIG_ALLOW_CROSS_$(2)=1 PKG_CONFIG_LIBDIR_$(2)=/usr/lib/$(1)/pkgconfig
upper = $(shell echo $(1) | tr a-z A-Z)

deps-cross: cross-known
	$(call install_packages,$(CROSS_PACKAGES))
	@test -d "$$($(RUSTC) --print sysroot)/lib/rustlib/$(CROSS_TARGET)" || \
	    if command -v rustup >/dev/null; then rustup target add $(CROSS_TARGET); else \
	        echo "Rust's standard library for $(CROSS_TARGET) is missing, and rustup, which brings it, is not here."; \
	        exit 1; \
	    fi
deps-cross-test: deps-cross
	$(call install_packages,$(CROSS_TEST_PACKAGES))
	@# A program of that machine must find its own C library here.
	@$(CROSS_QEMU) /usr/lib/$(CROSS_GNU)/libc.so.6 >/dev/null

cross-known: toolchain
	@case "$(CROSS_TARGET)" in \
	aarch64-unknown-linux-gnu|armv7-unknown-linux-gnueabihf) ;; \
	arm-unknown-linux-gnueabihf) \
	    echo "Debian's compiler and C library for armhf make ARMv7 code, which a Pi Zero or 1 (ARMv6) cannot run."; \
	    echo "The tool cross brings others: cargo install cross, then make cross CROSS=cross TARGET=$(CROSS_TARGET)"; \
	    exit 1 ;; \
	*) \
	    echo "$(CROSS_TARGET) is not known here: TARGET=aarch64-unknown-linux-gnu or armv7-unknown-linux-gnueabihf"; \
	    exit 1 ;; \
	esac; \
	{ dpkg --print-architecture; dpkg --print-foreign-architectures; } | grep -qx $(CROSS_ARCH) || { \
	    echo "Adding the architecture $(CROSS_ARCH) to dpkg"; \
	    $(SUDO) dpkg --add-architecture $(CROSS_ARCH); }

# What cannot be had on this machine is left out, and said; what can be had must be built and pass.
cross-test: deps-test
	@tried=""; for target in $(TARGETS); do \
	    if $(MAKE) -s deps-cross-test TARGET=$$target; then \
	        $(MAKE) cross $(if $(CROSS_ROOMS),cross-rooms) TARGET=$$target || exit 1; \
	        tried="$$tried $$target"; \
	    else \
	        echo "cross-test: $$target is LEFT OUT, what it needs cannot be had (see above)"; \
	    fi; \
	done; \
	test -z "$$tried" || $(MAKE) cross-swarm TARGETS="$$tried"

# With few cases each, since every instruction is translated; with one seed only, some tests
# would have nothing to look at. Left out is what starts its own file once more: the kernel
# would have to run that, and without binfmt_misc it cannot.
cross-rooms:
	$(CROSS_ENV) P2PMUSIC_SEEDS=2 PROPTEST_CASES=16 $(CARGO) test --locked --lib --target $(CROSS_TARGET) -- \
	    $(CROSS_ROOMS) --skip one_seed_gives_the_same_run_in_every_process

# Those tests that need no machine but these; with the door open, as `make test` builds them.
cross-swarm:
	$(foreach target,$(TARGETS),$(call cross_runner,$(target))) \
	    $(CARGO) test --locked --features door --test cross -- --ignored \
	    $(if $(filter aarch64-%,$(TARGETS)),,--skip 64_bit_pi) \
	    $(if $(filter armv7-%,$(TARGETS)),,--skip 32_bit_pi)
cross_runner = P2PMUSIC_$(call upper,$(CROSS_ARCH_$(1)))="$(CROSS_QEMU_$(CROSS_ARCH_$(1))) \
    $(or $(CARGO_TARGET_DIR),target)/$(1)/$(CROSS_PROFILE:dev=debug)/p2pmusic"

# Manual pages and completions, as they lie in $(PREFIX)/share. The binary makes them: this
# machine's own, also for a package for another.
SHARE = target/share
$(SHARE): $(BINARY)
	rm -rf $@
	$(BINARY) manual $@/man/man1
	mkdir -p $@/bash-completion/completions $@/zsh/site-functions $@/fish/vendor_completions.d
	$(BINARY) completions bash > $@/bash-completion/completions/p2pmusic
	$(BINARY) completions zsh > $@/zsh/site-functions/_p2pmusic
	$(BINARY) completions fish > $@/fish/vendor_completions.d/p2pmusic.fish

deps-deb: $(if $(TARGET),cross,deps)
	$(call install_packages,$(DEB_PACKAGES))

# Its times are those of the last commit, so that the same sources make the same package.
DEB_REVISION ?= 1
DEB_DIR ?= target/debian
DEB_ARCH = $(if $(TARGET),$(CROSS_ARCH),$(shell dpkg --print-architecture))
DEB_VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)-$(DEB_REVISION)
DEB_BINARY = target/$(if $(TARGET),$(TARGET)/)release/p2pmusic
DEB_EPOCH = $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null),$(shell date +%s))
deb: deps-deb
	$(MAKE) $(BINARY)
	$(MAKE) $(SHARE)
	command -v cargo-deb >/dev/null || $(CARGO) install --locked cargo-deb
	printf 'p2pmusic (%s) stable; urgency=medium\n\n  * See changelog.gz.\n\n -- %s  %s\n' \
	    '$(DEB_VERSION)' "$$(sed -n 's/^maintainer = "\(.*\)"/\1/p' Cargo.toml)" \
	    "$$(date -u -R -d @$(DEB_EPOCH))" > $(SHARE)/debian-changelog
	systemd/deb/licenses $(or $(TARGET),$$($(RUSTC) -vV | sed -n 's/^host: //p')) > $(SHARE)/licenses
	gzip -9nf $(SHARE)/licenses
	mkdir -p $(DEB_DIR)
	SOURCE_DATE_EPOCH=$(DEB_EPOCH) $(CARGO) deb --no-build --no-strip --output $(DEB_DIR)/ \
	    --deb-revision $(DEB_REVISION) $(if $(TARGET),--target $(TARGET)) \
	    $(if $(filter armhf,$(DEB_ARCH)),--variant armhf,$$( \
	        grep -q GLIBC_ABI_DT_RELR $(DEB_BINARY) && echo --variant packed))

# What cannot be built here is left out, and said; what can be built must be.
PACKAGE_TARGETS = x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu armv7-unknown-linux-gnueabihf
packages: deps
	$(call install_packages,$(REPOSITORY_PACKAGES))
	@rm -rf dist/apt; mkdir -p dist/apt
	@host=$$($(RUSTC) -vV | sed -n 's/^host: //p'); left_out=""; \
	for target in $$host $(PACKAGE_TARGETS); do \
	    if test $$target = $$host; then foreign=; else foreign=TARGET=$$target; fi; \
	    case " $$tried " in *" $$target "*) continue ;; esac; tried="$$tried $$target"; \
	    if test -n "$$foreign" && ! $(MAKE) --no-print-directory deps-cross $$foreign; then \
	        left_out="$$left_out $$target"; continue; \
	    fi; \
	    $(MAKE) --no-print-directory deb DEB_DIR=dist/apt $$foreign || exit 1; \
	done; \
	systemd/deb/repository dist/apt $(SIGN_KEY) || exit 1; \
	for target in $$left_out; do \
	    echo "packages: $$target is LEFT OUT, what it needs cannot be had (see above)"; \
	done

# Minutes, and root: not part of `make test`.
system-test: deb
	$(call install_packages,$(SYSTEM_TEST_PACKAGES))
	$(SUDO) tests/system/run $(or $(SUITE),bookworm)
	$(SUDO) tests/system/house $(or $(SUITE),bookworm)

# Files that name where the others lie, for $(PREFIX).
relocate = sed 's|/usr/bin/p2pmusic|$(PREFIX)/bin/p2pmusic|; s|/usr/share|$(PREFIX)/share|'

# Into a package (DESTDIR) goes what makes the user; on a machine the user is made.
install: $(BINARY) $(SHARE)
	install -D -m 0755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/p2pmusic
	test -e $(DESTDIR)/etc/p2pmusic.toml || \
	    install -D -m 0644 etc/p2pmusic.toml $(DESTDIR)/etc/p2pmusic.toml
	install -D -m 0644 etc/p2pmusic.toml $(DESTDIR)$(PREFIX)/share/p2pmusic/p2pmusic.toml
	cd $(SHARE) && find man bash-completion zsh fish -type f \
	    -exec install -D -m 0644 {} $(abspath $(DESTDIR)$(PREFIX))/share/{} \;
	install -d $(DESTDIR)$(PREFIX)/share/p2pmusic $(DESTDIR)/etc/systemd/system
	$(relocate) systemd/p2pmusic.service > $(DESTDIR)/etc/systemd/system/p2pmusic.service
	$(relocate) systemd/p2pmusic.service.d/tracker.conf \
	    > $(DESTDIR)$(PREFIX)/share/p2pmusic/tracker.conf
	install -D -m 0644 systemd/p2pmusic.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/p2pmusic.conf
	test -n "$(DESTDIR)" || systemd-sysusers $(PREFIX)/lib/sysusers.d/p2pmusic.conf || \
	    echo "The service needs its user: sudo useradd --system --user-group --no-create-home" \
	        "--home-dir /var/lib/p2pmusic --shell /usr/sbin/nologin --groups audio p2pmusic"

# The user stays: what it owns would belong to whoever gets its number next.
uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/p2pmusic $(DESTDIR)$(PREFIX)/share/p2pmusic/tracker.conf \
	    $(DESTDIR)$(PREFIX)/share/p2pmusic/p2pmusic.toml \
	    $(DESTDIR)$(PREFIX)/lib/sysusers.d/p2pmusic.conf \
	    $(DESTDIR)/etc/systemd/system/p2pmusic.service
	share=$(DESTDIR)$(PREFIX)/share; rm -f $$share/man/man1/p2pmusic.1 \
	    $$share/man/man1/p2pmusic-*.1 $$share/bash-completion/completions/p2pmusic \
	    $$share/zsh/site-functions/_p2pmusic $$share/fish/vendor_completions.d/p2pmusic.fish

clean:
	$(CARGO) clean
