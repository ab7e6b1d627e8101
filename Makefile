# ckpx: an ordinary PGXS makefile.
#
#	make                    build
#	make install            install (DESTDIR and PG_CONFIG as with any PGXS)
#	make installcheck       pg_regress, isolation and TAP tests of what is
#	                        installed; each starts a server of its own
#
# and for which nothing has to be installed or configured by hand:
#
#	make demo               a throw-away server: checkpoints, kill -9, the same answer
#	make play               a throw-away server to try things on, until Ctrl-C
#	make test               unit, regress, isolation and TAP tests
#	make unit               only the unit tests of src/core
#	make check-house        the rules of src/server/README.md
#	make indent             pgindent
#	make bench              the benchmarks; the results are in build/bench.txt
#	make fuzz SECONDS=60    libFuzzer on every decoder of src/core
#	make test-cassert       the tests on a server with assertions
#	make test-core          PostgreSQL's own regression tests as the workload
#	make test-soak MINUTES=60
#	                        load of every kind for that long, memory watched
#	make test-backup INCREMENTS=100 ROUNDS=200
#	                        a chain of so many backups under load, backups at
#	                        random, and between PostgreSQL's own tests
#	make test-major PGMAJOR=17
#	                        the server tests with another major, in a chroot
#	make dist               build/ckpx-VERSION.zip, as PGXN wants it
#	make deb                Debian's packages, built and tried in a chroot

PGMAJOR ?= 15
ifeq ($(origin PG_CONFIG), undefined)
PG_CONFIG := $(firstword $(wildcard /usr/lib/postgresql/$(PGMAJOR)/bin/pg_config) pg_config)
endif

EXTENSION = ckpx
DATA = $(wildcard sql/ckpx--*.sql)
PGFILEDESC = "ckpx - incremental maps of changed blocks"

MODULE_big = ckpx
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/api/*.c src/core/*/*.c src/server/*/*.c)))
HEADERS_ckpx = src/ckpx.h
PG_CPPFLAGS = -Isrc
PG_CFLAGS = -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers -Wno-clobbered

REGRESS = $(patsubst test/sql/%.sql,%,$(sort $(wildcard test/sql/*.sql)))
REGRESS_OPTS = --inputdir=test --temp-instance=./tmp_check --temp-config=test/ckpx.conf
ISOLATION = $(patsubst test/specs/%.spec,%,$(sort $(wildcard test/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test --outputdir=. --temp-instance=./tmp_check_iso --temp-config=test/ckpx.conf --temp-config=test/isolation.conf
TAP_TESTS = 1
PROVE_TESTS = test/t/*.pl

EXTRA_CLEAN = build log results regression.diffs regression.out tmp_check tmp_check_iso output_iso

# Inlining these functions into JIT code would gain nothing, and the bitcode
# needs the very clang that the server was built with.
override with_llvm = no

PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)

ifneq ($(wildcard $(PGXS)),)

# Without a test file the list is empty, and pg_regress must not be run at all.
ifeq ($(strip $(REGRESS)),)
override undefine REGRESS
endif
ifeq ($(strip $(ISOLATION)),)
override undefine ISOLATION
endif

# The server's own choice decides: objects are compressed where it can.
PG_CONFIG_H := $(wildcard $(shell $(PG_CONFIG) --includedir-server)/pg_config.h)
ifneq ($(PG_CONFIG_H),)
ifneq ($(shell grep -E '^.define USE_ZSTD 1' $(PG_CONFIG_H)),)
SHLIB_LINK += -lzstd
CKPX_WITH_ZSTD = yes
endif
endif

include $(PGXS)

# PGXS knows no header dependencies.
$(OBJS): $(wildcard src/*.h src/*/*.h src/*/*/*.h)

# The programs, one after the other: they share objects.
all: all-bin
install: install-bin
uninstall: uninstall-bin
clean: clean-bin
install-bin: all-bin
.PHONY: all-bin install-bin uninstall-bin clean-bin
all-bin install-bin uninstall-bin clean-bin:
	@set -e; for program in basebackup combinebackup dump; do \
		$(MAKE) --no-print-directory -C src/bin/$$program PG_CONFIG='$(PG_CONFIG)' $(@:-bin=); done

# Their manual pages.
MAN = $(wildcard docs/man/*.1)
install: install-man
uninstall: uninstall-man
.PHONY: install-man uninstall-man
install-man:
	$(MKDIR_P) '$(DESTDIR)$(mandir)/man1'
	$(INSTALL_DATA) $(MAN) '$(DESTDIR)$(mandir)/man1/'
uninstall-man:
	rm -f $(patsubst docs/man/%,'$(DESTDIR)$(mandir)/man1/%',$(MAN))

ifeq ($(CKPX_WITH_ZSTD), yes)
$(OBJS): | zstd-header
.PHONY: zstd-header
zstd-header:
	@echo '#include <zstd.h>' | $(CC) $(CPPFLAGS) -E -x c - >/dev/null 2>&1 || { \
		echo 'ckpx: this PostgreSQL was built with zstd, but zstd.h was not found.' >&2; \
		echo 'ckpx: install libzstd-dev (Debian, Ubuntu) or libzstd-devel (Fedora, RHEL).' >&2; \
		exit 1; }
endif

else

# A machine without the server's build files can still run test/setup.sh.
all install installcheck:
	@echo 'ckpx: no PGXS found with PG_CONFIG=$(PG_CONFIG).' >&2
	@echo 'ckpx: install postgresql-server-dev-$(PGMAJOR) (or run test/setup.sh), or set PG_CONFIG.' >&2
	@exit 1
clean:
	rm -rf $(EXTRA_CLEAN) $(OBJS) ckpx.so src/bin/*/*.o \
		src/bin/basebackup/ckpx_basebackup src/bin/combinebackup/ckpx_combinebackup \
		src/bin/dump/ckpx_dump
.PHONY: all install installcheck clean
.DEFAULT_GOAL = all

endif

export PGMAJOR
ifneq ($(filter command line environment,$(origin PG_CONFIG)),)
export PG_CONFIG
endif

.PHONY: setup test unit demo play bench fuzz check-house indent dist deb test-major test-cassert test-core test-soak test-backup

setup:
	@test/setup.sh

# T= picks parts or single files: make test T='unit regress', T=test/t/000_oracles.pl
test: setup
	@test/all.sh $(T)

unit: setup
	@$(MAKE) --no-print-directory -C test/unit $(if $(filter file,$(origin PG_CONFIG)),PG_CONFIG=$(PG_CONFIG)) check

# Arrows between the rooms of src, and the layout.
check-house: all
	@tools/check_house

demo: setup
	@test/private.sh test/demo.sh

play: setup
	@test/private.sh test/play.sh

# Lay the sources out as PostgreSQL's: pgindent.
indent: setup
	@tools/indent.sh

dist:
	@tools/dist.sh

deb:
	@tools/deb.sh

# T= picks parts: make bench T='collect tps'
bench: setup
	@mkdir -p build
	@test/private.sh test/bench/run.sh $(T) >build/bench.txt; status=$$?; \
		if [ -d build/test/growth ]; then rm -rf build/growth; mv build/test/growth build/growth; fi; \
		echo; cat build/bench.txt; exit $$status

test-major:
	@test/major.sh $(PGMAJOR) $(T)

test-cassert: setup
	@test/cassert.sh $(T)

test-core:
	@test/core.sh

MINUTES ?= 60
test-soak: setup
	@CKPX_SOAK_MINUTES=$(MINUTES) test/private.sh test/run.sh test/t/088_soak.pl

# T= picks files: make test-backup T=test/t/100_backup_random.pl
INCREMENTS ?= 100
ROUNDS ?= 200
BACKUP_TESTS = test/t/095_backup_failures.pl test/t/109_backup_trouble.pl \
	test/t/096_backup_chain.pl test/t/100_backup_random.pl test/core/backup_suite.pl
test-backup:
	@CKPX_BACKUP_INCREMENTS=$(INCREMENTS) CKPX_BACKUP_ROUNDS=$(ROUNDS) test/core.sh $(or $(T),$(BACKUP_TESTS))

SECONDS ?= 60
fuzz: setup
	@$(MAKE) --no-print-directory -C test/fuzz SECONDS=$(SECONDS) $(if $(filter file,$(origin PG_CONFIG)),PG_CONFIG=$(PG_CONFIG)) all
