"""Negative Token Hidden Reward (arXiv 2505.18830, eq. 5, 7, 8 and algorithm 1) of the groups of rl-data.json, in PyTorch.

In the matrix form of the paper's appendix 7.4, with M the sum over the tokens of good completions of the outer products
g h' (g = e_y - pi over the whole vocabulary, h the state that predicts y, after the last norm):

  s = g' M h of a token;  tau = the least mean of s over the tokens of a good completion;  eta = 2 |0.5 - p|

and of each good completion i, GWHES_i = - sum over completions j of A_j <M_i, M_j>. Advantages are GRPO's (group mean and
deviation with n - 1, + 1e-4); the policy is the tiny checkpoint that expected/rlhf/grpo starts from.

Writes ../expected/nthr.json: one row per prompt: advantages [4], threshold, eta, scores [4][tokens] (null for completions that
are not negative), influence [4] (sum of s of a negative, GWHES of a positive completion), all null where one kind is missing.

Run:  python make/nthr.py
"""
import json, pathlib
import torch
from transformers import AutoModelForCausalLM

ROOT = pathlib.Path(__file__).resolve().parent.parent
POLICY = ROOT / "models" / "policy-llama3-chat-sharded"


def look(model, prompt, completion):
    """g [tokens][vocabulary] and h [tokens][d] of a completion, in float64."""
    ids = torch.tensor([prompt + completion])
    with torch.no_grad():
        out = model(ids, output_hidden_states=True)
    at = slice(len(prompt) - 1, -1)
    g = -torch.softmax(out.logits[0, at].double(), -1)
    g[torch.arange(len(completion)), completion] += 1
    return g, out.hidden_states[-1][0, at].double()


def group(model, row):
    rewards = torch.tensor(row["rewards"], dtype=torch.float64)
    a = (rewards - rewards.mean()) / (rewards.std() + 1e-4)
    good, bad = [i for i in range(4) if a[i] > 0], [i for i in range(4) if a[i] < 0]
    out = dict(advantages=a.tolist(), threshold=None, eta=None, scores=[None] * 4, influence=[None] * 4)
    if not good or not bad:
        return out
    g, h = zip(*(look(model, row["prompt_ids"], c) for c in row["completion_ids"]))
    m = [g[i].T @ h[i] for i in range(4)]
    total = sum(m[i] for i in good)
    s = [((g[i] @ total) * h[i]).sum(-1) for i in range(4)]
    out["threshold"] = min(s[i].mean().item() for i in good)
    out["eta"] = 2 * abs(0.5 - len(good) / 4)
    for i in bad:
        out["scores"][i] = s[i].tolist()
        out["influence"][i] = s[i].sum().item()
    for i in good:
        out["influence"][i] = -sum((a[j] * (m[i] * m[j]).sum()).item() for j in range(4))
    return out


if __name__ == "__main__":
    model = AutoModelForCausalLM.from_pretrained(POLICY, dtype=torch.float32, attn_implementation="eager")
    rows = json.loads((ROOT / "expected" / "rlhf" / "rl-data.json").read_text())
    out = [group(model, r) for r in rows]
    (ROOT / "expected" / "nthr.json").write_text("[" + ",\n ".join(json.dumps(r) for r in out) + "]\n")
