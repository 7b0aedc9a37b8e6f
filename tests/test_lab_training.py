"""What notebook 06 is made with: its figures, the curves that it reads and draws, and checkers that name mistakes."""

import json
import math

import pytest
import torch
import torch.nn.functional as F
from test_codec import codec_task
from test_lab import assert_picture

from moshi_ref.lab import training_plots as plots
from moshi_ref.lab.exercises_06 import check_balance, check_cut, check_feature_distance, check_learning_rate
from moshi_ref.training.loop import train

CURVE = [{"step": 10 * i + 9, "seconds": 1.0, "mel": 1 / (i + 1), "wave": 0.1} for i in range(6)]


def test_figures():
    judged = [entry | {"adversarial": 1.0} for entry in CURVE]
    assert_picture(
        plots.loss_panels({"one": CURVE, "two": judged}, ["mel", "wave", "adversarial", "none", "mel"], {"x": 3})
    )
    assert_picture(plots.hinges())
    assert_picture(plots.complex_spectrogram(torch.randn(12_000), 24_000, (512, 128)))
    assert_picture(plots.gradient_bars({"plain": {"mel": 1.0, "wave": 2.0}, "balanced": {"mel": 1.0, "wave": 1.0}}))


def test_means_of_a_curve_leave_out_entries_without_the_loss():
    curve = [{"step": 0, "mel": 1.0}, {"step": 1}, {"step": 2, "mel": 3.0}, {"step": 5, "mel": 7.0}]
    assert plots.means(curve, "mel", 2) == ([1.0, 5.0], [2.0, 7.0])
    assert plots.means(curve, "wave", 2) == ([], [])


def test_a_written_curve_is_read_whatever_its_losses(tmp_path):
    path = tmp_path / "curve.json"
    path.write_text(json.dumps(CURVE + [{"step": 70, "phones": 1.0, "loss": 2.0}]))
    assert plots.losses_in(plots.read_curve(path)) == ["mel", "wave", "phones", "loss"]


@pytest.mark.parametrize("text", ["[]", "{}", '[{"mel": 1}]', "[1, 2]", "no JSON"])
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "curve.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="curve.json"):
        plots.read_curve(path)
    with pytest.raises(FileNotFoundError, match="train mimi"):
        plots.read_curve(tmp_path / "none.json")


def test_watching_a_training_does_not_change_it(tmp_path, capsys):
    plain = train(codec_task(), tmp_path / "plain", 4, seed=0)
    asked = []
    watched = plots.Watched(codec_task(), ["mel", "wave"], 2, lambda: asked.append(1) or {"half": 0.5})
    curve = train(watched, tmp_path / "watched", 4, seed=0)
    assert [e["loss"] for e in curve] == [e["loss"] for e in plain]
    assert [e["mel"] for e in watched.curve] == pytest.approx([e["mel"] for e in plain], abs=1e-6)
    assert watched.measured == [{"step": 0, "half": 0.5}, {"step": 2, "half": 0.5}] and len(asked) == 2
    assert capsys.readouterr().out.count("Figure(") == 2


# --- Checkers ---------------------------------------------------------------------------------------


def relative(fake, real):
    return [((f - r.detach()).abs().flatten(1).mean(1) / r.detach().abs().flatten(1).mean(1)).mean()
            for f, r in zip(fake, real, strict=True)]  # fmt: skip


def plain_difference(fake, real):
    return sum(F.l1_loss(f.flatten(1), r.detach().flatten(1)) for f, r in zip(fake, real, strict=True)) / len(fake)


def attached(fake, real):
    shares = [((f - r).abs().flatten(1).mean(1) / r.abs().flatten(1).mean(1)).mean()
              for f, r in zip(fake, real, strict=True)]  # fmt: skip
    return sum(shares) / len(shares)


def cosine(step, steps, warmup, largest, least=0.02, first=1):
    if step < warmup:
        return largest * (step + first) / warmup
    return largest * (least + (1 - least) * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2)


@pytest.mark.parametrize(
    ("check", "wrong", "told"),
    [
        (check_cut, lambda x, s, n: x[max(0, s) : max(0, s + n)], "reach over an end"),
        (check_cut, lambda x, s, n: F.pad(x.roll(-s), (0, n))[:n], "negative indices"),
        (check_cut, lambda x, s, n: F.pad(x, (n, n))[:n], "Sample i of the result"),
        (check_feature_distance, plain_difference, "plain difference"),
        (check_feature_distance, lambda f, r: sum(relative(f, r)), "sum over the layers"),
        (check_feature_distance, attached, "must be constants"),
        (check_feature_distance, lambda f, r: (sum(relative(f, r)) / len(f)).detach(), "no gradient reaches"),
        (check_feature_distance, lambda f, r: (sum(relative(f, r)) / len(f)).item(), "one number"),
        (check_balance, lambda g, w: sum(a * b for a, b in zip(w, g, strict=True)), "plain weighted sum"),
        (check_balance, lambda g, w: sum(a * b / b.norm() for a, b in zip(w, g, strict=True)), "has length 1"),
        (check_balance, lambda g, w: sum(g).norm(), "one vector"),
        (check_learning_rate, lambda *a: cosine(*a, first=0), "step 0 is 0"),
        (check_learning_rate, lambda *a: cosine(*a, least=0.0), "falls to 0"),
        (check_learning_rate, lambda s, n, w, r: r * min(1, (s + 1) / w), "of the way down"),
        (check_learning_rate, lambda s, n, w, r: r, "in the warm-up"),
    ],
)
def test_checkers_name_the_mistake(check, wrong, told):
    verdict = check(wrong)
    assert not verdict and told in verdict.message and len(verdict.hints) == 3


def test_a_cut_that_changes_the_sound_is_found():
    def cut(wav, start, length):
        found = torch.tensor([wav[i].item() if 0 <= i < len(wav) else 0.0 for i in range(start, start + length)])
        wav.zero_()
        return found

    assert "changed the sound" in check_cut(cut).message
