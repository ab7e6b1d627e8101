#!/usr/bin/env bash
# Install what building and testing ckpx needs on Debian or Ubuntu, as root or
# through sudo.  Says nothing, and needs no rights, when all of it is there.
#
# The packages come from whatever sources the machine's apt has.
set -u

major=${PGMAJOR:-15}

# A server installation chosen by hand is only looked at, never installed.
own_server=no
if [ -n "${PG_CONFIG:-}" ] && [ "$PG_CONFIG" != "/usr/lib/postgresql/$major/bin/pg_config" ]; then
	own_server=yes
fi

# A probe proves that the thing is usable, whichever package brought it.
missing=()
need() {					# need PACKAGE COMMAND...
	local package=$1
	shift
	"$@" >/dev/null 2>&1 || missing+=("$package")
}

has_header() {
	echo "#include <$1>" | gcc -E -x c - >/dev/null 2>&1
}

# cmocka.h includes nothing by itself.
has_cmocka() {
	printf '#include <stdarg.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <setjmp.h>\n#include <cmocka.h>\n' |
		gcc -E -x c - >/dev/null 2>&1
}

has_sanitizers() {
	[ -e "$(gcc -print-file-name=libasan.so)" ] && [ -e "$(gcc -print-file-name=libubsan.so)" ]
}

need gcc gcc --version
need gcc has_sanitizers
need libc6-dev has_header stdlib.h
need make make --version
need perl prove --version
need util-linux setpriv --version
need libipc-run-perl perl -MIPC::Run -e 1
need libcmocka-dev has_cmocka
need groff-base groff --version
need libroaring-dev has_header roaring/roaring.h
need libzstd-dev has_header zstd.h
need zstd zstd --version

if [ $own_server = yes ]; then
	if ! pgxs=$("$PG_CONFIG" --pgxs) || [ ! -e "$pgxs" ]; then
		echo "setup: $PG_CONFIG knows no PGXS; install that server's development files" >&2
		exit 1
	fi
else
	need "postgresql-$major" test -x "/usr/lib/postgresql/$major/bin/postgres"
	need "postgresql-server-dev-$major" test -e "/usr/include/postgresql/$major/server/postgres.h"
	need "postgresql-server-dev-$major" test -e "/usr/lib/postgresql/$major/lib/pgxs/src/makefiles/pgxs.mk"
fi

[ ${#missing[@]} -eq 0 ] && exit 0

mapfile -t missing <<<"$(printf '%s\n' "${missing[@]}" | sort -u)"
echo "setup: installing ${missing[*]}"

if ! command -v apt-get >/dev/null; then
	echo "setup: no apt-get here; install the equivalents of: ${missing[*]}" >&2
	exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
	if ! sudo -n true 2>/dev/null && ! { [ -t 0 ] && command -v sudo >/dev/null; }; then
		echo "setup: neither root nor sudo; have somebody install: ${missing[*]}" >&2
		exit 1
	fi
	as_root=(sudo)
fi

log=$(mktemp)
dropin_dir=/etc/postgresql-common/createcluster.d
dropin=
cleanup() {
	rm -f "$log"
	if [ -n "$dropin" ]; then
		"${as_root[@]}" rm -f "$dropin"
		"${as_root[@]}" rmdir --ignore-fail-on-non-empty $dropin_dir
	fi
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

# A server package normally creates a cluster and starts it.  The tests bring
# their own, so none is made; the rule that says so stays only while
# installing, and the machine's own configuration is not touched.
case " ${missing[*]} " in
*" postgresql-$major "*)
	dropin=$dropin_dir/zz-ckpx-setup.conf
	"${as_root[@]}" mkdir -p $dropin_dir
	echo 'create_main_cluster = false' | "${as_root[@]}" tee $dropin >/dev/null
	;;
esac

apt_install() {
	# An existing configuration file wins, whoever wrote it.
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
		-o Dpkg::Options::=--force-confold -o DPkg::Lock::Timeout=120 "${missing[@]}" >>"$log" 2>&1 </dev/null
}
# Package lists may be absent or out of date: refresh them only then.
if ! apt_install; then
	"${as_root[@]}" apt-get update >>"$log" 2>&1
	if ! apt_install; then
		cat "$log" >&2
		echo "setup: could not install: ${missing[*]}" >&2
		exit 1
	fi
fi
