"""Two-channel dialogues: who says what, when, and what Moshi should be thinking meanwhile.

A dialogue is put together in the token domain. Each utterance is encoded once, with a moment of silence
before and after it, as a `Clip`. A dialogue then starts from two channels of silence, and clips are laid
over them: a question on the user's channel, and on Moshi's one of the many renderings of its answer, half
a second after the question has ended; then perhaps another question. Because Mimi is causal and forgets
within a second, this is the same, but for a frame at the seams, as encoding the mixed sound, and a million
different dialogues cost no more than some ten thousand clips.

Shapes: Q codebooks, F frames, K = 1 + 2 * Q streams. Times are seconds from the beginning.
"""

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from ..audio import writing
from ..inner_monologue import Word, words_to_tokens
from ..mimi import Mimi
from ..tokenizer import TextTokenizer
from .augment import NOISES, Noise, add_noise, change_level, telephone
from .phrasings import AFTER
from .utterances import Utterance

LEAD, TAIL = 0.4, 0.64  # seconds of silence in a clip before and after the speech
GAP = (0.40, 0.56)  # seconds between the end of a question and the start of its answer
PAUSE = (0.6, 2.5)  # seconds between an answer and the next question
HEARING = 0.2  # seconds after a user's word by which its text is expected (training only)
BREAK = 0.1  # seconds: a silence between two words that is at least as long may become longer
HESITATION = 6  # frames by which it becomes longer at most


@dataclass(frozen=True)
class Clip:
    """An utterance as Mimi codes."""

    codes: Tensor  # (Q, F) int16
    words: tuple[Word, ...]  # times from the clip's beginning
    start: float  # of the speech
    end: float
    answer: str  # what Moshi says, or should say to it


def pad(utterance: Utterance, rng: random.Random, augmented: bool,
        noise: Noise | None = None) -> tuple[Tensor, float]:
    """The sound (T,) of a clip, in a noise if there is one, and the start of its speech, which falls anywhere within a
    frame."""
    start = round((LEAD + rng.uniform(0, 0.08)) * 24_000)
    wav = F.pad(utterance.wav, (start, round(TAIL * 24_000)))
    if augmented:
        wav = add_noise(change_level(telephone(wav, rng), rng), rng)
    wav = F.pad(wav, (0, -len(wav) % 1920))
    return wav if noise is None else noise.add(wav, rng), start / 24_000


@torch.inference_mode()
def encode(mimi: Mimi, utterances: Sequence[Utterance], seed: int, augmented: bool, title: str,
           noise: Noise | None = None) -> list[Clip]:
    """Encode utterances into clips, batches of about equal length together. The order is kept."""
    device = next(mimi.parameters()).device
    batch_size = 2 if device.type == "cpu" else 32  # what a processor's caches cannot hold takes three times as long
    order = sorted(range(len(utterances)), key=lambda i: (len(utterances[i].wav), i))
    clips: list[Clip | None] = [None] * len(utterances)
    for begin in tqdm(range(0, len(order), batch_size), title, disable=None):
        indices = order[begin : begin + batch_size]
        batch = [utterances[i] for i in indices]
        padded = [pad(u, random.Random(f"{seed}/{i}"), augmented, noise) for i, u in zip(indices, batch, strict=True)]
        longest = max(len(wav) for wav, _ in padded)
        stacked = torch.stack([F.pad(wav, (0, longest - len(wav))) for wav, _ in padded])[:, None]
        codes = mimi.encode(stacked.to(device)).short().cpu()  # (B, Q, F)
        for row, (i, utterance, (wav, start)) in enumerate(zip(indices, batch, padded, strict=True)):
            words = tuple(replace(w, start=w.start + start, end=w.end + start) for w in utterance.words)
            end = start + len(utterance.wav) / 24_000
            kept = codes[row, :, : len(wav) // 1920].clone()
            clips[i] = Clip(kept, words, start, end, utterance.exchange.answer)
    return clips


def save_clips(clips: Sequence[Clip], path: Path) -> None:
    """Write clips into one safetensors file, aside first and then renamed."""
    index = [[c.codes.shape[1], [[w.text, w.start, w.end] for w in c.words], c.start, c.end, c.answer] for c in clips]
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path) as part:
        save_file({"codes": torch.cat([c.codes for c in clips], dim=1)}, part, {"index": json.dumps(index)})


def load_clips(path: Path) -> list[Clip]:
    """Read what `save_clips` wrote."""
    with safe_open(path, framework="pt") as file:
        index, codes = json.loads(file.metadata()["index"]), file.get_tensor("codes")
    pieces = codes.split([entry[0] for entry in index], dim=1)
    return [
        Clip(piece, tuple(Word(*w) for w in words), start, end, answer)
        for piece, (_, words, start, end, answer) in zip(pieces, index, strict=True)
    ]


def fingerprint(mimi: Mimi) -> str:
    """A name for the codes of this very Mimi: other weights before or in the quantizer, other codes."""
    digest = hashlib.sha256()
    for name, value in sorted(mimi.state_dict().items()):
        if not name.startswith(("upsample", "decoder")):
            digest.update(name.encode() + value.cpu().numpy().tobytes())
    return digest.hexdigest()[:12]


@torch.inference_mode()
def encode_backgrounds(mimi: Mimi, frames: int, count: int, seed: int) -> Tensor:
    """Channels on which nobody speaks: (count, Q, frames). The first is digital silence, the others are
    silence or noise of every level."""
    rng, device = random.Random(seed), next(mimi.parameters()).device
    silence = torch.zeros(frames * 1920)
    sounds = [silence] + [change_level(add_noise(silence, rng), rng) for _ in range(count - 1)]
    return torch.cat([mimi.encode(sound[None, None].to(device)).short().cpu() for sound in sounds])


@torch.inference_mode()
def encode_noises(mimi: Mimi, frames: int, count: int, seed: int) -> Tensor:
    """Channels with nothing but each of the `augment.NOISES` for a while: (noises, count, Q, frames)."""
    rng, device = random.Random(f"{seed}/noises"), next(mimi.parameters()).device
    nothing = torch.zeros(frames * 1920)
    sounds = torch.stack([noise.add(nothing, rng) for noise in NOISES for _ in range(count)])  # (noises * count, T)
    codes = torch.cat([mimi.encode(sound[None, None].to(device)).short().cpu() for sound in sounds])
    return codes.unflatten(0, (len(NOISES), count))


def later(words: Sequence[Word], seconds: float) -> list[Word]:
    """The same words, so many seconds later."""
    return [replace(w, start=w.start + seconds, end=w.end + seconds) for w in words]


def place(clip: Clip, channel: Tensor, speech_start: float, frame_rate: float) -> int:
    """Write a clip into a channel (Q, F) so that its speech starts near `speech_start`. Returns its first frame."""
    first = max(0, round((speech_start - clip.start) * frame_rate))
    room = max(0, channel.shape[-1] - first)
    channel[:, first : first + clip.codes.shape[-1]] = clip.codes[:, :room]
    return first


def asked_already(clip: Clip, count: int) -> bool:
    """Whether the first `count` words are the whole question, and only a "please" or the like is still to come."""
    rest = " ".join(word.text for word in clip.words[count:])
    return rest.lower().strip(".,?!") in AFTER


def words_of_question(clip: Clip) -> int:
    """How many of the words are the question itself: all, or those before a "please" or the like."""
    counts = range(1, len(clip.words))
    return next((count for count in counts if asked_already(clip, count)), len(clip.words))


def without_afterthought(clip: Clip, frame_rate: float) -> Clip:
    """The clip without the "please" or the like at its end, and with the silence that follows it there. The voice still
    rises or falls as before something more: who has only heard that voice before a "please" waits for it."""
    count = words_of_question(clip)
    if count == len(clip.words):
        return clip
    last, after = clip.words[count - 1 : count + 1]
    kept, silence = round((last.end + after.start) / 2 * frame_rate), int(TAIL * frame_rate)
    codes = torch.cat([clip.codes[:, :kept], clip.codes[:, -silence:]], dim=1)
    return replace(clip, codes=codes, words=clip.words[:count], end=last.end)


def hesitate(clip: Clip, rng: random.Random, frame_rate: float) -> Clip:
    """The clip with more silence, taken from its end, where it pauses between two words. People take their time;
    a model that has only heard short pauses interrupts them. Nobody hesitates where all is asked: nobody could tell
    that from the end of the question."""
    for index in range(len(clip.words) - 1, 0, -1):
        before, after = clip.words[index - 1 : index + 1]
        if after.start - before.end >= BREAK and not asked_already(clip, index):
            more = rng.randint(0, HESITATION)
            cut = round((before.end + after.start) / 2 * frame_rate)
            silence = clip.codes[:, [rng.randint(-5, -2) for _ in range(more)]]  # (Q, more)
            codes = torch.cat([clip.codes[:, :cut], silence, clip.codes[:, cut:]], dim=1)
            words = (*clip.words[:index], *later(clip.words[index:], more / frame_rate))
            clip = replace(clip, codes=codes, words=words, end=clip.end + more / frame_rate)
    return clip


@dataclass(frozen=True)
class Dialogue:
    """A grid of tokens, and what the user says as a text stream of its own."""

    codes: Tensor  # (K, F) int64: Moshi's text and codes, the user's codes
    user_text: Tensor  # (F,) int64: the user's words as they become known; PAD and EPAD elsewhere
    given: bool = False  # Moshi's words are given to it, so there is nothing to learn about which they are
    shown: Tensor | None = None  # (K, F) int64: what is seen and heard instead of the codes

    def until(self, frame: int) -> "Dialogue":
        """What comes before a frame."""
        shown = None if self.shown is None else self.shown[:, :frame]
        return replace(self, codes=self.codes[:, :frame], user_text=self.user_text[:frame], shown=shown)

    @property
    def past(self) -> Tensor:
        """The tokens as they are shown, (K, F)."""
        return self.codes if self.shown is None else self.shown


class Dialogues:
    """Draws random dialogues from clips of questions and answers. Questions whose answer was never rendered
    are left out; raises ValueError if none is left."""

    def __init__(self, questions: Sequence[Clip], answers: Sequence[Clip], backgrounds: Tensor,
                 tokenizer: TextTokenizer, frame_rate: float):
        self.backgrounds, self.tokenizer, self.frame_rate = backgrounds, tokenizer, frame_rate
        self.answers: dict[str, list[Clip]] = {}
        for clip in answers:
            self.answers.setdefault(clip.answer, []).append(clip)
        self.questions = [question for question in questions if question.answer in self.answers]
        if not self.questions:
            raise ValueError(f"none of {len(questions)} questions has a rendering of its answer; render more answers")

    def draw(self, rng: random.Random) -> Dialogue:
        """A dialogue as long as the backgrounds: questions and answers, or, now and then, nothing at all."""
        moshi = self.backgrounds[0].clone()  # (Q, F)
        user = self.backgrounds[rng.choice([0, rng.randrange(len(self.backgrounds))])].clone()
        frames = moshi.shape[-1]
        said, heard, now = [], [], rng.uniform(0.0, 2.0)
        while now < frames / self.frame_rate and rng.random() > 0.04:
            question = hesitate(rng.choice(self.questions), rng, self.frame_rate)
            answer = rng.choice(self.answers[question.answer])
            asked, ended = self.lay(question, user, now)
            answered, ended = self.lay(answer, moshi, ended + rng.uniform(*GAP))
            heard += [Word(w.text, w.end + HEARING, w.end + HEARING) for w in asked]
            said += answered
            now = ended + rng.uniform(*PAUSE)
        text = words_to_tokens(said, self.tokenizer, frames, self.frame_rate)
        codes = torch.cat([text[None], moshi.long(), user.long()])
        return Dialogue(codes, words_to_tokens(heard, self.tokenizer, frames, self.frame_rate))

    def lay(self, clip: Clip, channel: Tensor, speech_start: float) -> tuple[list[Word], float]:
        """Write a clip into a channel (Q, F) so that its speech starts near `speech_start`. Returns its words and
        the end of its speech, in the channel's time."""
        shift = place(clip, channel, speech_start, self.frame_rate) / self.frame_rate
        return later(clip.words, shift), clip.end + shift
