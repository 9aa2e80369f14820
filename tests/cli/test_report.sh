# plumb report as a user runs it.
. "$(dirname "$0")/lib.sh"
model=$DATA/models/policy-olmo
pairs=$DATA/pairs/pairs.jsonl

begin "a run and its scores"
ok "$PLUMB" score "$model" "$pairs" --measures ches,ln_ches,edit,alpha -q -o scores.jsonl
ok "$PLUMB" dpo "$model" "$pairs" -o run --ledger_steps 1 --ledger_tokens 3 --max_steps 4 --logging_steps 1 -q
run "$PLUMB" report run scores.jsonl -o report.html
expect_code 0
expect_no_out
expect_err "7 figures; 7 left out for want of data (listed at the end of the report)"
expect_file report.html.meta.json
expect_no_file report.html.partial
for id in course scores score-change slices tokens quadrants lorenz; do
    grep -q "<figure id=\"$id\"" report.html || complain "no figure $id"
done
grep -q '<figure id="runs"' report.html && complain "a figure without data"
grep -q '<dt>Refusal rates</dt>' report.html || complain "a missing figure is not listed"
grep -q "I can&#39;t help with getting into a home\|I can't help with getting into a home" report.html ||
    complain "no texts: run.json names the data"
grep -q 'plumb report run scores.jsonl -o report.html' report.html || complain "the command that made the page is not told"
grep -q "plumb dpo .*--ledger_steps 1 --ledger_tokens 3.* -o run" report.html || complain "the run's command is not told"
run cat report.html.meta.json
expect_out '"command": "report"'
expect_out '"path": "scores.jsonl"'
expect_out '"rows": 25'

begin "the same input gives the same page"
run "$PLUMB" report run scores.jsonl -q
expect_code 0
expect_no_err
sed 's/ -o report.html//; s/ -q//' report.html >one
sed 's/ -o report.html//; s/ -q//' stdout >two
expect_same one two

begin "nothing outside the page is asked for"
grep -q "http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]*='; script-src 'sha256-" \
    report.html || complain "no content security policy"
grep -oE '(src|href)="[^"]{0,20}' report.html | grep -vE 'href="(#|data:)' && complain "a link leads out of the page"
grep -qE ' on[a-z]+=| style="' report.html && complain "attributes that the policy forbids"

begin "Markdown"
run "$PLUMB" report run scores.jsonl --format md -q
expect_code 0
expect_out "likelihood displacement"
expect_out "## 1. Log-probabilities over steps"
expect_out "| run | step | side |"
expect_out "## Not in this report"
expect_out "    plumb score"

begin "the format of an output's name"
cp stdout by_format
run "$PLUMB" report run scores.jsonl -o report.md -q
expect_code 0
sed 's/ -o report.md/ --format md/' report.md >by_name
expect_same by_name by_format
run "$PLUMB" report run scores.jsonl -o report.json -q
expect_code 0
grep -q '^{"kind": "report"' report.json || complain "not JSON"
run "$PLUMB" report run scores.jsonl -o page.md --format html -q
expect_code 0
head -n 1 page.md | grep -q '<!doctype html>' || complain "not the format that was asked for"

begin "JSON"
run "$PLUMB" report run scores.jsonl --format json -q
expect_code 0
expect_out '{"kind": "report"'
expect_out '"id": "course"'
expect_out '"next": "plumb'
expect_out '{"id": "refusals", "needs": "judged responses", "command": "plumb generate'
expect_out '"dlogp_chosen":'

begin "columns that the record names"
sed 's/"prompt"/"question"/; s/"chosen"/"good"/' "$pairs" >columns.jsonl
ok "$PLUMB" score "$model" columns.jsonl --prompt_key question --chosen_key good -q -o columns.scores.jsonl
run "$PLUMB" report columns.scores.jsonl -o columns.html
expect_code 0
grep -q "I can't help with getting into a home" columns.html || complain "no texts"
rm columns.jsonl
run "$PLUMB" report columns.scores.jsonl -o columns.html
expect_code 0
expect_err "the pairs' texts are left out: columns.jsonl, which the records name, is not there; give the data file too"

# ---- rows made by hand ----

begin "a ledger without a single number"
printf '{"step":0,"index":0,"row":"00000000000000aa","logps/chosen":null,"logps/rejected":null}\n{"step":1,"index":0,"row":"00000000000000aa","logps/chosen":null,"logps/rejected":null}\n' >null.jsonl
run "$PLUMB" report null.jsonl
expect_code 0
grep -qE '="[^"]*(nan|inf)' stdout && complain "coordinates that are no numbers"

# Twenty pairs: the higher the score the more the chosen side falls, half of them fall.
awk 'BEGIN {
    for (i = 0; i < 20; i++) {
        row = sprintf("\"index\":%d,\"row\":\"%016x\"", i, i + 4096)
        printf "{%s,\"ches\":%d,\"ln_ches\":%.9g,\"prompt_tokens\":3}\n", row, 100 * (i - 10), i - 10 > "s.jsonl"
        for (step = 0; step <= 10; step += 5)
            printf "{\"step\":%d,%s,\"logps/chosen\":%.9g,\"logps/rejected\":%.9g}\n", step, row, \
                -40 + (9.5 - i) * step / 10, -50 - step > "l.jsonl"
    }
}'

begin "the verdict and the next command"
run "$PLUMB" report s.jsonl l.jsonl --format json -q
expect_code 0
expect_out '"headline": "Chosen responses gained on average, but many of them fell"'
sed 's/"logps\/chosen":-/"logps\/chosen":-1/; s/"step":0,\(.*\)"logps\/chosen":-1/"step":0,\1"logps\/chosen":-/' l.jsonl >fell.jsonl
run "$PLUMB" report s.jsonl fell.jsonl --format json -q
expect_out '"headline": "Likelihood displacement: the chosen responses became less likely"'
expect_out '"next": "plumb filter DATA s.jsonl --by ln_ches --keep-lowest 5% -o kept.jsonl"'
run "$PLUMB" report fell.jsonl --format json -q
expect_out '"next": "plumb score MODEL DATA -o scores.jsonl"'
run "$PLUMB" report s.jsonl --format json -q
expect_out '"headline": "Scored, not yet trained"'
expect_out 'is pair 19 (9)'

begin "the numbers"
run "$PLUMB" report s.jsonl l.jsonl --format json -q
expect_out '"finding": "Rank correlation of score and change: −1'
expect_out '{"index":19,"ln_ches":9,"dlogp_chosen":-9.5,"dlogp_rejected":-10}'
expect_out '{"run":"l.jsonl","step":10,"side":"chosen","q05":-48.55,"q25":-44.75,"q50":-40,"q75":-35.25,"q95":-31.45'
expect_out '{"run":"l.jsonl","percentile_from":83.3333333,"percentile_to":100,"score_low":6,"score_high":9,"pairs":4,"mean_change":-8'
# Falls are 0.5, 1.5, ... 9.5: 50 nats; the two largest hold 18 of them.
expect_out '{"run":"l.jsonl","pairs":0.1,"largest_fall_first":0.36,"highest_score_first":0.36}'

begin "cuts"
run "$PLUMB" report s.jsonl --cut 10% 3 -q
expect_code 0
expect_out 'keep 10'
expect_out '← keep 3</text>'
run "$PLUMB" report s.jsonl --cut 5x -q
expect_code 2
expect_err '--cut'

begin "preference data are known as such, also with index and row"
sed 's/^{/{"index":0,"row":"0000000000000000",/' "$pairs" >numbered.jsonl
run "$PLUMB" report scores.jsonl numbered.jsonl -q
expect_code 2
if grep -q "neither a run folder nor rows" stderr; then complain "not known as preference data"; fi

begin "the order of the inputs and shards"
head -n 7 s.jsonl >s1.jsonl
tail -n 13 s.jsonl >s2.jsonl
run "$PLUMB" report s.jsonl l.jsonl --format json -q
cp stdout one
run "$PLUMB" report s2.jsonl l.jsonl s1.jsonl --format json -q
sed 's/s2.jsonl s1.jsonl/s.jsonl/; s/"title": .*//' stdout >two
sed 's/"title": .*//' one >three
expect_same two three

begin "several runs side by side"
run "$PLUMB" report l.jsonl fell.jsonl s.jsonl --format json -q
expect_code 0
expect_out '"id": "runs"'
expect_out 'The chosen responses fared best in l.jsonl: on average 0 nats.'
expect_out '"headline": "Likelihood displacement in fell.jsonl; none in l.jsonl"'
expect_out '"next": "plumb generate l.jsonl PROMPTS'

begin "judged responses"
for i in 1 2 3 4 5 6 7 8 9; do
    printf '{"index":%d,"row":"%016d","sample":0,"label":"%s","score":1,"judge":"rules","category":"c%d"}\n' $i $i \
        "$([ $i -lt 4 ] && echo refusal || echo compliance)" $((i % 2))
done >judged.jsonl
printf '{"index":0,"row":"0000000000000000","sample":0,"label":null,"score":null,"judge":"model"}\n' >>judged.jsonl
run "$PLUMB" report judged.jsonl --format json -q
expect_code 0
# scipy.stats.binomtest(3, 9).proportion_ci(method="wilson")
expect_out '"refusals":3,"responses":9,"rate":0.333333333,"low":0.120583818,"high":0.645797864'
expect_out '"category":"c1","refusals":2,"responses":5'
expect_out '1 response without a label'
for i in 1 2 3; do
    printf '{"index":%d,"row":"%016d","dlogp_chosen":0.%d,"dlogp_rejected":-1,"verdict":"none","gained":[],"lost":[]}\n' $i \
        $i $(((i - 2) * (i - 2) + 1))
done >rose.jsonl
run "$PLUMB" report judged.jsonl rose.jsonl --format json -q # judged and traced: nothing is left but a look at the worst
expect_code 0
expect_out '"next": "plumb explain MODEL DATA --pair 2"'
for label in refusal compliance; do
    for i in $(seq 40); do
        printf '{"index":%d,"row":"%016d","sample":0,"label":"%s","score":1,"judge":"rules"}\n' $i $i $label
    done >$label.jsonl
done
run "$PLUMB" report refusal.jsonl compliance.jsonl --format json -q
expect_out '"headline": "The model refuses less than before"'
expect_out '"alarming": true'
run "$PLUMB" report compliance.jsonl refusal.jsonl --format json -q
expect_out '"headline": "Judged responses"'
sed 's/"compliance"/"comply"/' judged.jsonl >bad.jsonl
run "$PLUMB" report bad.jsonl
expect_code 2
expect_err 'bad.jsonl:4: "label" is "comply"'

begin "traces: verdicts and tokens, and changes where there is no ledger"
cat >trace.jsonl <<'END'
{"index":0,"row":"00000000000000aa","dlogp_chosen":-2,"dlogp_rejected":-3,"position":0,"gained":[{"token":5,"text":" No","p_before":0.1,"p_after":0.5,"class":"denial"}],"lost":[],"verdict":"catastrophic"}
{"index":1,"row":"00000000000000bb","dlogp_chosen":1,"dlogp_rejected":-1,"position":0,"gained":[{"token":6,"text":" Yes","p_before":0.1,"p_after":0.2,"class":"none"}],"lost":[],"verdict":"none"}
END
run "$PLUMB" report trace.jsonl --format json -q
expect_code 0
expect_out 'Traced pairs that fell: 1. Probability went to tokens of the opposite meaning in 1 of them (catastrophic)'
expect_out '"token":5,"text":" No","class":"denial","mean_gain":0.2}'
expect_out '"token":6,"text":" Yes","class":null,"mean_gain":0.05}'
expect_out '"id": "quadrants"'

begin "explained pairs"
cat >explain.jsonl <<'END'
{"index":0,"row":"00000000000000aa","ln_ches":-1,"minus":3,"plus":4,"prompt":{"ids":[1],"text":"Hm?"},"chosen":{"ids":[1,2],"tokens":["Yes"," <b>"],"text":"Yes <b>","blame":[2,-1]},"rejected":{"ids":[3],"tokens":["No"],"text":"No","blame":[4]},"matrices":{"bin":1,"minus":[[3],[1]],"plus":[[1,0],[0,3]]},"alpha_ches":-1}
END
run "$PLUMB" report explain.jsonl trace.jsonl -q -o explain.html
expect_code 0
grep -q '<span class="t h2" title="blame 2">Yes</span><span class="t c1"[^>]*> &lt;b&gt;</span>' explain.html ||
    complain "tokens are not coloured"
grep -q '"b":\[\[\["Yes"," \\u003cb\\u003e"\],\[2,-1\],0\],\[\["No"\],\[5\],0\]\]' explain.html || complain "no colours in the panel"
grep -q '<rect class="h5" .*<title>3</title></rect>' explain.html || complain "no heat map"

begin "what identify found"
printf '{"kind":"identify",\n "scores":[{"path":"s.jsonl"}],\n "measures":[{"scores":0,"measure":"ches","count":9,"spearman":-0.5,"spearman_low":-0.7,"spearman_high":-0.2,"precision":0.25,"precision_low":0,"precision_high":0.5}]}\n' >identify.json
run "$PLUMB" report identify.json --format json -q
expect_code 0
expect_out '"measure":"ches","pairs":9,"spearman":-0.5,"spearman_low":-0.7'

begin "metrics of an RL run"
printf '{"step":1,"loss":0.1,"reward":0.2,"reward_std":0.4,"frac_reward_zero_std":0.1}\n{"step":2,"loss":0.1,"reward":0.3,"reward_std":0.2,"frac_reward_zero_std":0.6}\n' >metrics.jsonl
run "$PLUMB" report metrics.jsonl --format json -q
expect_code 0
expect_out '{"run":"metrics.jsonl","step":2,"reward":0.3,"reward_std":0.2,"reward_group_std":null,"prompts_without_spread":null,"frac_reward_zero_std":0.6,"kl":null,"objective/kl":null,"generated_tokens":null}'
expect_out 'of the prompts of metrics.jsonl gave no signal'
printf '{"step":1,"objective/scores":0.25,"objective/kl":1.5}\n' >trl-ppo.jsonl # one row, PPO's own names
run "$PLUMB" report trl-ppo.jsonl --format json -q
expect_code 0
expect_out '"step":1,"reward":0.25,"reward_std":null,'
expect_out '"objective/kl":1.5,"generated_tokens":null}'
expect_out 'KL a completion to 1.5'

begin "a run of policy gradient"
run "$PLUMB" rloo "$DATA/models/policy-llama3-chat-sharded" "$DATA/pairs/pairs.chat.jsonl" --limit 8 --reward "$DATA/models/reward-init" \
    --reference "$DATA/models/llama3-chat-sharded" --per_device_train_batch_size 4 --num_iterations 2 --max_completion_length 4 \
    --learning_rate 1e-3 --max_steps 6 --logging_steps 1 --save_strategy no -q -o rloo
expect_code 0
run "$PLUMB" report rloo --format json -q
expect_code 0
# of_last NAME: as it stands in the last row of metrics.jsonl that has a reward
of_last()
{
    grep '"reward":' rloo/metrics.jsonl | tail -n 1 | sed -n "s|.*\"$1\":\([^,}]*\).*|\"$1\":\1|p"
}
row='{"run":"rloo","step":5'
for name in reward reward_std reward_group_std prompts_without_spread frac_reward_zero_std kl; do row="$row,$(of_last $name)"; done
expect_out "$row,\"objective/kl\":null,$(of_last generated_tokens)}"
[ "$(grep -c '"reward":' rloo/metrics.jsonl)" -eq 3 ] || complain "not three generations in six steps"
ok "$PLUMB" report rloo -q -o rloo.html
for title in 'reward, mean and deviation' 'KL a token (nats)' 'prompts without spread' 'generated tokens so far'; do
    grep -qF "rloo: $title over steps" rloo.html || complain "no panel of $title"
done
grep -q 'class="band chosen"' rloo.html || complain "no band of reward_std"
grep -q 'The mean reward of rloo went from' rloo.html || complain "no finding"

# ---- hostile texts ----

begin "hostile texts stay text"
long=$(head -c 100000 /dev/zero | tr '\0' '<')
cat >hostile.jsonl <<'END'
{"prompt":"</script><script>alert(1)</script>","chosen":"<img src=x onerror=alert(2)> & \"quoted\" 'single'","rejected":"‮evil‬ \u0000 NUL 🙂"}
{"prompt":"]]> <!-- --> \u2028 \u2029 \ud83d\ude00","chosen":"=cmd|' /C calc'!A0","rejected":"| table ` code"}
END
printf '{"prompt":"long","chosen":"%s","rejected":"x"}\n' "$long" >>hostile.jsonl
ok "$PLUMB" score "$model" hostile.jsonl -q -o "<b>scores'.jsonl"
run "$PLUMB" report "<b>scores'.jsonl" hostile.jsonl -o hostile.html
expect_code 0
[ "$(grep -o '</script>' hostile.html | wc -l)" -eq 2 ] || complain "a text ends a script element"
[ "$(grep -o '<script' hostile.html | wc -l)" -eq 2 ] || complain "a text begins a script element"
grep -q '<img\|<b>' hostile.html && complain "a text became markup"
[ "$(tr -d '\0' <hostile.html | wc -c)" -eq "$(wc -c <hostile.html)" ] || complain "a zero byte in the page"
grep -q '‮' hostile.html && complain "a mark that turns the direction of text"
grep -q '\\u003c/script\\u003e' hostile.html || complain "the text itself is lost"
[ "$(wc -c <hostile.html)" -lt 150000 ] || complain "a long text is not cut"
run "$PLUMB" report "<b>scores'.jsonl" hostile.jsonl --format md -q
expect_code 0
grep -v '^    ' stdout | grep -q '<b>' && complain "markup in Markdown"
run "$PLUMB" report "<b>scores'.jsonl" hostile.jsonl --format json -q
expect_code 0

# ---- errors ----

begin "inputs that do not fit together"
sed 's/"row":"0000000000001003"/"row":"00000000deadbeef"/' s.jsonl >other.jsonl
run "$PLUMB" report other.jsonl l.jsonl -o x.html
expect_code 2
expect_err "row 3 is 0000000000001003 in one input and 00000000deadbeef in another"
expect_no_file x.html
run "$PLUMB" report s.jsonl other.jsonl
expect_code 2
sed 's/"ln_ches":-7/"ln_ches":7/' s.jsonl >other.jsonl
run "$PLUMB" report s.jsonl other.jsonl
expect_code 2
expect_err "other.jsonl:4: row 3 has two different scores, ln_ches -7 and 7"
run "$PLUMB" report s.jsonl hostile.jsonl
expect_code 2
expect_err "hostile.jsonl: none of its rows is a pair of the other inputs"

begin "inputs that are none"
printf 'one,two\n1,2\n' >table.csv
run "$PLUMB" report table.csv
expect_code 2
expect_err "table.csv"
printf '{"colour":"green"}\n' >green.jsonl
run "$PLUMB" report green.jsonl
expect_code 2
expect_err "green.jsonl: neither a run folder nor rows that plumb report knows"
: >empty.jsonl
run "$PLUMB" report empty.jsonl
expect_code 2
expect_err "empty.jsonl: there are no rows"
mkdir -p folder
run "$PLUMB" report folder
expect_code 2
expect_err "folder: no run: metrics.jsonl and ledger.jsonl are missing or empty"
run "$PLUMB" report missing.jsonl
expect_code 2
expect_err "missing.jsonl"
run_with s.jsonl "$PLUMB" report -
expect_code 2
expect_err "save it to a file first"
run "$PLUMB" report
expect_code 2
printf '{"index":0,"row":"00000000000000aa","ln_ches":1}\n{"index":1,"row":"00000000000000bb","ln_ches":' >cut.jsonl
run "$PLUMB" report cut.jsonl
expect_code 2
expect_err "cut.jsonl:2: not valid JSON"

begin "the output is no input"
run "$PLUMB" report s.jsonl -o s.jsonl
expect_code 2
expect_err "s.jsonl"

mkdir -p over
cp l.jsonl over/ledger.jsonl
echo '{"command":"dpo"}' >over/run.json
for name in ledger.jsonl run.json; do
    run "$PLUMB" report over -o over/$name
    expect_code 2
    expect_err "over/$name: is a file of the model"
done
expect_same l.jsonl over/ledger.jsonl
run "$PLUMB" report over -o over/report.html
expect_code 0
expect_file over/report.html

begin "responses and the pairs that were made of them"
echo '{"index":0,"row":"00000000000000aa","sample":0,"prompt":"a","response":"b"}' >responses.jsonl
run "$PLUMB" report responses.jsonl
expect_code 2
expect_err "responses.jsonl: these are responses of plumb generate, which a report knows only judged"
expect_err "plumb judge responses.jsonl -o judged.jsonl, and give that"
echo '{"prompt":"a","chosen":"b","rejected":"c","by":"label","index":0,"row":"00000000000000aa"}' >paired.jsonl
run "$PLUMB" report paired.jsonl
expect_code 0

begin "ten thousand pairs stay small"
awk 'BEGIN {
    srand(1)
    for (i = 0; i < 10000; i++) {
        row = sprintf("\"index\":%d,\"row\":\"%016x\"", i, i * 2654435761 % 4294967296)
        printf "{%s,\"ches\":%.9g,\"ln_ches\":%.9g,\"last_hidden\":%.9g,\"edit_similarity\":%.9g}\n", row, rand() * 1000, rand() * 100, rand(), rand() > "big.scores.jsonl"
        for (step = 0; step <= 100; step += 50)
            printf "{\"step\":%d,%s,\"logps/chosen\":%.17g,\"logps/rejected\":%.17g}\n", step, row, -40 + (rand() - 0.6) * step, -50 - rand() * step > "big.ledger.jsonl"
    }
}'
run "$PLUMB" report big.scores.jsonl big.ledger.jsonl -o big.html
expect_code 0
[ "$(wc -c <big.html)" -lt 3000000 ] || complain "$(wc -c <big.html) bytes"
grep -q 'The shading counts all 10,000 pairs. [0-9]* have dots and can be opened: 800 drawn at random' big.html ||
    complain "the sample is not told"

finish
