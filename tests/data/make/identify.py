"""A small case for plumb identify, and its numbers by SciPy and NumPy. Writes ../identify/.
Run:  python make/identify.py     (needs numpy, scipy, xxhash)
"""
import importlib.util, json, math, pathlib

HERE = pathlib.Path(__file__).resolve().parent
spec = importlib.util.spec_from_file_location("plumb_statistics", HERE / "statistics.py")    # draws as src/study/statistics.h has them
draws = importlib.util.module_from_spec(spec)
spec.loader.exec_module(draws)
import numpy as np
import xxhash
from scipy import stats

OUT = HERE.parent / "identify"
ROWS, SEED, RESAMPLES, LEVEL = 48, 7, 60, 0.9
SLICES = ["0", "25", "50:7", "100"]
SKIPPED = {5}               # in both score files; the run skipped it too
SKIPPED_B = {11}            # in b only
CLASSES = ["two_refusals", "two_compliances", "one_of_each"]


def write(name, rows):
    (OUT / name).write_text("".join((r if isinstance(r, str) else json.dumps(r, separators=(",", ":"))) + "\n" for r in rows))


def interval(statistic, n, seed=SEED):
    values = [v for v in (statistic(draws.drawn(seed, r, n)) for r in range(RESAMPLES)) if not math.isnan(v)]
    return [float(np.quantile(values, (1 - LEVEL) / 2)), float(np.quantile(values, (1 + LEVEL) / 2))] if values else [math.nan] * 2


def estimate(statistic, n):
    value = float(statistic(np.arange(n))) if n else math.nan
    return [value] + (interval(statistic, n) if not math.isnan(value) else [math.nan] * 2)


def within(values, top, highest):
    """The share of each item that is among the `top` highest (lowest) ones; ties at the cut share what is left."""
    v = values if highest else -values
    out = np.zeros(len(v))
    for i, x in enumerate(v):
        above, same = (v > x).sum(), (v == x).sum()
        out[i] = min(max((top - above) / same, 0), 1)
    return out


def quietly(f, x, y):
    import warnings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return f(x, y).statistic


def correlations(x, y):
    return dict(spearman=estimate(lambda d: quietly(stats.spearmanr, x[d], y[d]), len(x)), kendall=estimate(lambda d: quietly(stats.kendalltau, x[d], y[d]), len(x)))


def slices(x, y):
    order = np.argsort(x, kind="stable")
    out = []
    for text in SLICES:
        q, _, k = text.partition(":")
        k = int(k) if k else math.ceil(len(x) * 5 / 100)
        first = min(max(round(int(q) / 100 * (len(x) - 1)) - k // 2, 0), len(x) - k)     # Python rounds half to even
        xs, ys = x[order][first:first + k], y[order][first:first + k]
        out.append(dict(slice=f"{q}:{k}", count=k, lowest=float(xs[0]), highest=float(xs[-1]), change=estimate(lambda d: ys[d].mean(), k), displaced=float((ys < 0).mean())))
    return out


def measure(file, name, values, change, scored):
    pairs = np.isfinite(change) & np.isfinite(values)
    x, y = values[pairs], change[pairs]
    top = math.ceil(len(x) * 5 / 100)
    out = dict(scores=file, measure=name, count=len(x), missing=int((np.isfinite(change) & scored & ~pairs).sum()), constant=bool((x == x[0]).all()), top=top, displaced=float((y < 0).mean()))
    nothing = [math.nan] * 3
    if out["constant"]:
        return dict(out, spearman=nothing, kendall=nothing, precision=nothing, top_displaced=nothing, slices=[])
    return dict(out, **correlations(x, y), precision=estimate(lambda d: (within(x[d], top, True) * within(y[d], top, False)).sum() / top, len(x)),
                top_displaced=estimate(lambda d: (within(x[d], top, True) * (y[d] < 0)).sum() / top, len(x)), slices=slices(x, y))


def main():
    OUT.mkdir(exist_ok=True)
    rng = np.random.default_rng(61)
    labels = [rng.choice(["refusal", "compliance", "refusal", "compliance", "evasive"], 2).tolist() for _ in range(ROWS)]
    data = [json.dumps(dict(prompt=f"q{i}", chosen=f"good {i}", rejected=f"bad {i}", labels=labels[i], said=labels[i][0], unsaid=labels[i][1])) for i in range(ROWS)]
    hashes = [xxhash.xxh3_64_hexdigest(d.encode()) for d in data]
    latent = rng.normal(size=ROWS)
    measures = [dict(ches=np.round(latent * 50, 3), ln_ches=np.round(latent + 0.3 * rng.normal(size=ROWS), 4), edit_similarity=np.round(rng.integers(0, 5, ROWS) / 4, 2), flat=np.full(ROWS, 2.5),
                     tokens=rng.integers(3, 9, ROWS).astype(float)),
                dict(ches=np.round(latent * 40 + 20 * rng.normal(size=ROWS), 3), ln_ches=np.round(latent + rng.normal(size=ROWS), 1), rate=np.round(rng.normal(size=ROWS), 3))]
    measures[0]["ln_ches"][[3, 9]] = math.nan
    start = np.round(-20 + 4 * rng.normal(size=(ROWS, 2)), 6)
    middle = np.round(start + 0.2 * rng.normal(size=(ROWS, 2)), 6)
    end = np.round(start + np.stack([0.4 - latent + 0.5 * rng.normal(size=ROWS), -3 + rng.normal(size=ROWS)], 1), 6)
    end[20] = start[20]              # no change
    end[30, 0] = math.nan            # diverged there
    write("data.jsonl", data)
    for f, name in enumerate(("a.jsonl", "b.jsonl")):
        skipped = SKIPPED | (SKIPPED_B if f else set())
        for i in skipped:
            for m in measures[f].values(): m[i] = math.nan
        write(name, [dict(index=i, row=hashes[i], skipped="prompt_too_long") if i in skipped else
                     dict(index=i, row=hashes[i], **{k: (None if math.isnan(v[i]) else int(v[i]) if k == "tokens" else float(v[i])) for k, v in measures[f].items()}, truncated=False) for i in range(ROWS)])
    order = rng.permutation([i for i in range(ROWS) if i not in SKIPPED])
    write("ledger.jsonl", [json.dumps({"step": s, "index": int(i), "row": hashes[i], "logps/chosen": None if math.isnan(v[i, 0]) else v[i, 0], "logps/rejected": v[i, 1]})
                           for s, v in ((0, start), (4, middle), (8, end)) for i in order])
    write("labels.jsonl", [dict(index=i, row=hashes[i], sample=s, label=labels[i][s], score=1.0, judge="rules") for i in range(ROWS) if i != 40 for s in (0, 1)])

    change = end[:, 0] - start[:, 0]
    change[list(SKIPPED)] = math.nan
    finite = change[np.isfinite(change)]
    scored = [np.array([i not in (SKIPPED | (SKIPPED_B if f else set())) for i in range(ROWS)]) for f in (0, 1)]
    classes = []
    group = np.array([-1 if i == 40 or set(labels[i]) - {"refusal", "compliance"} else 2 if labels[i][0] != labels[i][1] else int(labels[i][0] == "compliance") for i in range(ROWS)])
    for f in (0, 1):
        for name in ("ches", "ln_ches"):
            pairs = (group >= 0) & np.isfinite(measures[f][name])
            x, g = measures[f][name][pairs], group[pairs]
            quantiles = [[float(q) for q in np.quantile(x[g == k], (0.25, 0.5, 0.75))] for k in range(3)]
            classes.append(dict(scores=f, measure=name, groups=[dict({"class": CLASSES[k]}, count=int((g == k).sum()), mean=float(x[g == k].mean()), q25=quantiles[k][0], median=quantiles[k][1],
                                                                     q75=quantiles[k][2]) for k in range(3)],
                                differences=[dict(of=CLASSES[a], minus=CLASSES[b], mean=estimate(lambda d: x[d][g[d] == a].mean() - x[d][g[d] == b].mean() if (g[d] == a).any() and (g[d] == b).any() else math.nan, len(x)))
                                             for a, b in ((0, 2), (1, 2), (0, 1))]))
    by_column = [-1 if set(l) - {"refusal", "compliance"} else 2 if l[0] != l[1] else int(l[0] == "compliance") for l in labels]     # row 40 too
    models = []
    for name in ("ches", "ln_ches"):
        pairs = np.isfinite(measures[0][name]) & np.isfinite(measures[1][name])
        models.append(dict(scores=[0, 1], measure=name, count=int(pairs.sum()), **correlations(measures[0][name][pairs], measures[1][name][pairs])))
    expected = dict(steps=[0, 8], pairs=len(finite), skipped=1, unmatched=0, not_numbers=1, displaced=int((finite < 0).sum()), change=estimate(lambda d: finite[d].mean(), len(finite)),
                    middle_change=float((middle[:, 0] - start[:, 0])[[i for i in range(ROWS) if i not in SKIPPED]].mean()),
                    measures=[measure(f, k, v, change, scored[f]) for f in (0, 1) for k, v in measures[f].items()], models=models, classes=classes,
                    class_counts={**{CLASSES[k]: int((group == k).sum()) for k in range(3)}, "other": int((group < 0).sum())},
                    column_class_counts={**{CLASSES[k]: by_column.count(k) for k in range(3)}, "other": by_column.count(-1)})
    clean = lambda x: None if isinstance(x, float) and math.isnan(x) else {k: clean(v) for k, v in x.items()} if isinstance(x, dict) else [clean(v) for v in x] if isinstance(x, list) else x
    (OUT / "expected.json").write_text(json.dumps(dict(seed=SEED, resamples=RESAMPLES, level=LEVEL, slices=SLICES, **clean(expected)), indent=1) + "\n")


if __name__ == "__main__":
    main()
