#!/bin/sh
# Formatting, clang-tidy and the direction of includes; exits 1 on findings.
set -eu
cd "$(dirname "$0")/.."
bad=0
sh tools/check_layers.sh || bad=1
files=$(git ls-files 'src/*.[ch]' 'tests/*.[ch]' 'bench/*.[ch]')
clang-format --dry-run --Werror $files || bad=1
clang-tidy --quiet -p build $(git ls-files 'src/*.c') || bad=1
exit $bad
