# plumb reward and plumb reward-score as a user runs them.
. "$(dirname "$0")/lib.sh"
: "${DATA:?}"

models=$DATA/models
plain=$DATA/pairs/pairs.jsonl
chat=$DATA/pairs/pairs.chat.jsonl
PLUMB_THREADS=1 # small models: threads would only wait for each other
export PLUMB_THREADS

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
    for result in config.json model.safetensors adapter_config.json adapter_model.safetensors; do
        [ ! -e "$1/$result" ] || expect_same "$1/$result" "$2/$result"
    done
    expect_same "$1/metrics.jsonl" "$2/metrics.jsonl"
    expect_same "$1/ledger.jsonl" "$2/ledger.jsonl"
}

begin "a reward model of a language model"
run "$PLUMB" reward "$models/qwen3" "$chat" -o rm --limit 8 --learning_rate 1e-3 --per_device_train_batch_size 2 \
    --num_train_epochs 2 --logging_steps 1 --save_steps 3 --center_rewards_coefficient 0.01
expect_code 0
expect_no_out
expect_err "reward head: new, from --seed 42"
expect_err "reward: read at the last token that is not "
expect_err "data: 8 of 8 rows, max_length"
expect_err "8 steps, last loss"
expect_err "on the 8 pairs: accuracy"
for file in config.json model.safetensors tokenizer.json chat_template.jinja run.json checkpoint-6/masters.safetensors; do
    expect_file "rm/$file"
done
expect_rows rm/metrics.jsonl 8
expect_rows rm/ledger.jsonl 24 # start, both epochs
for name in epoch loss grad_norm learning_rate min_reward mean_reward max_reward accuracy margin; do
    [ "$(column "$name" rm/metrics.jsonl | wc -l)" -eq 8 ] || complain "no $name in every row of the metrics"
done
! grep -q 'entropy\|logps' rm/metrics.jsonl || complain "metrics of tokens in a run without any"
run cat rm/config.json
expect_out '"Qwen3ForSequenceClassification"'
expect_out '"LABEL_0"'
expect_out '"pad_token_id": '
run "$PLUMB" reward "$models/qwen3" "$chat" -o other --limit 8 --max_steps 1 --seed 1 -q
expect_code 0
head -n 1 rm/ledger.jsonl >a
head -n 1 other/ledger.jsonl >b
! cmp -s a b || complain "another seed gives the same head"

begin "its report"
run "$PLUMB" report rm --format json
expect_code 0
expect_err "1 figure; 13 left out"
expect_out "\"step\":8,\"accuracy\":$(column accuracy rm/metrics.jsonl | tail -n 1),\"margin\":$(column margin rm/metrics.jsonl | tail -n 1)"
expect_out 'The margin of rewards in rm went from'

begin "its rewards"
run "$PLUMB" reward-score rm "$chat" --limit 8 -o rewards.jsonl
expect_code 0
expect_no_out
expect_err "8 pairs: accuracy"
expect_file rewards.jsonl.meta.json
expect_rows rewards.jsonl 8
tail -n 8 rm/ledger.jsonl >last
for name in reward/chosen reward/rejected index row; do
    column "$name" last >a
    column "$name" rewards.jsonl >b
    expect_same a b # the ledger's to the last digit
done
[ "$(column margin rewards.jsonl | wc -l)" -eq 8 ] || complain "no margins"
run "$PLUMB" reward-score rm "$chat" --limit 8 --threads 3 -q
expect_same "$work/stdout" rewards.jsonl
run "$PLUMB" reward-score rm "$chat" --range 3:6 -q
sed -n 4,6p rewards.jsonl >part
expect_same "$work/stdout" part
head -n 3 rewards.jsonl >resumed.jsonl.partial
sed 's/resumed/rewards/' rewards.jsonl.meta.json >resumed.jsonl.partial.meta.json
run "$PLUMB" reward-score rm "$chat" --limit 8 -o resumed.jsonl --resume
expect_code 0
expect_err "going on after 3 rows"
expect_err "8 pairs: accuracy"
expect_same resumed.jsonl rewards.jsonl
sed -n 2,4p rewards.jsonl >resumed.jsonl.partial
cp rewards.jsonl.meta.json resumed.jsonl.partial.meta.json
run "$PLUMB" reward-score rm "$chat" --limit 8 -o resumed.jsonl --resume
expect_code 2
expect_err "resumed.jsonl.partial:1: was made from another row"

begin "a plan of the scoring"
run "$PLUMB" reward-score rm "$chat" --limit 8 --dry-run --max_length 60 -o planned.jsonl
expect_code 0
expect_out "model: rm, Qwen3ForSequenceClassification, "
expect_out "pairs, 0 responses, "
expect_out "TFLOP at the least, 1 thread of "
expect_out "memory: the mapped checkpoint and about "
expect_err "dry run: nothing was written"
expect_no_file planned.jsonl
expect_no_file planned.jsonl.partial
planned=$(sed -n 's/^data: .*, \([0-9]*\) pairs.*, \([0-9]*\) rows to be skipped/\1 \2/p' stdout)
run "$PLUMB" reward-score rm "$chat" --limit 8 --max_length 60 -q
skipped=$(grep -c skipped stdout)
[ "$skipped" -gt 0 ] && [ "$planned" = "$((8 - skipped)) $skipped" ] || complain "the plan counts $planned, $skipped were skipped"
# more rows, more work
run "$PLUMB" reward-score rm "$chat" --limit 16 --dry-run --quiet
expect_no_err
sed -n 's/^work: \([^ ]*\) .*/\1/p' stdout >a
run "$PLUMB" reward-score rm "$chat" --limit 8 --dry-run --quiet
sed -n 's/^work: \([^ ]*\) .*/\1/p' stdout >b
paste a b | awk '{ exit !($1 > 1.5 * $2 && $2 > 0) }' || complain "the work does not grow with the rows"
run "$PLUMB" reward-score rm "$chat" --dry-run -o nowhere/out.jsonl
expect_code 2
expect_err "mkdir -p nowhere"

begin "rewards of responses"
cat >responses.jsonl <<'EOF'
{"index":7,"row":"00000000000000aa","sample":1,"prompt":"Hi","response":"Hello you","finish":"eos"}
{"index":7,"row":"00000000000000aa","sample":2,"prompt":[{"role":"user","content":"Hi"}],"response":"Hello you"}
{"prompt":[{"role":"user","content":"Hi"}],"completion":[{"role":"assistant","content":"Hello you"}]}
EOF
run "$PLUMB" reward-score rm responses.jsonl --as_message
expect_code 0
expect_err "3 responses: mean reward"
grep -q '^{"index":7,"row":"00000000000000aa","sample":1,"reward":' stdout || complain "the row of plumb generate lost its numbers"
grep -q '^{"index":2,"row":"[0-9a-f]*","sample":0,"reward":' stdout || complain "a row of another program is not numbered"
[ "$(column reward stdout | sort -u | wc -l)" -eq 1 ] || complain "one conversation, several rewards"
cp stdout as_message
run "$PLUMB" reward-score rm responses.jsonl -q
[ "$(column reward stdout | sort -u | wc -l)" -eq 2 ] || complain "a plain string is read as a conversation"
echo '{"prompt":[{"role":"user","content":"Hi"}],"chosen":[{"role":"assistant","content":"Hello you"}],"rejected":[{"role":"assistant","content":"Go"}]}' >pair.jsonl
run "$PLUMB" reward-score rm pair.jsonl -q
awk -v a="$(column reward/chosen stdout)" -v b="$(column reward as_message | head -n 1)" \
    'BEGIN { d = a - b; exit !(d < 1e-5 && d > -1e-5) }' || complain "a response and a chosen side get different rewards"
run "$PLUMB" reward-score rm "$chat" --limit 8 --max_length 40 -q
grep -q '"skipped":"too_long"' stdout || complain "nothing is too long"

begin "the result in transformers"
if python3 -c 'import torch, transformers' 2>/dev/null; then
    ok python3 - rm rewards.jsonl "$chat" <<'EOF'
import json, sys, torch, transformers
model, info = transformers.AutoModelForSequenceClassification.from_pretrained(sys.argv[1], output_loading_info=True)
assert not any(info[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
assert model.config.num_labels == 1
tokenizer = transformers.AutoTokenizer.from_pretrained(sys.argv[1])
for line, pair in zip(open(sys.argv[2]), open(sys.argv[3])):
    reward, pair = json.loads(line), json.loads(pair)
    for side in ("chosen", "rejected"):
        text = tokenizer.apply_chat_template(pair["prompt"] + pair[side], tokenize=False)
        ids = torch.tensor(tokenizer(text, add_special_tokens=False)["input_ids"])
        with torch.no_grad():
            got = model(ids[None]).logits[0, 0].item()
        assert abs(got - reward["reward/" + side]) < 1e-4, (got, reward["reward/" + side])
EOF
else
    echo "left out: loading in transformers (python3 with torch and transformers is not here)"
fi

begin "a LoRA adapter and its head"
base=$models/llama3-chat-sharded
run "$PLUMB" reward "$base" "$chat" -o lora --limit 8 --use_peft --lora_r 4 --lora_alpha 8 --learning_rate 1e-2 \
    --lora_target_modules all-linear --per_device_train_batch_size 2 --max_steps 6 --save_steps 2
expect_code 0
expect_err "reward head: new, from --seed 42"
expect_err "6 steps, last loss"
expect_no_file lora/config.json
expect_no_file lora/model.safetensors
run cat lora/adapter_config.json
expect_out '"task_type": "SEQ_CLS"'
expect_out '"modules_to_save": ["classifier", "score"]'
run cat lora/tokenizer_config.json
expect_out '"pad_token": "<|eot_id|>"'
expect_out '"model_max_length": 1000000000000000019884624838656,'
run "$PLUMB" reward-score lora "$chat" --limit 8 -o lora.jsonl
expect_code 0
tail -n 8 lora/ledger.jsonl >last
for name in reward/chosen reward/rejected; do
    column "$name" last >a
    column "$name" lora.jsonl >b
    expect_same a b # the ledger's to the last digit
done
run cat lora.jsonl.meta.json
expect_out '"adapter": {'
head -n 3 lora.jsonl >gone.jsonl.partial
sed 's/lora.jsonl/gone.jsonl/' lora.jsonl.meta.json >gone.jsonl.partial.meta.json
run "$PLUMB" reward-score lora "$chat" --limit 8 -o gone.jsonl --resume
expect_code 0
expect_same gone.jsonl lora.jsonl
run "$PLUMB" merge "$base" lora -o merged
expect_code 0
expect_err "21 of 30 tensors merged"
run cat merged/config.json
expect_out '"LlamaForSequenceClassification"'
expect_out '"pad_token_id": 4'
run "$PLUMB" reward-score merged "$chat" --limit 8 -o merged.jsonl
expect_code 0
# close A B: columns of numbers that differ by rounding only.
close()
{
    paste "$1" "$2" | awk '{ d = $1 - $2; if (d > 1e-5 || d < -1e-5) exit 1 }' || complain "$1 and $2 differ"
}
for name in reward/chosen reward/rejected; do
    column "$name" lora.jsonl >a
    column "$name" merged.jsonl >b
    close a b
done
run "$PLUMB" merge merged lora -o twice # the head of a reward model gives way to the adapter's
expect_code 0
expect_err "21 of 30 tensors merged"
run "$PLUMB" reward "$base" "$chat" -o further --limit 8 --adapter lora --max_steps 1 -q
expect_code 0
head -n 8 further/ledger.jsonl >first
for name in reward/chosen reward/rejected; do
    column "$name" last >a
    column "$name" first >b
    expect_same a b # goes on where the adapter was
done
run "$PLUMB" reward "$base" "$chat" -o closing --limit 8 --use_peft --max_steps 1 --pad_token '<|end_of_text|>'
expect_err "reward: read at the last token that is not <|end_of_text|> (1)"
run "$PLUMB" reward "$base" "$chat" -o closing_further --limit 8 --adapter closing --dry-run
expect_err "reward: read at the last token that is not <|end_of_text|> (1)"
run "$PLUMB" reward-score closing "$chat" --limit 8 -q
tail -n 8 closing/ledger.jsonl >first
for name in reward/chosen reward/rejected; do
    column "$name" first >a
    column "$name" stdout >b
    expect_same a b # read at the same token
done
mkdir bare && cp lora/adapter_* bare
cp -r "$base" padded && chmod -R u+w padded
sed 's/"pad_token_id": null/"pad_token_id": 1/' "$base/config.json" >padded/config.json
sed 's/{/{"pad_token": "<|eot_id|>",/' "$base/tokenizer_config.json" >padded/tokenizer_config.json
ok "$PLUMB" merge padded bare -o by_config -q # an adapter without a tokenizer: what the base's config.json says
run cat by_config/config.json
expect_out '"pad_token_id": 1'
run "$PLUMB" reward merged "$chat" -o on_top --limit 8 --use_peft --max_steps 1 -q
expect_code 0
column reward/chosen merged.jsonl >a
head -n 8 on_top/ledger.jsonl >first
column reward/chosen first >b
expect_same a b # a fresh adapter begins with the reward model's head

begin "the adapter in PEFT"
if python3 -c 'import peft, torch, transformers' 2>/dev/null; then
    ok python3 - "$base" lora lora.jsonl merged "$chat" <<'EOF'
import json, sys, torch, transformers
from peft import AutoPeftModelForSequenceClassification, PeftModel
base, lora, rewards, merged, pairs = sys.argv[1:]
torch.set_num_threads(1) # small models
kind = transformers.AutoModelForSequenceClassification
models = [AutoPeftModelForSequenceClassification.from_pretrained(lora, num_labels=1),
          PeftModel.from_pretrained(kind.from_pretrained(base, num_labels=1), lora), kind.from_pretrained(merged)]
tokenizer = transformers.AutoTokenizer.from_pretrained(lora)
for model in models[:2]: # config.json of the base names no pad token
    model.config.pad_token_id = tokenizer.pad_token_id
for line, pair in zip(open(rewards), open(pairs)):
    reward, pair = json.loads(line), json.loads(pair)
    for side in ("chosen", "rejected"):
        text = tokenizer.apply_chat_template(pair["prompt"] + pair[side], tokenize=False)
        ids = torch.tensor(tokenizer(text, add_special_tokens=False)["input_ids"])
        for model in models:
            with torch.no_grad():
                got = model.eval()(ids[None]).logits[0, 0].item()
            assert abs(got - reward["reward/" + side]) < 1e-4, (got, reward["reward/" + side])
EOF
else
    echo "left out: loading in PEFT (python3 with torch, transformers and peft is not here)"
fi

begin "kill -9, SIGTERM and --resume"
long="$models/reward-init $plain --limit 12 --per_device_train_batch_size 4 --gradient_accumulation_steps 2 --max_steps 40
      --logging_steps 3 --save_steps 4 --ledger_steps 10 --learning_rate 1e-4 --center_rewards_coefficient 0.01 --threads 2"
# shellcheck disable=SC2086
run "$PLUMB" reward $long -o whole
expect_code 0
# stop_often SIGNAL ARGUMENTS...: ends the command three times, and goes on to its end.
stop_often()
{
    signal=$1
    shift
    for turn in 1 2 3; do # a program that is done before is as good
        "$PLUMB" "$@" --resume >stdout 2>stderr &
        pid=$!
        sleep 0.1
        kill -"$signal" $pid 2>/dev/null
        wait $pid 2>/dev/null
    done
    run "$PLUMB" "$@" --resume --threads 1
    expect_code 0
}
for signal in KILL TERM; do
    # shellcheck disable=SC2086
    stop_often $signal reward $long -o stopped.$signal
    expect_same_run stopped.$signal whole
done
lora="--use_peft --lora_r 2 --lora_target_modules all-linear"
# shellcheck disable=SC2086
run "$PLUMB" reward $long $lora -o whole_lora
expect_code 0
expect_file whole_lora/adapter_model.safetensors
# shellcheck disable=SC2086
stop_often TERM reward $long $lora -o stopped_lora
expect_same_run stopped_lora whole_lora
mkdir cut_lora
cp -r whole_lora/checkpoint-16 whole_lora/run.json whole_lora/metrics.jsonl whole_lora/ledger.jsonl cut_lora
sed -i '/"completed"/d; s/"steps": 40/"steps": 0/' cut_lora/run.json
# shellcheck disable=SC2086
run "$PLUMB" reward $long $lora -o cut_lora --resume
expect_code 0
expect_same_run cut_lora whole_lora
head -c 0 /dev/null >whole/none
rm whole/none
mkdir cut # from a checkpoint in the middle of a window of the metrics
cp -r whole/checkpoint-16 whole/run.json whole/metrics.jsonl whole/ledger.jsonl cut
sed -i '/"completed"/d; s/"steps": 40/"steps": 0/' cut/run.json
# shellcheck disable=SC2086
run "$PLUMB" reward $long -o cut --resume
expect_code 0
expect_same_run cut whole

begin "wrong input"
# refuses MESSAGE ARGUMENTS...: exit code 2 and that message, and nothing is made.
refuses()
{
    refusal=$1
    shift
    rm -rf refused
    run "$PLUMB" "$@" -o refused
    expect_code 2
    expect_err "$refusal"
    expect_no_file refused
}
mkdir three
for file in "$models"/reward-init/*; do ln -s "$file" three/; done
rm three/config.json
sed 's/"0": "LABEL_0"/"0": "A", "1": "B", "2": "C"/' "$models/reward-init/config.json" >three/config.json
refuses "LlamaForSequenceClassification with 3 labels" reward-score three "$chat"
refuses "a reward model has one label" reward three "$chat"
refuses "is a language model, which has no rewards" reward-score "$models/qwen3" "$chat"
refuses "make a reward model of it: plumb reward" reward-score "$models/qwen3" "$chat"
refuses "is a reward model, which tells nothing about next tokens" dpo "$models/reward-init" "$chat"
refuses "lora_modules_to_save: not supported" reward "$models/qwen3" "$chat" --use_peft --lora_modules_to_save score q_proj
refuses "lora_task_type: not supported" reward "$models/qwen3" "$chat" --use_peft --lora_task_type TOKEN_CLS
refuses "is the adapter of a reward model, which tells nothing about next tokens" dpo "$base" "$chat" --adapter lora
refuses "is the adapter of a language model, which has no rewards" reward-score "$models/adapter-init" "$chat"
refuses "score.weight: missing" reward "$base" "$chat" --adapter "$models/adapter-init"
refuses "the checkpoint that adapter_config.json names is not there: llama3-chat-sharded" reward-score "$models/adapter-reward" "$chat"
refuses "make one model of both: plumb merge BASE $models/adapter-reward" reward-score "$models/adapter-reward" "$chat"
refuses '--pad_token: "<none>" is no token of the tokenizer' reward "$models/qwen3" "$chat" --pad_token "<none>"
refuses "no pair is left to train on" reward "$models/qwen3" "$chat" --max_length 3
printf '{"prompt":"A","chosen":" b","rejected":" c","margin":"much"}\n' >margin.jsonl
refuses '"margin" is a string; expected a number' reward "$models/reward-init" margin.jsonl
printf '{"prompt":"A","chosen":" b"}\n' >half.jsonl
refuses 'half.jsonl:1: "rejected" is missing' reward "$models/reward-init" half.jsonl
refuses 'half.jsonl:1: "rejected" is missing' reward-score "$models/reward-init" half.jsonl
printf '{"prompt":"A","response":3}\n' >number.jsonl
refuses 'number.jsonl:1: the response is a number' reward-score "$models/reward-init" number.jsonl
run "$PLUMB" reward-score "$models/reward-init" half.jsonl --on_error skip
expect_code 0
expect_err "passed over: half.jsonl:1"
grep -q '"skipped":"bad_row"}' stdout || complain "a bad row has no line"
: >empty.jsonl
refuses "there are no rows in it" reward-score "$models/reward-init" empty.jsonl

begin "a dry run"
run "$PLUMB" reward "$models/qwen3" "$chat" -o dry --dry-run
expect_code 0
expect_no_file dry

begin "data of another kind"
echo '{"prompt":"Hi"}' >prompts.jsonl
run "$PLUMB" reward "$DATA/models/llama3-chat-sharded" prompts.jsonl -o other
expect_code 2
expect_err 'plumb: error: prompts.jsonl:1: "chosen" is missing'
run "$PLUMB" reward-score "$DATA/models/reward-init" prompts.jsonl
expect_code 2
expect_err 'prompts.jsonl:1: the row has neither "chosen" nor "response" or "completion"'
: >empty.jsonl
run "$PLUMB" reward "$DATA/models/llama3-chat-sharded" empty.jsonl -o other
expect_code 2
expect_err "plumb: error: empty.jsonl: no pair is left to train on"

finish
