"""Phoneme ABX on features whose error is known: by hand, perfect, and chance."""

import math

import pytest
import torch
from conftest import close, tiny_mimi

from moshi_ref.corpus.voices import Phone, Speech
from moshi_ref.evaluation.abx import (
    SYLLABLES,
    Score,
    Spoken,
    Tally,
    Triphone,
    abx,
    abx_of,
    abx_of_codec,
    distances,
    frames_between,
    one_hot,
    spoken_syllables,
    triphones,
    warped,
)
from moshi_ref.mimi import Mimi


def at(*degrees: float) -> torch.Tensor:
    """Features (F, 2): directions in the plane, of various lengths."""
    angles = torch.tensor(degrees) * math.pi / 180
    return torch.stack([angles.cos(), angles.sin()], dim=1) * torch.arange(1, len(degrees) + 1)[:, None]


def item(phone: str, speaker: str, *degrees: float, context: tuple[str, str] = ("b", "t")) -> Triphone:
    return Triphone(phone, context, speaker, at(*degrees))


# --- Distances ------------------------------------------------------------------------------------


def test_the_distance_of_single_frames_is_their_angle():
    far = distances([at(0), at(90), at(180), at(45)])
    expected = torch.tensor([[0, 0.5, 1, 0.25], [0.5, 0, 0.5, 0.25], [1, 0.5, 0, 0.75], [0.25, 0.25, 0.75, 0]])
    close(far, expected.double())


def test_time_may_be_warped():
    """Whoever speaks slowly says the same; the mean is over the path, so that long paths are not dearer."""
    far = distances([at(0, 90), at(0, 0, 0, 90, 90), at(0, 90, 90), at(90, 0)])
    close(far[0, :3], torch.zeros(3).double())
    # 0, 90 against 90, 0: straight on 0.5 + 0.5, by a detour 0.5 + 0 + 0.5; of equal totals the shortest path counts
    assert far[0, 3] == pytest.approx(0.5)


def by_recursion(cost: torch.Tensor) -> tuple[float, int]:
    """The cheapest path as its definition has it, for one pair, without batches."""

    def best(i: int, j: int) -> tuple[float, int]:
        if i == j == 0:
            return cost[0, 0].item(), 1
        before = [best(k, m) for k, m in ((i - 1, j - 1), (i, j - 1), (i - 1, j)) if k >= 0 and m >= 0]
        total, length = min(before, key=lambda path: path[0])
        return total + cost[i, j].item(), length + 1

    return best(cost.shape[0] - 1, cost.shape[1] - 1)


def test_warping_a_batch_is_warping_each():
    costs = torch.rand(5, 4, 7, dtype=torch.float64)  # (I, J, N)
    rows, columns = torch.tensor([5, 1, 3, 5, 2, 4, 1]), torch.tensor([4, 4, 1, 2, 3, 4, 1])
    found = warped(costs, rows, columns)
    for n, (i, j) in enumerate(zip(rows.tolist(), columns.tolist(), strict=True)):
        total, length = by_recursion(costs[:i, :j, n])
        assert found[n].item() == pytest.approx(total / length)


def test_equal_tokens_are_exactly_as_far():
    entries = torch.randn(4, 64)
    sequences = [entries[torch.tensor(tokens)] for tokens in ((0, 1, 2), (0, 1, 2), (3, 1, 2), (3, 1, 2))]
    far = distances(sequences)
    assert far[0, 1] == 0 and far[0, 2] == far[1, 3] == far[0, 3] > 0


def test_one_hot_features_ask_for_equality_alone():
    sequences = [one_hot(torch.tensor(tokens), 9) for tokens in ((1, 2, 3), (1, 2, 8), (7, 8, 3))]
    far = distances(sequences)
    assert far[0, 1] == pytest.approx(0.5 / 3) and far[0, 2] == pytest.approx(1 / 3)


# --- The score ------------------------------------------------------------------------------------


def test_within_a_speaker_by_hand():
    """X at 0 and A at 30: of B at 20 and B at 80 one is nearer. X at 30 and A at 0: B at 20 is nearer. The other way
    round, X at 20 is 60 from its A and nearer to both B; X at 80 is 60 from its A and nearer to one."""
    score = abx([item("a", "s", 0), item("a", "s", 30), item("e", "s", 20), item("e", "s", 80)])["within"]
    a, e = (1 + 1) / 4, (2 + 1) / 4
    assert score.error == pytest.approx((a + e) / 2) and score.triples == 8
    assert score.low == score.high == score.error  # of one speaker alone nothing is known about others


def test_across_speakers_by_hand():
    """A at 0 and B at 40 by one speaker; X at 10 by another is right, X at 25 is wrong, X at 20 is a tie."""
    items = [item("a", "s", 0), item("e", "s", 40), *(item("a", "t", d) for d in (10, 25, 20))]
    scores = abx(items)
    assert scores["within"] == Score(None, 0)
    assert scores["across"].error == pytest.approx(1.5 / 3) and scores["across"].triples == 3


def test_means_are_of_contexts_then_of_speakers_then_of_pairs():
    """One speaker errs in one context of three, the other never; more triples do not count for more. The pair (a, e)
    has both speakers; (e, a), for which an X needs a second "e", only the other one."""

    def said(speaker: str, context: str, second: float, other: float) -> list[Triphone]:
        degrees = [("a", 0), ("a", second), ("e", other)]
        return [item(phone, speaker, d, context=(context, "t")) for phone, d in degrees]

    first = said("s", "b", 1, 90) + said("s", "m", 1, 90) + said("s", "k", 90, 45)
    second = said("t", "b", 1, 90) + 5 * said("t", "m", 1, 90)
    assert abx(first + second)["within"].error == pytest.approx(((1 / 3 + 0) / 2 + 0) / 2)


def test_other_contexts_are_never_compared():
    items = [item("a", "s", 0), item("a", "s", 1), item("e", "s", 2, context=("s", "t"))]
    assert abx(items) == {"within": Score(None, 0), "across": Score(None, 0)}


def synthetic_items(noise: float) -> list[Triphone]:
    """Ten phonemes with a direction each, four renderings by each of three speakers."""
    directions = torch.randn(10, 32)
    return [
        Triphone(str(phone), ("b", "t"), speaker, directions[phone].expand(3, 32) + noise * torch.randn(3, 32))
        for phone in range(10) for speaker in "stu" for _ in range(4)
    ]  # fmt: skip


def test_perfect_features_never_err():
    assert all(score.error == 0 for score in abx(synthetic_items(0.01)).values())


def test_noise_is_at_chance():
    for score in abx(synthetic_items(1000.0)).values():
        assert 0.45 < score.error < 0.55 and score.triples > 4000


def test_constant_features_are_all_ties():
    items = [Triphone(i.phone, i.context, i.speaker, torch.ones(2, 3)) for i in synthetic_items(1.0)]
    assert all(score.error == 0.5 for score in abx(items).values())


def test_the_interval_tells_how_much_speakers_differ():
    """Two pairs of phonemes; some speakers always err, some never."""
    tally = Tally()
    for speaker, error in zip("stuvwxyz", (0, 1, 0, 1, 0, 1, 0, 1), strict=True):
        for pair in (("a", "e"), ("a", "i")):
            tally.add(pair, speaker, error, 10)
    score = tally.score()
    assert (score.error, score.triples) == (0.5, 160)
    spread = 1.96 * math.sqrt(0.25 / 8)
    assert score.low == pytest.approx(0.5 - spread, abs=0.1) and score.high == pytest.approx(0.5 + spread, abs=0.1)


def test_a_speaker_who_says_less_counts_where_she_speaks():
    tally = Tally()
    for pair, speaker, error in ((("a", "e"), "s", 0.2), (("a", "e"), "t", 0.4), (("a", "i"), "s", 0.9)):
        tally.add(pair, speaker, error, 1)
    assert tally.score().error == pytest.approx((0.3 + 0.9) / 2)


# --- What is said ---------------------------------------------------------------------------------


def test_the_frames_whose_middle_lies_between():
    assert frames_between(0.0, 0.24, 12.5, 9) == slice(0, 3)
    assert frames_between(0.05, 0.29, 12.5, 9) == slice(1, 4)  # 40 ms is before, 280 ms is in
    assert frames_between(0.05, 0.29, 12.5, 3) == slice(1, 3)
    assert frames_between(0.05, 0.10, 12.5, 9) == slice(1, 1)


def test_triphones_are_cut_where_no_pause_is():
    ends = {"b": 0.1, "æ": 0.2, "t": 0.3, "s": 0.5, "i": 0.6}
    phones = [Phone(symbol, end - 0.1, end) for symbol, end in ends.items()]
    spoken = Spoken("s", Speech(torch.zeros(24_000), (), tuple(phones)))
    features = torch.arange(12.0)[:, None]
    (found,) = triphones(spoken, features, 12.5)
    assert (found.phone, found.context, found.speaker) == ("æ", ("b", "t"), "s")
    assert found.features[:, 0].tolist() == [0, 1, 2, 3]  # the middle of the fourth is at 280 ms


def test_spoken_syllables():
    spoken = spoken_syllables(speakers=2, repetitions=2)
    assert len(spoken) == 2 * 2 * 3 and len({s.speaker for s in spoken}) == 2
    again = spoken_syllables(speakers=2, repetitions=2)
    assert all(torch.equal(a.speech.wav, b.speech.wav) for a, b in zip(spoken, again, strict=True))
    first, second = (spoken[i].speech for i in (0, 3))
    assert [word.text for word in first.words] != [word.text for word in second.words]
    said = sorted(word.text for s in spoken[:3] for word in s.speech.words if word.text not in ("a", "again"))
    assert said == sorted(SYLLABLES)
    items = [i for s in spoken for i in triphones(s, torch.zeros(99, 1), 12.5)]
    vowels = {i.phone for i in items if i.context == ("b", "t")}
    onsets = {i.phone for i in items if i.context == ("ɐ", "ɪ")}
    assert len(vowels) == 6 and onsets == set("bsmk")
    for wrong in ((0, 1), (99, 1), (1, 0)):
        with pytest.raises(ValueError, match="speakers and 1 repetition"):
            spoken_syllables(*wrong)


def test_phonemes_themselves_as_features_never_err():
    """Features that know the phone of each frame and nothing else: what the score takes for perfect. And features that
    know only the speaker are at chance."""
    spoken = spoken_syllables(speakers=2, repetitions=2)
    rate, by_wav = 25, {s.speech.wav: s for s in spoken}
    symbols = sorted({phone.symbol for s in spoken for phone in s.speech.phones})

    def phone_of_each_frame(wav: torch.Tensor) -> torch.Tensor:
        times = (torch.arange(int(rate * len(wav) / 24_000)) + 0.5) / rate
        phones = by_wav[wav].speech.phones
        codes = [next((symbols.index(p.symbol) for p in phones if p.start <= t < p.end), 0) for t in times.tolist()]
        return one_hot(torch.tensor(codes), len(symbols))

    for score in abx_of(spoken, phone_of_each_frame, rate).values():
        assert score.error < 0.02 and score.triples > 500
    for score in abx_of(spoken, lambda wav: torch.ones(len(wav) * rate // 24_000, 4), rate).values():
        assert score.error == 0.5


def test_the_codec_is_judged_by_its_latent_and_its_tokens():
    rows = abx_of_codec(spoken_syllables(speakers=2, repetitions=2)[:6], Mimi(tiny_mimi()))
    assert list(rows) == ["latent", "semantic tokens", "semantic tokens, equal or not", "acoustic tokens"]
    assert all(0 < row["within"].error < 1 for row in rows.values())
