"""Whole batches through TRL's own DPOTrainer._compute_loss: ../expected/loss_batches.json.

The model is replaced by one that returns given log-probs per token, so that the loss, its gradient by every token's log-prob and
the logged metrics are TRL's alone, in float64 (the one change to TRL's source: alpha_divergence is let through in float64 with the
bound that float32 has there): loss types and mixtures, label smoothing, ld_alpha, f-divergences, use_weighting.
  batches  lists of pairs: head, tail, ref_head, ref_tail [chosen, rejected] = sums of log-probs over the first min(n_w, n_l)
           tokens and over the rest; tokens; aligned = mean of ln p(token) - ln sum_v p(v)^2
  cases    batch (its number), the options, loss, grad_head, grad_tail per pair [chosen, rejected] = d loss / d log-prob of a token
           there (null: no such token), metrics as logged
  refused  sets of options on which TRL fails (weights are multiplied in place), with what it says: no numbers for these

Run:  python make/loss_batches.py       (TRL 1.16, torch 2.15)
"""
import collections, contextlib, inspect, json, pathlib, textwrap
from types import SimpleNamespace
import torch
import trl.trainer.dpo_trainer as trl_dpo

OUT = pathlib.Path(__file__).resolve().parent.parent / "expected" / "loss_batches.json"
TRL = ["sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired", "apo_zero", "apo_down",
       "discopop", "sft", "sigmoid_norm"]
SCORED = ["sigmoid", "sigmoid_norm", "hinge", "ipo", "exo_pair", "robust", "discopop", "sft"]          # those with f-divergences
SMOOTH = {"exo_pair": 0.1, "robust": 0.1, "aot": 0.1, "aot_unpaired": 0.2}


def in_float64():
    source = textwrap.dedent(inspect.getsource(trl_dpo.DPOTrainer._compute_loss))
    for old, new in (("torch.float32: 80.0", "torch.float32: 80.0, torch.float64: 80.0"), ("t_chosen.float()", "t_chosen"), ("t_rejected.float()", "t_rejected")):
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    names = dict(vars(trl_dpo), disable_gradient_checkpointing=lambda *a, **kw: contextlib.nullcontext())
    exec(source, names)
    return names["_compute_loss"]


COMPUTE_LOSS = in_float64()


def batch(gen, lengths, far):
    """Per pair and side: log-probs per token under policy and reference, and ln sum_v p(v)^2."""
    draw = lambda n, scale: -scale * torch.rand(n, generator=gen, dtype=torch.float64)
    pairs = []
    for pair in lengths:
        sides = []
        for n in pair:
            policy = draw(n, 4)
            sides.append((policy, (policy + far * (draw(n, 1) + 0.5)).clamp(max=-1e-3), draw(n, 1) - 0.1))
        pairs.append(sides)
    return pairs


def pad(pairs, k, prompt=2):
    """[2 pairs][length]: value k of every response token behind `prompt` positions, chosen rows first; 0 elsewhere."""
    rows = [pair[side][k] for side in (0, 1) for pair in pairs]
    width = prompt + max(len(r) for r in rows)
    out = torch.zeros(len(rows), width, dtype=torch.float64)
    for i, r in enumerate(rows):
        out[i, prompt - 1:prompt - 1 + len(r)] = r            # already shifted: position t predicts token t + 1
    return out


def run(pairs, options):
    o = dict(beta=0.1, loss_type=["sigmoid"], loss_weights=None, label_smoothing=0.0, ld_alpha=None, f_divergence_type="reverse_kl",
             f_alpha_divergence_coef=0.5, use_weighting=False, discopop_tau=0.05) | options
    policy, ref, squares = (pad(pairs, k) for k in range(3))
    policy.requires_grad_()
    mask = torch.zeros(policy.shape, dtype=torch.long)
    rows = [pair[side][0] for side in (0, 1) for pair in pairs]
    for i, r in enumerate(rows):
        mask[i, 2:2 + len(r)] = 1
    shifted = mask.shape[1] - 1

    def model_of(values):
        cut = values[:, :shifted]
        blank = torch.zeros_like(cut)
        return lambda **kw: SimpleNamespace(log_probs=cut, log_sum_sq_probs=squares[:, :shifted], entropy=blank, mean_logits=blank,
                                            is_top1=blank.bool())
    same = lambda x: x
    me = SimpleNamespace(
        model=SimpleNamespace(training=True), ref_model=model_of(ref), precompute_ref_logps=False, aux_loss_enabled=False,
        accelerator=SimpleNamespace(device="cpu", gather_for_metrics=same, gather=same), args=SimpleNamespace(
            gradient_checkpointing_kwargs=None, discopop_tau=o["discopop_tau"]), _metrics=collections.defaultdict(lambda: collections.defaultdict(list)),
        _total_train_tokens=0, _tp_size=1, loss_types=o["loss_type"], loss_weights=o["loss_weights"] or [1.0] * len(o["loss_type"]),
        beta=o["beta"], label_smoothing=o["label_smoothing"], ld_alpha=o["ld_alpha"], f_divergence_type=o["f_divergence_type"],
        f_alpha_divergence_coef=o["f_alpha_divergence_coef"], use_weighting=o["use_weighting"])
    inputs = dict(input_ids=torch.ones_like(mask), attention_mask=torch.ones_like(mask), completion_mask=mask)
    loss = COMPUTE_LOSS(me, model_of(policy), inputs, False)
    loss.backward()
    metrics = {k: v[0] for k, v in me._metrics["train"].items() if k.startswith(("rewards/", "logps/"))}
    return loss.item(), policy.grad, metrics


def case(batches, number, options):
    pairs = batches[number]
    loss, grad, metrics = run(pairs, options)
    heads, tails = [], []
    for i, pair in enumerate(pairs):
        short, head, tail = min(len(side[0]) for side in pair), [], []
        for side in (0, 1):
            row = grad[i + side * len(pairs), 1:1 + len(pair[side][0])]
            for part, out in ((row[:short], head), (row[short:], tail)):
                assert len(part) == 0 or (part - part[0]).abs().max() <= 1e-12 * part[0].abs(), options
                out.append(part[0].item() if len(part) else None)
        heads.append(head)
        tails.append(tail)
    assert all(x == x for x in [loss, *metrics.values()]), options
    return dict(batch=number, options=options, loss=loss, grad_head=heads, grad_tail=tails, metrics=metrics)


def described(pairs):
    out = []
    for pair in pairs:
        short = min(len(side[0]) for side in pair)
        total = lambda k, a, b: [side[k][a:b].sum().item() for side in pair]
        out.append(dict(head=total(0, 0, short), tail=total(0, short, None), ref_head=total(1, 0, short), ref_tail=total(1, short, None),
                        tokens=[len(side[0]) for side in pair], aligned=[(side[0] - side[2]).mean().item() for side in pair]))
    return out


def all_cases(batches):
    smooth = lambda names: {"label_smoothing": max([SMOOTH.get(n, 0.0) for n in names])} if any(n in SMOOTH for n in names) else {}
    for number in range(len(batches)):
        for name in TRL:
            yield case(batches, number, dict(loss_type=[name], **smooth([name])))
        for alpha in (0.0, 0.4, 1.0):
            for name in ("sigmoid", "ipo", "sigmoid_norm", "aot", "sft"):
                yield case(batches, number, dict(loss_type=[name], ld_alpha=alpha, **smooth([name])))
        yield case(batches, number, dict(loss_type=["sigmoid", "sft"], loss_weights=[1.0, 0.5], beta=0.3))
        yield case(batches, number, dict(loss_type=["sigmoid", "bco_pair", "sft"], loss_weights=[0.8, 0.2, 1.0], ld_alpha=0.3))
        yield case(batches, number, dict(loss_type=["aot", "hinge", "robust"], loss_weights=[0.7, -0.1, 2.0], label_smoothing=0.1))
        for name in TRL:
            if name not in ("hinge", "aot", "aot_unpaired", "sft"):
                yield case(batches, number, dict(loss_type=[name], use_weighting=True, **smooth([name])))
        for name in SCORED:
            for f in ("forward_kl", "js_divergence"):
                yield case(batches, number, dict(loss_type=[name], f_divergence_type=f, **smooth([name])))
            for alpha in (0.5, 1.0, 1.5):
                yield case(batches, number, dict(loss_type=[name], f_divergence_type="alpha_divergence", f_alpha_divergence_coef=alpha,
                                                 **smooth([name])))
    yield case(batches, 2, dict(f_divergence_type="alpha_divergence", f_alpha_divergence_coef=-60.0, beta=1e-30))   # the clamp


def refused(batches):
    for options in (dict(loss_type=["sft"], use_weighting=True), dict(loss_type=["hinge"], use_weighting=True)):
        try:
            run(batches[0], options)
            raise SystemExit(f"not refused: {options}")
        except RuntimeError as error:
            yield dict(options=options, says=str(error).split(":")[0])


def main():
    gen = torch.Generator().manual_seed(20)
    batches = [batch(gen, [(5, 7), (4, 4), (9, 3), (1, 2)], 0.3), batch(gen, [(6, 2)], 0.5), batch(gen, [(12, 40), (30, 8), (3, 3), (17, 1), (2, 25)], 0.8)]
    done = dict(batches=[described(b) for b in batches], cases=list(all_cases(batches)), refused=list(refused(batches)))
    lines = [f'"batches":{json.dumps(done["batches"])}', '"cases":[\n' + ",\n".join(json.dumps(c) for c in done["cases"]) + "\n]",
             f'"refused":{json.dumps(done["refused"])}']
    OUT.write_text("{" + ",\n".join(lines) + "}\n")
    print(len(done["cases"]), "cases", OUT.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
