#!/bin/sh
# plumb init: a checkpoint of every architecture opens, and its weights depend on the seed alone.
. "$(dirname "$0")/lib.sh"
: "${DATA:?}"

# The list that an unknown architecture gets.
run "$PLUMB" init nothing out
architectures=$(sed -n 's/.*there are: //p' stderr | tr -d ',')

begin "every architecture"
ok test "$(echo "$architectures" | wc -w)" -ge 11
for arch in $architectures; do
    run "$PLUMB" init "$arch" "$arch"
    expect_code 0
    expect_no_out
    expect_file "$arch/config.json"
    expect_file "$arch/model.safetensors"
    expect_file "$arch/tokenizer.json"
    expect_file "$arch/tokenizer_config.json"
    expect_file "$arch/run.json"
    expect_no_file "$arch.partial"
    run "$PLUMB" info "$arch" --json
    expect_code 0
    expect_out "\"model_type\": \"$arch\""
    expect_out '"vocab_size": 257'
    printf 'bytes, not words: \303\251\n' >text
    run "$PLUMB" tokenize --tokenizer "$arch" text
    expect_code 0
done

begin "the byte tokenizer: the id of a byte is the byte"
run "$PLUMB" tokenize --tokenizer llama text
expect_text stdout '98 121 116 101 115 44 32 110 111 116 32 119 111 114 100 115 58 32 195 169\tb y t e s , Ġ n o t Ġ w o r d s : Ġ Ã ©\n'
printf '{"ids": [104, 105, 256]}\n' >ids
run "$PLUMB" tokenize --tokenizer llama --jsonl ids
expect_text stdout '{"text": "hi<|endoftext|>"}\n'

begin "the seed alone decides"
run "$PLUMB" init llama seed42 --seed 42 --threads 1 --quiet
expect_code 0
expect_no_err
run "$PLUMB" init llama threads3 --threads 3
expect_same seed42/model.safetensors threads3/model.safetensors
run "$PLUMB" init llama seed43 --seed 43
cmp -s seed42/model.safetensors seed43/model.safetensors && complain "another seed gives the same weights"
ok test "$(cksum <seed42/model.safetensors)" = "1444708470 536416"

begin "sizes"
run "$PLUMB" init qwen3 sized --hidden_size 96 --intermediate_size 100 --num_hidden_layers 3 --num_attention_heads 4 \
    --num_key_value_heads 2 --head_dim 20 --vocab_size 300 --max_position_embeddings 512 --sliding_window 16 \
    --tie_word_embeddings --dtype bfloat16 --std 0.1
expect_code 0
run "$PLUMB" info sized
expect_out "layers           3, hidden size 96"
expect_out "MLP size         100"
expect_out "heads            4 of 20, 2 for keys and values"
expect_out "window           16 tokens in 2 of 3 layers"
expect_out "positions        512"
expect_out "300 rows, embedding and unembedding are one matrix"
expect_out "BF16"
run "$PLUMB" init gemma untied --no_tie_word_embeddings --dtype float16
expect_code 0
run "$PLUMB" info untied
expect_out "(untied)"
expect_out "F16"
run "$PLUMB" init olmo odd --hidden_size 100
expect_code 0
run "$PLUMB" info odd
expect_out "heads            5 of 20"

begin "shards hold the same tensors"
run "$PLUMB" init llama sharded --max_shard_size 100KB
expect_code 0
expect_file sharded/model.safetensors.index.json
expect_file sharded/model-00001-of-00007.safetensors
expect_no_file sharded/model.safetensors
run "$PLUMB" info sharded --tensors
expect_code 0
sed -n 's/^\(model[^ ]*\|lm_head[^ ]*\) .*/\1/p' stdout >names
run "$PLUMB" info seed42 --tensors
sed -n 's/^\(model[^ ]*\|lm_head[^ ]*\) .*/\1/p' stdout >names42
expect_same names names42

begin "a checkpoint's tokenizer is copied with all that belongs to it"
run "$PLUMB" init gemma2 chat --tokenizer "$DATA/models/gemma-chat"
expect_code 0
expect_same chat/tokenizer.json "$DATA/models/gemma-chat/tokenizer.json"
expect_same chat/tokenizer_config.json "$DATA/models/gemma-chat/tokenizer_config.json"
expect_same chat/chat_template.jinja "$DATA/models/gemma-chat/chat_template.jinja"
run "$PLUMB" info chat --json
expect_out '"vocab_size": 1024'
ok grep -q '"eos_token_id": 1,' chat/config.json
ok grep -q '"bos_token_id": 2,' chat/config.json
ok grep -q '"pad_token_id": 0,' chat/config.json

begin "a tokenizer.json alone"
run "$PLUMB" init llama alone --tokenizer "$DATA/models/llama2/tokenizer.json"
expect_code 0
expect_err "taken by its name: </s>"
ok grep -q '"eos_token": "</s>"' alone/tokenizer_config.json
ok grep -q '"bos_token": "<s>"' alone/tokenizer_config.json
ok grep -q '"eos_token_id": 2,' alone/config.json

begin "a chat template"
printf '{%% for m in messages %%}{{ m.role }}: {{ m.content }}\n{%% endfor %%}' >t.jinja
run "$PLUMB" init llama templated --chat_template t.jinja
expect_code 0
expect_same templated/chat_template.jinja t.jinja
printf '{"messages": [{"role": "user", "content": "hi"}]}\n' >chat.jsonl
run "$PLUMB" tokenize --tokenizer templated --jsonl chat.jsonl
expect_code 0
expect_out '{"text": "user: hi\n", "ids": [117, 115, 101, 114, '
printf '{%% for %%}' >broken.jinja
run "$PLUMB" init llama never --chat_template broken.jinja
expect_code 2
expect_err "broken.jinja"
expect_no_file never

begin "dry run"
run "$PLUMB" init llama never --dry-run
expect_code 0
expect_out "133,568 parameters"
expect_err "dry run: nothing was written"
expect_no_file never
expect_no_file never.partial

begin "SIGTERM leaves nothing behind"
"$PLUMB" init llama large --hidden_size 2048 --num_hidden_layers 16 --dtype bfloat16 >stdout 2>stderr &
process=$!
while [ ! -e large.partial/model.safetensors.partial ] && kill -0 $process 2>/dev/null; do :; done
kill -TERM $process
wait $process
code=$?
expect_code 143
expect_no_file large
expect_no_file large.partial

begin "an empty folder may be taken, another one not"
mkdir empty
run "$PLUMB" init llama empty/
expect_code 0
expect_file empty/config.json
run "$PLUMB" init llama empty
expect_code 2
expect_err "empty: exists already and is not empty"
mkdir left.partial
run "$PLUMB" init llama left
expect_code 2
expect_err "rm -r left.partial"
run "$PLUMB" init llama text
expect_code 2
expect_err "is not a folder"
run "$PLUMB" init llama missing/below
expect_code 2
expect_err "missing/below"
run "$PLUMB" init llama .
expect_code 2
expect_err "folder's own name"

begin "what does not go together"
refuse()
{
    text=$1
    shift
    run "$PLUMB" init "$@"
    expect_code 2
    expect_err "$text"
    expect_no_file never
    expect_no_file never.partial
}
refuse "did you mean llama?" lama never
refuse "10 is less than the 257 tokens" llama never --vocab_size 10
refuse "not a multiple of 7 heads" llama never --num_attention_heads 7
refuse "not a multiple of" llama never --num_attention_heads 4 --num_key_value_heads 3
refuse "elements of each head are rotated" llama never --head_dim 5
refuse "olmo has no window layers" olmo never --sliding_window 8
refuse "each has its own keys and values" gpt_neox never --num_key_value_heads 2
refuse "--max_shard_size" llama never --max_shard_size many
refuse "--dtype" llama never --dtype int8
refuse "--hidden_size" llama never --hidden_size 0
refuse "are free there" llama never --hidden_size 1048576 --intermediate_size 1048576 --num_hidden_layers 1000 --head_dim 64 --num_attention_heads 4
refuse "OUT" llama
finish
