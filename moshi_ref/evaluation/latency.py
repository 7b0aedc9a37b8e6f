"""Where the time of a frame goes, and how long a user waits for an answer at least.

    python -m moshi_ref.evaluation.latency --json latency.json

Part of the wait is in the design and the same on every machine (Moshi paper, section 3.4.2): a frame of 80 ms must be
full before it can be encoded, and the acoustic codes come one frame after the semantic ones. The rest is computing, and
it must stay below 80 ms a frame, or a live conversation falls behind.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch

from ..audio import check_folder, writing
from ..checkpoints import CHECKPOINTS, load_mimi, load_moshi, mimi_of
from ..mimi import Mimi
from ..moshi import Moshi, MoshiStream

WARM_UP = 20  # frames that do not count: memory is asked for, weights are brought into order


def now(device: torch.device) -> float:
    """Seconds, after everything that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


@contextmanager
def timed(owner, method: str, device: torch.device) -> Iterator[list[float]]:
    """While the block runs, the milliseconds of each call of owner.method are appended to the list."""
    times, plain = [], getattr(owner, method)

    def call(*args, **kwargs):
        began = now(device)
        result = plain(*args, **kwargs)
        times.append(1000 * (now(device) - began))
        return result

    setattr(owner, method, call)
    try:
        yield times
    finally:
        delattr(owner, method)


def milliseconds(times: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile."""
    return {
        "median_ms": round(statistics.median(times), 2),
        "p95_ms": round(sorted(times)[int(0.95 * (len(times) - 1))], 2),
    }


def by_design(stream: MoshiStream) -> dict[str, float]:
    """The milliseconds that no computer can save: filling a frame, and waiting for the acoustic codes."""
    frame = 1000 / stream.mimi.config.frame_rate
    return {"filling a frame": frame, "acoustic delay": stream.wait * frame}


def parts(stream: MoshiStream, frames: int) -> dict[str, dict[str, float]]:
    """Milliseconds of the parts of a frame, of what is left beside them, and of the whole frame."""
    model, mimi, device = stream.moshi.model, stream.mimi, stream.initial.device
    calls = {"encode": (mimi, "encode"), "temporal": (model, "context"),
             "depth and sampling": (model, "sample_column"), "decode": (mimi, "decode"),
             "whole frame": (stream, "step")}  # fmt: skip
    sound = 0.1 * torch.randn(WARM_UP + frames, len(stream.generators), 1, mimi.config.frame_size)
    with ExitStack() as stack:
        times = {name: stack.enter_context(timed(*call, device)) for name, call in calls.items()}
        for frame in sound.to(device):
            stream.step(frame)
    times = {name: taken[WARM_UP:] for name, taken in times.items() if taken}  # a recogniser decodes nothing
    whole = times.pop("whole frame")
    rest = [total - sum(pieces) for total, *pieces in zip(whole, *times.values(), strict=True)]
    return {name: milliseconds(taken) for name, taken in (*times.items(), ("rest", rest), ("whole frame", whole))}


def budget(stream: MoshiStream, frames: int) -> dict:
    """All of it. The answer to what is heard at the beginning of a frame comes `latency_ms` later at the earliest."""
    design, computing = by_design(stream), parts(stream, frames)
    waiting = sum(design.values())
    return {
        "by_design_ms": design, "parts": computing, "conversations": len(stream.generators),
        "latency_ms": {name[:-3]: round(waiting + ms, 2) for name, ms in computing["whole frame"].items()},
        "limit_ms": design["filling a frame"],
    }  # fmt: skip


def table(result: dict) -> str:
    """The budget as lines of text."""
    lines = [f"{name:20} {ms:8.1f} ms" for name, ms in result["by_design_ms"].items()]
    for name, numbers in result["parts"].items():
        lines.append(f"{name:20} {numbers['median_ms']:8.2f} ms   p95 {numbers['p95_ms']:8.2f} ms")
    total, limit = result["latency_ms"], result["limit_ms"]
    lines.append(f"{'latency':20} {total['median']:8.1f} ms   p95 {total['p95']:8.1f} ms")
    late = result["parts"]["whole frame"]["p95_ms"] > limit
    return "\n".join([*lines, f"a frame must take less than {limit:.0f} ms: {'too slow here' if late else 'kept'}"])


def add_models(parser: argparse.ArgumentParser) -> None:
    """Options for who talks."""
    parser.add_argument("--moshi", type=Path, default=CHECKPOINTS / "moshi-tiny", help="folder of the model")
    parser.add_argument("--mimi", type=Path, help="folder of the codec; default: the one the model was trained with")


def load_models(args: argparse.Namespace) -> tuple[Moshi, Mimi]:
    """The two that these options name, on the GPU if there is one."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return load_moshi(args.moshi).to(device), load_mimi(args.mimi or mimi_of(args.moshi)).to(device)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m moshi_ref.evaluation.latency", description=__doc__.split("\n")[0])
    add_models(parser)
    parser.add_argument("--frames", type=int, default=250, help="that are measured")
    parser.add_argument("--conversations", type=int, default=1, help="in one batch")
    parser.add_argument("--threads", type=int, default=1, help="of the processor")
    parser.add_argument("--json", type=Path, help="file to write the results to")
    args = parser.parse_args()
    if min(args.frames, args.conversations, args.threads) < 1:
        parser.error("expected at least 1 frame, 1 conversation and 1 thread")
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    try:
        if args.json is not None:
            check_folder(args.json)
        moshi, mimi = load_models(args)
        stream = MoshiStream(moshi, mimi, seed=0, batch_size=args.conversations)
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    result = {"device": str(stream.initial.device), "threads": args.threads, **budget(stream, args.frames)}
    print(table(result))
    if args.json is not None:
        with writing(args.json) as part:
            part.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
