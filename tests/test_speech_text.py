"""Recognition and synthesis, frame by frame: the same as over whole grids."""

from dataclasses import replace

import pytest
import torch
from test_moshi import Q, small_mimi, small_moshi

from moshi_ref.inner_monologue import Word, tokens_to_words, words_to_tokens
from moshi_ref.mimi import Mimi
from moshi_ref.moshi import Moshi, MoshiStream
from moshi_ref.rq_transformer import ZERO, Sampling
from moshi_ref.speech_text import AHEAD, BEHIND, TAIL, Listener, speak, transcribe
from moshi_ref.tokenizer import EPAD, PAD

GREEDY = Sampling(0.0, 1)


def with_words(tokenizer, acoustic: int = 1) -> Moshi:
    """A small Moshi that knows the tokenizer's tokens."""
    config = small_moshi(acoustic).config
    return Moshi(replace(config, model=replace(config.model, text_vocabulary=len(tokenizer)))).eval()


# --- Recognition ----------------------------------------------------------------------------------


@pytest.mark.parametrize("acoustic", [0, 1, 2])
def test_hearing_frame_by_frame_is_hearing_all_at_once(acoustic):
    """Also long after the context of six frames has been filled."""
    moshi, frames = small_moshi(acoustic), 30
    codes = torch.randint(0, 16, (2, Q, frames))
    listener = Listener(moshi, small_mimi(), batch_size=2)
    tokens = [listener.written] + [listener.hear(codes[..., f]) for f in range(frames)]
    text = torch.stack(tokens[:-1], -1)  # (B, F)
    with torch.no_grad():
        out = moshi(torch.cat([text[:, None], codes, torch.full_like(codes, ZERO)], dim=1))
    assert torch.equal(out.text_logits.argmax(-1), text)
    assert len(text.unique()) > 3


def test_it_hears_sound_through_the_codec():
    moshi, mimi, wav = small_moshi(), small_mimi(), 0.1 * torch.randn(1, 1, 1920 * 12)
    by_sound, by_codes = Listener(moshi, mimi), Listener(moshi, mimi)
    with torch.inference_mode():
        codes = mimi.encode(wav)  # (1, Q, F)
    heard = [by_sound.step(frame) for frame in wav.split(1920, -1)]
    assert torch.equal(torch.stack(heard), torch.stack([by_codes.hear(c) for c in codes.unbind(-1)]))


class Prompted(Listener):
    """Hears whatever it likes, and writes given tokens."""

    def __init__(self, tokens: list[int], *args):
        self.tokens = iter(tokens)
        super().__init__(*args)

    def _write(self, column: torch.Tensor) -> torch.Tensor:
        return torch.tensor([next(self.tokens)])


def test_words_get_the_times_at_which_they_were_spoken(tokenizer):
    """To the frame; those of a recogniser that makes no mistake."""
    spoken = [Word("seven", 0.16, 0.4), Word("plus", 0.72, 1.0), Word("five", 1.2, 1.5)]
    frames = round((2.0 + BEHIND + TAIL) * 12.5) + 2
    tokens = words_to_tokens(spoken, tokenizer, frames, ahead=-BEHIND).tolist()
    pieces: list[str] = []
    listener = Prompted(tokens, with_words(tokenizer), small_mimi())
    result = transcribe(listener, tokenizer, torch.zeros(48_000), say=pieces.append)
    assert result["text"] == "".join(pieces).strip() == "seven plus five"
    for found, word in zip(result["words"], spoken, strict=True):
        assert found["text"] == word.text and abs(found["start"] - word.start) <= 0.08
    assert result["seconds"] == 2.0 and result["rtf"] > 0


def test_the_last_word_is_written_even_if_the_sound_ends_with_it(tokenizer):
    spoken = [Word("twelve", 0.6, 1.0)]
    tokens = words_to_tokens(spoken, tokenizer, 60, ahead=-BEHIND).tolist()
    listener = Prompted(tokens, with_words(tokenizer), small_mimi())
    assert transcribe(listener, tokenizer, torch.zeros(24_000))["text"] == "twelve"


def test_a_listener_is_for_one_sound(tokenizer):
    listener = Listener(with_words(tokenizer), small_mimi())
    transcribe(listener, tokenizer, torch.zeros(1920))
    with pytest.raises(ValueError, match="expected a new listener"):
        transcribe(listener, tokenizer, torch.zeros(1920))
    with pytest.raises(ValueError, match="batch size of 1"):
        transcribe(Listener(with_words(tokenizer), small_mimi(), 2), tokenizer, torch.zeros(1920))


def test_models_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="predicts half of its audio streams, got 0 of 6; use a model that"):
        Listener(small_moshi(depth=False), small_mimi())
    with pytest.raises(ValueError, match="needs a codec with 3 codebooks of 16 entries, got 2 of 16"):
        Listener(small_moshi(), small_mimi(codebooks=2))


# --- Synthesis ------------------------------------------------------------------------------------


class Recorded(MoshiStream):
    """Keeps the columns that it has drawn."""

    def _predict(self, state, generators, allowed=None) -> None:
        super()._predict(state, generators, allowed)
        self.columns = [*getattr(self, "columns", []), state.own[..., -1].clone()]  # (B, 1 + Q)


def speaker(moshi: Moshi, mimi: Mimi) -> Recorded:
    return Recorded(moshi, mimi, seed=0, text=GREEDY, audio=GREEDY)


@pytest.mark.parametrize("acoustic", [1, 2])
def test_speaking_frame_by_frame_is_what_teacher_forcing_predicts(acoustic, tokenizer):
    """From the text that was forced, with the user's streams empty."""
    moshi = with_words(tokenizer, acoustic)
    stream = speaker(moshi, small_mimi())
    speak(stream, tokenizer, "seven plus five")
    columns = torch.stack(stream.columns, -1)  # (1, 1 + Q, columns)
    frames = columns.shape[-1] - acoustic
    text, codes = columns[:, :1, :frames], columns[:, 1:].clone()
    codes[:, 1:, :frames] = columns[:, 2:, acoustic:]  # undelayed
    codes = codes[..., :frames]
    with torch.no_grad():
        out = moshi(torch.cat([text, codes, torch.full_like(codes, ZERO)], dim=1))
    assert torch.equal(out.audio_logits.argmax(-1)[out.audio_mask], codes[out.audio_mask])


def test_it_speaks_the_words_of_the_text_and_then_nothing(tokenizer):
    moshi, text = with_words(tokenizer), "seven plus five is twelve"
    stream = speaker(moshi, small_mimi())
    wav = speak(stream, tokenizer, text)
    written = torch.stack(stream.columns)[1:, 0, 0].tolist()  # the first column is drawn before the script begins
    assert len(wav) == 1920 * len(written) and wav.isfinite().all()
    assert " ".join(word.text for word in tokens_to_words(written, tokenizer)) == text
    after = round((AHEAD + TAIL) * 12.5)
    assert written[-after:] == [PAD] * after and written[-after - 1] == tokenizer.encode("twelve")[-1]
    assert written.count(EPAD) == 5


def test_the_seed_decides_how_it_sounds(tokenizer):
    moshi, mimi, drawn = with_words(tokenizer), small_mimi(), Sampling(1.0, 250)
    sounds = [speak(MoshiStream(moshi, mimi, seed, text=GREEDY, audio=drawn), tokenizer, "hello") for seed in (1, 1, 2)]
    assert torch.equal(sounds[0], sounds[1])
    assert sounds[0].shape != sounds[2].shape or not torch.equal(sounds[0], sounds[2])


def test_nothing_to_speak_is_refused(tokenizer):
    with pytest.raises(ValueError, match="expected words to speak, got none"):
        speak(MoshiStream(with_words(tokenizer), small_mimi(), 0), tokenizer, "  \n")
