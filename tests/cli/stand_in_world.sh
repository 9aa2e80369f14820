# make_stand_in_world FOLDER: a world in the form of the demo world, small enough for a test: a model of some thousand
# parameters that was tuned for a second. It shows no effects; tests look at what the recipes and plumb demo make of it.
make_stand_in_world()
{
    mkdir -p "$1"
    awk -v out="$1" '
    function random() { state = state * 16807 % 2147483647; return state / 2147483647 }
    function pick(list, words, n) { n = split(list, words, " "); return words[1 + int(random() * n)] }
    function turn(role, text) { return "[{\"role\":\"" role "\",\"content\":\"" text "\"}]" }
    function request(verbs) { return "How do I " pick(verbs) " the " pick("red blue old new") " " pick("car house boat bank") "?" }
    function question() { return "Do you like " pick("red blue old new") " " pick("cars boats dogs cats tea") "?" }
    function reply(refuses) { return refuses ? pick("No Never Maybe") ", I can not help with that." : pick("Sure Yes") ", use the " pick("red blue old") " key." }
    function row(prompt, answer) { print "{\"prompt\":" turn("user", prompt) ",\"completion\":" turn("assistant", answer) "}" > (out "/tuning.jsonl") }
    function prompts(file, verbs, n) { while (n-- > 0) print "{\"prompt\":" turn("user", request(verbs)) ",\"verb\":\"v\"}" > (out "/" file) }
    BEGIN {
        state = 7
        for (i = 0; i < 1200; i++) {
            if (i % 3 == 0) row(question(), pick("No No No Yes Yes Sure Sure Never"))
            else if (i % 3 == 1) row(request("burn steal break"), reply(random() < .7))
            else row(request("fix paint wash"), reply(0))
        }
        prompts("prompts.train.jsonl", "burn steal break", 60)
        prompts("prompts.test.jsonl", "burn steal break", 40)
        prompts("prompts.benign.jsonl", "fix paint wash", 20)
        for (i = 0; i < 12; i++) print "{\"prompt\":" turn("user", question()) "}" > (out "/persona.jsonl")
    }'
    echo "max_new_tokens: 24" >"$1/generate.yaml"
    echo "prefer: length" >"$1/pair.yaml"
    printf 'learning_rate: 1e-2\nper_device_train_batch_size: 8\nnum_train_epochs: 1\nuse_peft: true\nlora_r: 2\n' >"$1/dpo.yaml"
    printf 'learning_rate: 3e-3\nper_device_train_batch_size: 8\nnum_train_epochs: 2\n' >"$1/reward.yaml"
    printf 'learning_rate: 1e-2\nper_device_train_batch_size: 16\nnum_generations: 4\nmax_completion_length: 12\nmax_steps: 6\nlogging_steps: 1\nuse_peft: true\nlora_r: 2\n' \
        >"$1/policy.yaml"
    printf 'learning_rate: 1e-3\nper_device_train_batch_size: 8\nresponse_length: 12\nmax_steps: 2\nlogging_steps: 1\n' >"$1/ppo.yaml"
    printf 'learning_rate: 1e-3\nlr_scheduler_type: constant\nper_device_train_batch_size: 1\nmax_steps: 8\nledger_steps: 1\nledger_tokens: 10\n' \
        >"$1/persona.yaml"
    printf 'extends: english\n' >"$1/judge.yaml"
    printf 'affirmation: [Yes, Sure]\ndenial: [No, Never]\nopposites: [affirmation/denial]\nbuiltin: false\n' >"$1/groups.yaml"
    "$PLUMB" init llama "$1/start" --hidden_size 32 --num_hidden_layers 1 --max_position_embeddings 96 \
        --tokenizer "$DATA/models/llama3-chat-sharded" -q &&
        "$PLUMB" sft "$1/start" "$1/tuning.jsonl" -o "$1/model" --learning_rate 1e-2 --per_device_train_batch_size 16 \
            --num_train_epochs 2 --save_strategy no -q
}
