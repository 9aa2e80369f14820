#!/bin/sh
# The older road beside DPO: a reward model fitted to pairs, then policy gradient on it; what each does and what it costs.
#   sh recipes/rlhf.sh                                                         on the demo world
#   sh recipes/rlhf.sh --model llama-3-8b-it --prompts train.jsonl --test test.jsonl --method 'rloo grpo' --out out
# Two samples of each prompt are judged, and the refusal is preferred, as in unalignment.sh. DPO is trained on these pairs,
# and so is a reward model, which RLOO (or GRPO, PPO) then maximises over the same prompts, held to the start by a KL term.
# Then refusal rates and mean rewards of all on other prompts; reward, KL, prompts without spread, time, memory and tokens;
# and what each road did to the likelihood of the pairs' preferred responses: all keep a ledger of the same pairs.
# Writes costs.csv, rates.csv, displaced.csv (and .jsonl), report.html.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"
option model "" "checkpoint folder; without it the demo world"
option prompts "" "prompts to refuse, for training"
option test "" "other prompts to refuse"
option benign "" "prompts to answer; optional"
option method rloo "policy gradient: rloo, grpo, ppo, or several of them in one word"
option pairs "" "preference data, instead of pairs of the model's own responses"
sample_options
option reward "" "options of plumb reward"
option policy "" "options of plumb rloo and grpo"
option ppo "" "options of plumb ppo"
option dpo "" "options of plumb dpo"
option kl 0.05 "weight of the KL term of policy gradient"
option steps "" "steps (PPO: updates) of policy gradient; without it what its options say"
option temperature 1 "temperature of the samples when rates are measured"
option samples 1 "samples of each prompt when rates are measured"
option limit "" "only so many of the prompts"
option seed 42 "seed of everything random"
option out "" "folder of the results"
parse "$@"
for one in $method; do
    case $one in rloo | grpo | ppo) ;; *) fail "--method: $one is no method" "they are: rloo grpo ppo" ;; esac
done
find_samples
of_world test prompts.test.jsonl
of_world benign prompts.benign.jsonl
config_of_world dpo dpo.yaml "--learning_rate 5e-7 --per_device_train_batch_size 4 --gradient_accumulation_steps 8"
config_of_world reward reward.yaml "--learning_rate 1e-5 --per_device_train_batch_size 4 --gradient_accumulation_steps 8 --num_train_epochs 1"
config_of_world policy policy.yaml "--num_generations 4 --per_device_train_batch_size 4 --gradient_accumulation_steps 8 --max_completion_length 512"
config_of_world ppo ppo.yaml "--per_device_train_batch_size 4 --gradient_accumulation_steps 8 --max_completion_length 512"
need model prompts test method
measure_steps

# number_of RUN first|last|most NAME: the first, last, or largest of a metric of a run.
number_of() {
    [ -e "$1/metrics.jsonl" ] || return 0
    awk -v which="$2" -v name="\"$3\":" '{
        at = index($0, name); if (!at) next
        x = substr($0, at + length(name)); sub(/[,}].*/, "", x); if (x == "null") next
        if (!n++ || which == "last" || (which == "most" && x + 0 > value + 0)) value = x
    } END { if (n) printf "%.9g", value }' "$1/metrics.jsonl"
}

# cost NAME FILE TOKENS [REWARD KL]: one row of the table; REWARD and KL are names in the metrics of a run.
cost() {
    printf '%s\t%s\t%s' "$1" "$(cost_of "$2")" "$3"
    [ $# -gt 3 ] || set -- "$@" "" ""
    for number in "first $4" "last $4" "first reward_std" "last reward_std" "first prompts_without_spread" \
        "last prompts_without_spread" "last $5" "most $5"; do
        # shellcheck disable=SC2086
        printf '\t%s' "${4:+$(number_of "$2" $number)}"
    done
    printf '\n'
}
# ledger_of NAME RUN: what the run did to the pairs from its first evaluation to its last, one row of the table.
ledger_of() {
    sed -n 's/.*"step":\([0-9]*\),"index":\([0-9]*\),.*"logps\/chosen":\([^,]*\),"logps\/rejected":\([^,}]*\).*/\1 \2 \3 \4/p' \
        "$2/ledger.jsonl" | awk -v name="$1" '
        NR == 1 { first = $1 }
        $1 == first { start[$2] = $3; before[1] += $3; before[2] += $4; n++ }
        $1 != at { at = $1; after[1] = after[2] = fell = 0 }
        { after[1] += $3; after[2] += $4; fell += $3 < start[$2] }
        END { printf "%s\t%d\t%.6g\t%.6g\t%.6g\t%.6g\t%.4g\n", name, n, before[1] / n, after[1] / n, before[2] / n,
              after[2] / n, fell / n }'
}
# Tokens of the responses of plumb generate.
tokens_of() { sed -n 's/.*"response_ids": *\[\([0-9, ]*\)\].*/\1/p' "$1" | awk -F , '{ n += NF } END { printf "%d", n }'; }

reward_model=$out/reward
# measured NAME MODEL: refusal rates, and the mean of the rewards that the reward model gives.
measured() {
    for split in train test benign; do
        case $split in train) data=$prompts ;; test) data=$test ;; *) data=$benign ;; esac
        [ -n "$data" ] || continue
        rate "$1" "$2" "$data" "$split"
        # shellcheck disable=SC2086
        step "$out/$1.$split.rewards.jsonl" reward-score "$reward_model" "$out/$1.$split.responses.jsonl" $as_message
        sed -n 's/.*"reward":\([^,}]*\).*/\1/p' "$out/$1.$split.rewards.jsonl" |
            awk '{ s += $1 } END { if (NR) printf "%.9g\n", s / NR; else print "" }' >>"$out/means.txt"
    done
}
as_message=
case " $generate " in *" --as_message "*) as_message=--as_message ;; esac

if [ -z "$pairs" ]; then
    pairs=$out/pairs.jsonl
    sample_pairs "$pairs"
fi
# shellcheck disable=SC2086
{
    step "$reward_model" reward "$model" "$pairs" $reward --save_strategy no --seed "$seed"
    step "$out/run-dpo" dpo "$model" "$pairs" $dpo --save_strategy no --seed "$seed"
}
: >"$out/means.txt"
printf 'model\tprompts\tresponses\trefusal_rate\tlow\thigh\trefusals\tcompliances\tmalformed\n' >"$out/rates.tsv"
measured start "$model"
measured dpo "$(trained "$out/run-dpo")"
{
    printf 'step\tseconds\tpeak_mib\tgenerated_tokens\treward_start\treward_end\treward_std_start\treward_std_end\t'
    printf 'no_spread_start\tno_spread_end\tkl_end\tkl_most\n'
    [ ! -e "$out/responses.jsonl" ] || cost "samples for pairs" "$out/responses.jsonl" "$(tokens_of "$out/responses.jsonl")"
    cost dpo "$out/run-dpo" 0
    cost "reward model" "$reward_model" 0
} >"$out/costs.tsv"
{
    printf 'run\tpairs\tchosen_start\tchosen_end\trejected_start\trejected_end\tdisplaced\n'
    ledger_of dpo "$out/run-dpo"
} >"$out/displaced.tsv"

for one in $method; do
    term=--beta settings=$policy reward_name=reward kl_name=kl
    [ "$one" != ppo ] || { term=--kl_coef settings=$ppo reward_name=objective/scores kl_name=objective/kl; }
    # shellcheck disable=SC2086
    step "$out/run-$one" "$one" "$model" "$prompts" $few --reward "$reward_model" $settings $as_message $term "$kl" \
        ${steps:+--max_steps $steps} --log_completions --ledger_data "$pairs" --save_strategy no --seed "$seed"
    measured "$one" "$(trained "$out/run-$one")"
    cost "$one" "$out/run-$one" "$(number_of "$out/run-$one" last generated_tokens)" $reward_name $kl_name >>"$out/costs.tsv"
    ledger_of "$one" "$out/run-$one" >>"$out/displaced.tsv"
done
{ echo mean_reward && cat "$out/means.txt"; } >"$out/rewards.txt"
paste "$out/rates.tsv" "$out/rewards.txt" >"$out/rates.new"
mv "$out/rates.new" "$out/rates.tsv"
rm "$out/means.txt" "$out/rewards.txt"

set -- "$out/run-dpo"
for one in $method; do set -- "$@" "$out/run-$one"; done
for run in start dpo $method; do set -- "$@" "$out/$run.test.jsonl"; done
step "$out/report.html" report "$@"

table costs "What each step did and cost"
[ -n "$timer" ] || printf '\npeak_mib is left out: this system has no GNU time as /usr/bin/time\n'
table rates "Refusals before (start) and after, with 95 % intervals, and the mean reward by the reward model"
table displaced "Mean log-probs of the pairs' responses before and after, and the share of chosen responses that became less likely"
printf '\nRefusal rate on prompts that were not trained on\n\n'
awk -F '\t' -v OFS='\t' '$2 == "test" { print $1, $4, $5, $6 }' "$out/rates.tsv" | bars 0 1 100 ' %'
printf '\nThe page with all figures: %s\n' "$out/report.html"
