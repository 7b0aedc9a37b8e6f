"""What each stage of Moshi's training adds: the models that `train stages` leaves behind, measured in the same way.

    python -m moshi_ref train stages --human PATH
    python -m moshi_ref.evaluation.stage_report runs/stages-cpu --human PATH --out data/figures/stages.json

For the model after each stage, and for the Helium from which the first one started as far as it can do the same:

    text           how well does it still read? Nats a token of new documents, in known and in held-out phrasings
    dialogues      dialogues in voices of the test are shown to it, each frame with the whole true past: nats of a token
                   of Moshi's words, of a semantic and of an acoustic code, and how many of these tokens it has right
    answers        it is asked aloud; rows of `spoken_world`, letter by letter, each with its 95 % interval
    full duplex    it is interrupted and encouraged; see `full_duplex`

All stages hear the very same dialogues and questions, so a difference between two of them is theirs. Tokens of one
dialogue hang together; so the interval of `words_right` is somewhat narrower than it should be.

Shapes: B dialogues, K streams, F frames, T tokens.
"""

import argparse
import json
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..audio import check_folder, writing
from ..checkpoints import CHECKPOINTS, load_helium, load_mimi, load_moshi, load_tokenizer, mimi_of
from ..corpus.clips import encode
from ..corpus.dialogues import encode_backgrounds
from ..corpus.documents import documents
from ..corpus.duplex_dialogues import DuplexDialogues
from ..corpus.scripts import draw_script
from ..corpus.spoken import render
from ..corpus.utterances import render_moshi, render_user
from ..corpus.voices import moshi_voice, user_voice
from ..mimi import Mimi
from ..moshi import Moshi
from ..tokenizer import PAD, TextTokenizer
from ..training.language import audio_loss, text_loss
from ..training.text import pack
from ..training.text_only import crops, read
from .duplex import Answer, Question, line, score, share
from .full_duplex import asker, full_duplex
from .spoken_world import percent, questions

STAGES = ("pretraining", "posttraining", "finetuning", "instruction")
ROWS = ("sum, known", "sum, only read", "fact, known", "fact, only read", "repeat, held-out pairs",
        "human digits, known")  # fmt: skip
PHRASINGS = {"known phrasings": "train", "held-out phrasings": "test"}  # of the text, and the split that has them
MEGABYTES, PIECES = 0.1, 32  # of text, and how many pieces of it are read
FRAMES, BACKGROUNDS, REACTIONS = 96, 8, 4  # of a dialogue; channels of silence; back-channels, and interruptions
DRAWS = 4  # dialogues for each question of a row


# --- Reading --------------------------------------------------------------------------------------


def texts(tokenizer: TextTokenizer, length: int, seed: int) -> dict[str, Tensor]:
    """Pieces (PIECES, length + 1) of documents that no training has read, in known and in held-out phrasings."""
    rng = random.Random(f"{seed}/texts")
    unread = 1_000 + seed  # documents of another seed are other documents
    return {name: crops(pack(documents(MEGABYTES, unread, split), tokenizer), PIECES, length, rng)
            for name, split in PHRASINGS.items()}  # fmt: skip


@torch.inference_mode()
def reading(logits_of: Callable[[Tensor], Tensor], rows: dict[str, Tensor]) -> dict[str, float]:
    """Nats a token of each kind of text. `logits_of` tokens (B, T) are those of the token after each, (B, T, V)."""
    losses = {name: F.cross_entropy(logits_of(piece[:, :-1]).flatten(0, 1), piece[:, 1:].flatten()).item()
              for name, piece in rows.items()}  # fmt: skip
    return {name: round(loss, 4) for name, loss in losses.items()}


# --- Dialogues ------------------------------------------------------------------------------------


def unheard_dialogues(mimi: Mimi, tokenizer: TextTokenizer, count: int, seed: int) -> Tensor:
    """Dialogues (B, K, F), DRAWS times `count`, of so many questions that training asks, too, but in voices that it has
    never heard."""
    rng = random.Random(f"{seed}/dialogues")
    scripts = [draw_script(rng) for _ in range(count)]
    said = {
        "question": [render_user(about, user_voice(rng, "test"), rng) for about in scripts],
        "answer": [render_moshi(about, moshi_voice(rng)) for about in scripts],
        "backchannel": [render("backchannel", "test", rng) for _ in range(REACTIONS)],
        "interruption": [render("interruption", "test", rng) for _ in range(REACTIONS)],
    }
    clips = [encode(mimi, utterances, seed, False, role) for role, utterances in said.items()]
    backgrounds = encode_backgrounds(mimi, FRAMES, BACKGROUNDS, seed)
    source = DuplexDialogues(*clips, backgrounds, tokenizer, mimi.config.frame_rate)
    return torch.stack([source.draw(rng).codes for _ in range(DRAWS * count)])


@torch.inference_mode()
def listening(moshi: Moshi, codes: Tensor) -> dict:
    """How well it foretells dialogues (B, K, F): see above."""
    out = moshi(codes)
    words, own = codes[:, 0] > PAD, codes[:, 1 : 1 + out.audio_logits.shape[1]]  # (B, F), (B, Q, F)
    right = (out.text_logits.argmax(-1) == codes[:, 0]) & words
    kinds = {"semantic": slice(0, 1), "acoustic": slice(1, None)}
    losses = {"text": text_loss(out.text_logits, codes[:, 0], words, 1.0)}
    losses |= {name: audio_loss(out.audio_logits[:, part], own[:, part], out.audio_mask[:, part], 1.0)
               for name, part in kinds.items()}  # fmt: skip
    nats = {name: round(loss.item(), 4) for name, loss in losses.items()}
    return nats | {"words_right": share(int(right.sum()), int(words.sum()))}


# --- Conversations --------------------------------------------------------------------------------


def answering(answers_to: Callable[[Sequence[Question]], list[Answer]], asked: dict[str, list[Question]]) -> dict:
    """The rows of answers. All questions are asked at once, which is faster than row by row."""
    answers, rows = iter(answers_to([question for row in asked.values() for question in row])), {}
    for name, row in asked.items():
        rows[name] = score(row, [next(answers) for _ in row])
    return rows


def report(run: Path, helium: Path, mimi: Mimi, trials: int, seed: int, people: Path | None) -> dict:
    """The whole table, printed as it comes. Raises ValueError if the folder holds the model of no stage, or if this
    Helium has other tokens."""
    there = [name for name in STAGES if (run / name).is_dir()]
    if not there:
        raise ValueError(f"expected in {run} a folder for each of {', '.join(STAGES)}, as `train stages` makes them")
    tokenizer = load_tokenizer(run / there[0])
    if load_tokenizer(helium).model != tokenizer.model:
        raise ValueError(f"the Helium in {helium} has other tokens than the models in {run}; give their own: --helium")
    length = load_moshi(run / there[0]).config.model.temporal.context
    rows, dialogues = texts(tokenizer, length, seed), unheard_dialogues(mimi, tokenizer, trials, seed)
    every = questions(trials, seed, people)
    asked = {name: every[name] for name in ROWS if name in every}
    results = {"helium": {"text": reading(load_helium(helium), rows)}}
    print("helium", results["helium"], flush=True)
    for name in there:
        moshi = load_moshi(run / name)
        answers_to = asker(moshi, mimi, tokenizer, seed)
        results[name] = {
            "text": reading(lambda tokens, model=moshi.model: read(model, tokens), rows),
            "dialogues": listening(moshi, dialogues),
            "answers": answering(answers_to, asked),
            "full duplex": full_duplex(answers_to, trials, seed),
        }
        show(name, results[name])
    return {"trials": trials, "seed": seed, "stages": results}


def show(name: str, stage: dict) -> None:
    """Print what was measured after a stage."""
    print(f"\n{name}: text {stage['text']}")
    print({key: value for key, value in stage["dialogues"].items() if key != "words_right"},
          "words right", percent(stage["dialogues"]["words_right"]))  # fmt: skip
    for row, found in stage["answers"].items():
        print(line(row, found))
    for kind, found in stage["full duplex"].items():
        print(f"{kind:28} {percent(found)}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 with a sentence on standard error for bad input."""
    parser = argparse.ArgumentParser(prog="python -m moshi_ref.evaluation.stage_report",
                                     description=__doc__.split("\n")[0])  # fmt: skip
    parser.add_argument("run", type=Path, help="a folder that `train stages` has made")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--trials", type=int, default=10, help="questions in each row")
    parser.add_argument("--helium", type=Path, default=CHECKPOINTS / "helium-tiny", help="where the first stage began")
    parser.add_argument("--mimi", type=Path, help="folder of the codec; default: the one that the models come with")
    parser.add_argument("--human", type=Path, help="a clone of the Free Spoken Digit Dataset, for human users")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    try:
        if args.trials < 1:
            raise ValueError(f"expected at least 1 trial, got {args.trials}")
        check_folder(args.out)  # before the work, not after it
        mimi = load_mimi(args.mimi or mimi_of(args.run))
        results = report(args.run, args.helium, mimi, args.trials, args.seed, args.human)
        with writing(args.out) as part:
            part.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
