#!/usr/bin/env bash
# Fetch the source of a PostgreSQL major, as the distribution packages it.
#
#	test/pg_source.sh MAJOR DIRECTORY
#
# DIRECTORY gets the tree of the release, unpatched and not configured: the
# version of the installed server if the mirror still has it, or else the
# newest that it has.  A directory that is complete is left alone.  Debian,
# Ubuntu; root or sudo only where a program to unpack it is missing.
set -eu -o pipefail

major=${1:?} dir=${2:?}
[ -e "$dir/.complete" ] && exit 0

rm -rf --one-file-system "${dir:?}"
mkdir -p "$dir"
dir=$(cd "$dir" && pwd -P)
work=$(mktemp -d "$dir/apt.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/sources" "$work/lists/partial"

# The machine's own sources of PostgreSQL, asked for source packages, without
# changing its configuration.
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
	grep -qiE 'debian|ubuntu|postgresql' "$file" 2>/dev/null || continue
	case $file in
	*.sources) sed 's/^Types:.*/Types: deb-src/' "$file" >"$work/sources/$(basename "$file")" ;;
	*.list) sed -nE 's/^deb(-src)? /deb-src /p' "$file" | sort -u >"$work/sources/$(basename "$file")" ;;
	esac
done
apt=(-o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$work/sources"
	-o "Dir::State::lists=$work/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
	-o APT::Sandbox::User=root)

for command in bzip2 xz; do
	command -v $command >/dev/null && continue
	as_root=()
	[ "$(id -u)" -eq 0 ] || as_root=(sudo)
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends bzip2 xz-utils
	break
done

cd "$work"
apt-get "${apt[@]}" update
installed=$(dpkg-query -W -f '${source:Version}' "postgresql-$major" 2>/dev/null || true)
versions=$(apt-cache "${apt[@]}" showsrc --only-source "postgresql-$major" | sed -n 's/^Version: //p' | sort -Vru)
for version in $(printf '%s\n' $installed $versions | awk '!seen[$0]++'); do
	apt-get "${apt[@]}" source --only-source --download-only "postgresql-$major=$version" && break
done
tar -C "$dir" --strip-components=1 -xf "postgresql-${major}_"*.orig.tar.*
touch "$dir/.complete"
