#!/bin/sh
# Unintentional unalignment: a model is tuned to refuse, on its own responses, and refuses less.
#   sh recipes/unalignment.sh                                                  on the demo world
#   sh recipes/unalignment.sh --model llama-3-8b-it --prompts train.jsonl --test test.jsonl --out out
# Two samples of each prompt are judged, the refusal is preferred, and DPO runs on: all pairs; all pairs with an SFT term;
# a refusal against a compliance only (gold); the lowest 5 % and 15 % by ln_ches; a random 15 %. All take the same number
# of optimiser steps. Then the refusal rates, before and after, on the prompts of training and on others.
# docs/recipes.md tells what to expect and the settings of the paper. Writes rates.csv, rates.jsonl, report.html.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"
option model "" "checkpoint folder; without it the demo world"
option prompts "" "prompts to refuse, for training"
option test "" "other prompts to refuse"
option benign "" "prompts to answer; optional"
sample_options
option dpo "" "options of plumb dpo for all runs"
option sft_coeff 0.01 "weight of the SFT term"
option steps "" "optimiser steps of each run; without it as many as the run on all pairs takes"
option runs "all sft gold lowest-5 lowest-15 random-15" "which runs"
option gold "" "preference data with a refusal and a compliance, instead of those among the samples"
option temperature 1 "temperature of the samples when rates are measured"
option samples 1 "samples of each prompt when rates are measured"
option limit "" "only so many of the prompts"
option seed 42 "seed of everything random"
option out "" "folder of the results"
parse "$@"
find_samples
of_world test prompts.test.jsonl
of_world benign prompts.benign.jsonl
config_of_world dpo dpo.yaml "--optim rmsprop --learning_rate 5e-6 --lr_scheduler_type constant --max_grad_norm 0 --per_device_train_batch_size 4 --gradient_accumulation_steps 8"
case "$steps $runs " in " all "*) ;; " "*) fail "--steps is missing" "all runs take the same number; without --steps the first of --runs must be all" ;; esac
need model prompts test
sample_pairs "$out/pairs.jsonl"
# shellcheck disable=SC2086
{
    if [ -z "$gold" ]; then
        gold=$out/gold.jsonl
        step "$gold" pair "$out/responses.jsonl" --labels "$out/labels.jsonl" $pair --gold
    fi
    step "$out/scores.jsonl" score "$model" "$out/pairs.jsonl"
    for share in 5 15; do
        step "$out/lowest-$share.jsonl" filter "$out/pairs.jsonl" "$out/scores.jsonl" --by ln_ches --keep-lowest $share%
    done
    step "$out/random-15.jsonl" filter "$out/pairs.jsonl" "$out/scores.jsonl" --random 15% --seed "$seed"
}

rates() {
    rate "$1" "$2" "$prompts" train
    rate "$1" "$2" "$test" test
    [ -z "$benign" ] || rate "$1" "$2" "$benign" benign
}

printf 'model\tprompts\tresponses\trefusal_rate\tlow\thigh\trefusals\tcompliances\tmalformed\n' >"$out/rates.tsv"
rates start "$model"
for run in $runs; do
    data=$out/$run.jsonl more=
    case $run in
    all) data=$out/pairs.jsonl ;;
    sft) data=$out/pairs.jsonl more="--sft_coeff $sft_coeff" ;;
    gold) data=$gold ;;
    lowest-5 | lowest-15 | random-15) ;;
    *) fail "--runs: $run is not a run" "they are: all sft gold lowest-5 lowest-15 random-15" ;;
    esac
    # shellcheck disable=SC2086
    step "$out/run-$run" dpo "$model" "$data" $dpo $more ${steps:+--max_steps $steps} --save_strategy no --seed "$seed"
    [ -n "$steps" ] || steps=$(steps_of "$out/run-$run")
    rates "$run" "$(trained "$out/run-$run")"
done

set --
case " $runs " in *" all "* | *" sft "*) set -- "$out/scores.jsonl" ;; esac # they are of all pairs
for run in $runs; do set -- "$@" "$out/run-$run"; done
for run in start $runs; do set -- "$@" "$out/$run.test.jsonl"; done
step "$out/report.html" report "$@"

table rates "Refusals before (start) and after each run, with 95 % intervals"
printf '\nRefusal rate on prompts that were not trained on\n\n'
awk -F '\t' -v OFS='\t' '$2 == "test" { print $1, $4, $5, $6 }' "$out/rates.tsv" | bars 0 1 100 ' %'
printf '\nThe page with all figures: %s\n' "$out/report.html"
