# Shared by the recipes: options, steps that are done once, tables, bars. A recipe sources it and declares its options:
#
#     set -eu
#     here=$(cd "$(dirname "$0")" && pwd)
#     . "$here/lib.sh"
#     option seed 42 "seed of everything random"
#     parse "$@"
#
# Options become variables of their names. Everything goes to the folder $out; a second run goes on where the first one
# stopped and reuses what is complete.
: "${here:?}"
LC_ALL=C
export LC_ALL
if [ -z "${PLUMB:-}" ]; then
    PLUMB=$here/../build/plumb
    [ -x "$PLUMB" ] || PLUMB=plumb
fi
out=
option_names=
option_help=

say() { printf '%s\n' "$*" >&2; }
fail() {
    printf '%s: error: %s\n' "$(basename "$0")" "$1" >&2
    [ $# -lt 2 ] || printf '  %s\n' "$2" >&2
    exit 2
}

# ---- options ----

# option NAME DEFAULT HELP
option() {
    eval "$1=\$2"
    option_names="$option_names $1"
    default=
    [ -z "$2" ] || default=" [$2]"
    option_help="$option_help$(printf '\n  --%-10s %s%s' "$1" "$3" "$default")"
}

usage() {
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
    printf '\nOptions:%s\n\nPLUMB names the program, PLUMB_WORLD the folder of the demo world, PLUMB_THREADS the threads.\n' "$option_help"
}

parse() {
    while [ $# -gt 0 ]; do
        case $1 in
        -h | --help) usage && exit 0 ;;
        --*=*) name=${1%%=*} value=${1#*=} ;;
        --*)
            name=$1
            [ $# -gt 1 ] || fail "$1 needs a value" "$0 --help tells more"
            value=$2
            shift
            ;;
        *) fail "$1: not an option" "$0 --help lists them" ;;
        esac
        shift
        name=$(printf %s "${name#--}" | tr - _)
        case " $option_names " in
        *" $name "*) eval "$name=\$value" ;;
        *) fail "there is no option --$name" "$0 --help lists them" ;;
        esac
    done
    [ -n "$out" ] || out=$(basename "$0" .sh).out
    mkdir -p "$out/commands"
}

# Options stand in strings that are split at blanks: a world whose path has some is reached by a link.
use_world() {
    case $world in
    *[[:space:]]*)
        case $out in *[[:space:]]*) fail "$out: a name without blanks is needed" "give another folder with --out" ;; esac
        [ -e "$out/world" ] || ln -s "$(cd "$world" && pwd)" "$out/world"
        world=$out/world
        ;;
    esac
}
# The demo world's folder, unless a model is given.
world=
find_world() {
    [ -z "${model:-}" ] || return 0
    for world in "${PLUMB_WORLD:-}" "$here/../world" "$(dirname "$PLUMB")/world" "$here/../../world"; do
        [ -f "$world/model/config.json" ] && use_world && return 0
    done
    fail "the demo world is not there" "give --model and the data, or set PLUMB_WORLD to its folder"
}

# of_world NAME FILE: an option that is not given is a file of the world.
of_world() {
    eval "value=\$$1"
    [ -n "$value" ] || [ -z "$world" ] || [ ! -e "$world/$2" ] || eval "$1=\$world/\$2"
}
# config_of_world NAME FILE FALLBACK: options of a command, as one string: given, or in a file of the world.
config_of_world() {
    eval "value=\$$1"
    [ -z "$value" ] || return 0
    if [ -n "$world" ] && [ -e "$world/$2" ]; then eval "$1=\"--config \$world/\$2\""; else eval "$1=\$3"; fi
}
need() {
    for name in "$@"; do
        eval "value=\$$name"
        [ -n "$value" ] || fail "--$name is missing" "with --model the data are needed too; $0 --help tells more"
    done
}

# ---- steps ----

quoted() {
    for word in "$@"; do
        case $word in
        '' | *[!A-Za-z0-9_./:=,%+@-]*) printf " '%s'" "$(printf %s "$word" | sed "s/'/'\\\\''/g")" ;;
        *) printf ' %s' "$word" ;;
        esac
    done
}

note_of() { printf %s "${1#"$out"/}" | tr / +; }

# step OUTPUT COMMAND ARGUMENTS...: plumb COMMAND ARGUMENTS... -o OUTPUT, unless that was done before. (init takes its OUTPUT
# among the arguments.)
step() {
    made=$1
    shift
    [ "$1" = init ] || set -- "$@" -o "$made"
    note=$out/commands/$(note_of "$made")
    line="plumb$(quoted "$@")"
    if [ -e "$note" ] && [ "$(cat "$note")" != "$line" ]; then
        fail "$made was made by another command: $(cat "$note")" "give another folder with --out, or remove $out"
    fi
    say ""
    if [ -e "$note.done" ] && [ -e "$made" ]; then
        say "= $line"
        return 0
    fi
    say "\$ $line"
    printf '%s\n' "$line" >"$note"
    case $1 in
    sft | dpo | reward | rloo | grpo | ppo) set -- "$@" --resume ;;
    *) [ ! -e "$made.partial" ] || set -- "$@" --resume ;;
    esac
    code=0
    if [ -z "$measured_steps" ]; then
        "$PLUMB" "$@" || code=$?
    else
        timed "$note.cost" "$PLUMB" "$@" || code=$?
    fi
    [ "$code" -eq 0 ] || exit "$code"
    : >"$note.done"
}

# From here on steps are measured: seconds, and where GNU time is, the peak of memory.
measured_steps='' timer=''
measure_steps() {
    measured_steps=1
    /usr/bin/time -q -f %M -o "$out/commands/.timer" true 2>/dev/null && timer=/usr/bin/time
    rm -f "$out/commands/.timer"
}
# timed FILE COMMAND...: adds a line "seconds KiB" to FILE, one for each go at a step that was stopped.
timed() {
    costs=$1
    shift
    if [ -n "$timer" ]; then
        "$timer" -q -a -o "$costs" -f '%e %M' "$@"
    else
        began=$(date +%s) ended=0
        "$@" || ended=$?
        echo "$(($(date +%s) - began)) " >>"$costs"
        return "$ended"
    fi
}
# cost_of OUTPUT: seconds, and the peak in MiB (nothing where it was not measured), of the step that made it.
cost_of() {
    awk '{ seconds += $1; if ($2 > most) most = $2 }
        END { printf "%.9g\t", seconds; if (most) printf "%.9g", most / 1024 }' "$out/commands/$(note_of "$1").cost"
}

# How to name a trained model to plumb generate: with LoRA the run is an adapter of $model.
trained() { if [ -e "$1/adapter_config.json" ]; then printf '%s --adapter %s' "$model" "$1"; else printf %s "$1"; fi; }

# ---- numbers of files ----

# Mean change of ln pi(y+), share of pairs that fell, and pairs, of a run: its ledger's last step against its first.
change_of() {
    awk '{
        match($0, /"step":[0-9]+/); step = substr($0, RSTART + 7, RLENGTH - 7)
        match($0, /"index":[0-9]+/); row = substr($0, RSTART + 8, RLENGTH - 8)
        if (!match($0, /"logps\/chosen":-?[0-9.e+-]+/)) next
        value = substr($0, RSTART + 15, RLENGTH - 15) + 0
        if (!(row in first)) { first[row] = value; n++ }
        last[row] = value
    } END {
        for (row in first) { sum += last[row] - first[row]; fell += last[row] < first[row] }
        if (n) printf "%.9g %.9g %d\n", sum / n, fell / n, n
    }' "$1/ledger.jsonl"
}

# Responses, refusals, compliances, malformed ones (empty or unreadable) of a judged file.
labels_of() {
    awk '/"label":"refusal"/ { r++ } /"label":"compliance"/ { c++ } /"label":"(empty|unreadable)"/ { m++ }
        !/"label":null/ { n++ } END { printf "%d %d %d %d\n", n, r, c, m }' "$1"
}

# The last step of a run, from its ledger.
steps_of() { sed -n 's/.*"step":\([0-9]*\).*/\1/p' "$1/ledger.jsonl" | sort -n | tail -n 1; }

# ---- tables ----

# A table is a file of tab-separated fields with a header; these write it as CSV, as JSON rows, and for people.
as_csv() { awk -F '\t' '{ for (i = 1; i <= NF; i++) {
    x = $i; if (x ~ /[",]/) { gsub(/"/, "\"\"", x); x = "\"" x "\"" }
    printf "%s%s", x, i < NF ? "," : "\n" } }' "$1"; }
as_jsonl() {
    awk -F '\t' 'NR == 1 { for (i = 1; i <= NF; i++) key[i] = $i; next }
    { printf "{"
      for (i = 1; i <= NF; i++) {
        x = $i
        if (x == "") x = "null"
        else if (x !~ /^-?(0|[1-9][0-9]*)(\.[0-9]+)?(e[+-]?[0-9]+)?$/) { gsub(/\\/, "\\\\", x); gsub(/"/, "\\\"", x); x = "\"" x "\"" }
        printf "\"%s\":%s%s", key[i], x, i < NF ? "," : "}\n"
      } }' "$1"
}
as_text() {
    awk -F '\t' '{ for (i = 1; i <= NF; i++) { x = $i; if (NR > 1 && x ~ /^-?[0-9]*\.[0-9]+(e[+-]?[0-9]+)?$/) x = sprintf("%.4g", x)
        cell[NR, i] = x; if (length(x) > wide[i]) wide[i] = length(x) } fields = NF }
    END { for (r = 1; r <= NR; r++) for (i = 1; i <= fields; i++)
        printf "%-" wide[i] "s%s", cell[r, i], i < fields ? "  " : "\n" }' "$1"
}
# table NAME TITLE: from $out/NAME.tsv, printed, and written beside it as .csv and .jsonl.
table() {
    as_csv "$out/$1.tsv" >"$out/$1.csv"
    as_jsonl "$out/$1.tsv" >"$out/$1.jsonl"
    printf '\n%s\n\n' "$2"
    as_text "$out/$1.tsv"
}

# Lines "label <tab> value <tab> low <tab> high" as bars from `least` to `most`, drawn from zero; low and high may be empty.
bars() {
    awk -F '\t' -v least="$1" -v most="$2" -v factor="${3:-1}" -v unit="${4:-}" '
    function at(x) { x = int((x - least) / (most - least) * 50 + .5); return x < 0 ? 0 : x > 50 ? 50 : x }
    { if (length($1) > wide) wide = length($1); label[NR] = $1; value[NR] = $2; low[NR] = $3; high[NR] = $4 }
    END { if (most <= least) most = least + 1
      for (r = 1; r <= NR; r++) {
        from = at(value[r] < 0 ? value[r] : 0); to = at(value[r] < 0 ? 0 : value[r]); line = ""
        for (i = 0; i < 50; i++) line = line (i >= from && i < to ? "#" : low[r] != "" && i >= at(low[r]) && i < at(high[r]) ? "-" : i == at(0) && least < 0 ? "|" : " ")
        tail = low[r] == "" ? "" : sprintf("  [%.1f, %.1f]", low[r] * factor, high[r] * factor)
        printf "%-" wide "s  %s %7.4g%s%s\n", label[r], line, value[r] * factor, unit, tail
      } }'
}
# Wilson interval at 95 %: wilson SUCCESSES TOTAL
wilson() {
    awk -v k="$1" -v n="$2" 'BEGIN { if (!n) exit; z = 1.959963984540054; p = k / n; d = 1 + z * z / n
        m = (p + z * z / (2 * n)) / d; h = z / d * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        printf "%.9g\t%.9g\t%.9g\n", p, (k == 0 ? 0 : m - h), (k == n ? 1 : m + h) }'
}

# ---- pairs of a model's own samples ----

# The options of what makes them.
sample_options() {
    option judge "" "options of plumb judge, in one word: '--judge MODEL --template FILE --answers 0=refusal ...'"
    option generate "" "options of plumb generate, such as '--max_new_tokens 512 --as_message'"
    option pair "" "options of plumb pair: what orders two of a kind, such as '--prefer length'"
}
# Settles them, model and prompts by what the demo world has; $few is the option limit for the commands that read prompts.
find_samples() {
    find_world
    of_world model model
    of_world prompts prompts.train.jsonl
    config_of_world generate generate.yaml "--max_new_tokens 512"
    config_of_world pair pair.yaml ""
    [ -n "$judge" ] || [ -z "$world" ] || judge="--rules $world/judge.yaml"
    few=${limit:+--limit $limit}
}
# sample_pairs FILE: two samples of each prompt, judged, and those of them that make pairs. Recipes name these files alike,
# so that they find what another one has made in the same folder.
sample_pairs() {
    need model prompts
    # shellcheck disable=SC2086
    {
        step "$out/responses.jsonl" generate "$model" "$prompts" $few $generate --n 2 --temperature 1 --seed "$seed"
        step "$out/labels.jsonl" judge "$out/responses.jsonl" $judge
        step "$1" pair "$out/responses.jsonl" --labels "$out/labels.jsonl" $pair
    }
}

# ---- refusal rates ----

# rate NAME MODEL PROMPTS SPLIT: responses of a model are drawn and judged; one row of $out/rates.tsv. Options of the recipe:
# generate, judge, samples, temperature, seed, few.
rate() {
    # shellcheck disable=SC2086
    {
        step "$out/$1.$4.responses.jsonl" generate $2 "$3" $few $generate --n "$samples" --temperature "$temperature" --seed "$seed"
        step "$out/$1.$4.jsonl" judge "$out/$1.$4.responses.jsonl" $judge
    }
    # shellcheck disable=SC2046
    set -- "$1" "$4" $(labels_of "$out/$1.$4.jsonl")
    printf '%s\t%s\t%d\t%s\t%d\t%d\t%d\n' "$1" "$2" "$3" "$(wilson "$4" "$3")" "$4" "$5" "$6" >>"$out/rates.tsv"
}
