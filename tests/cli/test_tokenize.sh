#!/bin/sh
# plumb tokenize: texts, ids and conversations; the expected ids are those of the tokenizers library.
. "$(dirname "$0")/lib.sh"
: "${DATA:?}"
olmo=$DATA/models/olmo
gemma=$DATA/models/gemma-chat
llama=$DATA/models/llama2

begin "a line of text gives ids, a tab and tokens"
printf 'Hello, world\n\nYes\n' >text
run "$PLUMB" tokenize --tokenizer "$olmo" text
expect_code 0
expect_text stdout '41 70 288 80 13 524 295\tH e ll o , Ġwor ld\n\n342\tYes\n'
expect_no_err

begin "stdin, and a tokenizer.json instead of a folder"
run_with text "$PLUMB" tokenize --tokenizer "$olmo/tokenizer.json"
expect_code 0
expect_text stdout '41 70 288 80 13 524 295\tH e ll o , Ġwor ld\n\n342\tYes\n'

begin "line ends of Windows and a last line without an end"
printf 'Yes\r\nYes' >dos
run "$PLUMB" tokenize --tokenizer "$olmo" dos
expect_code 0
expect_text stdout '342\tYes\n342\tYes\n'

begin "control characters in tokens are written as in JSON"
printf '\t"\n' >control
run "$PLUMB" tokenize --tokenizer "$llama/tokenizer.json" --no-special control
expect_code 0
expect_out '<0x09>'
expect_out '\"'

begin "rows of JSON keep their order and kind"
cat >rows <<'ROWS'
{"text": "Yes", "source": "kept out"}

{"ids": [342, 0]}
{"text": ""}
{"text": "Yes", "ids": null}
ROWS
run "$PLUMB" tokenize --tokenizer "$olmo" --jsonl rows
expect_code 0
expect_text stdout '{"ids": [342], "tokens": ["Yes"]}\n{"text": "Yes<|endoftext|>"}\n{"ids": [], "tokens": []}\n{"ids": [342], "tokens": ["Yes"]}\n'

begin "special tokens are added and kept, unless they are not wanted"
printf '{"text": "Yes"}\n{"ids": [2, 1]}\n' >special
run "$PLUMB" tokenize --tokenizer "$gemma" --jsonl special
expect_code 0
cp stdout with
run "$PLUMB" tokenize --tokenizer "$gemma" --jsonl --no-special special
expect_code 0
expect_out '{"text": ""}'
ok grep -q '{"ids": \[2, ' with
ok grep -q '{"text": "<bos><eos>"}' with
grep -q '"<bos>"' stdout && complain "BOS is added with --no-special"

begin "a conversation is rendered and encoded without a second BOS"
printf '{"messages": [{"role": "user", "content": " Hi "}]}\n' >chat
run "$PLUMB" tokenize --tokenizer "$gemma" --jsonl chat
expect_code 0
expect_out '{"text": "<bos><start_of_turn>user\nHi<end_of_turn>\n", "ids": [2, 4, '
run "$PLUMB" tokenize --tokenizer "$gemma" --jsonl --add-generation-prompt chat
expect_out 'Hi<end_of_turn>\n<start_of_turn>model\n", "ids": [2, 4, '

begin "another template"
printf '{%% for m in messages %%}[{{ m.role }}] {{ m.content }}{{ eos_token }}{%% endfor %%}' >t.jinja
run "$PLUMB" tokenize --tokenizer "$olmo" --jsonl --chat_template t.jinja chat
expect_code 0
expect_out '{"text": "[user]  Hi <|endoftext|>", "ids": ['

begin "conversations need a template"
run "$PLUMB" tokenize --tokenizer "$olmo" --jsonl chat
expect_code 2
expect_err "chat:1: "
expect_err "--chat_template FILE"
run "$PLUMB" tokenize --tokenizer "$gemma/tokenizer.json" --jsonl chat
expect_code 2
expect_err "chat:1: the row is a conversation"
expect_err "give the checkpoint's folder"
run "$PLUMB" tokenize --tokenizer "$gemma/tokenizer.json" --jsonl --chat_template t.jinja chat
expect_code 2
expect_err "is not a checkpoint folder"

begin "range and limit"
printf 'a\n\nb\nc\nd\n' >letters
run "$PLUMB" tokenize --tokenizer "$olmo" --range 1:4 letters
expect_code 0
ok test "$(cut -f2 stdout | tr '\n' ' ')" = " b c "
run "$PLUMB" tokenize --tokenizer "$olmo" --range 2: --limit 1 letters
ok test "$(cut -f2 stdout | tr '\n' ' ')" = "b "
run "$PLUMB" tokenize --tokenizer "$olmo" --jsonl --range 1:2 rows
expect_text stdout '{"text": "Yes<|endoftext|>"}\n'
run "$PLUMB" tokenize --tokenizer "$olmo" --range 9: letters
expect_code 2
expect_err "there are no rows in this range"

begin "a bad row names its place and stops without an output"
printf '{"text": "a"}\n\n{"text": 3}\n' >bad
run "$PLUMB" tokenize --tokenizer "$olmo" --jsonl bad -o out.jsonl
expect_code 2
expect_err 'bad:3: "text" is a number; expected a string'
expect_no_file out.jsonl
expect_no_file out.jsonl.partial

begin "bad rows can be passed over and keep their place"
printf '{"text": 3}\n{"text": "Yes"}\n[]\n{"ids": [-1]}\n{"ids": ["a"]}\n{"text": "a", "ids": []}\n{}\n{"text"\n{"ids": 5}\n{"messages": []}\n' >many
run "$PLUMB" tokenize --tokenizer "$olmo" --jsonl --on_error skip many
expect_code 0
ok test "$(grep -c bad_row stdout)" -eq 9
ok test "$(sed -n 2p stdout)" = '{"ids": [342], "tokens": ["Yes"]}'
expect_err 'many:4: "ids"[0] is -1; token ids run from 0 to '
expect_err 'many:6: the row has "text" and "ids"; expected one of them'
expect_err 'many:7: the row has none of "text", "ids" and "messages"'
expect_err "9 bad rows passed over"
printf 'Yes\n\377\nYes\n' >latin
run "$PLUMB" tokenize --tokenizer "$olmo" --on_error skip latin
expect_code 0
expect_text stdout '342\tYes\n\n342\tYes\n'
expect_err "latin:2: "
run "$PLUMB" tokenize --tokenizer "$olmo" latin
expect_code 2
expect_err "latin:2: "

begin "an output file is complete and has its record"
run "$PLUMB" tokenize --tokenizer "$olmo" --jsonl rows -o out.jsonl
expect_code 0
expect_no_out
expect_err "4 rows, 4 tokens"
expect_file out.jsonl.meta.json
expect_no_file out.jsonl.partial
ok grep -q '"command": "tokenize"' out.jsonl.meta.json
run "$PLUMB" tokenize --tokenizer "$olmo" --jsonl rows -o out2.jsonl --quiet
expect_no_err
expect_same out.jsonl out2.jsonl
run "$PLUMB" tokenize --tokenizer "$olmo" --jsonl rows -o rows
expect_code 2
expect_err "is also an input"

begin "compressed rows are read, compressed text is refused"
gzip -c rows >rows.gz
run "$PLUMB" tokenize --tokenizer "$olmo" --jsonl rows.gz
expect_code 0
expect_same stdout out.jsonl
gzip -c text >text.gz
run "$PLUMB" tokenize --tokenizer "$olmo" text.gz
expect_code 2
expect_err "gzip -dc"

begin "long lines cross the buffer"
awk 'BEGIN { for (i = 0; i < 30000; i++) printf "Yes "; print ""; print "No" }' >long
run "$PLUMB" tokenize --tokenizer "$olmo" long
expect_code 0
ok test "$(sed -n 1p stdout | cut -f1 | wc -w)" -eq 30001
ok test "$(wc -l <stdout)" -eq 2

begin "what is missing"
run "$PLUMB" tokenize text
expect_code 2
expect_err "--tokenizer is missing"
run "$PLUMB" tokenize --tokenizer nowhere text
expect_code 2
expect_err "nowhere"
run "$PLUMB" tokenize --tokenizer "$olmo" nowhere
expect_code 2
expect_err "nowhere"
run "$PLUMB" tokenize --tokenizer "$olmo"
expect_code 2
expect_err "<stdin>: there are no rows in it"
run "$PLUMB" tokenize --tokenizr "$olmo" text
expect_code 2
expect_err "tokenizer"
printf '{"model": {"type": "Unigram"}}' >unigram.json
run "$PLUMB" tokenize --tokenizer unigram.json text
expect_code 2
expect_err "Unigram"

begin "the environment names the tokenizer"
run env PLUMB_TOKENIZER="$olmo" "$PLUMB" tokenize text
expect_code 0
finish
