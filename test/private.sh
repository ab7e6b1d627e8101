#!/usr/bin/env bash
# Run a command next to a private copy of the PostgreSQL server, in a private
# copy of this checkout, as an ordinary user, and leave nothing behind.
#
#	test/private.sh COMMAND [ARGUMENT...]
#
# The command runs in the copy of the checkout and finds
#
#	PATH         the private server's bin folder first
#	PG_CONFIG    the private server's pg_config (installs are found there)
#	CKPX_ROOT, CKPX_BUILD_PG_CONFIG
#	             where to install and the pg_config to build with: test/build.sh
#	             uses them, and is what most commands call first
#	CKPX_OUT     a folder whose contents are copied to build/test/ at the end
#	TMPDIR, HOME private, with a path short enough for Unix sockets
#
# Why copies: a server finds its share and lib folders relative to its own
# binary, so a copied tree takes extensions without root and without touching
# the installed one; initdb refuses to run as root, so root steps down to an
# ordinary user, who may be unable to enter the folder of the checkout; and
# several runs at once cannot disturb each other or the checkout.
set -u

top=$(cd "$(dirname "$0")/.." && pwd -P) || exit 1
[ $# -gt 0 ] || { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 2; }

major=${PGMAJOR:-15}
build_pg_config=${PG_CONFIG:-}
if [ -z "$build_pg_config" ]; then
	build_pg_config=/usr/lib/postgresql/$major/bin/pg_config
	[ -x "$build_pg_config" ] || build_pg_config=$(command -v pg_config) || {
		echo "private: no pg_config; run test/setup.sh or set PG_CONFIG" >&2
		exit 1
	}
fi
bindir=$("$build_pg_config" --bindir) || exit 1

work=$(mktemp -d /tmp/ckpx-XXXXXX) || exit 1
child=

# Processes that live in our folder: servers, and whatever the command started.
# A postmaster and its children work in the data directory.
ours() {
	local link pid
	for link in /proc/[0-9]*/cwd; do
		case "$(readlink "$link" 2>/dev/null)" in
		"$work" | "$work"/*)
			pid=${link#/proc/}
			echo "${pid%/cwd}"
			;;
		esac
	done
}

# Wait for the end of these processes, but not for ever.
await_end() {					# await_end SECONDS PID...
	local seconds=$1 pid
	shift
	for pid in "$@"; do
		timeout "$seconds" tail --pid="$pid" -f /dev/null
	done 2>/dev/null
}

cleanup() {
	local pid file segments
	trap '' INT TERM HUP
	cd /						# this shell is not one of ours()
	if [ -n "$child" ] && kill -0 -- "-$child" 2>/dev/null; then
		kill -TERM -- "-$child" 2>/dev/null
		await_end 10 "$child"
	fi
	# Without /proc (a bare chroot) only the pid files tell what is left.
	segments=$(find "$work" -name postmaster.pid -exec sed -n '7{s/.* //;p;q}' {} \; 2>/dev/null)
	if [ -e /proc/self/cwd ]; then
		for pid in $(ours); do
			case "$(cat "/proc/$pid/comm" 2>/dev/null)" in
			postgres | postmaster) kill -QUIT "$pid" 2>/dev/null ;;
			*) kill -TERM "$pid" 2>/dev/null ;;
			esac
		done
		await_end 10 $(ours)
		for pid in $(ours); do
			kill -KILL "$pid" 2>/dev/null
		done
		await_end 10 $(ours)
	else
		for pid in $(find "$work" -name postmaster.pid -exec sed 1q {} \;); do
			kill -QUIT "$pid" 2>/dev/null && await_end 10 "$pid"
		done
	fi
	# A postmaster that was killed leaves its System V segment to its next start.
	for file in $segments; do
		ipcrm -m "$file" 2>/dev/null
	done
	if [ -n "$(ls -A "$work/out" 2>/dev/null)" ]; then
		rm -rf "$top/build/test"
		mkdir -p "$top/build" && cp -r "$work/out" "$top/build/test"
	fi
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

mkdir "$work/ckpx" "$work/tmp" "$work/out" "$work/root"

# tar returns 1 when a file changes under it, as it may while somebody edits.
tar -C "$top" -cf "$work/ckpx.tar" --exclude=./.git --exclude=./build --exclude='*.o' --exclude='*.so' \
	--exclude='*.bc' --exclude='./src/bin/*/ckpx_*[!ch]' --exclude=./tmp_check --exclude=./tmp_check_iso --exclude=./results \
	--exclude=./output_iso --warning=no-file-changed . || [ $? -eq 1 ] || exit 1
tar -C "$work/ckpx" -xf "$work/ckpx.tar" && rm "$work/ckpx.tar" || exit 1

# The same folders at the same relative places are all that a server needs.
for dir in "$bindir" "$("$build_pg_config" --pkglibdir)" "$("$build_pg_config" --sharedir)"; do
	mkdir -p "$work/root$dir"
	tar -C "$dir" -cf - --exclude=./bitcode . | tar -C "$work/root$dir" -xf - || exit 1
done

as_user=()
if [ "$(id -u)" -eq 0 ]; then
	user=postgres
	id -u $user >/dev/null 2>&1 || user=nobody
	as_user=(setpriv "--reuid=$(id -u $user)" "--regid=$(id -g $user)" --clear-groups)
	chown -R "$(id -u $user):$(id -g $user)" "$work" || exit 1
fi
chmod 755 "$work"

cd "$work/ckpx" || exit 1

# Nothing of the caller's PostgreSQL environment may point the tests elsewhere.
for var in $(compgen -e | grep -E '^PG' | grep -vE '^(PGMAJOR|PG_TEST_)'); do
	unset "$var"
done
unset MAKEFLAGS MAKELEVEL MFLAGS PERL5LIB PROVE_FLAGS
export CKPX_ROOT=$work/root CKPX_OUT=$work/out CKPX_BUILD_PG_CONFIG=$build_pg_config
export PG_CONFIG=$work/root$bindir/pg_config PATH=$work/root$bindir:$PATH
export TMPDIR=$work/tmp HOME=$work/tmp LC_ALL=C TZ=UTC

# In its own process group: all of it can be ended at once, and a Ctrl-C comes
# to this script first.
set -m
"${as_user[@]}" "$@" </dev/null &
child=$!
set +m
wait "$child"
status=$?
kill -0 -- "-$child" 2>/dev/null || child=
exit $status
