. "$(dirname "$0")/lib.sh"
olmo=$DATA/models/olmo
pairs=$DATA/pairs/pairs.jsonl
chat=$DATA/pairs/pairs.chat.jsonl

begin "a pair of single tokens in words"
run "$PLUMB" explain "$olmo" "$pairs" --pair 3
expect_code 0
expect_no_err
expect_out "pair 3 of $pairs (row cc62af39a116fcd9)"
expect_out "RISES: training on this pair raises the likelihood of the first token"
expect_out '"No<|endoftext|>"'
expect_out "Theorem 1: it falls the more, the larger <W+, W-> = 1.68108 (cosine 0.108)"
expect_out "Theorem 2: the probability goes to the tokens z"
expect_out "12.3302     1.782e-06  \"No\""
expect_out "The words to blame"
expect_out "What to do"

begin "several tokens, several pairs, in the order of the file"
run "$PLUMB" explain "$olmo" "$pairs" --pair 7 4 --top 3
expect_code 0
[ "$(grep '^pair ' stdout | cut -d' ' -f2 | tr '\n' ' ')" = "4 7 " ] || complain "not pairs 4 and 7 in this order"
expect_out "training on this pair raises the likelihood of the preferred response"
expect_out "and 17 more (--top)"
expect_out "The responses begin with the same 1 token."

begin "all pairs into a file"
run "$PLUMB" explain "$olmo" "$pairs" --all --format json --cells 0 -o all.jsonl
expect_code 0
expect_file all.jsonl.meta.json
[ "$(wc -l <all.jsonl)" -eq 25 ] || complain "not 25 rows"
grep -q '"matrices"' all.jsonl && complain "matrices with --cells 0"

begin "a pair that falls"
run "$PLUMB" explain "$DATA/models/gpt-neox" "$pairs" --pair 9
expect_code 0
expect_out "FALLS: training on this pair lowers the likelihood of the preferred response"
expect_out "at first, at a rate of -278."
expect_out "--by ln_ches --keep-lowest 5%"

begin "the keys of theory.jsonl"
run "$PLUMB" explain "$olmo" "$pairs" --pair 3 --format json --gradients --check --top 2
expect_code 0
[ "$(wc -l <stdout)" -eq 1 ] || complain "not one line"
for key in index row minus plus alpha_ches hidden_path rate shared_states alpha_minus_positive alpha_plus_positive \
    grad_plus_plus grad_plus_minus single_token w_dot w_plus_norm w_minus_norm projection orthogonal hidden_norm top \
    prompt chosen rejected ids tokens text logps blame matrices check; do
    expect_out "\"$key\":"
done
expect_out '"single_token":{"w_dot":1.68107'
expect_out '"tokens":["No","<|endoftext|>"],"text":"No<|endoftext|>"'
expect_out '"agrees":true'
expect_out '"matrices":{"bin":1,'

begin "long responses are binned"
run "$PLUMB" explain "$olmo" "$pairs" --pair 7 --format json --cells 4
expect_code 0
expect_out '"matrices":{"bin":5,' # of 20 and 10 tokens

begin "the same as score says"
ok "$PLUMB" score "$olmo" "$pairs" --measures alpha,logps --range 7:8 -o score.jsonl --quiet
for key in alpha_ches minus plus hidden_path rate logps/chosen; do
    want=$(sed -n "s#.*\"$key\":\([^,}]*\).*#\1#p" score.jsonl)
    expect_out "\"$key\":$want,"
done

begin "nothing depends on the number of threads"
ok "$PLUMB" explain "$olmo" "$pairs" --all --format json --cells 0 --threads 3 -o three.jsonl --quiet
expect_same three.jsonl all.jsonl

begin "going on where an interrupted run stopped"
for pairs_asked in "--all" "--pair 2 5 9 20"; do
    # shellcheck disable=SC2086 # several words
    ok "$PLUMB" explain "$olmo" "$pairs" $pairs_asked --check --format json --cells 0 -o part.jsonl --quiet
    cp part.jsonl whole.jsonl
    head -2 part.jsonl >part.jsonl.partial
    sed '/"counts"/,$d' part.jsonl.meta.json | sed '$s/,$/}/' >part.jsonl.partial.meta.json
    # shellcheck disable=SC2086
    run "$PLUMB" explain "$olmo" "$pairs" $pairs_asked --check --format json --cells 0 -o part.jsonl --resume
    expect_code 0
    expect_err "going on after 2 rows"
    expect_same part.jsonl whole.jsonl
    ok grep -q "\"explained\": $(wc -l <whole.jsonl)" part.jsonl.meta.json
done
run "$PLUMB" explain "$olmo" "$pairs" --all -o part.txt --resume
expect_code 2
expect_err "--resume: a text is written anew"

begin "--check"
run "$PLUMB" explain "$DATA/models/gemma2" "$chat" --pair 9 --check
expect_code 0
expect_out "Check: one step of gradient flow"
expect_out "they agree"

begin "a model after training"
run "$PLUMB" explain "$olmo" "$pairs" --pair 3 7 --after "$DATA/models/policy-olmo"
expect_code 0
expect_out "After training ($DATA/models/policy-olmo)"
expect_out "ln pi(y+)  -24.414 -> -23.9953  (+0.418712)"
expect_out "Spearman's rho over the vocabulary"
run "$PLUMB" explain "$olmo" "$pairs" --pair 3 --after "$DATA/models/policy-olmo" --format json
expect_out '"dlogp_chosen":0.4187'
expect_out '"spearman_logit":-0.109'
run "$PLUMB" explain "$olmo" "$pairs" --pair 3 --after "$olmo" --format json # nothing moved: no correlation
expect_code 0
expect_out '"dlogp_chosen":0,'
expect_out '"spearman_logit":null'

begin "bf16: the numbers of plumb score --compute"
run "$PLUMB" score "$olmo" "$pairs" --measures alpha --compute bf16-rounded --range 3:4 -q
rate=$(sed 's/.*"rate":\([^,]*\),.*/\1/' stdout)
run "$PLUMB" explain "$olmo" "$pairs" --pair 3 --compute bf16-rounded --format json --check -o why16.jsonl
expect_code 0
ok grep -qF "\"rate\":$rate," why16.jsonl
ok grep -q '"compute": "bf16-rounded"' why16.jsonl.meta.json
run "$PLUMB" explain "$olmo" "$pairs" --pair 3 --format json
grep -qF "\"rate\":$rate," stdout && complain "the same rate as in fp32"

begin "--after that comes before"
"$PLUMB" dpo "$olmo" "$pairs" -o run --max_steps 1 --limit 2 --save_strategy no -q
run "$PLUMB" explain run "$pairs" --pair 3 --after "$olmo"
expect_code 2
expect_err "run: is what training made of $olmo, as its run.json says"

begin "--after with another tokenizer"
run "$PLUMB" explain "$olmo" "$pairs" --pair 3 --after "$DATA/models/llama2"
expect_code 2
expect_err "$DATA/models/llama2: has another tokenizer than $olmo: the vocabularies differ"
expect_err "give the same model before and after training"
cp -r "$olmo" spaced # the same tokens, of another text
sed 's/"normalizer": *null/"normalizer":{"type":"NFC"}/' "$olmo/tokenizer.json" >spaced/tokenizer.json
run "$PLUMB" explain "$olmo" "$pairs" --pair 3 --after spaced
expect_code 2
expect_err "spaced: has another tokenizer than $olmo: the normalizers differ"

begin "wrong pairs"
run "$PLUMB" explain "$olmo" "$pairs"
expect_code 2
expect_err "which pairs shall be explained?"
run "$PLUMB" explain "$olmo" "$pairs" --pair 25
expect_code 2
expect_err "there is no pair 25: its rows are 0 to 24"
run "$PLUMB" explain "$olmo" "$pairs" --pair 3 99 -o never.txt
expect_code 2
expect_err "there is no pair 99"
expect_no_file never.txt
run "$PLUMB" explain "$olmo" "$pairs" --pair 1.5
expect_code 2
expect_err "--pair: 1.5 is no row number"
run "$PLUMB" explain "$olmo" "$pairs" --pair=-1
expect_code 2
run "$PLUMB" explain "$olmo" "$pairs" --pair 3 --all
expect_code 2
expect_err "--pair and --all exclude each other"
run "$PLUMB" explain "$olmo" "$pairs" --pair 3 --range 2:5
expect_code 2
expect_err "--pair and --range exclude each other"
: >empty.jsonl
run "$PLUMB" explain "$olmo" empty.jsonl --all
expect_code 2
expect_err "there are no rows in it"

begin "skipped pairs"
printf '{"prompt":"a b c d e f g h","chosen":"x","rejected":"y"}\n{"prompt":"a","chosen":"x","rejected":"y"}\n' >long.jsonl
run "$PLUMB" explain "$olmo" long.jsonl --pair 0 --max_length 4
expect_code 2
expect_err "long.jsonl:1: pair 0 is skipped: prompt_too_long"
expect_err "give a larger --max_length"
run "$PLUMB" explain "$olmo" long.jsonl --all --max_length 4
expect_code 0
expect_out "skipped: prompt_too_long"
run "$PLUMB" explain "$olmo" long.jsonl --all --max_length 4 --format json
expect_out '"skipped":"prompt_too_long"}'

begin "rows of ids, and a checkpoint without a tokenizer"
printf '{"prompt_ids":[56,305],"chosen_ids":[401,0],"rejected_ids":[342,0]}\n' >ids.jsonl
run "$PLUMB" explain "$olmo" ids.jsonl --pair 0 --format json
expect_code 0
expect_out '"tokens":["No","<|endoftext|>"]'
mkdir bare
ln -s "$olmo/config.json" "$olmo/model.safetensors" bare/
run "$PLUMB" explain bare ids.jsonl --pair 0
expect_code 2
expect_err "tokenizer.json"
printf '{"prompt_ids":[56],"chosen_ids":[99999],"rejected_ids":[342]}\n' >far.jsonl
run "$PLUMB" explain "$olmo" far.jsonl --pair 0
expect_code 2
expect_err "far.jsonl:1: token 1 of prompt + chosen is 99999"

begin "hostile text stays on its line"
printf '{"prompt":"p","chosen":"a\\u001b[31m\\nb","rejected":"c"}\n' >hostile.jsonl
run "$PLUMB" explain "$olmo" hostile.jsonl --pair 0
expect_code 0
expect_out '\u001b[31m\nb'
! grep -q "$(printf '\033')" stdout || complain "an escape character came through"

begin "rows from stdin, only part of them, bad rows"
run_with "$pairs" "$PLUMB" explain "$olmo" - --all --range 2:4 --format json --cells 0
expect_code 0
[ "$(cut -c1-10 stdout | tr '\n' ' ')" = '{"index":2 {"index":3 ' ] || complain "not rows 2 and 3"
{ echo '{"prompt":3}' && head -n 1 "$pairs"; } >bad.jsonl
run "$PLUMB" explain "$olmo" bad.jsonl --all
expect_code 2
expect_err "bad.jsonl:1"
run "$PLUMB" explain "$olmo" bad.jsonl --all --on_error skip
expect_code 0
expect_out "skipped: bad_row"
expect_out "pair 1 of bad.jsonl"
run "$PLUMB" explain "$olmo" bad.jsonl --pair 1 # rows that are not asked for are not read
expect_code 0

begin "a dry run"
run "$PLUMB" explain "$olmo" "$pairs" --pair 3 7 --check --dry-run -o dry.txt
expect_code 0
expect_out "2 pairs"
expect_out "memory: the mapped checkpoint and about"
expect_err "dry run: nothing was written"
expect_no_file dry.txt

begin "an input is not overwritten"
cp "$pairs" own.jsonl
run "$PLUMB" explain "$olmo" own.jsonl --pair 3 -o own.jsonl
expect_code 2
expect_err "own.jsonl: is also an input"

finish
