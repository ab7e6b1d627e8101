#!/usr/bin/env bash
# Run the server tests with another PostgreSQL major, on Debian, as root.
#
#	test/major.sh MAJOR [PART-OR-FILE...]   as test/run.sh; default all but unit
#	test/major.sh MAJOR bench [PART...]     as test/bench/run.sh
#	test/major.sh --make MAJOR              only see to it that the chroot is there
#	test/major.sh --remove MAJOR            give the disk space back
#
# The major lives in a chroot of the Debian release that has it, made from the
# mirror of this machine's own apt sources, below $CKPX_CHROOTS (default
# /var/tmp/ckpx-majors; about 1.8 GB each).  It is kept, so that the next run
# starts at once.  18 is built there from its source package, with assertions
# if CKPX_CASSERT=yes.
#
# No Debian release has 16.  CKPX_MIRROR, CKPX_SUITE, CKPX_COMPONENTS and
# CKPX_KEYRING name the archive of another distribution and its keys: noble,
# "main,universe" of Ubuntu has it.
set -eu -o pipefail

top=$(cd "$(dirname "$0")/.." && pwd -P)
chroots=${CKPX_CHROOTS:-/var/tmp/ckpx-majors}

usage() {
	sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"
	exit 2
}

if [ "${1:-}" = --remove ]; then
	major=${2:?}
	[[ $major =~ ^[0-9]+$ ]] || usage
	rm -rf --one-file-system "${chroots:?}/$major" "$chroots/.lock-$major"
	exit 0
fi
only_make=no
if [ "${1:-}" = --make ]; then
	only_make=yes
	shift
fi
major=${1:-}
[[ $major =~ ^[0-9]+$ ]] || usage
shift
[ "$(id -u)" -eq 0 ] || {
	echo "major: a chroot needs root" >&2
	exit 1
}

root=$chroots/$major
suite=${CKPX_SUITE:-trixie}	# trixie has 17
source_suite=sid		# has the source package of 18
. "$top/test/chroot.sh"

# A frozen mirror's index of a moving suite has expired; its signature is still
# checked.
add_source_suite() {
	echo "deb-src [check-valid-until=no] $mirror $source_suite main" >"$root/etc/apt/sources.list.d/source.list"
	in_root apt-get update
}

# Fetch the major's source into a folder of the chroot.
fetch_source() {
	mkdir -p "$root/usr/src"
	cp "$top/test/pg_source.sh" "$root/usr/src/"
	in_root /usr/src/pg_source.sh "$major" "$1"
}

install_packaged() {
	in_root DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
		"postgresql-$major" "postgresql-server-dev-$major" gcc make libc6-dev libipc-run-perl libzstd-dev perl groff-base zstd
}

install_from_source() {
	local options="--enable-tap-tests --without-readline --without-icu --with-lz4 --with-zstd --with-openssl"
	[ "${CKPX_CASSERT:-no}" = yes ] && options="$options --enable-cassert"
	in_root DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
		gcc make libc6-dev libipc-run-perl perl groff-base zstd bison flex pkg-config \
		liblz4-dev libzstd-dev libssl-dev zlib1g-dev
	fetch_source "/usr/src/pg$major"
	in_root id postgres >/dev/null 2>&1 || in_root useradd --system --home-dir /tmp --shell /bin/sh postgres
	in_root sh -ec "
		cd /usr/src/pg$major
		./configure --prefix=/usr/local/pg$major $options >configure.log
		make -s -j$(nproc) world-bin >make.log
		make -s install-world-bin >>make.log
		for dir in isolation perl regress; do
			make -s -C src/test/\$dir install >>make.log
		done
		cd .. && rm -rf pg$major"
}

# One at a time; a chroot that could not be finished is of no use.
mkdir -p "$chroots"
exec 9>"$chroots/.lock-$major"
flock 9
if [ ! -e "$root/.ready" ]; then
	trap 'rm -rf --one-file-system "${root:?}"' EXIT
	trap 'exit 130' INT TERM HUP
	rm -rf --one-file-system "${root:?}"
	make_chroot
	if [ "$major" -le 17 ]; then
		install_packaged
	else
		add_source_suite
		install_from_source
	fi
	touch "$root/.ready"
	trap - EXIT
fi
exec 9>&-

pg_config=/usr/lib/postgresql/$major/bin/pg_config
[ -x "$root$pg_config" ] || pg_config=/usr/local/pg$major/bin/pg_config
in_root "$pg_config" --version
[ $only_make = no ] || exit 0

# The unit tests know no server.
[ $# -gt 0 ] || set -- regress isolation tap

source=
case " $*" in
*" test/core/"*)
	source=/usr/src/core$major
	if ! said=$(fetch_source $source 2>&1); then
		printf '%s\n' "$said" "major: could not fetch the source of PostgreSQL $major" >&2
		exit 1
	fi
	;;
esac

checkout=$(mktemp -d "$root/tmp/ckpx-checkout-XXXXXX")
trap 'rm -rf "$checkout"' EXIT
trap 'exit 130' INT TERM HUP
tar -C "$top" -cf - --exclude=./.git --exclude=./build --exclude='*.o' --exclude='*.so' \
	--exclude='*.bc' --exclude='./src/bin/*/ckpx_*[!ch]' --warning=no-file-changed . | tar -C "$checkout" -xf - || true

status=0
command=test/run.sh
mapfile -t settings < <(env | grep -E '^CKPX_(BACKUP|RANDOM)_')
if [ "$1" = bench ]; then
	command=test/bench/run.sh
	mapfile -t settings < <(env | grep '^BENCH_')
	shift
fi
in_root PGMAJOR="$major" PG_CONFIG="$pg_config" ${source:+CKPX_PG_SOURCE="$source"} "${settings[@]}" \
	"${checkout#"$root"}/test/private.sh" "$command" "$@" || status=$?
if [ -d "$checkout/build/test" ]; then
	rm -rf "$top/build/test-$major"
	mkdir -p "$top/build"
	cp -r "$checkout/build/test" "$top/build/test-$major"
	echo "logs of PostgreSQL $major: build/test-$major"
fi
exit $status
