# The frame around the commands: help, messages, exit codes, outputs that fail, interruption.
. "$(dirname "$0")/lib.sh"

i=0
while [ $i -lt 10 ]; do
    echo '{"n":"same"}'
    printf '{"index":%d,"row":"056fe8b9255a9e50","ln_ches":%d}\n' $i $i >&3
    i=$((i + 1))
done >data.jsonl 3>scores.jsonl

begin "help"
run "$PLUMB" --help
expect_code 0
expect_no_err
expect_out "Usage: plumb COMMAND"
expect_out "  filter "
cp stdout overview
run "$PLUMB" help
expect_same stdout overview
run "$PLUMB" -h
expect_same stdout overview
run "$PLUMB" filter --help
expect_code 0
expect_out "Usage: plumb filter DATA SCORES... [options]"
expect_out "default: ln_ches; PLUMB_BY]"
expect_out "Example:"
cp stdout filter_help
run "$PLUMB" help filter
expect_same stdout filter_help
run "$PLUMB" generate --help
expect_out "least 0; default: 0; PLUMB_TOP_K]" # not: at most what an int holds
run "$PLUMB" filter --nonsense -h
expect_same stdout filter_help

begin "no command"
run "$PLUMB"
expect_code 2
expect_no_out
expect_err "Usage: plumb COMMAND"

begin "version"
run "$PLUMB" --version
expect_code 0
grep -qxE 'plumb [0-9]+\.[0-9]+\.[0-9]+' stdout || complain "not a version"
cp stdout version
run "$PLUMB" filter --version
expect_same stdout version

begin "threads spin briefly when they wait, unless the environment says otherwise"
run env -u OMP_WAIT_POLICY -u GOMP_SPINCOUNT OMP_DISPLAY_ENV=true "$PLUMB" --version
expect_code 0
expect_same stdout version
run env -u OMP_WAIT_POLICY -u GOMP_SPINCOUNT OMP_DISPLAY_ENV=verbose "$PLUMB" --version
[ "$(grep -c "GOMP_SPINCOUNT = '1000'" stderr)" -eq 1 ] || complain "they do not spin briefly"
run env OMP_WAIT_POLICY=active OMP_DISPLAY_ENV=true "$PLUMB" --version
expect_code 0
grep -q "OMP_WAIT_POLICY *= *'ACTIVE'" stderr || complain "another policy"

begin "unknown commands and options"
run "$PLUMB" fliter
expect_code 2
expect_no_out
expect_err "plumb: error: fliter: unknown command"
expect_err "  did you mean plumb filter?"
run "$PLUMB" help fliter
expect_code 2
expect_err "did you mean plumb filter?"
run "$PLUMB" zebra
expect_code 2
expect_err "plumb help lists the commands"
run "$PLUMB" --verbose
expect_code 2
expect_err "--verbose: unknown option"
run "$PLUMB" --verison
expect_code 2
expect_err "did you mean plumb --version?"
run "$PLUMB" init gemma3 new
expect_code 2
expect_err "did you mean gemma3_text?"
run "$PLUMB" filter data.jsonl scores.jsonl --keep_lowst 5%
expect_code 2
expect_err "--keep_lowst: unknown option"
expect_err "did you mean --keep-lowest?"
run "$PLUMB" filter data.jsonl
expect_code 2
expect_err "SCORES is missing"
expect_err "usage: plumb filter DATA SCORES... [options]"
run "$PLUMB" filter data.jsonl scores.jsonl --below x
expect_code 2
expect_err '--below: "x" is not a number'
run "$PLUMB" filter data.jsonl scores.jsonl --below 3 --limit 0
expect_code 2
expect_err "--limit: 0 is less than 1"
run "$PLUMB" score model data.jsonl --threads 0
expect_code 2
expect_err "--threads: 0 is not in 1..1024"
run "$PLUMB" filter data.jsonl scores.jsonl --below 3 --range 5:2
expect_code 2
expect_err "--range: 5:2 holds no row"

begin "the environment"
PLUMB_BELOW=3 run "$PLUMB" filter data.jsonl scores.jsonl
expect_code 0
expect_err "kept 3"
PLUMB_BELOW=3 run "$PLUMB" filter data.jsonl scores.jsonl --below 2
expect_err "kept 2"
PLUMB_BELOW=x run "$PLUMB" filter data.jsonl scores.jsonl
expect_code 2
expect_err 'PLUMB_BELOW (environment): "x" is not a number'

begin "inputs that are not there"
run "$PLUMB" filter nowhere.jsonl scores.jsonl --below 3 -o out.jsonl
expect_code 2
expect_err "nowhere.jsonl"
expect_no_file out.jsonl.partial
expect_no_file out.jsonl.partial.meta.json
run "$PLUMB" filter . scores.jsonl --below 3
expect_code 2

begin "outputs that cannot be created"
run "$PLUMB" filter data.jsonl scores.jsonl --below 3 -o no/such/folder/out.jsonl
expect_code 2
expect_err "no/such/folder/out.jsonl"
mkdir folder
run "$PLUMB" filter data.jsonl scores.jsonl --below 3 -o folder
expect_code 2

begin "a full disk"
run "$PLUMB" filter data.jsonl scores.jsonl --below 3 -o /dev/full
expect_code 3
expect_err "/dev/full: writing failed: No space left on device"
"$PLUMB" --help >/dev/full 2>stderr
code=$?
expect_code 3
expect_err "<stdout>: writing failed"
"$PLUMB" filter --help >/dev/full 2>stderr
code=$?
expect_code 3
"$PLUMB" --version >/dev/full 2>stderr
code=$?
expect_code 3

begin "a limit on the size of files"
(
    ulimit -f 1
    "$PLUMB" filter data.jsonl scores.jsonl --below 30 -o large.jsonl 2>"$work/stderr" # its record alone is larger
    echo $? >code
)
code=$(cat code)
expect_code 3
expect_err "File too large"
expect_no_file large.jsonl

begin "a reader that goes away"
{
    "$PLUMB" filter data.jsonl scores.jsonl --below 3 2>stderr
    echo $? >code
} | sleep 0
code=$(cat code)
case $code in 0 | 3) ;; *) complain "exit code $code after a closed pipe" ;; esac

begin "device outputs are written directly"
run "$PLUMB" filter data.jsonl scores.jsonl --below 2 -o /dev/stdout
expect_code 0
expect_text stdout '{"n":"same"}\n{"n":"same"}\n'
run "$PLUMB" filter data.jsonl scores.jsonl --below 2 --resume
expect_code 2
expect_err "--resume: there is no partial file to go on with"

begin "quiet"
run "$PLUMB" filter data.jsonl scores.jsonl --below 2 -q -o out.jsonl
expect_code 0
expect_no_out
expect_no_err
run "$PLUMB" filter data.jsonl scores.jsonl --bellow 2 -q
expect_code 2
expect_err "did you mean --below?" # errors are told

# ---- interruption ----

# Plumb reads rows from a pipe and gets the signal while it does. feed NAME: rows, signal NAME, and one row more, so that
# plumb looks up in any case. The rows are more than thrice what a pipe holds (64 KiB): whoever has written the last of
# them knows that plumb came back for more, and so has written some. Stopped before its first row it would leave nothing
# to go on with. Plumb runs in the foreground: in the background of a script SIGINT would be ignored.
feed()
{
    {
        : >fed
        head -n 50000 many.jsonl >&3
        kill -s "$1" "$(cat pid)"
        tail -n 1 many.jsonl >&3
    } 3>pipe
}

# Ends what runs beside plumb. Once the pipe is open it ends by itself (and must: whatever it started would outlive it
# and write into the pipe of the next case); when plumb did not open the pipe it would wait for ever.
end_feeder()
{
    [ -e fed ] || kill "$feeder" 2>/dev/null
    wait
    rm -f fed
}

foreground()
{
    # shellcheck disable=SC2016
    sh -c 'echo $$ >pid; exec "$@"' sh "$PLUMB" "$@" >stdout 2>stderr
    code=$?
}

mkfifo pipe
awk 'BEGIN { for (i = 0; i <= 50000; i++) print "{\"n\":\"same\"}" }' >many.jsonl
awk 'BEGIN { for (i = 0; i <= 50000; i++) printf "{\"index\":%d,\"row\":\"056fe8b9255a9e50\",\"ln_ches\":%d}\n", i, i % 10 }' \
    >many.scores
signals="INT:130:Ctrl-C TERM:143:SIGTERM"
if sh -c 'kill -s INT $$; exit 0'; then
    signals=TERM:143:SIGTERM
    echo "$test_name: SIGINT is ignored by whoever started this test; only SIGTERM is tried"
fi
for each in $signals; do
    signal=${each%%:*}
    rest=${each#*:}
    begin "$signal leaves the partial file and tells how to go on"
    rm -f pid
    feed "$signal" &
    feeder=$!
    foreground filter pipe many.scores --below 8 -o "it's.jsonl" --quiet
    end_feeder
    expect_code "${rest%:*}"
    expect_err "stopped by ${rest#*:}"
    expect_err "what was done is in it's.jsonl.partial; go on with:"
    expect_err "plumb filter --resume pipe many.scores --below 8 -o 'it'\\''s.jsonl' --quiet"
    expect_file "it's.jsonl.partial"
    expect_file "it's.jsonl.partial.meta.json"
    expect_no_file "it's.jsonl"

    begin "going on after $signal"
    run "$PLUMB" filter pipe many.scores --below 7 -o "it's.jsonl" --resume # the pipe is not even opened
    expect_code 2
    expect_err "it's.jsonl.partial: was made with --below 8.0, now it is 7.0"
    expect_file "it's.jsonl.partial"
    cat many.jsonl >pipe &
    feeder=$!
    run "$PLUMB" filter pipe many.scores --below 8 -o "it's.jsonl" --resume --quiet
    end_feeder
    expect_code 0
    head -n 40001 many.jsonl >expected # 8 of 10
    expect_same "it's.jsonl" expected
    expect_file "it's.jsonl.meta.json"
    expect_no_file "it's.jsonl.partial"
    expect_no_file "it's.jsonl.partial.meta.json"
    rm -f "it's.jsonl" "it's.jsonl.meta.json"
done

begin "nothing to go on with"
head -n 8 data.jsonl >expected
run "$PLUMB" filter data.jsonl scores.jsonl --below 8 -o out.jsonl --resume
expect_code 0
expect_err "note: there is no"
expect_err "out.jsonl.partial to go on with; starting from the beginning"
expect_same out.jsonl expected

begin "a partial file of changed data"
head -c 26 data.jsonl >out.jsonl.partial
sed 's/same/SAME/' out.jsonl.partial >changed
cp changed out.jsonl.partial
sed 's/"rows"/"old_rows"/' out.jsonl.meta.json >out.jsonl.partial.meta.json
run "$PLUMB" filter data.jsonl scores.jsonl --below 8 -o out.jsonl --resume
expect_code 2
expect_err "the partial output holds other rows than this run would write"
expect_same out.jsonl.partial changed
rm out.jsonl.partial.meta.json
run "$PLUMB" filter data.jsonl scores.jsonl --below 8 -o out.jsonl --resume
expect_code 2
expect_err "out.jsonl.partial.meta.json is missing"
run "$PLUMB" filter data.jsonl scores.jsonl --below 8 -o out.jsonl
expect_code 0
expect_err "note: out.jsonl.partial, left by an interrupted run, is written anew"
expect_same out.jsonl expected

begin "the second signal ends it at once"
# Nobody reads the output, so that the first signal alone would leave plumb waiting with the rows it has.
rm -f pid
{
    # Opened before the signals, for plumb to come as far as writing.
    exec 3<pipe
    while kill -s TERM "$(cat pid)" 2>/dev/null; do sleep 0.1; done
} &
feeder=$!
foreground filter many.jsonl many.scores --below 8 -o pipe
end_feeder
expect_code 143

# ---- on a terminal ----

if command -v script >/dev/null && script -qec true /dev/null >/dev/null 2>&1; then
    begin "colours on a terminal"
    TERM=xterm script -qec "'$PLUMB' zebra" /dev/null </dev/null >stdout 2>stderr
    expect_out "$(printf '\033[1;31merror:\033[0m zebra')"
    begin "no colours with NO_COLOR"
    NO_COLOR=1 TERM=xterm script -qec "'$PLUMB' zebra" /dev/null </dev/null >stdout 2>stderr
    expect_out "plumb: error: zebra"
    begin "no colours on a dumb terminal"
    TERM=dumb script -qec "'$PLUMB' zebra" /dev/null </dev/null >stdout 2>stderr
    expect_out "plumb: error: zebra"
else
    echo "$test_name: no script(1) or no pseudo-terminal here; a terminal is not tried"
fi

finish
