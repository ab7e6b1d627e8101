#!/usr/bin/env bash
# Make the archive of a release, build/ckpx-VERSION.zip: the last commit, named
# and laid out as PGXN wants it.
set -eu -o pipefail

cd "$(dirname "$0")/.."
name=$(tools/check_meta) || {
	printf '%s\n' "$name" >&2
	exit 1
}
git diff --quiet HEAD || echo 'dist: what is not committed is not in the archive' >&2
mkdir -p build
git archive --format=zip --prefix="$name/" -o "build/$name.zip" HEAD
echo "build/$name.zip"
