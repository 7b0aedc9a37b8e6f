"""How long a frame of 80 ms takes, here and in the other implementations, and how much memory.

    python -m moshi_ref.evaluation.speed --json speed.json
    pip install --no-deps moshi einops rustymimi transformers   # the others; each is left out if it is missing

Everybody gets the same weights (random ones, at the released architecture; Hugging Face's Mimi has others of the same
shapes), the same sound, one frame at a time. They take turns in one process, several rounds, so that what the machine
does meanwhile hurts all alike; each number of threads has a process of its own. The table gives ratios first, because
the times are only true of this machine. For the memory, each has a process of its own, three times; the median counts.
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

from ..checkpoints import load_mimi, load_moshi, save
from ..kyutai_configs import mimi_to_kyutai, moshi_to_kyutai
from ..mimi import Mimi, MimiConfig
from ..moshi import Moshi, MoshiConfig, MoshiStream
from ..seanet import SEANetConfig
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
LANGUAGE_MODELS = {"language model, tiny": TINY, "language model, mid": MID}
MODELS = ("Mimi", *LANGUAGE_MODELS)


def installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


# --- Who takes part ---------------------------------------------------------------------------------------
#
# Each loads the weights from a file and gives the turns that it can take.


def mimi_parties(weights: Path) -> dict[str, Callable[[], dict[str, Turn]]]:
    """Streaming codecs of the released size, with the turns "encode" and "decode"."""
    frame, codes = 0.1 * torch.randn(1, 1, 1920), torch.randint(0, MimiConfig.kyutai().entries, (1, 8, 1))

    def ours() -> dict[str, Turn]:
        mimi = load_mimi(weights)
        state = mimi.initial_state(1)
        return {"encode": lambda: mimi.encode(frame, state), "decode": lambda: mimi.decode(codes, state)}

    def kyutai() -> dict[str, Turn]:
        from moshi.models import loaders

        mimi = loaders.get_mimi(weights, mimi_to_kyutai(MimiConfig.kyutai()), num_codebooks=8)
        mimi.streaming_forever(1)
        return {"encode": lambda: mimi.encode(frame), "decode": lambda: mimi.decode(codes)}

    def rust() -> dict[str, Turn]:
        import rustymimi

        mimi, samples, numbers = rustymimi.Tokenizer(str(weights)), frame.numpy(), codes.numpy().astype("uint32")
        return {"encode": lambda: mimi.encode_step(samples), "decode": lambda: mimi.decode_step(numbers)}

    def hugging_face() -> dict[str, Turn]:
        import transformers

        mimi = transformers.MimiModel(transformers.MimiConfig()).eval()  # weights of its own: the work is the same
        past: dict = {"encode": None, "decode": None, "padding": None}

        def encode() -> None:
            out = mimi.encode(frame, num_quantizers=8, encoder_past_key_values=past["encode"],
                              padding_cache=past["padding"], use_streaming=True)  # fmt: skip
            past["encode"], past["padding"] = out.encoder_past_key_values, out.padding_cache

        def decode() -> None:  # its convolutions keep no state, so the sound has seams
            past["decode"] = mimi.decode(codes, decoder_past_key_values=past["decode"]).decoder_past_key_values

        return {"encode": encode, "decode": decode}

    parties = {"moshi_ref": (ours, "torch"), "Kyutai PyTorch": (kyutai, "moshi"), "Kyutai Rust": (rust, "rustymimi"),
               "Hugging Face": (hugging_face, "transformers")}  # fmt: skip
    return {who: party for who, (party, package) in parties.items() if installed(package)}


def step_parties(config: MoshiConfig, weights: Path) -> dict[str, Callable[[], dict[str, Turn]]]:
    """Language models with the turn "step": the Temporal Transformer, eight times the Depth Transformer, sampling."""
    heard = torch.randint(0, 2048, (1, 8))

    def ours() -> dict[str, Turn]:
        # Only its codec's configuration is asked for, codes go in and come out: so it is as small as can be.
        transformer = TransformerConfig(8, 1, 1, hidden=8, context=1, gated=False)
        codec = Mimi(MimiConfig(SEANetConfig(8, 2), transformer, 8, 8, 2048, codebook_dim=1))
        stream = MoshiStream(load_moshi(weights), codec, seed=0)
        return {"step": lambda: stream.step_codes(heard)}

    def kyutai() -> dict[str, Turn]:
        from moshi.models import LMGen, loaders

        generator = LMGen(loaders.get_moshi_lm(weights, moshi_to_kyutai(config), dtype=torch.float32))
        generator.streaming_forever(1)
        return {"step": lambda: generator.step(heard[..., None])}

    return {"moshi_ref": ours} | ({"Kyutai PyTorch": kyutai} if installed("moshi") else {})


def parties_of(model: str, folder: Path) -> dict[str, Callable[[], dict[str, Turn]]]:
    weights = folder / model / "model.safetensors"
    return mimi_parties(weights) if model == "Mimi" else step_parties(LANGUAGE_MODELS[model], weights)


def save_models(folder: Path) -> None:
    """Random weights, in the layout of the released files. Usage counts of 1 make the codebooks plain tables.

    In a process of its own: what a process has used at most counts for the processes that it starts, too.
    """
    save(Mimi(MimiConfig.kyutai()), folder / "Mimi", kyutai=True)
    for name, config in LANGUAGE_MODELS.items():
        save(Moshi(config), folder / name, kyutai=True)


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
    return summary(times)


def summary(times: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """The statistics of {who: milliseconds of each turn}."""
    ours = statistics.median(times["moshi_ref"])
    return {
        who: {
            "ratio": round(ours / statistics.median(t), 3), "median_ms": round(statistics.median(t), 2),
            "p95_ms": round(sorted(t)[int(0.95 * (len(t) - 1))], 2),
        }
        for who, t in times.items()
    }  # fmt: skip


def measure(threads: int, frames: int, folder: Path) -> dict:
    """All comparisons with this number of threads, in this process: {what: {who: ratio and times}}."""
    torch.set_num_threads(threads)
    results = {}
    for model in MODELS:
        turns = {who: party() for who, party in parties_of(model, folder).items()}
        for name in turns["moshi_ref"]:
            what = model if name == "step" else f"{model}, {name}"
            results[what] = take_turns({who: able[name] for who, able in turns.items()}, frames)
    both = {}
    for who, encode in results["Mimi, encode"].items():
        both[who] = encode["median_ms"] + results["Mimi, decode"][who]["median_ms"]
    results["Mimi, both"] = {
        who: {"ratio": round(both["moshi_ref"] / ms, 3), "median_ms": round(ms, 2), "p95_ms": None}
        for who, ms in both.items()
    }
    return results


def peak_memory(model: str, who: str, folder: Path) -> int:
    """The most memory that this process ever had, in MiB, after loading one party's model and some frames."""
    import resource  # not on Windows

    turns = parties_of(model, folder)[who]()
    with torch.inference_mode():
        for _ in range(WARM_UP):
            for turn in turns.values():
                turn()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "linux" else 1024**2)


# --- The command ------------------------------------------------------------------------------------------


def child(folder: Path, threads: int, *options: str) -> dict | int:
    """What this program prints in a process of its own, where nothing has been loaded before."""
    # The official package would compile two small functions.
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads),
                                "NO_TORCH_COMPILE": "1"}  # fmt: skip
    command = [sys.executable, "-m", "moshi_ref.evaluation.speed", "--folder", str(folder),
               "--threads", str(threads), *options]  # fmt: skip
    ran = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(ran.stdout.splitlines()[-1])


def compare_times(folder: Path, threads: int, frames: int) -> dict:
    results = child(folder, threads, "--frames", str(frames))
    for name, row in results.items():
        for who, numbers in row.items():
            late = "" if numbers["p95_ms"] is None else f" (p95 {numbers['p95_ms']:.1f})"
            print(f"{threads} threads  {name:14} {who:15} ours / theirs {numbers['ratio']:6.3f}   "
                  f"{numbers['median_ms']:7.1f} ms{late}", flush=True)  # fmt: skip
    return results


def compare_memory(folder: Path) -> dict:
    """{model: {who: MiB}}"""
    results = {}
    for model in MODELS:
        results[model] = row = {}
        for who in parties_of(model, folder):
            row[who] = statistics.median(child(folder, 1, "--memory", model, who) for _ in range(ROUNDS))
        for who, peak in row.items():
            print(f"memory     {model:14} {who:15} ours / theirs {row['moshi_ref'] / peak:6.3f}   {peak:7} MiB at most",
                  flush=True)  # fmt: skip
    return results


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m moshi_ref.evaluation.speed", description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--frames", type=int, default=100, help="frames in each round of each")
    parser.add_argument("--json", type=Path, help="file to write the results to")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)  # the last three are for the processes
    parser.add_argument("--save", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--memory", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.manual_seed(0)
    if args.save:
        save_models(args.folder)
        print(json.dumps(MODELS))
    elif args.memory:
        print(peak_memory(*args.memory, args.folder))
    elif args.folder:
        print(json.dumps(measure(args.threads[0], args.frames, args.folder)))
    else:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            child(folder, 1, "--save")
            everything = {f"{n} threads": compare_times(folder, n, args.frames) for n in args.threads}
            everything["memory, MiB"] = compare_memory(folder)
        if args.json is not None:
            args.json.write_text(json.dumps(everything, indent=1) + "\n")


if __name__ == "__main__":
    main()
