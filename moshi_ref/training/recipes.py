"""The named recipes: which data, which sizes, how many steps, for each profile.

`smoke` proves in seconds that everything runs; `cpu` made the committed models on two processor cores;
`gpu` trains longer on more data.
"""

import random
import string
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

import torch

from ..checkpoints import save
from ..corpus.cleaning import Filters, Report, clean, read_texts
from ..corpus.dialogues import Clip, Dialogues, encode, encode_backgrounds, fingerprint, load_clips, save_clips
from ..corpus.documents import documents
from ..corpus.human import HumanUtterances
from ..corpus.small_world import sentences
from ..corpus.utterances import CACHE, VERSION, Utterance, VariedUtterances, utterances
from ..corpus.words import TRAIN_WORDS
from ..helium import Helium, HeliumConfig
from ..mimi import Mimi, MimiConfig
from ..moshi import Moshi, MoshiConfig
from ..tokenizer import TextTokenizer
from .codec import CodecRecipe, CodecTask, DecoderTask, Source
from .discriminator import DiscriminatorConfig
from .distribution import first, first_before_others, pick_device, whole
from .language import LanguageRecipe, LanguageTask, start_from_helium
from .loop import train
from .text import TextRecipe, TextTask, pack

BACKGROUNDS = 64  # channels on which nobody speaks


@dataclass(frozen=True)
class Profile:
    name: str
    questions: int  # utterances of synthetic users, for Mimi
    answers: int  # renderings of Moshi's answers, for Mimi
    readings: int  # of words without meaning, for Mimi
    clips: tuple[int, int, int]  # questions (see `sources.py`), answers and human utterances of Moshi's dialogues
    frames: int  # of a training dialogue
    mimi_steps: int
    variant_steps: int  # of a Mimi with a part left out
    finer_steps: int  # more steps of Mimi, slower ones, in which the envelopes count more
    decoder_steps: int  # and some more, in which only its decoder learns
    mimi: CodecRecipe
    finer: CodecRecipe
    decoder: CodecRecipe
    moshi_steps: int
    moshi: LanguageRecipe
    megabytes: float  # of text, for Helium
    helium_steps: int
    helium: TextRecipe


FINER = CodecRecipe(learning_rate=3e-4, unquantized_steps=0, envelope=2.0)
DECODER = replace(FINER, learning_rate=5e-4, wave=0.0)  # a loss of samples makes soft what cannot be foretold
JUDGED = CodecRecipe(mel=2.0, wave=0.1, adversarial=4.0, features=4.0)  # by a discriminator too
LARGE = replace(JUDGED, batch_size=32, discriminator=DiscriminatorConfig())

PROFILES = {
    "smoke": Profile("smoke", 40, 60, 20, (40, 60, 10), 40, 6, 6, 2, 2, CodecRecipe(batch_size=2, unquantized_steps=3),
                     replace(FINER, batch_size=2), replace(JUDGED, batch_size=2), 6, LanguageRecipe(batch_size=2),
                     0.1, 6, TextRecipe(batch_size=2)),
    "cpu": Profile("cpu", 10_000, 6_000, 8_000, (20_000, 8_000, 5_000), 144, 12_000, 4_000, 2_000, 12_000,
                   CodecRecipe(), FINER, DECODER, 9_000, LanguageRecipe(), 4.0, 1_000, TextRecipe()),
    "gpu": Profile("gpu", 40_000, 20_000, 30_000, (40_000, 20_000, 10_000), 144, 15_000, 15_000, 3_000, 15_000, LARGE,
                   replace(LARGE, learning_rate=3e-4, unquantized_steps=0, envelope=2.0), LARGE,
                   15_000, LanguageRecipe(batch_size=64), 20.0, 5_000, TextRecipe(batch_size=64)),
}  # fmt: skip


def spoken(questions: int, answers: int, seed: int, human: Path | None) -> tuple[Sequence[Utterance], ...]:
    """Utterances of synthetic users, of Moshi, and of human users (empty without a path to FSDD)."""
    people = () if human is None else HumanUtterances(human, "train", 100_000, seed)
    if human is None:
        print("no human digits: pass --human PATH to a clone of the Free Spoken Digit Dataset", file=sys.stderr)
    users = utterances("user", "train", questions, seed)
    return users, utterances("moshi", "train", answers, seed), people


def heard(profile: Profile, seed: int, human: Path | None) -> tuple[Sequence[Utterance], ...]:
    """Whom Mimi hears: Moshi, readers, users, people."""
    users, moshi, people = first_before_others(lambda: spoken(profile.questions, profile.answers, seed, human))
    readers = first_before_others(lambda: utterances("reader", "train", profile.readings, seed))
    return moshi, readers, users, people


def mix(voices: Sequence[Sequence[Utterance]], *weights: float) -> list[Source]:
    """How often Mimi hears each of `heard`. Moshi's voice comes from Moshi itself, clean; the others from a room."""
    every = zip(voices, weights, (False, True, True, True), strict=True)
    return [Source(said, weight, augmented) for said, weight, augmented in every if said]


def new_codec(config: MimiConfig, voices: Sequence[Sequence[Utterance]], recipe: CodecRecipe, seed: int) -> CodecTask:
    """A Mimi of which everything is still to learn."""
    torch.manual_seed(seed)
    device = pick_device()
    print(f"training Mimi on {device}", file=sys.stderr)
    return CodecTask(Mimi(config), mix(voices, 0.25, 0.35, 0.25, 0.15), recipe, device)


def train_mimi(profile: Profile, folder: Path, seed: int, human: Path | None) -> Mimi:
    """Train the tiny Mimi into `folder`, first in large steps and then in finer ones; and at last its decoder alone,
    without the waveform loss; see `training.codec`."""
    voices = heard(profile, seed, human)
    first_task = new_codec(MimiConfig.tiny(), voices, profile.mimi, seed)
    train(first_task, folder, profile.mimi_steps, seed)
    task = CodecTask(first_task.trained(), first_task.sources, profile.finer, first_task.device)
    task.projection.load_state_dict(first_task.projection.state_dict())  # the teacher is understood already
    train(task, folder / "finer", profile.finer_steps, seed)
    task = DecoderTask(task.trained(), mix(voices, 0.30, 0.40, 0.20, 0.10), profile.decoder, task.device)
    train(task, folder / "decoder", profile.decoder_steps, seed)
    return keep(task, folder)


def keep(task: CodecTask, folder: Path) -> Mimi:
    """The trained Mimi, which the first process writes into `folder`."""
    mimi = task.trained()
    if first():
        save(mimi, folder, torch.float16)
    return mimi


def train_tokenizer(texts: Iterable[str], vocabulary: int = 1600) -> TextTokenizer:
    """The tokenizer of the small world and of `texts`: what may be read and heard in training, and letters."""
    lines = [line for text in texts for line in text.split("\n")]
    return TextTokenizer.train([*lines, *sentences(), *TRAIN_WORDS, *string.ascii_lowercase], vocabulary)


def first_megabyte(texts: Iterable[str]) -> list[str]:
    """As many texts as a megabyte holds, one at least: enough to know the words."""
    sizes = accumulate(len(text) for text in texts)
    return [text for i, (text, size) in enumerate(zip(texts, sizes, strict=True)) if i == 0 or size <= 1e6]


def own_texts(folder: Path, seed: int) -> list[str]:
    """What cleaning leaves of a reader's own text files, with a report on standard error."""
    texts, report = list(read_texts(folder)), Report()
    cleaned = list(clean(texts, Filters.train(texts, seed), report))
    print(report, file=sys.stderr)
    return cleaned


def keep_with_tokenizer(model: Helium | Moshi, tokenizer: TextTokenizer, folder: Path) -> Helium | Moshi:
    """The trained model, undivided, which the first process writes into `folder`."""
    weights = {name: whole(tensor).cpu() for name, tensor in model.state_dict().items()}
    trained = type(model)(model.config).eval()
    trained.load_state_dict(weights)
    if first():
        save(trained, folder, torch.float16)
        tokenizer.save(folder / "tokenizer.model")
    return trained


def train_helium(profile: Profile, folder: Path, seed: int, text: Path | None = None) -> Helium:
    """Train the tiny Helium into `folder`, on the small world's text and that in the folder `text`; see
    `training.text`. The tokenizer is trained first, on the first megabyte."""
    read = [*documents(profile.megabytes, seed), *([] if text is None else own_texts(text, seed))]
    random.Random(seed).shuffle(read)
    tokenizer = train_tokenizer(first_megabyte(read))
    device = pick_device()
    print(f"training Helium on {device}", file=sys.stderr)
    torch.manual_seed(seed)
    helium = Helium(HeliumConfig.tiny(len(tokenizer)))
    held_out = pack(documents(profile.megabytes / 40, seed, "test"), tokenizer)
    train(TextTask(helium, pack(read, tokenizer), held_out, profile.helium, device), folder, profile.helium_steps, seed)
    return keep_with_tokenizer(helium, tokenizer, folder)


def clips(mimi: Mimi, said: Sequence[Utterance], count: int, name: str, seed: int, augmented: bool) -> list[Clip]:
    """The first `count` utterances as codes of this Mimi, from the cache if they were encoded before."""
    path = CACHE / f"clips-{VERSION}-{fingerprint(mimi)}-{name}-{count}-{seed}.safetensors"

    def found() -> list[Clip]:
        if not path.exists():
            save_clips(encode(mimi, [said[i] for i in range(count)], seed, augmented, f"encoding {name}"), path)
        return load_clips(path)

    return first_before_others(found)


def train_moshi(profile: Profile, folder: Path, seed: int, human: Path | None, mimi: Mimi, helium: Helium,
                tokenizer: TextTokenizer) -> Moshi:
    """Train the tiny Moshi into `folder`, from a Helium and its tokenizer on, on the codes of `mimi`; see
    `training.language`."""
    torch.manual_seed(seed)
    device = pick_device()
    print(f"training Moshi on {device}", file=sys.stderr)
    mimi = mimi.to(device)
    asked, answered, human_asked = profile.clips
    users, answers, people = spoken(asked, answered, seed, human)
    questions = clips(mimi, VariedUtterances(users, seed), asked, "questions", seed, True)
    replies = clips(mimi, answers, answered, "answers", seed, False)
    if people:
        questions += clips(mimi, people, human_asked, "people", seed, True)
    backgrounds = encode_backgrounds(mimi, profile.frames, BACKGROUNDS, seed)
    dialogues = Dialogues(questions, replies, backgrounds, tokenizer, mimi.config.frame_rate)
    torch.manual_seed(seed)
    moshi = Moshi(MoshiConfig.tiny(len(tokenizer)))
    start_from_helium(moshi, helium)
    train(LanguageTask(moshi, dialogues.draw, profile.moshi, device), folder, profile.moshi_steps, seed)
    return keep_with_tokenizer(moshi, tokenizer, folder)
