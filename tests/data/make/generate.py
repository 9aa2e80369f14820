"""expected/NAME/generate.json: greedy continuations by transformers, 24 new tokens, of the prompts that stand there.

Every token of a prompt is attended to. Without an attention_mask of its own, generate() hides prompt tokens whose id is
that of the pad token; with pad_token_id=0 these are the BOS tokens of the two llama3 checkpoints.
Run:  python make/generate.py [NAME ...]
"""
import json, pathlib, sys
import torch
from transformers import AutoModelForCausalLM

ROOT = pathlib.Path(__file__).resolve().parent.parent
torch.set_num_threads(1)

for path in sorted(ROOT.glob("expected/*/generate.json")):
    name = path.parent.name
    if sys.argv[1:] and name not in sys.argv[1:]:
        continue
    model = AutoModelForCausalLM.from_pretrained(ROOT / "models" / name, dtype=torch.float32).eval()
    rows = []
    for row in json.loads(path.read_text()):
        prompt = torch.tensor([row["prompt_ids"]])
        with torch.no_grad():
            ids = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=24, do_sample=False, pad_token_id=0)
        rows.append(dict(prompt_ids=row["prompt_ids"], new_ids=ids[0].tolist()[len(row["prompt_ids"]):]))
    path.write_text(json.dumps(rows) + "\n")
    print(name, flush=True)
