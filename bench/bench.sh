#!/bin/sh
# ./run bench [score|linear|edit|train] [--data FILE] [--model FOLDER] [--tokenizer FILE] [-n PAIRS] [--python PYTHON]
# Prints figures as ratios against a yardstick in the same run, and appends them to bench/results.csv.
set -eu
cd "$(dirname "$0")/.."
here=$(pwd)
shared=$here/../shared
what=score
case "${1:-}" in score | linear | edit | train) what=$1; shift ;; esac
data=$shared/data/ultrafeedback-1000.jsonl
tokenizer=$shared/data/tokenizers/olmo-1b.tokenizer.json
model=""
pairs=4
python=python3
while [ $# -gt 0 ]; do
    case "$1" in
    --data) data=$2 ;;
    --model) model=$2 ;;
    --tokenizer) tokenizer=$2 ;;
    -n) pairs=$2 ;;
    --python) python=$2 ;;
    *) echo "bench: unknown option $1" >&2; exit 2 ;;
    esac
    shift 2
done
work=$here/build/bench
mkdir -p "$work"
[ -x "$work/bin/bench_linear" ] || cmake -S . -B "$work" -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_C_FLAGS_RELEASE="-O3 -DNDEBUG" -DPLUMB_BENCH=ON -DPLUMB_TESTS=OFF >/dev/null
cmake --build "$work" >&2
plumb=$work/plumb
threads=$(nproc)
flags=$(sed -n 's/^flags.*: //p' /proc/cpuinfo | head -n 1 | tr ' ' '\n' | grep -E '^(avx2|fma|f16c|avx512f|avx512bw|avx512_bf16)$' | tr '\n' ' ')
commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
seconds() { date +%s.%N; }
record() { # figure, value, yardstick, ratio, goal
    printf '%-44s %14s %14s %8s  goal %s\n' "$@"
    printf '%s,%s,%s,%s,%s,%s,%s,%s\n' "$(date -u +%Y-%m-%d)" "$commit" "$flags" "$@" >>bench/results.csv
}
has_torch() { "$python" -c 'import torch, transformers' 2>/dev/null; }
peak_line() { "$work/bin/bench_linear" --threads "$threads" --rows 256 --seconds 0.02 | head -n 1; }
peak() { peak_line | sed -n 's/.*FMA peak \([0-9.]*\).*/\1/p'; }
checkpoint() { # LAYERS FOLDER: the olmo-1b shape with random bf16 weights
    [ -d "$2" ] || "$plumb" init olmo "$2" --hidden_size 2048 --num_hidden_layers "$1" --num_attention_heads 16 \
        --intermediate_size 8192 --vocab_size 50304 --max_position_embeddings 2048 --tie_word_embeddings true \
        --dtype bfloat16 --tokenizer "$tokenizer" --quiet
}
# COMMAND...: leaves its peak memory in kB, where time(1) is here.
with_peak() {
    rm -f "$work/peak"
    if [ -x /usr/bin/time ]; then /usr/bin/time -o "$work/peak" -f %M "$@"; else "$@"; fi
}
need_data() { [ -f "$data" ] || { echo "bench: $data is not here; give --data FILE (prompt, chosen, rejected as strings)" >&2; exit 2; }; }

# The rows whose prompt is shorter than 512 tokens, the first N: the same for both programs. Their responses must be strings.
subset() {
    need_data
    "$plumb" score "$model" "$data" --measures edit --max_length 512 --limit $((pairs * 3 + 20)) --quiet |
        grep -v skipped | head -n "$pairs" | sed 's/^{"index":\([0-9]*\).*/\1/' >"$work/rows"
    awk 'NR == FNR { keep[$1 + 1] = 1; next } FNR in keep' "$work/rows" "$data" >"$work/pairs.jsonl"
}

bench_score() {
    [ -n "$model" ] || { model=$work/olmo-1b; checkpoint 16 "$model"; }
    subset
    fma=$(peak)
    # The same pairs once and twice: the difference leaves out the start, as the yardstick's clock leaves out its loading.
    cat "$work/pairs.jsonl" "$work/pairs.jsonl" >"$work/twice.jsonl"
    for file in pairs twice; do
        start=$(seconds)
        "$plumb" score "$model" "$work/$file.jsonl" --max_length 512 --threads "$threads" --quiet -o "$work/$file.scores.jsonl"
        end=$(seconds)
        eval "time_$file=\$(echo $start $end | awk '{ print \$2 - \$1 }')"
    done
    flops=$(sed -n 's/.*"flops": \([0-9]*\).*/\1/p' "$work/pairs.scores.jsonl.meta.json")
    ours=$(echo "$time_pairs $time_twice $pairs" | awk '{ printf "%.4f", ($2 - $1) / $3 }')
    rate=$(echo "$flops $ours $pairs" | awk '{ printf "%.1f", $1 / $2 / $3 / 1e9 }')
    printf 'score: %s pairs, max_length 512, %s threads (%s)\n' "$pairs" "$threads" "$flags"
    printf 'minimal work %.3f TFLOP; FMA peak measured in this run %s GFLOP/s\n' "$(echo "$flops" | awk '{ print $1 / 1e12 }')" "$fma"
    record "score fp32: GFLOP/s of the minimal work" "$rate" "$fma" "$(echo "$rate $fma" | awk '{ printf "%.3f", $1 / $2 }')" "0.80 of the peak"
    if has_torch; then
        for mode in "float32" "float32 --lean"; do
            # shellcheck disable=SC2086
            theirs=$("$python" bench/torch_ches.py "$model" "$work/pairs.jsonl" -n "$pairs" --max-length 512 --threads "$threads" --dtype $mode 2>/dev/null | sed -n 's/.*"s_per_pair": \([0-9.]*\).*/\1/p')
            record "score fp32 against PyTorch $mode: s/pair" "$ours" "$theirs" "$(echo "$theirs $ours" | awk '{ printf "%.2f", $1 / $2 }')" "1.7"
        done
    else
        echo "PyTorch and transformers are not here: no comparison (pip install torch transformers; --python PYTHON)"
    fi
}

bench_linear() { "$work/bin/bench_linear" --threads "$threads"; }

bench_edit() {
    ours=$("$work/bin/bench_edit" 400 1 | sed 's/ .*//')
    theirs=$("$python" - <<'PY'
import random, time
def distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        prev, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            prev, row[j] = row[j], min(prev + (x != y), row[j] + 1, row[j - 1] + 1)
    return row[-1]
random.seed(1)
a, b = ([random.randrange(2000) for _ in range(400)] for _ in "ab")
t = time.time(); n = 0
while time.time() - t < 2: distance(a, b); n += 1
print(n / (time.time() - t))
PY
)
    record "edit distance of 400 tokens: pairs/s" "$ours" "$(printf '%.2f' "$theirs")" "$(echo "$ours $theirs" | awk '{ printf "%.0f", $1 / $2 }')" "1000"
}

bench_train() {
    [ -n "$model" ] || { model=$work/olmo-4-layers; checkpoint 4 "$model"; }
    pairs=8
    subset
    # Steps alone: the difference of two runs, as TRL's clock leaves out its first step and the start too.
    for steps in 1 4; do
        rm -rf "$work/run"
        start=$(seconds)
        with_peak "$plumb" dpo "$model" "$work/pairs.jsonl" -o "$work/run" --per_device_train_batch_size 2 --max_length 512 \
            --max_steps $steps --train_sampling_strategy sequential --ledger_steps 1000 --save_strategy no \
            --threads "$threads" --quiet
        end=$(seconds)
        eval "time_$steps=\$(echo $start $end | awk '{ print \$2 - \$1 }')"
    done
    ours=$(echo "$time_1 $time_4" | awk '{ printf "%.2f", ($2 - $1) / 3 }')
    printf 'dpo: 4 layers of the olmo-1b shape, batch 2, max_length 512; a whole run of 4 steps, with reference pass, ledger and\n'
    printf 'writing, took %s s\n' "$time_4"
    if has_torch; then
        "$python" bench/torch_dpo.py "$model" "$work/pairs.jsonl" 2>"$work/torch.err" >"$work/torch.json" || {
            tail -n 3 "$work/torch.err" >&2
            echo "bench: bench/torch_dpo.py failed (pip install trl datasets); all it said is in $work/torch.err" >&2
            exit 1
        }
        theirs=$(sed -n 's/.*"s_per_step": \([0-9.]*\).*/\1/p' "$work/torch.json" | awk '{ printf "%.2f", $1 }')
        their_peak=$(sed -n 's/.*"peak_rss_gb": \([0-9.]*\).*/\1/p' "$work/torch.json" | awk '{ printf "%.2f", $1 }')
        record "dpo against TRL defaults: s/step" "$ours" "$theirs" "$(echo "$theirs $ours" | awk '{ printf "%.2f", $1 / $2 }')" "2"
        [ ! -f "$work/peak" ] || record "dpo against TRL defaults: peak memory in GB" "$(awk '{ printf "%.2f", $1 / 1e6 }' "$work/peak")" "$their_peak" \
            "$(awk -v theirs="$their_peak" '{ printf "%.2f", theirs / ($1 / 1e6) }' "$work/peak")" "1"
    else
        record "dpo: s/step" "$ours" "-" "-" "2 (TRL is not here)"
    fi
}

"bench_$what"
