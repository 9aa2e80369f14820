# plumb kto as a user runs it.
. "$(dirname "$0")/lib.sh"
: "${DATA:?}"

models=$DATA/models
rows=$DATA/expected/rlhf/kto-data.jsonl
plain=$DATA/pairs/pairs.jsonl
PLUMB_THREADS=1 # small models: threads would only wait for each other
export PLUMB_THREADS
policy=$models/policy-llama3-chat-sharded
reference=$models/llama3-chat-sharded

# column NAME FILE: the values of a field, a line for each row that has it.
column()
{
    sed -n 's|.*"'"$1"'": *\([^,}]*\).*|\1|p' "$2"
}

# expect_rows FILE COUNT
expect_rows()
{
    [ "$(wc -l <"$1")" -eq "$2" ] || complain "$1 has $(wc -l <"$1") rows, expected $2"
}

# expect_same_run A B: the same result, metrics and ledger.
expect_same_run()
{
    expect_same "$1/model.safetensors" "$2/model.safetensors"
    expect_same "$1/metrics.jsonl" "$2/metrics.jsonl"
    expect_same "$1/ledger.jsonl" "$2/ledger.jsonl"
}

begin "a run and its folder"
run "$PLUMB" kto "$reference" "$rows" -o run --per_device_train_batch_size 4 --learning_rate 1e-3 --logging_steps 1
expect_code 0
expect_no_out
expect_err "data: 16 wanted and 16 unwanted completions"
expect_err "24 steps, last loss"
expect_err "mean log-prob: wanted "
expect_file run/model.safetensors
expect_file run/reference.jsonl
expect_rows run/metrics.jsonl 24
expect_rows run/ledger.jsonl 128 # start, three epochs
for name in loss kl entropy; do
    [ "$(column "$name" run/metrics.jsonl | wc -l)" -eq 24 ] || complain "no $name in every row of the metrics"
done
[ "$(column rewards/chosen run/metrics.jsonl | wc -l)" -eq 21 ] || complain "a batch without wanted rows has a reward of them"
[ "$(column rewards/margins run/metrics.jsonl | wc -l)" -eq 18 ] || complain "a batch of one kind has a margin"
[ "$(column rewards/chosen run/metrics.jsonl | head -n 1)" = 0 ] || complain "the first reward is not 0"
[ "$(column kl run/metrics.jsonl | head -n 1)" = 0 ] || complain "the first divergence is not 0"
head -n 32 run/ledger.jsonl >start
column logps start >a
column ref_logps start >b
expect_same a b
[ "$(grep -c '"label":true' start)" -eq 16 ] || complain "labels are lost"
run "$PLUMB" info run
expect_out "LlamaForCausalLM"

begin "threads, a config file"
cat >kto.yaml <<EOF
model_name_or_path: $reference
dataset_name: $rows
per_device_train_batch_size: 4
learning_rate: 1.0e-3
logging_steps: 1
beta: 0.1
loss_type: kto
precompute_ref_batch_size: 8
EOF
run "$PLUMB" kto --config kto.yaml -o from_file --threads 3
expect_code 0
expect_err "precompute_ref_batch_size: no effect here"
expect_same_run from_file run

begin "kill -9, SIGTERM and --resume"
long="$policy $rows --reference $reference --per_device_train_batch_size 4 --gradient_accumulation_steps 3 --max_steps 30
      --logging_steps 2 --save_steps 3 --ledger_steps 7 --learning_rate 1e-4 --sync_ref_model --ref_model_sync_steps 4"
# shellcheck disable=SC2086
run "$PLUMB" kto $long -o whole
expect_code 0
for signal in KILL TERM; do
    for turn in 1 2 3; do # a program that is done before is as good
        # shellcheck disable=SC2086
        "$PLUMB" kto $long -o stopped.$signal --resume >stdout 2>stderr &
        pid=$!
        sleep 0.1
        kill -$signal $pid 2>/dev/null
        wait $pid 2>/dev/null
    done
    # shellcheck disable=SC2086
    run "$PLUMB" kto $long -o stopped.$signal --resume --threads 2
    expect_code 0
    expect_same_run stopped.$signal whole
done
mkdir cut # from a checkpoint in the middle of a window of the metrics
cp -r whole/checkpoint-15 whole/run.json whole/reference.jsonl whole/metrics.jsonl whole/ledger.jsonl cut
sed -i '/"completed"/d' cut/run.json
# shellcheck disable=SC2086
run "$PLUMB" kto $long -o cut --resume
expect_code 0
expect_same_run cut whole

begin "preferences are taken apart"
run "$PLUMB" kto "$reference" "$plain" --limit 8 -o apart --per_device_train_batch_size 4 --num_train_epochs 1
expect_code 0
expect_err "8 rows are preferences: each is two rows"
expect_err "data: 8 wanted and 8 unwanted completions"
expect_rows apart/ledger.jsonl 16 # of pairs: at the start and after the epoch
column index apart/ledger.jsonl | tr '\n' ' ' >got
expect_text got '0 1 2 3 4 5 6 7 0 1 2 3 4 5 6 7 '
head -n 8 apart/ledger.jsonl >start
for side in chosen rejected; do
    column "logps/$side" start >a
    column "ref_logps/$side" start >b
    expect_same a b
done
run "$PLUMB" score "$reference" "$plain" --limit 8 --measures logps -o scored.jsonl
for side in chosen rejected; do # other rows share the prompts' passes: equal up to rounding
    column "logps/$side" start >a
    column "logps/$side" scored.jsonl >b
    paste a b | awk '($1 - $2) ^ 2 > 1e-6' >far
    expect_text far ""
done
run "$PLUMB" trace apart -o trace.jsonl
expect_code 0
expect_err "8 pairs traced, 0 skipped; "
[ "$(grep -c '"steps":\[0,4\]' trace.jsonl)" -eq 8 ] || complain "the course is not that of the ledger"
run "$PLUMB" identify "$plain" scored.jsonl apart --limit 8
expect_code 0
expect_out "8 pairs, steps 0 to 4"
pair='{"prompt_ids":[5,6],"chosen_ids":[7,8],"rejected_ids":[9]}'
{ # sides without a token are left out, and the ledger has whole pairs
    echo '{"prompt_ids":[5,6],"chosen_ids":[7,8],"rejected_ids":[]}'
    echo "$pair"
    echo '{"prompt_ids":[5,6],"chosen_ids":[],"rejected_ids":[9]}'
    echo "$pair"
} >half.jsonl
run "$PLUMB" kto "$reference" half.jsonl -o half --per_device_train_batch_size 2 --max_steps 1
expect_code 0
column index half/ledger.jsonl | tr '\n' ' ' >got
expect_text got '1 3 1 3 '

begin "single completions are no pairs"
run "$PLUMB" trace run
expect_code 2
expect_err "run/ledger.jsonl:1: these are single completions of plumb kto, not pairs"
expect_err "plumb trace MODEL RUN PAIRS"
run "$PLUMB" report run -o page.html # metrics alone
expect_code 0
grep -q '<figure id="margins"' page.html || complain "no margins of wanted and unwanted completions"

begin "the unpaired APO-zero"
run "$PLUMB" kto "$reference" "$rows" -o apo --loss_type apo_zero_unpaired --train_sampling_strategy random \
    --per_device_train_batch_size 1 --max_steps 6 --logging_steps 1
expect_code 0
[ "$(column kl apo/metrics.jsonl | sort -u)" = 0 ] || complain "a divergence that nobody needs"

begin "LoRA"
run "$PLUMB" kto "$reference" "$rows" -o lora --use_peft --lora_r 2 --max_steps 3 --per_device_train_batch_size 4
expect_code 0
expect_file lora/adapter_model.safetensors

begin "numbers of both kinds"
grep -v '"label": true' "$rows" | head -n 4 >few.jsonl
grep '"label": true' "$rows" >>few.jsonl
run "$PLUMB" kto "$reference" few.jsonl -o few --dry-run
expect_code 0
expect_err "data: 16 wanted and 4 unwanted completions"
expect_err "the KTO paper suggests desirable_weight in 0.25..0.333"
expect_no_file few

begin "wrong input"
# refuses MESSAGE ARGUMENTS...: exit code 2 and that message, and nothing is made.
refuses()
{
    refusal=$1
    shift
    rm -rf refused
    run "$PLUMB" kto "$@" -o refused
    expect_code 2
    expect_err "$refusal"
    expect_no_file refused
}
sed 's/, "label": [a-z]*//' "$rows" >bare.jsonl
refuses 'bare.jsonl:1: the row has no "label"' "$reference" bare.jsonl
sed 's/"label": \([a-z]*\)/"label": "\1"/' "$rows" >strings.jsonl
refuses 'strings.jsonl:1: "label" is a string; expected true or false' "$reference" strings.jsonl
grep '"label": true' "$rows" >wanted.jsonl
refuses 'wanted.jsonl: all 16 rows are wanted (true)' "$reference" wanted.jsonl
refuses "is a reward model, which tells nothing about next tokens" "$models/reward-init" "$rows"
refuses "a batch of 1 has none" "$reference" "$rows" --per_device_train_batch_size 1
refuses "rows must come in their order" "$reference" "$rows" --train_sampling_strategy random
refuses "has another tokenizer" "$reference" "$rows" --reference "$models/qwen3"
refuses "no row is left to train on" "$reference" "$rows" --max_length 2
run "$PLUMB" kto "$reference" strings.jsonl -o skipped --on_error skip
expect_code 2
expect_err "passed over: strings.jsonl:1"

finish
