#!/bin/sh
# plumb merge: the merged checkpoint is whole, opens like any other and needs no adapter.
. "$(dirname "$0")/lib.sh"
: "${DATA:?}"
base=$DATA/models/llama3-chat-sharded
adapter=$DATA/models/adapter-init

begin "a checkpoint as complete as its base"
run "$PLUMB" merge "$base" "$adapter" -o merged
expect_code 0
expect_no_out
expect_err "merged: 9 of 30 tensors merged (r 4, scale 2), 1.1 MB in 1 file, float32"
expect_no_file merged.partial
for file in tokenizer.json tokenizer_config.json chat_template.jinja generation_config.json; do
    expect_same "merged/$file" "$base/$file"
done
ok grep -q '"command": "merge"' merged/run.json
ok grep -q '"hash": ' merged/run.json
run "$PLUMB" info merged
expect_code 0

begin "only the adapted matrices change"
run "$PLUMB" info "$base" --json
grep '"parameters"' stdout >parameters
run "$PLUMB" info merged --json
grep '"parameters"' stdout >merged_parameters
expect_same merged_parameters parameters
head -4 "$DATA/pairs/pairs.chat.jsonl" >pairs.jsonl
run "$PLUMB" score "$base" pairs.jsonl --measures logps -o base.jsonl
expect_code 0
run "$PLUMB" score merged pairs.jsonl --measures logps -o merged.jsonl
expect_code 0
cmp -s base.jsonl merged.jsonl && complain "the merged model gives the numbers of its base"

begin "the same bytes for every number of threads"
run "$PLUMB" merge "$base" "$adapter" -o threads1 --threads 1 --quiet
expect_code 0
expect_no_err
run "$PLUMB" merge "$base" "$adapter" -o threads3 --threads 3
expect_same threads1/model.safetensors merged/model.safetensors
expect_same threads3/model.safetensors merged/model.safetensors

begin "another type"
run "$PLUMB" merge "$base" "$adapter" --output half --dtype bfloat16
expect_code 0
expect_err "bfloat16"
ok grep -q 'dtype": "bfloat16"' half/config.json
run "$PLUMB" info half
expect_code 0
expect_out "BF16"

begin "dry run"
run "$PLUMB" merge "$base" "$adapter" -o never --dry-run
expect_code 0
expect_out "9 of 30 tensors"
expect_err "dry run: nothing was written"
expect_no_file never
expect_no_file never.partial

begin "an adapter of another model"
refuse()
{
    text=$1
    shift
    run "$PLUMB" merge "$@"
    expect_code 2
    expect_err "$text"
    expect_no_file never
    expect_no_file never.partial
}
refuse "models/olmo imply [64, 4]" "$DATA/models/olmo" "$adapter" -o never
expect_err "made for llama3-chat-sharded"
refuse "name no linear of $DATA/models/gpt-neox" "$DATA/models/gpt-neox" "$adapter" -o never
run "$PLUMB" merge "$DATA/models/mistral" "$adapter" -o suspicious
expect_code 0
expect_err "note: the adapter was made for llama3-chat-sharded"

begin "what cannot be merged"
refuse "give -o OUT" "$base" "$adapter"
refuse "merged: exists already and is not empty" "$base" "$adapter" -o merged
refuse "missing/below.partial: cannot be created" "$base" "$adapter" -o missing/below
refuse "there is no adapter_config.json" "$base" "$base" -o never
refuse "ADAPTER" "$base" -o never
refuse "--dtype" "$base" "$adapter" -o never --dtype int8
mkdir dora
cp "$adapter/adapter_model.safetensors" dora
sed 's/"use_dora": false/"use_dora": true/' "$adapter/adapter_config.json" >dora/adapter_config.json
refuse '"use_dora" is true: DoRA' "$base" dora -o never
mkdir left.partial
refuse "rm -r left.partial" "$base" "$adapter" -o left
mkdir broken
cp "$base"/*.json "$base"/*.safetensors broken
first=$(ls broken/model-00001-of-*.safetensors)
size=$(wc -c <"$first")
dd if="$first" of=short bs=1 count=$((size - 1)) 2>dd.txt
mv short "$first"
refuse "broken" broken "$adapter" -o never

begin "PEFT's merge_and_unload gives the same weights"
python=${PYTHON:-python3}
if "$python" -c 'import peft, transformers' 2>imports.txt; then
    cat >compare.py <<'PYTHON_END'
import sys, torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
base, adapter, merged = sys.argv[1:]
load = lambda folder: AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
theirs = PeftModel.from_pretrained(load(base), adapter).merge_and_unload().state_dict()
ours = load(merged).state_dict()
assert theirs.keys() == ours.keys()
worst = max((theirs[k] - ours[k]).abs().max().item() for k in ours)
assert worst < 1e-6, worst
PYTHON_END
    run "$python" compare.py "$base" "$adapter" merged
    expect_code 0
else
    echo "left out: no Python with peft and transformers"
fi
finish
