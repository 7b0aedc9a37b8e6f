"""IPUs, pauses, gaps and overlaps: known answers on made channels, the paper's rows, and the command."""

import json
import math

import pytest
import soundfile
import torch

from moshi_ref.corpus.voices import Voice, synthesize
from moshi_ref.evaluation.turn_taking import (
    PAPER,
    Stretch,
    TurnStatistics,
    find_turns,
    main,
    statistics,
    turn_statistics,
    voice_activity,
)

RATE = 24_000


def channel(seconds: float, *spoken: tuple[float, float], step: float = 0.01) -> torch.Tensor:
    """(L,) bool: active from and to these seconds."""
    active = torch.zeros(round(seconds / step), dtype=torch.bool)
    for start, end in spoken:
        active[round(start / step) : round(end / step)] = True
    return active


def turns(seconds: float, moshi, user):
    return find_turns(torch.stack([channel(seconds, *moshi), channel(seconds, *user)]))


def close(found, *seconds: float) -> bool:
    return (found.ipu, found.pause, found.gap, found.overlap) == pytest.approx(seconds)


def times(stretches) -> list[tuple[float, float]]:
    return [(pytest.approx(s.start), pytest.approx(s.end)) for s in stretches]


# --- From activity --------------------------------------------------------------------------------


def test_every_kind_once():
    """Moshi 1 to 3, a gap, the user 4 to 6 and, after a pause, 7 to 9; Moshi begins at 8.5, before the user ends."""
    found = turns(12, [(1, 3), (8.5, 10)], [(4, 6), (7, 9)])
    assert times(found.gaps) == [(3, 4)] and times(found.pauses) == [(6, 7)] and times(found.overlaps) == [(8.5, 9)]
    assert [len(own) for own in found.ipus] == [2, 2] and found.seconds == pytest.approx(12)
    assert close(statistics(found), 2 + 1.5 + 2 + 2, 1, 1, 0.5)


def test_silence_at_the_edges_is_neither_pause_nor_gap():
    assert close(statistics(turns(10, [(4, 5)], [])), 1, 0, 0, 0)
    assert close(statistics(turns(10, [], [])), 0, 0, 0, 0)
    assert close(statistics(turns(10, [(0, 10)], [(0, 10)])), 20, 0, 0, 10)


@pytest.mark.parametrize("silence, count", [(0.19, 1), (0.20, 2), (0.21, 2)])
def test_less_than_a_fifth_of_a_second_does_not_end_an_ipu(silence, count):
    found = turns(5, [(1, 2), (2 + silence, 4)], [])
    assert len(found.ipus[0]) == count
    assert statistics(found).pause == pytest.approx(silence if count == 2 else 0)


def test_the_other_speaker_does_not_make_a_pause_longer_or_shorter():
    """Moshi is silent from 2 to 4, but the user speaks meanwhile: two gaps, and no pause."""
    found = turns(8, [(1, 2), (4, 5)], [(2.5, 3.5)])
    assert not found.pauses and times(found.gaps) == [(2, 2.5), (3.5, 4)]
    # A back-channel within Moshi's speech is overlap, and the silence after it is between two IPUs of Moshi.
    found = turns(8, [(1, 3), (4, 5)], [(1.5, 2)])
    assert times(found.pauses) == [(3, 4)] and not found.gaps and times(found.overlaps) == [(1.5, 2)]


def test_who_ends_last_and_who_begins_first():
    assert len(turns(8, [(1, 3), (4, 5)], [(2, 2.5), (4.5, 5)]).pauses) == 1
    assert len(turns(8, [(1, 2.5), (4, 5)], [(2, 3), (4.5, 5)]).gaps) == 1
    assert len(turns(8, [(1, 3), (4, 5)], [(2, 3)]).pauses) == 1  # both end at once: Moshi is one of those who did


def test_exchanged_channels_have_the_same_statistics():
    active = torch.rand(2, 1000).gt(0.5).repeat_interleave(15, dim=1)
    one, other = statistics(find_turns(active)), statistics(find_turns(active.flip(0)))
    assert close(one, other.ipu, other.pause, other.gap, other.overlap) and one.overlap > 0


def test_the_parts_add_up_to_the_dialogue():
    for seed in range(5):
        torch.manual_seed(seed)
        active = torch.rand(2, 200).gt(0.6).repeat_interleave(20, dim=1)
        found = statistics(find_turns(active))
        speech = active.any(0).nonzero()[:, 0]
        inside = (speech[-1] - speech[0] + 1).item() / 100
        assert found.ipu - found.overlap + found.pause + found.gap == pytest.approx(inside)


def test_steps_of_another_length():
    """A frame of Moshi is 80 ms; two of them are less than 0.2 s, three are not."""
    active = torch.tensor([[1, 0, 0, 1, 0, 0, 0, 1], [0] * 8], dtype=torch.bool)
    found = find_turns(active, step=0.08)
    assert len(found.ipus[0]) == 2 and times(found.pauses) == [(0.32, 0.56)]


def test_several_dialogues_together():
    total = TurnStatistics(30, 20, 2, 3, 1) + TurnStatistics(90, 70, 4, 6, 5)
    assert total == TurnStatistics(120, 90, 6, 9, 6) and total.per_minute() == pytest.approx((45, 3, 4.5, 3))
    assert Stretch(1.0, 2.5).seconds == 1.5


def test_the_rows_of_the_paper_add_up_to_a_minute():
    for ipu, pause, gap, overlap in PAPER.values():
        assert 58 < ipu - overlap + pause + gap < 60.5


@pytest.mark.parametrize("active", [torch.zeros(2, 9), torch.zeros(3, 9).bool(), torch.zeros(9).bool(),
                                    torch.zeros(2, 0).bool()])  # fmt: skip
def test_what_is_not_activity(active):
    with pytest.raises(ValueError, match=r"expected activity \(2, L\) of type bool"):
        find_turns(active)


# --- From sound -----------------------------------------------------------------------------------


def spoken(seconds: float, *words: tuple[float, str]) -> tuple[torch.Tensor, list[tuple[float, float]]]:
    """A channel, and where it really speaks."""
    wav, truth = torch.zeros(round(seconds * RATE)), []
    for start, text in words:
        said = synthesize(text, Voice("en-us+f3")).wav
        first = round(start * RATE)
        wav[first : first + len(said)] = said
        truth.append((start, start + len(said) / RATE))
    return wav, truth


def test_voices():
    moshi, own = spoken(12, (1, "the river is wide and cold"), (7, "the garden is green"))
    user, others = spoken(12, (3.5, "where is the window"), (7.6, "yes"))
    found = turn_statistics(torch.stack([moshi, user]))
    expected = statistics(turns(12, own, others))
    assert found.ipu == pytest.approx(expected.ipu, abs=0.3)
    assert found.gap == pytest.approx(expected.gap, abs=0.2)
    assert found.overlap == pytest.approx(expected.overlap, abs=0.15) and expected.overlap > 0.2
    assert found.pause == expected.pause == 0


def test_a_soft_microphone_counts_as_much():
    moshi, _ = spoken(6, (1, "the river is wide and cold"))
    user, _ = spoken(6, (3.5, "where is the window"))
    loud, soft = (voice_activity(torch.stack([moshi, level * user])) for level in (1.0, 0.05))
    assert (loud != soft).float().mean() < 0.01


@pytest.mark.parametrize("level", [0.0, 0.001, 0.05])
def test_a_room_is_not_a_voice(level):
    moshi, _ = spoken(6, (1, "the river is wide and cold"))
    room = level * torch.randn(len(moshi))
    active = voice_activity(torch.stack([moshi, room]))
    assert active[0].any() and not active[1].any()


@pytest.mark.parametrize("wav", [torch.zeros(RATE), torch.zeros(1, RATE), torch.zeros(2, 100),
                                 torch.full((2, RATE), math.nan)])  # fmt: skip
def test_what_has_no_two_channels(wav):
    with pytest.raises(ValueError, match=r"expected finite sound of shape \(2, T\), T at least 240"):
        voice_activity(wav)


# --- The command ----------------------------------------------------------------------------------


def test_the_command(tmp_path, capsys):
    moshi, _ = spoken(6, (1, "the river is wide and cold"))
    user, _ = spoken(6, (3.5, "where is the window"))
    both = torch.stack([moshi, user])
    soundfile.write(tmp_path / "a.wav", both.T.numpy(), RATE)
    soundfile.write(tmp_path / "b.wav", both[:, ::3].T.numpy(), RATE // 3)  # a telephone
    names = [str(tmp_path / name) for name in ("a.wav", "b.wav")]
    assert main([*names, "--json", str(tmp_path / "out.json")]) == 0
    printed = capsys.readouterr().out.splitlines()
    results = json.loads((tmp_path / "out.json").read_text())
    assert set(results) == {*names, "all"} and len(printed) == 1 + 3 + len(PAPER)
    first, telephone, everything = results.values()
    assert telephone["ipu"] == pytest.approx(first["ipu"], abs=0.2)
    assert everything["seconds"] == pytest.approx(12) and everything["per_minute"][0] == pytest.approx(
        5 * everything["ipu"]
    )
    assert f"{first['per_minute'][0]:.1f}" in printed[1] and "Moshi, temperature 0.8" in printed[-4]


def test_bad_files(tmp_path, capsys):
    soundfile.write(tmp_path / "mono.wav", torch.zeros(RATE).numpy(), RATE)
    assert main([str(tmp_path / "mono.wav")]) == 2
    assert "should have 2 channels" in capsys.readouterr().err
    assert main([str(tmp_path / "none.wav")]) == 2
    assert "no file" in capsys.readouterr().err
