#!/bin/sh
# docs/theory.md names files, and functions "in" files: each must exist, and the function stand in the file. Exits 1 with
# what does not.
set -eu
cd "$(dirname "$0")/.."
page=${1:-docs/theory.md}
bad=0
checked=0
named=$(mktemp)
trap 'rm -f "$named"' EXIT
for file in $(grep -oE '\b(src|tests|tools)/[a-z0-9_/]+\.(c|h|sh)' "$page" | sort -u); do
    checked=$((checked + 1))
    [ -f "$file" ] || { echo "$page names $file, which is not there"; bad=1; }
done
[ "$checked" -ge 10 ] || { echo "$page names only $checked files: is it the right page?"; bad=1; }
# `a`, `b` and `c` in `file`, also over a line's end
tr '\n' ' ' <"$page" | sed 's/  */ /g' | grep -oE '(`[a-z_0-9]+`(, | and )?)+ in `src/[a-z0-9_/]+\.c`' >"$named" || true
[ -s "$named" ] || { echo "$page names no function"; bad=1; }
while read -r line; do
    file=$(printf '%s' "$line" | sed 's/.* in `\(.*\)`/\1/')
    for name in $(printf '%s' "${line% in *}" | tr -d '`,' | sed 's/ and / /g'); do
        grep -qE "(^|[ *])$name\(" "$file" 2>/dev/null || { echo "$page: there is no $name in $file"; bad=1; }
    done
done <"$named"
exit $bad
