# The mean over prompts of the tables of plumb trace --table --format csv, given one after the other; one row of the seed's
# table, tab-separated: prompts, fell (at the end), halved (at the lowest point), p_before, p_lowest, decrease, then the tokens that gained most on average, of the
# preferred token's class (benign), of the opposite one (catastrophic), and of neither: "token mean-gain, ...".

# Splits a line of CSV into cell[1..]; a quoted field may hold commas and doubled quotes.
function fields(line, n, c, field, inside, i) {
    n = 0
    field = ""
    inside = 0
    for (i = 1; i <= length(line) + 1; i++) {
        c = i > length(line) ? "," : substr(line, i, 1)
        if (inside && c == "\"" && substr(line, i + 1, 1) == "\"") { field = field c; i++ }
        else if (c == "\"") inside = !inside
        else if (c == "," && !inside) { cell[++n] = field; field = "" }
        else field = field c
    }
    return n
}

# Adds the tokens of a cell, "JSON string" gain, "JSON string" gain, to the sums of a kind.
function add(kind, text, i, c, token, gain) {
    while (text ~ /^"/) {
        for (i = 2; (c = substr(text, i, 1)) != "\"" && i <= length(text); i++) if (c == "\\") i++
        token = substr(text, 1, i)
        text = substr(text, i + 2)
        gain = text
        sub(/,.*/, "", gain)
        sub(/^[^,]*,? */, "", text)
        if (!((kind, token) in sum)) { names[kind, ++count[kind]] = token }
        sum[kind, token] += gain
    }
}

# The three tokens with the highest mean gain.
function best(kind, list, k, i, top, at) {
    list = ""
    for (k = 0; k < 3; k++) {
        at = 0
        for (i = 1; i <= count[kind]; i++)
            if (names[kind, i] != "" && (!at || sum[kind, names[kind, i]] > sum[kind, names[kind, at]])) at = i
        if (!at) break
        list = list (list == "" ? "" : ", ") names[kind, at] sprintf(" %.3f", sum[kind, names[kind, at]] / rows)
        names[kind, at] = ""
    }
    return list
}

# The header line of each file is passed over.
/^index,/ { next }
{
    fields($0)
    rows++
    before += cell[4]
    decrease += cell[6]
    fell += cell[7] != "none"
    halved += cell[6] >= cell[4] / 2
    add(1, cell[8])
    add(2, cell[9])
    add(3, cell[10])
}
END {
    if (!rows) exit 1
    printf "%d\t%d\t%d\t%.9g\t%.9g\t%.9g\t%s\t%s\t%s\n", rows, fell, halved, before / rows, (before - decrease) / rows, decrease / rows,
        best(1), best(2), best(3)
}
