#!/usr/bin/env bash
# PostgreSQL's own regression tests as the workload, then the oracles.
#
#	test/core.sh [FILE...]  with the server of PGMAJOR (15) or PG_CONFIG; the
#	                        files as for test/run.sh, default
#	                        test/core/regression_suite.pl
#	test/core.sh --remove   give the disk space back
#
# The tests come from the source package of that major, which is kept below
# $CKPX_SOURCES (default /var/tmp/ckpx-sources, 0.2 GB each).  A major that is
# not installed here is taken to test/major.sh, which needs root.
set -eu -o pipefail

top=$(cd "$(dirname "$0")/.." && pwd -P)
sources=${CKPX_SOURCES:-/var/tmp/ckpx-sources}

if [ "${1:-}" = --remove ]; then
	rm -rf --one-file-system "${sources:?}"
	exit 0
fi
[ $# -gt 0 ] || set -- test/core/regression_suite.pl

major=${PGMAJOR:-15}
pg_config=${PG_CONFIG:-/usr/lib/postgresql/$major/bin/pg_config}
if [ ! -x "$pg_config" ] && [ "$major" -gt 15 ]; then
	exec "$top/test/major.sh" "$major" "$@"
fi

"$top/test/setup.sh"
[ -x "$pg_config" ] && major=$("$pg_config" --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/')
mkdir -p "$sources"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! "$top/test/pg_source.sh" "$major" "$sources/$major" >"$log" 2>&1; then
	cat "$log" >&2
	echo "core: could not fetch the source of PostgreSQL $major" >&2
	exit 1
fi
chmod -R a+rX "$sources"
CKPX_PG_SOURCE=$sources/$major "$top/test/private.sh" test/run.sh "$@"
