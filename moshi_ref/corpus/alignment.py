"""Forced alignment: when is each word of a known text spoken?

A model that was trained with CTC (Graves et al. 2006) says for every frame how likely each label is, or a "blank"
between labels. The likeliest path through the frames that spells the whole text, and nothing else, gives the
times of its labels, and so of its words:

    frame    0   1   2   3   4   5   6   7   8
    path     -   t   -   w   o   o   -   -   -        "two" from frame 1 to frame 6

The search for the path is torchaudio's `forced_align` (Pratap et al. 2023). The model is anyone's: torchaudio's
pretrained ones, whose labels are letters, or a small one, whose labels may be whole words. But CTC rewards the right
order of the labels, not the right moment, and a model that has heard the whole sound may write a word long before it
is said. The recogniser of `evaluation` does: it recognises well, and writes the first word into the first frame. Try
a model on sounds whose times are known before you trust it.

Shapes: T samples, L frames of the model, C labels.
"""

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torchaudio
from torch import Tensor

from ..inner_monologue import Word

PRETRAINED = ("MMS_FA", "WAV2VEC2_ASR_BASE_960H")  # of torchaudio: 1.2 GB, many languages; 0.4 GB, English


@dataclass(frozen=True)
class CTCModel:
    """What aligns: sound (T,) at `sample_rate` -> logits or log-probabilities (L, C).

    labels: lower-case letters, or whole words, by their number in C. separator: the number of a label that the
    model writes between two words, if it does.
    """

    emission: Callable[[Tensor], Tensor]
    labels: Mapping[str, int]
    sample_rate: int
    blank: int = 0
    separator: int | None = None


def pretrained(name: str = "MMS_FA") -> CTCModel:
    """One of torchaudio's models. Its weights are downloaded once.

    MMS_FA knows a to z and the apostrophe, in any language that is written with them. Raises ValueError for another
    name, and FileNotFoundError if the weights are not there and cannot be downloaded.
    """
    if name not in PRETRAINED:
        raise ValueError(f"expected a model of {', '.join(PRETRAINED)}, got {name!r}")
    bundle = getattr(torchaudio.pipelines, name)
    try:
        model = bundle.get_model()
    except OSError as error:  # no network, or none that leads there
        raise FileNotFoundError(
            f"the weights of {name} are not in {torch.hub.get_dir()}, and downloading them failed ({error}); "
            "call this once with a network, or align with a CTC model of your own"
        ) from error

    @torch.inference_mode()
    def emission(wav: Tensor) -> Tensor:
        return model(wav[None])[0][0]

    numbers = {label.lower(): number for number, label in enumerate(bundle.get_labels())}
    labels = {label: number for label, number in numbers.items() if label.isalpha() or label == "'"}
    return CTCModel(emission, labels, bundle.sample_rate, separator=numbers.get("|"))


def spell(word: str, labels: Mapping[str, int]) -> list[int]:
    """The labels of a word: its own one if there is, else those of its letters, accents taken off.

    Punctuation is left out, so a dash has no labels at all. Raises ValueError if the word has a letter or a digit
    without a label.
    """
    simple = unicodedata.normalize("NFKD", word.casefold().replace("’", "'"))
    plain = "".join(c for c in simple if c.isalnum() or c in labels)
    if plain in labels:
        return [labels[plain]]
    unknown = sorted(set(plain) - set(labels))
    if unknown:
        raise ValueError(
            f"no label for {' '.join(unknown)} of {word!r}; the model knows {' '.join(sorted(labels))}; "
            "write the text as it is spoken, numbers in words"
        )
    return [labels[c] for c in plain]


def _targets(spelled: list[list[int]], separator: int | None) -> list[int]:
    """The labels of all words in a row, with separators between the words."""
    between = [] if separator is None else [separator]
    return [label for word in spelled for label in (*between, *word)][len(between) :]


def align(wav: Tensor, text: str, model: CTCModel, sample_rate: int = 24_000) -> tuple[list[Word], list[float]]:
    """The words of `text` with times in seconds, and for each of them how sure the model is, from 0 to 1.

    wav: (T,) at `sample_rate`. Words without letters, such as dashes, are left out. The second list holds the mean
    probability of each word's labels: a text that is not what is said gets times too, but unlikely ones. CTC models
    put a label into few frames, so a word starts about when it should and often ends too early; Moshi's text
    stream needs the start only.

    Raises ValueError if the sound is not finite or has another shape, if nothing of the text can be spelled, or if
    the sound is too short for it.
    """
    if wav.ndim != 1 or len(wav) == 0 or not wav.isfinite().all():
        raise ValueError(f"expected finite sound of shape (T,), T > 0, got shape {tuple(wav.shape)}")
    spelled = [(word, labels) for word in text.split() if (labels := spell(word, model.labels))]
    if not spelled:
        raise ValueError(f"expected a text with letters in it, got {text!r}")
    at_its_rate = torchaudio.functional.resample(wav, sample_rate, model.sample_rate)
    emission = model.emission(at_its_rate).detach().float().log_softmax(-1)  # (L, C); the same again if it was one
    targets = _targets([labels for _, labels in spelled], model.separator)
    repeated = sum(a == b for a, b in zip(targets, targets[1:], strict=False))  # a blank must lie between these
    if len(emission) < len(targets) + repeated:
        raise ValueError(
            f"{len(wav) / sample_rate:.2f} s of sound give {len(emission)} frames, too few for the "
            f"{len(targets) + repeated} that {text!r} needs; is it the text of this sound?"
        )
    path, scores = torchaudio.functional.forced_align(emission[None], torch.tensor([targets]), blank=model.blank)
    spans = torchaudio.functional.merge_tokens(path[0], scores[0].exp(), blank=model.blank)
    seconds = len(wav) / sample_rate / len(emission)  # of a frame
    words, sure = [], []
    for word, labels in spelled:
        own, spans = spans[: len(labels)], spans[len(labels) + (model.separator is not None) :]
        words.append(Word(word, own[0].start * seconds, own[-1].end * seconds))
        sure.append(sum(span.score for span in own) / len(own))
    return words, sure
