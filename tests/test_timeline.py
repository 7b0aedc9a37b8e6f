"""A conversation put together: text and voice go together, and the end is nothing special."""

import math
from dataclasses import replace

import pytest
import torch

from moshi_ref.corpus.clips import Clip
from moshi_ref.corpus.timeline import Timeline, within_word
from moshi_ref.inner_monologue import Word, tokens_to_words, words_to_tokens
from moshi_ref.tokenizer import EPAD, PAD

RATE, FRAMES, Q = 12.5, 112, 3
SILENCE, NOISE = 10, 11


def numbered_clip(number: int, text: str, seconds: float = 0.5, **about) -> Clip:
    """A clip that says one word after the other, whose codes tell which clip and which of its frames they are."""
    names = text.split()
    end = 0.45 + seconds * len(names)
    frames = round((end + 0.65) * RATE)
    codes = (100 * number + torch.arange(frames)).to(torch.int16).expand(Q, -1)
    words = [Word(name, 0.45 + seconds * i, 0.45 + seconds * (i + 1) - 0.02) for i, name in enumerate(names)]
    return Clip(codes, tuple(words), 0.45, words[-1].end, about.pop("answer", ""), **about)


def channel(code: int) -> torch.Tensor:
    return torch.full((Q, FRAMES), code, dtype=torch.int16)


@pytest.fixture
def line(tokenizer) -> Timeline:
    return Timeline(channel(SILENCE), channel(NOISE), tokenizer, RATE)


# each of several tokens, the second one pushed to a later time by the first one
WORDS = [Word("marmalade", 0.2, 0.3), Word("xylophone", 0.31, 0.7), Word("kitchen", 1.5, 1.8), Word("12", 2.6, 2.9)]


@pytest.mark.parametrize("ahead", [-0.4, 0.0, 0.4])
def test_the_end_is_only_where_we_stop_looking(tokenizer, ahead):
    """What is said before it does not tell where it is."""

    def held(frames: int):
        line = Timeline(channel(SILENCE)[:, :frames], channel(NOISE)[:, :frames], tokenizer, RATE)
        line.user_says(numbered_clip(1, "marmalade xylophone"), 0.5)
        line.moshi_says(numbered_clip(2, "xylophone marmalade xylophone", 0.3), 2.0)
        return line.dialogue(ahead)

    whole, within = held(FRAMES), 0
    for frames in range(1, FRAMES):
        part = held(frames)
        assert torch.equal(part.codes, whole.codes[:, :frames])
        assert torch.equal(part.user_text, whole.user_text[:frames])
        within += within_word(whole.codes[0], frames, tokenizer)
    assert within > 10  # ends that cut a word


def test_within_a_word(tokenizer):
    stream = words_to_tokens(WORDS, tokenizer, 40, RATE)
    inside = [within_word(stream, frame, tokenizer) for frame in range(40)]
    starts = [round(word.start * RATE) for word in tokens_to_words(stream, tokenizer)]
    tokens = [len(tokenizer.encode(word.text)) for word in WORDS]
    expected = {start + i for start, count in zip(starts, tokens, strict=True) for i in range(1, count)}
    assert {frame for frame, yes in enumerate(inside) if yes} == expected and len(expected) > 4


def test_both_may_speak(line, tokenizer):
    asked = line.user_says(numbered_clip(1, "what is seven", answer="nine"), 1.0)
    answered = line.moshi_says(numbered_clip(2, "seven is nine"), 2.0)
    for turn, at in ((asked, 1.0), (answered, 2.0)):
        assert turn.start == pytest.approx(at, abs=0.041) and turn.words[0].start == turn.start
        assert turn.end - turn.start == pytest.approx(turn.clip.end - turn.clip.start)
        assert turn.first / RATE + turn.clip.start == pytest.approx(turn.start)
    dialogue = line.dialogue()
    assert dialogue.codes.shape == (1 + 2 * Q, FRAMES) and dialogue.codes.dtype == torch.int64
    for turn, first in ((answered, 1), (asked, 1 + Q)):
        frames = turn.clip.codes.shape[1]
        row = dialogue.codes[first : first + Q]
        assert torch.equal(row[:, turn.first : turn.first + frames], turn.clip.codes.long())
    said = tokens_to_words(dialogue.codes[0], tokenizer)
    assert [word.text for word in said] == ["seven", "is", "nine"]
    assert all(a.start == pytest.approx(b.start, abs=0.081) for a, b in zip(said, answered.words, strict=True))
    heard = tokens_to_words(dialogue.user_text, tokenizer)
    assert [word.text for word in heard] == ["what", "is", "seven"]
    assert all(a.start > b.end for a, b in zip(heard, asked.words, strict=True))


def test_moshi_stops_with_a_whole_word_and_silence(tokenizer):
    clip, counts, waits = numbered_clip(2, "marmalade xylophone kitchen marmalade"), set(), set()
    for step in range(80):
        line = Timeline(channel(SILENCE), channel(NOISE), tokenizer, RATE)
        turn = line.moshi_says(clip, 1.0)
        line.user_says(numbered_clip(1, "stop"), 1.2)
        before, at = line.dialogue(), 0.8 + 0.04 * step
        frame = line.stop(at)
        after = line.dialogue()
        waits.add(frame - math.ceil(at * RATE - 1e-6))
        text = after.codes[0]
        assert (text[frame:] == PAD).all() and text[frame - 1] != EPAD
        assert torch.equal(text[: frame - 1], before.codes[0, : frame - 1])
        assert torch.equal(after.codes[1 : 1 + Q, :frame], before.codes[1 : 1 + Q, :frame])
        assert (after.codes[1 : 1 + Q, frame:] == SILENCE).all()
        said = [word.text for word in tokens_to_words(text, tokenizer)]
        assert said == [word.text for word in line.turns["moshi"][0].words] == clip_words(clip)[: len(said)]
        assert line.turns["moshi"][0].end == min(turn.end, frame / RATE)
        counts.add(len(said))
    assert counts == {0, 1, 2, 3, 4}
    longest = max(len(tokenizer.encode(word)) for word in clip_words(clip))
    assert min(waits) == 0 < max(waits) < longest  # now and then the rest of a word is still to be written


def clip_words(clip: Clip) -> list[str]:
    return [word.text for word in clip.words]


def test_when_moshi_stops_does_not_depend_on_what_it_would_have_said(tokenizer):
    frames = []
    for text in ("marmalade question nine", "marmalade jump twelve", "marmalade add"):
        line = Timeline(channel(SILENCE), channel(NOISE), tokenizer, RATE)
        line.moshi_says(numbered_clip(2, text), 1.0)
        line.user_says(numbered_clip(1, "stop"), 1.2)
        frames.append(line.stop(1.1))
    assert len(set(frames)) == 1


def test_what_moshi_did_before_stays(line):
    line.moshi_says(numbered_clip(2, "seven is nine"), 1.0)
    line.user_says(numbered_clip(1, "stop"), 1.2)
    frame = line.stop(1.6)
    before = line.moshi[:, :frame].clone()
    again = line.moshi_says(numbered_clip(3, "twelve"), 2.0, since=frame)
    assert again.first < frame  # the silence before the speech would have cut what was said
    assert torch.equal(line.moshi[:, :frame], before)
    end = again.first + again.clip.codes.shape[1]
    assert torch.equal(line.moshi[:, frame:end], again.clip.codes[:, frame - again.first :])
    assert [word.text for word in line.words("moshi")] == ["seven", "is", "twelve"]


def test_the_microphone_hears_moshi_until_it_stops(line):
    clip = numbered_clip(2, "one two three four five six")
    line.echo(turn := line.moshi_says(replace(clip, echo=clip.codes + 5_000), 2.0))
    begin, end = int(turn.start * RATE), turn.first + clip.codes.shape[1]
    assert (line.user[0, :begin] == NOISE).all() and (line.user[0, end:] == NOISE).all()
    assert torch.equal(line.user[0, begin:end], 5_200 + torch.arange(begin - turn.first, end - turn.first).short())
    stopped = line.user_says(numbered_clip(1, "stop"), 2.8)
    over = stopped.first + stopped.clip.codes.shape[1]
    heard = line.user[:, : stopped.first].clone()
    line.stop(3.5)
    assert torch.equal(line.user[:, : stopped.first], heard) and (heard > 5_000).any()
    assert torch.equal(line.user[:, stopped.first : over], stopped.clip.codes)
    assert (line.user[:, over:] == NOISE).all() and over < end


def test_without_an_echo_the_microphone_hears_nothing(line):
    line.echo(line.moshi_says(numbered_clip(2, "one two"), 2.0))
    assert (line.user == NOISE).all()


def test_a_turn_may_end_behind_the_end(line, tokenizer):
    turn = line.moshi_says(numbered_clip(2, "marmalade kitchen marmalade kitchen"), line.seconds - 0.9)
    text = line.dialogue().codes[0]
    *found, cut = (word.text for word in tokens_to_words(text, tokenizer))
    words = [word.text for word in turn.clip.words]
    assert found == words[: len(found)] == ["marmalade"] and "kitchen".startswith(cut)
    line.moshi_says(numbered_clip(3, "nine"), line.seconds + 5)
    assert torch.equal(line.dialogue().codes[0], text)
