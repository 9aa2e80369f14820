# plumb score as a user runs it.
. "$(dirname "$0")/lib.sh"
: "${DATA:?}"

models=$DATA/models
plain=$DATA/pairs/pairs.jsonl
chat=$DATA/pairs/pairs.chat.jsonl
PLUMB_THREADS=1 # small models: threads would only wait for each other
export PLUMB_THREADS

# field NAME FILE: the values of a field, a line for each row that has it.
field()
{
    sed -n 's|.*"'"$1"'": *\([^,}]*\).*|\1|p' "$2"
}

# expect_rows FILE COUNT
expect_rows()
{
    [ "$(wc -l <"$1")" -eq "$2" ] || complain "$1 has $(wc -l <"$1") rows, expected $2"
}

# expect_nothing_named FILE: neither the file nor what comes before or beside it.
expect_nothing_named()
{
    expect_no_file "$1"
    expect_no_file "$1.partial"
    expect_no_file "$1.meta.json"
    expect_no_file "$1.partial.meta.json"
}

# refuses MESSAGE ARGUMENTS...: exit code 2 with that message, no output and no file under the name out.jsonl.
refuses()
{
    refusal=$1
    shift
    run "$PLUMB" score "$@" -o out.jsonl
    expect_code 2
    expect_err "$refusal"
    expect_no_out
    expect_nothing_named out.jsonl
}

# within NAME LIST_A LIST_B SCALES: |a - b| <= 1e-5 scale for each row of three files of numbers.
within()
{
    paste "$2" "$3" "$4" | awk -v name="$1" '
        NF != 3 { print name ": row " NR - 1 " is not in both"; bad = 1 }
        { d = $1 - $2; if (d < 0) d = -d; n++ }
        !(d <= 1e-5 * $3) { print name ": row " NR - 1 " is " $1 ", expected " $2; bad = 1 }
        END { exit bad || n < 20 }' >difference || complain "$(cat difference)"
}

# scales FILE: the magnitudes that the tolerances refer to: of ches, of ln_ches with `more` states on a side.
scales()
{
    awk -v more="$2" '
        function value(name) { match($0, "\"" name "\":[^,}]*"); return substr($0, RSTART + length(name) + 3,
                                                                             RLENGTH - length(name) - 3) + 0 }
        function magnitude(x) { return x < 0 ? -x : x }
        { n = value("chosen_tokens") + more; m = value("rejected_tokens") + more
          print magnitude(value("dot")) + value("norm2_chosen") >"scale.ches"
          print magnitude(value("dot")) / (n * m) + value("norm2_chosen") / (n * n) >"scale.ln_ches" }' "$1"
}

begin "the default run"
run "$PLUMB" score "$models/qwen3" "$chat" -o scores.jsonl
expect_code 0
expect_no_out
expect_rows scores.jsonl 25
expect_err "25 rows, 25 scored"
expect_err "median"
expect_err "highest rows"
expect_no_file scores.jsonl.partial
expect_no_file scores.jsonl.partial.meta.json
field index scores.jsonl >got
awk 'BEGIN { for (i = 0; i < 25; i++) print i }' >want
expect_same got want
for name in row ches ln_ches last_hidden edit_similarity dot norm2_chosen norm2_rejected prompt_tokens chosen_tokens \
    rejected_tokens shared_tokens boundary_clean truncated; do
    [ "$(field $name scores.jsonl | wc -l)" -eq 25 ] || complain "no $name in every row"
done
for name in skipped logps alpha_ches; do
    ! grep -q "\"$name" scores.jsonl || complain "$name was not asked for"
done

begin "the summary names the highest rows"
for name in ches ln_ches last_hidden edit_similarity; do
    paste scores.jsonl scores.jsonl | field $name /dev/stdin | awk '{ print $1 "\t" NR - 1 }' |
        sort -t '	' -k1,1gr -k2,2n | head -n 3 | cut -f 2 | tr '\n' ' ' | sed 's/ $//; s/ /, /g' >top
    grep -q "^$name .*   $(cat top)\$" stderr || complain "the highest rows of $name are $(cat top)"
done

begin "the record"
run cat scores.jsonl.meta.json
expect_out '"command": "score"'
expect_out '"rows": 25'
expect_out '"scored": 25'
expect_out '"hash"'
expect_out '"compat": "trl"'
grep -Eq '"isa": "(ref|avx2|avx512)"' scores.jsonl.meta.json || complain "the record does not name the instructions"

begin "against the reference numbers"
for model in olmo llama3-chat-sharded gemma2 gpt-neox; do
    data=$plain
    [ -e "$models/$model/chat_template.jinja" ] && data=$chat
    run "$PLUMB" score "$models/$model" "$data" --max_length 512 -o got.jsonl
    expect_code 0
    scales got.jsonl 0
    for name in ches ln_ches; do
        field $name got.jsonl >a
        field $name "$DATA/expected/$model/scores.jsonl" >b
        within "$model $name" a b scale.$name
    done
    field edit_similarity got.jsonl | awk '{ printf "%.6f\n", $1 }' >a
    field edit_similarity "$DATA/expected/$model/scores.jsonl" | awk '{ printf "%.6f\n", $1 }' >b
    expect_same a b
done

begin "the paper's way"
for model in gemma-chat llama3-chat-sharded; do
    for data in "$plain" "$chat"; do
        run "$PLUMB" score "$models/$model" "$data" --compat official -o got.jsonl
        expect_code 0
        scales got.jsonl 1
        for name in ches ln_ches; do
            field $name got.jsonl >a
            sed 's/.*"'$name'_scores": *\[\([^]]*\)\].*/\1/' "$DATA/expected/official/similarity-$model.json" |
                tr ',' '\n' >b
            within "$model $name" a b scale.$name
        done
    done
done

begin "each measure alone, and lists in all spellings"
for measure in ches ln_ches last_hidden edit logps alpha; do
    run "$PLUMB" score "$models/olmo" "$plain" --measures $measure --limit 3 --quiet
    expect_code 0
    expect_no_err
    expect_rows stdout 3
    case $measure in
    edit) name=edit_similarity ;;
    logps) name=logps/chosen ;;
    alpha) name=alpha_ches ;;
    *) name=$measure ;;
    esac
    [ "$(field $name stdout | wc -l)" -eq 3 ] || complain "$measure gives no $name"
done
run "$PLUMB" score "$models/olmo" "$plain" --measures ches edit --limit 2 -q
expect_code 0
cp stdout two
expect_out '"ches":'
expect_out '"edit_similarity":'
! grep -q ln_ches stdout || complain "a list does not replace the default"
set_measures()
{
    run "$PLUMB" score "$@" --limit 2 -q
    expect_code 0
    expect_same stdout two
}
set_measures "$models/olmo" "$plain" --measures ches,edit
set_measures "$models/olmo" "$plain" --measures edit, ches
set_measures "$models/olmo" "$plain" --measures=edit,ches
set_measures --measures ches edit "$models/olmo" "$plain"
set_measures "$models/olmo" "$plain" --measures logps --measures ches,edit
PLUMB_MEASURES=ches,edit set_measures "$models/olmo" "$plain"

begin "the same bytes for every number of threads"
all=ches,ln_ches,last_hidden,edit,logps,alpha
run "$PLUMB" score "$models/gemma3" "$chat" --measures $all --threads 1 -o one.jsonl
expect_code 0
for threads in 2 3; do
    run "$PLUMB" score "$models/gemma3" "$chat" --measures ches,ln_ches,last_hidden,edit,logps --threads $threads -o n.jsonl
    expect_code 0
    sed 's/"alpha_ches.*"rate":[^,]*,//' one.jsonl >want
    expect_same n.jsonl want
done

begin "the same bytes for every split"
for cut in 1 7 12 24; do
    run "$PLUMB" score "$models/gemma3" "$chat" --measures $all --range :$cut -o a.jsonl
    expect_code 0
    run "$PLUMB" score "$models/gemma3" "$chat" --measures $all --range $cut: -o b.jsonl
    expect_code 0
    left=$((25 - cut))
    [ $left -eq 1 ] && expect_err "1 row, 1 scored" || expect_err "$left rows, $left scored"
    cat a.jsonl b.jsonl >ab.jsonl
    expect_same ab.jsonl one.jsonl
done
: >rows.jsonl
i=0
while [ $i -lt 25 ]; do
    run "$PLUMB" score "$models/gemma3" "$chat" --measures $all --range $i:$((i + 1)) -q
    cat stdout >>rows.jsonl
    i=$((i + 1))
done
expect_same rows.jsonl one.jsonl
run "$PLUMB" score "$models/gemma3" "$chat" --measures $all --limit 4 -q
head -n 4 one.jsonl >want
expect_same stdout want
run "$PLUMB" score "$models/gemma3" "$chat" --measures $all --range 3:20 --limit 2 -q
sed -n 4,5p one.jsonl >want
expect_same stdout want
refuses "pairs.chat.jsonl: there are no rows in this range" "$models/gemma3" "$chat" --range 25:30

begin "other instructions agree to the tolerance"
run "$PLUMB" score "$models/olmo" "$plain" --isa ref -o ref.jsonl
expect_code 0
run "$PLUMB" score "$models/olmo" "$plain" -o best.jsonl
PLUMB_ISA=ref run "$PLUMB" score "$models/olmo" "$plain" -o again.jsonl
expect_same again.jsonl ref.jsonl
scales ref.jsonl 0
field ches ref.jsonl >a
field ches best.jsonl >b
within "ches of ref" a b scale.ches

begin "inputs"
run "$PLUMB" score "$models/olmo" "$plain" -o want -q
gzip -c "$plain" >packed
run "$PLUMB" score "$models/olmo" packed -q
expect_code 0
expect_same stdout want
run_with "$plain" "$PLUMB" score "$models/olmo" - -q
expect_code 0
expect_same stdout want
run_with packed "$PLUMB" score "$models/olmo" - -q
expect_same stdout want
{ cat "$plain" && printf '\r\n   \n\r\n'; } | sed 's/$/\r/' >crlf.jsonl # line ends and blank lines are no part of a row
run "$PLUMB" score "$models/olmo" crlf.jsonl -q
expect_same stdout want
sed 's/"prompt"/"question"/; s/"chosen"/"better"/; s/"rejected"/"worse"/' "$plain" >renamed.jsonl
run "$PLUMB" score "$models/olmo" renamed.jsonl --prompt_key question --chosen-key better --rejected_key=worse -q
expect_code 0
sed 's/"row":"[^"]*"//' stdout >a
sed 's/"row":"[^"]*"//' want >b
expect_same a b
refuses 'renamed.jsonl:1: "chosen" is missing' "$models/olmo" renamed.jsonl
refuses 'renamed.jsonl:1: "answer" is missing' "$models/olmo" renamed.jsonl --chosen_key answer
printf '%s\n' '{"chosen":"\n\nHuman: Hi\n\nAssistant: Hello.","rejected":"\n\nHuman: Hi\n\nAssistant: Go."}' >hh.jsonl
refuses "--implicit_prompt turn (HH-RLHF)" "$models/olmo" hh.jsonl
run "$PLUMB" score "$models/olmo" hh.jsonl --implicit_prompt turn -q
expect_code 0
expect_rows stdout 1
printf '%s\n' '{"prompt_ids":[5,6,7],"chosen_ids":[8,9],"rejected_ids":[10]}' >ids.jsonl
run "$PLUMB" score "$models/olmo" ids.jsonl -q
expect_code 0
expect_out '"prompt_tokens":3,"chosen_tokens":2,"rejected_tokens":1,"shared_tokens":3'
printf '%s\n' '{"prompt":"Hi","chosen":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Yes"}],
"rejected":[{"role":"user","content":"Hi"},{"role":"assistant","content":"No"}]}' | tr -d '\n' >repeated.jsonl
run "$PLUMB" score "$models/qwen3" repeated.jsonl
expect_code 0
expect_err "1 row repeats its string prompt in the conversations"
cat >bare.jinja <<'TEMPLATE'
{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}
{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}
TEMPLATE
refuses "no chat template" "$models/olmo" "$chat"
run "$PLUMB" score "$models/olmo" "$chat" --chat_template bare.jinja -q
expect_code 0
expect_rows stdout 25

begin "outputs"
for name in - /dev/stdout; do
    run "$PLUMB" score "$models/olmo" "$plain" -o $name
    expect_code 0
    expect_same stdout want
    expect_err "25 rows, 25 scored"
done
expect_no_file -.meta.json
run "$PLUMB" score "$models/olmo" "$plain" -o /dev/null
expect_code 0
run "$PLUMB" score "$models/olmo" "$plain" -o /dev/full
expect_code 3
expect_err "/dev/full: writing failed: No space left on device"
refuses_output()
{
    run "$PLUMB" score "$models/olmo" "$plain" -o "$1"
    expect_code 2
    expect_err "$2"
}
refuses_output nowhere/out.jsonl "nowhere/out.jsonl.partial: cannot be created"
refuses_output . "is a folder"
refuses_output out.jsonl.gz "out.jsonl.gz: output is not compressed"
cp "$plain" copy.jsonl
run "$PLUMB" score "$models/olmo" copy.jsonl -o copy.jsonl
expect_code 2
expect_err "copy.jsonl: is also an input"
expect_same copy.jsonl "$plain"
for end in partial meta.json partial.meta.json; do # what plumb writes beside an output is an input
    cp "$plain" ee.$end
    ln -f ee.$end linked
    for input in ee.$end linked; do
        run "$PLUMB" score "$models/olmo" $input -o ee
        expect_code 2
        expect_err "ee.$end: is an input, and -o ee would write over it"
        expect_same ee.$end "$plain"
    done
    run_with ee.$end "$PLUMB" score "$models/olmo" - -o ee
    expect_code 2
    expect_same ee.$end "$plain"
    rm -f ee.$end linked
done
cp "$plain" ff.partial
run "$PLUMB" filter "$plain" ff.partial --below 1 -o ff
expect_code 2
expect_err "ff.partial: is an input"
expect_same ff.partial "$plain"
printf '{"mine": 1}' >gg.meta.json
run "$PLUMB" score "$models/olmo" "$plain" -o gg
expect_code 2
expect_err "gg.meta.json: is in the way and not a record that plumb wrote"
expect_err "move it away"
expect_text gg.meta.json '{"mine": 1}'
expect_no_file gg.partial
cp -r "$models/olmo" own
for name in config.json tokenizer.json; do
    run "$PLUMB" score own "$plain" -o own/$name
    expect_code 2
    expect_err "own/$name: is a file of the model"
    expect_same own/$name "$models/olmo/$name"
done
for i in 1 2; do # an earlier result there is no file of the model
    run "$PLUMB" score own "$plain" -o own/scores.jsonl -q
    expect_code 0
    expect_same own/scores.jsonl want
done
run "$PLUMB" score "$models/olmo" "$plain" -o ''
expect_code 2
expect_err "the output has an empty name"
printf 'old\n' >old.jsonl # an earlier result stays until the new one is complete
run "$PLUMB" score "$models/olmo" renamed.jsonl -o old.jsonl
expect_code 2
expect_text old.jsonl 'old\n'

begin "a dry run"
run "$PLUMB" score "$models/olmo" "$plain" --dry-run -o dry.jsonl
expect_code 0
expect_out "OlmoForCausalLM"
expect_out "25 rows, max_length 512"
expect_out "TFLOP"
expect_err "dry run: nothing was written"
expect_nothing_named dry.jsonl
run "$PLUMB" score "$models/olmo" "$plain" --dry-run --compat official --measures edit
expect_code 0
expect_out "25 rows, not cut"
run "$PLUMB" score "$models/olmo" "$plain" --dry-run --quiet # the plan is the result
expect_code 0
expect_no_err
expect_out "25 rows, max_length 512"
run "$PLUMB" score "$models/olmo" renamed.jsonl --dry-run
expect_code 2
run "$PLUMB" score "$models/olmo" "$plain" --dry-run -o nowhere/out.jsonl
expect_code 2
expect_err "mkdir -p nowhere"
expect_no_out

begin "the first pair as tokens"
run "$PLUMB" score "$models/qwen3" "$chat" --write-out --limit 2 -o out.jsonl
expect_code 0
expect_err "row 0 as tokens: position, scored, id, token"
expect_err " prompt, 42 tokens"
expect_err '      41  0      201  "'
expect_err '      42  1      406  "No"'
expect_err '      43  1        2  "<|im_end|>"'
expect_err '      42  1      414  "Never"'
! grep -q "row 1 as tokens" stderr || complain "more than the first pair is shown"
rm out.jsonl out.jsonl.meta.json
printf '%s\n' '{"prompt":"t","chosen":"he","rejected":"?"}' >merge.jsonl
run "$PLUMB" score "$models/llama2" merge.jsonl --write-out --quiet
expect_code 0
run "$PLUMB" score "$models/llama2" merge.jsonl --write-out
expect_err "merges with a response: the boundary was moved back"
expect_err "1 whose response merges with the prompt's last token"
printf '%s\n' '{"prompt":"The s","chosen":"tate of the world","rejected":" x"}' >merge.jsonl
run "$PLUMB" score "$models/llama2" merge.jsonl --write-out --compat official
expect_err "merges with a response: the boundary cuts through"
expect_err "the state of the last token counts too"

begin "rows that are skipped"
run "$PLUMB" score "$models/olmo" "$plain" --max_length 20 -o cut.jsonl
expect_code 0
expect_rows cut.jsonl 25
expect_err "skipped (prompt_too_long)"
expect_err "cut at 20 tokens"
[ "$(grep -c '"skipped":"prompt_too_long"}$' cut.jsonl)" -eq "$(sed -n 's/.* \([0-9]*\) skipped (prompt.*/\1/p' stderr)" ] ||
    complain "the summary counts other skipped rows"
printf '%s\n' '{"prompt":"","chosen":"a","rejected":"b"}' '{"prompt":"a","chosen":"","rejected":"b"}' >skip.jsonl
run "$PLUMB" score "$models/olmo" skip.jsonl --compat official
expect_code 0
expect_out '"index":0,"row":"'
expect_out '"skipped":"no_prompt_token"}'
expect_out '"skipped":"empty_response"}'
expect_err "2 rows, 0 scored, 1 skipped (empty_response), 1 skipped (no_prompt_token)"
! grep -q median stderr || complain "a table about nothing"
run "$PLUMB" score "$models/olmo" "$plain" --max_length 600 --limit 1
expect_err "--max_length 600 is more than the model's 512 positions"

begin "bad rows"
{ head -n 3 "$plain" && printf '{"prompt":"a","chosen":"b","rejected":"\377"}\n' && sed -n 4p "$plain"; } >mixed.jsonl
refuses "mixed.jsonl:4: not valid JSON at column 39: bytes that are not UTF-8" "$models/olmo" mixed.jsonl
run "$PLUMB" score "$models/olmo" mixed.jsonl --on_error skip -o skipped.jsonl
expect_code 0
expect_err "passed over: mixed.jsonl:4: not valid JSON"
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22; do printf '{"n":%d}\n' $i; done >bad.jsonl
run "$PLUMB" score "$models/olmo" bad.jsonl --on_error skip -o bad.scores
expect_code 0
expect_err "passed over: bad.jsonl:20: "
! grep -q "bad.jsonl:21" stderr || complain "more rows are listed than the first twenty"
expect_err "and 2 more were passed over"
expect_err "22 rows, 0 scored, 22 skipped (bad_row)"
expect_err "nothing was scored"
run "$PLUMB" score "$models/olmo" mixed.jsonl --on_error skip -o skipped.jsonl
expect_err "5 rows, 4 scored, 1 skipped (bad_row)"
expect_rows skipped.jsonl 5
grep -q '^{"index":3,"row":"[0-9a-f]*","skipped":"bad_row"}$' skipped.jsonl || complain "no row for the bad row"
grep -v skipped skipped.jsonl | sed 's/"index":[0-9]*//' >a
head -n 4 want | sed 's/"index":[0-9]*//' >b
expect_same a b
run cat skipped.jsonl.meta.json
expect_out '"bad_row": 1'
: >empty.jsonl
refuses "empty.jsonl: there are no rows in it" "$models/olmo" empty.jsonl
printf '\n  \n\r\n' >blank.jsonl
refuses "blank.jsonl: there are no rows in it" "$models/olmo" blank.jsonl
printf '%s\n' '{"prompt":"a","chosen":NaN,"rejected":"c"}' >nan.jsonl
refuses "nan.jsonl:1: not valid JSON at column 26: 'NaN' is no JSON" "$models/olmo" nan.jsonl
refuses "write null, or leave the field out" "$models/olmo" nan.jsonl
printf '%s\n' "{'prompt': 'a', 'chosen': 'b', 'rejected': 'c'}" >repr.jsonl
refuses "repr.jsonl:1: not valid JSON" "$models/olmo" repr.jsonl
refuses "json.dumps" "$models/olmo" repr.jsonl
printf '%s\n' '[' '{"prompt":"a","chosen":"b","rejected":"c"}' ']' >array.json
refuses "array.json: is a JSON array" "$models/olmo" array.json
refuses "jq -c '.[]'" "$models/olmo" array.json
printf '%s\n' 'prompt,chosen,rejected' 'a,b,c' >table.csv
refuses "table.csv: is a CSV file" "$models/olmo" table.csv
run "$PLUMB" lint "$models/olmo" table.csv
expect_code 2
expect_no_out
expect_err "table.csv: is a CSV file"
gzip -c array.json >array.json.gz
refuses "array.json.gz: is a JSON array" "$models/olmo" array.json.gz
gzip -c table.csv >table.csv.gz
refuses "table.csv.gz: is a CSV file" "$models/olmo" table.csv.gz
for file in table.csv table.csv.gz array.json.gz; do # in parts, as a slow pipe gives them
    size=$(wc -c <$file)
    { head -c $((size / 2)) $file; sleep 0.2; tail -c +$((size / 2 + 1)) $file; } |
        "$PLUMB" score "$models/olmo" - >stdout 2>stderr
    expect_err "<stdin>: is a $(case $file in *.csv*) echo "CSV file" ;; *) echo "JSON array" ;; esac); expected JSONL"
done
for name in array.json table.csv; do # the first 9 bytes hold no line end
    { head -c 9 $name; sleep 0.2; tail -c +10 $name; } | "$PLUMB" score "$models/olmo" - >stdout 2>stderr
    expect_err "<stdin>: is a "
done
awk 'BEGIN { for (i = 0; i < 100000; i++) printf "["; print "" }' >deep.jsonl
refuses "deep.jsonl:1: not valid JSON" "$models/olmo" deep.jsonl
printf '%s\n' '{"prompt_ids":[5],"chosen_ids":[6],"rejected_ids":[2000]}' >far.jsonl
refuses "far.jsonl:1: token 1 of prompt + rejected is 2000; the model has embeddings of 0 to 1047" "$models/olmo" far.jsonl
printf '%s\n' '{"prompt":"a","chosen":"b","rejected":"c","images":["x.png"]}' >images.jsonl
refuses 'images.jsonl:1: the column "images" is not supported' "$models/olmo" images.jsonl
gzip -c "$plain" | head -c 1000 >torn.gz
refuses "torn.gz:" "$models/olmo" torn.gz
refuses "the gzip data are damaged" "$models/olmo" torn.gz --on_error skip
awk 'BEGIN { printf "{\"prompt\":\"Tell me\",\"chosen\":\""; for (i = 0; i < 280000; i++) printf "a word and no end "
             printf "\",\"rejected\":\"no\"}\n" }' >large.jsonl # 5 MB
run "$PLUMB" score "$models/olmo" large.jsonl
expect_code 0
expect_out '"prompt_tokens":3,"chosen_tokens":509,'
expect_out '"truncated":true'
awk 'BEGIN { printf "{\"prompt\":\""; for (i = 0; i < 5000000; i++) printf "a"
             printf "\",\"chosen\":\"b\",\"rejected\":\"no\"}\n" }' >large.jsonl
run "$PLUMB" score "$models/olmo" large.jsonl
expect_code 0
expect_out '"skipped":"prompt_too_long"'

begin "models that cannot be used"
refuses "nowhere/config.json: not found" nowhere "$plain"
refuses "downloaded from the Hub" nowhere "$plain"
refuses "huggingface-cli download allenai/OLMo-1B-hf --local-dir OLMo-1B-hf" allenai/OLMo-1B-hf "$plain"
refuses "load_dataset('trl-lib/ultrafeedback_binarized', split='train')" "$models/olmo" trl-lib/ultrafeedback_binarized
refuses "check the path" "$models/olmo" nowhere/pairs.jsonl
mkdir checkpoint-8
: >checkpoint-8/masters.safetensors
refuses "it is a checkpoint to go on from" checkpoint-8 "$plain"
refuses "pairs.jsonl: is a file, and MODEL is a folder" "$plain" "$models/olmo"
refuses "are MODEL and DATA swapped?" "$plain" "$models/olmo"
if [ "$(id -u)" -ne 0 ]; then
    mkdir -m 000 closed
    refuses "closed: cannot be read: Permission denied" closed "$plain"
    rmdir closed
fi
cp -r "$models/olmo" model
rm model/model.safetensors
refuses "model: holds no weights" model "$plain"
: >model/pytorch_model.bin
refuses "model: holds PyTorch's .bin files instead of model.safetensors" model "$plain"
refuses "save_pretrained(NEW_FOLDER)" model "$plain"
cp "$models/olmo/model.safetensors" model/
sed 's/{/{"quantization_config": {"quant_method": "gptq", "bits": 4},/' "$models/olmo/config.json" >model/config.json
refuses "model/config.json: the checkpoint is quantised (gptq)" model "$plain"
refuses "use the original checkpoint in bf16" model "$plain"
sed 's/"olmo"/"mixtral"/' "$models/olmo/config.json" >model/config.json
refuses 'model/config.json: "model_type" is "mixtral"' model "$plain"
sed 's/"num_hidden_layers": 3/"num_hidden_layers": 4/' "$models/olmo/config.json" >model/config.json
refuses "model: model.layers.3.self_attn.q_proj.weight: missing" model "$plain"
sed 's/"intermediate_size": 176/"intermediate_size": 175/' "$models/olmo/config.json" >model/config.json
refuses "model: model.layers.0.mlp.gate_proj.weight: has shape [176, 64]; config.json implies [175, 64]" model "$plain"
head -c 100 "$models/olmo/config.json" >model/config.json
refuses "model/config.json: not valid JSON" model "$plain"
cp "$models/olmo/config.json" model/
head -c 200000 "$models/olmo/model.safetensors" >model/model.safetensors
refuses "model/model.safetensors: tensor" model "$plain"
printf '\377\377\377\377\377\377\377\377' >model/model.safetensors
refuses "model/model.safetensors" model "$plain"
: >model/model.safetensors
refuses "model/model.safetensors" model "$plain"
cp "$models/olmo/model.safetensors" model/
rm model/tokenizer.json
refuses "tokenizer.json" model "$plain"
printf '{"model":' >model/tokenizer.json
refuses "model/tokenizer.json" model "$plain"
cp "$models/olmo/tokenizer.json" model/

begin "weights that are not numbers"
# The embedding of 1048 x 64 comes first, then model.layers.0.mlp.down_proj.
header=$(od -An -tu8 -N8 "$models/olmo/model.safetensors")
printf '\000\000\300\177' |
    dd of=model/model.safetensors bs=1 seek=$((8 + header + 1048 * 64 * 4 + 4000)) conv=notrunc 2>/dev/null
refuses "model: model.layers.0.mlp.down_proj.weight holds a NaN or an infinity" model "$plain"
refuses "model: model.layers.0.mlp.down_proj.weight holds a NaN" model "$plain" --on_error skip
run "$PLUMB" score model "$plain" --measures edit -q # needs no weights
expect_code 0
expect_rows stdout 25

begin "options"
refuses "--mesures: unknown option" "$models/olmo" "$plain" --mesures edit
refuses "did you mean --measures?" "$models/olmo" "$plain" --mesures edit
refuses "did you mean ln_ches?" "$models/olmo" "$plain" --measures lnches
refuses "--threads: 0 is not in 1..1024" "$models/olmo" "$plain" --threads 0
refuses "--max_length: 1 is not in 2.." "$models/olmo" "$plain" --max-length 1
refuses '"fast" is none of trl, official' "$models/olmo" "$plain" --compat fast
PLUMB_ISA=neon run "$PLUMB" score "$models/olmo" "$plain"
expect_code 2
expect_err 'PLUMB_ISA (environment): "neon" is none of auto, ref, avx2, avx512'
refuses "nowhere.jsonl: cannot be read" "$models/olmo" nowhere.jsonl
refuses "models: is a folder; expected a file" "$models/olmo" "$models"
run "$PLUMB" score "$models/olmo"
expect_code 2
run "$PLUMB" score --help
expect_code 0
expect_out "plumb score OLMo-1B-hf pairs.jsonl -o scores.jsonl"

# Four times the pairs and a row that stops the run: batches that were full are written, the rest is not.
begin "going on with an interrupted run"
cat "$plain" "$plain" "$plain" "$plain" >whole.jsonl
run "$PLUMB" score "$models/olmo" whole.jsonl -o whole.scores
expect_code 0
cp whole.jsonl data.jsonl
printf 'no JSON\n' >>data.jsonl
run "$PLUMB" score "$models/olmo" data.jsonl -o out.jsonl
expect_code 2
expect_err "data.jsonl:101: not valid JSON"
expect_err "what was done is in out.jsonl.partial; go on with:"
expect_err "plumb score --resume $models/olmo data.jsonl -o out.jsonl"
expect_no_file out.jsonl
expect_file out.jsonl.partial.meta.json
cp out.jsonl.partial kept
cp out.jsonl.partial.meta.json kept.meta
done_rows=$(wc -l <kept)
[ "$done_rows" -gt 20 ] && [ "$done_rows" -lt 100 ] || complain "$done_rows rows are in the partial file"
cp whole.jsonl data.jsonl
size=$(wc -c <kept)
# restore BYTES: the partial file as a crash may leave it.
restore()
{
    head -c "$1" kept >out.jsonl.partial
    cp kept.meta out.jsonl.partial.meta.json
    rm -f out.jsonl out.jsonl.meta.json
}
for bytes in "$size" $((size - 1)) $((size / 2)) 400 1 0; do
    restore "$bytes"
    run "$PLUMB" score "$models/olmo" data.jsonl -o out.jsonl --resume
    expect_code 0
    expect_same out.jsonl whole.scores
    expect_err "100 rows, 100 scored"
    expect_no_file out.jsonl.partial
    expect_no_file out.jsonl.partial.meta.json
    grep '"hash": "[0-9a-f]*"$' out.jsonl.meta.json >a
    grep '"hash": "[0-9a-f]*"$' whole.scores.meta.json >b
    expect_same a b
done
restore "$size"
run "$PLUMB" score "$models/olmo" data.jsonl -o out.jsonl --resume --threads 2 # what changes no result may change
expect_code 0
expect_err "going on after $done_rows rows"
expect_same out.jsonl whole.scores

begin "what does not belong together is not continued"
# resumes_not MESSAGE ARGUMENTS...: the partial file stays as it was.
resumes_not()
{
    refusal=$1
    shift
    run "$PLUMB" score "$@" -o out.jsonl --resume
    expect_code 2
    expect_err "$refusal"
    expect_no_file out.jsonl
    expect_same out.jsonl.partial kept
}
restore "$size"
resumes_not "out.jsonl.partial: was made with --measures" "$models/olmo" data.jsonl --measures edit
resumes_not "out.jsonl.partial: was made with --max_length null, now it is 100" "$models/olmo" data.jsonl --max_length 100
resumes_not "was made with --compat" "$models/olmo" data.jsonl --compat official
resumes_not "was made with a model of hash" "$models/gpt-neox" data.jsonl
resumes_not "was made with data" "$models/olmo" whole.jsonl
grep -q '"isa": "ref"' kept.meta || resumes_not "was made with --isa" "$models/olmo" data.jsonl --isa ref
cp -r "$models/olmo" other
printf ' ' >>other/tokenizer_config.json
resumes_not "was made with a model of hash" other data.jsonl
sed '5s/key/KEY/' whole.jsonl >data.jsonl
resumes_not "out.jsonl.partial:5: was made from another row than row 4 of data.jsonl" "$models/olmo" data.jsonl
sed 1d whole.jsonl >data.jsonl
resumes_not "out.jsonl.partial:1: was made from another row than row 0" "$models/olmo" data.jsonl
head -n 10 whole.jsonl >data.jsonl
resumes_not "out.jsonl.partial: has more rows than data.jsonl" "$models/olmo" data.jsonl
cp whole.jsonl data.jsonl
sed '3s/.*/broken/' kept >out.jsonl.partial
cp out.jsonl.partial kept
resumes_not "out.jsonl.partial:3: not valid JSON" "$models/olmo" data.jsonl
rm out.jsonl.partial.meta.json
resumes_not "its record out.jsonl.partial.meta.json is missing" "$models/olmo" data.jsonl
rm out.jsonl.partial
run "$PLUMB" score "$models/olmo" data.jsonl -o out.jsonl --resume
expect_code 0
expect_err "there is no out.jsonl.partial to go on with"
expect_same out.jsonl whole.scores
rm out.jsonl out.jsonl.meta.json
run "$PLUMB" score "$models/olmo" data.jsonl --resume
expect_code 2
expect_err "--resume: there is no partial file to go on with"

begin "another chat template is not gone on with"
cp bare.jinja used.jinja
cat "$chat" "$chat" "$chat" "$chat" >four
{ cat four && echo broken; } >data.jsonl
run "$PLUMB" score "$models/olmo" data.jsonl --chat_template used.jinja -o chat.jsonl
expect_code 2
[ -s chat.jsonl.partial ] || complain "nothing was kept"
cp four data.jsonl
sed 's/assistant: /assistant:/' bare.jinja >used.jinja
run "$PLUMB" score "$models/olmo" data.jsonl --chat_template used.jinja -o chat.jsonl --resume
expect_code 2
expect_err "chat.jsonl.partial: was made with a tokenizer and chat template of hash"
cp bare.jinja used.jinja
run "$PLUMB" score "$models/olmo" data.jsonl --chat_template used.jinja -o chat.jsonl --resume
expect_code 0
! grep -q '"flops"' chat.jsonl.meta.json || complain "the operations of a part are given for the whole"

begin "rows leave plumb as they are done"
mkfifo slow
"$PLUMB" score "$models/olmo" slow -o live.jsonl 2>stderr &
pid=$!
exec 3>slow
cat whole.jsonl whole.jsonl >&3
tries=0
while [ ! -s live.jsonl.partial ] && [ $tries -lt 100 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
kill -KILL $pid
wait $pid 2>/dev/null
exec 3>&-
[ -s live.jsonl.partial ] || complain "kill -9 took the rows that were done"

begin "SIGHUP keeps the partial file"
"$PLUMB" score "$models/olmo" slow -o hung.jsonl 2>stderr &
pid=$!
exec 3>slow
cat whole.jsonl whole.jsonl >&3
sleep 1
kill -HUP $pid
wait $pid
code=$?
exec 3>&-
expect_code 129
expect_err "stopped by SIGHUP"
expect_file hung.jsonl.partial.meta.json

begin "SIGTERM while a pipe of rows is not opened by its writer"
"$PLUMB" score "$models/olmo" slow -o never.jsonl 2>stderr &
pid=$!
sleep 1
tries=0 # under load it may not have come to the pipe yet, and a signal before would leave it waiting there
while grep -qs '^State:.R' /proc/$pid/status && [ $tries -lt 300 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
kill -TERM $pid
wait $pid
code=$?
expect_code 143
expect_err "stopped by SIGTERM"
expect_nothing_named never.jsonl

begin "SIGTERM while nobody reads the rows"
for i in 1 2 3 4 5 6 7 8 9 10; do cat whole.jsonl; done >many.jsonl
exec 4<>slow # a reader that takes nothing
"$PLUMB" score "$models/olmo" many.jsonl --measures edit -o slow 2>stderr &
pid=$!
sleep 2
kill -TERM $pid
wait $pid
code=$?
exec 4>&-
expect_code 143
expect_err "stopped by SIGTERM"

begin "threads that cannot be had"
if [ -z "${ASAN_OPTIONS+x}" ] && (ulimit -v 400000) 2>/dev/null && (ulimit -v 400000; "$PLUMB" --version) >/dev/null 2>&1; then
    (
        ulimit -v 400000
        "$PLUMB" score "$models/olmo" "$plain" --threads 1024 >stdout 2>stderr
        echo $? >code
    )
    code=$(cat code)
    expect_code 3
    expect_err "1024 threads cannot be had here"
    expect_err "give fewer --threads"
fi

begin "SIGTERM keeps complete rows"
mkfifo pipe
"$PLUMB" score "$models/olmo" - -o stopped.jsonl <pipe >stdout 2>stderr &
pid=$!
exec 3>pipe
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do cat whole.jsonl >&3; done # more than the pipe holds: the program reads
kill -TERM $pid
wait $pid
code=$?
exec 3>&-
expect_code 143
expect_err "stopped by SIGTERM"
expect_err "go on with:"
expect_no_file stopped.jsonl
[ -s stopped.jsonl.partial ] || complain "nothing was kept"
[ "$(tail -c 1 stopped.jsonl.partial | od -An -c | tr -d ' ')" = '\n' ] || complain "the last row is not complete"

begin "memory does not grow with the rows"
# peak MEASURES ROUNDS...: the largest resident size in KiB after so many rounds of the 100 pairs.
peak()
{
    "$PLUMB" score "$models/olmo" - --measures "$1" -o - <pipe >/dev/null 2>stderr &
    pid=$!
    exec 3>pipe
    shift
    for rounds in "$@"; do
        for i in $(awk -v n="$rounds" 'BEGIN { for (i = 0; i < n; i++) print i }'); do cat whole.jsonl; done >&3
        sed -n 's/VmHWM:[^0-9]*\([0-9]*\).*/\1/p' /proc/$pid/status
    done >peaks
    exec 3>&-
    wait $pid
    code=$?
    expect_code 0
    set -- $(tr '\n' ' ' <peaks)
    [ $(($2 - $1)) -lt 4096 ] || complain "from $1 KiB to $2 KiB"
}
if [ -r /proc/self/status ]; then
    ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}quarantine_size_mb=1
    export ASAN_OPTIONS
    peak edit 50 950 # the 25 pairs 4,000 times
    peak ches,ln_ches,last_hidden,edit,logps 12 12 # the pipe and the buffer hold eight of them at the most
    unset ASAN_OPTIONS
else
    echo "left out: memory (no /proc on this system)"
fi

begin "bf16: near fp32, repeatable, and no way to go on with other arithmetic"
run "$PLUMB" score "$models/llama3-chat-sharded" "$chat" -o fp32.jsonl
expect_code 0
for compute in bf16 bf16-rounded; do
    run "$PLUMB" score "$models/llama3-chat-sharded" "$chat" --compute $compute --threads 1 -o a.jsonl
    expect_code 0
    run "$PLUMB" score "$models/llama3-chat-sharded" "$chat" --compute $compute --threads 2 -o b.jsonl
    expect_code 0
    expect_same a.jsonl b.jsonl
    grep -q '"compute": "bf16-[dr]' a.jsonl.meta.json || complain "the record does not tell the arithmetic"
    cmp -s a.jsonl fp32.jsonl && complain "the same numbers as in fp32"
    paste fp32.jsonl a.jsonl | sed 's/[^\t]*"ln_ches":\([^,]*\)[^\t]*/\1/g' |
        awk '{ d = $1 - $2; s += d * d; t += $1 * $1 } END { exit !(s < 4e-4 * t) }' || complain "far from fp32"
done
"$PLUMB" score "$models/llama3-chat-sharded" "$chat" -o part.jsonl -q
mv part.jsonl part.jsonl.partial
mv part.jsonl.meta.json part.jsonl.partial.meta.json
run "$PLUMB" score "$models/llama3-chat-sharded" "$chat" --compute bf16-rounded -o part.jsonl --resume
expect_code 2
expect_err "compute"

begin "layers read one after another give the same scores"
for model in olmo gemma2; do
    for measures in ches,ln_ches ches,logps,alpha; do
        run "$PLUMB" score "$models/$model" "$plain" --measures $measures -o whole_model.jsonl
        expect_code 0
        run "$PLUMB" score "$models/$model" "$plain" --measures $measures --stream-layers -o streamed.jsonl
        expect_code 0
        expect_same whole_model.jsonl streamed.jsonl
    done
done
run "$PLUMB" score "$models/olmo" "$plain" --stream-layers --dry-run
expect_code 0
expect_out "memory: two layers of the checkpoint and about"

begin "filter takes the scores"
run "$PLUMB" filter "$chat" scores.jsonl --by ln_ches --keep-lowest 5 -o kept.jsonl
expect_code 0
expect_rows kept.jsonl 5
paste scores.jsonl "$chat" | awk -F '\t' '{ match($1, /"ln_ches":[^,]*/); print substr($1, RSTART + 10, RLENGTH - 10) "\t" NR "\t" $2 }' |
    sort -t '	' -k1,1g | head -n 5 | sort -t '	' -k2,2n | cut -f 3 >want
expect_same kept.jsonl want
run "$PLUMB" filter "$plain" scores.jsonl --by ln_ches --keep-lowest 5
expect_code 2
expect_err "is not the row that was scored"

finish
