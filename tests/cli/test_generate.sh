# plumb generate as a user runs it.
. "$(dirname "$0")/lib.sh"
: "${DATA:?}"

models=$DATA/models
PLUMB_THREADS=1 # small models: threads would only wait for each other
export PLUMB_THREADS

# expect_rows FILE COUNT
expect_rows()
{
    [ "$(wc -l <"$1")" -eq "$2" ] || complain "$1 has $(wc -l <"$1") rows, expected $2"
}

# refuses MESSAGE ARGUMENTS...: exit code 2 with that message and no file under the name no.jsonl.
refuses()
{
    refusal=$1
    shift
    run "$PLUMB" generate "$@" -o no.jsonl
    expect_code 2
    expect_err "$refusal"
    expect_no_out
    expect_no_file no.jsonl
    expect_no_file no.jsonl.partial
}

# generates FILE ARGUMENTS...: into that file.
generates()
{
    to=$1
    shift
    run "$PLUMB" generate "$@" -o "$to"
    expect_code 0
}

# field NAME FILE: the values of a field, a line for each row.
field()
{
    sed -n 's|.*"'"$1"'": \(\[[^]]*\]\).*|\1|p; t; s|.*"'"$1"'": \("[^"]*"\).*|\1|p; t; s|.*"'"$1"'": \([^,}]*\).*|\1|p' "$2"
}

cat >prompts.jsonl <<'END'
{"prompt": "Tell me a story"}
{"prompt": "Is it true?", "other": 1}

{"prompt": ""}
{"prompt": "Give me the names of three rivers, and of the towns that lie on them."}
END

begin "a row for each completion, in order"
generates out.jsonl "$models/llama2" prompts.jsonl --n 3 --max_new_tokens 7
expect_no_out
expect_rows out.jsonl 12
printf '0\n0\n0\n1\n1\n1\n2\n2\n2\n3\n3\n3\n' >wanted
field index out.jsonl >got
expect_same got wanted
printf '0\n1\n2\n0\n1\n2\n0\n1\n2\n0\n1\n2\n' >wanted
field sample out.jsonl >got
expect_same got wanted
grep -q '^{"index": 0, "row": "[0-9a-f]\{16\}", "sample": 0, "prompt": "Tell me a story", "response": ".*", "response_ids": \[[0-9, ]*\], "finish": "[a-z]*", "seed": 42}$' \
    out.jsonl || complain "the row's form"
expect_file out.jsonl.meta.json
expect_no_file out.jsonl.partial
expect_err "12 completions"

begin "a completion depends on seed, row and sample alone"
for how in "--threads 2" "--slots 1" "--batch 5"; do
    # shellcheck disable=SC2086
    generates other.jsonl "$models/llama2" prompts.jsonl --n 3 --max_new_tokens 7 $how
    expect_same other.jsonl out.jsonl
done
generates a.jsonl "$models/llama2" prompts.jsonl --num_return_sequences 3 --max_new_tokens 7 --range :2
generates b.jsonl "$models/llama2" prompts.jsonl --n 3 --max_new_tokens 7 --range 2:
cat a.jsonl b.jsonl >other.jsonl
expect_same other.jsonl out.jsonl
generates other.jsonl "$models/llama2" prompts.jsonl --max_new_tokens 7
grep '"sample": 0' out.jsonl >wanted
expect_same other.jsonl wanted
generates other.jsonl "$models/llama2" prompts.jsonl --n 3 --max_new_tokens 7 --seed 43
cmp -s other.jsonl out.jsonl && complain "the seed changes nothing"

begin "greedy, with the reference's tokens"
for model in olmo gemma2 llama3-bf16; do
    sed 's/^\[//; s/\]$//; s/}, {/}\n{/g' "$DATA/expected/$model/generate.json" >ids.jsonl
    generates greedy.jsonl "$models/$model" ids.jsonl --temperature 0 --max_new_tokens 24
    field new_ids ids.jsonl >wanted
    field response_ids greedy.jsonl >got
    expect_same got wanted
done
generates top.jsonl "$models/olmo" prompts.jsonl --top_k 1 --max_new_tokens 9
generates greedy.jsonl "$models/olmo" prompts.jsonl --temperature 0 --max_new_tokens 9
expect_same top.jsonl greedy.jsonl
run "$PLUMB" generate "$models/olmo" prompts.jsonl --temperature 0 --n 2 --max_new_tokens 2
expect_err "will be the same"

begin "near ties are told"
generates tie.jsonl "$models/olmo" prompts.jsonl --temperature 0 --max_new_tokens 3
grep -q "near ties" "$work/stderr" && complain "a near tie where there is none"
cp -r "$models/llama2" zeros # all weights 0: all logits are equal
chmod -R u+w zeros
header=$(od -A n -t u4 -N 4 zeros/model.safetensors | tr -d ' ')
size=$(wc -c <zeros/model.safetensors)
{
    head -c $((header + 8)) "$models/llama2/model.safetensors"
    head -c $((size - header - 8)) /dev/zero
} >zeros/model.safetensors
generates tie.jsonl zeros prompts.jsonl --range 1:3 --temperature 0 --max_new_tokens 3
expect_err "near ties: in 2 completions"
expect_err "the first is row 1, sample 0, new token 0"
field response_ids tie.jsonl >got
printf '[0, 0, 0]\n[0, 0, 0]\n' >wanted
expect_same got wanted

begin "a trained model writes English"
trained=${SHARED:-}/oracle/models/aidreams260k
if [ -d "$trained" ]; then
    generates dream.jsonl "$trained" "$DATA/pairs/pairs.jsonl" --range 7:8 --temperature 0 --max_new_tokens 24
    grep -qF '"response": "Classification whispers secrets, a gentle hum of precision,' dream.jsonl || complain "other words"
else
    echo "left out: aidreams260k (the shared reference files are not here)"
fi

begin "the forms of prompts"
cat >forms.jsonl <<'END'
{"prompt": [{"role": "user", "content": "Tell me a story"}]}
{"messages": [{"role": "user", "content": "Tell me a story"}, {"role": "assistant", "content": "No."}]}
{"prompt": [{"role": "user", "content": "Tell me a story"}], "chosen": [{"role": "assistant", "content": "a"}], "rejected": [{"role": "assistant", "content": "b"}]}
{"chosen": [{"role": "user", "content": "Tell me a story"}, {"role": "assistant", "content": "a"}], "rejected": [{"role": "user", "content": "Tell me a story"}, {"role": "assistant", "content": "b"}]}
END
generates forms.out "$models/gemma-chat" forms.jsonl --temperature 0 --max_new_tokens 6
[ "$(field response_ids forms.out | sort -u | wc -l)" -eq 1 ] || complain "one prompt in four forms has other completions"
generates turn.out "$models/gemma-chat" prompts.jsonl --limit 1 --temperature 0 --max_new_tokens 6 --as_message
field response_ids turn.out >got
field response_ids forms.out | head -n 1 >wanted
expect_same got wanted
grep -q '"prompt": "Tell me a story"' turn.out || complain "the prompt is not what stands in the data"
grep -q '"prompt": \[{"role": "user", "content": "Tell me a story"}\]' forms.out || complain "the prompt's messages"
generates plain.out "$models/gemma-chat" prompts.jsonl --limit 1 --temperature 0 --max_new_tokens 6
expect_err "--as_message makes user messages of string prompts"
printf '{"chosen": "a b c", "rejected": "a b d"}\n' >implicit.jsonl
generates implicit.out "$models/llama2" implicit.jsonl --implicit_prompt word --max_new_tokens 2
grep -q '"prompt": "a b "' implicit.out || complain "the implicit prompt"
printf '{"question": "Why?"}\n' >key.jsonl
generates key.out "$models/llama2" key.jsonl --prompt_key question --max_new_tokens 2
grep -q '"prompt": "Why?"' key.out || complain "--prompt_key"
gzip -c prompts.jsonl >prompts.jsonl.gz
generates gz.out "$models/olmo" prompts.jsonl.gz --temperature 0 --max_new_tokens 9
expect_same gz.out greedy.jsonl
run_with prompts.jsonl "$PLUMB" generate "$models/olmo" - --temperature 0 --max_new_tokens 9
expect_code 0
expect_same "$work/stdout" greedy.jsonl

begin "a response ends before a stop text, wherever the tokens are cut"
generates whole.jsonl "$models/llama2" prompts.jsonl --limit 1 --max_new_tokens 40
text=$(field response whole.jsonl)
stop=$(field response whole.jsonl | LC_ALL=C sed -n 's/.*\([a-z][a-z][a-z]*\)[^a-z]*"$/\1/p')
[ "${#stop}" -ge 2 ] || complain "no stop text to be had from $text"
generates stop.jsonl "$models/llama2" prompts.jsonl --limit 1 --max_new_tokens 40 --stop "never, in any text" --stop "$stop"
grep -qF '"finish": "stop"' stop.jsonl || complain "did not stop at $stop"
case "$(field response stop.jsonl)" in *"$stop"*) complain "the stop text $stop is still there" ;; esac
case "$text" in "$(field response stop.jsonl | sed 's/"$//')"*) ;; *) complain "another response" ;; esac
refuses "--stop: the text is empty" "$models/llama2" prompts.jsonl --stop ""

begin "a prompt that fills the model"
long=$(awk 'BEGIN { for (i = 0; i < 600; i++) printf "%s5", i ? ", " : "" }')
printf '{"prompt_ids": [%s]}\n{"prompt_ids": [5, 6]}\n' "$long" >long.jsonl
generates long.out "$models/llama2" long.jsonl --max_new_tokens 3
expect_rows long.out 2
grep -q '"response": "", "response_ids": \[\], "finish": "length"' long.out || complain "the full prompt"
expect_err "1 completion is empty, as the prompt fills the model's 512 positions"

begin "bad rows"
printf '{"prompt": "a"}\n{"prompt": 3}\n{"other": "b"}\n[1]\n{"prompt_ids": [99999]}\n{"prompt": [{"role": "user"}]}\n{"prompt": "c"}\n{broken\n' >bad.jsonl
refuses "bad.jsonl:2: \"prompt\" is a number" "$models/llama2" bad.jsonl --range 1:
refuses "bad.jsonl:3: \"prompt\" is missing" "$models/llama2" bad.jsonl --range 2:
refuses "bad.jsonl:5: token id 99999 is outside the model's" "$models/llama2" bad.jsonl --range 4:
refuses "no chat template" "$models/llama2" prompts.jsonl --as_message
generates bad.out "$models/llama2" bad.jsonl --on_error skip --max_new_tokens 2
expect_rows bad.out 2
expect_err "passed over: bad.jsonl:6: \"prompt\"[0].content is missing"
expect_err "6 bad rows left out"
printf '\n' >empty.jsonl
refuses "there are no rows" "$models/llama2" empty.jsonl
refuses "--top_p" "$models/llama2" prompts.jsonl --top_p 1.5
refuses "top_p is 0" "$models/llama2" prompts.jsonl --top_p 0
refuses "--temperature" "$models/llama2" prompts.jsonl --temperature -1
refuses "--max_new_tokens" "$models/llama2" prompts.jsonl --max_new_tokens 0
refuses "nowhere" "$models/nowhere" prompts.jsonl

begin "an adapter"
generates base.out "$models/llama3-chat-sharded" prompts.jsonl --max_new_tokens 8 --temperature 0
generates adapted.out "$models/llama3-chat-sharded" prompts.jsonl --max_new_tokens 8 --temperature 0 --adapter "$models/adapter-init"
grep -q '"adapter": {' adapted.out.meta.json || complain "the record does not name the adapter"
cmp -s base.out adapted.out && complain "the adapter changes nothing"
refuses "" "$models/llama2" prompts.jsonl --adapter "$models/adapter-init"

begin "an interrupted run goes on"
for rows in 0 1 3 4 7 11 12; do
    head -n $rows out.jsonl >res.jsonl.partial
    printf '{"index": 9, "ro' >>res.jsonl.partial
    sed 's/out\.jsonl/res.jsonl/' out.jsonl.meta.json >res.jsonl.partial.meta.json
    rm -f res.jsonl
    run "$PLUMB" generate "$models/llama2" prompts.jsonl --n 3 --max_new_tokens 7 -o res.jsonl --resume --slots 2
    expect_code 0
    expect_same res.jsonl out.jsonl
done
resumes_not()
{
    refusal=$1
    shift
    sed 's/out\.jsonl/res.jsonl/' out.jsonl.meta.json >res.jsonl.partial.meta.json
    cp res.jsonl.partial before
    run "$PLUMB" generate "$models/llama2" prompts.jsonl --max_new_tokens 7 -o res.jsonl --resume "$@"
    expect_code 2
    expect_err "$refusal"
    expect_same res.jsonl.partial before
}
rm -f res.jsonl
head -n 4 out.jsonl >res.jsonl.partial
resumes_not "was made with --n 3, now it is 2" --n 2
resumes_not "was made with --seed" --n 3 --seed 1
sed -n '1p;3p' out.jsonl >res.jsonl.partial
resumes_not "res.jsonl.partial:2: a completion is missing" --n 3
{ head -n 3 out.jsonl; head -n 3 out.jsonl; } >res.jsonl.partial
resumes_not "res.jsonl.partial:4: a completion is missing" --n 3
sed 's/"row": "./"row": "x/' out.jsonl >res.jsonl.partial
resumes_not "res.jsonl.partial:1: was made from another row" --n 3

begin "a dry run"
run "$PLUMB" generate "$models/llama2" prompts.jsonl --n 3 --dry-run -o dry.jsonl
expect_code 0
expect_out "work: 12 completions of at most 256 tokens"
expect_out "memory:"
expect_no_file dry.jsonl
expect_no_file dry.jsonl.partial

begin "quiet"
run "$PLUMB" generate "$models/gemma-chat" prompts.jsonl --max_new_tokens 2 --quiet
expect_code 0
expect_no_err

finish
