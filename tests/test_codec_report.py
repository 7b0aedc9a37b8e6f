"""The report on a codec whose losses are known: it halves the sound for every codebook that is left out."""

import math
from types import SimpleNamespace

import pytest
import torch

from moshi_ref.corpus.small_world import held_out
from moshi_ref.corpus.voices import TEST_VARIANTS
from moshi_ref.evaluation import codec_report
from moshi_ref.evaluation.codec_report import (
    codebooks,
    counts,
    decoded,
    held_out_questions,
    intelligibility,
    many_codes,
    mean_and_margin,
    print_table,
    quality,
    suitable,
)
from moshi_ref.evaluation.sound_quality import REQUIRED


class Halving:
    """A codec with four codebooks whose codes count the frames, and whose sound it keeps for itself."""

    config = SimpleNamespace(used_codebooks=4, frame_size=1920, entries=64)

    def encode(self, wav: torch.Tensor, codebooks: int = 4) -> torch.Tensor:
        self.wav = wav
        return torch.arange(-(-wav.shape[-1] // 1920)).repeat(1, codebooks, 1)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        missing = -self.wav.shape[-1] % 1920
        return torch.nn.functional.pad(self.wav, (0, missing)) * 0.5 ** (4 - codes.shape[1])


def test_a_recording_too_short_for_one_measure_is_judged_by_the_others():
    fitting, reasons = suitable(REQUIRED, 0.1 * torch.randn(4_800))  # 0.2 s
    assert list(fitting) == ["level, dB", "log-mel distance, dB", "SI-SDR, dB"] and "STOI needs 0.4 s" in reasons[0]
    rows = quality(Halving(), [0.1 * torch.randn(4_800)], fitting)
    assert all(row.keys() == fitting.keys() for row in rows.values())
    assert suitable(REQUIRED, 0.1 * torch.randn(24_000)) == (REQUIRED, [])


def test_mean_and_margin():
    assert mean_and_margin([1.0, 2.0, 3.0]) == {"mean": 2.0, "margin": pytest.approx(1.96 / math.sqrt(3), abs=1e-3)}
    assert mean_and_margin([4.0]) == {"mean": 4.0, "margin": None}


@pytest.mark.parametrize("used, expected", [(8, [1, 2, 4, 8]), (3, [1, 2, 3]), (1, [1]), (32, [1, 2, 4, 8, 16, 32])])
def test_numbers_of_codebooks(used, expected):
    assert counts(SimpleNamespace(config=SimpleNamespace(used_codebooks=used))) == expected


def test_outputs_are_cut_to_the_original():
    wav = torch.randn(2000)
    outputs = decoded(Halving(), wav)
    assert list(outputs) == [1, 2, 4]
    assert many_codes(Halving(), [wav, wav[:500]]).tolist() == 4 * [[0, 1, 0]]
    assert torch.equal(outputs[4], wav) and torch.equal(outputs[1], wav / 8)


def test_quality_by_number_of_codebooks():
    """Halving is six decibels of the log-mel distance, and nothing to the other two."""
    wavs = [0.1 * torch.randn(24_000) for _ in range(2)]
    rows = quality(Halving(), wavs)
    for q, halvings in ((1, 3), (2, 2), (4, 0)):
        assert rows[q]["log-mel distance, dB"]["mean"] == pytest.approx(halvings * 20 * math.log10(2), abs=0.01)
        assert rows[q]["STOI"]["mean"] == pytest.approx(1, abs=1e-3) and rows[q]["SI-SDR, dB"]["mean"] > 60


def test_intelligibility_by_number_of_codebooks(monkeypatch):
    """A recogniser that hears what is loud enough: not an eighth of it."""
    items = [(torch.ones(4000), "one plus two"), (torch.ones(4000), "three")]
    monkeypatch.setattr(codec_report, "held_out_answers", lambda count, seed: {"voice": items[:count]})
    recogniser = SimpleNamespace(transcribe=lambda wav: "one plus two" if wav.max() > 0.2 else "")
    rows = intelligibility(Halving(), recogniser, 1, 0)["voice"]
    assert {name: row["rate"] for name, row in rows.items()} == {"originals": 0, 1: 1, 2: 0, 4: 0}
    assert all(row["words"] == 3 for row in rows.values())


def test_codebooks_weigh_every_frame_the_same():
    """Idempotence of 1 in one frame and of 0.5 in three is 0.625."""

    class Forgetful(Halving):
        config = SimpleNamespace(used_codebooks=1, frame_size=1920, entries=64)

    shares = iter((torch.tensor([1.0]), torch.tensor([0.5])))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec_report, "idempotence", lambda mimi, wav, used: next(shares))
        (row,) = codebooks(Forgetful(), torch.tensor([[0, 1, 2, 3]]), [torch.zeros(1920), torch.zeros(5000)])
    assert row == {"used": 4 / 64, "bits": pytest.approx(2), "perplexity": pytest.approx(4), "idempotence": 0.625}


def test_held_out_questions(monkeypatch):
    asked = []
    monkeypatch.setattr(codec_report, "render_user", lambda about, voice, rng: asked.append((about, voice)) or
                        SimpleNamespace(wav=torch.zeros(1)))  # fmt: skip
    assert len(held_out_questions(8, 0)) == 8
    assert all(held_out(*about.operands) for about, _ in asked) and len({about.topic for about, _ in asked}) == 4
    assert all(voice.name.split("+")[1] in TEST_VARIANTS for _, voice in asked)


def test_tables_are_aligned(capsys):
    print_table("name", {"a": {"x": "1", "long": "2"}, "longer": {"x": "100", "long": "3"}})
    assert capsys.readouterr().out == "\nname      x  long\na         1     2\nlonger  100     3\n"
