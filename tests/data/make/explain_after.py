"""What plumb explain --after tells, with transformers and SciPy: ../expected/explain_after.json.

For each checkpoint and its policy, for each pair of the reference's own tokens (../expected/<model>/scores.jsonl): ln pi of both
sides after; and where theory.jsonl has single_token, over the vocabulary at the first token: Spearman's rho between
<W_z, W_y+ - W_y-> (W before) and the change of the logit before the cap, and of the probability; the five tokens that gained most
probability as [token, p_before, p_after, change of the logit].

Run:  python make/explain_after.py      (torch, transformers, scipy)
"""
import json, pathlib
import torch
from scipy.stats import spearmanr
from transformers import AutoModelForCausalLM

ROOT = pathlib.Path(__file__).resolve().parent.parent
torch.set_num_threads(1)


def load(name):
    return AutoModelForCausalLM.from_pretrained(ROOT / "models" / name, dtype=torch.float32, attn_implementation="eager").eval()


@torch.no_grad()
def logps(model, p, y):
    z = model(input_ids=torch.tensor([p + y]), use_cache=False).logits[0].double()
    return torch.log_softmax(z, -1)[len(p) - 1:-1][torch.arange(len(y)), torch.tensor(y)].sum().item()


@torch.no_grad()
def first(model, p):
    out = model(input_ids=torch.tensor([p]), output_hidden_states=True, use_cache=False)
    z = model.get_output_embeddings().weight.double() @ out.hidden_states[-1][0, -1].double()
    cap = getattr(model.config, "final_logit_softcapping", None)
    return z, torch.softmax(torch.tanh(z / cap) * cap if cap else z, -1)


def main():
    out = {}
    for name in ("olmo", "llama3-chat-sharded", "gemma2"):
        before, after, out[name] = load(name), load("policy-" + name), []
        W = before.get_output_embeddings().weight.double()
        rows = [json.loads(l) for l in (ROOT / "expected" / name / "scores.jsonl").open()]
        single = {r["index"] for r in map(json.loads, (ROOT / "expected" / name / "theory.jsonl").open()) if "single_token" in r}
        for r in rows:
            if r.get("skipped"):
                continue
            x = dict(index=r["index"], chosen=logps(after, r["prompt_ids"], r["chosen_ids"]), rejected=logps(after, r["prompt_ids"], r["rejected_ids"]))
            if r["index"] in single:
                (z, p), (z2, p2) = first(before, r["prompt_ids"]), first(after, r["prompt_ids"])
                move = (W @ (W[r["chosen_ids"][0]] - W[r["rejected_ids"][0]])).detach()
                rho = lambda change: float(spearmanr(move.numpy(), change.numpy()).statistic)
                x |= dict(spearman_logit=rho(z2 - z), spearman_probability=rho(p2 - p),
                          gained=[[int(i), p[i].item(), p2[i].item(), (z2 - z)[i].item()] for i in torch.topk(p2 - p, 5).indices])
            out[name].append(x)
    (ROOT / "expected" / "explain_after.json").write_text(json.dumps(out) + "\n")


if __name__ == "__main__":
    main()
