"""Text to tokens and back: a SentencePiece unigram model (Kudo 2018), as in the paper's section 3.2.

Digits are tokens of their own, and a character that the vocabulary lacks is spelled in bytes, so that
every character can be written and read back (white space is folded, and look-alikes such as a circled
digit become the plain character). Four tokens are special, with the ids of the released models:

    0  EPAD  the end of padding: a word begins in the next frame (Moshi); the tokenizer's "unknown"
    1  BOS   the beginning of a text
    2  EOS   the end of a text
    3  PAD   nothing is being said in this frame (Moshi)
"""

import io
import re
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import sentencepiece

EPAD, BOS, EOS, PAD = 0, 1, 2, 3
PARTS = re.compile(r"\u2581?(?:[^\W\d_]+|[^\w\u2581]+)")  # of a word: its letters, or its other signs; no digits


def candidates(sentences: Iterable[str], longest: int = 16, most: int = 100_000) -> list[tuple[str, int]]:
    """The pieces of words that a tokenizer may choose its tokens from, and how much text each would cover.

    SentencePiece would count in how many *different* words a piece occurs. In a text of a thousand different words
    that overlooks every word which is part of no other one; so we count in the running text. White space becomes
    SentencePiece's mark "\u2581"; a piece has two characters or more, and is one of letters or one of other signs.
    """
    count: Counter[str] = Counter()
    words = Counter(part for text in sentences for word in text.split() for part in PARTS.findall("\u2581" + word))
    for word, times in words.items():
        for begin in range(len(word)):
            for end in range(begin + 2, min(begin + longest, len(word)) + 1):
                count[word[begin:end]] += times * (end - begin)
    return count.most_common(most)


class TextTokenizer:
    """A trained SentencePiece model. `len(tokenizer)` is the size of the vocabulary."""

    def __init__(self, model: bytes):
        self.model = model
        self._processor = sentencepiece.SentencePieceProcessor()
        self._processor.LoadFromSerializedProto(model)  # unlike the constructor, this refuses an empty model

    @classmethod
    def train(cls, sentences: Iterable[str], vocabulary: int) -> "TextTokenizer":
        """Learn at most `vocabulary` tokens, of which 260 are the special ones and the bytes.

        Raises ValueError if that is too few for the bytes, or if the sentences hold nothing to learn.
        """
        if vocabulary <= 260:
            raise ValueError(f"expected a vocabulary of more than 260 (4 special + 256 bytes), got {vocabulary}")
        sentences, written = list(sentences), io.BytesIO()
        try:
            with tempfile.TemporaryDirectory() as folder:
                seeds = Path(folder) / "seeds.tsv"
                seeds.write_text("".join(f"{piece}\t{score}\n" for piece, score in candidates(sentences)), "utf-8")
                sentencepiece.SentencePieceTrainer.train(
                    sentence_iterator=iter(sentences), model_writer=written, vocab_size=vocabulary,
                    model_type="unigram", split_digits=True, byte_fallback=True, hard_vocab_limit=False,
                    seed_sentencepieces_file=str(seeds),
                    unk_id=EPAD, bos_id=BOS, eos_id=EOS, pad_id=PAD, minloglevel=2,
                )  # fmt: skip
        except RuntimeError as error:
            raise ValueError(
                f"cannot learn {vocabulary} tokens from these sentences: {error}; give more text or allow more tokens"
            ) from error
        return cls(written.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> "TextTokenizer":
        """Read a `.model` file. Raises FileNotFoundError, or ValueError if it is not such a file."""
        if not Path(path).is_file():
            raise FileNotFoundError(f"no tokenizer at {path}; expected a SentencePiece .model file")
        try:
            return cls(Path(path).read_bytes())
        except RuntimeError as error:
            raise ValueError(f"{path} is not a SentencePiece model") from error

    def save(self, path: str | Path) -> None:
        Path(path).write_bytes(self.model)

    def encode(self, text: str) -> list[int]:
        """Tokens of a text, without BOS and EOS."""
        return self._processor.encode(text)

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of the tokens; special tokens are left out."""
        return self._processor.decode([int(t) for t in tokens if t > PAD])

    def piece(self, token: int) -> str:
        """One token as it is written in the vocabulary, for display; a leading space is shown as such."""
        special = {EPAD: "EPAD", BOS: "BOS", EOS: "EOS", PAD: "PAD"}
        token = int(token)
        return special.get(token) or self._processor.id_to_piece(token).replace("\u2581", " ")

    def __len__(self) -> int:
        return self._processor.get_piece_size()
