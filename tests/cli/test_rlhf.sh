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
expect_names grpo/metrics.jsonl rewards/reward-init/mean rewards/rules/std nthr/selected nthr/threshold nthr/gwhes kl
expect_names grpo/completions.jsonl rewards/reward-init rewards/rules nthr_tokens nthr gwhes
grep -q '"reward": {' grpo/run.json || complain "run.json does not name the reward model"

begin "a ledger of pairs"
# watched RUN PAIRS: GRPO for five steps, with a ledger at 0, 2, 4 and 5.
watched()
{
    watched_run=$1
    watched_pairs=$2
    shift 2
    run "$PLUMB" grpo "$policy" "$prompts" --limit 4 --reward "$grade" --num_generations 2 --max_completion_length 6 \
        --per_device_train_batch_size 2 --learning_rate 1e-3 --max_steps 5 --logging_steps 1 --log_completions --beta 0.04 \
        --ledger_data "$watched_pairs" --ledger_steps 2 --ledger_tokens 3 --save_steps 2 -o "$watched_run" "$@"
}
head -n 6 "$prompts" >six.jsonl
watched ledger six.jsonl
expect_code 0
expect_err "ledger: six.jsonl, 6 pairs, max_length "
expect_err "chosen responses are less likely than at the start"
expect_rows ledger/ledger.jsonl 24
expect_names ledger/ledger.jsonl step index row logps/chosen logps/rejected ref_logps/chosen ref_logps/rejected position \
    gained lost
[ "$(grep -c '"displaced":' ledger/metrics.jsonl)" -eq 3 ] || complain "displaced is told of each evaluation, and only there"
head -n 6 ledger/ledger.jsonl | sed 's/.*"logps\/chosen":\([^,]*\),.*"ref_logps\/chosen":\([^,]*\),.*/\1 \2/' >numbers
awk '$1 != $2' numbers >unequal
expect_text unequal ""
run "$PLUMB" score "$policy" six.jsonl --measures logps -o start.jsonl
sed 's/.*"logps\/chosen":\([^,]*\),.*/\1/' start.jsonl >expected
cut -d ' ' -f 1 numbers >got
expect_same got expected # the numbers of plumb score
run "$PLUMB" grpo "$policy" "$prompts" --limit 4 --reward "$grade" --num_generations 2 --max_completion_length 6 \
    --per_device_train_batch_size 2 --learning_rate 1e-3 --max_steps 5 --logging_steps 1 --log_completions --beta 0.04 -o without
expect_same ledger/model.safetensors without/model.safetensors # watching changes nothing
sed 's/,"displaced":[^,]*//' ledger/metrics.jsonl >got
expect_same got without/metrics.jsonl
run "$PLUMB" trace ledger -o trace.jsonl
expect_code 0
expect_err "six.jsonl: 6 pairs traced, 0 skipped"
[ "$(grep -c '"steps":\[0,2,4,5\]' trace.jsonl)" -eq 6 ] || complain "the course is not that of the ledger"
run "$PLUMB" trace "$policy" ledger six.jsonl -o two.jsonl
sed 's/,"steps".*/}/' trace.jsonl >got
expect_same got two.jsonl
run "$PLUMB" trace ledger --ledger_only
expect_code 0
expect_out '"listed_only":true'
run "$PLUMB" score "$policy" six.jsonl -o scores.jsonl
run "$PLUMB" identify six.jsonl scores.jsonl ledger
expect_code 0
expect_out "6 pairs, steps 0 to 5: mean change of ln pi(y+)"
run "$PLUMB" dpo "$policy" six.jsonl --max_steps 2 -o beside -q
run "$PLUMB" report ledger beside -o page.html # the prompts of the first run are not taken for its pairs
expect_code 0
run "$PLUMB" grpo "$policy" "$prompts" --reward rules --ledger_data six.jsonl --max_length 64 --dry-run
expect_code 0
expect_out "ledger: six.jsonl, 6 pairs, max_length 64, 1 cut"

begin "a run with a ledger that is stopped"
cat >fail <<'END'
calls=$(($(cat calls 2>/dev/null || echo 0) + 1))
echo $calls >calls
if [ $calls -eq 4 ]; then
    kill -TERM $PPID
    exec sleep 600
fi
END
rm -f calls
watched halted six.jsonl
expect_code 143
rm fail
cp six.jsonl moved.jsonl # it may lie elsewhere, but not be another
watched halted moved.jsonl --resume --ledger_steps 3
expect_code 2
expect_err "the run was begun with another --ledger_steps"
head -n 5 six.jsonl >five.jsonl
watched halted five.jsonl --resume
expect_code 2
expect_err "the run was begun with other --ledger_data"
watched halted moved.jsonl --resume
expect_code 0
expect_same_run ledger halted
expect_same ledger/ledger.jsonl halted/ledger.jsonl

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
        --ledger_data six.jsonl --num_mini_batches 2 --num_ppo_epochs 2 --learning_rate 1e-3 --max_steps 2 --logging_steps 1 --log_completions "$@"
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
expect_rows ppo/ledger.jsonl 18 # at the start and after each of two epochs
expect_same ppo/ledger.jsonl again/ledger.jsonl
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
expect_err "plumb: error: --reward: $policy: is a language model, which has no rewards"

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
run "$PLUMB" ppo "$policy" "$prompts" --reward "$rm" --value "$reference/config.json" -o wrong
expect_code 2
expect_err "value model: $reference/config.json"
run "$PLUMB" ppo "$policy" "$prompts" --reward rm-lora -o wrong
expect_code 2
expect_err "value model: rm-lora: an adapter cannot be the value model"
expect_err "plumb merge BASE rm-lora -o M, then --value M"
cp -r "$rm" critic && chmod -R u+w critic
echo '{}' >critic/tokenizer.json
ppo --value critic -o wrong
expect_code 2
expect_err "value model: critic"
expect_no_file wrong
cp "$rm/tokenizer.json" critic
echo '[]' >critic/tokenizer_config.json # read at the end alone: no reason to lose what was trained
ppo --value critic -o critical
expect_code 0
expect_err "the tokenizer in critical/value does not name the pad token"
expect_file critical/value/model.safetensors

begin "a mistyped reward shows before anything is generated"
# mistyped REWARD MESSAGE
mistyped()
{
    run "$PLUMB" rloo "$policy" "$prompts" --limit 8 --reward "$1" --max_completion_length 4 -o mistyped
    expect_code 2
    expect_err "--reward $1: $2"
    expect_err "a reward model's folder, which must be there, the word rules, or a command that /bin/sh runs"
    expect_no_file mistyped
}
mistyped ./no/rm "is neither a folder nor a program that /bin/sh finds"
mistyped rule "is neither a folder nor a program that /bin/sh finds"
mistyped "pyhton3 grade.py" "/bin/sh finds no program pyhton3"
run "$PLUMB" rloo "$policy" "$prompts" --limit 8 --reward 'nice plumb-no-such-program' --max_completion_length 4 -o later
expect_code 2
expect_err "step 1: reward command: nice plumb-no-such-program: the command ended with exit code 127"
rloo -o later # what shows only then leaves the folder free: no step was made
expect_code 0
cp -r "$rm" mute
sed 's/"chat_template": *"/"chat_template": "{{ raise_exception(\x27no prompts today\x27) }}/' "$rm/tokenizer_config.json" \
    >mute/tokenizer_config.json
rm -f mute/chat_template.jinja
run "$PLUMB" rloo "$policy" "$prompts" --limit 8 --reward mute --max_completion_length 4 -o silent
expect_code 2
expect_err "--reward: mute: prompt of row 0: "
expect_no_file silent

begin "ledgers that are not wanted, or cannot be"
run "$PLUMB" grpo "$policy" "$prompts" --reward rules --ledger_steps 2 --max_length 9 --ledger_tokens 2 --dry-run
expect_code 0
expect_err "--ledger_steps: no effect without --ledger_data"
expect_err "--max_length: no effect without --ledger_data"
expect_err "--ledger_tokens: no effect without --ledger_data"
run_with six.jsonl "$PLUMB" grpo "$policy" "$prompts" --reward rules --ledger_data - -o wrong
expect_code 2
expect_err "--ledger_data: stdin cannot be read again"
run "$PLUMB" grpo "$policy" "$prompts" --reward rules --ledger_data nowhere.jsonl -o wrong
expect_code 2
expect_err "nowhere.jsonl"
run "$PLUMB" grpo "$policy" "$prompts" --reward rules --ledger_data questions.jsonl -o wrong
expect_code 2
expect_err '--ledger_data: questions.jsonl:1: "chosen" is missing'
expect_no_file wrong
run "$PLUMB" trace run
expect_code 2
expect_err "run/run.json: is the record of plumb rloo without --ledger_data: there is no ledger"
expect_err "plumb trace $policy RUN PAIRS"

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
