"""What our weights are called in the files of others, and the tensors renamed, glued and cut by these tables.

    MIMI_NAMES, MOSHI_NAMES    the layout of the files that Kyutai released
    HELIUM_NAMES               the layout of the Hugging Face hub
    to_ours, to_theirs         a file's tensors in our layout, and ours in theirs

A row of a table is (ours, theirs); {i}, {j} and {s} are numbers, {w} is weight or bias. Where there are several rows
for one tensor of ours, the first is the layout of the released files, and the others are read, but not written: the
layout that the official package keeps in memory, and what codebooks were called before.

A name such as `attention.in_proj.weight#2` is a block of rows, number 2, of the tensor `attention.in_proj.weight`:
what we keep as one tensor, others keep as several.
"""

import re
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from .helium import Helium
from .mimi import Mimi
from .moshi import Moshi

Names = list[tuple[str, str]]


def _attention(ours: str, theirs: str, steps: str) -> Names:
    """The projections of a Transformer's layers. `steps` is "{s}" where each step has its own weights."""
    return [
        (f"{ours}.{{i}}.attention.in_proj.weight", f"{theirs}.{{i}}.self_attn.in_proj_weight"),
        (f"{ours}.{{i}}.attention.in_proj.weight#{steps}", f"{theirs}.{{i}}.self_attn.in_projs.{steps}.weight"),
        (f"{ours}.{{i}}.attention.out_proj.weight", f"{theirs}.{{i}}.self_attn.out_proj.weight"),
        (f"{ours}.{{i}}.attention.out_proj.weight#{steps}", f"{theirs}.{{i}}.self_attn.out_projs.{steps}.weight"),
    ]


def _mimi_transformer(side: str) -> Names:
    ours, theirs = f"{side}_transformer.layers", f"{side}_transformer.transformer.layers"
    return _attention(ours, theirs, "0") + [
        (f"{ours}.{{i}}.norm{{j}}.{{w}}", f"{theirs}.{{i}}.norm{{j}}.{{w}}"),
        (f"{ours}.{{i}}.mlp.linear_in.weight", f"{theirs}.{{i}}.linear1.weight"),
        (f"{ours}.{{i}}.mlp.linear_out.weight", f"{theirs}.{{i}}.linear2.weight"),
        (f"{ours}.{{i}}.scale{{j}}.scale", f"{theirs}.{{i}}.layer_scale_{{j}}.scale"),
    ]


def _mimi_codebooks(half: str, rvq: str) -> Names:
    ours, theirs = f"quantizer.{half}.codebooks.{{i}}", f"quantizer.{rvq}.vq.layers.{{i}}._codebook"
    return [
        (f"quantizer.{half}.input_proj.weight", f"quantizer.{rvq}.input_proj.weight"),
        (f"quantizer.{half}.output_proj.weight", f"quantizer.{rvq}.output_proj.weight"),
        (f"{ours}.initialized", f"{theirs}._initialized"),
        (f"{ours}.initialized", f"{theirs}.inited"),
        (f"{ours}.usage", f"{theirs}.cluster_usage"),
        (f"{ours}.usage", f"{theirs}.cluster_size"),
        (f"{ours}.sums", f"{theirs}.embedding_sum"),
        (f"{ours}.sums", f"{theirs}.embed_avg"),
        (f"{ours}.sums", f"{theirs}.embed_sum"),
    ]


MIMI_NAMES: Names = [
    *((f"decoder.{i}.{{w}}", f"decoder.model.{i}.convtr.convtr.{{w}}") for i in (2, 5, 8, 11)),
    ("decoder.{i}.{w}", "decoder.model.{i}.conv.conv.{w}"),
    ("decoder.{i}.branch.{j}.{w}", "decoder.model.{i}.block.{j}.conv.conv.{w}"),
    ("encoder.{i}.{w}", "encoder.model.{i}.conv.conv.{w}"),
    ("encoder.{i}.branch.{j}.{w}", "encoder.model.{i}.block.{j}.conv.conv.{w}"),
    ("downsample.weight", "downsample.conv.conv.conv.weight"),
    ("upsample.weight", "upsample.convtr.convtr.convtr.weight"),
    *_mimi_transformer("encoder"),
    *_mimi_transformer("decoder"),
    *_mimi_codebooks("semantic", "rvq_first"),
    *_mimi_codebooks("acoustic", "rvq_rest"),
]

CONDITION = "condition_provider.conditioners.description"
MOSHI_NAMES: Names = [
    ("model.text_embedding.weight", "text_emb.weight"),
    ("model.audio_embeddings.{i}.weight", "emb.{i}.weight"),
    *_attention("model.temporal.layers", "transformer.layers", "0"),
    ("model.temporal.layers.{i}.norm{j}.weight", "transformer.layers.{i}.norm{j}.alpha"),
    ("model.temporal.layers.{i}.mlp.linear_in.weight", "transformer.layers.{i}.gating.linear_in.weight"),
    ("model.temporal.layers.{i}.mlp.linear_out.weight", "transformer.layers.{i}.gating.linear_out.weight"),
    ("model.norm.weight", "out_norm.alpha"),
    ("model.text_head.weight", "text_linear.weight"),
    ("model.extra_heads.{i}.weight", "extra_heads.{i}.weight"),
    ("model.depth_in.weight#{s}", "depformer_in.{s}.weight"),
    ("model.depth_text_embedding.weight", "depformer_text_emb.weight"),
    ("model.depth_audio_embeddings.{i}.weight", "depformer_emb.{i}.weight"),
    *_attention("model.depth.layers", "depformer.layers", "{s}"),
    ("model.depth.layers.{i}.norm{j}.weight", "depformer.layers.{i}.norm{j}.alpha"),
    ("model.depth.layers.{i}.mlp.linear_in.weight#{s}", "depformer.layers.{i}.gating.{s}.linear_in.weight"),
    ("model.depth.layers.{i}.mlp.linear_out.weight#{s}", "depformer.layers.{i}.gating.{s}.linear_out.weight"),
    ("model.audio_heads.weight#{s}", "linears.{s}.weight"),
    ("model.condition.embedding.weight", f"{CONDITION}.embed.weight"),
    ("model.condition.proj.weight", f"{CONDITION}.output_proj.weight"),
    ("model.condition.nothing", f"{CONDITION}.learnt_padding"),
]

HELIUM_NAMES: Names = [  # the layout of the Hugging Face hub
    ("embedding.weight", "model.embed_tokens.weight"),
    ("transformer.layers.{i}.norm1.weight", "model.layers.{i}.input_layernorm.weight"),
    *(
        (f"transformer.layers.{{i}}.attention.in_proj.weight#{row}", f"model.layers.{{i}}.self_attn.{part}_proj.weight")
        for row, part in enumerate("qkv")
    ),
    ("transformer.layers.{i}.attention.out_proj.weight", "model.layers.{i}.self_attn.o_proj.weight"),
    ("transformer.layers.{i}.norm2.weight", "model.layers.{i}.post_attention_layernorm.weight"),
    ("transformer.layers.{i}.mlp.linear_in.weight#0", "model.layers.{i}.mlp.gate_proj.weight"),
    ("transformer.layers.{i}.mlp.linear_in.weight#1", "model.layers.{i}.mlp.up_proj.weight"),
    ("transformer.layers.{i}.mlp.linear_out.weight", "model.layers.{i}.mlp.down_proj.weight"),
    ("norm.weight", "model.norm.weight"),
    ("head.weight", "lm_head.weight"),
]

NAMES = {Mimi: MIMI_NAMES, Moshi: MOSHI_NAMES, Helium: HELIUM_NAMES}


def rename(name: str, source: str, target: str) -> str | None:
    """A name that fits the template `source`, written as `target`; None if it does not fit."""
    parts = {"{w}": r"(?P<w>weight|bias)", **{f"{{{n}}}": rf"(?P<{n}>\d+)" for n in "ijs"}}
    pattern = re.sub(r"\\\{(\w)\\\}", lambda m: parts[f"{{{m[1]}}}"], re.escape(source))
    match = re.fullmatch(pattern, name)
    return match and target.format(**match.groupdict())


def our_name(kind: type[nn.Module], theirs: str) -> str | None:
    """What a tensor of theirs is with us: a name, perhaps with #block; None if we have no such tensor."""
    found = (rename(theirs, source, target) for target, source in NAMES[kind])
    return next((name for name in found if name), None)


def their_name(kind: type[nn.Module], ours: str) -> str | None:
    """The same the other way round, in the layout of the released files."""
    found = (rename(ours, source, target) for source, target in NAMES[kind])
    return next((name for name in found if name), None)


def group(kind: type[nn.Module], theirs: Iterable[str]) -> dict[str, list[str]]:
    """Which tensors of theirs make up each of ours, in order. A tensor that we have no name for keeps its own, so that
    `match` reports it. Raises ValueError for a tensor that is there twice."""
    blocks: dict[str, dict[int, str]] = {}
    for name in theirs:
        whole, _, block = (our_name(kind, name) or name).partition("#")
        known = blocks.setdefault(whole, {})
        if int(block or 0) in known:
            raise ValueError(f"{name} is there under two names; expected every tensor once")
        known[int(block or 0)] = name
    return {name: [parts[n] for n in sorted(parts)] for name, parts in blocks.items()}


def glue(parts: Sequence[Tensor], shape: tuple | None) -> Tensor:
    """One tensor of ours out of its parts, in our shape where theirs says the same: a matrix for each step of the
    Depth Transformer is one matrix with many rows there, and the scales of norms have two axes of length 1 before
    the width."""
    whole = torch.cat(list(parts)) if len(parts) > 1 else parts[0]
    if shape is None:
        return whole
    same = whole.shape == (1, 1, *shape) or (len(shape) == 3 and whole.shape == (shape[0] * shape[1], shape[2]))
    return whole.reshape(shape) if same else whole


def to_ours(kind: type[nn.Module], theirs: dict[str, Tensor], shapes: dict[str, tuple]) -> dict[str, Tensor]:
    """Rename tensors of theirs and glue blocks together; see `group` and `glue`. shapes: those of our tensors."""
    sources = group(kind, theirs)
    return {name: glue([theirs[part] for part in parts], shapes.get(name)) for name, parts in sources.items()}


def to_theirs(kind: type[nn.Module], ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename our tensors and cut them to blocks: the layout of the released files."""
    theirs = {}
    for name, tensor in ours.items():
        whole = their_name(kind, name)
        if whole is None:  # several tensors there: one a step, or one a part
            count = sum(their_name(kind, f"{name}#{n}") is not None for n in range(3))
            blocks = tensor.unbind() if tensor.dim() == 3 else tensor.chunk(count)
            theirs |= {their_name(kind, f"{name}#{n}"): block for n, block in enumerate(blocks)}
        elif whole.endswith((".alpha", ".learnt_padding")):
            theirs[whole] = tensor.view(1, 1, -1)
        else:
            theirs[whole] = tensor.flatten(0, 1) if whole.startswith("depformer.") and tensor.dim() == 3 else tensor
    return theirs
