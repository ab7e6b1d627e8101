# What every part of the benchmark uses; sourced, not run.
#
# A part prints its results on stdout, one row() each, and everything else on
# stderr.  Its servers live in folders below $TMPDIR, which private.sh removes.
set -eu -o pipefail

export PGHOST=$TMPDIR PGPORT=5432 PGUSER=bench PGDATABASE=postgres
data=$TMPDIR/data
server_log=$TMPDIR/server.log

say() { printf '   %s\n' "$*" >&2; }

# row WHAT [VALUE [SPREAD [TARGET]]]: a line of the table
row() { printf '%s\t%s\t%s\t%s\n' "$1" "${2-}" "${3-}" "${4-}"; }

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

major_version() { postgres --version | sed 's/[^0-9]*\([0-9]*\).*/\1/'; }

# End PART with a word about it on a server without WAL summaries.
need_summaries() {				# need_summaries PART
	[ "$(major_version)" -lt 17 ] || return 0
	row "skipped: WAL summaries need PostgreSQL 17 (test/major.sh 17 bench $1)"
	exit 0
}

# ---- load

# Two sessions run the statements of TPC-B, in the server, to be quick.
tpcb() {						# tpcb SCALE TRANSACTIONS
	ask "CREATE OR REPLACE PROCEDURE tpcb(scale int, n int) LANGUAGE plpgsql AS \$\$
		DECLARE a int; b int; t int; d int;
		BEGIN
			FOR i IN 1..n LOOP
				a := 1 + floor(random() * 100000 * scale); b := 1 + floor(random() * scale);
				t := 1 + floor(random() * 10 * scale); d := floor(random() * 10001) - 5000;
				UPDATE pgbench_accounts SET abalance = abalance + d WHERE aid = a;
				PERFORM abalance FROM pgbench_accounts WHERE aid = a;
				UPDATE pgbench_tellers SET tbalance = tbalance + d WHERE tid = t;
				UPDATE pgbench_branches SET bbalance = bbalance + d WHERE bid = b;
				INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (t, b, a, d, CURRENT_TIMESTAMP);
				COMMIT;
			END LOOP;
		END \$\$"
	ask "CALL tpcb($1, $2 / 2)" &
	ask "CALL tpcb($1, $2 / 2)"
	wait $!
}

# Inserts, updates, deletes, index builds and a vacuum of a table.
bulk_changes() {				# bulk_changes ROWS
	ask "CREATE TABLE bulk (id int, k int, t text)"
	ask "INSERT INTO bulk SELECT i, hashint4(i), repeat('x', i % 60) FROM generate_series(1, $1) i"
	ask "CREATE INDEX ON bulk (k)"
	ask "UPDATE bulk SET t = t || 'y' WHERE id % 3 = 0"
	ask "CREATE INDEX ON bulk USING gin ((ARRAY[k % 1000]))"
	ask "DELETE FROM bulk WHERE id % 5 = 0"
	ask "VACUUM bulk"
	ask "INSERT INTO bulk SELECT i, hashint4(i), repeat('z', i % 60) FROM generate_series(1, $1 / 5) i"
}

# Run TPC-B with two clients.  Sets tps, and cpu, the server's CPU time in ms for
# 1000 transactions.
run_pgbench() {					# run_pgbench SECONDS [OPTION...]
	local before n seconds=$1
	shift
	before=$(cpu_of_server)
	read -r n tps <<<"$(pgbench -n -c 2 -j 2 -T "$seconds" "$@" |
		awk '/actually processed/ { n = $NF } /^tps/ { print n, $3 }')"
	# The postmaster has the CPU time of a backend only once that has gone.
	until [ "$(ask "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")" = 1 ]; do
		sleep 0.1
	done
	sleep 0.5
	cpu=$(calc %.3f "($(cpu_of_server) - $before) / $n * 1000")
}

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

# CPU ms of the postmaster, its living children and those that have ended.
cpu_of_server() {
	local postmaster
	postmaster=$(head -n 1 "$data/postmaster.pid")
	for pid in $postmaster $(cat "/proc/$postmaster/task/$postmaster/children"); do
		sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null || true
	done | awk -v hz="$(getconf CLK_TCK)" '
		{ sum += $12 + $13; if (NR == 1) sum += $14 + $15 } END { print sum * 1000 / hz }'
}

# "NAME MS" of each of ckpx's workers: its CPU time.
cpu_of_workers() {
	local name pid
	while read -r name pid; do
		echo "$name $(cpu_of_pid "$pid")"
	done <<<"$(ask "SELECT name || ' ' || pid FROM ckpx_workers WHERE pid IS NOT NULL ORDER BY name")"
}

# % of a core at 100 MB of WAL per second, for so many ms and bytes.
core_share() { calc %.3f "$1 * 1e7 / $2"; }

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

# Numbers of many turns, by name, and the rows that they make.  Of two names the
# row has the ratios, turn by turn.
note() { echo "$2" >>"$TMPDIR/noted.$1"; }
forget_notes() { rm -f "$TMPDIR"/noted.*; }
row_of() {						# row_of TITLE FORMAT NAME [TARGET]
	local values
	values=$(cat "$TMPDIR/noted.$3")
	row "$1" "$(median_of "$2" $values)" "$(spread_of "$2" $values)" "${4-}"
}
row_of_ratio() {				# row_of_ratio TITLE FORMAT NAME NAME [TARGET]
	paste "$TMPDIR/noted.$3" "$TMPDIR/noted.$4" | awk '{ print $1 / $2 }' >"$TMPDIR/noted.ratio"
	row_of "$1" "$2" ratio "${5-}"
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
