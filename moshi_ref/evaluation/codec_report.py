"""The report on a Mimi: everything that this folder can measure of a codec, in one table.

    python -m moshi_ref evaluate mimi                    held-out sentences and voices of the small world
    python -m moshi_ref evaluate mimi --wav FILE         the quality of one recording of yours

All sounds are rendered anew from held-out pairs and voices; none was in training. The parts:

    quality          sound_quality, by number of codebooks
    intelligibility  word error of the recogniser, by number of codebooks
    codebooks        codebook_use: use, entropy, idempotence, by codebook
    ABX              abx: of a spectrogram, the latent, the tokens
    hearing          hearing: digits read off the tokens
    cost             bitrates, look-ahead, time of a frame
"""

import argparse
import json
import math
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from ..audio import read_audio, writing
from ..checkpoints import load_mimi
from ..corpus.small_world import TOPICS, exchange, held_out_pairs
from ..corpus.utterances import render_user
from ..corpus.voices import SAMPLE_RATE, user_voice
from ..mimi import Mimi
from .abx import abx_of, abx_of_codec, spoken_syllables
from .codebook_use import codebook_use, effective_bitrate, frame_times, idempotence, look_ahead
from .hearing import hearing
from .intelligibility import held_out_answers, word_errors
from .intervals import Z
from .recogniser import Recogniser, load_recogniser
from .sound_quality import Measure, log_mel, measures

COUNTS = (1, 2, 4, 8, 16, 32)  # codebooks whose quality is measured, as far as the codec has them
MANY = 8  # times as many sentences for the use of the codebooks: few frames cannot show many entries
MEL_RATE = SAMPLE_RATE / 512  # frames a second of every second frame of `log_mel`


def held_out_questions(count: int, seed: int) -> list[Tensor]:
    """Questions (T,) about held-out pairs in held-out voices."""
    rng, wavs = random.Random(f"codec {seed}"), []
    for i in range(count):
        topic = TOPICS[i % len(TOPICS)]
        about = exchange(topic, *rng.choice(held_out_pairs(topic)))
        wavs.append(render_user(about, user_voice(rng, "test"), rng).wav)
    return wavs


def counts(mimi: Mimi) -> list[int]:
    """Numbers of codebooks to compare: 1, 2, 4, ... and all that are used."""
    used = mimi.config.used_codebooks
    return sorted({count for count in COUNTS if count < used} | {used})


@torch.inference_mode()
def decoded(mimi: Mimi, wav: Tensor) -> dict[int, Tensor]:
    """{1, 2, 4, ...: the sound (T,) that is decoded from so many of the codebooks} for a sound (T,)."""
    codes = mimi.encode(wav[None, None])
    return {q: mimi.decode(codes[:, :q])[0, 0, : len(wav)] for q in counts(mimi)}


def mean_and_margin(values: Sequence[float]) -> dict[str, float]:
    """The mean, and how far the true one may lie from it with 95 % confidence; one value alone has no margin."""
    n, mean = len(values), sum(values) / len(values)
    spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1)) if n > 1 else math.nan
    return {"mean": round(mean, 4), "margin": round(Z * spread / math.sqrt(n), 4) if n > 1 else None}


def quality(mimi: Mimi, wavs: Sequence[Tensor], taken: dict[str, Measure] | None = None) -> dict:
    """{number of codebooks: {measure: mean and margin}} over sounds (T,).
    taken: which measures; all that can be taken here unless told otherwise."""
    taken, scores = measures()[0] if taken is None else taken, {}
    for wav in tqdm(wavs, "quality", leave=False, disable=None):
        for q, output in decoded(mimi, wav).items():
            for name, measure in taken.items():
                scores.setdefault(q, {}).setdefault(name, []).append(measure(wav, output))
    return {q: {name: mean_and_margin(v) for name, v in row.items()} for q, row in scores.items()}


def intelligibility(mimi: Mimi, recogniser, count: int, seed: int) -> dict:
    """{"Moshi's voice" and "held-out voices": {"originals" and numbers of codebooks: errors, words, rate}}."""
    results = {}
    for kind, items in held_out_answers(count, seed).items():
        heard = {"originals": items}
        for wav, text in tqdm(items, "intelligibility", leave=False, disable=None):
            for q, output in decoded(mimi, wav).items():
                heard.setdefault(q, []).append((output, text))
        results[kind] = {}
        for name, sounds in heard.items():
            errors, words = word_errors(recogniser.transcribe, sounds)
            results[kind][name] = {"errors": errors, "words": words, "rate": round(errors / words, 4)}
    return results


@torch.inference_mode()
def many_codes(mimi: Mimi, wavs: Sequence[Tensor]) -> Tensor:
    """The codes (Q, F) of all frames of the sounds (T,), one after the other."""
    bar = tqdm(wavs, "encoding", leave=False, disable=None)
    return torch.cat([mimi.encode(wav[None, None])[0] for wav in bar], -1)


def codebooks(mimi: Mimi, codes: Tensor, wavs: Sequence[Tensor]) -> list[dict]:
    """A row for each codebook: use over many codes (Q, F), idempotence over some sounds (T,)."""
    used, kept, frames = len(codes), 0, 0
    for wav in wavs:
        share = idempotence(mimi, wav[None, None], used)  # (Q,)
        length = -(-len(wav) // mimi.config.frame_size)
        kept, frames = kept + share * length, frames + length
    uses = codebook_use(codes, mimi.config.entries)
    return [asdict(use) | {"idempotence": (kept / frames)[level].item()} for level, use in enumerate(uses)]


def cost(mimi: Mimi, codes: Tensor) -> dict:
    """Bitrates in bits a second, look-ahead, latency in ms, times of a frame."""
    config = mimi.config
    ahead = look_ahead(mimi, 0.1 * torch.randn(1, 1, 8 * config.frame_size))
    waits = (1 + ahead["encoder, frames"]) / config.frame_rate + ahead["decoder, samples"] / config.sample_rate
    return {
        "nominal": config.bits_per_second,
        "effective": effective_bitrate(codebook_use(codes, config.entries), config.frame_rate),
        "look_ahead": ahead,
        "algorithmic_latency_ms": 1000 * waits,
        "times": frame_times(mimi),
    }


def discriminability(mimi: Mimi, seed: int) -> dict:
    """ABX errors of a log-mel spectrogram and of the codec: {features: {"within", "across": error, triples}}."""
    spoken = spoken_syllables(seed=seed)
    rows = {"log-mel spectrogram": abx_of(spoken, lambda wav: log_mel(wav).T[::2], MEL_RATE)}
    rows |= abx_of_codec(spoken, mimi)
    return {name: {mode: asdict(score) for mode, score in row.items()} for name, row in rows.items()}


# --- The command ----------------------------------------------------------------------------------


def run(args: argparse.Namespace) -> None:
    """The command `evaluate mimi`: print the tables, and write JSON if asked to."""
    mimi = load_mimi(args.mimi)
    if mimi.config.sample_rate != SAMPLE_RATE:
        raise ValueError(f"the measures are for {SAMPLE_RATE} Hz, but {args.mimi} takes {mimi.config.sample_rate} Hz")
    torch.manual_seed(args.seed)
    for sentence in measures()[1]:
        print(f"note: left out: {sentence}", file=sys.stderr)
    results = measured(mimi, args)
    if args.json is not None:
        with writing(args.json) as part:
            part.write_text(json.dumps(results, indent=1) + "\n")


def measured(mimi: Mimi, args: argparse.Namespace) -> dict:
    if args.wav is not None:
        return one_recording(mimi, args.wav)
    recogniser = load_recogniser(args.recogniser)
    return everything(mimi, recogniser, args.trials, args.seed, args.human)


def suitable(taken: dict[str, Measure], wav: Tensor) -> tuple[dict[str, Measure], list[str]]:
    """The measures that can judge a recording (T,), and a sentence for each that cannot: it may be too short."""
    fitting, reasons = {}, []
    for name, measure in taken.items():
        try:
            measure(wav, wav)
            fitting[name] = measure
        except ValueError as error:
            reasons.append(str(error))
    return fitting, reasons


def one_recording(mimi: Mimi, path: Path) -> dict:
    wav, notes = read_audio(path, mimi.config.sample_rate)
    for note in notes:
        print(f"note: {path}: {note}", file=sys.stderr)
    taken, reasons = suitable(measures()[0], wav)
    for reason in reasons:
        print(f"note: {path}: {reason}", file=sys.stderr)
    rows = quality(mimi, [wav], taken)
    print_quality(rows)
    return {"quality": rows}


def everything(mimi: Mimi, recogniser: Recogniser, trials: int, seed: int, human: Path | None) -> dict:
    """All measures, each printed as soon as it is known; see the beginning of the file. human: a clone of FSDD."""
    results = {}
    wavs = held_out_questions(trials, seed)
    results["quality"] = quality(mimi, wavs)
    print_quality(results["quality"])
    results["intelligibility"] = intelligibility(mimi, recogniser, trials, seed)
    print_intelligibility(results["intelligibility"])
    codes = many_codes(mimi, held_out_questions(MANY * trials, seed + 1))
    results["codebooks"] = codebooks(mimi, codes, wavs)
    print_codebooks(results["codebooks"], codes.shape[1])
    results["ABX"] = discriminability(mimi, seed)
    print_abx(results["ABX"])
    if len(codes) > 1:  # otherwise there is nothing to compare the semantic codebook with
        results["hearing"] = hearing(mimi, human, seed)
        print_hearing(results["hearing"])
    results["cost"] = cost(mimi, codes)
    print_cost(results["cost"])
    return results


# --- Printing -------------------------------------------------------------------------------------


def print_table(title: str, rows: dict[str, dict[str, str]]) -> None:
    """Rows of cells under the names of the columns, as wide as they need to be."""
    columns = list(next(iter(rows.values())))
    first = max(len(title), *map(len, rows))
    widths = [max(len(column), *(len(row[column]) for row in rows.values())) for column in columns]
    print("\n" + "  ".join([title.ljust(first), *(c.rjust(w) for c, w in zip(columns, widths, strict=True))]))
    for name, row in rows.items():
        print("  ".join([name.ljust(first), *(row[c].rjust(w) for c, w in zip(columns, widths, strict=True))]))
    sys.stdout.flush()


def percent(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.1f} %"


def print_quality(rows: dict) -> None:
    def cell(value: dict) -> str:
        return f"{value['mean']:.2f}" + ("" if value["margin"] is None else f" +-{value['margin']:.2f}")

    print_table("codebooks", {str(q): {name: cell(value) for name, value in row.items()} for q, row in rows.items()})


def print_intelligibility(kinds: dict) -> None:
    print_table("word error", {
        f"{kind}, {row['originals']['words']} words": {str(name): percent(value["rate"]) for name, value in row.items()}
        for kind, row in kinds.items()
    })  # fmt: skip


def print_codebooks(rows: list[dict], frames: int) -> None:
    print_table(f"codebook, over {frames} frames", {
        str(level): {"entries used": percent(row["used"]), "bits": f"{row['bits']:.2f}",
                     "perplexity": f"{row['perplexity']:.0f}", "idempotence": percent(row["idempotence"])}
        for level, row in enumerate(rows)
    })  # fmt: skip


def print_abx(rows: dict) -> None:
    print_table("ABX error", {
        name: {mode: abx_cell(**score) for mode, score in row.items()} for name, row in rows.items()
    })  # fmt: skip


def abx_cell(error: float | None, triples: int, low: float | None, high: float | None) -> str:
    return "none" if error is None else f"{percent(error)} [{100 * low:.0f}, {100 * high:.0f}] of {triples}"


def print_hearing(rows: dict) -> None:
    print_table("digits heard", {
        name: {kind: f"{percent(a['share'])} [{100 * a['low']:.0f}, {100 * a['high']:.0f}] of {a['n']}"
               for kind, a in row.items()}
        for name, row in rows.items()
    })  # fmt: skip


def print_cost(costs: dict) -> None:
    print(f"\nbitrate {costs['nominal']:.0f} bits/s, of which the codes carry {costs['effective']:.0f} at most")
    print(f"look-ahead {costs['look_ahead']}, algorithmic latency {costs['algorithmic_latency_ms']:.0f} ms")
    for name, row in costs["times"].items():
        print(f"{name} a frame: median {row['median_ms']:.1f} ms, 95th percentile {row['p95_ms']:.1f} ms, "
              f"real-time factor {row['real_time_factor']:.2f}")  # fmt: skip
