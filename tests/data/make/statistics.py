"""Statistics of small lists by SciPy and NumPy. Writes ../statistics.json.
Run:  python make/statistics.py     (needs numpy, scipy)
"""
import json, pathlib, sys

sys.path = [p for p in sys.path if pathlib.Path(p or ".").resolve() != pathlib.Path(__file__).resolve().parent]  # Python has a module of this name
import numpy as np
from scipy import stats

OUT = pathlib.Path(__file__).resolve().parent.parent / "statistics.json"


def philox(seed, stream, counter):
    """Philox 4x32-10 of src/base/random.c; counter is an array."""
    m = np.uint64(0xFFFFFFFF)
    c = [np.asarray(counter, np.uint64) & m, np.asarray(counter, np.uint64) >> np.uint64(32),
         np.full(len(counter), stream & 0xFFFFFFFF, np.uint64), np.full(len(counter), stream >> 32, np.uint64)]
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(b >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), b & m, (a >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), a & m]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c


def drawn(seed, resample, n):
    w = philox(seed, resample, np.arange((n + 1) // 2))
    bits = np.stack([w[0] << np.uint64(32) | w[1], w[2] << np.uint64(32) | w[3]], axis=1).ravel()[:n]
    return np.minimum(((bits >> np.uint64(11)).astype(float) * 2.0 ** -53 * n).astype(int), n - 1)


def number(x):
    return None if np.isnan(x) else float(x)


def bootstrap(statistic, n, resamples, level, seed):
    values = [v for v in (statistic(drawn(seed, r, n)) for r in range(resamples)) if not np.isnan(v)]
    return [float(np.quantile(values, (1 - level) / 2)), float(np.quantile(values, (1 + level) / 2))] if values else [None, None]


def quiet(f, *args):
    import warnings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return f(*args)


def main():
    rng = np.random.default_rng(6)
    pairs = [("distinct", rng.normal(size=40), rng.normal(size=40)), ("related", *(lambda x: (x, x ** 3 + rng.normal(size=60)))(rng.normal(size=60))),
             ("ties", rng.integers(0, 5, 50), rng.integers(0, 4, 50)), ("ties in one", rng.integers(0, 3, 31), rng.normal(size=31)),
             ("two values", rng.integers(0, 2, 25), rng.integers(0, 2, 25)), ("constant", np.full(9, 0.1), rng.normal(size=9)),
             ("both constant", np.full(5, 0.1), np.full(5, 0.7)), ("two", [1, 2], [5, -5]), ("two equal", [1, 1], [5, -5]),
             ("rising", np.arange(12), np.arange(12) ** 2), ("falling", np.arange(12), -np.exp(np.arange(12))),
             ("far from zero", 1e9 + rng.normal(size=30), 1e-9 * rng.normal(size=30)), ("signed zero", [0.0, -0.0, 1, 2, 0.0], [1, 2, 3, 1, 2]),
             ("odd and even runs", rng.integers(0, 7, 129), rng.integers(0, 7, 129)), ("large", rng.normal(size=1000).round(1), rng.normal(size=1000).round(1))]
    correlations = []
    for name, x, y in pairs:
        x, y = np.asarray(x, float), np.asarray(y, float)
        correlations.append(dict(name=name, x=x.tolist(), y=y.tolist(), ranks=stats.rankdata(x).tolist(),
                                 pearson=number(quiet(lambda: stats.pearsonr(x, y).statistic)), spearman=number(quiet(lambda: stats.spearmanr(x, y).statistic)),
                                 kendall=number(quiet(lambda: stats.kendalltau(x, y).statistic))))
    lists = [[3.0], [1, 2], [1, 2, 2, 9, -4], rng.normal(size=17).tolist(), rng.normal(size=20).tolist(), [0.1] * 6]
    qs = [0, 0.025, 0.25, 0.5, 0.75, 0.975, 1]
    quantiles = [dict(values=v, mean=float(np.mean(v)), q=qs, out=[float(np.quantile(v, q)) for q in qs]) for v in lists]
    wilson = []
    for k, n in [(0, 1), (1, 1), (0, 20), (20, 20), (7, 20), (1, 1000), (500, 1000), (999, 1000), (123456, 1000000)]:
        ci = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
        wilson.append(dict(k=k, n=n, low=float(ci.low), high=float(ci.high)))
    mcnemar = [dict(b=b, c=c, p=float(min(1, 2 * stats.binom.cdf(min(b, c), b + c, 0.5))) if b + c else 1.0)
               for b, c in [(0, 0), (0, 1), (1, 0), (5, 5), (0, 10), (3, 12), (12, 3), (40, 60), (7, 6), (150, 250), (480, 520), (0, 900), (300, 900)]]
    x, y = np.asarray(pairs[1][1]), np.asarray(pairs[1][2])
    few = np.array([1.0, 1.0, 1.0, 2.0])    # resamples without the last one have no correlation
    boots = [dict(name="mean", x=x.tolist(), y=y.tolist(), resamples=200, level=0.95, seed=3, out=bootstrap(lambda d: x[d].mean(), len(x), 200, 0.95, 3)),
             dict(name="spearman", x=x.tolist(), y=y.tolist(), resamples=200, level=0.9, seed=2 ** 40 + 7,
                  out=bootstrap(lambda d: stats.spearmanr(x[d], y[d]).statistic, len(x), 200, 0.9, 2 ** 40 + 7)),
             dict(name="spearman", x=few.tolist(), y=[1, 2, 3, 4], resamples=50, level=0.95, seed=1,
                  out=bootstrap(lambda d: quiet(lambda: stats.spearmanr(few[d], np.array([1, 2, 3, 4])[d]).statistic), 4, 50, 0.95, 1))]
    OUT.write_text(json.dumps(dict(correlations=correlations, quantiles=quantiles, wilson=wilson, mcnemar=mcnemar, bootstrap=boots,
                                   drawn=[dict(seed=s, resample=r, n=n, out=drawn(s, r, n).tolist()) for s, r, n in ((0, 0, 7), (5, 2, 10), (2 ** 33, 9, 1))])) + "\n")


if __name__ == "__main__":
    main()
