"""The command line: python -m moshi_ref talk | transcribe | speak | encode | decode | train | finetune | evaluate.

Progress and notes go to standard error, results to standard output and to files. Bad input ends with one
sentence and exit code 2, and leaves no half-written file behind.
"""

import argparse
import json
import sys
from pathlib import Path

import soundfile
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from .audio import check_folder, read_audio, sound_format, writing
from .checkpoints import CHECKPOINTS, load_helium, load_mimi, load_moshi, load_tokenizer, mimi_of, save
from .evaluation import codec_report, speech_text, spoken_world, text_report
from .mimi import Mimi
from .moshi import MoshiStream
from .rq_transformer import Sampling
from .speech_text import SAMPLING, Listener, speak, transcribe
from .talk import talk
from .training import recipes
from .training.ablations import VARIANTS, train_variant
from .training.distribution import first, leave, pick_device
from .training.finetune import finetune
from .training.lora import load_asr
from .training.moshi_ablations import WHAT_IS_LEFT_OUT, train_moshi_variant
from .training.recogniser import WORLDS, train_recogniser
from .training.stages import train_speech_text, train_stages

MIMI = CHECKPOINTS / "mimi-tiny"
EVALUATIONS = {"moshi": spoken_world.run, "speech-text": speech_text.run, "mimi": codec_report.run,
               "helium": text_report.run}  # fmt: skip
SECOND = 25 * 1920 // 2  # samples in a second; long sounds go through the codec ten seconds at a time


def main(arguments: list[str] | None = None) -> int:
    args = parser().parse_args(arguments)
    try:
        args.run(args)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(prog="python -m moshi_ref", description="Moshi, small enough to understand.")
    commands = top.add_subparsers(required=True, metavar="command")

    def command(name: str, run, text: str, mimi: Path | None = MIMI) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(run=run)
        made.add_argument("--mimi", type=Path, default=mimi, help="folder of the codec" +
                          ("; default: the one that the model was trained with, or mimi-tiny" if mimi is None else ""))
        return made

    p = command("talk", run_talk, "Ask Moshi: a sound file plays the user, frame by frame.", None)
    p.add_argument("sound", type=Path, help="the user's voice: WAV, FLAC, OGG or MP3, any rate")
    p.add_argument("--out", type=Path, help="stereo WAV to write: Moshi on the left, the user on the right")
    p.add_argument("--transcript", type=Path, help="JSON to write: text, words with times, speed")
    p.add_argument("--moshi", type=Path, default=CHECKPOINTS / "moshi-tiny", help="folder of the model")
    p.add_argument("--seed", type=int, default=0, help="of the sampling")
    p.add_argument("--text-temperature", type=float, default=0.0, help="0 takes the likeliest word")
    p.add_argument("--audio-temperature", type=float, default=0.8)
    p.add_argument("--after", type=float, default=4.0, help="seconds to listen after the file has ended")

    p = command("transcribe", run_transcribe, "Write down what is said in a sound, with the times of the words.", None)
    p.add_argument("sound", type=Path, help="WAV, FLAC, OGG or MP3, any rate")
    p.add_argument("--model", type=Path, default=CHECKPOINTS / "moshi-tiny",
                   help="folder of a Moshi of the stages, or of what `train asr` has made of it")  # fmt: skip
    p.add_argument("--lora", type=Path, help="file of adapters to put on it; default: with moshi-tiny, asr-tiny's")
    p.add_argument("--json", type=Path, help="file to write: text, words with times, speed")

    p = command("speak", run_speak, "Speak a text.", None)
    p.add_argument("text", help="words, as the model has read them in training")
    p.add_argument("--out", type=Path, required=True, help="WAV to write")
    p.add_argument("--model", type=Path, default=CHECKPOINTS / "moshi-tiny",
                   help="folder of a Moshi of the stages, or of what `train tts` has made of it")  # fmt: skip
    p.add_argument("--seed", type=int, default=0, help="of the sampling")
    p.add_argument("--temperature", type=float, default=SAMPLING.temperature, help="0 takes the likeliest sound")

    p = command("encode", run_encode, "Turn a sound into codes of 12.5 frames a second.")
    p.add_argument("sound", type=Path)
    p.add_argument("codes", type=Path, help="safetensors file to write, with one tensor `codes` (Q, F)")

    p = command("decode", run_decode, "Turn codes back into a sound.")
    p.add_argument("codes", type=Path, help="file written by encode")
    p.add_argument("sound", type=Path, help="WAV file to write")
    p.add_argument("--codebooks", type=int, help="use only so many of the codebooks")

    p = command("train", run_train, "Train a model on the small world.", None)
    p.add_argument("model", choices=("helium", "mimi", "moshi", "stages", "asr", "tts", "recogniser"),
                   help="stages: a Moshi, by the stages of the paper; asr, tts: from a Moshi on")  # fmt: skip
    p.add_argument("--profile", choices=tuple(recipes.PROFILES), help="default: gpu with CUDA, else cpu")
    p.add_argument("--variant", choices=tuple(dict.fromkeys((*VARIANTS, *WHAT_IS_LEFT_OUT))),
                   help="with mimi, moshi: train it for less time, and leave a part out")  # fmt: skip
    p.add_argument("--out", type=Path, help="folder of the run; default runs/MODEL-PROFILE, or one of the variant")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--human", type=Path, help="a clone of the Free Spoken Digit Dataset, for human users")
    p.add_argument("--text", type=Path, help="with helium: a folder of .txt files to read as well")
    p.add_argument("--helium", type=Path, default=CHECKPOINTS / "helium-tiny",
                   help="with moshi, stages: what it starts from")  # fmt: skip
    p.add_argument("--moshi", type=Path, default=CHECKPOINTS / "moshi-tiny", help="with asr, tts: where it starts")
    p.add_argument("--world", choices=tuple(WORLDS), help="with recogniser: whose words it learns; default: small")
    p.add_argument("--no-text", action="store_true", help="with stages: no Helium, no steps on text alone")
    p.add_argument("--both", action="store_true", help="with stages: learn to predict the user's codes too")
    p.add_argument("--bfloat16", action="store_true",
                   help="with stages, asr, tts, moshi --variant: products in bfloat16 on a CPU too, if it has "
                        "instructions for that")  # fmt: skip

    p = command("finetune", run_finetune, "Train a Moshi on recorded conversations.", None)
    p.add_argument("conversations", type=Path, help="a folder of stereo WAVs with a JSON each, or a manifest")
    p.add_argument("--moshi", type=Path, default=CHECKPOINTS / "moshi-tiny", help="folder of the model to start from")
    p.add_argument("--out", type=Path, help="folder of the run; default runs/finetune, with -lora-RANK")
    p.add_argument("--lora", type=int, metavar="RANK", help="train adapters of this rank, and not all weights")
    p.add_argument("--steps", type=int, default=500)
    p.add_argument("--learning-rate", type=float, default=1e-4)
    p.add_argument("--batch-size", type=int, default=8)
    p.add_argument("--seconds", type=float, default=8.0, help="length of the windows that are drawn")
    p.add_argument("--seed", type=int, default=0)

    p = command("evaluate", run_evaluate, "Ask Moshi or Helium held-out questions, let Moshi write down and read "
                "aloud, or measure what Mimi loses.", None)  # fmt: skip
    p.add_argument("model", nargs="?", choices=tuple(EVALUATIONS), default="moshi", help="default: moshi")
    p.add_argument("--helium", type=Path, default=CHECKPOINTS / "helium-tiny", help="folder of the text model")
    p.add_argument("--moshi", type=Path, default=CHECKPOINTS / "moshi-tiny", help="folder of the model")
    p.add_argument("--lora", type=Path, help="with speech-text: file of adapters that make a recogniser of the model; "
                                             "default: with moshi-tiny, asr-tiny's")  # fmt: skip
    p.add_argument("--recogniser", type=Path, default=CHECKPOINTS / "recogniser-tiny", help="who judges Moshi's voice")
    p.add_argument("--trials", type=int, default=200, help="questions or sounds in each row")
    p.add_argument("--minutes", type=int, default=10, help="with moshi: of silence, and of noise")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--human", type=Path, help="a clone of the Free Spoken Digit Dataset, for human users")
    p.add_argument("--wav", type=Path, help="with mimi: measure only the quality of this recording of yours")
    p.add_argument("--json", type=Path, help="file to write the results to")
    return top


def run_talk(args: argparse.Namespace) -> None:
    device = pick_device()
    torch.set_num_threads(1)  # the operations of one frame are too small to be shared between cores
    mimi, moshi = load_mimi(args.mimi or mimi_of(args.moshi)).to(device), load_moshi(args.moshi).to(device)
    wav = read_sound(args.sound, mimi)
    print(f"on {device}", file=sys.stderr)
    text, audio = Sampling(args.text_temperature, 25), Sampling(args.audio_temperature, 250)
    stream = MoshiStream(moshi, mimi, args.seed, text=text, audio=audio)
    result = talk(stream, load_tokenizer(args.moshi), wav, args.out, args.transcript, args.after,
                  say=lambda piece: print(piece, end="", flush=True))  # fmt: skip
    print()
    print(f"{result['frames']} frames, median {result['frame_ms']['median']} ms, "
          f"real-time factor {result['rtf']}", file=sys.stderr)  # fmt: skip


def run_transcribe(args: argparse.Namespace) -> None:
    if args.json is not None:
        check_folder(args.json)  # before the work, not after it
    device = pick_device()
    torch.set_num_threads(1)
    mimi = load_mimi(args.mimi or mimi_of(args.model)).to(device)
    listener, wav = Listener(load_asr(args.model, args.lora).to(device), mimi), read_sound(args.sound, mimi)
    result = transcribe(listener, load_tokenizer(args.model), wav, say=lambda piece: print(piece, end="", flush=True))
    print()
    print(f"{result['seconds']} s, real-time factor {result['rtf']}", file=sys.stderr)
    if args.json is not None:
        with writing(args.json) as part:
            part.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def run_speak(args: argparse.Namespace) -> None:
    check_folder(args.out)
    device, kind, drawing = pick_device(), sound_format(args.out), Sampling(args.temperature, SAMPLING.top_k)
    torch.set_num_threads(1)
    mimi, moshi = load_mimi(args.mimi or mimi_of(args.model)).to(device), load_moshi(args.model).to(device)
    stream = MoshiStream(moshi, mimi, args.seed, text=drawing, audio=drawing)
    wav = speak(stream, load_tokenizer(args.model), args.text)
    with writing(args.out) as part:
        soundfile.write(part, wav.clamp(-1, 1).numpy(), mimi.config.sample_rate, "PCM_16", format=kind)
    print(f"{len(wav) / mimi.config.sample_rate:.2f} s", file=sys.stderr)


def read_sound(path: Path, mimi: Mimi) -> torch.Tensor:
    """The sound (T,) in a file, with notes on standard error about what had to be changed for it."""
    wav, notes = read_audio(path, mimi.config.sample_rate)
    if len(wav) < mimi.config.frame_size:
        notes.append("padded to one frame of 80 ms")
    for note in notes:
        print(f"note: {path}: {note}", file=sys.stderr)
    return wav


def run_encode(args: argparse.Namespace) -> None:
    mimi = load_mimi(args.mimi)
    wav = read_sound(args.sound, mimi)
    codes = in_pieces(mimi, mimi.encode, pad_to_frames(wav, mimi)[None, None], 10 * SECOND)
    with writing(args.codes) as part:
        save_file({"codes": codes[0].short().contiguous()}, part)
    print(json.dumps({"frames": codes.shape[2], "codebooks": codes.shape[1],
                      "bits_per_second": mimi.config.bits_per_second}))  # fmt: skip


def run_decode(args: argparse.Namespace) -> None:
    if not args.codes.is_file():
        raise FileNotFoundError(f"no file {args.codes}; expected a file written by encode")
    try:
        codes = load_file(args.codes)["codes"]  # (Q, F)
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"{args.codes} holds no codes; expected a file written by encode") from error
    if codes.dim() != 2:
        raise ValueError(f"expected codes (Q, F) in {args.codes}, got {tuple(codes.shape)}")
    count = len(codes) if args.codebooks is None else args.codebooks
    if not 1 <= count <= len(codes):
        raise ValueError(f"expected --codebooks from 1 to {len(codes)}, got {count}")
    mimi, kind = load_mimi(args.mimi), sound_format(args.sound)
    wav = in_pieces(mimi, mimi.decode, codes[None, :count].long(), 125)
    with writing(args.sound) as part:
        soundfile.write(part, wav[0, 0].clamp(-1, 1).numpy(), mimi.config.sample_rate, "PCM_16", format=kind)


def pad_to_frames(wav: torch.Tensor, mimi: Mimi) -> torch.Tensor:
    return torch.nn.functional.pad(wav, (0, -len(wav) % mimi.config.frame_size))


@torch.inference_mode()
def in_pieces(mimi: Mimi, function, x: torch.Tensor, size: int) -> torch.Tensor:
    """`mimi.encode` or `mimi.decode` of a long x, streamed in pieces of `size` along its last axis."""
    state = mimi.initial_state(1)
    return torch.cat([function(piece, state) for piece in x.split(size, dim=-1)], dim=-1)


def run_train(args: argparse.Namespace) -> None:
    name = args.profile or ("gpu" if torch.cuda.is_available() else "cpu")
    profile, run = recipes.PROFILES[name], f"{args.model}-{name}"
    if args.variant is not None:
        variants = {"mimi": VARIANTS, "moshi": WHAT_IS_LEFT_OUT}.get(args.model, ())
        if args.variant not in variants:
            raise ValueError(f"{args.model} has no variant {args.variant}; it has {', '.join(variants) or 'none'}")
        if args.model == "moshi" and args.human is not None:
            raise ValueError("Moshi's variants hear synthetic users alone; leave out --human")
        run += f"-{args.variant}-{args.seed}"
    if args.world is not None:
        if args.model != "recogniser":
            raise ValueError("--world is for the recogniser; write: train recogniser --world spoken")
        run += f"-{args.world}"
    if args.no_text or args.both:
        if args.model != "stages":
            raise ValueError("--no-text and --both are for the stages; write: train stages")
        run += "-no-text" * args.no_text + "-both" * args.both
    if args.bfloat16 and args.model not in ("stages", "asr", "tts") and not (args.model == "moshi" and args.variant):
        raise ValueError("--bfloat16 is for the stages, asr, tts and Moshi's variants; write: train stages --bfloat16")
    folder = args.out or Path("runs") / run
    if args.model == "mimi" and args.variant is not None:
        train_variant(args.variant, profile, folder, args.seed, args.human)
    elif args.model == "mimi":
        recipes.train_mimi(profile, folder, args.seed, args.human)
    elif args.model == "helium":
        recipes.train_helium(profile, folder, args.seed, args.text)
    elif args.model == "recogniser":
        train_recogniser(name, folder, args.seed, args.world or "small")
    elif args.model in ("asr", "tts"):
        moshi, tokenizer, codec = load_moshi(args.moshi), load_tokenizer(args.moshi), args.mimi or mimi_of(args.moshi)
        train_speech_text(args.model, profile, folder, args.seed, args.human, load_mimi(codec), moshi, tokenizer,
                          args.bfloat16)  # fmt: skip
        keep_codec(codec, folder)
    else:
        codec = args.mimi or MIMI
        mimi, helium, tokenizer = load_mimi(codec), load_helium(args.helium), load_tokenizer(args.helium)
        if args.variant is not None:
            train_moshi_variant(args.variant, profile, folder, args.seed, mimi, helium, tokenizer, args.bfloat16)
        elif args.model == "moshi":
            recipes.train_moshi(profile, folder, args.seed, args.human, mimi, helium, tokenizer)
        else:
            read = None if args.no_text else helium
            train_stages(profile, folder, args.seed, args.human, mimi, read, tokenizer, args.both, args.bfloat16)
        keep_codec(codec, folder)
    print(folder)
    leave()


def keep_codec(codec: Path, folder: Path) -> None:
    """Put the codec beside the model in `folder` that has learnt its codes, unless it is the mimi-tiny that comes along
    anyway: `mimi_of` will find it there."""
    if first() and codec.resolve() != MIMI.resolve():
        save(load_mimi(codec), folder / "mimi")


def run_finetune(args: argparse.Namespace) -> None:
    name = "finetune" if args.lora is None else f"finetune-lora-{args.lora}"
    folder, codec = args.out or Path("runs") / name, args.mimi or mimi_of(args.moshi)
    finetune(args.conversations, folder, load_moshi(args.moshi), load_mimi(codec), load_tokenizer(args.moshi),
             args.steps, args.learning_rate, args.batch_size, args.seconds, args.lora, args.seed)  # fmt: skip
    keep_codec(codec, folder)
    print(folder)
    leave()


def run_evaluate(args: argparse.Namespace) -> None:
    if args.trials < 1 or args.minutes < 1:
        raise ValueError(f"expected at least 1 trial and 1 minute, got {args.trials} and {args.minutes}")
    if args.wav is not None and args.model != "mimi":
        raise ValueError("--wav is for the codec; write: evaluate mimi --wav FILE")
    if args.lora is not None and args.model != "speech-text":
        raise ValueError("--lora is for the recogniser; write: evaluate speech-text --lora FILE")
    if args.json is not None:
        check_folder(args.json)  # before the work, not after it
    if args.model == "mimi":
        args.mimi = args.mimi or MIMI
    EVALUATIONS[args.model](args)


if __name__ == "__main__":
    sys.exit(main())
