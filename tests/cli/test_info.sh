#!/bin/sh
# plumb info: what it tells about the reference checkpoints.
. "$(dirname "$0")/lib.sh"
: "${DATA:?}"

begin "every checkpoint"
for folder in "$DATA"/models/*; do
    [ -e "$folder/config.json" ] || continue # an adapter, not a checkpoint
    run "$PLUMB" info "$folder"
    expect_code 0
    expect_out "architecture"
    expect_out "(an estimate)"
    expect_no_err
    run "$PLUMB" info "$folder" --json --tensors
    expect_code 0
    expect_out '"hash"'
done

begin "what the text says"
run "$PLUMB" info "$DATA/models/gemma2"
expect_out "Gemma2ForCausalLM (gemma2)"
expect_out "layers           4, hidden size 64"
expect_out "MLP size         176, gated gelu_pytorch_tanh"
expect_out "heads            4 of 24, 2 for keys and values"
expect_out "window           16 tokens in 2 of 4 layers"
expect_out "attention cap    20"
expect_out "logit cap        10"
expect_out "one matrix (tied)"
expect_out 'BOS "<bos>" (2), EOS "<eos>" (1)'
expect_out "chat template    chat_template.jinja"
run "$PLUMB" info "$DATA/models/llama3-bf16"
expect_out "rope             llama3, theta 500000, factor 8"
expect_out "chat template    none"
expect_out "BF16, 1 file"
run "$PLUMB" info "$DATA/models/llama3-chat-sharded"
expect_out "F32, 5 files"
run "$PLUMB" info "$DATA/models/gpt-neox"
expect_out "biases           attention, MLP"
expect_out "4 of 16 elements of each head"
run "$PLUMB" info "$DATA/models/qwen2-bf16"
expect_out "biases           q, k, v"
run "$PLUMB" info "$DATA/models/olmo-clip-bf16"
expect_out "clip of q, k, v  1.5"
run "$PLUMB" info "$DATA/models/gemma3"
expect_out "rope (window)    default, theta 10000"

begin "the numbers of the JSON form"
run "$PLUMB" info "$DATA/models/olmo" --json
expect_out '"parameters": 217600'
expect_out '"embedding_parameters": 67072'
expect_out '"bytes": 870400'
expect_out '"train_state": 3481600'
expect_out '"size": 1024'
ok test "$(grep -c '"tensors"' stdout)" -eq 0

begin "the list of tensors"
run "$PLUMB" info "$DATA/models/olmo" --tensors
expect_out "model.layers.2.mlp.down_proj.weight"
ok test "$(grep -c 'F32 .*model.safetensors$' stdout)" -eq 22

begin "the hash"
cp -r "$DATA/models/olmo" copy
chmod -R u+w copy
run "$PLUMB" info "$DATA/models/olmo"
grep '^hash' stdout >first
run "$PLUMB" info copy
grep '^hash' stdout >second
expect_same first second
run "$PLUMB" info copy --hash full
expect_out "(full)"
printf 'x' | dd of=copy/model.safetensors bs=1 seek=500000 conv=notrunc 2>/dev/null
run "$PLUMB" info copy --hash full
expect_code 0

begin "a folder without a tokenizer"
rm copy/tokenizer.json
run "$PLUMB" info copy
expect_code 0
expect_out "none: there is no tokenizer.json"

begin "damaged and unsupported checkpoints"
run "$PLUMB" info nowhere
expect_code 2
expect_err "config.json: not found"
head -c 1000 "$DATA/models/olmo/model.safetensors" >copy/model.safetensors
run "$PLUMB" info copy
expect_code 2
expect_err "model.safetensors"
cp "$DATA/models/olmo2/model.safetensors" copy/model.safetensors
run "$PLUMB" info copy
expect_code 2
expect_no_out
expect_err "config.json"
printf '{"model_type": "mamba"}' >copy/config.json
run "$PLUMB" info copy
expect_code 2
expect_err '"mamba", an architecture plumb does not have'
run "$PLUMB" info
expect_code 2
expect_err "MODEL"
run "$PLUMB" info copy --tensor
expect_code 2
expect_err "--tensors"
finish
