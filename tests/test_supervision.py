"""A Moshi that predicts both speakers holds one that predicts itself."""

import torch
from conftest import close
from test_checkpoints import small_moshi

from moshi_ref.moshi import Moshi, MoshiConfig
from moshi_ref.training.supervision import for_both_speakers, for_moshi_alone

Q = 3  # codebooks of a speaker


def grid(frames: int) -> torch.Tensor:
    return torch.cat([torch.randint(0, 20, (2, 1, frames)), torch.randint(0, 16, (2, 2 * Q, frames))], dim=1)


def test_the_released_streams_of_a_model_of_all_streams_are_the_same():
    config = small_moshi().config
    both = Moshi(for_both_speakers(config)).eval()
    assert both.config.model.predicted == 2 * Q and both.config.delays == config.delays
    alone, codes = for_moshi_alone(both), grid(9)
    assert alone.config == config and not alone.training
    mine, all_of_them = alone(codes), both(codes)
    assert all_of_them.audio_logits.shape[1] == 2 * Q
    close(mine.text_logits, all_of_them.text_logits)
    close(mine.audio_logits.nan_to_num(), all_of_them.audio_logits[:, :Q].nan_to_num())
    assert torch.equal(mine.audio_mask, all_of_them.audio_mask[:, :Q])


def test_the_users_codes_come_after_moshis_own_in_a_column():
    """What the user says in a frame is predicted knowing what Moshi says in it, and not the other way round."""
    both, codes = Moshi(for_both_speakers(small_moshi().config)).eval(), grid(5)
    before = both(codes).audio_logits.nan_to_num()

    def affected(stream: int) -> list[bool]:
        changed = codes.clone()
        changed[:, stream, 2] = (changed[:, stream, 2] + 1) % 16
        after = both(changed).audio_logits.nan_to_num()
        return [not torch.allclose(before[:, q, 2], after[:, q, 2], atol=1e-6) for q in (0, Q)]

    assert affected(1) == [False, True]  # Moshi's semantic code
    assert affected(1 + Q) == [False, False]  # the user's


def test_a_model_of_moshi_alone_is_copied():
    moshi = small_moshi()
    copy = for_moshi_alone(moshi)
    assert copy.config == moshi.config
    assert all(torch.equal(copy.state_dict()[name], tensor) for name, tensor in moshi.state_dict().items())
    moshi.model.norm.weight.data += 1
    assert not torch.equal(copy.model.norm.weight, moshi.model.norm.weight)


def test_the_tiny_model_has_the_released_seventeen_streams():
    config = for_both_speakers(MoshiConfig.tiny())
    assert 1 + config.model.predicted == config.model.streams == 17
