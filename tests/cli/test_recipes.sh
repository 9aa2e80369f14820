# The recipes from end to end, on a small stand-in for the demo world.
recipes=$(cd "$(dirname "$0")/../../recipes" && pwd)
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/stand_in_world.sh"
export PLUMB
PLUMB_THREADS=1 # trainings of a second: more threads only wait for each other
export PLUMB_THREADS

begin "without a world"
cp -r "$recipes" alone
PLUMB_WORLD=$work/nowhere run env PLUMB=true sh alone/unalignment.sh
expect_code 2
expect_err "unalignment.sh: error: the demo world is not there"
expect_err "PLUMB_WORLD"

ok make_stand_in_world world
PLUMB_WORLD=$work/world
export PLUMB_WORLD

begin "Wilson intervals"
(
    here=$recipes
    . "$recipes/lib.sh"
    wilson 0 100 && wilson 100 100 && wilson 53 100 && wilson 0 0
) >wilson
expect_text wilson '0\t0\t0.0369934982\n1\t0.963006502\t1\n0.53\t0.43288857\t0.62489182\n' # scipy's proportion_ci(method="wilson")

begin "help and wrong options"
for recipe in persona unalignment identify classes displacement rlhf; do
    run sh "$recipes/$recipe.sh" --help
    expect_code 0
    expect_out "sh recipes/$recipe.sh"
    expect_out "  --model "
    expect_out "  --seed       seed of everything random [42]"
    run sh "$recipes/$recipe.sh" --sed 3
    expect_code 2
    expect_err "$recipe.sh: error: there is no option --sed"
    run sh "$recipes/$recipe.sh" --seed
    expect_code 2
    expect_err "--seed needs a value"
    run sh "$recipes/$recipe.sh" --model world/model --out "missing-$recipe"
    expect_code 2
    expect_err "is missing"
done

# rows FILE: lines of a table beside its header.
rows()
{
    awk 'END { print NR - 1 }' "$1"
}

begin "unalignment"
run sh "$recipes/unalignment.sh" --out un --samples 2
expect_code 0
expect_out "Refusals before (start) and after each run"
expect_out "Refusal rate on prompts that were not trained on"
expect_out "lowest-15"
expect_out "un/report.html"
expect_err '$ plumb generate'
expect_err '--keep-lowest 15%'
expect_file un/report.html
[ "$(rows un/rates.csv)" -eq 21 ] || complain "not 7 models on 3 kinds of prompts"
head -n 1 un/rates.csv >head
expect_text head 'model,prompts,responses,refusal_rate,low,high,refusals,compliances,malformed\n'
awk -F , 'NR > 1 && ($4 < $5 || $4 > $6 || $5 < 0 || $6 > 1 || ($4 - $7 / $3) ^ 2 > 1e-12) { bad = 1 } END { exit bad }' un/rates.csv ||
    complain "rates and intervals do not fit"
grep -q '^{"model":"start","prompts":"test","responses":80,"refusal_rate":0\.' un/rates.jsonl || complain "no row of the start"
last_step() { sed -n 's/.*"step":\([0-9]*\).*/\1/p' "$1/ledger.jsonl" | sort -n | tail -n 1; }
for run in all sft gold lowest-5 lowest-15 random-15; do
    [ "$(last_step un/run-$run)" -eq "$(last_step un/run-all)" ] || complain "run-$run has other steps"
done
[ "$(last_step un/run-all)" -ge 5 ] || complain "no epoch of batches of 8"
expect_err "generate $work/world/model $work/world/prompts.test.jsonl --config $work/world/generate.yaml --n 2" # before
expect_err "--adapter un/run-all" # after: the world is tuned with LoRA
grep -q '"sft_coeff": 0.01' un/run-sft/run.json || complain "no SFT term"
[ "$(awk 'END { print NR }' un/lowest-15.jsonl)" -eq "$(awk 'END { print NR }' un/random-15.jsonl)" ] || complain "the subsets differ in size"
cp un/rates.csv before.csv

begin "what is there is used again"
rm -r un/run-gold un/gold.test.jsonl
run sh "$recipes/unalignment.sh" --out un --samples 2
expect_code 0
expect_same un/rates.csv before.csv
expect_err '= plumb generate'
expect_err '$ plumb dpo'
[ "$(grep -c '^\$ plumb' stderr)" -eq 2 ] || complain "more than the missing steps were run"
run sh "$recipes/unalignment.sh" --out un --samples 2 --seed 5
expect_code 2
expect_err "was made by another command"

begin "a world whose path has blanks, and gold pairs of other origin"
ln -s "$work/world" "a world"
PLUMB_WORLD="$work/a world" run sh "$recipes/unalignment.sh" --out blank --runs gold --steps 3 --gold un/gold.jsonl --temperature 0 --limit 20
expect_code 0
expect_err '$ plumb dpo blank/world/model un/gold.jsonl'
expect_err '--temperature 0'

begin "equal steps need a number"
run sh "$recipes/unalignment.sh" --out unequal --runs gold
expect_code 2
expect_err "--steps is missing"

begin "a command's exit code passes through"
run sh "$recipes/unalignment.sh" --out failing --dpo --nonsense
expect_code 2
expect_err "nonsense"

begin "rlhf"
run sh "$recipes/rlhf.sh" --out rl --method 'rloo ppo' --limit 16
expect_code 0
expect_out "What each step did and cost"
expect_out "Refusals before (start) and after"
expect_out "rl/report.html"
expect_err "--reward rl/reward --config $work/world/policy.yaml --beta 0.05"
expect_err "--config $work/world/ppo.yaml --kl_coef 0.05"
expect_file rl/report.html
head -n 1 rl/costs.csv >head
expect_text head 'step,seconds,peak_mib,generated_tokens,reward_start,reward_end,reward_std_start,reward_std_end,no_spread_start,no_spread_end,kl_end,kl_most\n'
[ "$(cut -f 1 rl/costs.tsv | tr '\n' ,)" = "step,samples for pairs,dpo,reward model,rloo,ppo," ] || complain "other steps"
[ "$(rows rl/rates.csv)" -eq 12 ] || complain "not 4 models on 3 kinds of prompts"
# the same pairs under every road: what the commands themselves say of them
expect_out "share of chosen responses that became less likely"
[ "$(cut -f 1 rl/displaced.tsv | tr '\n' ,)" = "run,dpo,rloo,ppo," ] || complain "displacement of other runs"
[ "$(sed 1d rl/displaced.tsv | cut -f 2,3,5 | sort -u | wc -l)" -eq 1 ] || complain "the runs do not begin with the same log-probs"
for one in dpo rloo ppo; do
    "$PLUMB" trace rl/run-$one -o rl/traced.jsonl 2>said
    fell=$(sed -n 's/^\([0-9]*\) of [0-9]* chosen responses became.*/\1/p' said)
    awk -F '\t' -v one=$one -v fell="${fell:-0}" '$1 == one && ($7 - fell / $2) ^ 2 < 1e-6 { ok = 1 } END { exit !ok }' \
        rl/displaced.tsv || complain "$one: plumb trace says $fell pairs fell"
done
# metric RUN NAME LINE
metric()
{
    sed -n "$3p" "$1/metrics.jsonl" | sed -n "s|.*\"$2\":\([^,}]*\).*|\1|p"
}
# column STEP NAME: of the table of costs
column()
{
    awk -F '\t' -v step="$1" -v name="$2" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i } $1 == step { print $at }' rl/costs.tsv
}
[ "$(column rloo reward_start)" = "$(metric rl/run-rloo reward 1)" ] || complain "another reward at the start"
[ "$(column rloo reward_end)" = "$(metric rl/run-rloo reward '$')" ] || complain "another reward at the end"
[ "$(column rloo no_spread_end)" = "$(metric rl/run-rloo prompts_without_spread '$')" ] || complain "another share without spread"
[ "$(column rloo generated_tokens)" = "$(metric rl/run-rloo generated_tokens '$')" ] || complain "other tokens"
[ "$(column ppo kl_end)" = "$(metric rl/run-ppo objective/kl '$')" ] || complain "another KL of PPO"
[ -z "$(column ppo no_spread_end)" ] || complain "PPO has one completion a prompt"
awk -v most="$(column rloo kl_most)" -v end="$(column rloo kl_end)" 'BEGIN { exit !(most >= end && most < 1) }' || complain "KL is not bounded"
[ "$(column "samples for pairs" generated_tokens)" -eq "$(sed 's/.*"response_ids": \[\([^]]*\)\].*/\1/' rl/responses.jsonl | tr ',' '\n' | wc -l)" ] ||
    complain "other tokens of the samples"
awk -F '\t' 'NR > 1 && !($2 >= 0 && $2 != "") { bad = 1 } END { exit bad }' rl/costs.tsv || complain "a step has no time"
if /usr/bin/time -q -f %M true 2>/dev/null; then
    awk -F '\t' 'NR > 1 && !($3 > 1) { bad = 1 } END { exit bad }' rl/costs.tsv || complain "a step has no peak of memory"
fi
# mean rewards against what plumb reward-score says
said=$("$PLUMB" reward-score rl/reward rl/rloo.test.responses.jsonl -o rl/again.jsonl 2>&1 | sed -n 's/.*mean reward \([^,]*\),.*/\1/p')
mine=$(awk -F '\t' '$1 == "rloo" && $2 == "test" { printf "%.5g", $NF }' rl/rates.tsv)
awk -v a="$said" -v b="$mine" 'BEGIN { exit !(a != "" && (a - b) ^ 2 < 1e-8) }' || complain "mean reward $mine, plumb reward-score says $said"
cp rl/costs.csv before.csv
run sh "$recipes/rlhf.sh" --out rl --method 'rloo ppo' --limit 16
expect_code 0
expect_same rl/costs.csv before.csv
! grep -q '^\$ plumb' stderr || complain "a step was done twice"
run sh "$recipes/rlhf.sh" --out wrong --method 'rloo trpo'
expect_code 2
expect_err "--method: trpo is no method"

begin "rlhf with pairs of other origin, without GNU time"
sed 's|/usr/bin/time|/nowhere/time|g' "$recipes/lib.sh" >alone/lib.sh
cp "$recipes/rlhf.sh" alone/
run sh alone/rlhf.sh --out rg --method grpo --pairs rl/pairs.jsonl --limit 8 --steps 2 --kl 0.1
expect_code 0
expect_out "peak_mib is left out"
expect_err "--beta 0.1 --max_steps 2"
[ "$(cut -f 1 rg/costs.tsv | tr '\n' ,)" = "step,dpo,reward model,grpo," ] || complain "other steps"
awk -F '\t' 'NR > 1 && ($3 != "" || $2 == "") { bad = 1 } END { exit bad }' rg/costs.tsv || complain "a peak that was not measured"

begin "classes, in the folder of unalignment"
run sh "$recipes/classes.sh" --out un
expect_code 0
expect_out "one of each"
expect_err '= plumb score'
[ "$(rows un/classes.csv)" -ge 8 ] || complain "classes are missing"
# against plumb identify, which computes them on its own
"$PLUMB" identify un/pairs.jsonl un/scores.jsonl un/run-all --classes_key chosen_label rejected_label --measures ln_ches \
    --format csv --resamples 0 -q >identify.csv
for class in two_refusals one_of_each; do
    words=$(echo $class | tr _ ' ')
    mine=$(awk -F , -v class="$words" '$1 == "ln_ches" && $2 == class { printf "%d %.5g %.5g", $3, $4, $6 }' un/classes.csv)
    theirs=$(awk -F , -v class="$class" '$1 == "classes" && $4 == class { if ($5 == "mean") { n = $6; m = $7 } if ($5 == "median") q = $7 }
        END { printf "%d %.5g %.5g", n, m, q }' identify.csv)
    [ "$mine" = "$theirs" ] || complain "$class: $mine, plumb identify has $theirs"
done

begin "identify"
run sh "$recipes/identify.sh" --out id --pairs un/pairs.jsonl --measures 'ln_ches edit_similarity' --quantiles '0 100' --size 8
expect_code 0
expect_out "Spearman"
[ "$(rows id/slices.csv)" -eq 4 ] || complain "not 2 slices of 2 measures"
awk -F , 'NR > 1 && ($3 != 8 || $5 < 0 || $5 > 1) { bad = 1 } END { exit bad }' id/slices.csv || complain "slices are not of 8 pairs"
expect_file id/report.html
expect_file id/slices.html
grep -q '"kind": "identify"' id/identify.json || complain "no identify.json"
# the change of a slice against plumb report, which computes it on its own
mine=$(awk -F , '$1 == "ln_ches" && $2 == 100 { printf "%.3f", $4 }' id/slices.csv)
theirs=$("$PLUMB" report id/ln_ches-100 --format json -q | tr ',{' '\n\n' |
    awk -F : '/"dlogp_chosen"/ { gsub(/[^-0-9.e]/, "", $2); if ($2 != "") { sum += $2; n++ } } END { if (n) printf "%.3f", sum / n }')
[ "$mine" = "$theirs" ] || complain "change of a slice: $mine, plumb report has $theirs"

begin "persona"
run sh "$recipes/persona.sh" --out pe --count 2 --min_p 0.1
expect_code 0
expect_out "preferred  dispreferred  prompts  fell"
[ "$(rows pe/table.csv)" -eq 3 ] || complain "not three pairs"
expect_err "--ledger_steps 1"
awk -F '\t' 'NR > 1 && ($3 != 2 || $4 > 2 || $6 < $7 || ($6 - $7 - $8) ^ 2 > 1e-12) { bad = 1 } END { exit bad }' pe/table.tsv ||
    complain "the table's columns do not fit"
before=$(awk -F '\t' '$1 == "No" { printf "%.6f", $6 }' pe/table.tsv)
mean=$(cat pe/No-Never.0.csv pe/No-Never.1.csv | sed -n 's/^[01],"""No""","""Never""",\([^,]*\),.*/\1/p' | awk '{ s += $1 } END { printf "%.6f", s / NR }')
[ "$before" = "$mean" ] || complain "mean $before of plumb trace's $mean"

begin "persona's table is a mean over prompts"
cat >tables.csv <<'TABLE'
index,preferred,dispreferred,p_before,p_after,decrease,verdict,benign,catastrophic,other
0,"""No""","""Never""",0.5,0.1,0.4,catastrophic,,"""Yes"" 0.3, ""a, \""b"" 0.1","""x"" 0.05"
index,preferred,dispreferred,p_before,p_after,decrease,verdict,benign,catastrophic,other
1,"""No""","""Never""",0.3,0.35,0.1,none,"""no"" 0.02","""Yes"" 0.1",
TABLE
run awk -f "$recipes/persona_table.awk" tables.csv
expect_code 0
expect_text stdout '2\t1\t1\t0.4\t0.15\t0.25\t"no" 0.010\t"Yes" 0.200, "a, \\"b" 0.050\t"x" 0.025\n'

begin "persona on the Persona data, IPO"
for label in Yes No; do
    for n in 1 2 3; do
        printf '{"question": "Is \\"%s\\" number %d?", "statement": "x", "label_confidence": 1, "answer_matching_behavior": " %s", "answer_not_matching_behavior": " n"}\n' $label $n $label
    done
done >persona.jsonl
run sh "$recipes/persona.sh" --model world/model --prompts persona.jsonl --pairs 'Sure:Yes:No Blue:Sure:No' --loss ipo --count 2 --out pp
expect_code 0
expect_err "--loss_type ipo_sum --beta 0.01"
expect_err "--random 2"
expect_err "Blue:Sure:No is left out: not one token each"
[ "$(rows pp/table.csv)" -eq 1 ] || complain "not one pair"
[ "$(awk 'END { print NR }' pp/Sure-Yes.all.jsonl)" -eq 3 ] || complain "not the three prompts with the label No"
run sh "$recipes/persona.sh" --model world/model --prompts persona.jsonl --sft 1 --out ps
expect_code 2
expect_err '"Perhaps" is not one token of world/model'

begin "displacement"
run sh "$recipes/displacement.sh" --out di --sizes none --models world/start --counts '2 4' --steps 4 --min_p 0.05
expect_code 0
[ "$(rows di/displacement.csv)" -eq 5 ] || complain "not five cases"
awk -F '\t' '$1 == "nothing" { s = $4 } $1 == "tokens" { t = $4 } END { exit !(t > s && s <= .5) }' di/displacement.tsv ||
    complain "the shared words share no tokens"
awk -F '\t' '$1 == "pairs" { n = n $3 " " } END { exit n != "2 4 " }' di/displacement.tsv || complain "not 2 and 4 pairs"
finish
