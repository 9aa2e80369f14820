#!/bin/sh
# Which measure finds the pairs that displace likelihood?
#   sh recipes/identify.sh                                                        on the demo world
#   sh recipes/identify.sh --model OLMo-1B-sft --pairs ultrafeedback.jsonl --size 512 --out out
# The pairs are ordered by each measure, and DPO runs on slices of them around percentiles: the higher the slice, the more
# the preferred responses should lose, if the measure is any good. One more run on all pairs gives rank correlations of each
# measure with what happened to single pairs (plumb identify). Without --pairs, two samples of each prompt make them, as in
# unalignment.sh (the same folder may be given). Writes slices.csv, slices.jsonl, identify.json, slices.html, report.html.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"
option model "" "checkpoint folder; without it the demo world"
option pairs "" "preference data"
option prompts "" "prompts instead, to sample pairs from"
sample_options
option dpo "" "options of plumb dpo for all runs"
option steps "" "optimiser steps on a slice; without it half of those on all pairs on the world, or one epoch"
option measures "ches ln_ches last_hidden edit_similarity" "fields of the scores"
option quantiles "0 25 50 75 100" "percentiles of the slices"
option size "" "pairs of a slice; without it 15 % of them on the world, or 512"
option limit "" "only so many of the prompts or pairs"
option seed 42 "seed of everything random"
option out "" "folder of the results"
parse "$@"
find_samples
config_of_world dpo dpo.yaml "--optim rmsprop --learning_rate 1e-7 --lr_scheduler_type constant --max_grad_norm 0 --per_device_train_batch_size 4 --gradient_accumulation_steps 8 --num_train_epochs 1"
if [ -z "$pairs" ]; then
    pairs=$out/pairs.jsonl
    sample_pairs "$pairs"
    few= # they are as few already
fi
# shellcheck disable=SC2086
step "$out/scores.jsonl" score "$model" "$pairs" $few
[ -n "$size" ] || [ -z "$world" ] || size=$(awk '/"row"/ { n++ } END { print int(n * .15 + .999) }' "$out/scores.jsonl")
[ -n "$size" ] || size=512

# shellcheck disable=SC2086
step "$out/run-all" dpo "$model" "$pairs" $few $dpo --save_strategy no --seed "$seed"
[ -n "$steps" ] || [ -z "$world" ] || steps=$((($(steps_of "$out/run-all") + 1) / 2))

printf 'measure\tquantile\tpairs\tchange\tfell\n' >"$out/slices.tsv"
runs=
for measure in $measures; do
    for quantile in $quantiles; do
        slice=$out/$measure-$quantile
        # shellcheck disable=SC2086
        {
            step "$slice.jsonl" filter "$pairs" "$out/scores.jsonl" $few --by "$measure" --slice "$quantile:$size" --drop_skipped
            step "$slice" dpo "$model" "$slice.jsonl" $dpo ${steps:+--max_steps $steps} --save_strategy no --seed "$seed" --quiet
        }
        runs="$runs $slice"
        # shellcheck disable=SC2046
        set -- $(change_of "$slice")
        printf '%s\t%s\t%d\t%s\t%s\n' "$measure" "$quantile" "$3" "$1" "$2" >>"$out/slices.tsv"
    done
done
# shellcheck disable=SC2086
{
    step "$out/identify.json" identify "$pairs" "$out/scores.jsonl" "$out/run-all" $few --measures $measures --format json --seed "$seed"
    step "$out/identify.txt" identify "$pairs" "$out/scores.jsonl" "$out/run-all" $few --measures $measures --seed "$seed" --quiet
    step "$out/report.html" report "$out/run-all" "$out/scores.jsonl" "$out/identify.json"
    step "$out/slices.html" report $runs
}
table slices "Mean change of ln pi(y+) after DPO on slices of $size pairs, and the share of them that fell"
ends=$(awk -F '\t' 'NR > 1 { if ($4 < a) a = $4; if ($4 > b) b = $4 } END { print a + 0, b + 0 }' "$out/slices.tsv")
for measure in $measures; do
    printf '\n%s\n' "$measure"
    awk -F '\t' -v OFS='\t' -v measure="$measure" '$1 == measure { print "  " $2 " %", $4, "", "" }' "$out/slices.tsv" |
        bars "${ends% *}" "${ends#* }"
done
printf '\nOne run on all pairs\n\n'
cat "$out/identify.txt"
printf '\nThe pages with all figures: %s (all pairs), %s (slices)\n' "$out/report.html" "$out/slices.html"
