"""The synthetic voices: what they promise about samples, times, speakers and repeatability."""

import random

import pytest
import torch

from moshi_ref.corpus import voices
from moshi_ref.corpus.voices import (
    ENGLISH,
    LOUDNESS,
    MOSHI_VOICE,
    SAMPLE_RATE,
    TEST_VARIANTS,
    TRAIN_VARIANTS,
    Voice,
    base_symbol,
    moshi_voice,
    synthesize,
    user_voice,
)

SENTENCE = "what is seven plus nine"


def energy(wav: torch.Tensor, start: float, end: float) -> float:
    return wav[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)].square().sum().item()


def test_speech_has_the_format_of_the_codec():
    speech = synthesize(SENTENCE, Voice("en-us+m3"))
    assert speech.wav.dtype == torch.float32 and speech.wav.ndim == 1
    assert 1.0 < len(speech.wav) / SAMPLE_RATE < 3.0
    assert speech.wav.abs().max() < 1.0
    assert speech.wav.square().mean().sqrt().item() == pytest.approx(LOUDNESS, rel=0.02)


@pytest.mark.parametrize("accent", ENGLISH)
def test_words_and_phones_follow_each_other(accent):
    speech = synthesize(SENTENCE, Voice(f"{accent}+f5", rate=200))
    assert [word.text for word in speech.words] == SENTENCE.split()
    for marks in (speech.words, speech.phones):
        assert marks[0].start == 0
        assert marks[-1].end == pytest.approx(len(speech.wav) / SAMPLE_RATE, abs=1e-3)
        assert all(mark.start < mark.end for mark in marks)
        assert all(mark.end <= later.start for mark, later in zip(marks, marks[1:], strict=False))
    assert all(any(word.start <= phone.start < word.end for word in speech.words) for phone in speech.phones)


@pytest.mark.parametrize("name", [MOSHI_VOICE.name, "en+m3", "en-029+Annie"])
def test_times_agree_with_the_energy(name):
    speech = synthesize(SENTENCE, Voice(name))
    first = int((speech.wav.abs() > 0.02).float().argmax()) / SAMPLE_RATE
    assert abs(speech.words[0].start - first) < 0.04
    assert sum(energy(speech.wav, w.start, w.end) for w in speech.words) > 0.9 * energy(speech.wav, 0, 9)
    vowels = [phone for phone in speech.phones if phone.symbol[0] in "aeiouɒɔəɛɪʌ"]
    assert sum(energy(speech.wav, p.start, p.end) for p in vowels) > 0.6 * energy(speech.wav, 0, 9)


def test_a_word_starts_where_its_first_sound_starts():
    speech = synthesize("two two", Voice("en+m3"))  # the tongue closes before the second t: true silence
    start = round(speech.words[1].start * SAMPLE_RATE)
    silence = round(0.02 * SAMPLE_RATE)
    assert speech.wav[start - silence : start - silence // 2].abs().max() < 0.005
    assert speech.wav[start : start + silence].abs().max() > 0.02


@pytest.mark.parametrize("variant", [MOSHI_VOICE.name.split("+")[1], "f1", "grandma", "m4", "Annie", "Diogo"])
def test_speech_does_not_depend_on_what_was_spoken_before(variant):
    voice = Voice(f"en-us+{variant}", rate=150, pitch=60)
    first = synthesize(SENTENCE, voice)
    synthesize("repeat three", Voice("en-gb-scotland+f2", rate=210, pitch=20, pitch_range=70))
    second = synthesize(SENTENCE, voice)
    assert torch.equal(first.wav, second.wav)
    assert (first.words, first.phones) == (second.words, second.phones)


def test_every_variant_is_a_speaker_of_its_own():
    variants = TRAIN_VARIANTS + TEST_VARIANTS
    assert len(variants) >= 55
    sounds = {synthesize("two", Voice(f"en-us+{variant}")).wav.numpy().tobytes() for variant in variants}
    assert len(sounds) == len(set(variants)) == len(variants)


def test_every_accent_is_different():
    sounds = {synthesize(SENTENCE, Voice(f"{accent}+m3")).wav.numpy().tobytes() for accent in ENGLISH}
    assert len(sounds) == len(ENGLISH)


@pytest.mark.parametrize("change", [{"rate": 200}, {"pitch": 70}, {"pitch_range": 10}])
def test_habits_change_the_sound(change):
    plain, changed = synthesize("nine", Voice("en-us+m3")), synthesize("nine", Voice("en-us+m3", **change))
    assert plain.wav.shape != changed.wav.shape or not torch.equal(plain.wav, changed.wav)


def test_train_users_test_users_and_moshi_are_different_people():
    rng = random.Random(0)
    train = {user_voice(rng, "train").name.split("+")[1] for _ in range(600)}
    test = {user_voice(rng, "test").name.split("+")[1] for _ in range(200)}
    assert train == set(TRAIN_VARIANTS) and test == set(TEST_VARIANTS)
    assert not train & test
    assert MOSHI_VOICE.name.split("+")[1] not in train | test


def test_random_voices_stay_in_their_ranges():
    rng = random.Random(0)
    users = [user_voice(rng, "train") for _ in range(300)]
    assert all(120 <= v.rate <= 210 and 25 <= v.pitch <= 75 and 30 <= v.pitch_range <= 70 for v in users)
    assert len({voice.name for voice in users}) > 100
    moshis = [moshi_voice(rng) for _ in range(100)]
    assert {voice.name for voice in moshis} == {MOSHI_VOICE.name}
    assert all(150 <= v.rate <= 190 and abs(v.pitch - MOSHI_VOICE.pitch) <= 6 for v in moshis)
    assert user_voice(random.Random(5), "test") == user_voice(random.Random(5), "test")


def test_base_symbol_drops_stress_and_length():
    assert base_symbol("ˈiː") == "i"
    assert base_symbol("ˌeɪ") == "eɪ"
    assert base_symbol("θ") == "θ"


def test_library_data_below_a_very_long_path(tmp_path, monkeypatch):
    """The library's own buffer for the path is short: a copy below a short path takes its place."""
    (tmp_path / ("x" * 150) / "espeak-ng-data").mkdir(parents=True)
    monkeypatch.setattr(
        voices.espeakng_loader, "get_data_path", lambda: tmp_path / ("x" * 150) / "espeak-ng-data"
    )
    home = voices._home.__wrapped__()
    assert len(str(home)) < 100 and (home / "espeak-ng-data").is_dir()


WRITTEN = 'The colour of the door is red, and it is on the square. "Hee-haw!" said Ada. Where does a baker work?'


@pytest.mark.parametrize("accent", ENGLISH)
def test_sentences_keep_their_words_as_written(accent):
    speech = synthesize(WRITTEN, Voice(f"{accent}+m3"))
    assert [word.text for word in speech.words] == WRITTEN.split()
    assert speech.words[0].start == 0
    assert speech.words[-1].end == pytest.approx(len(speech.wav) / SAMPLE_RATE, abs=1e-3)
    assert all(word.start < word.end for word in speech.words)
    assert all(word.end <= later.start + 1e-9 for word, later in zip(speech.words, speech.words[1:], strict=False))
    times = {word.text: word for word in speech.words}
    assert times["and"].start - times["red,"].end > 0.1  # there is a pause at a comma, and it belongs to no word


def test_words_that_run_together_share_their_time():
    of, the = synthesize("on top of the hill", MOSHI_VOICE).words[2:4]
    assert of.end == the.start  # eSpeak marks one word, "of the", from here to there
    assert (of.end - of.start) / (the.end - of.start) == pytest.approx(2 / 5)
    first, apart = synthesize("I count", MOSHI_VOICE).words
    assert first.end / apart.end != pytest.approx(1 / 6, abs=0.01)  # two marks: no need to share


def test_a_first_word_that_nobody_announces_is_a_word():
    """In the accent of New York "Hugo" loses its first sound, and with it eSpeak's mark of the word."""
    speech = synthesize("Hugo has a parrot.", Voice("en-us-nyc+travis"))
    assert [word.text for word in speech.words] == ["Hugo", "has", "a", "parrot."]
    assert speech.words[0].start == 0 < speech.words[0].end <= speech.words[1].start


def test_a_stop_changes_how_a_word_sounds_but_not_which_it_is():
    plain, asked = synthesize("is it red", MOSHI_VOICE), synthesize("Is it red?", MOSHI_VOICE)
    assert [p.symbol for p in plain.phones] == [p.symbol for p in asked.phones]
    assert not torch.equal(plain.wav, asked.wav)  # the voice rises


@pytest.mark.parametrize("text", ["", "  ", "two , three", "two ?"])
def test_only_plain_words_are_spoken(text):
    with pytest.raises(ValueError, match="plain words"):
        synthesize(text, MOSHI_VOICE)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="no voice"):
        synthesize("two", Voice("nobody"))
    with pytest.raises(ValueError, match="split"):
        user_voice(random.Random(0), "validation")
