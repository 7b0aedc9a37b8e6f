"""The measure of drift: none in an exact stream, all of it in one that forgets."""

import torch
from conftest import tiny_mimi

from moshi_ref.evaluation.drift import drift
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
