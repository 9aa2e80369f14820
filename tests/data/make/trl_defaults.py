"""Writes tests/data/trl_defaults.json: every option of TRL's dpo, sft, reward, kto, rloo and grpo commands with its default.

    python tests/data/make/trl_defaults.py            needs trl 1.16 and transformers 5.23

    {"trl": "1.16.0", "transformers": "5.23.0", "dpo": {"beta": 0.1, ...}, "sft": {...}, ...}
"""
import dataclasses
import enum
import json
from pathlib import Path

import transformers
import trl


def default(field):
    value = field.default
    if value is dataclasses.MISSING:
        value = field.default_factory()
    return value.value if isinstance(value, enum.Enum) else value


def options(*configs):
    return {field.name: default(field) for config in configs for field in dataclasses.fields(config) if field.init}


shared = (trl.ScriptArguments, trl.ModelConfig)
out = {
    "trl": trl.__version__,
    "transformers": transformers.__version__,
    "dpo": options(*shared, trl.DPOConfig),
    "sft": options(*shared, trl.SFTConfig),
    "reward": options(*shared, trl.RewardConfig),
    "kto": options(*shared, trl.KTOConfig),
    "rloo": options(*shared, trl.RLOOConfig),
    "grpo": options(*shared, trl.GRPOConfig),
}
path = Path(__file__).resolve().parents[1] / "trl_defaults.json"
path.write_text(json.dumps(out, indent=1) + "\n")
