"""Measures of sound quality against closed forms, and in the right order."""

import importlib.util
import math

import pytest
import torch

from moshi_ref.corpus.voices import Voice, synthesize
from moshi_ref.evaluation import sound_quality
from moshi_ref.evaluation.sound_quality import (
    INSTALL,
    OPTIONAL,
    REQUIRED,
    gain,
    log_mel,
    log_mel_distance,
    measures,
    pesq,
    si_sdr,
    stoi,
    visqol,
)

SECOND = torch.arange(24_000) / 24_000


def noise() -> torch.Tensor:
    return 0.1 * torch.randn(24_000)


@pytest.fixture(scope="module")
def speech() -> torch.Tensor:
    return synthesize("what is seven plus four", Voice("en-us+f4")).wav


# --- Log-mel --------------------------------------------------------------------------------------


def test_half_the_amplitude_is_six_decibels():
    wav = noise()
    assert log_mel_distance(wav, wav) == 0
    assert log_mel_distance(wav, 0.5 * wav) == pytest.approx(20 * math.log10(2), abs=1e-3)
    assert log_mel_distance(wav, -wav) == pytest.approx(0, abs=1e-4)  # phase does not count


def test_the_level_is_what_was_gained():
    wav = torch.sin(torch.arange(4_800) * 0.1)
    assert gain(wav, 10 * wav) == pytest.approx(20, abs=1e-3) and gain(wav, -wav) == pytest.approx(0, abs=1e-6)
    assert -120 < gain(wav, 0 * wav) < -90


def test_silence_has_a_floor():
    """What lies below -80 dB is no difference, and nothing is infinite."""
    silence = torch.zeros(24_000)
    assert (log_mel(silence) == -80).all()
    assert log_mel_distance(silence, 1e-6 * noise()) == 0


# --- SI-SDR ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("decibels", [-10.0, 0.0, 25.0])
def test_si_sdr_of_orthogonal_distortion(decibels):
    """A sine and a cosine of whole periods are orthogonal: the ratio is that of their powers."""
    sine, cosine = (function(2 * math.pi * 300 * SECOND) for function in (torch.sin, torch.cos))
    for level in (0.01, 1.0, -3.0):  # of the output as a whole: it does not count, nor its sign, nor an offset
        output = level * (sine + 10 ** (-decibels / 20) * cosine)
        assert si_sdr(sine, output) == pytest.approx(decibels, abs=1e-3)
        assert si_sdr(sine + 0.3, output - 0.2) == pytest.approx(decibels, abs=1e-3)


def test_si_sdr_by_its_formula():
    """Le Roux et al. (2019), written with the cosine of the angle between the two: cos^2 / (1 - cos^2)."""
    one = noise() - 0.02
    other = one + 0.5 * noise()
    cosine = torch.corrcoef(torch.stack([one, other]).double())[0, 1].item()
    assert si_sdr(one, other) == pytest.approx(10 * math.log10(cosine**2 / (1 - cosine**2)), abs=1e-6)


def test_si_sdr_of_the_same_and_of_nothing():
    wav = noise()
    assert si_sdr(wav, 2 * wav) > 100 and si_sdr(wav, torch.zeros_like(wav)) <= 0


# --- STOI -----------------------------------------------------------------------------------------


def test_stoi_falls_as_noise_rises(speech):
    scores = [stoi(speech, speech + level * torch.randn(len(speech))) for level in (0.0, 0.01, 0.1, 1.0)]
    assert scores[0] == pytest.approx(1, abs=1e-6) and scores == sorted(scores, reverse=True) and scores[-1] < 0.5


def test_stoi_needs_some_speech(speech):
    with pytest.raises(ValueError, match=r"0\.4 s of speech"):
        stoi(speech[4800:9600], speech[4800:9600])


# --- The others -----------------------------------------------------------------------------------


@pytest.mark.parametrize("measure", [*REQUIRED.values(), *OPTIONAL.values()])
def test_what_cannot_be_compared_is_refused(measure):
    for one, other in [(torch.ones(5), torch.ones(6)), (torch.ones(1, 5), torch.ones(1, 5)), (torch.ones(0),) * 2]:
        with pytest.raises(ValueError, match=r"two sounds of one shape \(T,\)"):
            measure(one, other)
    with pytest.raises(ValueError, match="NaN"):
        measure(torch.ones(5), torch.full((5,), math.nan))


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setattr(sound_quality.importlib.util, "find_spec", lambda name: None)
    found, missing = measures()
    assert list(found) == list(REQUIRED) and missing == list(INSTALL.values())
    assert all("pip install" in sentence for sentence in missing)


@pytest.mark.parametrize("measure, module", [(pesq, "pesq"), (visqol, "visqol")])
def test_optional_measures_fall_as_noise_rises(measure, module, speech):
    """Where the library is there; elsewhere the error must say how to get it."""
    if importlib.util.find_spec(module) is None:
        with pytest.raises(ImportError, match="pip install"):
            measure(speech, speech)
        return
    scores = [measure(speech, speech + level * torch.randn(len(speech))) for level in (0.0, 0.01, 0.1)]
    assert 4 < scores[0] <= 5 and scores == sorted(scores, reverse=True)
