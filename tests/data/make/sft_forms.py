"""What TRL's SFTTrainer makes of every form of SFT data: tokens, labels, blocks; and short training runs on them.

Writes ../sft/*.jsonl (the data), ../expected/sft/tokens.jsonl (one line per case: what was asked for and the sequences
that TRL trains on; `trained` has a digit per token, 0 where the label is -100), ../expected/sft/blocks.json (packing of
2300 rows whose lengths follow a formula), and ../expected/train/sft-{text,assistant,packing}: config.json, metrics.jsonl
as training.py writes them.

Run:  python make/sft_forms.py
"""
import json, pathlib, tempfile
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer
from trl.data_utils import pack_dataset

ROOT = pathlib.Path(__file__).resolve().parent.parent
torch.set_num_threads(1)

TOPICS = ["bread", "a long walk", "the sea", "old maps", "winter", "good tools", "music at night", "small gardens"]
TEXTS = [f"Some words about {t}." + " It is worth the time" * (i % 5) + ("." if i % 2 else "!\n") for i, t in enumerate(TOPICS * 3)]
TEXTS += ["", "One", "Na\u00efve caf\u00e9s \u4f60\u597d \U0001f600", "It ends by itself<EOS>"]


def turn(role, content):
    return dict(role=role, content=content)


def talk(*contents, system=None):
    said = [turn("system", system)] if system else []
    return said + [turn("assistant" if i % 2 else "user", c) for i, c in enumerate(contents)]


TALKS = [talk(f"What do you know of {t}?", f"Only that {t} takes patience." + " And time." * (i % 4)) for i, t in enumerate(TOPICS)]
TALKS += [talk("Hi", "Hello there", "And now?", "Now we part \U0001f600 friends"),
          talk("Caf\u00e9 or cafe\u0301?", "Cafe\u0301, always.", "Why?", "It is  two   words\n\nlong."),
          talk("A", "B", "C", "D", "E", "F"), talk("Only you.", "\u4f60\u597d")]
COMPLETIONS = [dict(prompt=f"Question: why {t}?\nAnswer:", completion=f" Because of {t}." + " Really." * (i % 3)) for i, t in enumerate(TOPICS)]
COMPLETIONS += [dict(prompt="", completion="Out of nothing"), dict(prompt="A word that goes o", completion="n and on"),
                dict(prompt="With a space ", completion=" and another"), dict(prompt="Closed", completion=" already<EOS>"),
                dict(prompt="Nothing", completion=""), dict(prompt="A long prompt " * 12, completion=" short")]


def data(eos):
    """Every data set by its file's name."""
    closed = lambda text: text.replace("<EOS>", eos)
    return {
        "text": [dict(text=closed(t)) for t in TEXTS],
        "completion": [dict(prompt=r["prompt"], completion=closed(r["completion"])) for r in COMPLETIONS],
        "messages": [dict(messages=m) for m in TALKS],
        "completion.chat": [dict(prompt=m[:-1], completion=m[-1:]) for m in TALKS],
    }


# case, model, data, template, options
CASES = [
    ("text, no BOS", "olmo", "text", None, {}),
    ("text, BOS", "llama2", "text", None, {}),
    ("text, cut", "olmo", "text", None, dict(max_length=12)),
    ("completion", "olmo", "completion", None, {}),
    ("completion, BOS", "llama2", "completion", None, {}),
    ("completion, all tokens", "olmo", "completion", None, dict(completion_only_loss=False)),
    ("completion, cut", "olmo", "completion", None, dict(max_length=24)),
    ("completion of messages", "llama3-chat-sharded", "completion.chat", None, {}),
    ("completion of messages, gemma", "gemma-chat", "completion.chat", None, {}),
    ("messages", "llama3-chat-sharded", "messages", None, {}),
    ("messages, gemma", "gemma-chat", "messages", None, {}),
    ("assistant", "llama3-chat-sharded", "messages", "llama3", dict(assistant_only_loss=True)),
    ("assistant, gemma", "gemma-chat", "messages", "gemma", dict(assistant_only_loss=True)),
    ("assistant, chatml", "qwen3", "messages", "chatml", dict(assistant_only_loss=True)),
    ("assistant, cut", "llama3-chat-sharded", "messages", "llama3", dict(assistant_only_loss=True, max_length=40)),
    ("assistant of a completion", "llama3-chat-sharded", "completion.chat", "llama3", dict(assistant_only_loss=True)),
    ("assistant of all", "llama3-chat-sharded", "completion.chat", "llama3", dict(assistant_only_loss=True, completion_only_loss=False)),
    ("packed text", "olmo", "text", None, dict(packing=True, max_length=48)),
    ("packed completions", "olmo", "completion", None, dict(packing=True, max_length=24)),
    ("packed assistant", "llama3-chat-sharded", "messages", "llama3", dict(packing=True, max_length=96, assistant_only_loss=True)),
]


def trainer(model, rows, template, **options):
    tok = AutoTokenizer.from_pretrained(ROOT / "models" / model)
    if tok.pad_token is None:
        tok.pad_token = tok.eos_token
    if template:
        tok.chat_template = (ROOT / "sft" / f"{template}.generation.jinja").read_text()
    net = AutoModelForCausalLM.from_pretrained(ROOT / "models" / model, dtype=torch.float32, attn_implementation="eager")
    args = {**dict(max_length=128, report_to="none", save_strategy="no", bf16=False, fp16=False, use_cpu=True, disable_tqdm=True,
                   gradient_checkpointing=False), **options}
    with tempfile.TemporaryDirectory() as tmp:
        return SFTTrainer(model=net, args=SFTConfig(output_dir=tmp, **args), train_dataset=Dataset.from_list(rows), processing_class=tok)


def cases():
    with (ROOT / "expected" / "sft" / "tokens.jsonl").open("w") as f:
        for case, model, name, template, options in CASES:
            rows = [json.loads(line) for line in (ROOT / "sft" / f"{name}.jsonl").open()]
            made = trainer(model, rows, template, **options).train_dataset
            out = dict(case=case, model=model, data=name, template=template, **options, rows=[])
            for row in made:
                assert all(l in (-100, i) for i, l in zip(row["input_ids"], row["labels"], strict=True))
                entry = dict(ids=row["input_ids"], trained="".join("01"[l != -100] for l in row["labels"]))
                out["rows"].append(entry | (dict(lengths=row["seq_lengths"]) if "seq_lengths" in row else {}))
            f.write(json.dumps(out) + "\n")
            print(case, len(rows), len(out["rows"]))


def blocks():
    rows = [[i] * ((i * i * 7 + i * 13) % 61) for i in range(2300)]  # some are empty
    packed = pack_dataset(Dataset.from_dict(dict(input_ids=rows)), 64)
    out = []
    for row in packed:
        at, members = 0, []
        for n in row["seq_lengths"]:
            members.append(row["input_ids"][at])
            at += n
        out.append(members)
    (ROOT / "expected" / "sft" / "blocks.json").write_text(json.dumps(out, separators=(",", ":")) + "\n")
    print("blocks", len(out))


RUNS = [("sft-text", "olmo", "text", None, {}),
        ("sft-assistant", "llama3-chat-sharded", "messages", "llama3", dict(assistant_only_loss=True, gradient_accumulation_steps=2,
                                                                             per_device_train_batch_size=2)),
        ("sft-packing", "olmo", "text", None, dict(packing=True, max_length=48, per_device_train_batch_size=2))]


def runs():
    drop = {"train_runtime", "train_samples_per_second", "train_steps_per_second", "total_flos", "epoch", "train_loss", "num_tokens"}
    for name, model, data_name, template, over in RUNS:
        out = ROOT / "expected" / "train" / name
        out.mkdir(parents=True, exist_ok=True)
        rows = [json.loads(line) for line in (ROOT / "sft" / f"{data_name}.jsonl").open()]
        options = {**dict(per_device_train_batch_size=4, max_steps=8, learning_rate=1e-3, lr_scheduler_type="constant", max_length=128), **over}
        t = trainer(model, rows, template, logging_steps=1, train_sampling_strategy="sequential", **options)
        t.train()
        with (out / "metrics.jsonl").open("w") as f:
            for row in t.state.log_history:
                if "loss" in row:
                    f.write(json.dumps({k: v for k, v in row.items() if k not in drop}) + "\n")
        shown = dict(weight_decay=0.0, max_grad_norm=1.0, **options, trainer="SFTTrainer", reference=model, policy=model,
                     data=data_name, template=template, note="file order, repeated")
        (out / "config.json").write_text(json.dumps(shown, indent=1) + "\n")
        print(name, (out / "metrics.jsonl").read_text().splitlines()[0])


def main():
    (ROOT / "sft").mkdir(exist_ok=True)
    (ROOT / "expected" / "sft").mkdir(parents=True, exist_ok=True)
    for name, rows in data("<|endoftext|>").items():
        with (ROOT / "sft" / f"{name}.jsonl").open("w") as f:
            for row in rows:
                f.write(json.dumps(row) + "\n")
    cases()
    blocks()
    runs()


if __name__ == "__main__":
    main()
