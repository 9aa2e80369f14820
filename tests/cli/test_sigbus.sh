#!/bin/sh
# A mapped checkpoint that shrinks while it is read ends in a message, not in a core dump.
. "$(dirname "$0")/lib.sh"
: "${DATA:?}"

# Plumb scores rows from a pipe, and gets one. Once FILE.partial is there the checkpoint is mapped and checked, and one row
# is no batch yet: now its file is cut, and the rows that follow make plumb read beyond the end.
cut_while_scoring()
{
    cp -r "$DATA/models/$1" model
    chmod -R u+w model
    weights=$(ls model/*.safetensors | head -n 1)
    rm -f out.jsonl* pipe
    mkfifo pipe
    {
        exec 3>pipe # opened when plumb opens it
        head -n 1 "$DATA/pairs/pairs.jsonl" >&3
        tries=0
        while [ ! -e out.jsonl.partial ] && [ $tries -lt 600 ]; do
            tries=$((tries + 1))
            sleep 0.1
        done
        head -c 4096 "$weights" >start
        cat start >"$weights"
        tail -n +2 "$DATA/pairs/pairs.jsonl" >&3
    } &
    feeder=$!
    shift
    run "$PLUMB" score model pipe -o out.jsonl "$@"
    kill $feeder 2>/dev/null # if plumb never opened the pipe it would wait for ever
    wait
}

for each in olmo:1 llama3-chat-sharded:4; do
    rm -rf model
    begin "${each%:*} is cut, ${each#*:} threads"
    cut_while_scoring "${each%:*}" --threads "${each#*:}"
    expect_code 3
    expect_no_out
    expect_err "plumb: error: $(pwd -P)/model/model"
    expect_err ".safetensors: became shorter while it was read"
    expect_err "and run again"
    [ "$(grep -c 'became shorter' stderr)" -eq 1 ] || complain "told more than once"
    expect_file out.jsonl.partial
    expect_file out.jsonl.partial.meta.json
    expect_no_file out.jsonl
    expect_no_file core
done

begin "a SIGBUS from elsewhere is not taken for one"
ulimit -c 0 # it does what it always did
rm -f pipe
mkfifo pipe
"$PLUMB" score "$DATA/models/olmo" - <pipe >stdout 2>stderr &
process=$!
exec 3>pipe
sleep 0.5
kill -s BUS $process
exec 3>&-
wait $process
code=$?
case $code in
0 | 1 | 2 | 3) complain "exit code $code after SIGBUS" ;;
esac
grep -q "became shorter" stderr && complain "an input file is blamed"
finish
