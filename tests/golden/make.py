"""Makes the golden values beside it: small models with random weights, run by the official packages.

    pip install --no-deps moshi einops transformers
    NO_TORCH_COMPILE=1 python tests/golden/make.py

The tests need neither package: they load these weights into our classes and compare (tests/test_golden.py).
Made with moshi 0.2.13 and transformers as printed. Every file holds the weights under `weights.`, under the
names of the official package, and what went in and came out beside them; its metadata holds the configuration.
"""

import json
from pathlib import Path

import torch
from moshi.conditioners import ConditionAttributes
from moshi.models import LMGen, loaders
from safetensors.torch import save_file
from torch import Tensor, nn

HERE = Path(__file__).parent

MIMI = {
    "sample_rate": 24_000, "channels": 1, "frame_rate": 12.5,
    "seanet": loaders._seanet_kwargs | {"dimension": 24, "n_filters": 2},
    "quantizer": {"dimension": 8, "n_q": 4, "bins": 32, "input_dimension": 24, "output_dimension": 24},
    "transformer": loaders._transformer_kwargs
    | {"d_model": 24, "num_heads": 2, "num_layers": 2, "dim_feedforward": 40, "context": 6,
       "input_dimension": 24, "output_dimensions": [24]},
}  # fmt: skip

DUPLEX = loaders._lm_kwargs | {
    "dim": 32, "text_card": 20, "n_q": 6, "dep_q": 3, "card": 16, "num_heads": 2, "num_layers": 2, "context": 6,
    "depformer_dim": 16, "depformer_dim_feedforward": 66, "depformer_num_heads": 2, "depformer_num_layers": 2,
    "depformer_context": 3, "delays": [0, 0, 1, 1, 0, 1, 1],
}  # fmt: skip
CONDITIONED = DUPLEX | {
    "delays": [0, 0, 2, 2, 0, 2, 2], "max_period": 100_000,
    "conditioners": {"description": {"type": "lut", "lut": {"n_bins": 5, "dim": 4, "tokenizer": "noop"}}},
    "fuser": {"sum": ["description"]},
}  # fmt: skip
HEARING = {name: value for name, value in DUPLEX.items() if not name.startswith("depformer")} | {
    "n_q": 4, "dep_q": 0, "delays": [0] * 5, "max_period": 100_000, "depformer_multi_linear": True,
    "extra_heads_num_heads": 2, "extra_heads_dim": 3,
}  # fmt: skip


def randomise(model: nn.Module, scale: float = 1.0) -> nn.Module:
    """Weights that make every part of a model count: no small scales, no zeros."""
    for name, value in model.state_dict().items():
        if not value.is_floating_point() or name.endswith("_initialized"):
            continue
        if name.endswith(("cluster_usage",)):
            value.copy_(0.5 + torch.rand_like(value))
        elif value.dim() <= 1 or name.endswith("alpha"):
            value.copy_(1 + 0.3 * torch.randn_like(value) if "bias" not in name else 0.1 * torch.randn_like(value))
        else:
            value.copy_(scale * torch.randn_like(value) * value[0].numel() ** -0.5)
    return model.eval()


def write(name: str, config: dict, model: nn.Module, **tensors: Tensor) -> None:
    data = {f"weights.{key}": value.contiguous().clone() for key, value in model.state_dict().items()}
    data |= {key: value.contiguous().clone() for key, value in tensors.items()}
    path = HERE / f"{name}.safetensors"
    save_file(data, path, {"config": json.dumps(config)})
    print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB;", *(f"{k} {tuple(v.shape)}" for k, v in tensors.items()))


@torch.no_grad()
def mimi() -> None:
    """Whole: longer than the context of the Transformers. Streamed: as long as it (see test_golden)."""
    model = loaders.get_mimi(None, MIMI, num_codebooks=4)
    model = randomise(model, 1.5)
    for half in (model.quantizer.rvq_first, model.quantizer.rvq_rest):
        for layer in half.vq.layers:
            layer._codebook._initialized.fill_(1)
            layer._codebook.embedding_sum.mul_(layer._codebook.cluster_usage[:, None])
            layer._codebook._embedding = None
    wav = 0.3 * torch.randn(2, 1, 1920 * 9)
    last = model.decoder.model[-1].conv.conv
    last.weight.mul_(0.2 / model.decode(model.encode(wav)).std())  # as loud as speech
    last.bias.zero_()
    latent = model.encode_to_latent(wav, quantize=False)
    codes = model.encode(wav)
    decoded = model.decode(codes)
    fewer = model.decode(codes[:, :2])
    short = wav[..., : 1920 * 3]  # 6 steps at 25 Hz: the whole context
    with model.streaming(2):
        streamed = torch.cat([model.encode(piece) for piece in short.split(1920, -1)], -1)
    with model.streaming(2):
        sound = torch.cat([model.decode(piece) for piece in streamed.split(1, -1)], -1)
    write("mimi", MIMI, model, wav=wav, latent=latent, codes=codes, decoded=decoded, decoded_2=fewer,
          streamed_codes=streamed, streamed_sound=sound)  # fmt: skip


def language_model(config: dict) -> nn.Module:
    return randomise(loaders.get_moshi_lm(None, config, dtype=torch.float32))


def tokens(config: dict, frames: int, rows: int = 2) -> Tensor:
    """Random codes (rows, K, frames), a tenth of them -1."""
    cards = torch.tensor([config["text_card"]] + [config["card"]] * config["n_q"])[None, :, None]
    codes = (torch.rand(rows, len(cards[0]), frames) * cards).long()
    return torch.where(torch.rand(codes.shape) < 0.1, -1, codes)


@torch.no_grad()
def duplex(name: str, config: dict, values: list[str | None] | None = None) -> None:
    """Teacher forcing, and conversations: greedy, and with Moshi's own tokens forced upon it."""
    model, frames = language_model(config), 16
    conditions = None
    if values is not None:
        asked = [ConditionAttributes(text={"description": value}) for value in values]
        conditions = model.condition_provider.prepare_and_provide(asked)
    codes = tokens(config, frames)
    out = model(codes, conditions)
    user = tokens(config, frames)[:, 1 + config["dep_q"] :].clamp(min=0)
    shift = torch.cat([torch.zeros_like(user[..., :1]), user], -1)  # the first frame that is fed is never read
    greedy = []
    generator = LMGen(model, use_sampling=False, condition_tensors=conditions)
    with generator.streaming(2):
        for column in shift.split(1, -1):
            greedy.append(generator.step(column))
    wait = max(config["delays"])
    assert all(column is None for column in greedy[:wait])
    forced = (torch.rand(2, frames + 1) * config["text_card"]).long()

    def force(text: Tensor) -> None:
        if told:  # the first column is predicted before anybody has spoken: it is free
            text.copy_(forced[:, len(told)])

    told: list[Tensor | None] = []
    generator = LMGen(model, use_sampling=False, condition_tensors=conditions, on_text_hook=force)
    with generator.streaming(2):
        for column in shift.split(1, -1):
            told.append(generator.step(column))
    write(
        name, config, model, codes=codes, text_logits=out.text_logits[:, 0], text_mask=out.text_mask[:, 0],
        audio_logits=out.logits, audio_mask=out.mask, user=user, greedy=torch.cat(greedy[wait:], -1),
        forced_text=forced, forced=torch.cat(told[wait:], -1),
    )  # fmt: skip


@torch.no_grad()
def hearing() -> None:
    model, frames = language_model(HEARING), 16
    codes = tokens(HEARING, frames)
    columns = torch.cat([model._get_initial_token().expand(2, -1, -1), codes[..., :-1]], -1)
    hidden, logits = model.forward_text(columns)
    heard = codes[:, 1:].clamp(min=0)
    shift = torch.cat([torch.zeros_like(heard[..., :1]), heard], -1)
    greedy, extra = [], []
    generator = LMGen(model, use_sampling=False)
    with generator.streaming(2):
        for column in shift.split(1, -1):
            text, heads = generator.step_with_extra_heads(column)
            greedy.append(text)
            extra.append(torch.stack([h[:, 0] for h in heads], 1))  # (B, heads, classes)
    write("hearing", HEARING, model, codes=codes, text_logits=logits[:, 0], hidden=hidden, heard=heard,
          greedy=torch.cat(greedy, -1), extra=torch.stack(extra, 1))  # fmt: skip


@torch.no_grad()
def helium() -> None:
    import transformers

    print("transformers", transformers.__version__)
    config = transformers.HeliumConfig(
        vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, head_dim=16, max_position_embeddings=24, rope_theta=100_000.0,
    )  # fmt: skip
    model = transformers.HeliumForCausalLM(config)
    for name, value in model.state_dict().items():
        noise = torch.randn_like(value)
        value.copy_(1 + 0.3 * noise if "norm" in name else noise * value.shape[-1] ** -0.5)
    ids = torch.randint(0, 40, (2, 20))
    logits = model.eval()(ids).logits
    description = json.loads(config.to_json_string(use_diff=False)) | {"rope_theta": 100_000.0}
    write("helium", description, model, tokens=ids, logits=logits)


def main() -> None:
    mimi()
    duplex("duplex", DUPLEX)
    duplex("conditioned", CONDITIONED, ["good", None])
    hearing()
    helium()


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    main()
