# What the makefiles of the programs share.  PGXS builds a library or a program
# out of OBJS, so each program has a makefile of its own; the top one calls them,
# one after the other, because they compile what is in common.  A program has
# bin/common or, with CORE = yes, src/core.

PG_CONFIG ?= pg_config
# What is compiled of src/core here is compiled for a program; the library has
# its own.
ifeq ($(CORE), yes)
SHARED = $(notdir $(wildcard ../../core/*/*.c))
vpath %.c $(wildcard ../../core/*)
PG_LIBS_INTERNAL = -L$(pkglibdir) -lpgfeutils
else
SHARED = $(wildcard ../common/*.c)
PG_LIBS_INTERNAL = -L$(pkglibdir) -lpgfeutils $(libpq_pgport)
endif
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard *.c) $(SHARED)))
PG_CPPFLAGS = -DFRONTEND -I../.. -I$(includedir)
PG_CFLAGS = -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers

# The server has no use for a program's bitcode.
override with_llvm = no

PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# The server's own list names libraries whose development files need not be
# there; a program needs these.
override LIBS := $(filter -lpgcommon -lpgport -lcrypto -lm,$(LIBS)) -lzstd -lpthread

$(OBJS): $(wildcard *.h ../common/*.h ../../core/*.h ../../core/*/*.h)

$(OBJS): | zstd-header
.PHONY: zstd-header
zstd-header:
	@echo '#include <zstd.h>' | $(CC) $(CPPFLAGS) -E -x c - >/dev/null 2>&1 || { \
		echo 'ckpx: $(PROGRAM) needs zstd, but zstd.h was not found.' >&2; \
		echo 'ckpx: install libzstd-dev (Debian, Ubuntu) or libzstd-devel (Fedora, RHEL).' >&2; \
		exit 1; }
