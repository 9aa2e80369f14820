# plumb filter as a user runs it.
. "$(dirname "$0")/lib.sh"

# Ten rows {"n":0} .. {"n":9} and their hashes (XXH3-64).
hash_of()
{
    case $1 in
    0) echo e370d2872faf6297 ;;
    1) echo b574ab104d6c3b07 ;;
    2) echo 968dd0ed3a5f152e ;;
    3) echo 266ba5f830a9991e ;;
    4) echo 510dcf269dbab01d ;;
    5) echo 86d135544916121b ;;
    6) echo 62ef2802e337d341 ;;
    7) echo f9d0845e09001800 ;;
    8) echo 4d04becc7c2bc720 ;;
    9) echo 7d4d4f71488623cc ;;
    esac
}

# rows N...: these data rows.
rows()
{
    for n in "$@"; do printf '{"n":%d}\n' "$n"; done
}

# scores INDEX:VALUE...: score rows with that ln_ches; ches is ten times it. VALUE skip: a skipped row.
scores()
{
    for pair in "$@"; do
        index=${pair%%:*}
        value=${pair#*:}
        printf '{"index":%d,"row":"%s",' "$index" "$(hash_of "$index")"
        if [ "$value" = skip ]; then
            printf '"skipped":"prompt_too_long"}\n'
        else
            printf '"ches":%se1,"ln_ches":%s,"logps/chosen":-%d,"truncated":false}\n' "$value" "$value" "$index"
        fi
    done
}

rows 0 1 2 3 4 5 6 7 8 9 >ten.jsonl
scores 0:-1 1:-5 2:skip 3:-3 4:2 5:-3 6:7 7:-9 8:0 9:-3 >scores.jsonl

begin "the paper's filter"
run "$PLUMB" filter ten.jsonl scores.jsonl --by ln_ches --keep-lowest 5% -o out.jsonl
expect_code 0
expect_no_out
rows 2 7 >expected.jsonl
expect_same out.jsonl expected.jsonl
expect_err "ten.jsonl: 10 rows read, 9 scored, 1 skipped (kept)"
expect_err "kept 1: ln_ches from -9 (row 7) to -9 (row 7)"
expect_err "dropped 8: ln_ches from -5 (row 1) to 7 (row 6)"
expect_err "cut between -9 (row 7, kept) and -5 (row 1, dropped)"
expect_no_file out.jsonl.partial
expect_no_file out.jsonl.partial.meta.json

begin "the record of the run"
run cat out.jsonl.meta.json
expect_out '"command": "filter"'
expect_out '"keep_lowest": "5%"'
expect_out '"output": "out.jsonl"'
expect_out '"by": "ln_ches"'
expect_out '"path": "ten.jsonl"'
expect_out '"path": "scores.jsonl"'
expect_out '"rows": 10'
expect_out '"kept": 1'
expect_out '"written": 2'

begin "of equal scores the first rank lower"
run "$PLUMB" filter ten.jsonl scores.jsonl --keep_lowest 4 --drop_skipped
expect_code 0
rows 1 3 5 7 >expected.jsonl
expect_same stdout expected.jsonl
expect_err "1 skipped (dropped)"
expect_err "cut between -3 (row 5, kept) and -3 (row 9, dropped); of equal scores the row that comes first ranks lower"

begin "the highest go"
run "$PLUMB" filter ten.jsonl scores.jsonl --drop-top 25% --drop-skipped # floor(2.25)
expect_code 0
rows 0 1 3 5 7 8 9 >expected.jsonl
expect_same stdout expected.jsonl

begin "below a bound, which may be negative"
run "$PLUMB" filter ten.jsonl scores.jsonl --below -3 --drop-skipped --quiet
expect_code 0
expect_no_err
rows 1 7 >expected.jsonl
expect_same stdout expected.jsonl
run "$PLUMB" filter ten.jsonl scores.jsonl --below=-3e0 --drop-skipped -o -
expect_same stdout expected.jsonl
expect_err "cut at -3"
expect_no_file -.meta.json

begin "slices"
run "$PLUMB" filter ten.jsonl scores.jsonl --slice 50:3 --drop-skipped
expect_code 0
rows 0 5 9 >expected.jsonl # ranks 3..5 of 9: the second and third -3, and -1
expect_same stdout expected.jsonl
expect_err "cut between -3 (row 5, kept) and -3 (row 3, dropped)"
expect_err "cut between -1 (row 0, kept) and 0 (row 8, dropped)"
run "$PLUMB" filter ten.jsonl scores.jsonl --slice 100:2 --drop-skipped
rows 4 6 >expected.jsonl
expect_same stdout expected.jsonl
run "$PLUMB" filter ten.jsonl scores.jsonl --slice 50:10
expect_code 2
expect_err "a slice of 10 rows: only 9 rows are scored"

begin "a random share"
run "$PLUMB" filter ten.jsonl scores.jsonl --random 40% --drop-skipped # ceil(3.6)
expect_code 0
[ "$(wc -l <stdout)" -eq 4 ] || complain "not 4 rows"
expect_err "kept 4: ln_ches from"
if grep -q "cut between" stderr; then complain "there is no cut in the scores"; fi
cp stdout first.jsonl
run "$PLUMB" filter ten.jsonl scores.jsonl --by ches --random 4 --seed 42 --drop-skipped # by the seed alone
expect_same stdout first.jsonl
run "$PLUMB" filter ten.jsonl scores.jsonl --random 6 --drop-skipped # more holds less
[ "$(wc -l <stdout)" -eq 6 ] || complain "not 6 rows"
while read -r row; do grep -qxF "$row" stdout || complain "$row is not among the 6"; done <first.jsonl
run "$PLUMB" filter ten.jsonl scores.jsonl --random 4 --seed 7 --drop-skipped
if cmp -s stdout first.jsonl; then complain "another seed, the same rows"; fi
run "$PLUMB" filter ten.jsonl scores.jsonl --range 3: --random 100% --drop-skipped
rows 3 4 5 6 7 8 9 >expected.jsonl
expect_same stdout expected.jsonl
for n in $(seq 1 300); do "$PLUMB" filter ten.jsonl scores.jsonl --random 3 --seed "$n" --drop-skipped -q; done |
    sort | uniq -c | awk '{ if ($1 < 70 || $1 > 130) bad++; n++ } END { exit !(n == 9 && !bad) }' ||
    complain "not every row has the same chance" # 300 * 3 / 9 = 100 each, standard deviation 8.2

begin "percentages are exact"
awk 'BEGIN { for (i = 0; i < 1000; i++) print "{\"n\":\"same\"}" }' >thousand.jsonl
awk 'BEGIN { for (i = 0; i < 1000; i++) printf "{\"index\":%d,\"row\":\"056fe8b9255a9e50\",\"ln_ches\":%d}\n", i, i }' \
    >thousand.scores.jsonl
for case in 5%:50 0.1%:1 0.05%:1 7%:70 29%:290 100%:1000 0:0; do
    run "$PLUMB" filter thousand.jsonl thousand.scores.jsonl --keep-lowest "${case%:*}"
    [ "$(wc -l <stdout)" -eq "${case#*:}" ] || complain "${case%:*} of 1000 is $(wc -l <stdout)"
done

begin "other measures"
run "$PLUMB" filter ten.jsonl scores.jsonl --by logps/chosen --keep-lowest 2 --drop-skipped
expect_code 0
rows 8 9 >expected.jsonl
expect_same stdout expected.jsonl
run "$PLUMB" filter ten.jsonl scores.jsonl --by lnches --keep-lowest 2
expect_code 2
expect_err 'plumb: error: scores.jsonl:1: there is no field "lnches"; numeric fields here: ches, ln_ches, logps/chosen'
expect_err "  did you mean --by ln_ches?"
PLUMB_BY=ches run "$PLUMB" filter ten.jsonl scores.jsonl --keep-lowest 2
expect_err "ches from -90 (row 7) to -50 (row 1)"

begin "rows come out as they went in"
printf '{"word":"caf\303\251 \360\237\222\247"}\r\n\n   \n{"n":1}' >odd.jsonl
printf '{"index":0,"row":"e7733362c0585897","ln_ches":1}\n{"index":1,"row":"%s","ln_ches":2}' "$(hash_of 1)" >odd.scores
run "$PLUMB" filter odd.jsonl odd.scores --below 5
expect_code 0
expect_text stdout '{"word":"caf\303\251 \360\237\222\247"}\r\n{"n":1}'
run "$PLUMB" filter odd.jsonl odd.scores --keep-lowest 1
expect_text stdout '{"word":"caf\303\251 \360\237\222\247"}\r\n'

begin "gzip input, plain output"
gzip -c ten.jsonl >ten.jsonl.gz
gzip -c scores.jsonl >scores.jsonl.gz
run "$PLUMB" filter ten.jsonl.gz scores.jsonl.gz --keep-lowest 1 -o out.jsonl
expect_code 0
rows 2 7 >expected.jsonl
expect_same out.jsonl expected.jsonl
run "$PLUMB" filter ten.jsonl scores.jsonl --keep-lowest 1 -o out.jsonl.gz
expect_code 2
expect_err "out.jsonl.gz: output is not compressed"
expect_no_file out.jsonl.gz

begin "stdin for one of the inputs"
run_with ten.jsonl "$PLUMB" filter - scores.jsonl --keep-lowest 1
expect_code 0
expect_same stdout expected.jsonl
expect_err "<stdin>: 10 rows read"
run_with scores.jsonl "$PLUMB" filter ten.jsonl - --keep-lowest 1
expect_code 0
expect_same stdout expected.jsonl
run_with scores.jsonl "$PLUMB" filter - - --keep-lowest 1
expect_code 2
expect_err "- is given 2 times, but stdin can be read only once"

begin "shards"
scores 0:-1 1:-5 2:skip 3:-3 4:2 >low.jsonl
scores 4:2 5:-3 6:7 7:-9 8:0 9:-3 >high.jsonl # row 4 twice, the same
run "$PLUMB" filter ten.jsonl high.jsonl low.jsonl --keep-lowest 1
expect_code 0
expect_same stdout expected.jsonl
run "$PLUMB" filter ten.jsonl low.jsonl --keep-lowest 1
expect_code 2
expect_err "ten.jsonl:6: row 5 (counted from 0) has no score"
expect_err "--range 0:5"
run "$PLUMB" filter ten.jsonl high.jsonl --keep-lowest 1
expect_code 2
expect_err "ten.jsonl: row 0 (counted from 0) has no score"
expect_err "--range 4:10"
run "$PLUMB" filter ten.jsonl low.jsonl --limit 5 --keep-lowest 1 --drop-skipped
expect_code 0
rows 1 >expected.jsonl
expect_same stdout expected.jsonl
run "$PLUMB" filter ten.jsonl high.jsonl --range 4: --limit 3 --keep-lowest 1
expect_code 0
rows 5 >expected.jsonl # of rows 4, 5, 6
expect_same stdout expected.jsonl
run "$PLUMB" filter ten.jsonl high.jsonl --range 10: --keep-lowest 1
expect_code 2
expect_err "ten.jsonl: there are no rows in this range"

begin "scores and data must belong together"
scores 4:2.5 >other.jsonl
run "$PLUMB" filter ten.jsonl low.jsonl high.jsonl other.jsonl --keep-lowest 1
expect_code 2
expect_err "other.jsonl:1: row 4 has two different scores, 2 and 2.5"
rows 0 1 2 3 5 4 6 7 8 9 >swapped.jsonl
run "$PLUMB" filter swapped.jsonl scores.jsonl --keep-lowest 1 -o out2.jsonl
expect_code 2
expect_err "swapped.jsonl:5: row 4 is not the row that was scored (its hash is $(hash_of 5))"
expect_no_file out2.jsonl
expect_no_file out2.jsonl.partial
expect_no_file out2.jsonl.partial.meta.json
head -n 4 ten.jsonl >four.jsonl
run "$PLUMB" filter four.jsonl scores.jsonl --keep-lowest 1
expect_code 2
expect_err "four.jsonl: ends with row 3, but row 9 has a score"
scores 0:1 | sed 's/"ln_ches":1/"ln_ches":null/' >null.jsonl
run "$PLUMB" filter ten.jsonl null.jsonl --keep-lowest 1
expect_code 2
expect_err "null.jsonl:1: row 0 has no ln_ches: it is null (not a number)"
run "$PLUMB" filter scores.jsonl ten.jsonl --keep-lowest 1
expect_code 2
expect_err "the order is: plumb filter DATA SCORES"
: >empty.jsonl
run "$PLUMB" filter empty.jsonl scores.jsonl --keep-lowest 1
expect_code 2
expect_err "empty.jsonl: there are no rows in it"

begin "exactly one rule"
run "$PLUMB" filter ten.jsonl scores.jsonl
expect_code 2
expect_err "which rows shall stay?"
run "$PLUMB" filter ten.jsonl scores.jsonl --below 3 --slice 50:3
expect_code 2
expect_err "--below and --slice exclude each other"
PLUMB_KEEP_LOWEST=5% run "$PLUMB" filter ten.jsonl scores.jsonl --below 3
expect_code 2
expect_err "PLUMB_KEEP_LOWEST (environment) and --below exclude each other"
run "$PLUMB" filter ten.jsonl scores.jsonl --keep-lowest 5.5
expect_code 2
expect_err '--keep-lowest: "5.5" is neither a percentage nor a number of rows'
run "$PLUMB" filter ten.jsonl scores.jsonl --keep-lowest 20 -o out.jsonl
expect_code 0
expect_err "note: 20 rows were asked for, more than are scored"
expect_same out.jsonl ten.jsonl

begin "a dry run writes nothing"
run "$PLUMB" filter ten.jsonl scores.jsonl --keep-lowest 1 --dry-run -o dry.jsonl
expect_code 0
expect_out "kept 1"
expect_err "dry run: nothing was written"
expect_no_file dry.jsonl
expect_no_file dry.jsonl.partial

run "$PLUMB" filter ten.jsonl scores.jsonl --keep-lowest 1 --dry-run --quiet # the report is the result
expect_code 0
expect_no_err
expect_out "kept 1"
run "$PLUMB" filter ten.jsonl scores.jsonl --keep-lowest 1 --dry-run -o no/dry.jsonl
expect_code 2
expect_err "mkdir -p no"
"$PLUMB" filter ten.jsonl scores.jsonl --keep-lowest 1 --dry-run >/dev/full 2>stderr
code=$?
expect_code 3
expect_err "<stdout>: writing failed"

begin "an input is not overwritten"
cp ten.jsonl grows.jsonl
"$PLUMB" filter grows.jsonl scores.jsonl --keep-lowest 1 >>grows.jsonl 2>stderr
code=$?
expect_code 2
expect_err "<stdout>: goes into grows.jsonl, which is an input"
expect_same grows.jsonl ten.jsonl
cp ten.jsonl copy.jsonl
run "$PLUMB" filter copy.jsonl scores.jsonl --keep-lowest 1 -o ./copy.jsonl
expect_code 2
expect_err "./copy.jsonl: is also an input"
expect_same copy.jsonl ten.jsonl

finish
