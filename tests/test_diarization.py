"""Who speaks when: speech activity, two speakers, two channels, and how errors are counted."""

import json
import math
import random
import sys
from types import ModuleType, SimpleNamespace

import pytest
import soundfile
import torch

from moshi_ref.corpus.diarization import (
    PyannoteDiarizer,
    Segment,
    SimpleDiarizer,
    runs,
    speech_activity,
    two_channels,
    two_groups,
    words_by_speaker,
)
from moshi_ref.corpus.voices import Voice, synthesize
from moshi_ref.evaluation.diarization import (
    DiarizationErrors,
    diarization_errors,
    grid,
    human_pairs,
    main,
    measure,
    mono_conversation,
    one_speaker,
    summary,
    synthetic_pair,
)
from moshi_ref.inner_monologue import Word

LOW, HIGH = Voice("en-us+m3", pitch=35), Voice("en-us+f4", pitch=60)
RATE = 24_000


def tone(seconds: float, level: float = 0.1, frequency: float = 200.0) -> torch.Tensor:
    return level * torch.sin(2 * math.pi * frequency * torch.arange(round(seconds * RATE)) / RATE)


# --- Speech activity ------------------------------------------------------------------------------


def test_runs():
    assert runs(torch.tensor([0, 1, 1, 0, 0, 1], dtype=torch.bool)) == [(1, 3), (5, 6)]
    assert runs(torch.ones(3, dtype=torch.bool)) == [(0, 3)]
    assert runs(torch.zeros(3, dtype=torch.bool)) == []


def active(*parts: torch.Tensor) -> list[tuple[int, int]]:
    """The stretches of activity, in frames of 10 ms."""
    return runs(speech_activity(torch.cat(parts)))


def test_speech_is_what_is_loud():
    silence = torch.zeros(RATE)
    assert active(silence, tone(1.0), silence, tone(2.0)) == [(100, 200), (300, 500)]
    assert active(tone(1.0)) == [(0, 100)]
    assert active(1e-3 * silence, tone(1.0, level=0.001), silence) == [(100, 200)]  # whatever the level


def test_two_thresholds():
    """30 dB below the speech is too soft to begin, but belongs to speech that it touches."""
    silence, soft, loud = torch.zeros(RATE), tone(1.0, 0.1 * 10 ** (-30 / 20)), tone(1.0)
    assert active(soft, silence, loud) == [(200, 300)]
    assert active(silence, soft, loud) == [(100, 300)]
    assert active(silence, tone(1.0, 0.1 * 10 ** (-40 / 20)), loud) == [(200, 300)]


def test_short_pauses_are_filled_and_clicks_are_dropped():
    assert active(tone(1.0), torch.zeros(RATE * 25 // 100), tone(1.0)) == [(0, 225)]
    assert active(tone(1.0), torch.zeros(RATE * 35 // 100), tone(1.0)) == [(0, 100), (135, 235)]
    assert active(tone(1.0), torch.zeros(RATE), tone(0.05), torch.zeros(RATE)) == [(0, 100)]


# --- Two speakers ---------------------------------------------------------------------------------


def test_two_groups():
    near = torch.tensor([[0.0, 0.1], [5.0, 5.0], [0.1, 0.0], [5.1, 4.9], [5.0, 5.2]])
    first, second, *others = two_groups(near)
    assert first != second and others == [first, second, second]
    assert two_groups(near[:1]) == [0]


def test_turns_of_two_voices():
    silence = torch.zeros(RATE // 2)
    said = [synthesize("it is cold outside today and the river is wide", v).wav for v in (LOW, HIGH, LOW)]
    found = SimpleDiarizer()(torch.cat([part for wav in said for part in (silence, wav)]))
    assert [segment.speaker for segment in found] == ["A", "B", "A"]
    now = 0.0
    for segment, wav in zip(found, said, strict=True):
        assert segment.start == pytest.approx(now + 0.5, abs=0.1)
        now += 0.5 + len(wav) / RATE
        assert segment.end == pytest.approx(now, abs=0.1)


def test_silence_and_very_short_speech():
    assert SimpleDiarizer()(torch.zeros(RATE)) == []
    assert SimpleDiarizer()(torch.cat([torch.zeros(RATE), tone(0.1)])) == [Segment(1.0, 1.1, "A")]


def test_the_same_sound_gives_the_same_segments():
    wav, _ = mono_conversation(random.Random(0), synthetic_pair)
    assert SimpleDiarizer()(wav) == SimpleDiarizer()(wav)


@pytest.mark.parametrize("wav", [torch.zeros(0), torch.zeros(100), torch.zeros(2, RATE), torch.full((RATE,), math.nan)])
def test_what_cannot_be_diarized(wav):
    with pytest.raises(ValueError, match=r"expected finite sound of shape \(T,\), at least 240 samples, got shape"):
        SimpleDiarizer()(wav)


def test_held_out_voices():
    """`python -m moshi_ref.evaluation.diarization` measures this on 20 conversations."""
    errors = summary(measure(SimpleDiarizer(), 4, seed=1))
    chance = summary(measure(one_speaker, 4, seed=1))
    print(errors, chance)
    assert errors["rate"] < 0.15 and chance["rate"] > 0.5


# --- pyannote.audio -------------------------------------------------------------------------------


def install(monkeypatch, from_pretrained) -> None:
    """A pyannote.audio whose pipelines come from this function."""
    library = ModuleType("pyannote.audio")
    library.Pipeline = SimpleNamespace(from_pretrained=from_pretrained)
    monkeypatch.setitem(sys.modules, "pyannote", ModuleType("pyannote"))
    monkeypatch.setitem(sys.modules, "pyannote.audio", library)


class Annotation:
    """What version 3 returns."""

    def itertracks(self, yield_label: bool):
        assert yield_label
        yield SimpleNamespace(start=2.0, end=3.0), "_", "SPEAKER_00"
        yield SimpleNamespace(start=0.5, end=2.5), "_", "SPEAKER_01"


@pytest.mark.parametrize("output", [Annotation(), SimpleNamespace(speaker_diarization=Annotation())], ids=["3", "4"])
def test_pyannote(output, monkeypatch):
    asked = []

    def pipeline(file, num_speakers):
        asked.append((file["waveform"].shape, file["sample_rate"], num_speakers))
        return output

    install(monkeypatch, lambda name: pipeline)
    assert PyannoteDiarizer()(torch.zeros(RATE)) == [Segment(0.5, 2.5, "SPEAKER_01"), Segment(2.0, 3.0, "SPEAKER_00")]
    assert asked == [((1, RATE), RATE, 2)]


def offline(name: str):
    raise OSError("no network")


@pytest.mark.parametrize(
    "from_pretrained, message",
    [(lambda name: None, "no access to .*3.1; accept its conditions at hf.co/pyannote/.* then run `hf auth login`"),
     (offline, "cannot be downloaded .no network.; take SimpleDiarizer")],
)  # fmt: skip
def test_pyannote_without_its_weights(from_pretrained, message, monkeypatch):
    install(monkeypatch, from_pretrained)
    with pytest.raises(ValueError, match=message):
        PyannoteDiarizer()


def test_pyannote_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyannote.audio", None)
    with pytest.raises(ImportError, match="pip install pyannote.audio, or take SimpleDiarizer"):
        PyannoteDiarizer()


# --- Two channels ---------------------------------------------------------------------------------

TURNS = [Segment(0.1, 0.4, "A"), Segment(0.3, 0.6, "B"), Segment(0.8, 2.0, "A")]


def test_one_speaker_here_and_the_rest_there():
    wav = torch.randn(RATE)  # ends while A speaks
    channels = two_channels(wav, TURNS, "A")
    assert channels.shape == (2, RATE) and torch.equal(channels.sum(0), wav)
    mine = torch.cat([wav[2400:9600], wav[19200:]])
    assert torch.equal(channels[0][channels[0] != 0], mine)
    assert not (channels[0] * channels[1]).any()
    other = two_channels(wav, TURNS, "B")
    assert torch.equal(other[0, 7200:14400], wav[7200:14400]) and not other[0, :7200].any()


@pytest.mark.parametrize("segments, names", [(TURNS, "A, B"), ([], "nobody")])
def test_a_speaker_who_never_speaks(segments, names):
    with pytest.raises(ValueError, match=f"expected a speaker of these segments, {names}, got 'C'"):
        two_channels(torch.zeros(RATE), segments, "C")


def test_words_go_to_their_speakers():
    words = {
        "within": Word("within", 0.15, 0.25),
        "mostly": Word("mostly", 0.35, 0.55),
        "nearest": Word("nearest", 0.7, 0.75),
        "instant": Word("instant", 0.9, 0.9),
    }
    said = words_by_speaker(list(words.values()), TURNS)
    assert said == {"A": [words["within"], words["nearest"], words["instant"]], "B": [words["mostly"]]}
    assert words_by_speaker([], []) == {}
    with pytest.raises(ValueError, match="expected segments of speakers for 1 words, got none"):
        words_by_speaker([words["within"]], [])


# --- Counting errors ------------------------------------------------------------------------------

TRUTH = [Segment(0, 4, "anna"), Segment(5, 9, "bob")]


def close(errors: DiarizationErrors, *seconds: float) -> bool:
    found = (errors.speech, errors.missed, errors.false_alarm, errors.confused)
    return found == pytest.approx(seconds, abs=0.011)


def test_a_grid_of_speakers():
    active = grid([Segment(0.02, 0.05, "b"), Segment(0.0, 0.03, "a"), Segment(0.04, 0.1, "b")], 0.06)
    assert active.int().tolist() == [[1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1]]


def test_names_do_not_matter():
    assert close(diarization_errors(TRUTH, [Segment(0, 4, "x"), Segment(5, 9, "a")], 10), 8, 0, 0, 0)


@pytest.mark.parametrize(
    "found, missed, false_alarm, confused",
    [
        ([], 8, 0, 0),
        ([Segment(0, 4, "x")], 4, 0, 0),
        ([Segment(0, 10, "x")], 0, 2, 4),
        ([Segment(0, 3, "x"), Segment(3, 4, "y"), Segment(5, 9, "y")], 0, 0, 1),
        ([Segment(0, 4, "x"), Segment(5, 9, "y"), Segment(9, 10, "z")], 0, 1, 0),
        ([Segment(0, 4, "x"), Segment(5, 9, "y"), Segment(2, 4, "y")], 0, 2, 0),
    ],
)
def test_kinds_of_errors(found, missed, false_alarm, confused):
    assert close(diarization_errors(TRUTH, found, 10), 8, missed, false_alarm, confused)


def test_two_at_once_count_twice():
    both = [Segment(0, 4, "anna"), Segment(3, 6, "bob")]
    assert close(diarization_errors(both, both, 6), 7, 0, 0, 0)
    assert close(diarization_errors(both, [Segment(0, 4, "x"), Segment(4, 6, "y")], 6), 7, 1, 0, 0)


def test_rates():
    errors = [DiarizationErrors(8, 1, 0.5, 0.5), DiarizationErrors(2, 0, 0, 1)]
    assert [e.rate for e in errors] == [0.25, 0.5]
    assert summary(errors) == {"speech_seconds": 10, "rate": 0.3, "missed": 0.1, "false_alarm": 0.05,
                               "confused": 0.15, "best": 0.25, "worst": 0.5}  # fmt: skip
    with pytest.raises(ValueError, match="expected a reference with speech in it, got none"):
        _ = DiarizationErrors().rate


def test_conversations_are_what_their_truth_says():
    wav, truth = mono_conversation(random.Random(5), synthetic_pair)
    assert len({segment.speaker.split("+")[1] for segment in truth}) == 2
    gaps = [after.start - before.end for before, after in zip(truth, truth[1:], strict=False)]
    assert all(-0.61 < gap < 1.01 for gap in gaps)
    speaking = grid(truth, len(wav) / RATE).any(0)[: len(wav) // 240]
    power = wav[: len(speaking) * 240].view(-1, 240).square().mean(1)
    assert power[speaking].mean() > 100 * power[~speaking].mean()
    same, _ = mono_conversation(random.Random(5), synthetic_pair)
    assert torch.equal(wav, same)


def test_conversations_of_people(tmp_path):
    """Recordings in the layout of the data set; each speaker has a pitch of their own."""
    for speaker, pitch in (("anna", 220), ("bob", 110)):
        for digit in range(3):
            path = tmp_path / f"{digit}_{speaker}_0.wav"
            soundfile.write(path, tone(1.2, frequency=pitch)[::3].numpy(), 8_000)
    wav, truth = mono_conversation(random.Random(0), human_pairs(tmp_path))
    assert {segment.speaker for segment in truth} == {"anna", "bob"}
    alone = next(segment for segment in truth if segment.speaker == "anna")
    begin = round((alone.start + 0.05) * RATE)
    spectrum = torch.fft.rfft(wav[begin : begin + RATE // 10]).abs()
    assert spectrum.argmax() * 10 == pytest.approx(220, abs=10)


def test_the_command(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["diarization", "--conversations", "1"])
    main()
    report = json.loads(capsys.readouterr().out)
    assert report["simple"]["rate"] < report["one speaker"]["rate"]
    monkeypatch.setitem(sys.modules, "pyannote.audio", None)
    monkeypatch.setattr("sys.argv", ["diarization", "--diarizer", "pyannote"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "error: pyannote.audio is not installed" in capsys.readouterr().err
