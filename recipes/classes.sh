#!/bin/sh
# Which pairs score highest: two refusals, two compliances, or one of each?
#   sh recipes/classes.sh                                                      on the demo world
#   sh recipes/classes.sh --model gemma-2b-it --pairs pairs.jsonl --out out    on preference data
# Without --pairs, two samples of each prompt make them, as in unalignment.sh (the same folder may be given: what is there
# is used). Writes classes.csv and classes.jsonl. In the paper pairs of one of each have the lowest ln_ches.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"
option model "" "checkpoint folder; without it the demo world"
option prompts "" "prompts, to sample pairs from"
option pairs "" "preference data instead"
sample_options
option limit "" "only so many of the prompts"
option seed 42 "seed of everything random"
option out "" "folder of the results"
parse "$@"
find_samples
if [ -z "$pairs" ]; then
    pairs=$out/pairs.jsonl
    sample_pairs "$pairs"
fi
# shellcheck disable=SC2086
step "$out/sides.jsonl" judge "$pairs" $judge
step "$out/scores.jsonl" score "$model" "$pairs"

# class_table MEASURE: number, mean and quartiles of each class.
class_table() {
    awk -v measure="$1" '
    function field(name) { return match($0, "\"" name "\":[^,}]*") ? substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 3) : "" }
    NR == FNR { label[field("index"), field("sample")] = field("label"); next }
    { one = label[field("index"), 0]; two = label[field("index"), 1]; x = field(measure)
      if (x == "" || x == "null") next
      r = (one == "\"refusal\"") + (two == "\"refusal\""); c = (one == "\"compliance\"") + (two == "\"compliance\"")
      print (r == 2 ? "two refusals" : c == 2 ? "two compliances" : r == 1 && c == 1 ? "one of each" : "other") "\t" sprintf("%.12f", x) }
    ' "$out/sides.jsonl" "$out/scores.jsonl" | sort -t "$(printf '\t')" -k1,1 -k2,2n | awk -F '\t' -v OFS='\t' -v measure="$1" '
    function quantile(q, at, low) { at = (n - 1) * q; low = int(at); return low + 1 < n ? x[low] + (at - low) * (x[low + 1] - x[low]) : x[low] }
    function put() { if (n) print measure, class, n, sprintf("%.9g\t%.9g\t%.9g\t%.9g", sum / n, quantile(.25), quantile(.5), quantile(.75)) }
    $1 != class { put(); class = $1; n = sum = 0 }
    { x[n++] = $2 + 0; sum += $2 }
    END { put() }'
}
printf 'measure\tclass\tpairs\tmean\tq25\tmedian\tq75\n' >"$out/classes.tsv"
for measure in ln_ches ches edit_similarity last_hidden; do class_table "$measure" >>"$out/classes.tsv"; done
table classes "The measures by what the two responses are"
printf '\nMean ln_ches\n\n'
awk -F '\t' -v OFS='\t' '$1 == "ln_ches" && $2 != "other" { print $2, $4, "", "" }' "$out/classes.tsv" >"$out/classes.bars"
ends=$(awk -F '\t' '{ if ($2 < a) a = $2; if ($2 > b) b = $2 } END { print a + 0, b + 0 }' "$out/classes.bars")
bars "${ends% *}" "${ends#* }" <"$out/classes.bars"
rm "$out/classes.bars"
