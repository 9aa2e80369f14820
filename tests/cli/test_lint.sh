# plumb lint as a user runs it.
. "$(dirname "$0")/lib.sh"

# A checkpoint without its weights: lint does not read them.
plain=plain
mkdir plain
cp "$DATA"/models/olmo/*.json plain
chat=chat
mkdir chat
cp "$DATA"/models/qwen3/*.json "$DATA"/models/qwen3/chat_template.jinja chat

cat >pairs.jsonl <<'END'
{"prompt": "Say hi.\n", "chosen": "Hi!", "rejected": "No."}
{"prompt": "A walk. ", "chosen": "We went.", "rejected": "No."}

{"prompt": "Say hi.\n", "chosen": "Hi!", "rejected": "No.", "source": 7}
{"prompt": "Say hi.\n", "chosen": "No.", "rejected": "Hi!"}
{"prompt": "Say ho.\n", "chosen": "Ho!", "rejected": "Ho!"}
{"prompt": "Say he.\n", "chosen": "He!", "rejected": ""}
{"prompt": "Say ha.\n", "chosen": "Ha!"}
END

begin "one line for each finding"
run "$PLUMB" lint $plain pairs.jsonl
expect_code 1
cat >expected <<'END'
pairs.jsonl:2: PT101 boundary-merged: the prompt's last token merges with chosen ("walk. " + "We": token "ĠW" (id 555)); move white space from the end of the prompt to the start of the response, or end the prompt with one newline
pairs.jsonl:4: PD202 duplicate-pair: the same pair as in line 1; keep the first one only
pairs.jsonl:5: PD203 swapped-pair: line 1 prefers the other response of the same two; find out which preference is meant and leave the other row out
pairs.jsonl:6: PD201 chosen-equals-rejected: chosen and rejected have the same tokens; leave the row out
pairs.jsonl:7: PD204 empty-response: rejected is empty; leave the row out
pairs.jsonl:8: PF304 bad-row: "rejected" is missing; a row needs prompt, chosen and rejected; other names: --prompt_key, --chosen_key, --rejected_key
END
expect_same stdout expected
expect_err "pairs.jsonl: 7 rows read, 6 findings in 6 of them"
expect_err "3 fixable: --fix -o FILE leaves these rows out"

begin "clean data"
head -n 1 pairs.jsonl >clean.jsonl
run "$PLUMB" lint $plain clean.jsonl
expect_code 0
expect_no_out
expect_err "clean.jsonl: 1 row read, nothing found"
run "$PLUMB" lint $plain clean.jsonl --quiet
expect_code 0
expect_no_err

begin "choosing rules"
run "$PLUMB" lint $plain pairs.jsonl --select PD2 --ignore swapped-pair PD201
expect_code 1
[ "$(cut -d' ' -f2 stdout | tr '\n' ' ')" = "PD202 PD204 " ] || complain "other rules"
run "$PLUMB" lint $plain pairs.jsonl --select PT101,bad_row -q
[ "$(wc -l <stdout)" -eq 2 ] || complain "not two"
PLUMB_IGNORE=PT,PD,PF304 run "$PLUMB" lint $plain pairs.jsonl
expect_code 0
run "$PLUMB" lint $plain pairs.jsonl --select PD999
expect_code 2
expect_no_out
expect_err '--select: "PD999" is no rule'
run "$PLUMB" lint $plain pairs.jsonl --ignore boundary
expect_code 2
expect_err "did you mean boundary-merged?"
run "$PLUMB" lint $plain pairs.jsonl --select PT --ignore PT
expect_code 2
expect_err "--ignore leaves no rule of those selected"

begin "JSON"
run "$PLUMB" lint $plain pairs.jsonl --json --select PD202
expect_code 1
expect_text stdout '{"code": "PD202", "name": "duplicate-pair", "severity": "warning", "file": "pairs.jsonl", "line": 4, "index": 2, "row": "651f2a358a94fef0", "message": "the same pair as in line 1", "cure": "keep the first one only", "fixable": true}\n'

begin "statistics"
run "$PLUMB" lint $plain pairs.jsonl --statistics
expect_code 1
[ "$(wc -l <stdout)" -eq 6 ] || complain "not six rules"
expect_out "       1  PT101 boundary-merged             warning"
expect_out "       1  PD202 duplicate-pair              warning  fixable"
cat pairs.jsonl pairs.jsonl >twice.jsonl
run "$PLUMB" lint $plain twice.jsonl --statistics --json
head -n 1 stdout >first
expect_text first '{"code": "PD202", "name": "duplicate-pair", "severity": "warning", "count": 7, "fixable": true}\n'

begin "the fix"
cp pairs.jsonl before.jsonl
run "$PLUMB" lint $plain pairs.jsonl --fix -o fixed.jsonl
expect_code 1 # PT101, PD203 and PF304 stay
sed -n '1p;2p;5p;8p' before.jsonl >expected
expect_same fixed.jsonl expected
expect_same pairs.jsonl before.jsonl
expect_out "pairs.jsonl:4: PD202 duplicate-pair: the same pair as in line 1; dropped"
expect_err "dropped 3 rows (1 PD201 chosen-equals-rejected, 1 PD202 duplicate-pair, 1 PD204 empty-response), 4 written to fixed.jsonl"
expect_no_file fixed.jsonl.partial
run cat fixed.jsonl.meta.json
expect_out '"command": "lint"'
expect_out '"dropped": 3'
expect_out '"written": 4'
expect_out '"path": "pairs.jsonl"'
expect_out '"tokenizer": {'
run "$PLUMB" lint $plain pairs.jsonl --fix --select PD201 -o fixed.jsonl
expect_code 0 # all that was found is gone
[ "$(wc -l <fixed.jsonl)" -eq 6 ] || complain "not six rows"
run "$PLUMB" lint $plain pairs.jsonl --fix --json --select PD -o fixed.jsonl
expect_out '"fixable": true, "dropped": true}'
expect_out '"fixable": false, "dropped": false}'

begin "the fix is never in place"
run "$PLUMB" lint $plain pairs.jsonl --fix
expect_code 2
expect_err "--fix needs a file"
run "$PLUMB" lint $plain pairs.jsonl --fix -o ./pairs.jsonl
expect_code 2
expect_err "./pairs.jsonl: is also an input"
expect_same pairs.jsonl before.jsonl

begin "findings into a file"
run "$PLUMB" lint $plain pairs.jsonl --select PD -o found.txt
expect_code 1
expect_no_out
[ "$(wc -l <found.txt)" -eq 4 ] || complain "not four findings"
expect_file found.txt.meta.json

begin "stdin, gzip, ranges"
run_with pairs.jsonl "$PLUMB" lint $plain - --select PD204
expect_code 1
expect_out "<stdin>:7: PD204"
gzip -c pairs.jsonl >pairs.jsonl.gz
run "$PLUMB" lint $plain pairs.jsonl.gz --select PD --range 2:4
expect_code 1 # the pair of line 4 is the first one here
[ "$(cut -d' ' -f1,2 stdout)" = "pairs.jsonl.gz:5: PD203" ] || complain "other findings"
run "$PLUMB" lint $plain pairs.jsonl --limit 1
expect_code 0

begin "conversations"
cat >chat.jsonl <<'END'
{"prompt": [{"role": "user", "content": "Hi"}], "chosen": [{"role": "assistant", "content": "you"}], "rejected": [{"role": "assistant", "content": "me"}]}
{"prompt": [{"role": "human", "content": "Hi"}], "chosen": [{"role": "assistant", "content": "you"}], "rejected": [{"role": "assistant", "content": "me<|im_end|>"}]}
{"prompt": "Hi ", "chosen": "you", "rejected": "me"}
END
run "$PLUMB" lint $chat chat.jsonl
expect_code 1
expect_out 'chat.jsonl:2: PF303 unknown-role: prompt[0] has the role "human"'
expect_out 'chat.jsonl:2: PD207 special-token-text: rejected holds "<|im_end|>" (id 2)'
expect_out "chat.jsonl:3: PF302 mixed-forms: the row is plain strings, but line 1 is a conversation"
printf '%s' '{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}>{% endif %}' >bare.jinja
run "$PLUMB" lint $chat chat.jsonl --chat_template bare.jinja --limit 1 --select PT
expect_code 1
expect_out "PT103 lost-eos: chosen and rejected do not end in a special token"
expect_out 'PT108 template-differs: from byte 2 on the prompt alone is rendered as ">", with chosen as "you"'
run "$PLUMB" lint $plain chat.jsonl --limit 1
expect_out "PF304 bad-row: the row is a conversation and the checkpoint has no chat template"

begin "lengths"
run "$PLUMB" lint $plain clean.jsonl --max_length 7 --select PT
expect_code 1
expect_out "tokens with the prompt, cut at 7"
run "$PLUMB" lint $plain clean.jsonl --max_ratio 0.5
expect_code 2
expect_err "--max_ratio"
printf '{"prompt": "Go\\n", "chosen": "go", "rejected": "%s"}\n' "$(seq -s ' ' 1 40)" >gap.jsonl
run "$PLUMB" lint $plain gap.jsonl
expect_code 1
expect_out "PD206 length-gap: chosen has "
run "$PLUMB" lint $plain gap.jsonl --max_ratio 100
expect_code 0

begin "columns"
sed 's/"prompt"/"question"/' clean.jsonl >question.jsonl
run "$PLUMB" lint $plain question.jsonl
expect_code 1
expect_out "PF304 bad-row: "
run "$PLUMB" lint $plain question.jsonl --prompt_key question
expect_code 0

begin "inputs that cannot be read"
run "$PLUMB" lint missing pairs.jsonl
expect_code 2
run "$PLUMB" lint $plain missing.jsonl
expect_code 2
expect_err "missing.jsonl"
: >empty.jsonl
run "$PLUMB" lint $plain empty.jsonl
expect_code 2
expect_err "empty.jsonl: there are no rows in it"

begin "the help names every rule"
run "$PLUMB" lint --help
expect_code 0
for page in "$DATA"/../../docs/lint/*.md; do
    rule=$(head -n 1 "$page")
    expect_out "${rule#\# }"
done

finish
