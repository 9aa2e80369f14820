#!/bin/sh
# ./run bench [all|score|size|linear|generate|filter|edit|train] [--data FILE] [--model FOLDER] [--shape SHAPE]
#             [--tokenizer FILE] [-n PAIRS] [--rows N] [--python PYTHON] [--work FOLDER]
# Prints one table: figure, value, yardstick in the same run, ratio, goal; and appends it to bench/results.csv with the CPU's
# flags and the commit. Without a name all figures.
set -eu
cd "$(dirname "$0")/.."
here=$(pwd)
shared=$here/../shared
what=all
case "${1:-}" in all | score | size | linear | generate | filter | edit | train) what=$1; shift ;; esac
work=""
data=$shared/data/ultrafeedback-1000.jsonl
tokenizer=$shared/data/tokenizers/olmo-1b.tokenizer.json
model=""
shape=olmo-1b
pairs=""
rows=10000000
python=python3
while [ $# -gt 0 ]; do
    case "$1" in
    --data) data=$2 ;;
    --model) model=$2 ;;
    --shape) shape=$2 ;;
    --work) work=$2 ;;
    --tokenizer) tokenizer=$2 ;;
    -n) pairs=$2 ;;
    --rows) rows=$2 ;;
    --python) python=$2 ;;
    *) echo "bench: unknown option $1" >&2; exit 2 ;;
    esac
    shift 2
done
case $shape in olmo-1b | gemma-2b | llama-3-8b) ;; *) echo "bench: no shape $shape: olmo-1b, gemma-2b, llama-3-8b" >&2; exit 2 ;; esac
built=$here/build/bench
work=${work:-$built}
mkdir -p "$built" "$work"
[ -f "$built/build.ninja" ] || cmake -S . -B "$built" -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_C_FLAGS_RELEASE="-O3 -DNDEBUG" -DPLUMB_BENCH=ON -DPLUMB_TESTS=OFF >/dev/null
cmake --build "$built" >&2
plumb=$built/plumb
threads=$(nproc)
flags=$(sed -n 's/^flags.*: //p' /proc/cpuinfo | head -n 1 | tr ' ' '\n' | grep -E '^(avx2|fma|f16c|avx512f|avx512bw|avx512_bf16)$' | tr '\n' ' ')
commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
seconds() { date +%s.%N; }
record() { # figure, value, yardstick, ratio, goal
    printf '%-48s %12s %12s %8s  %s\n' "$@"
    figure=$1
    case $figure in *,*) figure="\"$figure\"" ;; esac
    shift
    printf '%s,%s,%s,%s,%s,%s,%s,%s\n' "$(date -u +%Y-%m-%d)" "$commit" "$flags" "$figure" "$@" >>bench/results.csv
}
has_torch() { "$python" -c 'import torch, transformers' 2>/dev/null; }
# peak [ARITHMETIC [THREADS]]: GFLOP/s that its multiply-adds reach.
peak() {
    "$built/bin/bench_linear" --threads "${2:-$threads}" --rows 256 --seconds 0.02 --compute "${1:-fp32}" |
        sed -n '1s/.* peak \([0-9.]*\).*/\1/p'
}
ratio() { echo "$1 $2" | awk -v form="${3:-%.2f}" '{ printf form, $1 / $2 }'; }
gigabytes() { awk '{ printf "%.2f", $1 * 1.024e-6 }'; } # from the kilobytes of time(1), du and /proc
# room GIGABYTES WHAT: is there so much of the disk left? Says so if not.
room() {
    free=$(df -Pk "$work" | awk 'NR == 2 { print $4 }' | gigabytes)
    [ "${free%.*}" -ge "$1" ] || { echo "$2 is left out: it needs $1 GB of disk in $work, of which $free GB are free"; return 1; }
}
# checkpoint SHAPE LAYERS FOLDER: random bf16 weights; fails where the disk has no room for them.
checkpoint() {
    [ ! -d "$3" ] || return 0
    folder=$3
    case $1 in
    olmo-1b)
        room 3 "$1" || return 1
        set -- olmo "$folder" --num_hidden_layers "$2" --hidden_size 2048 --num_attention_heads 16 --intermediate_size 8192 \
            --vocab_size 50304 --max_position_embeddings 2048 --tie_word_embeddings true
        ;;
    gemma-2b)
        room 6 "$1" || return 1
        set -- gemma "$folder" --num_hidden_layers "$2" --hidden_size 2048 --num_attention_heads 8 --num_key_value_heads 1 \
            --head_dim 256 --intermediate_size 16384 --vocab_size 256000 --max_position_embeddings 8192 \
            --tie_word_embeddings true
        ;;
    llama-3-8b)
        room 17 "$1" || return 1
        set -- llama "$folder" --num_hidden_layers "$2" --hidden_size 4096 --num_attention_heads 32 --num_key_value_heads 8 \
            --intermediate_size 14336 --vocab_size 128256 --max_position_embeddings 8192 --tie_word_embeddings false
        ;;
    esac
    "$plumb" init "$@" --dtype bfloat16 --tokenizer "$tokenizer" --quiet
}
# The checkpoint of a shape with all its layers, unless --model names another one: in $model.
whole_checkpoint() {
    [ -z "$model" ] || return 0
    model=$work/$1
    case $1 in olmo-1b) layers=16 ;; gemma-2b) layers=18 ;; llama-3-8b) layers=32 ;; esac
    checkpoint "$1" "$layers" "$model"
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

# time_pairs OPTIONS...: seconds that plumb score takes for the pairs, in $took. The same pairs once and twice: the
# difference leaves out the start, as the yardstick's clock leaves out its loading.
time_pairs() {
    cat "$work/pairs.jsonl" "$work/pairs.jsonl" >"$work/twice.jsonl"
    for file in pairs twice; do
        start=$(seconds)
        with_peak "$plumb" score "$model" "$work/$file.jsonl" --max_length 512 --quiet -o "$work/$file.scores.jsonl" "$@"
        end=$(seconds)
        eval "time_$file=\$(echo $start $end | awk '{ print \$2 - \$1 }')"
    done
    took=$(echo "$time_pairs $time_twice" | awk '{ printf "%.4f", $2 - $1 }')
    flops=$(sed -n 's/.*"flops": \([0-9]*\).*/\1/p' "$work/pairs.scores.jsonl.meta.json")
    arithmetic=$(sed -n 's/.*"compute": "\([a-z0-9-]*\)".*/\1/p' "$work/pairs.scores.jsonl.meta.json" | head -n 1)
}

bench_score() {
    whole_checkpoint "$shape" || return 0
    pairs=${pairs:-4}
    subset
    label=score
    [ "$shape" = olmo-1b ] || label="score $shape"
    for compute in fp32 bf16; do
        time_pairs --threads "$threads" --compute $compute
        fma=$(peak "$arithmetic")
        ours=$(ratio "$took" "$pairs" %.4f)
        rate=$(echo "$flops $took" | awk '{ printf "%.1f", $1 / $2 / 1e9 }')
        case $compute in
        fp32) goal=0.80 dtype=float32 torch_goal=1.9 whole=$took ;;
        bf16) goal=0.75 dtype=bfloat16 torch_goal=1.65 ;;
        esac
        [ "$shape" != gemma-2b ] || torch_goal=2.2
        record "$label $arithmetic: GFLOP/s of the minimal work" "$rate" "$fma" "$(ratio "$rate" "$fma" %.3f)" "$goal of the peak"
        [ ! -f "$work/peak" ] || [ $compute = bf16 ] || record "$label: resident GB, checkpoint's GB" \
            "$(gigabytes <"$work/peak")" "$(du -skL "$model" | gigabytes)" \
            "$(du -skL "$model" | cut -f 1 | awk -v peak="$(cat "$work/peak")" '{ printf "%.2f", peak / $1 }')" "1.03"
        has_torch || continue
        theirs=$("$python" bench/torch_ches.py "$model" "$work/pairs.jsonl" -n "$pairs" --max-length 512 --threads "$threads" \
            --dtype $dtype 2>/dev/null | sed -n 's/.*"s_per_pair": \([0-9.]*\).*/\1/p')
        record "$label $arithmetic against PyTorch $dtype: s/pair" "$ours" "$theirs" "$(ratio "$theirs" "$ours")" "$torch_goal"
    done
    has_torch || echo "PyTorch and transformers are not here: no comparison (pip install torch transformers; --python PYTHON)"
    time_pairs --threads "$threads" --stream-layers
    record "$label --stream-layers: s, without" "$took" "$whole" "$(ratio "$whole" "$took")" "0.90"
    [ ! -f "$work/peak" ] || echo "    with $(gigabytes <"$work/peak") GB resident"
    time_pairs --threads 1
    record "$label: s with 1 thread, with 2" "$took" "$whole" "$(ratio "$took" "$whole")" "1.85"
    "$plumb" info "$model" >/dev/null
    start=$(seconds)
    "$plumb" info "$model" >/dev/null
    end=$(seconds)
    record "open and hash a checkpoint: s" "$(echo "$start $end" | awk '{ printf "%.3f", $2 - $1 }')" "-" "-" "0.2 s"
}

# What fits into which memory.
bench_size() {
    size_scoring
    model=""
    size_training
}

# size_run NAME GOAL OPTIONS...: scores the pairs once, start and reading included; seconds in $took, memory recorded.
size_run() {
    name=$1 goal=$2
    shift 2
    start=$(seconds)
    with_peak "$plumb" score "$model" "$work/pairs.jsonl" --max_length 512 --threads "$threads" --quiet "$@"
    end=$(seconds)
    took=$(echo "$start $end" | awk '{ printf "%.1f", $2 - $1 }')
    [ ! -f "$work/peak" ] || record "$name: GB resident" "$(gigabytes <"$work/peak")" "$goal" \
        "$(ratio "$(gigabytes <"$work/peak")" "$goal")" "1 at the most"
}

# The checkpoint goes again if it was made here. Two passes over the pairs find it in the page cache, where that is large
# enough; the third one reads it from the disk.
size_scoring() {
    shape=llama-3-8b own=""
    [ -n "$model" ] || [ -d "$work/$shape" ] || own=$work/$shape
    trap '[ -z "$own" ] || rm -rf "$own"' EXIT # after a failure too
    [ -z "$model" ] || shape=${model##*/}
    whole_checkpoint "$shape" || return 0
    pairs=${pairs:-2}
    subset
    cat "$model"/*.safetensors >/dev/null
    size_run "$shape" 16.5 -o "$work/whole.jsonl"
    whole=$took
    size_run "$shape --stream-layers" 2.5 --stream-layers -o "$work/streamed.jsonl"
    cmp "$work/whole.jsonl" "$work/streamed.jsonl"
    record "$shape --stream-layers: s, without" "$took" "$whole" "$(ratio "$whole" "$took")" "0.90"
    for file in "$model"/*.safetensors; do dd if="$file" iflag=nocache count=0 status=none; done
    size_run "$shape --stream-layers, from disk" 2.5 --stream-layers -o "$work/streamed.jsonl"
    record "$shape --stream-layers, from disk: s, without" "$took" "$whole" "$(ratio "$whole" "$took")" "0.90 in full batches"
    [ -z "$own" ] || rm -r "$own"
}

# All weights of the olmo-1b shape in fp32 with AdamW. What does not fit is not begun.
size_training() {
    goal=22
    whole_checkpoint olmo-1b || return 0
    free=$(sed -n 's/^MemAvailable: *\([0-9]*\).*/\1/p' /proc/meminfo | gigabytes)
    [ "${free%.*}" -ge 20 ] || { echo "olmo-1b with AdamW is left out: it needs 20 GB of memory, of which $free GB are free"; return 0; }
    room 5 "olmo-1b with AdamW" || return 0
    pairs=4
    subset
    rm -rf "$work/run"
    with_peak "$plumb" sft "$model" "$work/pairs.jsonl" -o "$work/run" --per_device_train_batch_size 2 --max_length 256 \
        --max_steps 2 --save_strategy no --threads "$threads" --quiet
    rm -rf "$work/run"
    [ ! -f "$work/peak" ] || record "olmo-1b, all weights by AdamW: GB resident" "$(gigabytes <"$work/peak")" "$goal" \
        "$(ratio "$(gigabytes <"$work/peak")" "$goal")" "1 at the most"
}

# The least share of the peak over all shapes, from 256 rows on.
bench_linear() {
    for arithmetic in fp32 bf16-dot; do
        "$built/bin/bench_linear" --threads "$threads" --compute $arithmetic --rows 256 512 1024 >"$work/linear" 2>/dev/null || continue
        cat "$work/linear"
        peak=$(sed -n '1s/.* peak \([0-9.]*\).*/\1/p' "$work/linear")
        least=$(grep -o '[0-9.]* ([ 0-9]*%)\|[0-9.]* ( *[0-9]* %)' "$work/linear" | sort -n | head -n 1 | cut -d ' ' -f 1)
        goal=0.88
        [ $arithmetic = fp32 ] || goal=0.80
        record "linear $arithmetic: least GFLOP/s, 256 rows on" "$least" "$peak" "$(ratio "$least" "$peak" %.3f)" "$goal"
    done
}

# One prompt, one completion at a time: every token reads every weight once.
bench_generate() {
    whole_checkpoint olmo-1b || return 0
    echo '{"prompt": "The"}' >"$work/prompt.jsonl"
    for tokens in 8 40; do
        start=$(seconds)
        "$plumb" generate "$model" "$work/prompt.jsonl" --temperature 0 --max_new_tokens $tokens --threads "$threads" --quiet \
            -o "$work/generated.jsonl"
        end=$(seconds)
        made=$(sed -n 's/.*"response_ids": *\[\([^]]*\)\].*/\1/p' "$work/generated.jsonl" | tr ',' '\n' | grep -c .)
        eval "time_$tokens=\$(echo $start $end | awk '{ print \$2 - \$1 }') made_$tokens=$made"
    done
    if [ "$made_40" -le "$made_8" ]; then
        echo "generate: the completion ended too soon for a measurement"
        return
    fi
    bytes=$("$plumb" info "$model" --json | sed -n 's/.*"bytes": *\([0-9]*\).*/\1/p' | head -n 1)
    memory=$("$built/bin/bench_memory" "$threads" | cut -d ' ' -f 1)
    ours=$(echo "$time_8 $time_40 $made_8 $made_40 $bytes" | awk '{ printf "%.2f", $5 * ($4 - $3) / ($2 - $1) / 1e9 }')
    record "generate, one at a time: GB/s of weights" "$ours" "$memory" "$(ratio "$ours" "$memory")" "0.80 of the memory"
}

bench_filter() {
    room $((rows / 3000000 + 1)) "filter" || return 0
    "$built/bin/bench_rows" "$rows" "$work/rows.jsonl" "$work/rows.scores.jsonl"
    bytes=$(cat "$work/rows.jsonl" "$work/rows.scores.jsonl" | wc -c)
    start=$(seconds)
    with_peak "$plumb" filter "$work/rows.jsonl" "$work/rows.scores.jsonl" --by ln_ches --keep-lowest 5% -o "$work/kept.jsonl" --quiet
    end=$(seconds)
    record "filter, $rows rows: MB/s read" "$(echo "$start $end $bytes" | awk '{ printf "%.0f", $3 / ($2 - $1) / 1e6 }')" "200" \
        "$(echo "$start $end $bytes" | awk '{ printf "%.2f", $3 / ($2 - $1) / 2e8 }')" "1"
    [ ! -f "$work/peak" ] || record "filter: bytes of memory a row" "$(awk -v n="$rows" '{ printf "%.1f", $1 * 1024 / n }' "$work/peak")" "16" "-" "16"
    rm -f "$work/rows.jsonl" "$work/rows.scores.jsonl" "$work/kept.jsonl"
}

bench_edit() {
    ours=$("$built/bin/bench_edit" 400 1 | sed 's/ .*//')
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
    [ -n "$model" ] || { model=$work/olmo-4-layers; checkpoint olmo-1b 4 "$model" || return 0; }
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
    has_torch || record "dpo: s/step" "$ours" "-" "-" "3 (TRL is not here)"
    for mode in "" --tuned; do
        has_torch || continue
        # shellcheck disable=SC2086
        "$python" bench/torch_dpo.py "$model" "$work/pairs.jsonl" $mode 2>"$work/torch.err" >"$work/torch.json" || {
            tail -n 3 "$work/torch.err" >&2
            echo "bench: bench/torch_dpo.py failed (pip install trl datasets); all it said is in $work/torch.err" >&2
            exit 1
        }
        theirs=$(sed -n 's/.*"s_per_step": \([0-9.]*\).*/\1/p' "$work/torch.json" | awk '{ printf "%.2f", $1 }')
        their_peak=$(sed -n 's/.*"peak_rss_gb": \([0-9.]*\).*/\1/p' "$work/torch.json" | awk '{ print 1e6 * $1 }' | gigabytes)
        case $mode in "") name=defaults goal=3 ;; *) name=tuned goal=2.2 ;; esac
        record "dpo against TRL $name: s/step" "$ours" "$theirs" "$(ratio "$theirs" "$ours")" "$goal"
        [ ! -f "$work/peak" ] || record "dpo against TRL $name: peak memory in GB" "$(gigabytes <"$work/peak")" \
            "$their_peak" "$(ratio "$their_peak" "$(gigabytes <"$work/peak")")" "1"
    done
}

printf '%s threads (%s)\n' "$threads" "$flags"
printf '%-48s %12s %12s %8s  %s\n' figure value yardstick ratio goal
case $what in
all)
    given=$model
    wanted=$pairs
    for what in linear score generate filter edit train size; do
        pairs=$wanted
        model=$given
        "bench_$what"
    done
    ;;
*) "bench_$what" ;;
esac
