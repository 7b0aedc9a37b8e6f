"""The report on a Helium: how well it predicts text, and what it knows of the small world.

    python -m moshi_ref evaluate helium

    bits per byte    on new documents, beside two models that look at no context (`likelihood.py`)
    multiple choice  by likelihood, and the same questions open, by exact match (`text_benchmarks.py`)

New documents in known phrasings are drawn like those for training, but others; those in held-out phrasings tell what
may be read in words that occur only there, and ask about held-out pairs.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial

from ..audio import writing
from ..checkpoints import load_helium, load_tokenizer
from ..corpus.documents import documents
from ..helium import Helium
from ..tokenizer import TextTokenizer
from ..training.distribution import pick_device
from .likelihood import BitsPerByte, bits_per_byte, likelihoods, uniform_bits_per_byte, unigram_bits_per_byte
from .multiple_choice import Accuracy, Question, evaluate, exact_match
from .text_benchmarks import benchmarks

TRAINING_SEED, TEST_SEED = 0, -1  # of the documents for the unigram model, and of those predicted, which none trains on
NEW = 0.2  # megabytes of new documents of each kind


@dataclass(frozen=True)
class Row:
    """One benchmark."""

    raw: Accuracy
    normalised: Accuracy
    exact: Accuracy  # without choices: would greedy generation write exactly the right answer?


def predicted(helium: Helium, tokenizer: TextTokenizer, megabytes: float) -> dict[str, BitsPerByte]:
    """Bits per byte of new documents: of a uniform model, of a unigram model, and of this one."""
    window, device = helium.config.transformer.context, helium.embedding.weight.device
    counted, results = list(documents(1.0, TRAINING_SEED)), {}
    for name, split in (("known phrasings", "train"), ("held-out phrasings", "test")):
        new = list(documents(megabytes, TEST_SEED, split))
        results |= {
            f"uniform, {name}": uniform_bits_per_byte(tokenizer, new),
            f"unigram, {name}": unigram_bits_per_byte(tokenizer, counted, new),
            f"Helium, {name}": bits_per_byte(helium, tokenizer, new, window, device=device),
        }
    return results


def known(helium: Helium, tokenizer: TextTokenizer, questions: Sequence[Question]) -> Row:
    """How many of the questions it answers."""
    scorer = partial(likelihoods, helium, tokenizer, device=helium.embedding.weight.device)
    choice = evaluate(scorer, questions)
    exact = exact_match(scorer, [(q.context, q.choices[q.answer]) for q in questions])
    return Row(choice.raw, choice.normalised, exact)


def run(args: argparse.Namespace) -> None:
    """The command `evaluate helium`: print the tables, and write JSON if asked to."""
    device = pick_device()
    helium, tokenizer = load_helium(args.helium).to(device).eval(), load_tokenizer(args.helium)
    bits = predicted(helium, tokenizer, NEW)
    for name, each in bits.items():
        print(f"{name:26} {each.value:.3f} bits per byte [{each.interval[0]:.3f}, {each.interval[1]:.3f}]", flush=True)
    rows = {}
    for name, questions in benchmarks(args.seed, args.trials).items():
        rows[name] = known(helium, tokenizer, questions)
        print(f"{name:12} {rows[name].raw}; open, exactly right {rows[name].exact.value:.1%}", flush=True)
    if args.json is not None:
        results = {"bits_per_byte": bits, "benchmarks": rows}
        with writing(args.json) as part:
            part.write_text(json.dumps({k: {n: asdict(v) for n, v in each.items()} for k, each in results.items()},
                                       indent=1) + "\n")  # fmt: skip
