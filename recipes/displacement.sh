#!/bin/sh
# Is it the size of the model, the number of pairs, or the tokens that responses share? Prior explanations of displacement,
# varied one at a time.
#   sh recipes/displacement.sh                                                  on the demo world
#   sh recipes/displacement.sh --model OLMo-1B-sft --models 'gemma-2b-sft llama-3-8b-sft' --prompts questions.jsonl --out out
# The base case is a single question whose answers are one token each and share none but the end. Then: other models; 4, 16 and 64
# questions at once; the same answers followed by the same words, so that most tokens are shared: there the whole response may
# gain because its end is learnt, so the token that differs is shown beside it. The base case falls where none of the three is
# needed. Writes displacement.csv and displacement.jsonl.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"
option model "" "checkpoint folder; without it the demo world"
option models "" "others of other sizes"
option sizes "" "on the demo world: hidden sizes of models to train for this, 48 and 72 by default; none: no others"
option rows 24000 "on the demo world: rows of the corpus of these"
option prompts "" "rows with a question as prompt"
option chosen No "the preferred answer"
option rejected Never "the dispreferred one"
option shared ", I can not help with that." "what follows both answers where tokens are shared"
option counts "4 16 64" "numbers of questions"
option min_p "" "only questions that give the preferred answer this probability; 0.4 on the world"
option dpo "" "options of plumb dpo for all runs"
option steps 101 "optimiser steps of each run"
option seed 42 "seed of everything random"
option out "" "folder of the results"
parse "$@"
find_world
of_world model model
of_world prompts persona.jsonl
config_of_world dpo persona.yaml "--optim rmsprop --lr_scheduler_type constant --max_grad_norm 0 --learning_rate 1e-7 --beta 0.1"
if [ -n "$world" ]; then
    [ -n "$min_p" ] || min_p=0.4
    [ -n "$sizes" ] || sizes="48 72"
fi
[ -n "$min_p" ] || min_p=0
[ "$sizes" != none ] || sizes=
need model prompts
dpo="$dpo --save_strategy no --max_steps $steps --ledger_steps $steps"

# pairs SHARED: preference rows of all questions, in the form of their prompts.
pairs() {
    awk -v one="$chosen$1" -v two="$rejected$1" '
    /^[ \t]*$/ { next }
    { sub(/}[ \t]*$/, "")
      if ($0 ~ /"prompt"[ \t]*:[ \t]*\[/) { before = "[{\"role\":\"assistant\",\"content\":\""; after = "\"}]" } else { before = after = "\"" }
      print $0 ",\"chosen\":" before one after ",\"rejected\":" before two after "}" }' "$prompts"
}
pairs "" >"$out/all.jsonl"
step "$out/all.scores.jsonl" score "$model" "$out/all.jsonl" --measures logps
awk -v least="$min_p" '
    NR == FNR { match($0, /"logps\/chosen":[^,]*/); p[FNR] = exp(substr($0, RSTART + 15, RLENGTH - 15)); next }
    p[FNR] >= least' "$out/all.scores.jsonl" "$out/all.jsonl" >"$out/alone.jsonl"
found=$(awk 'END { print NR }' "$out/alone.jsonl")
[ "$found" -gt 0 ] || fail "no question gives \"$chosen\" a probability of $min_p" "--min_p 0 takes all of them"
pairs "$shared" | awk -v least="$min_p" '
    NR == FNR { match($0, /"logps\/chosen":[^,]*/); p[FNR] = exp(substr($0, RSTART + 15, RLENGTH - 15)); next }
    p[FNR] >= least' "$out/all.scores.jsonl" - >"$out/shared.jsonl"

# Models of other sizes, of the world's language.
if [ -n "$sizes" ] && [ -f "$here/world.awk" ]; then
    mkdir -p "$out/language/tokenizer"
    [ -e "$out/language/tuning.jsonl" ] || awk -v out="$out/language" -v seed="$seed" -v rows="$rows" -v tuning=6000 -v prompts=100 -f "$here/world.awk"
    for size in $sizes; do
        step "$out/init-$size" init llama "$out/init-$size" --hidden_size "$size" --num_hidden_layers 3 --max_position_embeddings 64 \
            --tokenizer "$out/language/tokenizer" --seed "$seed" --quiet
        step "$out/model-$size" sft "$out/init-$size" "$out/language/corpus.jsonl" --num_train_epochs 1 --learning_rate 3e-3 \
            --lr_scheduler_type cosine --warmup_ratio 0.05 --per_device_train_batch_size 32 --save_strategy no --seed "$seed"
        models="$models $out/model-$size"
    done
fi

printf 'varied\tvalue\tpairs\tedit_similarity\tsteps\tchange\tfell\tfirst_change\n' >"$out/displacement.tsv"
# measure VARIED VALUE NAME MODEL DATA COUNT: a run on the first COUNT rows, as one batch.
measure() {
    # shellcheck disable=SC2086
    {
        step "$out/$3.scores.jsonl" score "$4" "$5" --limit "$6" --measures edit --quiet
        step "$out/$3" dpo "$4" "$5" --limit "$6" --per_device_train_batch_size "$6" $dpo --seed "$seed" --quiet
        step "$out/$3.trace.jsonl" trace "$out/$3" --quiet
    }
    # Mean change of ln p of y+'s own token where the responses first differ.
    first=$(awk 'match($0, /"chosen":{[^}]*/) { place = substr($0, RSTART, RLENGTH)
        match(place, /"p_before":[^,]*/); before = substr(place, RSTART + 11, RLENGTH - 11) + 0
        match(place, /"p_after":[^,]*/); after = substr(place, RSTART + 10, RLENGTH - 10) + 0
        if (before > 0 && after > 0) { sum += log(after / before); n++ } }
        END { if (n) printf "%.9g", sum / n }' "$out/$3.trace.jsonl")
    similarity=$(awk 'match($0, /"edit_similarity":[^,]*/) { sum += substr($0, RSTART + 18, RLENGTH - 18); n++ } END { if (n) printf "%.4g", sum / n }' "$out/$3.scores.jsonl")
    # shellcheck disable=SC2046
    set -- "$1" "$2" $(change_of "$out/$3")
    printf '%s\t%s\t%d\t%s\t%d\t%s\t%s\t%s\n' "$1" "$2" "$5" "$similarity" "$steps" "$3" "$4" "$first" >>"$out/displacement.tsv"
}
measure nothing "one question, one token" base "$model" "$out/alone.jsonl" 1
for other in $models; do measure model "$(basename "$other")" "model.$(basename "$other")" "$other" "$out/alone.jsonl" 1; done
for count in $counts; do
    [ "$count" -le "$found" ] || continue
    measure pairs "$count" "pairs-$count" "$model" "$out/alone.jsonl" "$count"
done
measure tokens "the same words follow" shared "$model" "$out/shared.jsonl" 1
table displacement "Mean change of ln pi(y+), whole and at the first token that differs, with one thing varied at a time"
