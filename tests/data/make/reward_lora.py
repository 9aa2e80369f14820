"""A reward model as a LoRA adapter: TRL's RewardTrainer with PEFT on a tiny checkpoint, in float32, without shuffling.

Writes ../models/adapter-reward (adapter and reward head of the language model llama3-chat-sharded to start from, as PEFT saves
it) and ../expected/rlhf/reward-lora: the files of a reward run of rlhf.py.

Run:  python make/reward_lora.py
"""
import json, pathlib, shutil, sys, tempfile
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForSequenceClassification
from trl import RewardConfig, RewardTrainer

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from reference import ROOT
from rlhf import COMMON, REF, both_sides, finish, fresh, lines, pairs, scores, tokenizer

RUN, START = "reward-lora", ROOT / "models" / "adapter-reward"


def start(pad):
    """The language model with a seeded head, under an adapter whose B is not 0."""
    model = AutoModelForSequenceClassification.from_pretrained(ROOT / "models" / REF, num_labels=1, dtype=torch.float32,
                                                               attn_implementation="eager")
    model.config.pad_token_id = pad
    model.score.weight.data = 0.1 * torch.randn(model.score.weight.shape, generator=torch.Generator().manual_seed(32))
    torch.manual_seed(9)
    wrapped = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, task_type="SEQ_CLS",
                                               target_modules=["q_proj", "v_proj", "down_proj"]))
    for n, p in wrapped.named_parameters():
        if "lora_B" in n:
            p.data = 0.01 * torch.randn(p.shape)
    return wrapped


def save(model):
    """As PEFT saves it, but with the base's bare name and without the model card."""
    shutil.rmtree(START, ignore_errors=True)
    model.save_pretrained(START)
    (START / "README.md").unlink()
    config = START / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "base_model_name_or_path": REF}, indent=2) + "\n")


def main():
    torch.set_num_threads(1)
    tok, rows = tokenizer(), pairs()
    args = {**COMMON, "max_length": 128, "train_sampling_strategy": "sequential"}
    model = start(tok.pad_token_id)
    save(model)
    trained = [n for n, p in model.named_parameters() if p.requires_grad]
    assert sum("lora_" in n for n in trained) + 1 == len(trained) and any("score" in n for n in trained), trained
    sides = [both_sides(tok, r) for r in rows]
    out = fresh(RUN)
    before = [scores(model.eval(), x) for x in sides]
    lines(out / "before.jsonl", [dict(chosen=c, rejected=r) for (c, _), (r, _) in before])
    lines(out / "ids.jsonl", [dict(chosen_ids=x[0], rejected_ids=x[1], chosen_position=s[0][1], rejected_position=s[1][1])
                              for x, s in zip(sides, before)])
    with tempfile.TemporaryDirectory() as tmp:
        trainer = RewardTrainer(model=model, args=RewardConfig(output_dir=tmp, **args), train_dataset=Dataset.from_list(rows),
                                processing_class=tok)
        assert [r["chosen_ids"] for r in trainer.train_dataset] == [x[0] for x in sides]
        trainer.train()
    lines(out / "after.jsonl", [dict(chosen=c, rejected=r) for (c, _), (r, _) in (scores(model.eval(), x) for x in sides)])
    finish(out, trainer, args, start=REF, adapter=START.name, data="first 16 pairs, file order, repeated",
           pad_token_id=tok.pad_token_id, note=(
               "loss = mean -ln sigmoid(r_chosen - r_rejected); trained are the adapter's matrices and the whole head, which "
               "starts as the adapter's folder has it (modules_to_save)"))


if __name__ == "__main__":
    main()
