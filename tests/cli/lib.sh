# What the command-line tests share. A script reads this file first, then calls begin, run and the expectations, and
# ends with finish. From ctest: PLUMB (the program), DATA (tests/data), SHARED, SCRATCH.
#
#     . "$(dirname "$0")/lib.sh"
#     begin "help is printed"
#     run "$PLUMB" --help
#     expect_code 0
#     expect_out "Usage: plumb"
#     finish
#
# run leaves the exit code in $code and the output in $work/stdout and $work/stderr. $work is a folder of the script's
# own, empty at the start, and the current folder.
set -u
: "${PLUMB:?}" "${SCRATCH:?}"
[ -x "$PLUMB" ] || {
    echo "$PLUMB is not there: build it first"
    exit 1
}
test_name=$(basename "$0" .sh)
work=$SCRATCH/$test_name
rm -rf "$work"
mkdir -p "$work"
cd "$work" || exit 1
failures=0
case_name=
code=0

# The variables that would change what plumb does.
for name in $(env | sed -n 's/^\(PLUMB_[A-Z_]*\)=.*/\1/p'); do unset "$name"; done
unset NO_COLOR
TERM=dumb
XDG_CACHE_HOME=$SCRATCH/cache # not the user's
export TERM XDG_CACHE_HOME

begin()
{
    case_name=$1
}

complain()
{
    failures=$((failures + 1))
    printf '%s: %s: %s\n' "$test_name" "$case_name" "$1"
    printf -- '--- stdout (beginning)\n'
    head -c 1000 "$work/stdout"
    printf -- '--- stderr (beginning)\n'
    head -c 2000 "$work/stderr"
    printf -- '---\n'
}

run()
{
    "$@" >"$work/stdout" 2>"$work/stderr" </dev/null
    code=$?
}

# run_with STDIN COMMAND...: reads from that file.
run_with()
{
    run_stdin=$1
    shift
    "$@" >"$work/stdout" 2>"$work/stderr" <"$run_stdin"
    code=$?
}

expect_code()
{
    [ "$code" -eq "$1" ] || complain "exit code $code, expected $1"
}

expect_out()
{
    grep -qF -e "$1" "$work/stdout" || complain "not on stdout: $1"
}

expect_err()
{
    grep -qF -e "$1" "$work/stderr" || complain "not on stderr: $1"
}

expect_no_out()
{
    [ ! -s "$work/stdout" ] || complain "stdout is not empty"
}

expect_no_err()
{
    [ ! -s "$work/stderr" ] || complain "stderr is not empty"
}

# expect_same FILE EXPECTED_FILE
expect_same()
{
    cmp -s "$1" "$2" || complain "$1 and $2 differ"
}

# expect_text FILE 'printf format': the file holds exactly this.
expect_text()
{
    # shellcheck disable=SC2059
    printf "$2" >"$work/expected"
    expect_same "$1" "$work/expected"
}

expect_file()
{
    [ -e "$1" ] || complain "$1 is missing"
}

expect_no_file()
{
    [ ! -e "$1" ] || complain "$1 is there"
}

# ok COMMAND...: a step of the test itself that must work.
ok()
{
    "$@" || complain "failed: $*"
}

finish()
{
    [ "$failures" -eq 0 ] || printf '%s: %d failed\n' "$test_name" "$failures"
    exit $((failures != 0))
}
