# plumb dpo as a user runs it.
. "$(dirname "$0")/lib.sh"
: "${DATA:?}"

models=$DATA/models
plain=$DATA/pairs/pairs.jsonl
chat=$DATA/pairs/pairs.chat.jsonl
PLUMB_THREADS=1 # small models: threads would only wait for each other
export PLUMB_THREADS

# dpo ARGUMENTS...: plumb dpo on eight pairs.
dpo()
{
    run "$PLUMB" dpo "$@" --limit 8
}

# refuses CODE MESSAGE ARGUMENTS...: that exit code and message, and nothing is made.
refuses()
{
    refusal_code=$1
    refusal=$2
    shift 2
    rm -rf refused
    dpo "$@" -o refused
    expect_code "$refusal_code"
    expect_err "$refusal"
    expect_no_file refused
}

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

# expect_within FILE_A FILE_B TOLERANCE: files of numbers, equal within that.
expect_within()
{
    paste "$1" "$2" | awk -v allowed="$3" '
        { d = $1 - $2; if (d < 0) d = -d; n++ } NF != 2 || !(d <= allowed) { print "row " NR ": " $0; bad = 1 }
        END { exit bad || !n }' >difference || complain "$1 and $2: $(cat difference)"
}

# expect_same_run A B: the same result, metrics and ledger.
expect_same_run()
{
    expect_same "$1/model.safetensors" "$2/model.safetensors"
    expect_same "$1/metrics.jsonl" "$2/metrics.jsonl"
    expect_same "$1/ledger.jsonl" "$2/ledger.jsonl"
}

begin "the plan tells why rows are left out"
run "$PLUMB" dpo "$models/olmo" "$DATA/pairs/pairs.jsonl" -o cut --max_length 16 --dry-run
expect_code 0
expect_out "data: "
sed -n 's/^data: \([0-9]*\) of 25 rows, max_length 16, .* cut, \([0-9]*\) skipped (prompt_too_long)$/\1 \2/p' stdout |
    awk '$1 + $2 == 25 { found = 1 } END { exit !found }' || complain "the rows do not add up"
expect_no_file cut

begin "a run and its folder"
dpo "$models/qwen3" "$chat" -o run --learning_rate 1e-3 --per_device_train_batch_size 2 --num_train_epochs 2 \
    --logging_steps 1 --save_steps 3
expect_code 0
expect_no_out
expect_err "model: $models/qwen3, Qwen3ForCausalLM"
expect_err "data: 8 of 8 rows, max_length"
expect_err "run: 8 steps (4 an epoch) of 2 rows, into run"
expect_err "reference: $models/qwen3 ("
expect_err "memory: "
expect_err "8 steps, last loss"
expect_err "the model is in run"
expect_rows run/metrics.jsonl 8
expect_rows run/ledger.jsonl 24 # start, both epochs
for file in config.json model.safetensors tokenizer.json tokenizer_config.json chat_template.jinja generation_config.json \
    run.json checkpoint-3/state.json checkpoint-6/masters.safetensors checkpoint-6/optimizer.safetensors; do
    expect_file "run/$file"
done
expect_same run/tokenizer.json "$models/qwen3/tokenizer.json"
column step run/metrics.jsonl | tr '\n' ' ' >got
expect_text got '1 2 3 4 5 6 7 8 '
for name in epoch loss grad_norm learning_rate entropy mean_token_accuracy logits/chosen logits/rejected rewards/chosen \
    rewards/rejected rewards/accuracies rewards/margins logps/chosen logps/rejected logps/chosen_q05 logps/chosen_q50 \
    logps/chosen_q95 logps/rejected_q05 logps/rejected_q50 logps/rejected_q95 displaced; do
    [ "$(column "$name" run/metrics.jsonl | wc -l)" -eq 8 ] || complain "no $name in every row of the metrics"
done
[ "$(column rewards/chosen run/metrics.jsonl | head -n 1)" = 0 ] || complain "the first reward is not 0"
[ "$(column displaced run/metrics.jsonl | head -n 1)" = 0 ] || complain "pairs are displaced at the start"
head -n 8 run/ledger.jsonl >start
for side in chosen rejected; do
    column "logps/$side" start >a
    column "ref_logps/$side" start >b
    expect_same a b
done
run cat run/run.json
expect_out '"command": "dpo"'
expect_out '"completed": true'
expect_out '"steps": 8'
expect_out '"learning_rate": 0.001'
expect_out '"loss_type"'
grep -Eq '"isa": "(ref|avx2|avx512)"' run/run.json || complain "the record does not name the instructions"

begin "the result is a checkpoint"
run "$PLUMB" info run
expect_code 0
expect_out "Qwen3ForCausalLM"
run "$PLUMB" score run "$chat" --limit 8 --measures logps -q -o scores.jsonl
expect_code 0
tail -n 8 run/ledger.jsonl >last
for side in chosen rejected; do
    column "logps/$side" last >a
    column "logps/$side" scores.jsonl >b
    expect_same a b # the ledger's log-probs to the last digit
done
column row last >a
column row scores.jsonl >b
expect_same a b

begin "the result in transformers"
if python3 -c 'import torch, transformers' 2>/dev/null; then
    ok python3 - run scores.jsonl "$chat" <<'EOF'
import json, sys, torch, transformers
model = transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1])
tokenizer = transformers.AutoTokenizer.from_pretrained(sys.argv[1])
for line, pair in zip(open(sys.argv[2]), open(sys.argv[3])):
    score, pair = json.loads(line), json.loads(pair)
    for side in ("chosen", "rejected"):
        text = tokenizer.apply_chat_template(pair["prompt"] + pair[side], tokenize=False)
        ids = torch.tensor(tokenizer(text, add_special_tokens=False)["input_ids"])
        with torch.no_grad():
            logps = model(ids[None]).logits[0].double().log_softmax(-1)
        n = score[side + "_tokens"]
        got = sum(logps[i - 1, ids[i]].item() for i in range(len(ids) - n, len(ids)))
        assert abs(got - score["logps/" + side]) < 1e-3, (got, score["logps/" + side])
EOF
else
    echo "left out: loading in transformers (python3 with torch and transformers is not here)"
fi

begin "twins and a config file give the same run"
run "$PLUMB" dpo --model_name_or_path "$models/qwen3" --dataset_name "$chat" --output_dir twin --learning-rate 1e-3 \
    --per-device-train-batch-size=2 --num_train_epochs 2 --logging_steps 1 --limit 8
expect_code 0
expect_same_run twin run
cat >dpo.yaml <<EOF
model_name_or_path: $models/qwen3
dataset_name: $chat
output_dir: from_file
learning_rate: 1.0e-3
per_device_train_batch_size: 4
num_train_epochs: 2
logging_steps: 1
save_strategy: "no"
report_to: none
bf16: true
EOF
run "$PLUMB" dpo --config dpo.yaml --per_device_train_batch_size 2 --limit 8
expect_code 0
expect_err "bf16"
expect_same_run from_file run
expect_no_file from_file/checkpoint-3
dpo "$models/qwen3" "$chat" -o seeded --learning_rate 1e-3 --per_device_train_batch_size 2 --num_train_epochs 2 \
    --logging_steps 1 --data_seed 42 --seed 7 -q
expect_code 0
expect_no_err
expect_same_run seeded run # the seed is 42 where none is given, and orders the rows
dpo "$models/qwen3" "$chat" -o seeded2 --learning_rate 1e-3 --per_device_train_batch_size 2 --num_train_epochs 2 \
    --logging_steps 1 --data_seed 43 -q
! cmp -s seeded2/model.safetensors run/model.safetensors || complain "another data_seed changes nothing"
dpo "$models/qwen3" "$chat" -o renamed --reference "$models/../models/qwen3" --max_steps 1 -q
expect_code 0
[ "$(column rewards/chosen renamed/metrics.jsonl)" = 0 ] || complain "another name of the model gives other rewards"

begin "max_steps, epochs, logging and the ledger"
dpo "$models/olmo" "$plain" -o steps --max_steps 5 --per_device_train_batch_size 3 --gradient_accumulation_steps 2 \
    --logging_steps 2 --ledger_steps 2 --ledger_tokens 2
expect_code 0
expect_err "run: 5 steps (2 an epoch) of 6 rows"
column step steps/metrics.jsonl | tr '\n' ' ' >got
expect_text got '2 4 5 '
column epoch steps/metrics.jsonl | tr '\n' ' ' >got
expect_text got '1 2 2.66666667 '
column step steps/ledger.jsonl | uniq | tr '\n' ' ' >got
expect_text got '0 2 4 5 '
grep -q '"gained":\[{"token":[0-9]*,"text":".*","p_before":.*,"p_after":.*}\],"lost":\[{' steps/ledger.jsonl ||
    complain "no tokens in the ledger"
dpo "$models/olmo" "$plain" -o half --num_train_epochs 0.5 --per_device_train_batch_size 3 -q
expect_code 0
expect_rows half/ledger.jsonl 16
dpo "$models/olmo" "$plain" -o limited --max_steps 6 --save_steps 1 --save_total_limit 2 -q
expect_code 0
ls -d limited/checkpoint-* | tr '\n' ' ' >got
expect_text got 'limited/checkpoint-4 limited/checkpoint-5 '

# DPOTrainer of TRL 1.16 with the same options: shuffled rows, and steps of two, two and one batches in each epoch.
begin "order and windows of TRL"
for every in 1 3; do
    rm -rf trl
    run "$PLUMB" dpo "$models/qwen3" "$chat" --limit 10 -o trl --per_device_train_batch_size 2 \
        --gradient_accumulation_steps 2 --num_train_epochs 2 --learning_rate 1e-4 --data_seed 5 --logging_steps $every
    expect_code 0
    sed 's/.*"loss":\([^,]*\),.*"rewards\/margins":\([^,]*\),.*/\1 \2/' trl/metrics.jsonl >margins
    column logps/chosen trl/metrics.jsonl | paste -d ' ' margins - | tr ' ' '\n' >got
    if [ $every = 1 ]; then
        set -- 0.693147182 0 -258.054008 0.714106679 -0.0413055895 -139.883816 0.6529333 0.0833358765 -361.422852 \
            0.505995035 0.550946012 -197.104736 0.381172657 1.36215797 -151.370197 0.0469682179 3.07226706 -430.834473
    else
        set -- 0.686729113 0.000144939497 -231.4597 0.311378638 1.379695 -225.556868
    fi
    printf '%s\n' "$@" >want
    expect_within got want 1e-3
done

begin "displacement is said"
dpo "$models/olmo" "$plain" -o fell --max_steps 3 --loss_type cdpo --label_smoothing 0.95 --learning_rate 1e-3
expect_code 0
expect_err "step 3: likelihood displacement: the mean chosen log-prob fell from"
expect_err "most in rows"
expect_err "--loss_type dpop"
dpo "$models/olmo" "$plain" -o rose --max_steps 3 --loss_type sigmoid sft --learning_rate 1e-3
expect_code 0
! grep -q displacement stderr || complain "displacement without a fall"

begin "--dry-run writes nothing"
for quiet in --quiet --threads=1; do # the plan is the result
    dpo "$models/olmo" "$plain" -o dry --dry-run $quiet
    expect_code 0
    expect_out "model: $models/olmo"
    expect_out "reference: $models/olmo"
    expect_out "run: 3 steps"
    expect_out "memory: "
    expect_out "an estimate of the time is"
    expect_no_file dry
done
expect_err "dry run: nothing was written"
dpo "$models/olmo" "$plain" --dry-run
expect_code 0
# tera ARGUMENTS...: operations of the run in TFLOP.
tera()
{
    dpo "$models/olmo" "$plain" --dry-run -q --per_device_train_batch_size 2 "$@"
    sed -n 's/^work: \([^ ]*\) TFLOP.*/\1/p' stdout
}
# Of passes over all pairs: one at the start, one at the end, three for each epoch (two with LoRA).
tera --num_train_epochs 1 >one
awk -v two="$(tera --num_train_epochs 2 --ledger_steps 100)" -v other="$(tera --reference "$models/policy-olmo" \
    --num_train_epochs 1)" -v lora="$(tera --num_train_epochs 1 --use_peft)" '
    function near(a, b) { return a > 0.98 * b && a < 1.02 * b }
    { exit !(near(two / $1, 8 / 5) && near(other / $1, 6 / 5) && near(lora / $1, 4 / 5)) }' one ||
    complain "operations: $(cat one), and $(tera --num_train_epochs 2 --ledger_steps 100) in two epochs"

# The same run whole, and ended on the way. Its ledger grows by some 350 KB each ten steps.
long="$models/olmo $plain --limit 8 --max_steps 100 --per_device_train_batch_size 2 --learning_rate 1e-4 --logging_steps 7
      --save_steps 5 --save_total_limit 2 --ledger_steps 10 --ledger_tokens 300"
begin "a disk that gets full on the way"
# shellcheck disable=SC2086
run "$PLUMB" dpo $long -o whole
expect_code 0
# No file may grow above 3600 blocks of 512 bytes: there is room for every checkpoint, and for half of the ledger.
# shellcheck disable=SC2086
(
    ulimit -f 3600
    exec "$PLUMB" dpo $long -o full
) >stdout 2>stderr </dev/null
code=$?
expect_code 3
expect_err "full/ledger.jsonl: cannot write: File too large"
expect_no_file full/model.safetensors
[ "$(wc -c <full/ledger.jsonl)" -eq $((3600 * 512)) ] || complain "the ledger is not full"
# shellcheck disable=SC2086
run "$PLUMB" dpo $long -o full --resume --threads 2
expect_code 0
expect_same_run full whole
ls -d full/checkpoint-* | tr '\n' ' ' >got
expect_text got 'full/checkpoint-90 full/checkpoint-95 '

begin "kill -9 and --resume"
# wait_while TEST...: up to a minute, as long as the test holds and the program runs.
wait_while()
{
    tries=0
    while "$@" && kill -0 "$pid" 2>/dev/null && [ $tries -lt 1200 ]; do
        sleep 0.05
        tries=$((tries + 1))
    done
}
# newest RUN: the step of its newest checkpoint, or 0.
newest()
{
    ls "$1" 2>/dev/null | sed -n 's/^checkpoint-\([0-9]*\)$/\1/p' | sort -n | tail -n 1 | grep . || echo 0
}
before()
{
    [ "$(newest "$1")" -lt "$2" ]
}
for step in 5 35 70; do # where the program is faster than this script there is nothing left to kill, which is as well
    # shellcheck disable=SC2086
    "$PLUMB" dpo $long -o killed --resume >stdout 2>stderr &
    pid=$!
    wait_while before killed $step
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
done
# shellcheck disable=SC2086
run "$PLUMB" dpo $long -o killed --resume_from_checkpoint true
expect_code 0
expect_same_run killed whole
! ls -d killed/*.partial 2>/dev/null || complain "a partial file is left"
# shellcheck disable=SC2086
run "$PLUMB" dpo $long -o killed --resume
expect_code 0
expect_err "the run in killed is complete"
expect_same_run killed whole

begin "SIGTERM"
endless="$models/olmo $plain --limit 8 --per_device_train_batch_size 2 --learning_rate 1e-4 --lr_scheduler_type constant
         --logging_steps 1 --save_steps 5 --save_total_limit 2"
for turn in 1 2; do
    step=$(($(newest stopped) + 5))
    # shellcheck disable=SC2086
    "$PLUMB" dpo $endless --max_steps 1000000 -o stopped --resume >stdout 2>stderr &
    pid=$!
    wait_while before stopped $step
    kill -TERM $pid
    wait $pid
    code=$?
    expect_code 143
    expect_err "stopped by SIGTERM"
    expect_err "go on with the same command and --resume"
    [ "$(column step stopped/metrics.jsonl | tail -n 1)" -eq "$(newest stopped)" ] ||
        complain "the newest checkpoint is $(newest stopped), another than the last step in the metrics"
done
# shellcheck disable=SC2086
run "$PLUMB" dpo $endless --max_steps 12 -o twelve
expect_code 0
head -n 12 stopped/metrics.jsonl >got
expect_same got twelve/metrics.jsonl

begin "a word beside a config file that gives model and data"
printf 'model_name_or_path: %s\ndataset_name: %s\n' "$models/qwen3" "$chat" >both.yaml
run "$PLUMB" dpo "$models/olmo" --config both.yaml -o never
expect_code 2
expect_err "one argument too many"
expect_err "name the one that it replaces: --model_name_or_path $models/olmo, or --dataset_name $models/olmo"
expect_no_file never

begin "what does not belong together is not continued"
# shellcheck disable=SC2086
run "$PLUMB" dpo $long -o whole
expect_code 2
expect_no_out
expect_err "whole: holds a run already"
expect_err "--resume"
# resumes_not MESSAGE ARGUMENTS...: nothing in the folder changes.
resumes_not()
{
    refusal=$1
    shift
    run "$PLUMB" dpo "$@" -o whole --resume
    expect_code 2
    expect_err "$refusal"
    expect_same_run whole killed
}
cp whole/run.json kept.json
# shellcheck disable=SC2086
resumes_not "whole/run.json: the run was begun with another --learning_rate" $long --learning_rate 1e-5
# shellcheck disable=SC2086
resumes_not "with another --seed" $long --seed 3
# shellcheck disable=SC2086
resumes_not "with another --reference" $long --reference "$models/policy-olmo"
# shellcheck disable=SC2086
grep -q '"isa": "ref"' whole/run.json || resumes_not "with another --isa" $long --isa ref
sed '3s/e/E/' "$plain" >edited.jsonl
# shellcheck disable=SC2086
resumes_not "the run was begun on other data" $(printf '%s' "$long" | sed "s|$plain|edited.jsonl|")
# shellcheck disable=SC2086
resumes_not "the run was begun from another model" $(printf '%s' "$long" | sed "s|$models/olmo|$models/policy-olmo|")
expect_same whole/run.json kept.json
cp -r "$models/olmo" moved
# shellcheck disable=SC2086
run "$PLUMB" dpo $(printf '%s' "$long" | sed "s|$models/olmo|moved|") -o whole --resume
expect_code 0 # the model may have moved
cp -r "$models/policy-olmo" reference
dpo "$models/olmo" "$plain" -o other --reference reference --max_steps 2
expect_code 0
rm -r reference
cp -r "$models/olmo" reference
dpo "$models/olmo" "$plain" -o other --reference reference --max_steps 2 --resume
expect_code 2
expect_err "other/run.json: the run was begun with another reference"
dpo "$models/olmo" "$plain" -o moved
expect_code 2
expect_err "moved: holds a model, which the run would write over"
expect_same moved/model.safetensors "$models/olmo/model.safetensors"

begin "a run that diverges"
dpo "$models/olmo" "$plain" -o diverged --learning_rate 1e30 --lr_scheduler_type constant_with_warmup --warmup_steps 1 \
    --save_steps 1 --save_total_limit 1 --per_device_train_batch_size 2 --ledger_steps 100
expect_code 3
expect_err "error: step 3: the loss is not a number in the batch of rows"
expect_err "in the batch of rows "
expect_err "diverged/checkpoint-1 is the last good checkpoint; try a smaller --learning_rate"
expect_file diverged/checkpoint-1/masters.safetensors
expect_no_file diverged/model.safetensors
grep '"completed"' diverged/run.json && complain "the record says that it is complete"
dpo "$models/olmo" "$plain" -o diverged2 --learning_rate 1e30 --max_steps 1
expect_code 3
expect_err "error: after step 1: "
expect_err "no checkpoint was written before"
expect_no_file diverged2/model.safetensors

begin "data that cannot be trained on"
: >empty.jsonl
refuses 2 "empty.jsonl" "$models/olmo" empty.jsonl
refuses 2 "is the file empty" "$models/olmo" empty.jsonl
run "$PLUMB" dpo "$models/olmo" "$plain" -o empty.jsonl -q
expect_code 2
expect_err "the run needs a folder"
run "$PLUMB" dpo "$models/olmo" "$plain" -o "" -q
expect_code 2
expect_err "the run folder is missing"
refuses 2 "no pair is left to train on" "$models/olmo" "$plain" --max_length 5
refuses 2 "plumb score says of each row why it is skipped" "$models/olmo" "$plain" --max_length 5
printf '%s\n' '{"prompt_ids":[5,2000],"chosen_ids":[6],"rejected_ids":[7]}' >far.jsonl
refuses 2 "the model has embeddings of 0 to 1047" "$models/olmo" far.jsonl
{
    head -n 2 "$plain"
    echo broken
} >broken.jsonl
refuses 2 "broken.jsonl:3: not valid JSON" "$models/olmo" broken.jsonl
dpo "$models/olmo" broken.jsonl -o skipped --on_error skip --max_steps 1
expect_code 0
expect_err "data: 2 of 3 rows"
refuses 2 "nowhere.jsonl: cannot be read" "$models/olmo" nowhere.jsonl
refuses 2 "nowhere/config.json: not found" nowhere "$plain"

begin "models that do not go together"
refuses 2 "--reference $models/llama2: has another tokenizer than $models/olmo" "$models/olmo" "$plain" \
    --reference "$models/llama2"
cp -r "$models/policy-olmo" spaced
sed 's/"normalizer": *null/"normalizer":{"type":"NFC"}/' "$models/policy-olmo/tokenizer.json" >spaced/tokenizer.json
if cmp -s spaced/tokenizer.json "$models/policy-olmo/tokenizer.json"; then
    sed 's/"normalizer": *{"type": *"NFC"}/"normalizer":null/' "$models/policy-olmo/tokenizer.json" >spaced/tokenizer.json
fi
refuses 2 "has another tokenizer than $models/olmo: the normalizers differ" "$models/olmo" "$plain" --reference spaced
refuses 2 "nowhere/config.json: not found" "$models/olmo" "$plain" --reference nowhere
refuses 2 "$models/adapter-init" "$models/olmo" "$plain" --adapter "$models/adapter-init"
refuses 2 "nowhere" "$models/olmo" "$plain" --adapter nowhere

begin "options"
refuses 2 "did you mean sigmoid" "$models/olmo" "$plain" --loss_type sigmoit
refuses 2 "alphapo_alpha" "$models/olmo" "$plain" --loss_type alphapo
refuses 2 "lora_dropout" "$models/olmo" "$plain" --use_peft --lora_dropout 0.05
refuses 2 "sync_ref_model" "$models/olmo" "$plain" --sync_ref_model --precompute_ref_log_probs
refuses 2 "sync_ref_model" "$models/olmo" "$plain" --sync_ref_model --loss_type simpo
refuses 2 "keep-lowest:5%" "$models/olmo" "$plain" --ches_gate lowest
refuses 2 "--ches_gate leaves no pair" "$models/olmo" "$plain" --ches_gate keep-lowest:0
refuses 2 "warmup_ratio" "$models/olmo" "$plain" --warmup_ratio 1.5
refuses 2 "--learning_rate" "$models/olmo" "$plain" --learning_rate -1
refuses 2 "did you mean --learning_rate?" "$models/olmo" "$plain" --learning_rat 1
run "$PLUMB" dpo "$models/olmo" "$plain"
expect_code 2
expect_err "the run folder is missing"
run "$PLUMB" dpo "$models/olmo" "$plain" -o no/where
expect_code 2
expect_err "no/where: cannot create: No such file or directory"

begin "an output that cannot be written"
mkdir sealed
chmod 555 sealed
if touch sealed/probe 2>/dev/null; then
    rm -f sealed/probe
    run "$PLUMB" dpo "$models/olmo" "$plain" -o /proc/run # nobody can write there, not even root
else
    run "$PLUMB" dpo "$models/olmo" "$plain" -o sealed/run
fi
expect_code 2
expect_err "cannot create"
chmod 755 sealed
# with_room BLOCKS ARGUMENTS...: no file may grow above so many blocks of 512 bytes.
with_room()
{
    (
        ulimit -f "$1"
        shift
        exec "$PLUMB" dpo "$models/olmo" "$plain" --limit 8 "$@"
    ) >stdout 2>stderr </dev/null
    code=$?
}
with_room 1000 -o tight --max_steps 4 --save_steps 1 # a checkpoint takes more
expect_code 3
expect_err "masters.safetensors"
expect_err "File too large"
expect_no_file tight/checkpoint-1
expect_no_file tight/checkpoint-1.partial
dpo "$models/olmo" "$plain" -o tight --max_steps 4 --save_steps 1 --resume # with room again
expect_code 0
dpo "$models/olmo" "$plain" -o roomy --max_steps 4 --save_steps 1
expect_same_run tight roomy
with_room 1000 -o result --max_steps 1
expect_code 3
expect_err "model.safetensors"
expect_no_file result/model.safetensors

begin "LoRA"
dpo "$models/llama3-chat-sharded" "$chat" -o lora --use_peft --lora_r 4 --lora_alpha 8 --max_steps 3 --learning_rate 1e-2 \
    --logging_steps 1
expect_code 0
expect_file lora/adapter_config.json
expect_file lora/adapter_model.safetensors
expect_file lora/tokenizer.json
expect_no_file lora/model.safetensors
expect_no_file lora/config.json
run "$PLUMB" merge "$models/llama3-chat-sharded" lora -o merged
expect_code 0
run "$PLUMB" score merged "$chat" --limit 8 --measures logps -q -o merged.jsonl
expect_code 0
tail -n 8 lora/ledger.jsonl >last
for side in chosen rejected; do # merged weights are rounded once more
    column "logps/$side" last >a
    column "logps/$side" merged.jsonl >b
    expect_within a b 1e-3
    column "ref_logps/$side" last >c
    ! cmp -s a c || complain "training changed nothing"
done
dpo "$models/llama3-chat-sharded" "$chat" -o further --adapter lora --max_steps 2 --logging_steps 1
expect_code 0
head -n 8 further/ledger.jsonl >start
for side in chosen rejected; do
    column "logps/$side" last >a
    column "logps/$side" start >b
    expect_same a b # goes on where the adapter ended
    column "ref_logps/$side" start >c
    expect_same b c # which is its reference
done
dpo "$models/llama3-chat-sharded" "$chat" -o named --adapter lora --reference "$models/llama3-chat-sharded" --max_steps 1
expect_code 0
head -n 8 named/ledger.jsonl >start
head -n 8 lora/ledger.jsonl >before
column logps/chosen before >a
column ref_logps/chosen start >b
expect_same a b # a reference that is named is without the adapter

# The reference's numbers are used again in their folder alone, and only for the same adapter.
cp -r lora changed
"$PLUMB" dpo "$models/llama3-chat-sharded" "$chat" --limit 8 -o more --adapter lora --max_steps 1 --learning_rate 1e-2 -q
cp more/adapter_model.safetensors changed/
for adapter in lora changed; do
    rm -rf again
    mkdir again
    cp further/reference.jsonl again
    dpo "$models/llama3-chat-sharded" "$chat" -o again --adapter $adapter --max_steps 2 --logging_steps 1
    expect_code 0
    head -n 8 again/ledger.jsonl >start
    column ref_logps/chosen start >a
    column logps/chosen start >b
    expect_same a b
    if [ $adapter = lora ]; then
        expect_err "the reference's log-probs are taken from again/reference.jsonl"
        expect_same again/ledger.jsonl further/ledger.jsonl
    else
        ! grep -q "are taken from" stderr || complain "another adapter's numbers are used"
    fi
done
mv changed/adapter_model.safetensors was
cp lora/adapter_model.safetensors changed/
dpo "$models/llama3-chat-sharded" "$chat" -o again --adapter changed --max_steps 2 --logging_steps 1 --resume
expect_code 2
expect_err "again/run.json: the run was begun from another adapter"

begin "the gate"
"$PLUMB" score "$models/olmo" "$plain" --limit 8 --measures ln_ches -q -o scores.jsonl
for gate in keep-lowest:25% weight; do
    rm -rf gated
    dpo "$models/olmo" "$plain" -o gated --ches_gate "$gate" --per_device_train_batch_size 1 --num_train_epochs 1
    expect_code 0
    steps=8
    [ "$gate" = weight ] || steps=2
    expect_err "run: $steps steps ($steps an epoch)"
    expect_err "$steps steps, last loss"
    head -n 8 gated/ledger.jsonl >start
    column ln_ches start >a
    column ln_ches scores.jsonl >b
    expect_within a b 1e-6
    column weight start >got
    paste b got | sort -g | cut -f 2 >ranked
    if [ "$gate" = weight ]; then
        awk 'BEGIN { for (i = 0; i < 8; i++) printf "%.9g\n", 2 * (1 - i / 7) }' >want
    else
        printf '1\n1\n0\n0\n0\n0\n0\n0\n' >want
    fi
    expect_within ranked want 1e-8
done
dpo "$models/olmo" "$plain" -o refreshed --ches_gate keep-lowest:4 --ches_refresh 1 --max_steps 3 --ledger_steps 1 \
    --learning_rate 1e-2
expect_code 0
column ln_ches refreshed/ledger.jsonl | sort -u | wc -l >got
[ "$(cat got)" -eq 24 ] || complain "$(cat got) values of ln_ches in three scorings of eight pairs"

finish
