#!/usr/bin/env bash
# Build ckpx and install it, and the libraries of its tests, into the private
# server tree that test/private.sh made.  Silent but for warnings and errors.
set -eu

make --no-print-directory -s "-j$(nproc 2>/dev/null || echo 2)" PG_CONFIG="$CKPX_BUILD_PG_CONFIG" all
make --no-print-directory -s PG_CONFIG="$CKPX_BUILD_PG_CONFIG" install DESTDIR="$CKPX_ROOT" >/dev/null

# Libraries that use ckpx.h; their tests load them.
for module in test/modules/*/; do
	make --no-print-directory -s -C "$module" PG_CONFIG="$CKPX_BUILD_PG_CONFIG" install DESTDIR="$CKPX_ROOT" >/dev/null
done
