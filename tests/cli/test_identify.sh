# plumb identify as a user runs it.
. "$(dirname "$0")/lib.sh"

case=$DATA/identify
cp "$case"/*.jsonl .

begin "tables"
run "$PLUMB" identify data.jsonl a.jsonl ledger.jsonl --resamples 50 --seed 7
expect_code 0
expect_out "46 pairs, steps 0 to 8: mean change of ln pi(y+) 0.246 ["
expect_out "17 (37 %) displaced; rows skipped: 1; changes that are no number: 1"
expect_out "95 % intervals, bootstrap of 50 resamples"
expect_out "ches                     46  -0.843 ["
expect_out "top 5 % found"
expect_out "(by chance)              46  0"
expect_out "(the same for all pairs)"
expect_out "0:3"
expect_err "a.jsonl: flat is the same for all pairs: no statistics"
expect_err "a.jsonl: pairs left out for a ln_ches that is not a number: 2"
expect_err "pairs left out for a log-prob in the ledger that is not a number: 1"
mv stdout tables

begin "CSV that a spreadsheet does not take for a formula"
cp a.jsonl '=a,b.jsonl'
run "$PLUMB" identify data.jsonl '=a,b.jsonl' ledger.jsonl --format csv --resamples 0 --quiet
expect_code 0
expect_out "measures,\"'=a,b.jsonl\",ches,"

begin "files that are something else"
sed 's/^{/{"chosen":{"tokens":[]},/' a.jsonl >explained.jsonl
run "$PLUMB" identify data.jsonl explained.jsonl ledger.jsonl
expect_code 2
expect_err "explained.jsonl: these are rows of plumb explain"
sed 's/}$/,"index":7,"row":"00000000000000aa"}/' data.jsonl >paired.jsonl # as plumb pair writes its rows
run "$PLUMB" identify paired.jsonl a.jsonl ledger.jsonl
expect_code 2
expect_err "than in paired.jsonl"

begin "the files of a run are no place for the output"
mkdir over
cp ledger.jsonl over
echo '{"step":1}' >over/metrics.jsonl
for name in ledger.jsonl metrics.jsonl; do
    run "$PLUMB" identify data.jsonl a.jsonl over -o over/$name
    expect_code 2
    expect_err "over/$name: is a file of the model"
done
expect_same ledger.jsonl over/ledger.jsonl

begin "the same for every order of files, number of threads, and from a run folder"
mkdir run
cp ledger.jsonl run
run "$PLUMB" identify run a.jsonl data.jsonl --resamples 50 --seed 7 --threads 1
expect_code 0
expect_same stdout tables
run "$PLUMB" identify a.jsonl data.jsonl ledger.jsonl --resamples 50 --seed 7 --quiet
expect_same stdout tables
expect_no_err
run_with ledger.jsonl "$PLUMB" identify data.jsonl a.jsonl - --resamples 50 --seed 7
expect_same stdout tables
run "$PLUMB" identify data.jsonl a.jsonl ledger.jsonl --resamples 50 --seed 8
! cmp -s stdout tables || complain "the seed changes nothing"

begin "preference data are known as such, also with index and row"
sed 's/^{/{"index":0,"row":"0000000000000000","prompt":"","chosen":"","rejected":"",/' data.jsonl >numbered.jsonl
run "$PLUMB" identify a.jsonl numbered.jsonl ledger.jsonl
expect_code 2
expect_err "numbered.jsonl" # it is the data, with other rows than those that were scored
if grep -q "none of the files" stderr; then complain "not known as preference data"; fi

begin "JSON, into a file with its record"
run "$PLUMB" identify data.jsonl a.jsonl b.jsonl ledger.jsonl --classes labels.jsonl --format json -o out.json \
    --resamples 0
expect_code 0
expect_no_out
run cat out.json
expect_out '{"kind": "identify",'
expect_out '"steps": [0, 8]'
expect_out '{"path": "b.jsonl", "rows": 48, "hash": "'
expect_out '"scored": 46, "skipped": 2'
expect_out '"measure": "flat", "count": 46, "missing": 0, "constant": true, "spearman": null, "spearman_low": null'
expect_out '"models": ['
expect_out '{"scores": [0, 1], "measure": "ches"'
expect_out '"class_counts": {"two_refusals": 4, "two_compliances": 7, "one_of_each": 18, "other": 19}'
run cat out.json.meta.json
expect_out '"command": "identify"'
expect_out '"path": "labels.jsonl"'
expect_out '"pairs": 46'

begin "CSV"
run "$PLUMB" identify data.jsonl a.jsonl b.jsonl ledger.jsonl --classes_key said unsaid --format csv --resamples 0
expect_code 0
expect_out "table,scores,measure,item,statistic,count,value,low,high"
expect_out "measures,a.jsonl,flat,,spearman,46,,,"
expect_out "slices,a.jsonl,ches,50:3,change,3,"
expect_out "models,a.jsonl,ches,b.jsonl,kendall,46,"
expect_out "classes,b.jsonl,ln_ches,two_refusals - one_of_each,mean_difference,"
[ "$(awk -F, 'NF != 9' stdout | wc -l)" -eq 0 ] || complain "a line has another number of columns"

begin "what stands beside the measures is none, unless it is asked for"
sed 's/"flat":/"dot":1,"norm2_chosen":2,"chosen_tokens":4,"my_own":5,&/' a.jsonl >beside.jsonl
run "$PLUMB" identify data.jsonl beside.jsonl ledger.jsonl --resamples 0
expect_code 0
expect_out "my_own"
grep -qE '^(dot|norm2_chosen|chosen_tokens) ' stdout && complain "a helper is a measure"
run "$PLUMB" identify data.jsonl beside.jsonl ledger.jsonl --resamples 0 --measures dot chosen_tokens
expect_code 0
grep -qE '^dot ' stdout || complain "no dot, though asked for"
grep -qE '^chosen_tokens ' stdout || complain "no lengths, though asked for"

begin "steps, measures, slices, top"
run "$PLUMB" identify data.jsonl a.jsonl ledger.jsonl --step 4 --measures ln_ches,ches --slices 10:4 --top 10 --resamples 0
expect_code 0
expect_out "47 pairs, steps 0 to 4"
expect_out "top 10 found"
expect_out "10:4"
grep -q edit_similarity stdout && complain "a measure that was not asked for"
run "$PLUMB" identify data.jsonl a.jsonl ledger.jsonl --step 5
expect_code 2
expect_err "ledger.jsonl: --step 5 is no step of the ledger"
expect_err "it has the steps 0, 4, 8"
run "$PLUMB" identify data.jsonl a.jsonl ledger.jsonl --step 0
expect_code 2
expect_err "--step 0 is the start itself"
run "$PLUMB" identify data.jsonl a.jsonl ledger.jsonl --measures ln_chess
expect_code 2
expect_err 'no score file has a numeric field "ln_chess"'
run "$PLUMB" identify data.jsonl a.jsonl ledger.jsonl --measures lnches
expect_err "did you mean --measures ln_ches?"
run "$PLUMB" identify data.jsonl a.jsonl ledger.jsonl --slices 50:100
expect_code 2
expect_err "a slice of 100 rows: only 46 rows are scored"
run "$PLUMB" identify data.jsonl a.jsonl ledger.jsonl --slices half
expect_code 2
expect_err "is not a slice"
run "$PLUMB" identify data.jsonl a.jsonl ledger.jsonl --top 0
expect_code 2
expect_err "--top 0: no pairs at all"

begin "files that are not what they should be"
run "$PLUMB" identify data.jsonl ledger.jsonl
expect_code 2
expect_err "LEDGER is missing"
run "$PLUMB" identify data.jsonl a.jsonl b.jsonl
expect_code 2
expect_err "none of the files is a ledger"
run "$PLUMB" identify a.jsonl b.jsonl run
expect_code 2
expect_err "none of the files is preference data"
run "$PLUMB" identify data.jsonl ledger.jsonl run
expect_code 2
expect_err "ledger.jsonl and run are both ledgers"
run "$PLUMB" identify data.jsonl a.jsonl labels.jsonl ledger.jsonl
expect_code 2
expect_err "give them by --classes labels.jsonl"
run "$PLUMB" identify data.jsonl a.jsonl nothing
expect_code 2
expect_err "nothing"
mkdir empty
: >empty/ledger.jsonl
run "$PLUMB" identify data.jsonl a.jsonl empty
expect_code 2
expect_err "plumb sft keeps no ledger"
run "$PLUMB" identify data.jsonl a.jsonl ledger.jsonl -o a.jsonl
expect_code 2
run "$PLUMB" identify data.jsonl a.jsonl run -o run/ledger.jsonl
expect_code 2
expect_same run/ledger.jsonl ledger.jsonl

begin "one step only"
grep '"step": 0' ledger.jsonl >one.jsonl
run "$PLUMB" identify data.jsonl a.jsonl one.jsonl
expect_code 2
expect_err "one.jsonl: the ledger has only step 0: nothing has changed yet"

begin "a ledger of other data"
sed '3s/"row": "[0-9a-f]*"/"row": "00000000000000aa"/' ledger.jsonl >other.jsonl
run "$PLUMB" identify data.jsonl a.jsonl other.jsonl
expect_code 2
expect_err "other.jsonl:"
expect_err "but 00000000000000aa further up"
grep '"step": [04]' ledger.jsonl | sed 's/"row": "[0-9a-f]*"/"row": "00000000000000aa"/' >other.jsonl
run "$PLUMB" identify data.jsonl a.jsonl other.jsonl
expect_code 2
expect_err "is another one here (00000000000000aa) than in data.jsonl"
head -n 30 data.jsonl >short.jsonl
run "$PLUMB" identify short.jsonl a.jsonl ledger.jsonl
expect_code 2
expect_err "a.jsonl:31: there is a row 30 here, but short.jsonl ends at 29"
sed 's/q3"/Q3"/' data.jsonl >changed.jsonl
run "$PLUMB" identify changed.jsonl a.jsonl ledger.jsonl
expect_code 2
expect_err "a.jsonl:4: row 3 is another one here"

begin "rows that a file lacks"
grep -v '"index":7,' a.jsonl >fewer.jsonl
run "$PLUMB" identify data.jsonl fewer.jsonl ledger.jsonl
expect_code 2
expect_err "row 7 of data.jsonl is not in fewer.jsonl"
grep -v '"index": 2[0-9],' ledger.jsonl >shorter.jsonl
run "$PLUMB" identify data.jsonl a.jsonl shorter.jsonl
expect_code 2
expect_err "row 20 of data.jsonl is not in shorter.jsonl"
expect_err "--range A:B or --limit N"
run "$PLUMB" identify data.jsonl fewer.jsonl shorter.jsonl --on_error skip --resamples 0
expect_code 0
expect_out "rows without a partner: 11"
expect_err "row 7 is left out"
expect_err "row 20 is left out"
expect_err "... and so on, 11 rows in all"
run "$PLUMB" identify data.jsonl a.jsonl shorter.jsonl --limit 20 --resamples 0
expect_code 0
expect_out "19 pairs"
cat a.jsonl a.jsonl >twice.jsonl
run "$PLUMB" identify data.jsonl twice.jsonl ledger.jsonl
expect_code 2
expect_err "twice.jsonl:49: row 0 has two scores in this file"

begin "nothing changed, or nothing is a number"
sed 's/"step": 0,/"step": 9,/; t; d' ledger.jsonl >same.jsonl
grep '"step": 0,' ledger.jsonl | cat - same.jsonl >still.jsonl
run "$PLUMB" identify data.jsonl a.jsonl still.jsonl --format json
expect_code 0
expect_err "changed by the same amount, 0: there is nothing to find"
expect_out '"displaced": 0, "change": 0, "change_low": 0, "change_high": 0'
expect_out '"spearman": null'
expect_out '"precision": null'
sed '/"step": 8/s/"logps\/chosen": [^,]*/"logps\/chosen": null/' ledger.jsonl >diverged.jsonl
run "$PLUMB" identify data.jsonl a.jsonl diverged.jsonl
expect_code 0
expect_out "0 pairs, steps 0 to 8: mean change of ln pi(y+) -, none displaced"
run "$PLUMB" identify data.jsonl a.jsonl diverged.jsonl --format json
expect_out '"pairs": 0,'

begin "labels"
run "$PLUMB" identify data.jsonl a.jsonl ledger.jsonl --classes labels.jsonl --resamples 0
expect_code 0
expect_out "ln_ches of a.jsonl"
expect_out "two_refusals - one_of_each:"
expect_out "pairs with other labels, or without: 19"
run "$PLUMB" identify data.jsonl a.jsonl ledger.jsonl --classes labels.jsonl --classes_key labels
expect_code 2
expect_err "exclude each other"
run "$PLUMB" identify data.jsonl a.jsonl ledger.jsonl --classes_key said
expect_code 2
expect_err 'data.jsonl:1: "said" is a string; expected the labels of both sides'
run "$PLUMB" identify data.jsonl a.jsonl ledger.jsonl --classes_key no
expect_code 2
expect_err 'data.jsonl:1: there is no column "no"'
run "$PLUMB" identify data.jsonl a.jsonl ledger.jsonl --classes_key a b c
expect_code 2
expect_err "3 columns are given"
sed '5s/"sample":./"sample":2/' labels.jsonl >third.jsonl
run "$PLUMB" identify data.jsonl a.jsonl ledger.jsonl --classes third.jsonl
expect_code 2
expect_err 'third.jsonl:5: "sample" is neither 0'
run "$PLUMB" identify data.jsonl a.jsonl ledger.jsonl --classes a.jsonl
expect_code 2
expect_err "a.jsonl:1:"

finish
