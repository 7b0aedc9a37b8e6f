"""Conversations that join and leave a batch while others go on."""

import pytest
import torch
from test_moshi import Q, small_mimi, small_moshi

from moshi_ref.continuous_batch import ContinuousBatch
from moshi_ref.moshi import MoshiStream, Reply
from moshi_ref.rq_transformer import Sampling

TEXT, AUDIO = Sampling(0.9, 12), Sampling(1.1, 15)


@pytest.fixture(scope="module")
def models():
    torch.manual_seed(0)
    return small_moshi(), small_mimi()


def voice(number: int, frames: int = 24) -> torch.Tensor:
    """What a user says: (F, 1, 1920)"""
    return 0.1 * torch.randn(frames, 1, 1920, generator=torch.Generator().manual_seed(number))


def among_others(
    models, seed: int, sound: torch.Tensor, guests: dict[int, tuple[int, int]], begin: int = 0, places: int = 3
) -> list[Reply]:
    """The replies to one user, who begins in frame `begin`; guest g is there in frames guests[g]."""
    batch, here, replies, me = ContinuousBatch(*models, places, TEXT, AUDIO), {}, [], None
    for number in range(begin + len(sound)):
        for guest, (first, end) in guests.items():
            if number == end:
                batch.leave(here.pop(guest))
            if number == first:
                here[guest] = batch.join(seed=100 + guest)
        if number == begin:
            me = batch.join(seed)
        frames = {handle: voice(guest)[number % 24] for guest, handle in here.items()}
        if me is not None:
            frames[me] = sound[number - begin]
        answers = batch.step(frames)
        assert answers.keys() == batch.rows.keys()
        if me is not None:
            replies.append(answers[me])
    return replies


def same(replies: list[Reply], others: list[Reply], tolerance: float) -> bool:
    tokens = all(torch.equal(a.text, b.text) and torch.equal(a.codes, b.codes)
                 for a, b in zip(replies, others, strict=True))  # fmt: skip
    away = max((a.audio - b.audio).abs().max() for a, b in zip(replies, others, strict=True))
    return tokens and bool(away <= tolerance)


COMINGS_AND_GOINGS = [
    ({1: (5, 14), 2: (9, 20)}, 0),  # they come later
    ({1: (0, 12), 2: (17, 99)}, 8),  # one was there before
    ({1: (0, 9), 2: (0, 99), 3: (3, 25)}, 10),  # in a place that was used before
]


@pytest.mark.parametrize("guests, begin", COMINGS_AND_GOINGS)
def test_a_conversation_does_not_depend_on_who_else_is_there(guests, begin, models):
    """Alone in the batch and among others, the tokens are equal and the samples to 1e-6. Alone in a stream, where
    products have other shapes, the tokens are equal and the samples to 1e-5."""
    sound = voice(0)
    replies = among_others(models, 5, sound, guests, begin)
    assert same(replies, among_others(models, 5, sound, {}), 1e-6)
    stream = MoshiStream(*models, seed=5, text=TEXT, audio=AUDIO)
    assert same(replies, [stream.step(frame[None]) for frame in sound], 1e-5)
    assert not same(replies, among_others(models, 6, sound, guests, begin), 1.0)  # the seed does matter
    assert replies[0].audio.shape == (1, 1, 1920) and replies[0].codes.shape == (1, Q) and replies[0].text.shape == (1,)


def test_a_user_without_a_frame_is_heard_as_silent(models):
    def run(spoken: bool) -> list[Reply]:
        batch = ContinuousBatch(*models, 2)
        handle = batch.join(seed=1)
        return [batch.step({handle: torch.zeros(1, 1920)} if spoken else {})[handle] for _ in range(6)]

    assert same(run(True), run(False), 0.0)


def test_words_for_one_conversation_only(models):
    batch, plain = ContinuousBatch(*models, 2, TEXT, AUDIO), ContinuousBatch(*models, 2, TEXT, AUDIO)
    for each in (batch, plain):
        each.join(seed=1)
        each.join(seed=2)
    tokens = [(batch.step({}, {1: 7}), plain.step({})) for _ in range(8)]
    assert all(int(given[1].text) == 7 for given, _ in tokens[1:])
    assert same([given[0] for given, _ in tokens], [free[0] for _, free in tokens], 0.0)


def test_what_is_refused_leaves_the_others_alone(models):
    batch = ContinuousBatch(*models, 2)
    first, second = batch.join(seed=1), batch.join(seed=2)
    with pytest.raises(ValueError, match="all 2 places are taken"):
        batch.join(seed=3)
    before = [tensor.clone() for tensor in batch.stream.state.tensors()]
    bad = {"short": torch.zeros(1, 960), "broken": torch.full((1, 1920), float("nan"))}
    for frame in bad.values():
        with pytest.raises(ValueError, match="from conversation 1"):
            batch.step({first: torch.zeros(1, 1920), second: frame})
    with pytest.raises(ValueError, match="no conversation 9 here; there are"):
        batch.step({9: torch.zeros(1, 1920)})
    assert all(torch.equal(a, b) for a, b in zip(before, batch.stream.state.tensors(), strict=True))
    batch.leave(first)
    for call in (lambda: batch.leave(first), lambda: batch.step({first: torch.zeros(1, 1920)})):
        with pytest.raises(ValueError, match="no conversation 0 here"):
            call()
    assert batch.join(seed=3) == 2 and batch.row(2) == 0  # a new handle, the old place
