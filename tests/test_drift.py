"""The measure of drift: none in an exact stream, all of it in one that forgets."""

import pytest
import torch
from conftest import tiny_mimi

from moshi_ref.evaluation.drift import drift, main
from moshi_ref.mimi import Mimi


def test_an_exact_stream_does_not_drift():
    found = drift(Mimi(tiny_mimi()).eval(), 0.1 * torch.randn(1, 1, 20 * 1920))
    assert found["latent"] < 1e-5 and found["sound"] < 1e-5


def test_a_stream_that_forgets_is_found_out(monkeypatch):
    mimi = Mimi(tiny_mimi()).eval()
    forgetful, whole = mimi.encode_latent, 0.1 * torch.randn(1, 1, 20 * 1920)
    monkeypatch.setattr(mimi, "encode_latent", lambda wav, state=None: forgetful(wav))
    found = drift(mimi, whole)
    assert found["latent"] > 1e-2 and found["sound"] < 1e-5


@pytest.mark.parametrize("arguments, told", [(["--mimi", "nowhere"], "no config.json in nowhere"),
                                             (["--seconds", "10", "0"], "at least 1 second, got 0")])  # fmt: skip
def test_bad_arguments_are_refused_in_a_sentence(arguments, told, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["drift", *arguments])
    with pytest.raises(SystemExit) as refused:
        main()
    assert refused.value.code == 2 and told in capsys.readouterr().err
