#!/bin/sh
# The names of the types that the given C files define, sorted.
sed -nE -e 's/^\}[[:space:]]*([A-Z][A-Za-z_0-9]+);.*/\1/p' \
	-e 's/^typedef .*[ *]([A-Z][A-Za-z_0-9]+);.*/\1/p' \
	-e 's/^typedef .*\(\*([A-Z][A-Za-z_0-9]+)\) *\(.*/\1/p' \
	-e 's/^(struct|union|enum) ([A-Z][A-Za-z_0-9]+)$/\2/p' \
	-e 's/^typedef (struct|union|enum) ([A-Z][A-Za-z_0-9]+)$/\2/p' "$@" | LC_ALL=C sort -u
