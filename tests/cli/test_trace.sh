# plumb trace as a user runs it: two checkpoints, an adapter, a run with its ledger.
. "$(dirname "$0")/lib.sh"
: "${DATA:?}"
before=$DATA/models/olmo
after=$DATA/models/policy-olmo
pairs=$DATA/pairs/pairs.jsonl
chat=$DATA/models/llama3-chat-sharded

# fields FILE EXPRESSION...: as much as a shell can check of JSON lines.
count()
{
    grep -cF -e "$1" "$2"
}

begin "two checkpoints"
run "$PLUMB" trace "$before" "$after" "$pairs" -o trace.jsonl
expect_code 0
expect_no_out
expect_err "25 pairs traced, 0 skipped"
expect_err "9 of 25 chosen responses became less likely: benign 0, catastrophic 0, other 9"
expect_err "next: plumb explain $before $pairs --pair 13"
ok [ "$(wc -l <trace.jsonl)" -eq 25 ]
ok [ "$(count '"verdict":"none"' trace.jsonl)" -eq 16 ]
ok [ "$(count '"verdict":"other"' trace.jsonl)" -eq 9 ]
ok [ "$(count '"listed_only":false' trace.jsonl)" -eq 25 ]
ok [ "$(count '"dz_hidden":' trace.jsonl)" -eq 25 ]
run head -1 trace.jsonl
expect_out '"index":0,"row":"79638e272f5702dd","dlogp_chosen":0.729308602'
expect_out '"position":0,"gained":[{"token":45,"text":"L","p_before":0.34903836'
expect_out '"class":"none","dz":'
expect_out '"chosen":{"token":401,"text":"No",'
ok grep -q '"catastrophic": 0' trace.jsonl.meta.json
ok grep -q '"after": {' trace.jsonl.meta.json

begin "log-probs are those of plumb score"
run "$PLUMB" score "$before" "$pairs" --measures logps -o before.jsonl
run "$PLUMB" score "$after" "$pairs" --measures logps -o after.jsonl
for when in before after; do
    sed 's/.*"logps\/chosen":\([^,]*\),"logps\/rejected":\([^,]*\),.*/\1 \2/' $when.jsonl >expected
    sed "s/.*\"logps_$when\/chosen\":\([^,]*\),\"logps_$when\/rejected\":\([^,}]*\).*/\1 \2/" trace.jsonl >got
    ok [ "$(wc -l <got)" -eq 25 ]
    expect_same got expected
done

begin "the same for every batch, range and number of threads"
run "$PLUMB" trace "$before" "$after" "$pairs" --range 0:7 --threads 1 -q -o a.jsonl
run "$PLUMB" trace "$before" "$after" "$pairs" --range 7: --threads 3 -q -o b.jsonl
expect_no_err
cat a.jsonl b.jsonl >joined.jsonl
expect_same joined.jsonl trace.jsonl

begin "nothing changed"
run "$PLUMB" trace "$before" "$before" "$pairs" --limit 2
expect_code 0
expect_err "no chosen response became less likely"
expect_out '"dlogp_chosen":0,"dlogp_rejected":0,"position":0,"gained":[],"lost":[],"verdict":"none"'

begin "every position, few tokens"
run "$PLUMB" trace "$before" "$after" "$pairs" --range 4:5 --positions all --top 1
expect_code 0
n=$("$PLUMB" score "$before" "$pairs" --range 4:5 -q | sed 's/.*"chosen_tokens":\([0-9]*\).*/\1/')
ok [ "$(grep -o '"position":' stdout | wc -l)" -eq $((n + 1)) ]
ok [ "$(grep -o '"token":' stdout | wc -l)" -le $((3 * (n + 1))) ]
ok [ "$(grep -o '"token":' stdout | wc -l)" -ge $((2 * (n + 1))) ]

begin "wrong models and data"
refuse()
{
    text=$1
    shift
    run "$PLUMB" trace "$@"
    expect_code 2
    expect_no_out
    expect_err "$text"
}
refuse "has another tokenizer than" "$before" "$chat" "$pairs"
refuse "olmo2 has 1024 embeddings of 64 elements, $before has 1048 of 64" "$before" "$DATA/models/olmo2" "$pairs"
refuse "adapter" "$before" "$DATA/models/adapter-init" "$pairs"
refuse "config.json" "$before" "$pairs" "$pairs"
refuse "nowhere.jsonl" "$before" "$after" nowhere.jsonl
refuse "is no run folder: it has no run.json" "$before" "$after"
refuse "--format: rows are JSON" "$before" "$after" "$pairs" --format csv
refuse "--positions all: the table" "$before" "$after" "$pairs" --table --positions all
refuse "--ledger_only: two checkpoints have no ledger" "$before" "$after" "$pairs" --ledger_only
refuse "there are no rows in this range" "$before" "$after" "$pairs" --range 90:
printf '{"prompt":"a","chosen":"b"}\n' >bad.jsonl
refuse "bad.jsonl:1:" "$before" "$after" bad.jsonl
cp -r "$before" wide
sed 's/"vocab_size": 1048/"vocab_size": 1049/' "$before/config.json" >wide/config.json
refuse "model.embed_tokens.weight" "$before" wide "$pairs"
printf 'a: [x]\nopposites: [a/b]\n' >groups.yaml
refuse 'groups.yaml:2: "a/b" is not a pair of classes' "$before" "$after" "$pairs" --groups groups.yaml

begin "bad rows may be passed over"
{ head -1 "$pairs"; cat bad.jsonl; } >mixed.jsonl
run "$PLUMB" trace "$before" "$after" mixed.jsonl --on_error skip
expect_code 0
expect_err "1 pair traced, 1 skipped"
expect_out '"skipped":"bad_row"}'

begin "classes of one's own decide the verdict"
printf 'good: ["No", "L"]\nbad: [work]\nopposites: [good/bad]\nbuiltin: false\n' >own.yaml
run "$PLUMB" trace "$before" "$after" "$pairs" --range 1:2 --groups own.yaml
expect_code 0
expect_out '"text":"L"'
expect_out '"class":"good"'
expect_out '"verdict":"other"' # Yes has no class
printf 'good: [yes]\nbad: [l]\nopposites: [good/bad]\nbuiltin: false\n' >own.yaml
run "$PLUMB" trace "$before" "$after" "$pairs" --range 1:2 --groups own.yaml
expect_out '"verdict":"catastrophic"'
expect_err "catastrophic 1"
printf '{"good": ["yes", "l"]}' >own.json
run "$PLUMB" trace "$before" "$after" "$pairs" --range 1:2 --groups own.json
expect_out '"verdict":"benign"'
expect_out '"gains":{"affirmation":'

begin "an adapter as AFTER"
head -4 "$DATA/pairs/pairs.chat.jsonl" >chat.jsonl
run "$PLUMB" merge "$chat" "$DATA/models/adapter-init" -o merged -q
run "$PLUMB" trace "$chat" "$DATA/models/adapter-init" chat.jsonl --top 3 -o adapter.jsonl
expect_code 0
ok [ "$(count '"dz_weights":0,' adapter.jsonl)" -eq 4 ]
run "$PLUMB" trace "$chat" merged chat.jsonl --top 3 -o merged.jsonl
sed 's/.*"position"/"position"/; s/"p_before.*//' adapter.jsonl >got
sed 's/.*"position"/"position"/; s/"p_before.*//' merged.jsonl >expected
expect_same got expected

begin "swapped models"
ok "$PLUMB" dpo "$before" "$pairs" -o whole --max_steps 2 --limit 2 --save_steps 1 -q
ok "$PLUMB" dpo "$chat" chat.jsonl -o part --max_steps 1 --use_peft --save_strategy no -q
refuse "whole: is what training made of $before, as its run.json says" whole "$before" "$pairs"
expect_err "before training $before, after it whole"
refuse "whole/checkpoint-1: is a checkpoint-N of a run" whole/checkpoint-1 "$before" "$pairs"
refuse "part: is an adapter, which comes after a model" part "$chat" chat.jsonl
refuse "merged: is what training made of $chat" merged "$chat" chat.jsonl
for right in "$before whole $pairs" "$before whole/checkpoint-1 $pairs" "$chat part chat.jsonl" "whole $after $pairs"; do
    # shellcheck disable=SC2086
    run "$PLUMB" trace $right --limit 1
    expect_code 0
done
echo '{"run": 7, "model": "mine"' >whole/run.json # somebody else's file of that name
run "$PLUMB" trace whole "$before" "$pairs" --limit 1
expect_code 0

begin "bf16: the log-probs of plumb score --compute, recorded, and no way to go on with other arithmetic"
run "$PLUMB" score "$after" "$pairs" --measures logps --compute bf16-rounded -q -o after16.jsonl
run "$PLUMB" trace "$before" "$after" "$pairs" --compute bf16-rounded -q -o trace16.jsonl
expect_code 0
sed 's/.*"logps\/chosen":\([^,]*\),"logps\/rejected":\([^,]*\),.*/\1 \2/' after16.jsonl >expected
sed 's/.*"logps_after\/chosen":\([^,]*\),"logps_after\/rejected":\([^,}]*\).*/\1 \2/' trace16.jsonl >got
expect_same got expected
cmp -s after16.jsonl after.jsonl && complain "the same numbers as in fp32"
ok grep -q '"compute": "bf16-rounded"' trace16.jsonl.meta.json
head -5 trace.jsonl >part16.jsonl.partial
cp trace.jsonl.meta.json part16.jsonl.partial.meta.json
run "$PLUMB" trace "$before" "$after" "$pairs" --compute bf16-rounded -o part16.jsonl --resume
expect_code 2
expect_err "compute"
run "$PLUMB" trace whole --compute bf16
expect_code 2
expect_err "--compute: the run has decided that"

# ---- the table ----

begin "the table of pairs of single tokens"
run "$PLUMB" trace "$before" "$after" "$pairs" --table --top 2
expect_code 0
expect_err "5 of them pairs of single tokens"
expect_out 'row  preferred       dispreferred      p before     p after    decrease  verdict'
expect_out '  1  "Yes"           "No"             0.0002081    0.000133    7.51e-05  other'
expect_out '       other: "L" 0.1691,'
run "$PLUMB" trace "$before" "$after" "$pairs" --table --format csv --top 2 -o table.csv
ok [ "$(wc -l <table.csv)" -eq 6 ]
run cat table.csv
expect_out 'index,preferred,dispreferred,p_before,p_after,decrease,verdict,benign,catastrophic,other'
expect_out '1,"""Yes""","""No""",0.00020810401'
expect_out ',other,,,"""L"" 0.16914224'

begin "hostile texts of tokens stay text"
printf '{"prompt_ids":[5,6],"chosen_ids":[%d],"rejected_ids":[%d]}\n' 29 7 >ids.jsonl # < and &
run "$PLUMB" trace "$before" "$after" ids.jsonl --table --format html --top 1000 -o table.html
expect_code 0
ok grep -q '<td>&quot;&lt;&quot;</td><td>&quot;&amp;&quot;</td>' table.html
ok grep -q '</html>' table.html
ok [ "$(grep -c '<tr>' table.html)" -eq 2 ]
ok [ "$(grep -o '<[^>]*>' table.html | sort -u | grep -c -v -E '^</?(html|head|meta|title|style|body|div|table|caption|thead|tbody|tr|th|td|!DOCTYPE)[ >]')" -eq 0 ]
run "$PLUMB" trace "$before" "$after" ids.jsonl --table --top 1000
# shellcheck disable=SC2046
ok [ "$(LC_ALL=C tr -d '\n -~\200-\377' <stdout | wc -c)" -eq 0 ]

# ---- a run ----

begin "a run: its start, its checkpoints, its end"
head -6 "$pairs" >six.jsonl
run "$PLUMB" dpo "$before" six.jsonl -o run --max_steps 6 --save_strategy steps --save_steps 2 --ledger_steps 3 \
    --ledger_tokens 4 --learning_rate 1e-3 --per_device_train_batch_size 2 -q
expect_code 0
run "$PLUMB" trace run -o run.jsonl
expect_code 0
expect_err "six.jsonl: 6 pairs traced, 0 skipped"
expect_err "largest drop along a course: "
ok [ "$(count '"steps":[0,2,3,4,6]' run.jsonl)" -eq 6 ]
ok [ "$(count '"drop":' run.jsonl)" -eq 6 ]
run "$PLUMB" trace "$before" run six.jsonl -o two.jsonl
sed 's/,"steps".*/}/' run.jsonl >got
expect_same got two.jsonl

begin "what would be done"
run "$PLUMB" trace run --dry-run
expect_code 0
expect_out "data: six.jsonl, 6 rows"
expect_out "passes over the pairs"
expect_err "dry run: nothing was written"
run "$PLUMB" trace run --dry-run --ledger_only
expect_out "data: six.jsonl, 6 rows, from the ledger alone: no model is run"
run_with six.jsonl "$PLUMB" trace "$before" run - --dry-run
expect_out "data: <stdin>, 6 rows"
expect_out "work: 2 passes over the pairs"
run_with /dev/null "$PLUMB" trace "$before" run -
expect_code 2
expect_err "<stdin>: there are no rows in it"

begin "a checkpoint of the run as AFTER gives the point of the course"
run "$PLUMB" trace "$before" run/checkpoint-4 six.jsonl -o at4.jsonl
expect_code 0
sed 's/.*"logps_after\/chosen":\([^,]*\),.*/\1/' at4.jsonl >got
sed 's/.*"course\/chosen":\[[^,]*,[^,]*,[^,]*,\([^,]*\),.*/\1/' run.jsonl >expected
expect_same got expected

# column FILE: ln pi(y+) after training, of one pair.
after_of()
{
    sed 's/.*"logps_after\/chosen":\([^,]*\),.*/\1/; s/.*"after":{"model":"[^"]*","logps\/chosen":\([^,]*\),.*/\1/' "$1"
}
run "$PLUMB" explain "$before" six.jsonl --pair 2 --after run/checkpoint-4 --format json -o explained.jsonl
expect_code 0
after_of explained.jsonl >got
sed -n 3p at4.jsonl >third.jsonl
after_of third.jsonl >expected
expect_same got expected
ok grep -q '"path": "run/checkpoint-4"' explained.jsonl.meta.json

begin "going on where an interrupted trace stopped"
for source in run "$before"; do
    [ "$source" = run ] && set -- run || set -- "$before" run six.jsonl
    run "$PLUMB" trace "$@" -o part.jsonl
    cp part.jsonl all.jsonl
    mv stderr told
    head -2 part.jsonl >part.jsonl.partial
    sed '/"counts"/,$d' part.jsonl.meta.json | sed '$s/,$/}/' >part.jsonl.partial.meta.json
    rm part.jsonl part.jsonl.meta.json
    run "$PLUMB" trace "$@" -o part.jsonl --resume
    expect_code 0
    expect_same part.jsonl all.jsonl
    expect_err "going on after 2 rows"
    grep -v "going on" stderr >got
    expect_same got told
done
head -2 all.jsonl | sed 's/"row":"./"row":"f/' >part.jsonl.partial
cp part.jsonl.meta.json part.jsonl.partial.meta.json
run "$PLUMB" trace "$before" run six.jsonl -o part.jsonl --resume
expect_code 2
expect_err "part.jsonl.partial:1: was made from another row than row 0 of six.jsonl"
echo 'cats: [cat]' >cats.yaml
head -2 all.jsonl >part.jsonl.partial
run "$PLUMB" trace "$before" run six.jsonl -o part.jsonl --resume --groups cats.yaml
expect_code 2
expect_err "--groups"
run "$PLUMB" trace run --table --resume -o table.txt
expect_code 2
expect_err "--resume: a table is written anew"

begin "from the ledger alone"
run "$PLUMB" trace run --ledger_only -o ledger.jsonl
expect_code 0
expect_err "6 pairs traced from the ledger"
ok [ "$(count '"listed_only":true' ledger.jsonl)" -eq 6 ]
ok [ "$(count '"steps":[0,3,6]' ledger.jsonl)" -eq 6 ]
ok [ "$(count '"dz":' ledger.jsonl)" -eq 0 ]
run "$PLUMB" trace run --top 4 -q
sed 's/.*"gained":\[{\([^}]*\),"dz":.*/\1/; s/,"dz.*//' stdout >expected
sed 's/.*"gained":\[{\([^}]*\)}.*/\1/; s/}.*//' ledger.jsonl >got
expect_same got expected
refuse "the ledger has the first position only" run --ledger_only --positions all
run "$PLUMB" trace run --ledger_only --table
expect_code 0
expect_out '  3  "No"            "Yes"'

begin "the table of a run"
run "$PLUMB" trace run --table
expect_code 0
expect_out '"Yes"           "No"'

begin "the run decides how its pairs became tokens"
refuse "--max_length: the run has decided that" run --max_length 64
refuse "--compat: the run has decided that" run --compat official
refuse "row" run "$DATA/pairs/pairs.chat.jsonl"
sed 's/promise/promiss/' six.jsonl >other.jsonl
refuse "the ledger was made from other data" run other.jsonl

begin "rows that the run did not have"
run "$PLUMB" trace run "$pairs" --quiet -o more.jsonl
expect_code 0
expect_same more.jsonl run.jsonl
run "$PLUMB" trace run "$pairs"
expect_err "19 rows were not in the run"
refuse "none of its rows is in the run's ledger" run "$pairs" --range 10:

begin "data and models that are elsewhere now"
mkdir away
mv six.jsonl away/
refuse "the data of the run are not there" run
run "$PLUMB" trace run away/six.jsonl -q -o moved.jsonl
expect_code 0
expect_same moved.jsonl run.jsonl
cp -r run orphan
sed "s|\"path\": \"$before\"|\"path\": \"/nowhere\"|" run/run.json >orphan/run.json
run "$PLUMB" trace orphan away/six.jsonl -o orphan.jsonl
expect_code 0
expect_err "/nowhere, which the run began with, is not there; traced from the ledger alone"
expect_same orphan.jsonl ledger.jsonl
sed "s|\"hash\": \"ad78[0-9a-f]*\"|\"hash\": \"0000000000000000\"|" run/run.json >orphan/run.json
refuse "is not the model that the run began with" orphan away/six.jsonl
rm orphan/run.json
refuse "is no run folder" orphan

begin "a run that is not complete"
cp -r run broken
rm broken/config.json broken/model.safetensors
sed 's/"completed": true/"completed": false/' run/run.json >broken/run.json
run "$PLUMB" trace broken away/six.jsonl -o broken.jsonl
expect_code 0
expect_err "the run is not complete; traced up to checkpoint-4"
sed 's/,"steps".*/}/' broken.jsonl >got
expect_same got at4.jsonl

begin "a ledger without tokens"
run "$PLUMB" dpo "$before" away/six.jsonl -o plain --max_steps 3 --learning_rate 1e-3 --loss_type dpop -q
expect_code 0
run "$PLUMB" trace plain --ledger_only
expect_code 0
ok [ "$(count '"gained"' stdout)" -eq 0 ]
sed 's/"logps\/chosen":[^,]*/"logps\/chosen":-1e4/' plain/ledger.jsonl | sed "1,6s/-1e4/-1/" >fallen.jsonl
mv fallen.jsonl plain/ledger.jsonl
run "$PLUMB" trace plain --ledger_only
expect_code 0
expect_out '"verdict":null'
expect_err "6 without a verdict: the ledger lists no tokens"

begin "runs without log-probs of pairs say what to do instead"
mkdir other
echo '{"command": "dpo", "model": 7}' >other/run.json
refuse "other/run.json: names no model and data" other
expect_err "give the folder that plumb dpo, kto, rloo, grpo or ppo wrote with -o"
run "$PLUMB" reward "$DATA/models/reward-init" "$DATA/pairs/pairs.chat.jsonl" --limit 4 -o rewards --max_steps 1 -q
expect_code 0
refuse "rewards/run.json: is the record of plumb reward, whose model gives rewards, not log-probs" rewards
expect_err "plumb reward-score RM DATA"
run "$PLUMB" report rewards -o rewards.html # metrics alone
expect_code 0
run "$PLUMB" sft "$before" away/six.jsonl -o tuned --max_steps 1 -q
expect_code 0
refuse "tuned/run.json: is the record of plumb sft, which has no pairs" tuned
expect_err "plumb trace $before RUN PAIRS"

begin "a run of an adapter"
run "$PLUMB" dpo "$chat" chat.jsonl -o lora --use_peft true --lora_r 4 --max_steps 4 --save_strategy steps \
    --save_steps 1 --ledger_steps 2 --learning_rate 1e-2 -q
expect_code 0
run "$PLUMB" trace lora -o lora.jsonl
expect_code 0
ok [ "$(count '"steps":[0,1,2,3,4]' lora.jsonl)" -eq 4 ]
run "$PLUMB" trace "$chat" lora chat.jsonl -o two.jsonl
sed 's/,"steps".*/}/' lora.jsonl >got
expect_same got two.jsonl
run "$PLUMB" explain "$chat" chat.jsonl --pair 0 --after lora --format json -o explained.jsonl
expect_code 0
after_of explained.jsonl >got
sed -n 1p two.jsonl >first.jsonl
after_of first.jsonl >expected
expect_same got expected
run "$PLUMB" generate lora chat.jsonl
expect_code 2
expect_err "it is a LoRA adapter: make one model of it and the one it was trained on with plumb merge"

begin "a template that tells the date: the run's own"
cat >date.jinja <<'END'
{% for m in messages %}{% if m.role == 'user' %}{{ strftime_now('%Y') }}: {{ m.content }}
{% else %}{{ m.content }}{% endif %}{% endfor %}
END
run "$PLUMB" dpo "$chat" chat.jsonl -o dated --chat_template date.jinja --max_steps 2 --save_strategy steps --save_steps 1 -q
expect_code 0
run "$PLUMB" trace dated -o now.jsonl -q
expect_code 0
sed -i 's/"template_time": [0-9]*/"template_time": 1/; s/"completed": true/"completed": false/' dated/run.json
run "$PLUMB" trace dated -o then.jsonl -q
expect_code 0
for when in now then; do sed 's/.*"logps_before\/chosen":\([^,]*\),.*/\1/' $when.jsonl >$when; done
ok [ "$(cat now)" != "$(cat then)" ]
rm -r dated/checkpoint-* dated/reference.jsonl # from the beginning, with the date of the record
run "$PLUMB" dpo "$chat" chat.jsonl -o dated --chat_template date.jinja --max_steps 2 --save_strategy steps --save_steps 1 \
    --resume -q
expect_code 0
ok grep -q '"template_time": 1,' dated/run.json
run "$PLUMB" trace dated -o again.jsonl -q
sed 's/.*"logps_before\/chosen":\([^,]*\),.*/\1/' again.jsonl >got
expect_same got then

begin "an adapter that was trained on"
run "$PLUMB" dpo "$chat" chat.jsonl -o again --adapter "$DATA/models/adapter-init" --max_steps 2 --save_strategy steps \
    --save_steps 1 --ledger_steps 2 --learning_rate 1e-2 -q
expect_code 0
run "$PLUMB" trace again -o again.jsonl
expect_code 0
sed 's/.*"logps_before\/chosen":\([^,]*\),.*/\1/' again.jsonl >got
sed 's/.*"course\/chosen":\[\([^,]*\),.*/\1/' again.jsonl >expected
expect_same got expected
sed 's/.*"logps_after\/chosen":\([^,]*\),.*/\1/' adapter.jsonl >expected
expect_same got expected

begin "a run of plumb sft has no pairs"
head -2 "$DATA/sft/text.jsonl" >text.jsonl
run "$PLUMB" sft "$before" text.jsonl -o sft --max_steps 1 -q
expect_code 0
refuse "is the record of plumb sft, which has no pairs" sft

finish
