# What every part of the benchmark uses; sourced, not run.
#
# A part prints its results on stdout, one row() each, and everything else on
# stderr.  Its servers live in folders below $TMPDIR, which private.sh removes.
set -eu -o pipefail

export PGHOST=$TMPDIR PGPORT=5432 PGUSER=bench PGDATABASE=postgres
data=$TMPDIR/data
server_log=$TMPDIR/server.log

say() { printf '   %s\n' "$*" >&2; }

# row WHAT VALUE [SPREAD [TARGET]]: a line of the table
row() { printf '%s\t%s\t%s\t%s\n' "$1" "$2" "${3-}" "${4-}"; }

ask() { psql -XAtq -v ON_ERROR_STOP=1 -c "$1"; }

# ---- servers

# A new cluster in $data; its settings are the arguments, one each.
new_cluster() {
	rm -rf "$data"
	if [ ! -d "$TMPDIR/template" ]; then
		initdb -D "$TMPDIR/template" -U bench -A trust -N >"$TMPDIR/initdb.log"
	fi
	cp -a "$TMPDIR/template" "$data"
	printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$TMPDIR'" \
		"logging_collector = off" "$@" >>"$data/postgresql.conf"
}

# start_server [SETTING=VALUE...]
start_server() {
	local setting options=
	for setting in "$@"; do
		options+=" -c '$setting'"
	done
	pg_ctl -s -w -t 300 -D "$data" -l "$server_log" ${options:+-o "$options"} start
}

stop_server() { pg_ctl -s -w -t 300 -D "$data" -m fast stop; }

# Wait until the runner has read all WAL that exists.
await_collected() { ask "SELECT ckpx_wait_collected(pg_current_wal_insert_lsn())" >/dev/null; }

worker_pid() { ask "SELECT pid FROM ckpx_workers WHERE name = '$1'"; }

# ---- CPU time and memory

# CPU time of a living process in ms, user and system.
cpu_of_pid() {
	if [ -r "/proc/$1/schedstat" ]; then
		awk '{ printf "%.1f\n", $1 / 1e6 }' "/proc/$1/schedstat"
	else
		sed 's/.*) //' "/proc/$1/stat" |
			awk -v hz="$(getconf CLK_TCK)" '{ printf "%.1f\n", ($12 + $13) * 1000 / hz }'
	fi
}

# CPU time of a command in ms; what it prints is thrown away.
cpu_of_command() {
	local TIMEFORMAT='%U %S'
	{ time "$@" >/dev/null 2>"$TMPDIR/command.log"; } 2>&1 |
		awk '{ printf "%.1f\n", ($1 + $2) * 1000 }'
}

# A field of /proc/PID/status in MB: VmHWM, RssAnon, ...
memory_of_pid() { awk -v field="$2:" '$1 == field { printf "%.1f\n", $2 / 1024 }' "/proc/$1/status"; }

# ---- numbers, one in each line of stdin

median() { sort -g | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }

# "smallest - largest"
spread() {						# spread FORMAT
	sort -g | awk -v f="$1" 'NR == 1 { a = $1 } { b = $1 } END { printf f " - " f "\n", a, b }'
}

calc() { awk "BEGIN { printf \"$1\\n\", $2 }"; }

# Numbers go in as $1, $2, ...; print the median in this format.
median_of() {					# median_of FORMAT NUMBER...
	local format=$1
	shift
	printf "$format\n" "$(printf '%s\n' "$@" | median)"
}
spread_of() {
	local format=$1
	shift
	printf '%s\n' "$@" | spread "$format"
}

# ---- programs that link src/core: build_program NAME, from test/bench/NAME.c
build_program() {
	local include lib
	include=$("$CKPX_BUILD_PG_CONFIG" --includedir-server)
	lib=$("$CKPX_BUILD_PG_CONFIG" --pkglibdir)
	gcc -std=gnu99 -O2 -DFRONTEND -fno-strict-aliasing -fwrapv -Isrc "-I$include" \
		-o "$TMPDIR/$1" "test/bench/$1.c" src/core/*/*.c \
		"-L$lib" "-L$("$CKPX_BUILD_PG_CONFIG" --libdir)" -lpgcommon -lpgport -lzstd -lm -lpthread
}
