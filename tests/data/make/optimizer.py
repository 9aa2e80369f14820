"""Steps of torch.optim as transformers' Trainer sets them up, clipping, and which parameters decay: ../expected/optimizer.json.
  start, gradients   one flat parameter and its gradient at each step (float32)
  runs               optim, optim_args, adam_* and weight_decay, the learning rate per step; `after` = the parameter after each step,
                     `state` = torch's state after the last
  clip               tensors by name, max_norm, total norm, and what clip_grad_norm_ leaves
  decays             per checkpoint of ../models: parameter names with and without weight decay, by Trainer.get_decay_parameter_names

Run:  python make/optimizer.py       (torch 2.15, transformers 5.23)
"""
import json, pathlib, tempfile
import torch
from transformers import AutoConfig, AutoModelForCausalLM, Trainer, TrainingArguments

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "expected" / "optimizer.json"
N, STEPS = 12, 6
RATES = [1e-2, 1e-2, 5e-3, 0.0, 2e-2, 1e-3]
RUNS = [
    dict(optim="adamw_torch"), dict(optim="adamw_torch", weight_decay=0.1),
    dict(optim="adamw_torch_fused", weight_decay=0.01, adam_beta1=0.8, adam_beta2=0.99, adam_epsilon=1e-3), dict(optim="adamw_torch", adam_beta1=0.3, adam_beta2=0.4),
    dict(optim="rmsprop"), dict(optim="rmsprop", weight_decay=0.1), dict(optim="rmsprop", optim_args="momentum=0.9,alpha=0.9"),
    dict(optim="rmsprop", optim_args="momentum=0.5, centered=True, eps=1e-4", weight_decay=0.05), dict(optim="rmsprop", optim_args="centered=yes"),
    dict(optim="sgd"), dict(optim="sgd", weight_decay=0.1), dict(optim="sgd", optim_args="momentum=0.9"),
    dict(optim="sgd", optim_args="momentum=0.9,dampening=0.3", weight_decay=0.2), dict(optim="sgd", optim_args="momentum=0.8,nesterov=true"),
]
CHECKPOINTS = ["olmo", "olmo2", "gemma-bf16", "gemma2", "gemma3", "llama2", "mistral", "qwen2-bf16", "qwen3", "phi3", "gpt-neox"]


class Flat(torch.nn.Module):
    def __init__(self, start):
        super().__init__()
        self.weight = torch.nn.Parameter(start.clone())


def optimizer_of(start, options):
    with tempfile.TemporaryDirectory() as tmp:
        args = TrainingArguments(output_dir=tmp, use_cpu=True, report_to="none", learning_rate=1e-2, **options)
        return Trainer(model=Flat(start), args=args).create_optimizer()


def run(start, gradients, options):
    optimizer = optimizer_of(start, options)
    p = [q for group in optimizer.param_groups for q in group["params"]][0]
    after = []
    for g, rate in zip(gradients, RATES):
        for group in optimizer.param_groups:
            group["lr"] = rate
        p.grad = g.clone()
        optimizer.step()
        after.append(p.detach().tolist())
    state = {k: v.tolist() for k, v in optimizer.state[p].items() if k != "step" and isinstance(v, torch.Tensor)}
    return dict(**options, rates=RATES, after=after, state=state)


def clip(gen):
    out = []
    for scale, limit in ((3.0, 1.0), (0.01, 1.0), (100.0, 0.3), (0.0, 1.0)):
        names = {"a.weight": 17, "b.bias": 5, "b.weight": 40}
        tensors = {n: torch.nn.Parameter(torch.zeros(k)) for n, k in names.items()}
        for t in tensors.values():
            t.grad = scale * torch.randn(t.shape, generator=gen)
        before = {n: t.grad.tolist() for n, t in tensors.items()}
        norm = torch.nn.utils.clip_grad_norm_(tensors.values(), limit)
        out.append(dict(max_norm=limit, before=before, norm=norm.item(), after={n: t.grad.tolist() for n, t in tensors.items()}))
    return out


def decays():
    out = {}
    for name in CHECKPOINTS:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(ROOT / "models" / name))
        decay = set(Trainer.get_decay_parameter_names(None, model))
        names = sorted(n for n, _ in model.named_parameters())
        out[name] = dict(decay=[n for n in names if n in decay], none=[n for n in names if n not in decay])
    return out


def main():
    gen = torch.Generator().manual_seed(31)
    start = torch.randn(N, generator=gen)
    gradients = [torch.randn(N, generator=gen) * 10.0 ** torch.randint(-3, 3, (N,), generator=gen) for _ in range(STEPS)]
    gradients[0][0], gradients[2][1], start[2] = 0.0, 1e-25, 0.0      # no gradient yet; a square that underflows; a parameter at zero
    for g in gradients:
        g[3] = 0.5                                                  # the same at each step: centred, its variance goes to 0
    OUT.write_text(json.dumps(dict(start=start.tolist(), gradients=[g.tolist() for g in gradients],
                                   runs=[run(start, gradients, dict(r)) for r in RUNS], clip=clip(gen), decays=decays())) + "\n")
    print(OUT.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
