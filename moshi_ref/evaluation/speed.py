"""How long a frame of 80 ms takes, here and in the other implementations.

    python -m moshi_ref.evaluation.speed --json speed.json
    pip install --no-deps moshi einops rustymimi transformers   # the others; each is left out if it is missing

Everybody gets the same weights (random ones, at the released architecture; Hugging Face's Mimi has others of the same
shapes), the same sound, one frame at a time. They take turns in one process, several rounds, so that what the machine
does meanwhile hurts all alike; each number of threads has a process of its own. The table gives ratios first, because
the times are only true of this machine.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from ..checkpoints import save
from ..kyutai_configs import mimi_to_kyutai, moshi_to_kyutai
from ..mimi import Mimi, MimiConfig
from ..moshi import Moshi, MoshiConfig, MoshiStream
from ..transformer import TransformerConfig

WARM_UP, ROUNDS = 20, 3
Turn = Callable[[], None]  # one frame

def language_model(temporal: TransformerConfig, dim: int, heads: int, layers: int, hidden: int) -> MoshiConfig:
    """Moshi 7B's streams, vocabularies and delays around smaller Transformers; the numbers are the Depth's."""
    depth = TransformerConfig(dim, heads, layers, hidden, context=8, rope_period=None, weight_sets=8)
    released = MoshiConfig.kyutai_7b()
    return replace(released, model=replace(released.model, temporal=temporal, depth=depth))


MID = language_model(TransformerConfig(1024, 16, 8, hidden=2816, context=3000), 512, 8, 4, 1408)
TINY = language_model(TransformerConfig(256, 4, 4, hidden=704, context=250), 128, 4, 2, 352)


def installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


# --- Who takes part ---------------------------------------------------------------------------------------


def mimi_turns(folder: Path) -> dict[str, dict[str, Turn]]:
    """Streaming encoders and decoders of the released size: {"encode": {who: turn}, "decode": {who: turn}}."""
    mimi, frame = random_mimi(), 0.1 * torch.randn(1, 1, 1920)
    codes = torch.randint(0, mimi.config.entries, (1, 8, 1))
    save(mimi, folder, kyutai=True)
    weights, state = folder / "model.safetensors", mimi.initial_state(1)
    encode: dict[str, Turn] = {"moshi_ref": lambda: mimi.encode(frame, state)}
    decode: dict[str, Turn] = {"moshi_ref": lambda: mimi.decode(codes, state)}
    if installed("moshi"):
        from moshi.models import loaders

        one, other = (loaders.get_mimi(weights, mimi_to_kyutai(mimi.config), num_codebooks=8) for _ in range(2))
        one.streaming_forever(1)
        other.streaming_forever(1)
        encode["Kyutai PyTorch"], decode["Kyutai PyTorch"] = lambda: one.encode(frame), lambda: other.decode(codes)
    if installed("rustymimi"):
        import rustymimi

        rust, samples, numbers = rustymimi.Tokenizer(str(weights)), frame.numpy(), codes.numpy().astype("uint32")
        encode["Kyutai Rust"] = lambda: rust.encode_step(samples)
        decode["Kyutai Rust"] = lambda: rust.decode_step(numbers)
    if installed("transformers"):
        import transformers

        hub = transformers.MimiModel(transformers.MimiConfig()).eval()  # weights of its own: the work is the same
        past: dict = {"encode": None, "decode": None, "padding": None}

        def hub_encode() -> None:
            out = hub.encode(frame, num_quantizers=8, encoder_past_key_values=past["encode"],
                             padding_cache=past["padding"], use_streaming=True)  # fmt: skip
            past["encode"], past["padding"] = out.encoder_past_key_values, out.padding_cache

        def hub_decode() -> None:  # its convolutions keep no state, so the sound has seams
            past["decode"] = hub.decode(codes, decoder_past_key_values=past["decode"]).decoder_past_key_values

        encode["Hugging Face"], decode["Hugging Face"] = hub_encode, hub_decode
    return {"encode": encode, "decode": decode}


def random_mimi() -> Mimi:
    """A Mimi of the released size; usage counts of 1 make the codebooks a plain table."""
    return Mimi(MimiConfig.kyutai()).eval()


def step_turns(config: MoshiConfig, folder: Path) -> dict[str, Turn]:
    """One step of a language model: the Temporal Transformer, the Depth Transformer eight times, sampling."""
    moshi = Moshi(config).eval()
    # Only its codec's configuration is asked for: codes go in and come out.
    codec = Mimi(MimiConfig(MimiConfig.tiny().seanet, MimiConfig.tiny().transformer, 8, 8, 2048, 8))
    stream, heard = MoshiStream(moshi, codec, seed=0), torch.randint(0, 2048, (1, 8))
    turns: dict[str, Turn] = {"moshi_ref": lambda: stream.step_codes(heard)}
    if installed("moshi"):
        from moshi.models import LMGen, loaders

        save(moshi, folder, kyutai=True)
        theirs = loaders.get_moshi_lm(folder / "model.safetensors", moshi_to_kyutai(config), dtype=torch.float32)
        generator = LMGen(theirs)
        generator.streaming_forever(1)
        turns["Kyutai PyTorch"] = lambda: generator.step(heard[..., None])
    return turns


# --- Who is how fast --------------------------------------------------------------------------------------


@torch.inference_mode()
def take_turns(turns: dict[str, Turn], frames: int) -> dict[str, dict[str, float]]:
    """Milliseconds of a frame for each: median and 95th percentile over all rounds, and the ratio of our median
    to theirs."""
    times: dict[str, list[float]] = {who: [] for who in turns}
    for _ in range(ROUNDS):
        for who, turn in turns.items():
            for index in range(WARM_UP + frames):
                began = time.perf_counter()
                turn()
                if index >= WARM_UP:
                    times[who].append(1000 * (time.perf_counter() - began))
    ours = statistics.median(times["moshi_ref"])
    return {
        who: {
            "ratio": round(ours / statistics.median(t), 3), "median_ms": round(statistics.median(t), 2),
            "p95_ms": round(sorted(t)[int(0.95 * (len(t) - 1))], 2),
        }
        for who, t in times.items()
    }  # fmt: skip


def measure(threads: int, frames: int) -> dict:
    """All comparisons with this number of threads, in this process."""
    os.environ["NO_TORCH_COMPILE"] = "1"  # the official package would compile two small functions
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, turns in mimi_turns(Path(folder)).items():
            results[f"Mimi, {name}"] = take_turns(turns, frames)
        for name, config in (("tiny", TINY), ("mid", MID)):
            results[f"language model, {name}"] = take_turns(step_turns(config, Path(folder)), frames)
    both = {}
    for who, encode in results["Mimi, encode"].items():
        if who in results["Mimi, decode"]:
            both[who] = encode["median_ms"] + results["Mimi, decode"][who]["median_ms"]
    results["Mimi, both"] = {
        who: {"ratio": round(both["moshi_ref"] / ms, 3), "median_ms": round(ms, 2), "p95_ms": None}
        for who, ms in both.items()
    }
    return results


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m moshi_ref.evaluation.speed", description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--frames", type=int, default=100, help="frames in each round of each")
    parser.add_argument("--json", type=Path, help="file to write the results to")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)  # one number of threads, as JSON
    args = parser.parse_args()
    if args.here:
        print(json.dumps(measure(args.threads[0], args.frames)))
        return
    everything = {}
    for threads in args.threads:
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads)}
        command = [sys.executable, "-m", "moshi_ref.evaluation.speed", "--here", "--threads", str(threads),
                   "--frames", str(args.frames)]  # fmt: skip
        ran = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        everything[f"{threads} threads"] = results = json.loads(ran.stdout.splitlines()[-1])
        for name, row in results.items():
            for who, numbers in row.items():
                late = "" if numbers["p95_ms"] is None else f" (p95 {numbers['p95_ms']:.1f})"
                print(f"{threads} threads  {name:22} {who:15} ours / theirs {numbers['ratio']:6.3f}   "
                      f"{numbers['median_ms']:7.1f} ms{late}", flush=True)  # fmt: skip
    if args.json is not None:
        args.json.write_text(json.dumps(everything, indent=1) + "\n")


if __name__ == "__main__":
    main()
