"""Learning rates per step by transformers' Trainer.create_scheduler: ../expected/schedule.json.
  lr_scheduler_type, warmup_steps (a share of the steps below 1), learning_rate, total, warmup = what get_warmup_steps makes of it,
  rates = the rate of each step, from the first on

Run:  python make/schedule.py       (torch 2.15, transformers 5.23)
"""
import json, pathlib, tempfile
import torch
from transformers import Trainer, TrainingArguments

OUT = pathlib.Path(__file__).resolve().parent.parent / "expected" / "schedule.json"


def rates(kind, warmup, total, rate):
    model = torch.nn.Linear(1, 1)
    with tempfile.TemporaryDirectory() as tmp:
        args = TrainingArguments(output_dir=tmp, use_cpu=True, report_to="none", learning_rate=rate, lr_scheduler_type=kind, warmup_steps=warmup, optim="sgd")
        trainer = Trainer(model=model, args=args)
        trainer.create_optimizer()
        scheduler = trainer.create_scheduler(num_training_steps=total)
        out = []
        for _ in range(total + 2):                # two steps past the end
            out.append(scheduler.get_last_lr()[0])
            trainer.optimizer.step()
            scheduler.step()
    return dict(lr_scheduler_type=kind, warmup_steps=warmup, learning_rate=rate, total=total, warmup=args.get_warmup_steps(total), rates=out)


def main():
    rows = [rates(kind, warmup, total, rate) for kind in ("constant", "constant_with_warmup", "linear", "cosine")
            for warmup, total, rate in ((0, 8, 1e-3), (2, 8, 1e-3), (0.1, 25, 5e-5), (0.5, 7, 1.0), (1, 3, 1e-6), (12, 10, 1e-3), (0, 1, 1e-3))]
    OUT.write_text("[" + ",\n".join(json.dumps(r) for r in rows) + "]\n")
    print(len(rows), "schedules")


if __name__ == "__main__":
    main()
