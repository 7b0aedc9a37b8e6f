"""How fast Helium learns and writes, beside Hugging Face's implementation of the same network.

    python -m moshi_ref.evaluation.text_speed --json text_speed.json
    pip install transformers        # the other one

The same weights, the same tokens, one process. They alternate turn by turn, so that what the machine does meanwhile
hurts both alike. The turns are

    learn    one step of AdamW on a batch of 4 rows of 128 tokens
    write    64 tokens after a prompt of 64, by each one's `generate`, always the likeliest token
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checkpoints import load_helium
from ..helium import HeliumConfig
from ..transformer import TransformerConfig
from . import speed
from .speed import Turn, summary

MODELS = {
    "tiny": HeliumConfig.tiny(1600),
    "mid": HeliumConfig(TransformerConfig(512, 8, 8, hidden=1408, context=512), 8000),
}
ROWS, LENGTH, WRITTEN = 4, 128, 64


def hugging_face(config: HeliumConfig) -> nn.Module:
    """Their Helium in this size, with random weights."""
    import transformers

    c = config.transformer
    return transformers.HeliumForCausalLM(transformers.HeliumConfig(
        vocab_size=config.vocabulary, hidden_size=c.dim, intermediate_size=c.hidden, num_hidden_layers=c.layers,
        num_attention_heads=c.heads, num_key_value_heads=c.heads, head_dim=c.dim // c.heads, rope_theta=c.rope_period,
        max_position_embeddings=c.context, tie_word_embeddings=False,
    ))  # fmt: skip


def learning(model: nn.Module, logits, rows: Tensor) -> Turn:
    """One step of training on rows (B, T + 1); `logits` gives (B, T, V) from (B, T)."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def turn() -> None:
        with torch.inference_mode(False):
            F.cross_entropy(logits(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten()).backward()
            optimizer.step()
            optimizer.zero_grad()

    return turn


def turns_of(config: HeliumConfig, folder: Path) -> dict[str, dict[str, Turn]]:
    """{turn: {who: what to do}}; both have the weights that theirs was born with."""
    rows = torch.randint(4, config.vocabulary, (ROWS, LENGTH + 1))
    prompt = rows[:1, :WRITTEN]
    theirs = hugging_face(config)
    theirs.save_pretrained(folder)
    ours = load_helium(folder)
    return {
        "write": {
            "moshi_ref": lambda: ours.generate(prompt, WRITTEN, temperature=0),
            "Hugging Face": lambda: theirs.generate(
                prompt, attention_mask=torch.ones_like(prompt), min_new_tokens=WRITTEN, max_new_tokens=WRITTEN,
                do_sample=False, pad_token_id=3,
            ),
        },
        "learn": {
            "moshi_ref": learning(ours.train(), ours, rows),
            "Hugging Face": learning(theirs.train(), lambda x: theirs(x, use_cache=False).logits, rows),
        },
    }  # fmt: skip


@torch.inference_mode()
def alternate(turns: dict[str, Turn], count: int) -> dict[str, dict[str, float]]:
    """`count` turns of each, after two that do not count; see `speed.summary`."""
    times: dict[str, list[float]] = {who: [] for who in turns}
    for index in range(2 + count):
        for who, turn in turns.items():
            began = time.perf_counter()
            turn()
            if index >= 2:
                times[who].append(1000 * (time.perf_counter() - began))
    return summary(times)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m moshi_ref.evaluation.text_speed",
                                     description=__doc__.split("\n")[0])  # fmt: skip
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=20, help="of each")
    parser.add_argument("--json", type=Path, help="file to write the results to")
    args = parser.parse_args()
    if not speed.installed("transformers"):
        parser.error("transformers is missing, so there is nothing to compare with: pip install transformers")
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    results = {}
    for size, config in MODELS.items():
        with tempfile.TemporaryDirectory() as folder:
            for name, turns in turns_of(config, Path(folder)).items():
                results[f"{size}, {name}"] = row = alternate(turns, args.turns)
                tokens = ROWS * LENGTH if name == "learn" else WRITTEN
                for who, numbers in row.items():
                    print(f"{args.threads} threads  {size:5}{name:6} {who:15} ours / theirs {numbers['ratio']:6.3f}   "
                          f"{1000 * tokens / numbers['median_ms']:8.0f} tokens a second", flush=True)  # fmt: skip
    if args.json is not None:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
