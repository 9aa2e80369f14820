#!/bin/sh
# The demo: a small checkpoint with random weights, pairs written for it, scores, and a filter. Usage: demo.sh PLUMB [FOLDER]
set -eu
plumb=$1
here=$(cd "$(dirname "$0")" && pwd)
out=${2:-$(mktemp -d "${TMPDIR:-/tmp}/plumb-demo.XXXXXX")}
mkdir -p "$out"

show() { printf '\n$ plumb %s\n' "$*"; "$plumb" "$@"; }

cat <<TEXT
This demo shows the commands, not the paper's effects: the weights of its checkpoint are RANDOM, so the scores say nothing
about language. With a real checkpoint the commands are the same. Everything goes to $out
TEXT
rm -rf "$out/model"
show init llama "$out/model" --hidden_size 128 --num_hidden_layers 4 --seed 7
show info "$out/model"
show lint "$out/model" "$here/pairs.jsonl" || true
show score "$out/model" "$here/pairs.jsonl" -o "$out/scores.jsonl"
printf '\nThe first two rows of %s:\n' "$out/scores.jsonl"
head -n 2 "$out/scores.jsonl"
show filter "$here/pairs.jsonl" "$out/scores.jsonl" --by ln_ches --keep-lowest 50% -o "$out/kept.jsonl"
printf '\nKept:\n'
cat "$out/kept.jsonl"
