# Reads the output of recipes/world_study.sh of several seeds, one file a seed, and tells which criteria of docs/WORLD.md
# hold.    awk -f recipes/world_table.awk seed10.txt seed11.txt ...
function finish(  i, ok, s, k, e, l) {
    if (file == "") return
    ok = 1
    for (i = 1; i <= 3; i++) { if (n[i] == 0 || good[i] < .8 * n[i]) ok = 0; alln[i] += n[i]; allgood[i] += good[i] }
    c[1] = ok
    c[2] = r["start"] - r["full"] >= .15 && x["full"] <= .1
    s = rho["ches"] < rho["ln_ches"] ? rho["ches"] : rho["ln_ches"]
    e = rho["edit_similarity"]; l = rho["last_hidden"]
    c[3] = high["ches"] < low["ches"] && s < -.3 && s < e && s < l
    k = 0
    for (i = 5; i <= 15; i += 10)
        if (r["ln" i] >= r["start"] - .02 && x["ln" i] <= .1 && r["random15"] <= r["start"] - .02 && r["ln" i] > r["sft"]) k = 1
    c[4] = k
    c[5] = rc < rr && rc < cc
    printf "%s | %d/%d %d/%d %d/%d | %.3f | %.3f (%.3f) | %.3f (%.3f) | %.3f (%.3f) | %.3f (%.3f) | %.3f (%.3f) | %.3f (%.3f) | %.3f (%.3f) | %.2f %.2f | %.2f %.2f %.2f %.2f | %.2f %.2f %.2f |", \
        file, good[1], n[1], good[2], n[2], good[3], n[3], r["start"], r["full"], x["full"], r["dpo"], x["dpo"], r["sft"], x["sft"], r["gold"], x["gold"], r["ln5"], x["ln5"], r["ln15"], x["ln15"], r["random15"], x["random15"], low["ches"], high["ches"], rho["ches"], rho["ln_ches"], l, e, rr, rc, cc
    for (i = 1; i <= 5; i++) { printf " %s", c[i] ? "yes" : "no"; total[i] += c[i] }
    print ""
    seeds++
    split("", n); split("", good); split("", r); split("", x); split("", rho); split("", low); split("", high)
}
FNR == 1 { finish(); file = FILENAME; sub(/.*\//, "", file); sub(/[.]txt$/, "", file) }
$1 == "rate" && $3 == "test" { r[$2] = $5; x[$2] = $7 }
$1 == "classes" { rr = $4; rc = $7; cc = $10 }
$1 == "spearman" { rho[$2] = $3 }
$1 == "slices" { low[$2] = $3; high[$2] = $7 }
$1 == "persona" {
    i = $2 == "No>Never" ? 1 : $2 == "Yes>No" ? 2 : 3
    n[i]++
    fell = $10 < (i == 1 ? .5 : 2 / 3) * $6
    good[i] += fell && (i == 3 || (i == 1 ? $12 ~ /^(Sure|Yes|Yep|Yeah|yes|Absolutely)$/ : $16 > .5))
}
END {
    finish()
    printf "criteria:"
    for (i = 1; i <= 5; i++) printf " (%d) %d of %d", i, total[i], seeds
    printf "\npersona runs: No/Never %d of %d, Yes/No %d of %d, Sure/Yes %d of %d\n", allgood[1], alln[1], allgood[2], alln[2], allgood[3], alln[3]
}
