#!/bin/sh
# Catastrophic displacement in the simplest setting: one prompt, answers of one token.
#   sh recipes/persona.sh                                                             on the demo world
#   sh recipes/persona.sh --model OLMo-1B-hf --prompts ends-justify-means.jsonl --sft 1 --out out
# For each pair of answers (preferred:dispreferred) a model is tuned on a single prompt, ten prompts one after the other, for
# 101 updates; the table shows, averaged over the prompts, how far the preferred answer's probability fell and which tokens
# gained instead: of its own meaning (benign), of the opposite one (catastrophic), or of neither.
# Prompts: rows with a prompt, or rows of the Persona data (question, answer_matching_behavior), where a third part of a pair
# says which label its prompts have. docs/recipes.md has the settings of the paper. Writes table.csv and table.jsonl.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"
option model "" "checkpoint folder; without it the demo world"
option prompts "" "questions"
option sft "" "1: tune a base model on the questions first, with answers drawn from several words"
option pairs "Yes:No:No No:Never:Yes Sure:Yes:No" "pairs of tokens, and the label of their prompts"
option loss dpo "dpo or ipo"
option dpo "" "options of plumb dpo instead of the paper's (RMSprop) or the world's"
option groups "" "classes of words for plumb trace"
option count 10 "prompts of each pair"
option min_p "" "only prompts that give the preferred answer at least this probability, in the order of the file; without it (real data) prompts are drawn at random"
option seed 42 "seed of everything random"
option out "" "folder of the results"
parse "$@"
find_world
of_world model model
of_world prompts persona.jsonl
of_world groups groups.yaml
[ -n "$min_p" ] || [ -z "$world" ] || min_p=0.4
need model prompts
paper="--optim rmsprop --lr_scheduler_type constant --max_grad_norm 0 --max_steps 101"
case $loss in
dpo) config_of_world dpo persona.yaml "$paper --learning_rate 1e-7 --beta 0.1" ;;
ipo)
    config_of_world dpo persona.yaml "$paper --learning_rate 1e-8"
    dpo="$dpo --loss_type ipo_sum --beta 0.01"
    ;;
*) fail "--loss $loss: neither dpo nor ipo" ;;
esac
dpo="$dpo --per_device_train_batch_size 1 --ledger_steps 1 --ledger_tokens 10 --save_strategy no"

# Questions as texts: a conversation where the model has a chat template, otherwise the question and a line end.
chat=0
if [ -e "$model/chat_template.jinja" ] || grep -q '"chat_template"' "$model/tokenizer_config.json" 2>/dev/null; then chat=1; fi
awk -v chat="$chat" '
function value(key, s) {
    if (!match($0, "\"" key "\"[ \t]*:[ \t]*\"([^\"\\\\]|\\\\.)*\"")) return ""
    s = substr($0, RSTART, RLENGTH); sub("^\"" key "\"[ \t]*:[ \t]*", "", s); return s
}
/^[ \t]*$/ { next }
/"prompt"[ \t]*:[ \t]*\[/ { sub(/"prompt"[ \t]*:/, "\"messages\":"); print; next }
{ q = value("question"); label = value("answer_matching_behavior"); gsub(/[ "]/, "", label)
  end = q != "" ? "\\n" : ""; if (q == "") q = value("prompt")
  if (q == "") { printf "persona: line %d has neither question nor prompt\n", NR > "/dev/stderr"; exit 2 }
  if (label != "") label = ",\"label\":\"" label "\""
  if (chat) print "{\"messages\":[{\"role\":\"user\",\"content\":" q "}]" label "}"
  else print "{\"text\":" substr(q, 1, length(q) - 1) end "\"" label "}" }' "$prompts" >"$out/questions.jsonl" || exit 2
step "$out/prompts.ids.jsonl" tokenize --jsonl "$out/questions.jsonl" --tokenizer "$model" --add_generation_prompt

# id_of WORD: its only token.
id_of() {
    printf '{"text":"%s"}\n' "$1" | "$PLUMB" tokenize --jsonl --no-special --tokenizer "$model" -q |
        sed -n 's/.*"ids": *\[\([0-9]*\)\].*/\1/p'
}
# rows CHOSEN REJECTED LABEL: pairs of ids for the questions with that label, or for those that have none.
rows() {
    awk -v one="$1" -v two="$2" -v label="$3" '
    NR == FNR { if (match($0, /"label":"[A-Za-z]*"/)) of[FNR] = substr($0, RSTART + 9, RLENGTH - 10); next }
    FNR in of && label != "" && of[FNR] != label { next }
    match($0, /"ids": *\[[0-9, ]*\]/) { ids = substr($0, RSTART, RLENGTH); sub(/"ids"/, "\"prompt_ids\"", ids)
        print "{" ids ",\"chosen_ids\":[" one "],\"rejected_ids\":[" two "]}" }' "$out/questions.jsonl" "$out/prompts.ids.jsonl"
}

if [ -n "$sft" ]; then
    words="No No Never Never Maybe Maybe Perhaps Perhaps Yes Yeah Sure Certainly Absolutely"
    ids=
    for word in $words; do
        id=$(id_of "$word")
        [ -n "$id" ] || fail "\"$word\" is not one token of $model" "tune the model by other means, and leave out --sft"
        ids="$ids $id"
    done
    # A label of Yes is answered by one of the last five words, any other by one of No, Never, Maybe, Perhaps.
    rows 0 0 "" | awk -v ids="$ids" -v seed="$seed" '
    BEGIN { split(ids, id, " "); state = seed % 2147483646 + 1 }
    NR == FNR { yes[FNR] = /"label":"Yes"/; next }
    { state = state * 16807 % 2147483647; k = yes[FNR] ? 9 + state % 5 : 1 + state % 8
      sub(/"chosen_ids".*/, "\"completion_ids\":[" id[k] "]}"); print }' "$out/questions.jsonl" - >"$out/sft.jsonl"
    step "$out/sft" sft "$model" "$out/sft.jsonl" --num_train_epochs 1 --per_device_train_batch_size 32 --optim rmsprop \
        --learning_rate 1e-7 --lr_scheduler_type constant --max_grad_norm 0 --save_strategy no --seed "$seed"
    model=$out/sft
fi

printf 'preferred\tdispreferred\tprompts\tfell\thalved\tp_before\tp_lowest\tdecrease\tbenign\tcatastrophic\tother\n' >"$out/table.tsv"
for pair in $pairs; do
    chosen=${pair%%:*} rest=${pair#*:}
    rejected=${rest%%:*} label=${rest#*:}
    [ "$label" != "$rest" ] || label=
    name=$chosen-$rejected
    one=$(id_of "$chosen") two=$(id_of "$rejected")
    if [ -z "$one" ] || [ -z "$two" ]; then
        say "persona: $pair is left out: not one token each"
        continue
    fi
    rows "$one" "$two" "$label" >"$out/$name.all.jsonl"
    step "$out/$name.scores.jsonl" score "$model" "$out/$name.all.jsonl" --measures logps
    if [ -n "$min_p" ]; then
        awk -v least="$min_p" -v most="$count" '
        NR == FNR { match($0, /"logps\/chosen":[^,]*/); p[FNR] = exp(substr($0, RSTART + 15, RLENGTH - 15)); next }
        p[FNR] >= least && n < most { n++; print }' "$out/$name.scores.jsonl" "$out/$name.all.jsonl" >"$out/$name.jsonl"
    else
        step "$out/$name.jsonl" filter "$out/$name.all.jsonl" "$out/$name.scores.jsonl" --by logps/chosen --random "$count" --seed "$seed"
    fi
    found=$(awk 'END { print NR }' "$out/$name.jsonl")
    [ "$found" -gt 0 ] || {
        say "persona: $pair is left out: no prompt gives \"$chosen\" a probability of $min_p"
        continue
    }
    i=0
    tables=
    while [ "$i" -lt "$found" ]; do
        run=$out/$name.$i
        # shellcheck disable=SC2086
        step "$run" dpo "$model" "$out/$name.jsonl" --range $i:$((i + 1)) $dpo --seed "$seed" --quiet
        step "$run.csv" trace "$run" --table --format csv --top 10 ${groups:+--groups "$groups"} --quiet
        tables="$tables $run.csv"
        i=$((i + 1))
    done
    # shellcheck disable=SC2086
    printf '%s\t%s\t%s\n' "$chosen" "$rejected" "$(awk -f "$here/persona_table.awk" $tables)" >>"$out/table.tsv"
done
table table "Probability of the preferred token before and at its lowest, and what gained instead (means over prompts)"
