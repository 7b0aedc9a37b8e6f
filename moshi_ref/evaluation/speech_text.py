"""How many words Moshi gets wrong when it writes down what is said, and how many it spoils when it reads aloud.

    python -m moshi_ref evaluate speech-text --moshi FOLDER --trials 200 --json errors.json

    recognition   readings and held-out questions in held-out voices, and digits by people, are written down
                  (`speech_text.transcribe`), by the model itself, and by the recogniser that adapters make of it
                  (`training/lora.py`), if there are any. Counted are word errors, and how many of the right words come
                  within one frame (80 ms) of the time at which they were spoken.
    synthesis     Moshi's answers are spoken (`speech_text.speak`), and a judge who has never heard this voice through a
                  codec writes them down (`recogniser.py`). Counted are word errors of the judge, beside those that it
                  makes on the synthesizer's originals of the same texts, and on these through the codec.

Words are compared in small letters and without stops (`scripts.plain`). The sentences of the readings are drawn as in
training, and some of them are the same; only their voices are held out. The questions are of the test.
"""

import argparse
import difflib
import itertools
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from tqdm import tqdm

from ..audio import writing
from ..checkpoints import load_mimi, load_moshi, load_tokenizer, mimi_of
from ..corpus.dialogues import later
from ..corpus.human import HumanUtterances
from ..corpus.scripts import TOPICS, draw_script, plain, reading
from ..corpus.small_world import Exchange
from ..corpus.utterances import Utterance, render_user
from ..corpus.voices import SAMPLE_RATE, user_voice
from ..mimi import Mimi
from ..moshi import Moshi, MoshiStream
from ..speech_text import SAMPLING, Listener, speak, transcribe
from ..tokenizer import TextTokenizer
from ..training.lora import load_adapters, recogniser_of
from .duplex import share
from .intelligibility import word_errors
from .judges import as_heard, knows
from .recogniser import Recogniser, load_recogniser
from .spoken_world import originals

BEFORE = (0.3, 1.0)  # seconds of silence before what is to be written down
FRAME = 0.08  # seconds


def rate(errors: int, words: int) -> dict:
    """A word error rate; of no words nothing is known."""
    return {"errors": errors, "words": words, "rate": round(errors / words, 4) if words else None}


# --- Recognition ----------------------------------------------------------------------------------


def after_silence(utterance: Utterance, rng: random.Random) -> Utterance:
    """The utterance with some silence before it, and its words as late as they then are."""
    samples = round(rng.uniform(*BEFORE) * SAMPLE_RATE)
    words = tuple(later(utterance.words, samples / SAMPLE_RATE))
    return replace(utterance, wav=F.pad(utterance.wav, (samples, 0)), words=words)


def utterances(count: int, seed: int, people: Path | None) -> dict[str, list[Utterance]]:
    """What is to be written down, `count` utterances of each kind."""
    rng, said = random.Random(f"{seed}/to write down"), {"readings": [], "questions": []}
    for _ in range(count):
        text = reading(rng)
        for kind, about in (("readings", Exchange("reading", text, text, ())), ("questions", draw_script(rng, "test"))):
            said[kind].append(after_silence(render_user(about, user_voice(rng, "test"), rng), rng))
    if people is not None:
        said["human digits"] = [after_silence(each, rng) for each in HumanUtterances(people, "test", count, seed)]
    return said


def in_time(said: Utterance, transcript: dict) -> tuple[int, int]:
    """How many of the words that were written down rightly have a time that is right to the frame, and how many there
    are. Which word is which is found by the longest common parts of both texts."""
    spoken = [(plain(word.text), word.start) for word in said.words]
    written = [(plain(word["text"]), word["start"]) for word in transcript["words"]]
    matcher = difflib.SequenceMatcher(None, [w for w, _ in spoken], [w for w, _ in written], autojunk=False)
    late = [
        abs(written[block.b + i][1] - spoken[block.a + i][1])
        for block in matcher.get_matching_blocks() for i in range(block.size)
    ]  # fmt: skip
    return sum(seconds <= FRAME + 1e-6 for seconds in late), len(late)


def recognition(said: Sequence[Utterance], transcripts: Sequence[dict]) -> dict:
    """Word errors and times of transcripts, as `speech_text.transcribe` gives them."""
    texts = [(plain(written["text"]), plain(each.text)) for each, written in zip(said, transcripts, strict=True)]
    counts = [in_time(*pair) for pair in zip(said, transcripts, strict=True)]
    errors = rate(*word_errors(lambda written: written, texts))  # what is judged has been written down already
    return errors | {"times": share(sum(right for right, _ in counts), sum(n for _, n in counts))}


def written_down(moshi: Moshi, mimi: Mimi, tokenizer: TextTokenizer, said: Iterable[Utterance]) -> list[dict]:
    """Each utterance by a listener of its own."""
    bar = tqdm(said, "writing", leave=False, disable=None)
    return [transcribe(Listener(moshi, mimi), tokenizer, utterance.wav) for utterance in bar]


# --- Synthesis ------------------------------------------------------------------------------------


def texts_for(judge: Recogniser, count: int, seed: int) -> list[str]:
    """Answers of all splits of which the judge knows every word. Raises ValueError if it knows none."""
    rng = random.Random(f"{seed}/to speak")
    answers = (draw_script(rng, rng.choice(list(TOPICS))).answer for _ in range(100 * count))
    texts = list(itertools.islice((answer for answer in answers if knows(judge, answer)), count))
    if not texts:
        raise ValueError("the judge knows no answer of the spoken world; use one that `train recogniser` has made")
    return texts


@torch.inference_mode()
def synthesis(moshi: Moshi, mimi: Mimi, tokenizer: TextTokenizer, judge: Recogniser, count: int, seed: int) -> dict:
    """Word errors of the judge on what the model speaks, on the originals, and on these through the codec."""
    texts, kinds = texts_for(judge, count, seed), {"spoken by the model": []}
    for i, text in enumerate(tqdm(texts, "speaking", leave=False, disable=None)):
        stream = MoshiStream(moshi, mimi, seed + i, text=SAMPLING, audio=SAMPLING)
        kinds["spoken by the model"].append((speak(stream, tokenizer, text), as_heard(text)))
    kinds |= originals(texts, mimi, random.Random(f"{seed}/originals"))
    return {name: rate(*word_errors(judge.transcribe, items)) for name, items in kinds.items()}


# --- The command ----------------------------------------------------------------------------------


def models(folder: Path, mimi: Path | None) -> tuple[Moshi, Mimi, TextTokenizer]:
    """A model, the codec that it needs, and its tokenizer."""
    return load_moshi(folder), load_mimi(mimi or mimi_of(folder)), load_tokenizer(folder)


def run(args: argparse.Namespace) -> None:
    """The command `evaluate speech-text`: both tables, printed as they come, and written as JSON if asked to."""
    torch.set_num_threads(1)  # the operations of one frame are too small to be shared between cores
    moshi, tokenizer = load_moshi(args.moshi), load_tokenizer(args.moshi)
    mimi, judge = load_mimi(args.mimi or mimi_of(args.moshi)), load_recogniser(args.recogniser)
    ears, results = {"recognition": moshi}, {}
    lora = args.lora or recogniser_of(args.moshi)
    if lora is not None:
        ears["recognition with adapters"] = load_adapters(load_moshi(args.moshi), lora)
    for kind, said in utterances(args.trials, args.seed, args.human).items():
        for ear, model in ears.items():
            row = recognition(said, written_down(model, mimi, tokenizer, said))
            results.setdefault(ear, {})[kind] = row
            print(f"{ear + ', ' + kind:41}", row, flush=True)
    results["synthesis"] = synthesis(moshi, mimi, tokenizer, judge, args.trials, args.seed)
    for kind, row in results["synthesis"].items():
        print(f"{'synthesis, ' + kind:41}", row)
    if args.json is not None:
        with writing(args.json) as part:
            part.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
