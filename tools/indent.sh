#!/usr/bin/env bash
# Lay the C sources out as PostgreSQL's own are: run pgindent over the tree.
#
#	tools/indent.sh             change the files
#	tools/indent.sh --check     say which files would change; exit 1 if any
#
# pgindent and pg_bsd_indent come from PostgreSQL's source, 17 or later, in
# $CKPX_PG_SOURCE; without it test/pg_source.sh fetches one, on this machine or
# in a chroot that test/major.sh made.  tools/typedefs.list has the names of our
# types; it is written anew first.
set -eu -o pipefail

top=$(cd "$(dirname "$0")/.." && pwd -P)
cd "$top"
source=${CKPX_PG_SOURCE:-}
pg_config=${PG_CONFIG:-/usr/lib/postgresql/${PGMAJOR:-15}/bin/pg_config}

# Print the directory of a source that could be fetched.
fetch_source() {
	local major root dir log
	dir=${CKPX_SOURCES:-/var/tmp/ckpx-sources}
	log=$(mktemp)
	mkdir -p "$dir"
	for major in 17 18; do
		if test/pg_source.sh $major "$dir/$major" >"$log" 2>&1; then
			echo "$dir/$major"
			break
		fi
		root=${CKPX_CHROOTS:-/var/tmp/ckpx-majors}/$major
		[ -e "$root/.ready" ] || continue
		cp test/pg_source.sh "$root/usr/src/"
		if chroot "$root" env -i PATH="$PATH" /usr/src/pg_source.sh $major /usr/src/core$major >"$log" 2>&1; then
			echo "$root/usr/src/core$major"
			break
		fi
	done
	rm -f "$log"
}

[ -n "$source" ] || source=$(fetch_source)
if [ ! -f "$source/src/tools/pgindent/pgindent" ]; then
	echo "indent: no source of PostgreSQL 17 or later; set CKPX_PG_SOURCE" >&2
	exit 2
fi

mkdir -p build
if [ ! -x build/pg_bsd_indent ] || [ "$source/src/tools/pg_bsd_indent/indent.c" -nt build/pg_bsd_indent ]; then
	cc -O1 -w -I"$("$pg_config" --includedir-server)" -o build/pg_bsd_indent \
		"$source"/src/tools/pg_bsd_indent/*.c -L"$("$pg_config" --libdir)" -L"$("$pg_config" --pkglibdir)" \
		-lpgcommon -lpgport
fi

mapfile -t files < <(git ls-files -co --exclude-standard 'src/*.[ch]' 'contrib/*.[ch]')
[ ${#files[@]} -gt 0 ] || {
	echo "indent: git lists no file" >&2
	exit 2
}
tools/typedefs.sh "${files[@]}" >build/typedefs.list
if [ "${1:-}" = --check ]; then
	cmp build/typedefs.list tools/typedefs.list
else
	cp build/typedefs.list tools/typedefs.list
fi
# Some of PostgreSQL's names are variables here.
grep -vxE 'text|global' "$source/src/tools/pgindent/typedefs.list" |
	cat - build/typedefs.list >build/all_typedefs.list
perl "$source/src/tools/pgindent/pgindent" --indent="$top/build/pg_bsd_indent" \
	--typedefs=build/all_typedefs.list ${1:+"$1"} "${files[@]}"
