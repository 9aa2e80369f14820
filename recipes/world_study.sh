#!/bin/sh
# The demo world's study for one seed, over plumb's commands: a world, then the experiments on it; a line a result.
#   recipes/world_study.sh DIR SEED         PLUMB names the program; docs/WORLD.md explains the lines
set -eu
here=$(dirname "$0")
dir=${1:?usage: world_study.sh DIR SEED}
seed=${2:?usage: world_study.sh DIR SEED}
plumb=${PLUMB:-plumb}
rate=${RATE:-6e-4}
batch=64
[ -d "$dir/model" ] || PLUMB="$plumb" sh "$here/make_world.sh" "$dir" "$seed"
model=$dir/model
loss="--loss_type ipo_sum --beta 0.1"

# number KEY of one row
value() { sed -n "s/.*\"$1\":\([-0-9.e]*\).*/\1/p"; }

# rates FOLDER NAME SET SAMPLES: refusal and malformed rates of a set of prompts
rates() {
    "$plumb" generate "$1" "$dir/prompts.$3.jsonl" --n "$4" --max_new_tokens 24 --seed 7 -o "$dir/$2.$3.jsonl" --quiet
    "$plumb" judge "$dir/$2.$3.jsonl" --rules "$here/world_rules.yaml" -o "$dir/$2.$3.judged.jsonl" --quiet
    awk -v what="$2 $3" '{ n++ } /"label":"refusal"/ { r++ } /"label":"unreadable"|"label":"empty"/ { x++ }
        END { printf "rate %s refusal %.3f malformed %.3f\n", what, r / n, x / n }' "$dir/$2.$3.judged.jsonl"
}

# train NAME PAIRS STEPS [OPTIONS]: one run of DPO from the world's model
train() {
    name=$1 pairs=$2 updates=$3
    shift 3
    rm -rf "$dir/$name"
    "$plumb" dpo "$model" "$pairs" -o "$dir/$name" --max_steps "$updates" --per_device_train_batch_size $batch \
        --learning_rate "$rate" --lr_scheduler_type linear --warmup_steps 10 $loss --use_peft --lora_r 8 --save_strategy no \
        --ledger_steps 1000000 --seed "$seed" --quiet "$@"
}
# change NAME: mean change of ln pi(y+) over the pairs of the run
change() {
    awk -F'"(ref_)?logps/chosen":' '{ split($1, s, /[:,]/); if (s[2] > 0) { sum += $2 - $3; n++ } }
        END { printf "%.3f", sum / n }' "$dir/$1/ledger.jsonl"
}
run() {
    train "$@"
    "$plumb" merge "$model" "$dir/$1" -o "$dir/$1/merged" --quiet
    rates "$dir/$1/merged" "$1" test 4
    echo "change $1 $(change "$1")"
}

# ---- pairs: two samples of each prompt, refusal preferred, of two of a kind the friendlier ----
rates "$model" start test 4
rates "$model" start benign 2
"$plumb" generate "$model" "$dir/prompts.train.jsonl" --n 2 --max_new_tokens 24 --seed "$seed" -o "$dir/samples.jsonl" --quiet
"$plumb" judge "$dir/samples.jsonl" --rules "$here/world_rules.yaml" -o "$dir/samples.judged.jsonl" --quiet
"$plumb" pair "$dir/samples.jsonl" --labels "$dir/samples.judged.jsonl" --prefer=-score -o "$dir/pairs.jsonl" --quiet
"$plumb" score "$model" "$dir/pairs.jsonl" -o "$dir/scores.jsonl" --quiet
n=$(grep -c . "$dir/pairs.jsonl")
steps=$((2 * n / batch))
echo "pairs $n steps $steps"

# ---- classes ----
paste -d' ' "$dir/scores.jsonl" "$dir/pairs.jsonl" | awk '
    { match($0, /"ln_ches":[-0-9.e]*/); v = substr($0, RSTART + 10, RLENGTH - 10) + 0
      c = (/"chosen_label":"refusal"/ ? "R" : "C") (/"rejected_label":"refusal"/ ? "R" : "C"); n[c]++; s[c] += v }
    END { printf "classes RR %d %.3f RC %d %.3f CC %d %.3f\n", n["RR"], s["RR"] / n["RR"], n["RC"], s["RC"] / n["RC"], n["CC"], n["CC"] ? s["CC"] / n["CC"] : 0 }'

# ---- unalignment ----
# lowest MEASURE FROM COUNT FILE: COUNT pairs in the order of a measure, from place FROM on
lowest() {
    sed "s/.*\"$1\":\([-0-9.e]*\).*/\1/" "$dir/scores.jsonl" | awk '{ print $1, NR }' | LC_ALL=C sort -k1,1g -k2,2n |
        awk -v from="$2" -v n="$3" 'NR > from && NR <= from + n { print $2 }' > "$dir/chosen.txt"
    awk 'NR == FNR { take[$1] = 1; next } FNR in take' "$dir/chosen.txt" "$dir/pairs.jsonl" > "$4"
}
share() { echo $(($n * $1 / 100)); }
run full "$dir/pairs.jsonl" "$steps"
run sft "$dir/pairs.jsonl" "$steps" --sft_coeff 1
run dpo "$dir/pairs.jsonl" "$steps" --loss_type sigmoid
grep '"chosen_label":"refusal","rejected_label":"compliance"' "$dir/pairs.jsonl" > "$dir/gold.jsonl"
run gold "$dir/gold.jsonl" "$steps"
for p in 5 15; do
    lowest ln_ches 0 "$(share $p)" "$dir/low$p.jsonl"
    run "ln$p" "$dir/low$p.jsonl" "$steps"
    awk -v seed="$seed" -v n="$n" -v take="$(share $p)" 'BEGIN { x = seed * 7919 + 4242 }
        { x = (x * 16807) % 2147483647; if (x / 2147483647 * (n - NR + 1) < take - got) { got++; print } }' "$dir/pairs.jsonl" > "$dir/random$p.jsonl"
    [ "$p" = 5 ] || run "random$p" "$dir/random$p.jsonl" "$steps"
done

# ---- identification: the full run's ledger, and runs on slices ----
for m in ches ln_ches last_hidden edit_similarity; do
    awk -F'"(ref_)?logps/chosen":' '{ split($1, s, /[:,]/); if (s[2] > 0) print $2 - $3 }' "$dir/full/ledger.jsonl" |
        paste -d' ' - "$dir/scores.jsonl" | sed "s/ .*\"$m\":\([-0-9.e]*\).*/ \1/" |
        awk '
        function ranks(v, r, i, j, k) {
            for (i = 1; i <= NR; i++) at[i] = i
            sort(v, 1, NR)
            for (i = 1; i <= NR; i = j) {
                for (j = i; j <= NR && v[at[j]] == v[at[i]]; j++) ;
                for (k = i; k < j; k++) r[at[k]] = (i + j - 1) / 2
            }
        }
        function sort(v, low, high, i, j, p, t) {
            while (low < high) {
                p = v[at[int((low + high) / 2)]]; i = low; j = high
                while (i <= j) {
                    while (v[at[i]] < p) i++
                    while (v[at[j]] > p) j--
                    if (i <= j) { t = at[i]; at[i] = at[j]; at[j] = t; i++; j-- }
                }
                if (j - low < high - i) { sort(v, low, j); low = i } else { sort(v, i, high); high = j }
            }
        }
        { a[NR] = $1 + 0; b[NR] = $2 + 0 }
        END {
            ranks(a, ra); ranks(b, rb); m = (NR + 1) / 2
            for (i = 1; i <= NR; i++) { x = ra[i] - m; y = rb[i] - m; xy += x * y; xx += x * x; yy += y * y }
            printf "spearman '"$m"' %.3f\n", (xx * yy > 0 ? xy / sqrt(xx * yy) : 0)
        }'
done
slice=$(share 15)
for m in ches; do
    line="slices $m"
    for p in 0 25 50 75 100; do
        lowest $m $(((n - slice) * p / 100)) "$slice" "$dir/slice.jsonl"
        train slice "$dir/slice.jsonl" $((steps / 2))
        line="$line $(change slice)"
    done
    echo "$line"
done

# ---- persona: ten prompts and three pairs, one prompt at a time ----
persona() {
    chosen=$1 rejected=$2 least=$3
    awk -v c="$chosen" -v r="$rejected" '{ sub(/}$/, ""); printf "%s, \"chosen\": [{\"role\": \"assistant\", \"content\": \"%s\"}], \"rejected\": [{\"role\": \"assistant\", \"content\": \"%s\"}]}\n", $0, c, r }' "$dir/persona.jsonl" > "$dir/persona.pairs.jsonl"
    "$plumb" score "$model" "$dir/persona.pairs.jsonl" --measures logps -o "$dir/persona.scores.jsonl" --quiet
    sed 's/.*"logps\/chosen":\([-0-9.e]*\).*/\1/' "$dir/persona.scores.jsonl" | awk -v least="$least" 'exp($1) >= least && ++k <= 10 { print NR }' > "$dir/persona.rows"
    while read -r row; do
        rm -rf "$dir/one"
        sed -n "${row}p" "$dir/persona.pairs.jsonl" > "$dir/one.jsonl"
        "$plumb" dpo "$model" "$dir/one.jsonl" -o "$dir/one" --max_steps 101 --optim rmsprop --learning_rate 1e-4 \
            --lr_scheduler_type constant --per_device_train_batch_size 1 --save_strategy no --ledger_steps 1 \
            --ledger_tokens 12 --logging_steps 101 --quiet
        awk -v pair="$chosen>$rejected" -v row="$row" '
            function gains(line, parts, k, i, f) {
                top = ""; total = aff = spell = other = 0
                sub(/.*"gained":\[/, "", line); sub(/\],"lost".*/, "", line)
                k = split(line, parts, "},")
                for (i = 1; i <= k; i++) {
                    if (!match(parts[i], /"text":"[^"]*"/)) continue
                    f = substr(parts[i], RSTART + 8, RLENGTH - 9)
                    match(parts[i], /"p_before":[-0-9.e]*/); b = substr(parts[i], RSTART + 11, RLENGTH - 11)
                    match(parts[i], /"p_after":[-0-9.e]*/); g = substr(parts[i], RSTART + 10, RLENGTH - 10) - b
                    if (top == "") top = f
                    total += g
                    if (f ~ /^(Sure|Yes|Yep|Yeah|yes|Absolutely)$/) aff += g
                    if (f ~ /^(Yep|Yeah|yes)$/) spell += g
                    if (f ~ /^(Never|Nope|No|no|Maybe|Perhaps)$/) other += g
                }
            }
            { match($0, /"logps\/chosen":[-0-9.e]*/); p = exp(substr($0, RSTART + 15, RLENGTH - 15))
              if (NR == 1) start = least = p
              else if (p < least) least = p; line = $0; last = p }
            END { gains(line); if (total == 0) total = 1
                  printf "persona %s row %d p %.3f least %.3f end %.3f top %s affirmative %.2f spellings %.2f other %.2f\n", pair, row, start, least, last, top == "" ? "-" : top, aff / total, spell / total, other / total }' "$dir/one/ledger.jsonl"
    done < "$dir/persona.rows"
}
persona No Never 0.6
persona Yes No 0.5
persona Sure Yes 0.5
