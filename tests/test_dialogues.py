"""Dialogues put together from clips: who says what when, in codes and in text."""

import random

import pytest
import torch
from conftest import tiny_mimi
from test_codec import fake_utterance

from moshi_ref.corpus import dialogues as module
from moshi_ref.corpus.augment import NOISES
from moshi_ref.corpus.dialogues import (
    GAP,
    HEARING,
    HESITATION,
    LEAD,
    PAUSE,
    TAIL,
    Clip,
    Dialogues,
    encode,
    encode_backgrounds,
    encode_noises,
    fingerprint,
    hesitate,
    load_clips,
    pad,
    save_clips,
    without_afterthought,
    words_of_question,
)
from moshi_ref.inner_monologue import Word, tokens_to_words
from moshi_ref.mimi import Mimi
from moshi_ref.tokenizer import EPAD, PAD

RATE, FRAMES = 12.5, 112
Q = 3


@pytest.fixture
def mimi() -> Mimi:
    return Mimi(tiny_mimi()).eval()


# --- Clips ----------------------------------------------------------------------------------------


def test_speech_lies_between_silences_and_begins_anywhere_in_a_frame():
    utterance, starts = fake_utterance(1), set()
    for seed in range(20):
        wav, start = pad(utterance, random.Random(seed), augmented=False)
        starts.add(start)
        first, count = round(start * 24_000), len(utterance.wav)
        assert LEAD <= start <= LEAD + 1 / RATE and len(wav) % 1920 == 0
        assert len(wav) >= first + count + TAIL * 24_000
        assert torch.equal(wav[first : first + count], utterance.wav)
        assert wav[:first].abs().sum() == wav[first + count :].abs().sum() == 0
    assert len(starts) == 20


def test_augmented_clips_are_as_long():
    utterance = fake_utterance(1)
    unchanged = 0
    for seed in range(9):
        clean, start = pad(utterance, random.Random(seed), augmented=False)
        other, same = pad(utterance, random.Random(seed), augmented=True)
        assert clean.shape == other.shape and start == same
        unchanged += torch.equal(clean, other)
    assert 0 < unchanged < 9


def test_a_batch_is_encoded_like_each_alone(mimi):
    said = [fake_utterance(i) for i in range(5)]
    clips = encode(mimi, said, seed=7, augmented=False, title="test")  # batches of two
    for i, (clip, utterance) in enumerate(zip(clips, said, strict=True)):
        wav, start = pad(utterance, random.Random(f"7/{i}"), augmented=False)
        assert torch.equal(clip.codes.long(), mimi.encode(wav[None, None])[0])
        assert clip.start == start and clip.answer == utterance.exchange.answer
        assert clip.end == pytest.approx(start + len(utterance.wav) / 24_000)
        assert [word.text for word in clip.words] == utterance.text.split()
        assert clip.words[0].start == start and clip.words[-1].end == pytest.approx(clip.end)


def test_clips_survive_on_disk(mimi, tmp_path):
    clips = encode(mimi, [fake_utterance(i) for i in range(3)], 0, True, "test")
    path = tmp_path / "new" / "clips.safetensors"
    save_clips(clips, path)
    assert list(path.parent.iterdir()) == [path]
    for clip, loaded in zip(clips, load_clips(path), strict=True):
        assert torch.equal(clip.codes, loaded.codes) and loaded.codes.dtype == torch.int16
        assert (clip.words, clip.start, clip.end) == (loaded.words, loaded.start, loaded.end)
        assert clip.answer == loaded.answer


def test_noises_are_heard_from_the_first_frame_on(mimi):
    noises = encode_noises(mimi, frames=5, count=2, seed=0)
    assert noises.shape == (len(NOISES), 2, Q, 5) and noises.dtype == torch.int16
    silence = mimi.encode(torch.zeros(1, 1, 5 * 1920))[0]
    assert all((channel != silence).any(0).all() for channel in noises[0])
    assert not torch.equal(noises[0, 0], noises[0, 1]) and torch.equal(noises, encode_noises(mimi, 5, 2, seed=0))


def test_backgrounds_begin_with_digital_silence(mimi):
    backgrounds = encode_backgrounds(mimi, frames=6, count=8, seed=0)
    assert backgrounds.shape == (8, Q, 6) and backgrounds.dtype == torch.int16
    assert torch.equal(backgrounds[0].long(), mimi.encode(torch.zeros(1, 1, 6 * 1920))[0])
    assert any(not torch.equal(background, backgrounds[0]) for background in backgrounds)
    assert torch.equal(backgrounds, encode_backgrounds(mimi, 6, 8, seed=0))


def test_other_weights_have_another_fingerprint(mimi):
    name = fingerprint(mimi)
    assert name == fingerprint(mimi) and len(name) == 12
    with torch.no_grad():
        next(mimi.decoder.parameters()).view(-1)[0] += 1e-3
        assert fingerprint(mimi) == name  # the decoder has no say in the codes
        next(mimi.encoder.parameters()).view(-1)[0] += 1e-3
    assert fingerprint(mimi) != name


# --- Dialogues ------------------------------------------------------------------------------------


def numbered_clip(number: int, frames: int, words: str, answer: str) -> Clip:
    """A clip whose codes tell which clip and which of its frames they are: 100 * number + frame."""
    codes = (100 * number + torch.arange(frames)).to(torch.int16).expand(Q, -1)
    marks = [Word(text, 0.45 + 0.7 * i, 0.89 + 0.7 * i) for i, text in enumerate(words.split())]
    return Clip(codes, tuple(marks), 0.45, marks[-1].end, answer)


QUESTIONS = [
    numbered_clip(1, 30, "add seven", "twelve stop"),
    numbered_clip(2, 40, "what is paris", "fine"),
    numbered_clip(3, 30, "seven five", "twelve stop"),
]
ANSWERS = [
    numbered_clip(4, 30, "twelve stop", "twelve stop"),
    numbered_clip(5, 33, "twelve stop", "twelve stop"),
    numbered_clip(6, 21, "fine", "fine"),
]
BACKGROUNDS = torch.tensor([10, 11, 12], dtype=torch.int16)[:, None, None].expand(3, Q, FRAMES)


@pytest.fixture
def dialogues(tokenizer, monkeypatch) -> Dialogues:
    """Clips are used as they are: nobody hesitates, which has tests of its own."""
    monkeypatch.setattr(module, "HESITATION", 0)
    return Dialogues(QUESTIONS, ANSWERS, BACKGROUNDS, tokenizer, RATE)


def found(channel: torch.Tensor, clips: list[Clip]) -> list[tuple[int, Clip]]:
    """(first frame, clip) of every clip in a channel (Q, F), which must hold them whole unless the channel
    ends, and one background everywhere else."""
    rest, places = channel.clone(), []
    for clip in clips:
        for first in (channel[0] == clip.codes[0, 0]).nonzero()[:, 0].tolist():
            room = channel.shape[1] - first
            assert torch.equal(channel[:, first : first + clip.codes.shape[1]], clip.codes[:, :room].long())
            rest[:, first : first + clip.codes.shape[1]] = -1
            places.append((first, clip))
    assert len(rest[rest >= 0].unique()) <= 1 and rest.max() <= 12
    return sorted(places, key=lambda place: place[0])


def draws(dialogues: Dialogues, count: int = 150):
    for seed in range(count):
        dialogue = dialogues.draw(random.Random(seed))
        assert dialogue.codes.shape == (1 + 2 * Q, FRAMES) and dialogue.user_text.shape == (FRAMES,)
        yield (
            dialogue,
            found(dialogue.codes[1 + Q :], QUESTIONS),
            found(dialogue.codes[1 : 1 + Q], ANSWERS),
        )


def test_chance_is_repeatable(dialogues):
    first, again, other = (dialogues.draw(random.Random(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.codes, again.codes) and torch.equal(first.user_text, again.user_text)
    assert not torch.equal(first.codes, other.codes)
    assert torch.equal(dialogues.backgrounds, BACKGROUNDS)  # nothing is written into them


def test_every_question_gets_its_answer_after_the_gap(dialogues):
    """Clips lie in whole frames, so the gap is exact to half a frame."""
    counts, used = [], set()
    for _, asked, answered in draws(dialogues):
        counts.append(len(asked))
        used |= {clip.codes[0, 0].item() for _, clip in asked + answered}
        assert len(asked) - 1 <= len(answered) <= len(asked)  # the last answer may come after the end
        for (question_at, question), (answer_at, answer) in zip(asked, answered, strict=False):
            assert answer.answer == question.answer
            gap = (answer_at / RATE + answer.start) - (question_at / RATE + question.end)
            assert GAP[0] - 0.041 < gap < GAP[1] + 0.041
        for (answer_at, answer), (next_at, question) in zip(answered, asked[1:], strict=False):
            pause = (next_at / RATE + question.start) - (answer_at / RATE + answer.end)
            assert PAUSE[0] - 0.041 < pause < PAUSE[1] + 0.041
    assert len(used) == 6 and max(counts) > 1  # every clip is used
    assert 0 < counts.count(0) < 15  # now and then nobody says anything


def test_moshis_text_lines_up_with_its_voice(dialogues, tokenizer):
    for dialogue, _, answered in draws(dialogues, 50):
        text, expected = dialogue.codes[0].tolist(), 0
        for first, clip in answered:
            for word in clip.words:
                frame = int((first / RATE + word.start) * RATE)
                tokens = tokenizer.encode(word.text)[: max(0, FRAMES - frame)]
                assert text[frame : frame + len(tokens)] == tokens
                assert frame > FRAMES or text[frame - 1] == EPAD
                expected += len(tokens) > 0
        assert len(tokens_to_words(text, tokenizer)) == expected


def test_the_users_text_comes_when_it_can_be_known(dialogues, tokenizer):
    for dialogue, asked, _ in draws(dialogues, 50):
        text, expected = dialogue.user_text.tolist(), 0
        for first, clip in asked:
            for word in clip.words:
                frame = int((first / RATE + word.end + HEARING) * RATE)
                tokens = tokenizer.encode(word.text)[: max(0, FRAMES - frame)]
                assert text[frame : frame + len(tokens)] == tokens
                expected += len(tokens) > 0
        assert len(tokens_to_words(text, tokenizer)) == expected
        if not asked:
            assert set(text) == {PAD}


def test_the_user_may_be_noisy_but_moshi_is_not(dialogues):
    for dialogue, _, answered in draws(dialogues, 30):
        moshi = dialogue.codes[1 : 1 + Q]
        assert answered or (moshi == 10).all()
        assert set(moshi.unique().tolist()) & {11, 12} == set()
    users = [dialogue.codes[1 + Q :].unique().tolist() for dialogue, _, _ in draws(dialogues, 30)]
    assert any({11, 12} & set(user) for user in users) and any(10 in user for user in users)


def test_a_clip_is_cut_where_the_dialogue_ends(dialogues):
    clip, channel = QUESTIONS[1], torch.zeros(Q, 20, dtype=torch.int16)
    words, end = dialogues.lay(clip, channel, speech_start=1.25)
    first = 10  # (1.25 - 0.45) * 12.5
    assert end == clip.end + first / RATE
    assert [(w.text, w.start) for w in words] == [(w.text, w.start + first / RATE) for w in clip.words]
    assert torch.equal(channel[:, first:], clip.codes[:, : 20 - first]) and not channel[:, :first].any()
    before = channel.clone()
    assert dialogues.lay(clip, channel, speech_start=9.0)[0][0].start == pytest.approx(9.0, abs=0.041)
    assert torch.equal(channel, before)  # it would begin after the end
    assert dialogues.lay(clip, channel, speech_start=0.1) == (list(clip.words), clip.end)  # nor before the beginning
    assert torch.equal(channel, clip.codes[:, :20])


def test_questions_without_a_rendered_answer_are_left_out(dialogues, tokenizer):
    some = Dialogues(QUESTIONS, ANSWERS[:2], BACKGROUNDS, tokenizer, RATE)
    asked = {clip.answer for _, places, _ in draws(some, 30) for _, clip in places}
    assert asked == {"twelve stop"}
    with pytest.raises(ValueError, match="none of 2 questions has a rendering of its answer; render more"):
        Dialogues(QUESTIONS[::2], ANSWERS[2:], BACKGROUNDS, tokenizer, RATE)


def test_a_pause_may_become_longer():
    clip, lengths = QUESTIONS[2], set()  # 30 frames; "seven" ends at 0.89 s, "five" starts at 1.15 s
    for seed in range(60):
        longer = hesitate(clip, random.Random(seed), RATE)
        more = longer.codes.shape[1] - 30
        lengths.add(more)
        cut = 13  # the frame in the middle of the pause
        assert torch.equal(longer.codes[:, :cut], clip.codes[:, :cut])
        assert torch.equal(longer.codes[:, cut + more :], clip.codes[:, cut:])
        assert all(325 <= code <= 328 for code in longer.codes[0, cut : cut + more].tolist())  # near its end
        assert longer.words[0] == clip.words[0]
        assert longer.words[1].start == pytest.approx(clip.words[1].start + more / RATE)
        assert longer.end == pytest.approx(clip.end + more / RATE) == pytest.approx(longer.words[1].end)
    assert lengths == set(range(HESITATION + 1))


@pytest.mark.parametrize("last, hesitates", [("please?", False), ("five?", True)])
def test_nobody_hesitates_before_an_afterthought(last, hesitates):
    words = (Word("seven,", 0.45, 0.89), Word(last, 1.15, 1.6))  # the pause is that of the test before
    clip = Clip(QUESTIONS[2].codes, words, 0.45, 1.6, "twelve stop")
    assert any(hesitate(clip, random.Random(seed), RATE) is not clip for seed in range(20)) == hesitates


@pytest.mark.parametrize("last, count", [("please?", 1), ("my friend?", 1), ("five?", 2)])
def test_the_words_of_the_question_itself(last, count):
    words = tuple(Word(text, i, i + 0.4) for i, text in enumerate(("seven,", *last.split())))
    clip = Clip(QUESTIONS[2].codes, words, 0.0, words[-1].end, "twelve stop")
    assert words_of_question(clip) == count
    assert (without_afterthought(clip, RATE) is clip) == (count == len(words))


def test_a_clip_without_its_afterthought():
    words = (Word("seven,", 0.45, 0.89), Word("please?", 1.15, 1.6))
    clip = Clip(QUESTIONS[2].codes, words, 0.45, 1.6, "twelve stop")  # 30 frames; the middle of the pause is in 13
    short = without_afterthought(clip, RATE)
    assert torch.equal(short.codes, torch.cat([clip.codes[:, :13], clip.codes[:, -8:]], dim=1))
    assert (short.words, short.start, short.end, short.answer) == (words[:1], 0.45, 0.89, clip.answer)


def test_words_that_follow_each_other_stay_together():
    words = (Word("seven", 0.45, 0.89), Word("five", 0.91, 1.3))
    clip = Clip(QUESTIONS[2].codes, words, 0.45, 1.3, "twelve stop")
    assert all(hesitate(clip, random.Random(seed), RATE) is clip for seed in range(20))
