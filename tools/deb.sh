#!/usr/bin/env bash
# Build Debian's packages of the last commit and try them, as root.
#
#	tools/deb.sh                the packages come to build/deb
#	tools/deb.sh --try          only try those that are in build/deb
#	tools/deb.sh --remove       give the disk space back
#
# In one chroot the packages are built, and lintian reads them.  In another one
# they are installed with apt, tested with debian/tests, and purged; then no file
# is there that was not there before.  Both are copies of a chroot of this
# machine's Debian release, or of CKPX_SUITE, with nothing in it, which is kept
# below $CKPX_CHROOTS (/var/tmp/ckpx-majors).
set -eu -o pipefail
export LC_ALL=C

top=$(cd "$(dirname "$0")/.." && pwd -P)
. "$top/test/chroot.sh"
suite=${CKPX_SUITE:-$(. /etc/os-release && echo "${VERSION_CODENAME:-}")}
chroots=${CKPX_CHROOTS:-/var/tmp/ckpx-majors}/deb-$suite

if [ "${1:-}" = --remove ]; then
	rm -rf --one-file-system "${chroots:?}"
	exit 0
fi
[ "$(id -u)" -eq 0 ] || {
	echo "deb: a chroot needs root" >&2
	exit 1
}

mkdir -p "$chroots"
exec 9>"$chroots/lock"
flock 9
trap 'rm -rf --one-file-system "$chroots/build" "$chroots/install" "$chroots/new"' EXIT
trap 'exit 130' INT TERM HUP

say() {
	printf '== %s\n' "$*"
}

# Say nothing unless it fails.
quietly() {
	"$@" >"$chroots/log" 2>&1 </dev/null || {
		cat "$chroots/log" >&2
		exit 1
	}
}

apt() {
	quietly in_root DEBIAN_FRONTEND=noninteractive apt-get -y --no-install-recommends "$@"
}

# $root becomes a copy of the empty chroot.
fresh() {
	root=$chroots/$1
	rm -rf --one-file-system "$root"
	cp -a --reflink=auto "$chroots/base" "$root"
}

# All that is there, but for what packages in general leave behind.
everything() {
	find "$root" -xdev -printf '/%P\n' |
		grep -vE '^/(proc|sys|dev|run|tmp|root/ckpx|var/(cache|log|tmp|lib/(apt|dpkg|ucf))|usr/share/.*__pycache__)(/|$)' | sort
}

if [ ! -e "$chroots/base" ]; then
	say "a chroot of $suite"
	root=$chroots/new
	rm -rf --one-file-system "$root"
	quietly make_chroot
	mv "$root" "$chroots/base"
fi

build_packages() {
	local name version as_nobody

	name=$("$top/tools/check_meta" "$top")
	version=${name#*-}
	git -C "$top" diff --quiet HEAD || echo 'deb: what is not committed is not in the packages' >&2

	say "building $name"
	fresh build
	apt install build-essential fakeroot
	mkdir -p "$root/build"
	git -C "$top" archive --format=tar.gz --prefix="$name/" -o "$root/build/ckpx_$version.orig.tar.gz" HEAD ':!debian'
	git -C "$top" archive --format=tar --prefix="$name/" HEAD | tar -x -C "$root/build"
	apt build-dep "/build/$name"
	in_root chown -R nobody: /build
	as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/build)
	# One source for all majors: this release's are filled in.
	quietly in_root "${as_nobody[@]}" sh -ec "cd /build/$name && pg_buildext updatecontrol"
	quietly in_root "${as_nobody[@]}" sh -ec "cd /build/$name && dpkg-buildpackage -us -uc"
	rm -rf "$top/build/deb"
	mkdir -p "$top/build/deb"
	cp "$root"/build/*.{deb,dsc,tar.*,changes,buildinfo} "$top/build/deb/"
	ls "$top/build/deb"

	# The project has no mail address, and no wish to be in Debian was reported.
	say lintian
	apt install lintian
	in_root "${as_nobody[@]}" sh -ec "cd /build && lintian --fail-on error,warning \
		--suppress-tags bogus-mail-host,bogus-mail-host-in-debian-changelog,initial-upload-closes-no-bugs *.changes"
}

try_packages() {
	local packages servers

	fresh install
	packages=$(cd "$top/build/deb" && ls postgresql-*-ckpx_*.deb)
	servers=$(sed -E 's/^(postgresql-[0-9]+)-.*/\1/' <<<"$packages")
	say "installing $packages"
	mkdir -p "$root/root/ckpx"
	git -C "$top" archive --format=tar HEAD | tar -x -C "$root/root/ckpx"
	cp "$top"/build/deb/postgresql-*-ckpx_*.deb "$root/root/ckpx/"
	# what the package or its test needs, and is there before and after
	apt install $servers $(sed -nE 's/^ ([a-z].*),$/\1/p' "$top/debian/tests/control")
	everything >"$chroots/before"
	apt install $(sed 's|^|/root/ckpx/|' <<<"$packages")
	everything | comm -13 "$chroots/before" - >"$chroots/added"
	in_root dpkg -L $(sed 's/_.*//' <<<"$packages") | grep '^/[^.]' | sort -u | comm -13 "$chroots/before" - | diff - "$chroots/added" || {
		echo 'deb: installing adds other files than the package has' >&2
		exit 1
	}
	wc -l <"$chroots/added" | sed 's/$/ files and directories, all of the package/'

	say "its tests"
	quietly in_root sh -ec 'cd /root/ckpx && debian/tests/installcheck'
	grep -E '^# All|^ All|^test .* ok|^ok ' "$chroots/log" | tail -n 3

	say "purging"
	apt purge $(sed 's/_.*//' <<<"$packages")
	everything | diff "$chroots/before" - || {
		echo 'deb: purging does not leave what was there before' >&2
		exit 1
	}
	echo 'nothing is left'
}

[ "${1:-}" = --try ] || build_packages
try_packages
