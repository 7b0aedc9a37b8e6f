"""Recordings of one channel: one reader, or two in turns."""

import random
from dataclasses import replace

import pytest
import torch
from test_timeline import FRAMES, RATE, SILENCE, Q, numbered_clip

from moshi_ref.corpus.single_stream import SimulatedPair, SingleStream, by_speaker
from moshi_ref.inner_monologue import tokens_to_words, words_to_tokens
from moshi_ref.rq_transformer import ZERO
from moshi_ref.tokenizer import PAD

TEXTS = "repeat the question", "seven plus five is nine", "wait", "lazy dogs jump over the box"
CLIPS = [numbered_clip(i + 1, text, 0.3, speaker="AAB"[i % 3]) for i, text in enumerate(TEXTS * 2)]
BACKGROUNDS = torch.tensor([SILENCE, 11, 12], dtype=torch.int16)[:, None, None].expand(3, Q, FRAMES)


@pytest.fixture
def exact(tokenizer) -> SingleStream:
    return SingleStream(CLIPS, BACKGROUNDS, tokenizer, RATE, offset=0.0, masked=0.0)


def shifted(dialogue: torch.Tensor, line, tokenizer) -> list[float]:
    """How much earlier than its sound the text of each word is, in seconds."""
    found = tokens_to_words(dialogue, tokenizer)
    return [w.start - f.start for f, w in zip(found, line.words("moshi"), strict=False)]


def test_one_reader_and_no_user(exact):
    for seed in range(30):
        dialogue, line = exact.draw(random.Random(seed)), None
        assert dialogue.codes.shape == (1 + 2 * Q, FRAMES) and dialogue.codes.dtype == torch.int64
        assert (dialogue.codes[1 + Q :] == ZERO).all() and (dialogue.user_text == PAD).all()
        assert (dialogue.codes[: 1 + Q] != ZERO).all()
        line = exact.timeline(random.Random(seed))
        turns = line.turns["moshi"]
        assert len({turn.clip.speaker for turn in turns}) == 1 and not line.turns["user"]
        for turn, following in zip(turns, turns[1:], strict=False):
            assert following.start > turn.end + 0.5
            here = line.moshi[:, turn.first : int(turn.end * RATE) + 1]
            assert torch.equal(here, turn.clip.codes[:, : here.shape[1]])
    speakers = {exact.timeline(random.Random(seed)).turns["moshi"][0].clip.speaker for seed in range(20)}
    assert speakers == {"A", "B"} == set(by_speaker(CLIPS))


def test_text_and_sound_go_together_without_an_offset(exact, tokenizer):
    for seed in range(10):
        rng, again = random.Random(seed), random.Random(seed)
        dialogue, _ = exact.draw(rng), again.uniform(0, 0)
        line = exact.timeline(again)
        assert torch.equal(dialogue.codes[1 : 1 + Q], line.moshi.long())
        expected = words_to_tokens(line.words("moshi"), tokenizer, FRAMES, RATE)
        assert (dialogue.codes[0] == expected).float().mean() > 0.97  # but for half a word at the end


@pytest.mark.parametrize("ahead", [-0.5, 0.0, 1.28])
def test_text_leads_by_a_constant_and_a_random_time(tokenizer, ahead):
    source, leads = SingleStream(CLIPS, BACKGROUNDS, tokenizer, RATE, 0.6, 0.0, ahead), []
    for seed in range(60):
        dialogue = source.draw(random.Random(seed))
        rng = random.Random(seed)
        line = source.timeline(rng, ahead + rng.uniform(-0.6, 0.6))
        lead = shifted(dialogue.codes[0], line, tokenizer)
        leads.append(lead[0])
        assert max(lead) - min(lead) < 0.5  # one and the same within a recording, but for long words
        words = tokens_to_words(dialogue.codes[0], tokenizer)
        assert all(word.text in " ".join(TEXTS).split() for word in words if word.end < FRAMES / RATE)
    assert ahead - 0.7 < min(leads) < ahead - 0.4 and ahead + 0.4 < max(leads) < ahead + 0.75


def test_text_is_hidden_in_a_share_of_the_recordings(tokenizer):
    source = SingleStream(CLIPS, BACKGROUNDS, tokenizer, RATE)
    hidden = [(source.draw(random.Random(seed)).codes[0] == ZERO) for seed in range(200)]
    assert all(each.all() or not each.any() for each in hidden)
    assert sum(each.all().item() for each in hidden) / 200 == pytest.approx(0.3, abs=0.1)


def test_backgrounds_vary_and_stay_as_they_are(exact):
    found = {exact.draw(random.Random(seed)).codes[1, 0].item() for seed in range(40)}
    assert {SILENCE, 11, 12} <= found
    assert BACKGROUNDS.unique().tolist() == [SILENCE, 11, 12]


@pytest.fixture
def pair(tokenizer) -> SimulatedPair:
    return SimulatedPair(CLIPS, BACKGROUNDS, tokenizer, RATE)


def test_two_readers_take_turns_and_never_speak_at_once(pair):
    first = set()
    for seed in range(40):
        line = pair.timeline(random.Random(seed))
        turns = sorted([*line.turns["moshi"], *line.turns["user"]], key=lambda turn: turn.start)
        assert all(later.start > turn.end for turn, later in zip(turns, turns[1:], strict=False))
        speakers = [{turn.clip.speaker for turn in line.turns[who]} for who in ("moshi", "user")]
        assert not speakers[0] & speakers[1] and all(len(each) <= 1 for each in speakers)
        first.add(any(turns[0] is turn for turn in line.turns["moshi"]))
        for row, who in ((line.moshi, "moshi"), (line.user, "user")):
            rest = row.clone()
            for turn in line.turns[who]:
                rest[:, turn.first : turn.first + turn.clip.codes.shape[1]] = SILENCE
            assert (rest == SILENCE).all()  # who does not speak is perfectly silent
    assert first == {True, False}


def test_both_channels_have_codes_and_text(pair, tokenizer):
    for seed in range(20):
        dialogue = pair.draw(random.Random(seed))
        assert dialogue.codes.shape == (1 + 2 * Q, FRAMES) and (dialogue.codes != ZERO).all()
        for stream in (dialogue.codes[0], dialogue.user_text):
            found = tokens_to_words(stream, tokenizer)
            words = {word.text for word in found if word.end < FRAMES / RATE}
            assert words <= set(" ".join(TEXTS).split())
    assert torch.equal(*(pair.draw(random.Random(3)).codes for _ in range(2)))


def test_too_few_clips_are_refused(tokenizer):
    with pytest.raises(ValueError, match="clips of readings, got none"):
        SingleStream([], BACKGROUNDS, tokenizer, RATE)
    with pytest.raises(ValueError, match="two speakers or more, got 1"):
        SimulatedPair([replace(clip, speaker="A") for clip in CLIPS], BACKGROUNDS, tokenizer, RATE)


def test_words_that_come_first_are_given(tokenizer):
    for ahead in (-0.5, 0.0, 0.96):
        source = SingleStream(CLIPS, BACKGROUNDS, tokenizer, RATE, 0.0, 0.0, ahead)
        assert source.draw(random.Random(0)).given == (ahead > 0)
