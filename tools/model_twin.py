#!/usr/bin/env python3
"""The models of src/model/ once more, in numpy: to read beside MODEL.md, and to check the C code or a port by.

    python tools/model_twin.py MODEL --ids 5 17 300              hidden states and next-token logits
    python tools/model_twin.py MODEL --prompt 5 17 --chosen 300 2 --rejected 41 2      CHES of a pair
    python tools/model_twin.py --check tests/data                every reference checkpoint against transformers

Reads config.json and *.safetensors of a checkpoint folder. Everything is computed in float64 from the stored weights.
T: tokens, d: hidden size, H, K: heads of queries, of keys and values, D: elements of a head, F: width of the MLP,
V: vocabulary."""
import argparse
import json
import math
import pathlib
import struct
import sys

import numpy as np

TOLERANCE = 2e-4  # of the largest magnitude in a tensor

# What the families differ in; everything else is in config.json. MODEL.md has the table in words.
LLAMA = dict(norm="rms", place="pre", qkv="apart", mlp="gated", act="silu", act_key="hidden_act", theta=1e4, eps=1e-6)
GEMMA = dict(LLAMA, one_plus=True, act="gelu_pytorch_tanh", embed_scaled=True, tied=True, head_dim=256)
GEMMA2 = dict(GEMMA, act_key="hidden_activation", place="sandwich", scalar=256, window=4096, kv=4)
FROM_LAYER = lambda i, c: i >= c.get("max_window_layers", 28)
FAMILIES = {
    "olmo": dict(LLAMA, norm="layer", weightless=True, eps=1e-5, eps_key=None, clips=True),
    "olmo2": dict(LLAMA, place="post", qk_norm="whole", eps=1e-5),
    "gemma": dict(GEMMA, kv=16),
    "gemma2": dict(GEMMA2, caps=(50.0, 30.0), sliding=lambda i, c: i % 2 == 0),
    "gemma3_text": dict(GEMMA2, caps=(None, None), qk_norm="heads", theta=1e6, local_theta=1e4,
                        sliding=lambda i, c: (i + 1) % c.get("sliding_window_pattern", 6) != 0),
    "llama": LLAMA,
    "mistral": dict(LLAMA, window=4096, kv=8, sliding=lambda i, c: True, unlisted=True),
    "qwen2": dict(LLAMA, window=4096, window_key="use_sliding_window", kv=32, sliding=FROM_LAYER),
    "qwen3": dict(LLAMA, window=4096, window_key="use_sliding_window", kv=32, sliding=FROM_LAYER, qk_norm="heads",
                  head_dim=128),
    "phi3": dict(LLAMA, eps=1e-5, qkv="stacked", mlp="stacked", sliding=lambda i, c: True, unlisted=True,
                 rotary_key="partial_rotary_factor", rotary=1.0),
    "gpt_neox": dict(LLAMA, norm="layer", qkv="interleaved", mlp="plain", act="gelu", eps=1e-5,
                     eps_key="layer_norm_eps", theta_key="rotary_emb_base", rotary_key="rotary_pct", rotary=0.25),
}
NEOX_NAMES = {"model.embed_tokens": "gpt_neox.embed_in", "model.norm": "gpt_neox.final_layer_norm",
              "lm_head": "embed_out", "model.layers": "gpt_neox.layers",
              "self_attn.qkv_proj": "attention.query_key_value",
              "self_attn.o_proj": "attention.dense", "mlp.up_proj": "mlp.dense_h_to_4h",
              "mlp.down_proj": "mlp.dense_4h_to_h"}


def read_safetensors(path):
    """{name: float64 array} of one file: 8 bytes of length, a JSON header, the data."""
    raw = pathlib.Path(path).read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    out = {}
    for name, t in json.loads(raw[8:8 + size]).items():
        if name == "__metadata__":
            continue
        begin, end = t["data_offsets"]
        data = raw[8 + size + begin:8 + size + end]
        if t["dtype"] == "BF16":  # the upper half of an fp32 number
            values = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            values = np.frombuffer(data, {"F32": "<f4", "F16": "<f2", "F64": "<f8", "I64": "<i8"}[t["dtype"]])
        out[name] = values.reshape(t["shape"]).astype(np.float64)
    return out


class Model:
    """A checkpoint: its weights by name, and its config.json in one form."""

    def __init__(self, folder):
        self.weights = {}
        for path in sorted(pathlib.Path(folder).glob("*.safetensors")):
            self.weights.update(read_safetensors(path))
        c = json.loads(pathlib.Path(folder, "config.json").read_text())
        f = self.family = FAMILIES[c["model_type"]]
        get = lambda key, default=None: default if c.get(key) is None else c[key]
        self.d, self.layers, self.H = c["hidden_size"], c["num_hidden_layers"], c["num_attention_heads"]
        self.K = c.get("num_key_value_heads", f.get("kv")) or self.H
        self.D = get("head_dim", f.get("head_dim", self.d // self.H))
        self.eps = get(f.get("eps_key", "rms_norm_eps"), f["eps"])
        self.act = get(f["act_key"], f["act"])
        if f is FAMILIES["gemma"] and self.act == "gelu":
            self.act = "gelu_pytorch_tanh"  # what the first Gemma's configs mean
        self.tied = get("tie_word_embeddings", f.get("tied", False))
        self.clip = get("clip_qkv") if f.get("clips") else None
        self.scale = (get("query_pre_attn_scalar", f["scalar"]) if "scalar" in f else self.D) ** -0.5
        caps = f.get("caps", (None, None))  # a key that is null means none, a missing one the default
        self.attention_cap, self.final_cap = (c.get(key, cap) if "caps" in f else None for key, cap in zip(
            ("attn_logit_softcapping", "final_logit_softcapping"), caps))
        self.parallel = f is FAMILIES["gpt_neox"] and get("use_parallel_residual", True)
        used = get(f.get("window_key"), "window_key" not in f)
        self.window = c.get("sliding_window", f.get("window")) if used else None
        listed = None if f.get("unlisted") else c.get("layer_types")
        self.sliding = [bool(listed[i] == "sliding_attention" if listed else "sliding" in f and f["sliding"](i, c))
                        for i in range(self.layers)]
        given = get("rope_parameters", {})  # form 5: one object, or one for each kind of layer; form 4: keys at the top
        full = {"rope_theta": get(f.get("theta_key", "rope_theta"), f["theta"]), **given.get("full_attention", given),
                **get("rope_scaling", {})}
        local = {"rope_theta": get("rope_local_base_freq", f.get("local_theta")), **given.get("sliding_attention", {})}
        share = full.get("partial_rotary_factor", get(f["rotary_key"], f["rotary"])) if "rotary" in f else 1.0
        self.frequencies = [rope_frequencies(r, int(self.D * share), c["max_position_embeddings"])
                            for r in (full, local if "local_theta" in f else full)]

    def find(self, stem, suffix):
        """A tensor by Llama's name of it; None where there is none."""
        for name, neox in NEOX_NAMES.items() if self.family is FAMILIES["gpt_neox"] else ():
            stem = stem.replace(name, neox)
        return self.weights.get(stem + suffix)

    def linear(self, x, stem):
        """x [T][k] -> [T][n]: weights are stored [n][k]."""
        bias = self.find(stem, ".bias")
        return x @ self.find(stem, ".weight").T + (0 if bias is None else bias)

    def norm(self, x, stem):
        """Over the last axis: (x - mean) / sqrt(var + eps) or x / sqrt(mean(x^2) + eps), times w or 1 + w."""
        if self.family["norm"] == "layer":
            x = x - x.mean(-1, keepdims=True)
        y = x / np.sqrt((x * x).mean(-1, keepdims=True) + self.eps)
        if self.family.get("weightless"):
            return y
        w, bias = self.find(stem, ".weight"), self.find(stem, ".bias")
        return y * (1 + w if self.family.get("one_plus") else w) + (0 if bias is None else bias)


def rope_frequencies(r, rotary, positions):
    """[rotary / 2]: the angle that one position adds to each pair."""
    f = float(r["rope_theta"]) ** (-np.arange(0, rotary, 2) / rotary)
    kind = r.get("rope_type", r.get("type", "default"))
    if kind == "linear":
        return f / r["factor"]
    if kind == "llama3":  # long waves are stretched by `factor`, short ones stay, those between are blended
        original, low = r.get("original_max_position_embeddings", positions), r["low_freq_factor"]
        blend = np.clip((original * f / (2 * math.pi) - low) / (r["high_freq_factor"] - low), 0, 1)
        return (1 - blend) * f / r["factor"] + blend * f
    assert kind == "default", f"rope scaling {kind} is not supported"
    return f


def rotate(x, frequencies):
    """x [T][heads][D]: element i and element i + rotary / 2 are turned together; the rest stays (half-split form)."""
    angle = np.arange(len(x))[:, None, None] * frequencies
    half = len(frequencies)
    a, b = x[..., :half], x[..., half:2 * half]
    turned = [a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)]
    return np.concatenate(turned + [x[..., 2 * half:]], -1)


def activate(name, x):
    if name in ("silu", "swish"):
        return x / (1 + np.exp(-x))
    if name == "gelu":
        return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))
    if name == "relu":
        return np.maximum(x, 0)
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))


def soft_cap(x, cap):
    return cap * np.tanh(x / cap) if cap else x


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def project(m, at, n):
    """q [T][H][D], k and v [T][K][D]."""
    T, form = len(n), m.family["qkv"]
    if form == "interleaved":  # head by head: q, k, v of head 0, then of head 1, ...
        q, k, v = np.moveaxis(m.linear(n, at + "self_attn.qkv_proj").reshape(T, m.H, 3, m.D), 2, 0)
    elif form == "stacked":  # all q, then all k, then all v
        q, k, v = np.split(m.linear(n, at + "self_attn.qkv_proj"), [m.H * m.D, (m.H + m.K) * m.D], axis=-1)
    else:
        q, k, v = (m.linear(n, f"{at}self_attn.{x}_proj") for x in "qkv")
    if m.clip:
        q, k, v = (np.clip(x, -m.clip, m.clip) for x in (q, k, v))
    if m.family.get("qk_norm") == "whole":
        q, k = m.norm(q, at + "self_attn.q_norm"), m.norm(k, at + "self_attn.k_norm")
    q, k, v = q.reshape(T, m.H, m.D), k.reshape(T, m.K, m.D), v.reshape(T, m.K, m.D)
    if m.family.get("qk_norm") == "heads":
        q, k = m.norm(q, at + "self_attn.q_norm"), m.norm(k, at + "self_attn.k_norm")
    return q, k, v


def attention(m, at, n, sliding):
    q, k, v = project(m, at, n)
    q, k = rotate(q, m.frequencies[sliding]), rotate(k, m.frequencies[sliding])
    k, v = (np.repeat(x, m.H // m.K, axis=1) for x in (k, v))  # head h reads key/value head h // (H / K)
    scores = soft_cap(np.einsum("thd,shd->hts", q, k) * m.scale, m.attention_cap)
    distance = np.arange(len(n))[:, None] - np.arange(len(n))
    seen = distance >= 0
    if sliding and m.window:
        seen &= distance < m.window  # the query's own position counts
    mixed = np.einsum("hts,shd->thd", softmax(np.where(seen, scores, -np.inf)), v)
    return m.linear(mixed.reshape(len(n), m.H * m.D), at + "self_attn.o_proj")


def mlp(m, at, n):
    if m.family["mlp"] == "plain":
        return m.linear(activate(m.act, m.linear(n, at + "mlp.up_proj")), at + "mlp.down_proj")
    if m.family["mlp"] == "stacked":
        gate, up = np.split(m.linear(n, at + "mlp.gate_up_proj"), 2, axis=-1)
    else:
        gate, up = m.linear(n, at + "mlp.gate_proj"), m.linear(n, at + "mlp.up_proj")
    return m.linear(activate(m.act, gate) * up, at + "mlp.down_proj")


def layer(m, i, x):
    at, sliding = f"model.layers.{i}.", m.sliding[i]
    norm = lambda y, stem: m.norm(y, at + stem)
    if m.family["place"] == "post":  # OLMo 2
        x = x + norm(attention(m, at, x, sliding), "post_attention_layernorm")
        return x + norm(mlp(m, at, x), "post_feedforward_layernorm")
    mixed = attention(m, at, norm(x, "input_layernorm"), sliding)
    if m.family["place"] == "sandwich":  # Gemma 2, 3
        x = x + norm(mixed, "post_attention_layernorm")
        return x + norm(mlp(m, at, norm(x, "pre_feedforward_layernorm")), "post_feedforward_layernorm")
    before = x if m.parallel else x + mixed  # GPT-NeoX: both branches read the stream before either is added
    return x + mixed + mlp(m, at, norm(before, "post_attention_layernorm"))


def forward(m, ids):
    """[layers + 1][T][d]: the stream before each layer, and last the final hidden states h (after the final norm)."""
    x = m.find("model.embed_tokens", ".weight")[ids] * (math.sqrt(m.d) if m.family.get("embed_scaled") else 1)
    stream = []
    for i in range(m.layers):
        stream.append(x)
        x = layer(m, i, x)
    return np.stack(stream + [m.norm(x, "model.norm")])


def logits(m, h):
    return soft_cap(h @ m.find("model.embed_tokens" if m.tied else "lm_head", ".weight").T, m.final_cap)


def logps(m, h, ids):
    """[T - 1]: log-probability of each token after the first."""
    z = logits(m, h[:-1])
    z = z - z.max(-1, keepdims=True)
    return z[np.arange(len(z)), ids[1:]] - np.log(np.exp(z).sum(-1))


def ches(m, prompt, chosen, rejected):
    """<S+,S-> - |S+|^2 and the length-normalised form, with the sum of magnitudes that an error is measured by."""
    def states(response):  # the states that predict the response: from the last token of the prompt on
        return forward(m, np.array(prompt + response))[-1][len(prompt) - 1:-1].sum(0)
    plus, minus, n, k = states(chosen), states(rejected), len(chosen), len(rejected)
    dot, square = plus @ minus, plus @ plus
    return dot - square, dot / (n * k) - square / n ** 2, abs(dot) + square


def check(data):
    """The largest difference of each checkpoint, relative to the largest magnitude of the tensor."""
    worst = 0.0
    print(f"{'checkpoint':24} {'hidden':>9} {'logits':>9} {'logps':>9} {'ches':>9}")
    for expected in sorted(pathlib.Path(data, "expected").glob("*/forward.safetensors")):
        m = Model(pathlib.Path(data, "models", expected.parent.name))
        want = read_safetensors(expected)
        ids = want["ids"].astype(int)
        h = forward(m, ids)
        pair = json.loads((expected.parent / "scores.jsonl").read_text().splitlines()[0])
        score, _, size = ches(m, pair["prompt_ids"], pair["chosen_ids"], pair["rejected_ids"])
        relative = lambda got, key: np.abs(got - want[key]).max() / np.abs(want[key]).max()
        row = [max(np.abs(a - b).max() / np.abs(b).max() for a, b in zip(h, want["hidden"])),
               relative(logits(m, h[-1]), "logits"), relative(logps(m, h[-1], ids), "logps"),
               abs(score - pair["ches"]) / size]
        print(f"{expected.parent.name:24} " + " ".join(f"{x:9.2g}" for x in row))
        worst = max(worst, *(x if x == x else math.inf for x in row))
    if not worst:
        sys.exit(f"{data}: no expected/*/forward.safetensors")
    print(f"largest {worst:.2g}, allowed {TOLERANCE:g}")
    return worst <= TOLERANCE


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("model", nargs="?", help="a checkpoint folder")
    p.add_argument("--check", metavar="DATA", help="a folder with models/ and expected/")
    for key in ("ids", "prompt", "chosen", "rejected"):
        p.add_argument("--" + key, nargs="+", type=int, metavar="ID")
    a = p.parse_args()
    np.seterr(over="ignore")  # exp of a large number is meant to be infinite in silu
    if a.check:
        sys.exit(not check(a.check))
    if not a.model or not (a.ids or (a.prompt and a.chosen and a.rejected)):
        p.error("give MODEL with --ids, or with --prompt, --chosen and --rejected; or --check DATA")
    m = Model(a.model)
    if a.ids:
        h = forward(m, np.array(a.ids))[-1]
        z = logits(m, h)
        for t, token in enumerate(a.ids):
            best = ", ".join(f"{i}: {z[t][i]:.6g}" for i in np.argsort(-z[t])[:3])
            print(f"token {token}: h {np.array2string(h[t][:4], precision=5)}..., |h| {np.linalg.norm(h[t]):.6g}, "
                  f"logits {best}")
    else:
        print("ches %.9g  ln_ches %.9g" % ches(m, a.prompt, a.chosen, a.rejected)[:2])


if __name__ == "__main__":
    main()
