# What was measured of this machine is kept for the next process: where, for what, and how to do without.
. "$(dirname "$0")/lib.sh"

model=$DATA/models/olmo
pairs=$DATA/pairs/pairs.jsonl
XDG_CACHE_HOME=$work/cache
export XDG_CACHE_HOME

# score [VARIABLE=VALUE...]: leaves what --compute bf16 came to in $arithmetic.
score()
{
    rm -f scores.jsonl*
    run env "$@" "$PLUMB" score "$model" "$pairs" --limit 1 --compute bf16 -q -o scores.jsonl
    arithmetic=$(sed -n 's/.*"compute": "\([^"]*\)".*/\1/p' scores.jsonl.meta.json 2>/dev/null | head -n 1)
}
# expect_arithmetic WORD
expect_arithmetic()
{
    [ "$arithmetic" = "$1" ] || complain "--compute bf16 came to $arithmetic; expected $1"
}
# keep GAIN: as if that had been measured.
keep()
{
    sed "s/\"bf16_dot_gain\": .*}/\"bf16_dot_gain\": $1}/" "$file" >kept && cp kept "$file"
}

begin "a word that is none"
score PLUMB_CALIBRATION=maybe
expect_code 2
expect_err 'PLUMB_CALIBRATION (environment): "maybe"; expected again or off'

begin "only what can be chosen is measured"
run "$PLUMB" score "$model" "$pairs" --limit 1
expect_code 0
run "$PLUMB" score "$model" "$pairs" --limit 1 --compute bf16-rounded
expect_code 0
score PLUMB_CALIBRATION=off
expect_code 0
expect_no_file cache

run "$PLUMB" score "$model" "$pairs" --limit 1 --compute bf16-dot
if [ "$code" != 0 ]; then
    begin "without bf16 dot products there is nothing to measure"
    expect_code 2
    expect_err "has no bf16 dot products on this CPU"
    score
    expect_code 0
    expect_arithmetic bf16-rounded
    expect_no_file cache
    echo "left out: a choice that is kept, as this CPU has no bf16 dot products"
    finish
fi

begin "it is measured once and kept"
score
expect_code 0
file=$(ls cache/plumb/calibration-*.json)
expect_file "$file"
grep -Eq '^\{"for": "plumb [0-9.]+ avx512( [0-9a-f.]+)+", "bf16_dot_gain": [0-9.]+\}$' "$file" || complain "holds $(cat "$file")"
first=$arithmetic
cp "$file" measured
score
expect_code 0
expect_arithmetic "$first"
expect_same "$file" measured

begin "what is kept decides"
for gain in 0.5:bf16-rounded 1.9:bf16-dot 2:bf16-dot 1:bf16-rounded; do
    keep "${gain%%:*}"
    score
    expect_code 0
    expect_arithmetic "${gain#*:}"
    expect_same "$file" kept
done

begin "off looks at nothing and leaves it, again measures anew"
keep 0.001
score PLUMB_CALIBRATION=off
expect_code 0
expect_same "$file" kept
score PLUMB_CALIBRATION=again
expect_code 0
cmp -s "$file" kept && complain "nothing was measured"
grep -q '"bf16_dot_gain": [0-9.]*}' "$file" || complain "holds $(cat "$file")"

begin "a file that is damaged, or of something else, is measured anew"
for text in '' '{' '[]' '{"bf16_dot_gain": 0.001}' '{"for": "plumb 0.0.1 avx512", "bf16_dot_gain": 0.001}' \
    "$(sed 's/"bf16_dot_gain": .*/"bf16_dot_gain": "fast"}/' measured)" \
    "$(sed 's/"bf16_dot_gain": .*/"bf16_dot_gain": -3}/' measured)"; do
    printf '%s' "$text" >"$file"
    score
    expect_code 0
    expect_no_err
    grep -Eq '^\{"for": "plumb [^"]*", "bf16_dot_gain": [0-9.]+\}$' "$file" || complain "holds $(cat "$file")"
    grep -q '0\.001' "$file" && complain "$text was believed"
done

begin "where nothing can be kept it is done without, silently"
for variable in XDG_CACHE_HOME=/dev/null/none XDG_CACHE_HOME="$pairs"; do
    score "$variable"
    expect_code 0
    expect_no_err
done
mkdir home
score XDG_CACHE_HOME= HOME=
expect_code 0
score XDG_CACHE_HOME=relative HOME="$work/home"
expect_code 0
expect_no_file relative
expect_file home/.cache/plumb/"$(basename "$file")"

finish
