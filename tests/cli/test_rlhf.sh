# plumb rloo, grpo and ppo as a user runs them.
. "$(dirname "$0")/lib.sh"
: "${DATA:?}"

models=$DATA/models
prompts=$DATA/pairs/pairs.chat.jsonl
PLUMB_THREADS=1 # small models: threads would only wait for each other
export PLUMB_THREADS
policy=$models/policy-llama3-chat-sharded
reference=$models/llama3-chat-sharded
rm=$models/reward-init

# A reward that differs between completions; it fails in the way that the file `fail` says.
cat >grade.sh <<'END'
[ ! -e fail ] || . ./fail
awk '{ print length($0) % 7 }'
END
grade="exec sh grade.sh" # plumb is then its parent

# expect_rows FILE COUNT
expect_rows()
{
    [ "$(wc -l <"$1")" -eq "$2" ] || complain "$1 has $(wc -l <"$1") rows, expected $2"
}

# expect_names FILE NAME...: the first row has these numbers.
expect_names()
{
    names_file=$1
    shift
    for name in "$@"; do
        head -n 1 "$names_file" | grep -qF "\"$name\":" || complain "no $name in $names_file"
    done
}

expect_same_run()
{
    for name in model.safetensors metrics.jsonl completions.jsonl; do expect_same "$1/$name" "$2/$name"; done
}

# One line for all runs: 8 prompts, two generations of two prompts with two completions each, eight steps.
rloo()
{
    run "$PLUMB" rloo "$policy" "$prompts" --limit 8 --reference "$reference" --reward "$grade" --log_completions \
        --per_device_train_batch_size 2 --steps_per_generation 2 --num_iterations 2 --max_completion_length 6 \
        --learning_rate 1e-3 --logging_steps 1 --max_steps 8 "$@"
}

begin "a run and its folder"
rloo -o run
expect_code 0
expect_no_out
expect_err "reference: $reference"
expect_err "run: 8 steps (16 an epoch), 2 completions of at most 6 tokens for each of 2 prompts at a time, into run"
expect_err "8 steps, 8 completions of"
expect_err "mean reward: "
expect_rows run/metrics.jsonl 8
expect_rows run/completions.jsonl 8
expect_names run/metrics.jsonl loss reward reward_std frac_reward_zero_std reward_group_std prompts_without_spread \
    rewards/command/mean kl entropy clip_ratio/low_mean completions/mean_length completions/clipped_ratio grad_norm \
    learning_rate generated_tokens
expect_names run/completions.jsonl index row sample prompt response tokens finish rewards/command advantage
expect_no_file run/ledger.jsonl
run "$PLUMB" info run
expect_out "LlamaForCausalLM"

begin "threads change nothing"
rloo -o threads --threads 3
expect_code 0
expect_same_run run threads

begin "a run that is stopped while completions are rewarded"
cat >fail <<'END'
calls=$(($(cat calls 2>/dev/null || echo 0) + 1))
echo $calls >calls
if [ $calls -eq 2 ]; then
    kill -TERM $PPID
    exec sleep 600
fi
END
rloo -o stopped
expect_code 143
expect_err "go on with the same command and --resume"
expect_file stopped/checkpoint-4
rm fail
rloo -o stopped
expect_code 2
expect_err "stopped: holds a run already"
rloo -o stopped --resume --beta 0.1
expect_code 2
expect_err "the run was begun with another --beta"
rloo -o stopped --resume
expect_code 0
expect_same_run run stopped
rloo -o stopped --resume
expect_code 0
expect_err "is complete"

begin "checkpoints within a generation"
rloo -o saved --save_steps 3 --save_total_limit 1
expect_code 0
expect_same_run run saved
expect_no_file saved/checkpoint-3
expect_file saved/checkpoint-6
rm saved/run.json saved/model.safetensors
rloo -o saved --save_steps 3 --save_total_limit 1 --resume
expect_code 0
expect_same_run run saved

begin "a reward command that fails"
try_failure()
{
    printf '%s\n' "$1" >fail
    rm -rf failed
    rloo -o failed
    expect_code 2
    expect_err "step 1: reward command: $grade: "
    expect_err "$2"
    rm fail
}
try_failure 'cat >/dev/null; exit 7' "the command ended with exit code 7"
try_failure 'awk "{ print 1; print 2 }"; exit' "the command answered 8 lines for 4 rows"
try_failure 'awk "NR > 1 { print 1 }"; exit' "the command answered 3 lines for 4 rows"
try_failure 'awk "{ print NR == 3 ? \"good\" : 1 }"; exit' "line 3 of the command's answer is \"good\""
try_failure 'awk "{ print NR == 4 ? \"nan\" : 1 }"; exit' "sample 1: line 4 of the command's answer is \"nan\""
try_failure 'kill -KILL $$' "the command was ended by signal 9"
rm -rf failed
run "$PLUMB" rloo "$policy" "$prompts" --limit 8 --reward 'sleep 600' --reward_timeout 0.2 --per_device_train_batch_size 2 \
    --max_completion_length 2 -o failed
expect_code 2
expect_err "took longer than 0.2 seconds"

begin "GRPO with a reward model and rules, NTHR"
run "$PLUMB" grpo "$policy" "$prompts" --limit 4 --reward "$rm" --reward rules --reward_weights 1 0.5 --beta 0.04 --nthr \
    --reward_label compliance --num_generations 4 --per_device_train_batch_size 8 --max_completion_length 6 \
    --max_steps 2 --logging_steps 1 --log_completions -o grpo
expect_code 0
expect_names grpo/metrics.jsonl rewards/reward-init/mean rewards/rules/std nthr/selected nthr/threshold kl
expect_names grpo/completions.jsonl rewards/reward-init rewards/rules nthr_tokens
grep -q '"reward": {' grpo/run.json || complain "run.json does not name the reward model"

begin "a reward model that is a LoRA adapter"
run "$PLUMB" reward "$reference" "$prompts" --limit 8 --use_peft --max_steps 2 -o rm-lora -q
expect_code 0
run "$PLUMB" grpo "$policy" "$prompts" --limit 4 --reward rm-lora --per_device_train_batch_size 8 \
    --max_completion_length 6 --max_steps 2 --logging_steps 1 --log_completions --save_steps 1 -o graded
expect_code 0
expect_names graded/metrics.jsonl rewards/rm-lora/mean rewards/rm-lora/std
grep -q '"reward_base": {' graded/run.json || complain "run.json does not name the adapter's base"
run "$PLUMB" reward-score rm-lora graded/completions.jsonl -q
sed 's/.*"reward": *\([^,}]*\).*/\1/' stdout >a
sed 's|.*"rewards/rm-lora": *\([^,}]*\).*|\1|' graded/completions.jsonl >b
expect_rows a 16
paste a b | awk '{ d = $1 - $2; if (d > 1e-5 || d < -1e-5) exit 1 }' || complain "rewards differ from those of plumb reward-score"

begin "PPO"
ppo()
{
    run "$PLUMB" ppo "$policy" "$prompts" --limit 4 --reward "$rm" --per_device_train_batch_size 2 --response_length 5 \
        --num_mini_batches 2 --num_ppo_epochs 2 --learning_rate 1e-3 --max_steps 2 --logging_steps 1 --log_completions "$@"
}
ppo -o ppo --save_steps 1
expect_code 0
expect_err "value model: $rm"
expect_err "2 updates, 8 completions of"
expect_rows ppo/metrics.jsonl 2
expect_names ppo/metrics.jsonl episode objective/kl objective/entropy objective/non_score_reward objective/rlhf_reward \
    objective/scores policy/approxkl_avg policy/clipfrac_avg policy/entropy_avg loss/policy_avg loss/value_avg \
    val/clipfrac_avg val/ratio val/ratio_var grad_norm/value
grep -q LlamaForSequenceClassification ppo/value/config.json || complain "the value model is no reward model"
cp -r ppo again
rm again/run.json again/model.safetensors again/value/model.safetensors
ppo -o again --save_steps 1 --resume
expect_code 0
expect_same_run ppo again
expect_same ppo/value/model.safetensors again/value/model.safetensors
ppo -o other --value "$policy" --whiten_rewards --missing_eos_penalty 1 --kl_estimator k3 --dry-run
expect_code 0
expect_err "value model: $policy, with a fresh head"
expect_err "dry run: nothing was written"
expect_no_file other

begin "wrong input"
run "$PLUMB" rloo "$policy" "$prompts" -o wrong
expect_code 2
expect_err "--reward is missing"
run "$PLUMB" rloo "$policy" "$prompts" --reward "$policy" -o wrong
expect_code 2
expect_err "is a language model, which has no rewards"
run "$PLUMB" grpo "$policy" "$prompts" --limit 8 --reward rules --per_device_train_batch_size 6 -o wrong
expect_code 2
expect_err "holds no whole groups of 8"
run "$PLUMB" rloo "$policy" "$prompts" --limit 2 --reward rules -o wrong
expect_code 2
expect_err "2 prompts, and a generation takes 4"
run "$PLUMB" rloo "$policy" "$prompts" --reward rules --reward_weights 1 2 -o wrong
expect_code 2
expect_err "--reward_weights: 2 numbers for 1 rewards"
run "$PLUMB" rloo "$rm" "$prompts" --reward rules -o wrong
expect_code 2
expect_err "is a reward model, which tells nothing about next tokens"
run "$PLUMB" grpo "$policy" "$prompts" --reward rules --num_generations 1 -o wrong
expect_code 2
expect_err "--num_generations: 1 is not in 2.."
echo '{"question":"What?"}' >questions.jsonl
run "$PLUMB" ppo "$policy" questions.jsonl --reward "$rm" -o wrong
expect_code 2
expect_err 'questions.jsonl:1: "prompt" is missing'
: >empty.jsonl
run "$PLUMB" ppo "$policy" empty.jsonl --reward "$rm" -o wrong
expect_code 2
expect_err "empty.jsonl: there is no prompt to train on"
expect_no_file wrong
run "$PLUMB" rloo "$policy" "$prompts" --limit 8 --reward ./no/rm --max_completion_length 4 -o mistyped
expect_code 2
expect_err "./no/rm: the command ended with exit code 127: /bin/sh does not find it"
expect_err "a reward model's folder, which must be there"
rloo -o mistyped # the folder is free: no step was made
expect_code 0

begin "completions longer than the model"
run "$PLUMB" grpo "$policy" "$prompts" --limit 2 --reward rules --max_completion_length 100000 --dry-run
expect_code 0
expect_err "of which the longest prompt takes"
expect_err "for each of 1 prompt at a time"
sed -n 's/.*\(activations [^;]*\);.*/\1/p' stdout >long
run "$PLUMB" grpo "$policy" "$prompts" --limit 2 --reward rules --max_completion_length 50000 --dry-run
sed -n 's/.*\(activations [^;]*\);.*/\1/p' stdout >longer
expect_same long longer # what has no positions needs no memory
[ -s long ] || complain "no plan of the memory"

finish
