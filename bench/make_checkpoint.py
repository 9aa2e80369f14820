"""Write a random checkpoint with the shapes of a real model (weights ~ N(0, 0.02), bf16), for speed and memory measurements.

python make_checkpoint.py SHAPE OUT [--layers N] [--dtype bfloat16|float32]
SHAPE: olmo-1b | gemma-2b | llama-3-8b | qwen2.5-0.5b.   Tokenizer: the OLMo one (50,280 entries) for olmo-1b, otherwise the
bytes-only tokenizer of the tiny checkpoints is not enough for real text, so all shapes carry the OLMo tokenizer.
Writes shards of at most 2 GB one at a time; llama-3-8b needs 16 GB of disk and 3 GB of memory.
"""
import argparse, json, pathlib, shutil
import torch
from safetensors.torch import save_file

SHAPES = {
    "olmo-1b": dict(model_type="olmo", architectures=["OlmoForCausalLM"], hidden_size=2048, num_hidden_layers=16, num_attention_heads=16,
                    num_key_value_heads=16, intermediate_size=8192, vocab_size=50304, tie_word_embeddings=True, rope_theta=10000.0,
                    max_position_embeddings=2048, hidden_act="silu", clip_qkv=None),
    "gemma-2b": dict(model_type="gemma", architectures=["GemmaForCausalLM"], hidden_size=2048, num_hidden_layers=18, num_attention_heads=8,
                     num_key_value_heads=1, head_dim=256, intermediate_size=16384, vocab_size=256000, tie_word_embeddings=True, rope_theta=10000.0,
                     max_position_embeddings=8192, hidden_act="gelu_pytorch_tanh", rms_norm_eps=1e-6),
    "llama-3-8b": dict(model_type="llama", architectures=["LlamaForCausalLM"], hidden_size=4096, num_hidden_layers=32, num_attention_heads=32,
                       num_key_value_heads=8, intermediate_size=14336, vocab_size=128256, tie_word_embeddings=False, rope_theta=500000.0,
                       max_position_embeddings=8192, hidden_act="silu", rms_norm_eps=1e-5),
    "qwen2.5-0.5b": dict(model_type="qwen2", architectures=["Qwen2ForCausalLM"], hidden_size=896, num_hidden_layers=24, num_attention_heads=14,
                         num_key_value_heads=2, intermediate_size=4864, vocab_size=151936, tie_word_embeddings=True, rope_theta=1000000.0,
                         max_position_embeddings=32768, hidden_act="silu", rms_norm_eps=1e-6),
}


def tensors(c):
    d, ff = c["hidden_size"], c["intermediate_size"]
    hd = c.get("head_dim", d // c["num_attention_heads"])
    q, kv = c["num_attention_heads"] * hd, c["num_key_value_heads"] * hd
    yield "model.embed_tokens.weight", (c["vocab_size"], d)
    norms = c["model_type"] != "olmo"
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        for n, s in (("self_attn.q_proj", (q, d)), ("self_attn.k_proj", (kv, d)), ("self_attn.v_proj", (kv, d)), ("self_attn.o_proj", (d, q)),
                     ("mlp.gate_proj", (ff, d)), ("mlp.up_proj", (ff, d)), ("mlp.down_proj", (d, ff))):
            yield f"{p}{n}.weight", s
            if c["model_type"] == "qwen2" and n[-6] in "qkv" and "self_attn" in n and "o_proj" not in n:
                yield f"{p}{n}.bias", (s[0],)
        if norms:
            yield p + "input_layernorm.weight", (d,)
            yield p + "post_attention_layernorm.weight", (d,)
    if norms:
        yield "model.norm.weight", (d,)
    if not c["tie_word_embeddings"]:
        yield "lm_head.weight", (c["vocab_size"], d)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("shape", choices=SHAPES)
    ap.add_argument("out", type=pathlib.Path)
    ap.add_argument("--layers", type=int)
    ap.add_argument("--dtype", default="bfloat16")
    a = ap.parse_args()
    c = dict(SHAPES[a.shape], torch_dtype=a.dtype, attention_bias=False, bos_token_id=None, eos_token_id=50279, pad_token_id=1)
    if a.layers:
        c["num_hidden_layers"] = a.layers
    dtype = getattr(torch, a.dtype)
    a.out.mkdir(parents=True, exist_ok=True)
    gen, shards, shard, size = torch.Generator().manual_seed(0), [], {}, 0
    for name, shape in tensors(c):
        one = torch.ones(shape) if "norm" in name and a.shape != "gemma-2b" else torch.randn(shape, generator=gen) * 0.02
        shard[name] = one.to(dtype)
        size += shard[name].numel() * shard[name].element_size()
        if size > 2e9:
            shards.append(list(shard)); save_file(shard, a.out / f"part-{len(shards)}.safetensors", metadata={"format": "pt"}); shard, size = {}, 0
    if shard:
        shards.append(list(shard)); save_file(shard, a.out / f"part-{len(shards)}.safetensors", metadata={"format": "pt"})
    n = len(shards)
    names = {}
    for i, keys in enumerate(shards, 1):
        new = "model.safetensors" if n == 1 else f"model-{i:05d}-of-{n:05d}.safetensors"
        (a.out / f"part-{i}.safetensors").rename(a.out / new)
        names |= {k: new for k in keys}
    if n > 1:
        (a.out / "model.safetensors.index.json").write_text(json.dumps(dict(metadata={}, weight_map=names)))
    (a.out / "config.json").write_text(json.dumps(c, indent=1) + "\n")
    data = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data" / "tokenizers"
    shutil.copy(data / "olmo-1b.tokenizer.json", a.out / "tokenizer.json")
    (a.out / "tokenizer_config.json").write_text(json.dumps(dict(tokenizer_class="PreTrainedTokenizerFast", eos_token="<|endoftext|>", pad_token="<|padding|>")) + "\n")


if __name__ == "__main__":
    main()
