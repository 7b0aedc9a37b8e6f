"""Training the recogniser that judges Moshi's voice; see `evaluation.recogniser`.

A judge must not know what it would like to hear. So it is trained on texts in which no word follows from the
others:

    random words       none to six in any order: "more eleven is two"
    random sentences   shaped like answers, with random numbers: sums are as a rule wrong

There are two judges. That of the small world knows the 22 words of sums, repetitions and comparisons; that of the
spoken world (`corpus.scripts`) knows all that Moshi answers there, and learns it from sentences like "Ada lives behind
the church.", as a rule wrong too. Both write plain words; see `judges.as_heard`.

Both hear Moshi's voice and users' voices. With speed, silence, telephone band, level and noise at random, and
with holes in the log-mel (Park et al. 2019), it learns to rely on no detail; it has never heard a codec.

Shapes: B batch, T samples, M mel bands, L mel frames, W words.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torchaudio.transforms import FrequencyMasking, TimeMasking
from tqdm import tqdm

from ..checkpoints import save
from ..corpus.augment import add_noise, change_level, change_speed, telephone
from ..corpus.documents import FAREWELLS, GREETINGS
from ..corpus.facts import FACTS, sentence
from ..corpus.scripts import HIGHEST, LONGEST, RELATIONS
from ..corpus.scripts import WORDS as THINGS
from ..corpus.small_world import DIGITS, NUMBERS
from ..corpus.voices import SAMPLE_RATE, moshi_voice, synthesize, user_voice
from ..evaluation.judges import agreement, as_heard, script_answers, spoken_answers
from ..evaluation.recogniser import BLANK, WORDS, Recogniser, RecogniserConfig, decode
from .distribution import pick_device
from .loop import train


@dataclass(frozen=True)
class RecogniserRecipe:
    utterances: int
    steps: int
    batch_size: int = 16
    learning_rate: float = 2e-3
    users: float = 0.4  # share of the utterances that are in users' voices
    sentences: float = 0.4  # share of those that are shaped like answers
    silence: float = 0.6  # seconds, the longest before and after the speech


RECIPES = {"smoke": RecogniserRecipe(40, 6, batch_size=2), "cpu": RecogniserRecipe(6_000, 2_400)}
RECIPES["gpu"] = RECIPES["cpu"]  # it is as good as it needs to be
SPOKEN_RECIPES = {"smoke": RECIPES["smoke"], "cpu": RecogniserRecipe(10_000, 3_200, sentences=0.5)}
SPOKEN_RECIPES["gpu"] = SPOKEN_RECIPES["cpu"]


# --- What is said ---------------------------------------------------------------------------------


def random_text(rng: random.Random, sentences: float) -> str:
    """Words to speak: an answer's shape with random numbers, or just words, sometimes none at all."""
    if rng.random() >= sentences:
        return " ".join(rng.choices(WORDS, k=rng.choice((0, 1, 1, 2, 3, 4, 5, 6))))
    a, b, c = rng.choice(DIGITS), rng.choice(DIGITS), rng.choice(NUMBERS)
    return rng.choice((f"{a} plus {b} is {c}", f"{a} {b}", f"{a} is more"))


OBJECTS = {relation: [fact.object for fact in FACTS if fact.relation == relation] for relation in RELATIONS}
SMALL_TALK = [answer for _, answer in (*GREETINGS, *FAREWELLS)]
SPOKEN_WORDS = tuple(sorted({  # all that Moshi ever answers in the spoken world, as a judge writes it
    word
    for text in (*(fact.answer for fact in FACTS), *SMALL_TALK, *THINGS, *NUMBERS, *WORDS, "you said")
    for word in as_heard(text).split()
}))  # fmt: skip


def random_script(rng: random.Random, sentences: float) -> str:
    """The same in the spoken world: written sentences shaped like answers, or just words."""
    if rng.random() >= sentences:
        return " ".join(rng.choices(SPOKEN_WORDS, k=rng.choice((0, 1, 1, 2, 3, 4, 5, 6))))
    shape = rng.choices(("fact", "numbers", "row", "word", "talk"), (6, 3, 2, 2, 1))[0]
    match shape:
        case "fact":
            fact = rng.choice(FACTS)
            subject = rng.choice([other.subject for other in FACTS if other.relation == fact.relation])
            words = fact.relation.statements[0].format(subject=subject, object=rng.choice(OBJECTS[fact.relation]))
        case "numbers":
            words = random_text(rng, sentences=1)
        case "row":
            words = ", ".join(rng.choices(NUMBERS[1 : HIGHEST + 1], k=rng.randint(2, LONGEST + 1)))
        case "word":
            words = f"you said {rng.choice(THINGS)}"
        case _:  # a part of it: the whole could be known by its first word
            said = rng.choice(SMALL_TALK).split()
            begin = rng.randrange(len(said))
            return " ".join(said[begin : rng.randint(begin + 1, len(said))])
    return sentence(words)


@dataclass(frozen=True)
class World:
    """What a judge is to know, how it is taught, and on what it is tested."""

    words: tuple[str, ...]
    text: Callable[[random.Random, float], str]  # a text to speak; the number is the share of sentences
    recipes: dict[str, RecogniserRecipe]
    answers: Callable[[int, int], list[tuple[Tensor, str]]]  # so many right answers, and what is heard in them


WORLDS = {
    "small": World(WORDS, random_text, RECIPES, spoken_answers),
    "spoken": World(SPOKEN_WORDS, random_script, SPOKEN_RECIPES, script_answers),
}


def random_speech(recipe: RecogniserRecipe, seed: int, world: World = WORLDS["small"]) -> list[tuple[Tensor, str]]:
    """The training set: sounds (T,), as 16-bit integers to save memory, and what is heard in them."""
    rng, items = random.Random(f"random speech {seed}"), []
    for _ in tqdm(range(recipe.utterances), "speaking", disable=None):
        text = world.text(rng, recipe.sentences)
        voice = user_voice(rng, "train") if rng.random() < recipe.users else moshi_voice(rng)
        wav = synthesize(text, voice).wav if text else torch.zeros(SAMPLE_RATE)
        items.append(((wav * 32767).to(torch.int16), as_heard(text)))
    return items


# --- Training -------------------------------------------------------------------------------------


class RecogniserTask:
    """What `training.loop.train` needs to train a Recogniser on (sound, text) items."""

    def __init__(self, recogniser: Recogniser, items: Sequence[tuple[Tensor, str]], recipe: RecogniserRecipe,
                 device: torch.device):
        self.items, self.recipe, self.device = items, recipe, device
        self.modules = recogniser.to(device).train()
        self.holes = nn.Sequential(
            FrequencyMasking(8, iid_masks=True), FrequencyMasking(8, iid_masks=True),
            TimeMasking(5, iid_masks=True), TimeMasking(5, iid_masks=True),
        )  # each up to 8 bands high or 0.1 s wide, at another place in every sound
        self.optimizer = torch.optim.AdamW(
            recogniser.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=1e-2
        )

    def disturb(self, wav: Tensor, rng: random.Random) -> Tensor:
        """A sound (T,) as it may come out of a loudspeaker in a room, some silence around it."""
        wav = change_speed(wav, rng)[0] if rng.random() < 0.5 else wav
        before, after = (round(rng.uniform(0, self.recipe.silence) * SAMPLE_RATE) for _ in range(2))
        return add_noise(change_level(telephone(F.pad(wav, (before, after)), rng), rng), rng)

    def losses(self, step: int, rng: random.Random) -> dict[str, Tensor]:
        """The losses of one batch; see `training.loop.Task`."""
        chosen = [rng.choice(self.items) for _ in range(self.recipe.batch_size)]
        wavs = [self.disturb(wav.float() / 32767, rng) for wav, _ in chosen]
        wav = pad_sequence(wavs, batch_first=True)  # (B, T)
        mel = self.holes(self.modules.mel(wav.to(self.device))[:, None])[:, 0]  # (B, M, L)
        logits = self.modules.logits(mel).cpu()  # (B, L / 2, 1 + W); not every device knows the CTC loss
        texts = [text for _, text in chosen]
        words = self.modules.config.words
        targets = [1 + words.index(word) for text in texts for word in text.split()]
        loss = F.ctc_loss(
            logits.log_softmax(-1).transpose(0, 1),  # (L / 2, B, 1 + W)
            torch.tensor(targets),
            torch.full((len(wav),), logits.shape[1]),
            torch.tensor([len(text.split()) for text in texts]),
            blank=BLANK,
        )
        right = [decode(row, words) == text for row, text in zip(logits, texts, strict=True)]
        return {"loss": loss, "right": torch.tensor(right).float().mean()}


def evaluate(recogniser: Recogniser, count: int = 600, seed: int = 0, world_name: str = "small") -> tuple[int, int]:
    """How many of `count` right answers, rendered anew, it does not transcribe word for word, and `count`."""
    right, n = agreement(recogniser.transcribe, WORLDS[world_name].answers(count, seed))
    return n - right, n


def train_recogniser(profile_name: str, folder: Path, seed: int, world_name: str = "small") -> Recogniser:
    """Train a recogniser of the world "small" or "spoken" into `folder`; profile "smoke", "cpu" or "gpu"."""
    if profile_name not in RECIPES or world_name not in WORLDS:
        raise ValueError(f"profile must be one of {', '.join(RECIPES)}, and the world one of {', '.join(WORLDS)}; "
                         f"got {profile_name!r} and {world_name!r}")  # fmt: skip
    world = WORLDS[world_name]
    recipe = world.recipes[profile_name]
    torch.manual_seed(seed)
    recogniser = Recogniser(RecogniserConfig(world.words))
    task = RecogniserTask(recogniser, random_speech(recipe, seed, world), recipe, pick_device())
    train(task, folder, recipe.steps, seed)
    save(recogniser.cpu().eval(), folder, torch.float16)
    return recogniser
