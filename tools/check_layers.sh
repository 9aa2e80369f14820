#!/bin/sh
# Each folder under src/ includes only folders to its left (and itself); back ends include no other back end than the one
# before them. Prints what breaks the rule and exits 1.
set -eu
cd "$(dirname "$0")/.."
order="base io text compute model align train study report cli"
bad=0
allowed=""
for folder in $order; do
    allowed="$allowed $folder"
    [ -d "src/$folder" ] || continue
    for file in $(find "src/$folder" -name '*.[ch]' | sort); do
        for used in $(sed -n 's/^ *# *include "\([a-z0-9_]*\)\/.*/\1/p' "$file" | sort -u); do
            case " $allowed " in
            *" $used "*) ;;
            *) echo "$file includes $used/, which is not to the left of $folder/"; bad=1 ;;
            esac
        done
    done
done
for file in $(find src -name '*.[ch]' ! -path 'src/cli/*'); do
    if grep -nE '(^|[^a-z_])(printf|puts|putchar|fprintf|perror|exit|abort) *\(' "$file" >/dev/null; then
        echo "$file prints or exits: only cli/ may"
        grep -nE '(^|[^a-z_])(printf|puts|putchar|fprintf|perror|exit|abort) *\(' "$file"
        bad=1
    fi
done
repeated=$(find src tests bench -name '*.[ch]' ! -path '*/data/*' -printf '%f\n' | sort | uniq -d | tr "\n" " ")
[ -z "$repeated" ] || { echo "file names that stand more than once: $repeated"; bad=1; }
exit $bad
