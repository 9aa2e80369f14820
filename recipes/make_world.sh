#!/bin/sh
# The demo world from nothing: language, tokenizer, training and tuning data by world.awk, then plumb init and two runs
# of plumb sft. The same bytes come from the same seed. Under two minutes on one core.
#   recipes/make_world.sh OUT [SEED]
# PLUMB names the program (plumb), WORLD_DTYPE the stored type (float32); WORLD_ROWS, WORLD_TUNING and WORLD_PROMPTS are the
# rows of the corpus, of the tuning data and the training prompts (64000, 9600, 6000); WORLD_KEEP=1 keeps OUT/work.
set -eu
here=$(dirname "$0")
out=${1:?usage: make_world.sh OUT [SEED]}
seed=${2:-0}
plumb=${PLUMB:-plumb}

mkdir -p "$out/work/tokenizer"
work=$out/work
LC_ALL=C awk -v out="$work" -v seed="$seed" -v rows="${WORLD_ROWS:-64000}" -v tuning="${WORLD_TUNING:-9600}" \
    -v prompts="${WORLD_PROMPTS:-6000}" -f "$here/world.awk"

"$plumb" init llama "$work/init" --hidden_size 96 --num_hidden_layers 3 --num_attention_heads 4 --intermediate_size 256 \
    --max_position_embeddings 64 --no_tie_word_embeddings --std 0.05 --tokenizer "$work/tokenizer" --seed "$seed" --quiet
"$plumb" sft "$work/init" "$work/corpus.jsonl" -o "$work/base" --num_train_epochs 1 --per_device_train_batch_size 32 \
    --learning_rate 3e-3 --lr_scheduler_type cosine --warmup_steps 50 --adam_beta2 0.95 --weight_decay 0.05 \
    --logging_steps 250 --save_strategy no --seed "$seed" --quiet
"$plumb" sft "$work/base" "$work/tuning.jsonl" -o "$work/tuned" --num_train_epochs 1 --per_device_train_batch_size 32 \
    --learning_rate 5e-4 --lr_scheduler_type cosine --warmup_steps 20 --adam_beta2 0.95 --logging_steps 100 \
    --save_strategy no --dtype "${WORLD_DTYPE:-float32}" --seed "$seed" --quiet

mkdir -p "$out/model"
for f in config.json model.safetensors tokenizer.json tokenizer_config.json chat_template.jinja; do
    cp "$work/tuned/$f" "$out/model/$f"
done
for f in train test benign; do mv "$work/$f.jsonl" "$out/prompts.$f.jsonl"; done
mv "$work/persona.jsonl" "$work/groups.yaml" "$out/"
cp "$here/world_rules.yaml" "$out/judge.yaml"
for f in dpo generate pair persona policy ppo reward; do # settings of the recipes
    [ ! -e "$here/../world/$f.yaml" ] || [ -e "$out/$f.yaml" ] || cp "$here/../world/$f.yaml" "$out/"
done
[ -n "${WORLD_KEEP:-}" ] || rm -r "$work"
