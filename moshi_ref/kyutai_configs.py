"""What Kyutai's config.json files say, in our terms, and the other way round.

    RELEASED          the configurations of the released models
    moshi_from_kyutai, moshi_to_kyutai    the language models, Moshi and the speech recognisers
    mimi_from_kyutai, mimi_to_kyutai      the codec
    helium_from_hub                       Helium, as the Hugging Face hub describes it
"""

from dataclasses import replace

from .helium import Helium, HeliumConfig
from .mimi import Mimi, MimiConfig
from .moshi import Moshi, MoshiConfig
from .rq_transformer import ConditionConfig, RQTransformerConfig
from .seanet import SEANetConfig
from .transformer import TransformerConfig

RELEASED = {  # what a file without a config.json may be
    Mimi: [MimiConfig.kyutai()],
    Moshi: [
        MoshiConfig.kyutai_7b(), MoshiConfig.kyutai_2b(), MoshiConfig.kyutai_stt_1b(), MoshiConfig.kyutai_stt_2b6(),
        replace(MoshiConfig.kyutai_stt_1b(), model=replace(MoshiConfig.kyutai_stt_1b().model, extra_heads=0)),
    ],
    Helium: [HeliumConfig.kyutai_2b()],
}  # fmt: skip

# Settings of the official language model that change what it computes. We have only these values of them.
ONLY = {
    "gating": "silu", "norm": "rms_norm_f32", "positional_embedding": "rope", "layer_scale": None, "causal": True,
    "depformer_pos_emb": "none", "depformer_weights_per_step": True, "depformer_multi_linear": True,
    "depformer_gating": "silu", "depformer_layer_scale": None, "depformer_norm": None, "norm_emb": False,
    "depformer_weights_per_step_schedule": None, "depformer_low_rank_embeddings": None, "cross_attention": False,
    "demux_second_stream": False, "demux_second_text_stream": False, "bias_proj": False, "text_card_out": None,
    "quantize": False, "lora": False, "existing_text_padding_id": 3, "existing_text_end_padding_id": 0,
}  # fmt: skip


def gated_width(feed_forward: int, dim: int) -> int:
    """The width inside a gated MLP that the official package makes of `dim_feedforward`."""
    return 21 * dim // 8 if feed_forward == 4 * dim else 2 * feed_forward // 3


def feed_forward(width: int, dim: int) -> int:
    """A `dim_feedforward` that gives this width."""
    return next(f for f in range(3 * width // 2, 3 * width // 2 + 4) if gated_width(f, dim) == width)


def moshi_from_kyutai(d: dict) -> MoshiConfig:
    """The configuration of a released language model. Raises ValueError for parts that are not built here."""
    other = {name: d[name] for name, value in ONLY.items() if d.get(name, value) != value}
    if d["dep_q"] == 0:
        other = {name: value for name, value in other.items() if not name.startswith("depformer")}
    if other or (d.get("fuser") or {}).get("cross"):
        raise ValueError(f"this package does not build models with {other or 'cross-attention'}")
    hidden = gated_width(int(d["hidden_scale"] * d["dim"]), d["dim"])
    temporal = TransformerConfig(d["dim"], d["num_heads"], d["num_layers"], hidden, d["context"],
                                 rope_period=float(d["max_period"]))  # fmt: skip
    depth, dim = None, d.get("depformer_dim")
    if d["dep_q"]:
        wide = d.get("depformer_dim_feedforward") or int(d["hidden_scale"] * dim)
        depth = TransformerConfig(dim, d["depformer_num_heads"], d["depformer_num_layers"], gated_width(wide, dim),
                                  d["dep_q"], rope_period=None, weight_sets=d["dep_q"])  # fmt: skip
    condition = None
    if d.get("conditioners"):
        if d["conditioners"].keys() != {"description"} or d["conditioners"]["description"]["type"] != "lut":
            raise ValueError(f"this package does not build the conditioners {d['conditioners']}")
        lut = d["conditioners"]["description"]["lut"]
        condition = ConditionConfig(tuple(lut.get("possible_values") or ()), lut["n_bins"], lut["dim"])
    heads = d.get("extra_heads_num_heads", 0), d.get("extra_heads_dim", 6)
    model = RQTransformerConfig(temporal, depth, d["text_card"], d["card"], d["n_q"], *heads, condition)
    return MoshiConfig(model, tuple(d["delays"]))


def moshi_to_kyutai(config: MoshiConfig) -> dict:
    """The config.json that the official package reads."""
    m, t = config.model, config.model.temporal
    wide = feed_forward(t.hidden, t.dim)
    scale = wide / t.dim if int(wide / t.dim * t.dim) == wide else (wide + 0.5) / t.dim  # they round down
    d = {
        "dim": t.dim, "text_card": m.text_vocabulary, "existing_text_padding_id": 3, "n_q": m.audio_streams,
        "dep_q": m.predicted, "card": m.entries, "num_heads": t.heads, "num_layers": t.layers, "hidden_scale": scale,
        "causal": True, "layer_scale": None, "context": t.context, "max_period": t.rope_period, "gating": "silu",
        "norm": "rms_norm_f32", "positional_embedding": "rope", "delays": list(config.delays),
        "extra_heads_num_heads": m.extra_heads, "extra_heads_dim": m.extra_classes, "depformer_multi_linear": True,
    }  # fmt: skip
    if m.depth is not None:
        d |= {
            "depformer_dim": m.depth.dim, "depformer_dim_feedforward": feed_forward(m.depth.hidden, m.depth.dim),
            "depformer_num_heads": m.depth.heads, "depformer_num_layers": m.depth.layers,
            "depformer_layer_scale": None, "depformer_context": m.predicted,
            "depformer_max_period": 10_000, "depformer_gating": "silu", "depformer_pos_emb": "none",
            "depformer_weights_per_step": True,
        }  # fmt: skip
    if m.condition is not None:
        lut = {"n_bins": m.condition.bins, "dim": m.condition.dim, "tokenizer": "noop"}
        lut |= {"possible_values": list(m.condition.values)} if m.condition.values else {}
        d |= {"conditioners": {"description": {"type": "lut", "lut": lut}}, "fuser": {"sum": ["description"]}}
    return d


def mimi_from_kyutai(d: dict) -> MimiConfig:
    """The configuration of a Mimi in the official package's own terms."""
    s, t, q = d["seanet"], d["transformer"], d["quantizer"]
    seanet = SEANetConfig(s["dimension"], s["n_filters"], tuple(s["ratios"]), s["kernel_size"], s["last_kernel_size"],
                          s["residual_kernel_size"])  # fmt: skip
    transformer = TransformerConfig(t["d_model"], t["num_heads"], t["num_layers"], t["dim_feedforward"], t["context"],
                                    float(t["max_period"]), gated=False, layer_scale=t["layer_scale"])  # fmt: skip
    used = min(8, q["n_q"])  # as many as Moshi uses
    return MimiConfig(seanet, transformer, q["n_q"], used, q["bins"], q["dimension"], d["sample_rate"])


def mimi_to_kyutai(config: MimiConfig) -> dict:
    """The configuration that the official `get_mimi` takes."""
    s, t = config.seanet, config.transformer
    return {
        "sample_rate": config.sample_rate, "channels": 1, "frame_rate": config.frame_rate,
        "seanet": {
            "channels": 1, "dimension": s.dim, "causal": True, "n_filters": s.filters, "n_residual_layers": 1,
            "activation": "ELU", "compress": 2, "dilation_base": 2, "disable_norm_outer_blocks": 0,
            "kernel_size": s.kernel, "residual_kernel_size": s.residual_kernel, "last_kernel_size": s.last_kernel,
            "norm": "none", "pad_mode": "constant", "ratios": list(s.ratios), "true_skip": True,
        },
        "quantizer": {
            "dimension": config.codebook_dim, "n_q": config.codebooks, "bins": config.entries,
            "input_dimension": s.dim, "output_dimension": s.dim,
        },
        "transformer": {
            "d_model": t.dim, "num_heads": t.heads, "num_layers": t.layers, "causal": True,
            "layer_scale": t.layer_scale, "context": t.context, "conv_layout": True, "max_period": t.rope_period,
            "gating": "none", "norm": "layer_norm", "positional_embedding": "rope", "dim_feedforward": t.hidden,
            "input_dimension": s.dim, "output_dimensions": [s.dim],
        },
    }  # fmt: skip


def helium_from_hub(d: dict) -> HeliumConfig:
    """The configuration of a Helium in the terms of the Hugging Face hub. Since version 5 of their library, RoPE's
    period is in a dictionary of its own."""
    rope = d.get("rope_parameters", d)
    transformer = TransformerConfig(d["hidden_size"], d["num_attention_heads"], d["num_hidden_layers"],
                                    d["intermediate_size"], d["max_position_embeddings"],
                                    rope_period=float(rope["rope_theta"]))  # fmt: skip
    return HeliumConfig(transformer, d["vocab_size"])


FROM_KYUTAI = {Mimi: mimi_from_kyutai, Moshi: moshi_from_kyutai, Helium: helium_from_hub}
TO_KYUTAI = {Mimi: mimi_to_kyutai, Moshi: moshi_to_kyutai}
