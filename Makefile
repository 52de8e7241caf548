# SPDX-License-Identifier: BSD-2-Clause
# tarn: one make, one dependency graph. `make help` lists the targets.
.DEFAULT_GOAL := all
MAKEFLAGS     += --no-builtin-rules --no-print-directory
.DELETE_ON_ERROR:
.SECONDARY:
.SECONDEXPANSION:
VERSION   := $(shell sed -n 's/^.define TARN_VERSION "\(.*\)"/\1/p' include/tarn/version.h)
SOVERSION := $(firstword $(subst ., ,$(VERSION)))
PREFIX     ?= /usr/local
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR     ?= $(PREFIX)/share/man
CC         := $(if $(filter default,$(origin CC)),gcc,$(CC))
CXX        ?= g++
PKG_CONFIG ?= pkg-config

# SAN=asan|tsan, DEBUG=1 (assertions) and CC=clang build in trees of their own.
empty      :=
comma      := ,
VARIANT    := $(subst $(empty) ,-,$(strip $(SAN) $(if $(filter 1,$(DEBUG)),debug) $(findstring clang,$(CC))))
BUILD      ?= build$(addprefix /,$(VARIANT))
SAN_asan   := -fsanitize=address,undefined -fno-sanitize-recover=undefined \
              -fno-omit-frame-pointer -DTN_DEBUG
SAN_fuzz   := $(SAN_asan) -fsanitize=fuzzer-no-link
SAN_cov    := --coverage -fprofile-update=atomic -O0
SAN_tsan   := -fsanitize=thread $(if $(findstring clang,$(CC)),,-Wno-tsan)
CFLAGS     ?= -O2 -g
WARN       := -Wall -Wextra -Wshadow -Wundef -Wvla -Wpointer-arith -Wcast-align \
              -Wstrict-prototypes -Wmissing-prototypes $(if $(WERROR),-Werror)
# -mcx16: pool/ changes two words at once, which arm64 can do without asking.
MACHINE    := $(if $(filter x86_64,$(shell uname -m)),-mcx16)
ALL_CFLAGS  = -std=gnu17 -D_GNU_SOURCE -I. -Iinclude -pthread -fPIC -fno-common \
              -fvisibility=hidden $(MACHINE) $(WARN) $(if $(SAN),$(SAN_$(SAN))) \
              $(if $(filter 1,$(DEBUG)),-DTN_DEBUG) $(CFLAGS)

# Asked on first use and once, so that `make deps` may install pkg-config itself.
pkg = $(if $(shell $(PKG_CONFIG) --exists $(2) 2>&1 || echo no),$(error \
      $(PKG_CONFIG) cannot find all of: $(2); run `make deps` first))$(shell $(PKG_CONFIG) $(1) $(2))
once = $(eval $(1) := $(2))$(2)
DAEMON_PKGS   := libevent_core libsystemd inih
DAEMON_CFLAGS  = $(call once,DAEMON_CFLAGS,$(call pkg,--cflags,$(DAEMON_PKGS)))
DAEMON_LIBS    = $(call once,DAEMON_LIBS,$(call pkg,--libs,$(DAEMON_PKGS)))
CMOCKA_LIBS    = $(call once,CMOCKA_LIBS,$(call pkg,--libs,cmocka))
TABLE_CFLAGS   = $(call once,TABLE_CFLAGS,$(call pkg,--cflags,smartcols))
TABLE_LIBS     = $(call once,TABLE_LIBS,$(call pkg,--libs,smartcols))
BENCH_LIBS    ?= -ldl -lm
SO_LIBS        = -L$(BUILD) -ltarn -Wl,-rpath,'$$ORIGIN/../..'
Q   := $(if $(filter 1,$(V)),,@)
say  = $(if $(Q),@printf '  %-5s %s\n' '$(1)' '$(2)';)

# A folder is a component: drop a .c into it and it is built. In tools/ and
# examples/ a .c is a program, and so is a subfolder.
objs  = $(patsubst %.c,$(BUILD)/obj/%.o,$(sort $(wildcard $(addsuffix /*.c,$(1)))))
progs = $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard $(1))))
LIB_OBJS    := $(call objs,proto pool audit client)
MALLOC_OBJS := $(call objs,malloc)
DAEMON_OBJS := $(call objs,daemon)
PROGS       := $(call progs,tools/*.c examples/*.c)
DIR_PROGS   := $(patsubst %/,$(BUILD)/%,$(sort $(dir $(wildcard tools/*/*.c examples/*/*.c))))
BENCH       := $(BUILD)/bench/bench
# Of other makers' heaps in C++, those whose headers are here; `make bench` sees to that.
ICEORYX     := $(firstword $(wildcard /usr/include/iceoryx/v*))
PEERS        = $(if $(wildcard /usr/include/boost/interprocess),$(BUILD)/bench/peer_boost.so) \
               $(if $(ICEORYX),$(BUILD)/bench/peer_iceoryx.so)
SO_TESTS    := $(call progs,tests/abi/test_so_*.c)
# What boots a machine: a script, and the client it takes along.
MACHINES    := $(wildcard $(CURDIR)/tests/container/test_*)
MACHINE_CLIENT := $(BUILD)/tests/container/client
FAIRNESS    := $(BUILD)/tests/fairness/fairness
FUZZERS     := $(call progs,tests/fuzz/fuzz_*.c)
REPLAYS     := $(subst /fuzz_,/replay_,$(FUZZERS))
TESTS       := $(filter-out $(SO_TESTS),$(foreach k,unit abi system malloc stress crash fault, \
               $(call progs,tests/$(k)/test_*.c)))

all: lib daemon $(PROGS) $(DIR_PROGS)         ## build everything but tests and benchmarks
lib: $(BUILD)/libtarn.a $(BUILD)/libtarn.so $(BUILD)/libtarn-malloc.so
daemon: $(BUILD)/tarnd
tests: $(TESTS) $(SO_TESTS) $(REPLAYS) $(BUILD)/tests/fault/inject.so $(BUILD)/tests/fuzz/live_fuzz \
       $(BENCH) $(MACHINE_CLIENT)
benches: $(BENCH) $(PEERS)

$(LIB_OBJS) $(MALLOC_OBJS): ALL_CFLAGS += -ftls-model=initial-exec -fno-semantic-interposition
# What the compiler knows of malloc() is not true inside of it.
$(MALLOC_OBJS): ALL_CFLAGS += $(addprefix -fno-builtin-,malloc calloc realloc free)
$(BUILD)/obj/daemon/%.o: ALL_CFLAGS += -DTN_DAEMON -DTN_VERSION=\"$(VERSION)\" $(DAEMON_CFLAGS)
$(BUILD)/obj/tools/tarnctl/%.o: ALL_CFLAGS += $(TABLE_CFLAGS)
$(BUILD)/obj/tests/%.o: ALL_CFLAGS += $(DAEMON_CFLAGS)
$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/libtarn.a: $(LIB_OBJS)
$(BUILD)/libtarnd.a: $(filter-out %/main.o,$(DAEMON_OBJS))
$(BUILD)/libtest.a: $(call objs,tests/lib)
$(BUILD)/%.a:
	$(call say,AR,$@)
	$(Q)mkdir -p $(@D) && rm -f $@ && $(AR) rcs $@ $^

# -z now: looking a symbol up on first use would take the loader's lock.
SO_FLAGS := -shared -Wl,-soname,libtarn.so.$(SOVERSION),--version-script=client/libtarn.map \
            -Wl,-Bsymbolic-functions,-z,now,-z,nodelete$(if $(SAN),,$(comma)-z$(comma)defs)
MALLOC_SO_FLAGS := -Wl,-soname,libtarn-malloc.so,--version-script=malloc/libtarn-malloc.map \
                   -Wl,-Bsymbolic-functions,-z,now,-z,nodelete$(if $(SAN),,$(comma)-z$(comma)defs)
$(BUILD)/libtarn.so.$(VERSION): $(LIB_OBJS) client/libtarn.map
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $(SO_FLAGS) $(LIB_OBJS) -o $@
$(BUILD)/libtarn-malloc.so: $(MALLOC_OBJS) $(LIB_OBJS) malloc/libtarn-malloc.map
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -shared $(MALLOC_SO_FLAGS) $(MALLOC_OBJS) $(LIB_OBJS) -o $@
$(BUILD)/libtarn.so: $(BUILD)/libtarn.so.$(VERSION)
	$(Q)ln -sf $(<F) $(BUILD)/libtarn.so.$(SOVERSION) && ln -sf $(<F) $@

link = $(call say,LD,$@) mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) $(LDFLAGS) \
       $(filter %.o %.a,$^) $(1) -o $@
$(BUILD)/tarnd: $(DAEMON_OBJS) $(call objs,proto pool)
	$(call link,$(DAEMON_LIBS))
$(TESTS) $(FAIRNESS) $(BUILD)/tests/fuzz/live_fuzz: $(BUILD)/%: $(BUILD)/obj/%.o $(BUILD)/libtest.a $(BUILD)/libtarnd.a $(BUILD)/libtarn.a
	$(call link,$(DAEMON_LIBS) $(CMOCKA_LIBS))
FUZZ_LIBS := $(BUILD)/libtest.a $(BUILD)/libtarnd.a $(BUILD)/libtarn.a
FUZZ_WRAP := -Wl,--wrap=log_line,--wrap=log_peer
%/fuzz_session %/replay_session: LDFLAGS += $(FUZZ_WRAP),--wrap=peer_uid,--wrap=peer_init
%/fuzz_adopt %/replay_adopt: LDFLAGS += $(FUZZ_WRAP),--wrap=sd_listen_fds_with_names
$(FUZZERS): $(BUILD)/%: $(BUILD)/obj/%.o $(FUZZ_LIBS)
	$(call link,$(DAEMON_LIBS) $(CMOCKA_LIBS) -fsanitize=fuzzer)
$(BUILD)/tests/fuzz/replay_%: $(BUILD)/obj/tests/fuzz/replay.o $(BUILD)/obj/tests/fuzz/fuzz_%.o $(FUZZ_LIBS)
	$(call link,$(DAEMON_LIBS) $(CMOCKA_LIBS))
# Preloaded into programs of any kind, so it is one of the plain kind itself.
$(BUILD)/obj/tests/fault/inject.o $(BUILD)/tests/fault/inject.so: SAN :=
$(BUILD)/tests/fault/inject.so: $(BUILD)/obj/tests/fault/inject.o
	$(call link,-shared -ldl)
$(SO_TESTS): $(BUILD)/%: $(BUILD)/obj/%.o $(BUILD)/libtarn.so
	$(call link,$(SO_LIBS) $(CMOCKA_LIBS))
$(PROGS) $(MACHINE_CLIENT): $(BUILD)/%: $(BUILD)/obj/%.o $(BUILD)/libtarn.a
	$(call link)
$(DIR_PROGS): $(BUILD)/%: $$(call objs,$$*) $(BUILD)/libtarn.a
	$(call link,$(if $(filter %/tarnctl,$@),$(TABLE_LIBS)))
$(BENCH): $(call objs,bench) $(BUILD)/libtarn.a
	$(call link,$(BENCH_LIBS))
$(BUILD)/bench/peer_iceoryx.so: PEER_FLAGS := -isystem $(ICEORYX) -liceoryx_posh -liceoryx_hoofs
$(BUILD)/bench/peer_%.so: bench/peer_%.cc bench/peer.h
	$(call say,CXX,$<)
	$(Q)mkdir -p $(@D) && $(CXX) -std=c++17 -O2 -DNDEBUG -I. -fPIC -fvisibility=hidden -shared -pthread \
	    $< $(PEER_FLAGS) -o $@

# What follows `deps` is a make of its own: it may find what this one could not.
deps deps-build deps-bench:                   ## install what is missing, by apt
	$(Q)scripts/install-deps build $(if $(filter deps,$@),test,$(@:deps-%=%))
check: deps                                   ## install, build, lint, run every test
	$(Q)$(MAKE) all tests lint
	$(Q)$(MAKE) run-tests
check-asan check-tsan: check-%: deps          ## all tests under a sanitizer
	$(Q)$(MAKE) SAN=$* all tests
	$(Q)$(MAKE) SAN=$* run-tests
check-move: deps                              ## all tests, each object moved at each unpin
	$(Q)$(MAKE) all tests
	$(Q)TARN_DEBUG=move TARN_TEST_TIMEOUT=900 $(MAKE) run-tests
run-tests: all tests                          ## run the tests; T=word picks some
	$(Q)TARN_BUILD=$(abspath $(BUILD)) T='$(T)' scripts/run-tests $(TESTS) $(SO_TESTS) $(REPLAYS) \
	    $(BUILD)/tests/fuzz/live_fuzz $(MACHINES)
crash: deps                                   ## kill, at every instruction: longer than check does
	$(Q)$(MAKE) all tests
	$(Q)TARN_CRASH_KILLS=20 TARN_CRASH_DEATHS=3 TARN_CRASH_PAIRS=600 TARN_CRASH_CHURN=10000 \
	    TARN_CRASH_FULL=1 TARN_STORM_SECONDS=60 TARN_TEST_TIMEOUT=900 $(MAKE) run-tests T=/crash/ && \
	    sed -n '/^# /p' $(BUILD)/logs/crash-*.log
restart: deps                                 ## kill tarnd 200 times under load
	$(Q)$(MAKE) all tests
	$(Q)TARN_RESTART_KILLS=200 TARN_RESTART_STRICT=1 TARN_TEST_TIMEOUT=600 \
	    $(MAKE) run-tests T=crash/test_restart; \
	    r=$$?; sed -n '/^# /p' $(BUILD)/logs/crash-test_restart.log; exit $$r
soak: deps                                    ## ten minutes of storm, very many cycles, 10,000 deaths of tarnd
	$(Q)$(MAKE) all tests
	$(Q)TARN_STORM_SECONDS=600 TARN_TEST_TIMEOUT=900 $(MAKE) run-tests T=crash/test_storm
	$(Q)TARN_DRIFT_CONNECTS=1000000 TARN_DRIFT_ATTACHES=1000000 TARN_TEST_TIMEOUT=7200 \
	    $(MAKE) run-tests T=stress/test_drift && sed -n '/^# /p' $(BUILD)/logs/stress-test_drift.log
	$(Q)TARN_RESTART_KILLS=10000 TARN_TEST_TIMEOUT=7200 $(MAKE) run-tests T=crash/test_restart; \
	    r=$$?; sed -n '/^# /p' $(BUILD)/logs/crash-test_restart.log; exit $$r
container: deps                               ## boot the shipped units, and kill tarnd 100 times there
	$(Q)$(MAKE) all $(MACHINE_CLIENT)
	$(Q)TARN_CONTAINER_KILLS=100 TARN_TEST_TIMEOUT=900 $(MAKE) run-tests T=/container/
	$(Q)sed -n '/^\(# [^|]\|ok\)/p' $(BUILD)/logs/container-*.log
fairness: deps                                ## how long one user waits while another attacks
	$(Q)$(MAKE) all $(FAIRNESS)
	$(Q)TARN_BUILD=$(abspath $(BUILD)) $(FAIRNESS)
fault: deps                                   ## fail every call of tarnd and libtarn
	$(Q)$(MAKE) all tests
	$(Q)TARN_FAULT_FULL=1 TARN_TEST_TIMEOUT=1800 $(MAKE) run-tests T=/fault/ && \
	    sed -n '/^# /p' $(BUILD)/logs/fault-*.log
mutants: deps                                 ## seeded bugs: what catches each
	$(Q)TARN_BUILD=$(abspath $(BUILD)) scripts/mutants
model model-full:                             ## search every state of tests/model; T=word
	$(Q)scripts/install-deps build model
	$(Q)TARN_BUILD=$(abspath $(BUILD)) T='$(T)' TARN_MODEL_FULL=$(filter model-full,$@) \
	    scripts/model $(sort $(wildcard tests/model/*.pml))
FUZZ_SECONDS ?= 600
fuzz:                                         ## T=wire|recover|session|adopt|live, FUZZ_SECONDS=600
	$(Q)scripts/install-deps build test fuzz
	$(Q)CORPUS='$(CORPUS)' scripts/fuzz '$(T)' $(FUZZ_SECONDS)
COVERED := $(addprefix build/cov/tests/,unit/test_wire fuzz/replay_wire fuzz/replay_session \
           fuzz/replay_adopt system/test_daemon_protocol system/test_daemon_roles \
           system/test_daemon_quota system/test_daemon_audit system/test_daemon_memory \
           unit/test_again system/test_daemon_death system/test_compact_bad system/test_move \
           fault/test_fault_daemon)
coverage: deps                                ## lines of decoder and dispatcher that tests reach
	$(Q)$(MAKE) SAN=cov CFLAGS=-g all build/cov/tests/fault/inject.so $(COVERED)
	$(Q)scripts/coverage build/cov $(COVERED) -- proto/wire.c daemon/handlers.c
demo: deps-build                              ## install, build, count words in four processes
	$(Q)$(MAKE) all
	$(Q)TARN_BUILD=$(abspath $(BUILD)) scripts/demo
bench: deps-bench                             ## measure beside other allocators; B=word picks some
	$(Q)$(MAKE) all benches
	$(Q)TARN_BUILD=$(abspath $(BUILD)) $(BUILD)/tools/tarn-run $(BENCH) $(BENCH_ARGS) -c '$(B)'
bench-frag: deps-bench                        ## memory before and after compaction, and the mover; pictures
	$(Q)$(MAKE) all benches
	$(Q)TARN_BUILD=$(abspath $(BUILD)) $(BUILD)/tools/tarn-run $(BENCH) $(BENCH_ARGS) -c frag
	$(Q)TARN_BUILD=$(abspath $(BUILD)) $(BUILD)/tools/tarn-run $(BENCH) $(BENCH_ARGS) -a tarn -c mover
	$(Q)bench/plots
.PHONY: bench-plots bench-programs bench-frag
bench-plots:                                  ## draw what `make bench` measured: bench/out/*.png
	$(Q)scripts/install-deps bench
	$(Q)bench/plots
bench-programs: deps-bench                    ## programs with each malloc preloaded; B=word
	$(Q)scripts/install-deps programs
	$(Q)$(MAKE) all
	$(Q)TARN_BUILD=$(abspath $(BUILD)) bench/programs $(BENCH_ARGS) -c '$(B)'

lint: $(BUILD)/libtarn.so                     ## layers, label pairs, symbols, headers, mutants, style
	$(Q)scripts/check-layers
	$(Q)scripts/check-pairs pool/*.[ch] client/*.[ch] malloc/*.[ch]
	$(Q)scripts/check-symbols $(BUILD)/libtarn.so client/libtarn.map tests/abi/symbols.txt
	$(Q)scripts/check-headers $(CC) $(ALL_CFLAGS) $(DAEMON_CFLAGS)
	$(Q)scripts/check-manuals $(CC) tests/abi/symbols.txt
	$(Q)scripts/mutants --check
	$(Q)scripts/check-style

INSTALL_ENV = BUILD='$(BUILD)' DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' LIBDIR='$(LIBDIR)' \
              INCLUDEDIR='$(INCLUDEDIR)' MANDIR='$(MANDIR)' VERSION='$(VERSION)'
install: all                                  ## install below $(DESTDIR)$(PREFIX)
	$(Q)$(INSTALL_ENV) scripts/install-files
uninstall:                                    ## remove what install put there
	$(Q)$(INSTALL_ENV) scripts/install-files --remove
clean:                                        ## remove every build tree
	rm -rf build
help:                                         ## list these targets
	@sed -n 's/^\([a-z][a-z -]*\):.*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 30
	@echo '  Variables: SAN=asan|tsan DEBUG=1 WERROR=1 V=1 CC=clang PREFIX= DESTDIR= BENCH_ARGS='

.PHONY: all lib daemon tests benches deps deps-build deps-bench check check-asan check-tsan check-move \
        run-tests crash restart soak fault fairness container mutants model model-full fuzz coverage demo bench lint install uninstall clean help
-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
