# Config files of commands: where values come from, what is refused and where.
. "$(dirname "$0")/lib.sh"
: "${DATA:?}"

i=0
while [ $i -lt 10 ]; do
    echo '{"n":"same"}'
    printf '{"index":%d,"row":"056fe8b9255a9e50","ln_ches":%d,"ches":%d}\n' $i $i $((9 - i)) >&3
    i=$((i + 1))
done >data.jsonl 3>scores.jsonl

# config 'printf format': writes c.yaml.
config()
{
    # shellcheck disable=SC2059
    printf "$1" >c.yaml
}

# refuses MESSAGE: plumb filter with c.yaml is an error of usage that says so.
refuses()
{
    run "$PLUMB" filter data.jsonl scores.jsonl --config c.yaml
    expect_code 2
    expect_no_out
    expect_err "plumb: error: $1"
}

begin "values come from the file"
config '# the best rows\nkeep-lowest: 3   # rows\nby: ches\noutput: out.jsonl\n'
run "$PLUMB" filter data.jsonl scores.jsonl --config c.yaml
expect_code 0
expect_err "kept 3: ches from 0 (row 9) to 2 (row 7)"
expect_file out.jsonl
run cat out.jsonl.meta.json
expect_out '"keep_lowest": "3"'
expect_out '"keep_lowest": "file"'
expect_out '"config": "c.yaml"'

begin "command line, environment, file, default"
run env PLUMB_KEEP_LOWEST=4 "$PLUMB" filter data.jsonl scores.jsonl --config c.yaml -o -
expect_code 0
expect_err "kept 4: ches from 0"
run env PLUMB_KEEP_LOWEST=4 "$PLUMB" filter data.jsonl scores.jsonl --config=c.yaml --keep_lowest 5 --by ln_ches -o -
expect_code 0
expect_err "kept 5: ln_ches from 0"
run env PLUMB_CONFIG=c.yaml "$PLUMB" filter data.jsonl scores.jsonl -o -
expect_code 0
expect_err "kept 3: ches from 0"

begin "options that exclude each other"
run "$PLUMB" filter data.jsonl scores.jsonl --config c.yaml --below 3
expect_code 2
expect_err "c.yaml:2: keep-lowest and --below exclude each other"

begin "booleans and nothing"
config 'below: 5\nby: ~\ndrop_skipped: yes\nquiet: On\n'
run "$PLUMB" filter data.jsonl scores.jsonl --config c.yaml
expect_code 0
expect_no_err
[ "$(wc -l <stdout)" -eq 5 ] || complain "$(wc -l <stdout) rows, expected 5"

begin "numbers as YAML writes them"
config 'below: 5.0e+0\nlimit: 0x5\nrange: "2:"\n'
run "$PLUMB" filter data.jsonl scores.jsonl --config c.yaml
expect_code 0
expect_err "cut at 5"
[ "$(wc -l <stdout)" -eq 3 ] || complain "$(wc -l <stdout) rows, expected 3"

begin "unknown keys"
config 'below: 3\n\nkeep_lowst: 5%%\n'
refuses 'c.yaml:3: "keep_lowst" is not an option of plumb filter'
expect_err "did you mean keep-lowest?"
config 'zebra: 5\n'
refuses 'c.yaml:1: "zebra" is not an option of plumb filter'
expect_err "plumb filter --help lists the options"

begin "bad values"
config 'below: x\n'
refuses 'c.yaml:1: below: "x" is not a number'
config 'limit: 0\n'
refuses 'c.yaml:1: limit: 0 is less than 1'
config 'by: [ches]\n'
refuses 'c.yaml:1: by: holds a list; expected one value'
config 'by:\n  name: ches\n'
refuses 'c.yaml:1: by: holds a mapping or lists; expected one value'

begin "what a config file may not hold"
config 'below: 3\nenv:\n  CUDA_VISIBLE_DEVICES: 0\n'
refuses 'c.yaml:2: env: not supported: plumb sets no environment variables'
config 'config: other.yaml\n'
refuses 'c.yaml:1: config: not supported'
config 'below: 3\nbelow: 4\n'
refuses 'c.yaml:2: "below" stands in line 1 already'
config 'below: &x 3\n'
refuses 'c.yaml:1: anchors (&name) are not allowed'
config 'below: 3\n---\nbelow: 4\n'
refuses 'c.yaml:2: a second document'
config 'by: ches\n\tbelow: 4\n'
refuses 'c.yaml:2: is indented by a tab'
config 'by: "ches\n'
refuses 'c.yaml:2: not valid YAML'
config ''
refuses 'c.yaml:1: the file holds no key'
config 'by: \377\n'
refuses 'c.yaml:1: not text in UTF-8'

begin "files that cannot be read"
run "$PLUMB" filter data.jsonl scores.jsonl --config missing.yaml
expect_code 2
expect_err "plumb: error: missing.yaml: "
run "$PLUMB" filter data.jsonl scores.jsonl --config .
expect_code 2
expect_err "plumb: error: .: "
run "$PLUMB" filter data.jsonl scores.jsonl --config
expect_code 2
expect_err "--config: a value is missing"

begin "help"
run "$PLUMB" filter --config missing.yaml --help
expect_code 0
expect_out "--config FILE"
expect_out "PLUMB_CONFIG]"

begin "score, with a list"
model=$DATA/models/llama3-bf16
config 'measures:\n- ches\n- logps\nlimit: 2\nthreads: 1\nquiet: true\n'
run "$PLUMB" score "$model" "$DATA/pairs/pairs.jsonl" --config c.yaml
expect_code 0
[ "$(wc -l <stdout)" -eq 2 ] || complain "$(wc -l <stdout) rows, expected 2"
expect_out '"logps/chosen"'
grep -q ln_ches stdout && complain "the list does not replace the default"
config 'measures: [ches, chess]\n'
run "$PLUMB" score "$model" "$DATA/pairs/pairs.jsonl" --config c.yaml
expect_code 2
expect_err 'c.yaml:1: measures: "chess" is none of ches'
expect_err "did you mean ches?"

finish
