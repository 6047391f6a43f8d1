# p2pmusic: what to make, see README.md.
#
#   make demo      install what is missing, build, and show a whole swarm
#   make test      install what is missing and run every test
#   make check     format, lints, tests, documentation
#   make bench     print the figures: first sound, memory, bytes moved, a tracker under load
#   make fuzz      feed every decoder hostile bytes, FUZZ_SECONDS=60 each
#   make sim       5,000 simulated swarms of each kind: SEEDS=5000, or SEED=7 for one
#   make soak      a week in an hour: MINUTES=30 of all that happens to nodes
#   make install   into $(DESTDIR)$(PREFIX)

PREFIX ?= /usr/local
CARGO ?= cargo
SUDO = $(if $(filter 0,$(shell id -u)),,sudo)

# What the build links against, and what the demo and the tests play with.
BUILD_PACKAGES = build-essential pkg-config libasound2-dev
DEMO_PACKAGES = $(BUILD_PACKAGES) ffmpeg
TEST_PACKAGES = $(DEMO_PACKAGES) mpc iproute2 pulseaudio libasound2-plugins faketime systemd \
    avahi-daemon avahi-utils dbus

BINARY = target/release/p2pmusic
SOURCES = $(shell find src -name '*.rs') Cargo.toml Cargo.lock

# How long each fuzz target runs, and what one input may cost it.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS = $(notdir $(basename $(wildcard fuzz/fuzz_targets/*.rs)))
FUZZ_LIMITS = -max_total_time=$(FUZZ_SECONDS) -timeout=20 -rss_limit_mb=1024 \
    -malloc_limit_mb=256 -max_len=16384

.PHONY: all deps deps-demo deps-test build demo test check lint bench fuzz sim soak \
    install uninstall clean

all: build

# An index that cannot be refreshed (a foreign architecture's, say) is no
# reason to stop: whether the packages can be had is what counts.
define install_packages
	@missing=$$(for p in $(1); do \
	    dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; \
	done); \
	if [ -n "$$missing" ]; then \
	    echo "Installing from Debian:" $$missing; \
	    $(SUDO) apt-get update -q >/dev/null 2>&1 || echo "(not every package list could be refreshed; going on)"; \
	    $(SUDO) env DEBIAN_FRONTEND=noninteractive \
	        apt-get install -q -y --no-install-recommends $$missing >/dev/null; \
	fi
endef

deps:
	$(call install_packages,$(BUILD_PACKAGES))
deps-demo:
	$(call install_packages,$(DEMO_PACKAGES))
deps-test:
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
	$(CARGO) test --locked --features door

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
	$(CARGO) bench --locked --features door --bench first_sound --bench swarm --bench footprint --bench tracker --bench house
	@# The benches' binary has a feature more than what is installed.
	$(CARGO) build --release --locked

MINUTES ?= 30
soak: deps-test
	$(MAKE) $(BINARY)
	MINUTES=$(MINUTES) $(CARGO) test --locked --release --test soak -- --ignored --nocapture

# Files that name where the others lie, for $(PREFIX).
relocate = sed 's|/usr/bin/p2pmusic|$(PREFIX)/bin/p2pmusic|; s|/usr/share|$(PREFIX)/share|'

# Into a package (DESTDIR) goes what makes the user; on a machine the user is made.
install: $(BINARY)
	install -D -m 0755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/p2pmusic
	test -e $(DESTDIR)/etc/p2pmusic.toml || \
	    install -D -m 0644 etc/p2pmusic.toml $(DESTDIR)/etc/p2pmusic.toml
	install -d $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/p2pmusic \
	    $(DESTDIR)/etc/systemd/system
	$(BINARY) manual > $(DESTDIR)$(PREFIX)/share/man/man1/p2pmusic.1
	$(relocate) systemd/p2pmusic.service > $(DESTDIR)/etc/systemd/system/p2pmusic.service
	$(relocate) systemd/p2pmusic.service.d/tracker.conf \
	    > $(DESTDIR)$(PREFIX)/share/p2pmusic/tracker.conf
	install -D -m 0644 systemd/p2pmusic.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/p2pmusic.conf
	test -n "$(DESTDIR)" || systemd-sysusers $(PREFIX)/lib/sysusers.d/p2pmusic.conf || \
	    echo "The service needs its user: sudo useradd --system --user-group --no-create-home" \
	        "--home-dir /var/lib/p2pmusic --shell /usr/sbin/nologin --groups audio p2pmusic"

# The user stays: what it owns would belong to whoever gets its number next.
uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/p2pmusic $(DESTDIR)$(PREFIX)/share/man/man1/p2pmusic.1 \
	    $(DESTDIR)$(PREFIX)/share/p2pmusic/tracker.conf \
	    $(DESTDIR)$(PREFIX)/lib/sysusers.d/p2pmusic.conf \
	    $(DESTDIR)/etc/systemd/system/p2pmusic.service

clean:
	$(CARGO) clean
