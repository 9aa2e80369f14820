# plumb sft: each form of data becomes a run folder; what it refuses; the same bits however it is run.
. "$(dirname "$0")/lib.sh"

model=$DATA/models/olmo
chat=$DATA/models/llama3-chat-sharded
marked=$DATA/sft/llama3.generation.jinja
PLUMB_THREADS=1 # small models: threads would only wait for each other
export PLUMB_THREADS
short="--max_steps 2 --per_device_train_batch_size 2 --learning_rate 1e-3 --logging_steps 1"

# loss FOLDER: of the first logged step, to three digits.
loss()
{
    head -n 1 "$1/metrics.jsonl" | sed 's/.*"loss":\([0-9]*\.[0-9]\).*/\1/'
}

begin "help names the forms and the options"
run "$PLUMB" sft --help
expect_code 0
expect_out "--assistant_only_loss"
expect_out "--completion_only_loss"
expect_out "--packing"
expect_out "--text_key"

begin "text, as TRL trains on it"
run "$PLUMB" sft "$model" "$DATA/sft/text.jsonl" -o text --max_steps 8 --per_device_train_batch_size 4 \
    --learning_rate 1e-3 --lr_scheduler_type constant --train_sampling_strategy sequential --logging_steps 1
expect_code 0
expect_no_out
expect_err "8 steps"
expect_file text/model.safetensors
expect_file text/tokenizer.json
expect_file text/run.json
expect_no_file text/ledger.jsonl
[ "$(loss text)" = 14.0 ] || complain "the first loss is $(loss text)"
[ "$(wc -l <text/metrics.jsonl)" -eq 8 ] || complain "not 8 rows of metrics"

begin "packing, as TRL trains on it"
run "$PLUMB" sft "$model" "$DATA/sft/text.jsonl" -o packed --max_steps 8 --per_device_train_batch_size 2 --packing \
    --max_length 48 --learning_rate 1e-3 --lr_scheduler_type constant --train_sampling_strategy sequential \
    --logging_steps 1 --save_steps 4
expect_code 0
expect_err "packing: 28 sequences in 15 blocks of up to 48 tokens"
[ "$(loss packed)" = 13.5 ] || complain "the first loss is $(loss packed)"

begin "going on gives the same bits"
ok cp -R packed again
ok rm again/model.safetensors
ok sed -i 's/"completed": true/"completed": false/' again/run.json # as if it had been stopped after the last checkpoint
run "$PLUMB" sft "$model" "$DATA/sft/text.jsonl" -o again --max_steps 8 --per_device_train_batch_size 2 --packing \
    --max_length 48 --learning_rate 1e-3 --lr_scheduler_type constant --train_sampling_strategy sequential \
    --logging_steps 1 --save_steps 4 --resume
expect_code 0
expect_same again/model.safetensors packed/model.safetensors
expect_same again/metrics.jsonl packed/metrics.jsonl

begin "so does another number of threads"
run "$PLUMB" sft "$model" "$DATA/sft/completion.jsonl" -o one $short --threads 1
expect_code 0
run "$PLUMB" sft "$model" "$DATA/sft/completion.jsonl" -o two $short --threads 2
expect_code 0
expect_same one/model.safetensors two/model.safetensors

begin "the prompt counts only when asked for"
run "$PLUMB" sft "$model" "$DATA/sft/completion.jsonl" -o whole $short --completion_only_loss false
expect_code 0
cmp -s whole/model.safetensors one/model.safetensors && complain "the prompt makes no difference"
run "$PLUMB" sft "$model" "$DATA/sft/completion.jsonl" -o only $short --completion_only_loss
expect_code 0
expect_same only/model.safetensors one/model.safetensors

begin "conversations"
run "$PLUMB" sft "$chat" "$DATA/sft/messages.jsonl" -o talk $short
expect_code 0
run "$PLUMB" sft "$chat" "$DATA/sft/messages.jsonl" -o said $short --assistant_only_loss --chat_template "$marked"
expect_code 0
cmp -s talk/model.safetensors said/model.safetensors && complain "assistant_only_loss makes no difference"

begin "a template without marks"
run "$PLUMB" sft "$chat" "$DATA/sft/messages.jsonl" -o none $short --assistant_only_loss
expect_code 2
expect_err "messages.jsonl:1: the chat template does not mark what the assistant says"
expect_err "--chat_template FILE"
expect_no_file none

begin "preferences: the chosen side, and a note"
run "$PLUMB" sft "$model" "$DATA/pairs/pairs.jsonl" -o pairs $short --limit 4
expect_code 0
expect_err "4 rows are preferences: the chosen response is trained on"

begin "token ids"
printf '{"input_ids":[5,6,7,8],"labels":[-100,6,-100,8]}\n{"prompt_ids":[5],"completion_ids":[6,7]}\n' >ids.jsonl
run "$PLUMB" sft "$model" ids.jsonl -o ids $short
expect_code 0
printf '{"input_ids":[5,6,70000]}\n' >ids.jsonl
run "$PLUMB" sft "$model" ids.jsonl -o none $short
expect_code 2
expect_err "ids.jsonl:1: token 2 is 70000"

begin "bad rows"
printf '{"text":"a few words"}\n{"text":7}\n{"text":"and some more"}\n' >bad.jsonl
run "$PLUMB" sft "$model" bad.jsonl -o none $short
expect_code 2
expect_err "bad.jsonl:2: \"text\" is"
expect_no_file none
run "$PLUMB" sft "$model" bad.jsonl -o skipped $short --on_error skip
expect_code 0
expect_err "passed over: bad.jsonl:2"

begin "what a row does not have"
run "$PLUMB" sft "$model" "$DATA/sft/text.jsonl" -o none $short --completion_only_loss
expect_code 2
expect_err "the row has no completion"
run "$PLUMB" sft "$model" "$DATA/sft/text.jsonl" -o none $short --text_key body
expect_code 2
expect_err "the row has neither \"body\""
run "$PLUMB" sft "$model" "$DATA/sft/text.jsonl" -o none $short --assistant_only_loss
expect_code 2
expect_err "the row holds plain strings"

begin "nothing to train on"
: >empty.jsonl
run "$PLUMB" sft "$model" empty.jsonl -o none $short
expect_code 2
expect_err "no token is left to train on"
expect_no_file none

begin "a dry run writes nothing"
run "$PLUMB" sft "$model" "$DATA/sft/text.jsonl" --dry-run
expect_code 0
expect_out "28 of 28 rows"
expect_out "an estimate of the time is"
expect_err "dry run: nothing was written"

finish
