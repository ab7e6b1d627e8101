#!/usr/bin/env bash
# Run the tests on a PostgreSQL 15 with assertions, built from the
# distribution's source package.
#
#	test/cassert.sh [PART-OR-FILE...]     as test/run.sh; default all
#	test/cassert.sh --sanitize [...]      the same, with ckpx compiled for
#	                                      AddressSanitizer and
#	                                      UndefinedBehaviorSanitizer
#	test/cassert.sh --remove              give the disk space back
#
# The sanitizers see what ckpx's own code does, not what it has PostgreSQL do;
# a server with assertions overwrites freed memory and checks what lies behind
# each piece.  What they find ends the process, is printed at the end, and makes
# the run fail.
#
# The server is built once, below $CKPX_CASSERT_DIR (default
# /var/tmp/ckpx-cassert, 0.3 GB, some minutes), and kept.  Debian, root or sudo
# for the packages that the build needs.
set -eu -o pipefail

top=$(cd "$(dirname "$0")/.." && pwd -P)
dir=${CKPX_CASSERT_DIR:-/var/tmp/ckpx-cassert}
prefix=$dir/pg15

if [ "${1:-}" = --remove ]; then
	rm -rf --one-file-system "${dir:?}"
	exit 0
fi

as_root() {
	if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# A 'make' that called this must not pass for the caller of PostgreSQL's own,
# which makes its generated headers only where nothing called it.
unset MAKEFLAGS MAKELEVEL MFLAGS

if [ ! -e "$dir/.ready" ]; then
	rm -rf --one-file-system "${dir:?}"
	mkdir -p "$dir"
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
		gcc make bison flex perl libipc-run-perl zlib1g-dev liblz4-dev libzstd-dev
	"$top/test/pg_source.sh" 15 "$dir/source"
	(
		cd "$dir/source"
		./configure --prefix="$prefix" --enable-cassert --enable-debug --enable-tap-tests \
			--without-readline --without-icu --with-lz4 --with-zstd CFLAGS='-O1 -g' >configure.log
		make -s -j"$(nproc)" world-bin >make.log
		make -s install-world-bin >>make.log
		for part in isolation perl regress; do
			make -s -C src/test/$part install >>make.log
		done
	)
	rm -rf "$dir/source"
	chmod -R a+rX "$dir"
	touch "$dir/.ready"
fi

export PG_CONFIG=$prefix/bin/pg_config
if [ "${1:-}" != --sanitize ]; then
	exec "$top/test/private.sh" test/run.sh "$@"
fi
shift

# The runtime has to be there before the server, which is not compiled for it,
# and in nothing else: some programs hang with it.  PROFILE is what PGXS adds to
# the flags of compiler and linker.  The server never gives everything back, so
# nobody looks for leaks; its stack depth check does not know stacks that are
# elsewhere.
exec "$top/test/private.sh" bash -c '
	export PROFILE="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"
	test/build.sh || exit 1
	unset PROFILE
	found=$TMPDIR/sanitizer
	export ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=0:abort_on_error=1:log_path=$found
	export UBSAN_OPTIONS=print_stacktrace=1:abort_on_error=1:log_path=$found
	bin=$(dirname "$(command -v postgres)")
	mkdir "$bin/plain" && mv "$bin/postgres" "$bin/plain" || exit 1
	cat >"$bin/postgres" <<-EOF
		#!/bin/bash
		export LD_PRELOAD=$(gcc -print-file-name=libasan.so):$(gcc -print-file-name=libubsan.so)\${LD_PRELOAD:+:\$LD_PRELOAD}
		exec -a "\$0" "$bin/plain/postgres" "\$@"
	EOF
	chmod 755 "$bin/postgres"
	test/run.sh "$@"
	status=$?
	# Also where no test noticed: a worker that ends is started again.  Part of
	# it stands in the logs of the servers.
	if grep -rhE "runtime error:|AddressSanitizer" tmp_check log "$found".* 2>/dev/null; then
		cp "$found".* "$CKPX_OUT" 2>/dev/null
		status=1
	fi
	exit $status' bash "$@"
