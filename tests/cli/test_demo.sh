# plumb demo, on a small stand-in for the demo world.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/stand_in_world.sh"
ok make_stand_in_world world

begin "the whole story"
run "$PLUMB" demo --world world -o story --limit 40 --threads 1
expect_code 0
expect_no_err
expect_out "designed into the data"
expect_out '   $ plumb score world/model story/questions.jsonl --measures logps -o story/question.scores.jsonl'
expect_out '--keep-lowest 15% -o story/lowest.jsonl'
expect_out '   $ plumb dpo world/model story/pairs.jsonl --config world/dpo.yaml --save_strategy no --seed 42 -o story/run-all'
expect_out '   $ plumb generate world/model world/prompts.train.jsonl --limit 40 --config world/generate.yaml --n 2'
expect_out "What appeared in this run (NO: it did not, in this run)"
expect_out "Open story/report.html in a browser"
grep -q '<figure id="refusals"' story/report.html || complain "no rates in the report"
grep -q '<figure id="course"' story/report.html || complain "no runs in the report"
[ "$(grep -c '^   \$ plumb' stdout)" -eq 24 ] || complain "not 24 commands"
[ "$(grep -cE '^(yes|NO )  ' stdout)" -eq 8 ] || complain "not eight findings"
cp stdout told

last_step() { sed -n 's/.*"step":\([0-9]*\).*/\1/p' "$1/ledger.jsonl" | sort -n | tail -n 1; }
for run in lowest random; do
    [ "$(last_step story/run-$run)" -eq "$(last_step story/run-all)" ] || complain "run-$run has other steps"
done
expect_out "--adapter story/run-lowest" # the world is tuned with LoRA

begin "what is told is what the files say"
# a line of the story, unfolded
story() { tr '\n' ' ' <told | tr -s ' '; }
after=$(sed -n 's/.*"chosen":{[^}]*"p_after":\([0-9.e-]*\).*/\1/p' story/question.trace.jsonl)
story | grep -qF -- "-> $(printf %.3f "$after"). Verdict of plumb trace" || complain "not p_after $after"
kept=$(sed -n 's/.*"kept": \([0-9]*\).*/\1/p' story/lowest.jsonl.meta.json)
story | grep -qF -- "-> $kept of " || complain "not $kept pairs kept"
for name in start all lowest random; do
    rate=$(sed -n 's/.*"refusal_rate": \([0-9.]*\).*/\1/p' "story/$name.json" | head -n 1)
    story | grep -qF "$(awk -v r="$rate" 'BEGIN { printf "%.1f %%", 100 * r }')" || complain "not the rate $rate of $name"
done
awk -F '[:,]' '{ for (i = 1; i < NF; i++) { if ($i ~ /^.?"step"/) step = $(i + 1); if ($i ~ /^"logps\/chosen"/) v = $(i + 1) }
    if (step == 0) { a += v; n++ } if (step > last) { last = step; b = 0 } if (step == last) b += v } END { printf "preferred responses %+.2f", (b - a) / n }' story/run-all/ledger.jsonl >change
story | grep -qF "$(cat change)" || complain "not: $(cat change)"

begin "an effect that did not appear is said so"
awk '/^What appeared/ { on = 1 } on' told >summary
lost=$(sed -n 's/.*"refusal_drift": \(-*[0-9.]*\).*/\1/p' story/all.json)
p=$(sed -n 's/.*"mcnemar_p": \([0-9.e-]*\).*/\1/p' story/all.json)
malformed=$(sed -n 's/.*"malformed_rate": \([0-9.][0-9.]*\).*/\1/p' story/all.json)
expected=$(awk -v d="$lost" -v p="$p" -v m="$malformed" 'BEGIN { print d < 0 && p < .05 && m <= .1 ? "yes" : "NO" }')
grep -q "^$expected *Training on all pairs" summary || complain "drift $lost, p $p, malformed $malformed, but not $expected"

begin "a rate that is lower within chance has not fallen, and malformed answers are not compliance"
# The demo reads what its steps wrote: these are other outcomes of the same story.
cp story/all.json all.json
outcome() # DRIFT P MALFORMED VERDICT WORDS: of the run on all pairs
{
    sed -e "s/\"refusal_drift\": -*[0-9.][0-9.e-]*/\"refusal_drift\": $1/" -e "s/\"mcnemar_p\": [0-9.][0-9.e-]*/\"mcnemar_p\": $2/" \
        -e "s/\"malformed_rate\": [0-9.][0-9.]*/\"malformed_rate\": $3/" all.json >story/all.json
    run "$PLUMB" demo --world world -o story --limit 40 --threads 1
    expect_code 0
    tr '\n' ' ' <stdout | tr -s ' ' | grep -qE "$4 Training on all pairs[^;]*$5" || complain "not $4 ... $5"
}
outcome -0.1 0.21 0.01 NO "; lower, but within chance \(p = 0.21\)"
outcome -0.1 0.001 0.01 yes "prompts \(p = 0.001\)"
outcome -0.1 0.001 0.25 NO "; but 25 % are malformed"
outcome 0.05 0.4 0.01 NO "; not lower"
cp all.json story/all.json

begin "each command is as it is printed"
rm story/lowest.jsonl
eval "$(sed -n 's/^   \$ plumb \(filter .*lowest.jsonl\)$/"$PLUMB" \1 -q/p' told)"
[ "$(awk 'END { print NR }' story/lowest.jsonl)" -eq "$kept" ] || complain "not the same rows"

begin "once more: nothing is done again, the story is the same"
touch -d '2001-01-01' story/pairs.jsonl
run "$PLUMB" demo --world world -o story --limit 40 --threads 1
expect_code 0
expect_same stdout told
[ -z "$(find story/pairs.jsonl -newermt '2002-01-01')" ] || complain "pairs.jsonl was made again"

begin "folders that are something else"
mkdir other
echo mine >other/file
run "$PLUMB" demo --world world -o other
expect_code 2
expect_err "other: is there and holds something else"
run "$PLUMB" demo --world world -o story --limit 41
expect_code 2
expect_err "story: holds a demo of another plumb, world or size"
run "$PLUMB" demo --world world -o no/where
expect_code 2
expect_err "no/where"

begin "worlds that are not there"
run "$PLUMB" demo --world nowhere -o none
expect_code 2
expect_err "nowhere/model/config.json: the demo world lacks this file"
expect_no_file none
mkdir bin
cp "$PLUMB" bin/plumb
run bin/plumb demo -o none
expect_code 2
expect_err "bin/world nor in"
expect_err "set PLUMB_WORLD to it"
cp -r world bin/world
rm bin/world/dpo.yaml
run bin/plumb demo -o none
expect_code 2
expect_err "world/dpo.yaml: the demo world lacks this file"
PLUMB_WORLD=world run "$PLUMB" demo -o named --limit 40 --steps 1 --threads 1
expect_code 0
expect_out "--max_steps 1"

cp -r world bare
rm bare/pair.yaml bare/groups.yaml bare/judge.yaml bare/generate.yaml
run "$PLUMB" demo --world bare -o bare.out --limit 40 --steps 1 --threads 1 # what the world may do without
expect_code 0
expect_out '   $ plumb judge bare.out/responses.jsonl -o bare.out/labels.jsonl'
expect_out '   $ plumb pair bare.out/responses.jsonl --labels bare.out/labels.jsonl -o bare.out/pairs.jsonl'

begin "a command that fails ends the story with its exit code"
cp -r world broken
echo 'nonsense: 1' >broken/dpo.yaml
run "$PLUMB" demo --world broken -o failed --limit 40 --threads 1
expect_code 2
expect_err "nonsense"
expect_out "This command ended with exit code 2; the demo ends here."
PLUMB_QUIET=true PLUMB_LIMIT=3 run "$PLUMB" demo --world broken -o failed2 # variables that would change the commands
expect_code 2
expect_out "--limit 3 --config"

begin "interrupted, and gone on with"
cp -r world slow
echo 'max_steps: 100000' >>slow/dpo.yaml
"$PLUMB" demo --world slow -o stopped --limit 40 --threads 1 >stdout 2>stderr &
child=$!
tries=0
until [ -s stopped/run-all/metrics.jsonl ] || [ $tries -ge 600 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
kill -TERM $child
wait $child
code=$?
expect_code 143
expect_err "plumb demo -o stopped"
sleep 0.2
size=$(wc -c <stopped/run-all/metrics.jsonl)
sleep 0.3
[ "$(wc -c <stopped/run-all/metrics.jsonl)" -eq "$size" ] || complain "the command goes on"
finish
