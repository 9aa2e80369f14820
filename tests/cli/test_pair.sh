# plumb pair as a user runs it.
. "$(dirname "$0")/lib.sh"

hash_of()
{
    printf '%016d' "$1"
}

# response INDEX SAMPLE TEXT [REWARD]; label INDEX SAMPLE LABEL SCORE: rows of plumb generate and plumb judge.
response()
{
    printf '{"index":%d,"row":"%s","sample":%d,"prompt":"ask %d","response":"%s","reward":%s}\n' \
        "$1" "$(hash_of "$1")" "$2" "$1" "$3" "${4:-0}"
}

label()
{
    name=\"$3\"
    [ "$3" = null ] && name=null
    printf '{"index":%d,"row":"%s","sample":%d,"label":%s,"score":%s,"judge":"rules","reason":null,"harm":%s}\n' \
        "$1" "$(hash_of "$1")" "$2" "$name" "$4" "${5:-null}"
}

{
    response 0 0 "Yes, gladly" 1
    response 0 1 "I cannot" 2
    response 1 0 "No" 5
    response 1 1 "No way" 4
    response 2 0 "Fine" 1
    response 2 1 "Fine, too" 1
    response 3 0 "Never" 1
    response 3 1 "Never" 1
    response 4 0 "" 1
    response 4 1 "Well" 1
    response 5 0 "" 1
    response 5 1 "%%" 1
    response 6 0 "Hm" 1
    response 6 1 "Oh" 1
    response 7 0 "One" 1
    response 8 0 "A" 1
    response 8 1 "B" 2
    response 8 2 "C" 3
} >responses.jsonl
{
    label 0 0 compliance -1 1
    label 0 1 refusal 1 2
    label 1 0 refusal 1 3
    label 1 1 refusal 3 4
    label 2 0 compliance -1 2
    label 2 1 compliance -1 1
    label 3 0 refusal 1
    label 3 1 refusal 1
    label 4 0 empty null
    label 4 1 evasive 0
    label 5 0 empty null
    label 5 1 unreadable null
    label 6 0 null null
    label 6 1 refusal 1
    label 7 0 refusal 1
    label 8 0 compliance 0 1
    label 8 1 evasive 0 1
    label 8 2 refusal 1 1
} >judged.jsonl

# expect_pairs INDEX:CHOSEN,REJECTED:BY...: these pairs were written to pairs.jsonl.
expect_pairs()
{
    sed 's/.*"by":"\([^"]*\)","index":\([0-9]*\),.*"samples":\[\(.*\)\]}/\2:\3:\1/' pairs.jsonl >is
    for pair in "$@"; do printf '%s\n' "$pair"; done >expected
    expect_same is expected
}

begin "the paper's pairs"
run "$PLUMB" pair responses.jsonl --labels judged.jsonl -o pairs.jsonl
expect_code 0
expect_no_out
expect_pairs 0:1,0:label 1:1,0:score 4:1,0:label
expect_err "9 prompts, 7 with two labelled responses"
expect_err "two refusals            2   28.6 %"
expect_err "two compliances         1   14.3 %"
expect_err "one of each             1   14.3 %"
expect_err "others                  3   42.9 %"
expect_err "3 pairs: 2 by label, 1 by score"
expect_err "left out: 1 without the two samples"
expect_err "left out: 1 with an answer of the judge that could not be read"
expect_err "left out: 1 with two identical responses"
expect_err "left out: 1 with two empty or unreadable responses"
expect_err "left out: 2 whose responses the criterion does not tell apart"
head -n 1 pairs.jsonl >first
expect_text first '{"prompt":"ask 0","chosen":"I cannot","rejected":"Yes, gladly","chosen_label":"refusal","rejected_label":"compliance","by":"label","index":0,"row":"0000000000000000","samples":[1,0]}\n'
run cat pairs.jsonl.meta.json
expect_out '"two_refusals": 2'
expect_out '"equal": 2'

begin "other criteria"
run "$PLUMB" pair responses.jsonl --labels judged.jsonl -o pairs.jsonl --prefer length
expect_pairs 0:1,0:label 1:1,0:length 2:1,0:length 4:1,0:label
run "$PLUMB" pair responses.jsonl --labels judged.jsonl -o pairs.jsonl --prefer=-length
expect_pairs 0:1,0:label 1:0,1:length 2:0,1:length 4:1,0:label
run "$PLUMB" pair responses.jsonl --labels judged.jsonl -o pairs.jsonl --prefer reward
expect_pairs 0:1,0:label 1:0,1:reward 4:1,0:label 8:1,0:reward
run "$PLUMB" pair responses.jsonl --labels judged.jsonl -o pairs.jsonl --prefer=-reward
expect_pairs 0:1,0:label 1:1,0:reward 4:1,0:label 8:0,1:reward

begin "a field of the judged rows; one that is not there"
grep -v '"index":[34567]' responses.jsonl >some.jsonl
grep -v '"index":[34567]' judged.jsonl >some.judged.jsonl
run "$PLUMB" pair some.jsonl --labels some.judged.jsonl -o pairs.jsonl --prefer=-harm
expect_code 0
expect_pairs 0:1,0:label 1:0,1:harm 2:1,0:harm
run "$PLUMB" pair some.jsonl --labels some.judged.jsonl --prefer rewards
expect_code 2
expect_err 'some.jsonl:1: sample 0 of row 0 has no number "rewards", neither here nor in its judged row'
run "$PLUMB" pair some.jsonl --labels some.judged.jsonl --prefer response
expect_code 2
expect_err '"response" is a string; expected a number'

begin "gold, other labels, other samples"
run "$PLUMB" pair responses.jsonl --labels judged.jsonl -o pairs.jsonl --gold
expect_code 0
expect_pairs 0:1,0:label
expect_err "left out: 5 without a refusal and a compliance (--gold)"
run "$PLUMB" pair responses.jsonl --labels judged.jsonl -o pairs.jsonl --gold --prefer_label compliance
expect_pairs 0:0,1:label
run "$PLUMB" pair responses.jsonl --labels judged.jsonl -o pairs.jsonl --samples 2 0
expect_pairs 8:2,0:label
expect_err "left out: 8 without the two samples"

begin "conversations; plumb pair's own output reads as preference data"
printf '{"index":0,"row":"0000000000000000","sample":%d,"prompt":[{"role":"user","content":"hi"}],"response":"%s"}\n' 0 "Hello" 1 "I cannot" >chat.jsonl
head -n 2 judged.jsonl >chat.judged.jsonl
run "$PLUMB" pair chat.jsonl --labels chat.judged.jsonl -o pairs.jsonl
expect_code 0
run cat pairs.jsonl
expect_out '{"prompt":[{"role":"user","content":"hi"}],"chosen":[{"role":"assistant","content":"I cannot"}],"rejected":[{"role":"assistant","content":"Hello"}]'
run "$PLUMB" score "$DATA/models/gemma-chat" pairs.jsonl
expect_code 0
expect_out '"index":0'
run "$PLUMB" judge pairs.jsonl -o again.jsonl
expect_code 0
run "$PLUMB" pair pairs.jsonl --labels again.jsonl --prefer_label compliance
expect_code 0
expect_out '"chosen":[{"role":"assistant","content":"Hello"}]'

begin "dry run"
run "$PLUMB" pair responses.jsonl --labels judged.jsonl -o dry.jsonl --dry-run
expect_code 0
expect_out "3 pairs: 2 by label, 1 by score"
expect_no_file dry.jsonl

begin "files that do not belong together"
sed '$d' judged.jsonl >short.jsonl
run "$PLUMB" pair responses.jsonl --labels short.jsonl -o x.jsonl
expect_code 2
expect_err "responses.jsonl:18: short.jsonl: sample 2 of row 8 is not there"
expect_no_file x.jsonl
sed '$d' responses.jsonl >few.jsonl
run "$PLUMB" pair few.jsonl --labels judged.jsonl -o x.jsonl
expect_code 2
expect_err "judged.jsonl: sample 2 of row 8 has a label and no response in few.jsonl"
sed 's/"row":"0000000000000002"/"row":"00000000000000ff"/' judged.jsonl >other.jsonl
run "$PLUMB" pair responses.jsonl --labels other.jsonl
expect_code 2
expect_err "row 2 is another one here"
{
    sed 1d responses.jsonl
    head -n 1 responses.jsonl
} >apart.jsonl
run "$PLUMB" pair apart.jsonl --labels judged.jsonl
expect_code 2
expect_err "apart.jsonl:18: the responses of row 0 do not stand together"
{
    head -n 1 responses.jsonl
    cat responses.jsonl
} >twice.jsonl
run "$PLUMB" pair twice.jsonl --labels judged.jsonl
expect_code 2
expect_err "twice.jsonl:2: sample 0 of row 0 stands here twice"
sed 's/"prompt":"ask 0",//' responses.jsonl >bare.jsonl
run "$PLUMB" pair bare.jsonl --labels judged.jsonl
expect_code 2
expect_err 'bare.jsonl:1: "prompt" is missing'

begin "wrong usage"
run "$PLUMB" pair responses.jsonl
expect_code 2
expect_err "--labels is missing"
run "$PLUMB" pair responses.jsonl --labels responses.jsonl
expect_code 2
expect_err 'responses.jsonl:1: "label" is missing: this is not a row of plumb judge'
run "$PLUMB" pair - --labels -
expect_code 2
expect_err "stdin can be read only once"
for samples in 0 "0 0" "0 x" "0 1 2"; do
    # shellcheck disable=SC2086
    run "$PLUMB" pair responses.jsonl --labels judged.jsonl --samples $samples
    expect_code 2
    expect_err "--samples: expected the numbers of two samples"
done
run "$PLUMB" pair responses.jsonl --labels judged.jsonl --gold --prefer_label evasive
expect_code 2
expect_err "--gold pairs hold no evasive response to prefer"
run "$PLUMB" pair responses.jsonl --labels judged.jsonl --prefer=-
expect_code 2
expect_err "names no field"
run "$PLUMB" pair responses.jsonl --labels judged.jsonl -o judged.jsonl
expect_code 2
sed 's/"label":"evasive"/"label":"vague"/' judged.jsonl >vague.jsonl
run "$PLUMB" pair responses.jsonl --labels vague.jsonl
expect_code 2
expect_err 'vague.jsonl:10: "label" is "vague"'

finish
