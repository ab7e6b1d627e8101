#!/usr/bin/env bash
# Run the tests on a PostgreSQL 15 with assertions, built from the
# distribution's source package.
#
#	test/cassert.sh [PART-OR-FILE...]     as test/run.sh; default all
#	test/cassert.sh --remove              give the disk space back
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

PG_CONFIG=$prefix/bin/pg_config exec "$top/test/private.sh" test/run.sh "$@"
