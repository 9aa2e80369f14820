# The report's page in headless Chromium (report_page.py): no console message, every figure drawn, pairs open by click, key
# and button, light and dark, print, 375 px. Without Chromium or Python it is left out, and says so.
script=$(cd "$(dirname "$0")" && pwd)/report_page.py
. "$(dirname "$0")/lib.sh"
browser=
for name in chromium chromium-browser google-chrome chrome; do
    [ -n "$browser" ] || browser=$(command -v "$name" || true)
done
python=$(command -v python3 || true)
if [ -z "$browser" ] || [ -z "$python" ]; then
    echo "SKIPPED WHOLE: the page is tested in Chromium, and chromium or python3 is not installed"
    exit 77
fi
model=$DATA/models/policy-olmo

page()
{
    run timeout 120 "$python" "$script" "$browser" "$@"
    if [ "$code" -eq 77 ]; then
        echo "SKIPPED WHOLE: $(cat "$work/stdout")"
        exit 77
    fi
    expect_code 0
    expect_no_out
}

cat >pairs.jsonl <<'END'
{"prompt":"</script><script>alert(1)</script>","chosen":"<img src=x onerror=alert(2)> & \"quoted\"","rejected":"‮evil‬ \u0000 NUL 🙂"}
{"prompt":"Would you say this?","chosen":"=cmd|' /C calc'!A0","rejected":"| table ` code"}
{"prompt":"Would you say this?","chosen":"No","rejected":"Yes"}
{"prompt":"Tell me how.","chosen":"I can't help with that.","rejected":"Sorry, I won't help."}
{"prompt":"Tell me how.","chosen":"First look at the lock.","rejected":"Start with the lock."}
{"prompt":"متى؟","chosen":"غدا","rejected":"اليوم"}
END
ok "$PLUMB" score "$model" pairs.jsonl -q -o scores.jsonl
ok "$PLUMB" dpo "$model" pairs.jsonl -o run --ledger_steps 1 --ledger_tokens 3 --max_steps 3 -q
# A ledger by hand, in which every other pair falls.
for step in 0 5 10; do
    sed -n 's/^{\("index":[0-9]*,"row":"[0-9a-f]*"\).*/\1/p' scores.jsonl | awk -v step=$step '{
        change = step / 10 * (NR % 2 ? -3 * NR : NR)
        gained = step ? sprintf("{\"token\":7,\"text\":\"</text>\",\"p_before\":0.1,\"p_after\":%.9g}", 0.1 + step / 20) : ""
        printf "{\"step\":%d,%s,\"logps/chosen\":%.9g,\"logps/rejected\":%.9g,\"gained\":[%s],\"lost\":[],\"position\":0}\n", step, $0, change - 40, -50 - step - NR * step / 9, gained
    }'
done >fell.jsonl
key=$(sed -n 's/^{"index":0,"row":"\([0-9a-f]*\)".*/\1/p' scores.jsonl)
cat >explain.jsonl <<END
{"index":0,"row":"$key","minus":3,"plus":4,"alpha_ches":-1,"prompt":{"ids":[1],"text":"Hm?"},"chosen":{"ids":[1,2],"tokens":["</script>","‮ <b>"],"text":"</script>","blame":[2,-1]},"rejected":{"ids":[3],"tokens":["No"],"text":"No","blame":[4]},"matrices":{"bin":1,"minus":[[3],[1]],"plus":[[1,0],[0,3]]}}
END
printf '{"index":0,"row":"00000000000000aa","sample":0,"label":"refusal","score":1,"judge":"rules"}\n' >judged.jsonl
printf '{"step":1,"reward":0.2,"reward_std":0.4,"frac_reward_zero_std":0.1}\n{"step":2,"reward":0.3,"reward_std":0.2,"frac_reward_zero_std":0.6}\n' >metrics.jsonl
printf '{"kind":"identify","scores":[{"path":"s.jsonl"}],"measures":[{"scores":0,"measure":"ches","count":9,"spearman":-0.5,"spearman_low":-0.7,"spearman_high":-0.2,"precision":0.25,"precision_low":0,"precision_high":0.5}]}\n' >identify.json

begin "every figure, two runs, hostile texts"
ok "$PLUMB" report run fell.jsonl scores.jsonl pairs.jsonl explain.jsonl judged.jsonl metrics.jsonl identify.json -q -o all.html
page all.html --figures 13

begin "one run"
ok "$PLUMB" report fell.jsonl scores.jsonl pairs.jsonl -q -o one.html
page one.html --figures 7

begin "scores alone"
ok "$PLUMB" report scores.jsonl -q -o scores.html
page scores.html --figures 1

begin "the test itself: it sees a broken page"
sed 's/dialog.showModal();//' one.html >broken.html
run timeout 120 "$python" "$script" "$browser" broken.html
expect_code 1
expect_out "log: " # the script is not the one that the policy names

finish
