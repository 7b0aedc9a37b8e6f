"""Two judges that write down what they hear, and how often they hear what the text says.

A judge is any function from sound to text. Here are two that have nothing in common:

    load_recogniser(folder).transcribe   our own recogniser, trained on Moshi's voice, without a grammar
    hears                                pocketsphinx, trained by others on people, with a grammar of answers

Both were trained on originals, never on the output of a codec: what they mishear is the codec's or the
model's fault, up to their own error, which `agreement` on `spoken_answers` measures.
"""

import functools
import random
from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
import torchaudio
from torch import Tensor

from ..corpus.scripts import TOPICS, draw_script, plain
from ..corpus.small_world import DIGITS, NUMBERS, exchange, held_out_pairs, known_pairs
from ..corpus.utterances import render_moshi
from ..corpus.voices import SAMPLE_RATE, moshi_voice, to_loudness
from .recogniser import Recogniser

# Of two words that sound alike nobody can say which was spoken: {one: the other, for which it passes}
SOUND_ALIKE = {"bee": "bea", "for": "four", "to": "two"}

Judge = Callable[[Tensor], str]  # sound (T,) at 24 kHz -> words separated by spaces


def agreement(judge: Judge, items: Iterable[tuple[Tensor, str]]) -> tuple[int, int]:
    """How many of the (sound, text) items the judge writes down word for word, and how many there are."""
    right = [judge(wav) == text for wav, text in items]
    return sum(right), len(right)


def spoken_answers(count: int, seed: int) -> list[tuple[Tensor, str]]:
    """Moshi's right answers in the synthesizer's own voice: what a perfect model would say through a perfect
    codec. Sums, repetitions and comparisons in turn, of known and of held-out pairs alike."""
    rng, items = random.Random(f"spoken answers {seed}"), []
    for i in range(count):
        topic = ("sum", "repeat", "compare")[i % 3]
        pairs = rng.choice((known_pairs, held_out_pairs))(topic)
        answer = render_moshi(exchange(topic, *rng.choice(pairs)), moshi_voice(rng))
        items.append((answer.wav, answer.text))
    return items


def as_heard(text: str) -> str:
    """What a judge writes down if it hears a written text: "Nice to hear." is "nice two hear"."""
    return " ".join(SOUND_ALIKE.get(word, word) for word in plain(text).split())


def knows(judge: Recogniser, text: str) -> bool:
    """Whether the recogniser knows the words of a written text, of which there must be one at least."""
    words = [as_heard(word) for word in text.split()]
    return bool(words) and set(words) <= set(judge.config.words)


def script_answers(count: int, seed: int) -> list[tuple[Tensor, str]]:
    """Moshi's right answers to the scripts of the spoken world, of every split, in the synthesizer's own voice."""
    rng, items = random.Random(f"script answers {seed}"), []
    for i in range(count):
        about = draw_script(rng, list(TOPICS)[i % len(TOPICS)])
        items.append((render_moshi(about, moshi_voice(rng)).wav, as_heard(about.answer)))
    return items


# --- Pocketsphinx ---------------------------------------------------------------------------------

GRAMMAR = f"""#JSGF V1.0;
grammar answers;
<digit> = {" | ".join(DIGITS)};
<number> = {" | ".join(NUMBERS)};
public <answer> = <number> plus <number> is <number> | <digit> <digit> | <digit> is more;
"""
PEOPLE = 16_000  # Hz, what pocketsphinx expects
SLOWER = 18_000  # Hz, what it gets: see `as_a_person`
SILENCE = 0.4  # seconds before and after the speech, from which it learns what silence is like here
NOISE = 10 ** (-70 / 20)  # a very quiet room; perfect digital silence was never in its training


@functools.lru_cache
def _decoder():
    try:
        import pocketsphinx
    except ImportError as error:
        raise ImportError("the second judge needs pocketsphinx: pip install pocketsphinx==5.0.4") from error
    config = pocketsphinx.Config(loglevel="FATAL")
    config["lm"] = None  # the grammar takes the place of the language model
    decoder = pocketsphinx.Decoder(config)
    decoder.add_jsgf_string("answers", GRAMMAR)
    decoder.activate_search("answers")
    return decoder


def speech_only(wav: Tensor) -> Tensor:
    """(T,) without the silence before and after; a tenth of a second of it is kept on both sides."""
    frame = SAMPLE_RATE // 50  # 20 ms
    power = F.pad(wav, (0, -len(wav) % frame)).unflatten(0, (-1, frame)).square().mean(1)  # (frames,)
    loud = torch.nonzero(power > power.max() * 1e-4)[:, 0]  # within 40 dB of the loudest frame
    if len(loud) == 0:
        return wav
    return wav[max(0, int(loud[0]) - 5) * frame : (int(loud[-1]) + 6) * frame]


def as_a_person(wav: Tensor) -> Tensor:
    """Moshi (T,) at 24 kHz -> a sound (T',) at 16 kHz that is more like the people whom pocketsphinx knows.

    The variant "f3" has a shorter vocal tract than they have, so its vowels ring too high, and "five" is
    taken for "nine". A sound made for 18 kHz and played at 16 kHz is a ninth lower: this cures it.
    """
    wav = torchaudio.functional.resample(to_loudness(speech_only(wav)), SAMPLE_RATE, SLOWER)
    wav = F.pad(wav, (round(SILENCE * PEOPLE),) * 2)
    return wav + NOISE * torch.randn(len(wav), generator=torch.Generator().manual_seed(0))


def hears(wav: Tensor) -> str:
    """What pocketsphinx hears in (T,) at 24 kHz: a sentence of GRAMMAR, or the beginning of one.

    It must choose among the answers, so it writes one down even for noise; "" only for next to nothing.
    Raises ImportError if pocketsphinx is not installed.
    """
    if wav.ndim != 1 or len(wav) == 0 or not wav.isfinite().all():
        raise ValueError(f"expected finite sound of shape (T,) with T > 0, got shape {tuple(wav.shape)}")
    decoder = _decoder()
    samples = (as_a_person(wav.float().cpu()).clamp(-1, 1) * 32767).round().to(torch.int16)
    decoder.start_utt()
    decoder.process_raw(samples.numpy().tobytes(), full_utt=True)
    decoder.end_utt()
    best = decoder.hyp()
    return best.hypstr if best else ""
