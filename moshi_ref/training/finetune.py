"""Fine-tuning: a trained Moshi learns from recorded conversations (Moshi paper, section 4).

    python -m moshi_ref finetune data.jsonl --moshi FOLDER --lora 16

The data set has the layout of Kyutai's fine-tuning tool; see `corpus/conversations.py`. All weights learn, or, with a
rank for LoRA, adapters beside them; see `lora.py`. What is written is a plain model either way.
"""

from pathlib import Path

from tqdm import tqdm

from ..corpus.conversations import read_conversation, sounds_of
from ..corpus.recorded import EncodedConversation, RecordedDialogues, encode_conversation
from ..mimi import Mimi
from ..moshi import Moshi
from ..tokenizer import TextTokenizer
from .distribution import first, pick_device, whole
from .language import LanguageRecipe
from .loop import train
from .lora import adapters, add_adapters, merge, save_adapters
from .recipes import keep_with_tokenizer
from .stage_task import Stage, StageTask, new_student


def encode_all(source: Path, mimi: Mimi) -> list[EncodedConversation]:
    """All conversations of a data set as codes. Raises ValueError with all that is wrong with the first bad one."""
    sounds = tqdm(sounds_of(source), "encoding conversations", unit="file", disable=None)
    return [encode_conversation(mimi, read_conversation(sound)) for sound in sounds]


def finetune(source: Path, folder: Path, moshi: Moshi, mimi: Mimi, tokenizer: TextTokenizer, steps: int, rate: float,
             batch_size: int, seconds: float, rank: int | None, seed: int) -> Moshi:
    """Train `moshi` on windows of so many `seconds` of the data set `source`, and write it into `folder`; with `rank`,
    by adapters, which are written beside it as lora.safetensors. `rate` is the learning rate.

    Raises ValueError for bad files, windows shorter than two frames, fewer than one step, or a model that does not
    speak.
    """
    frames = round(seconds * mimi.config.frame_rate)
    if frames < 2 or steps < 1 or batch_size < 1 or not rate > 0:
        raise ValueError(
            "expected windows of 0.16 s or more, and steps, a batch size and a learning rate above 0, got "
            f"{seconds} s, {steps}, {batch_size} and {rate}"
        )
    if moshi.config.model.depth is None:
        raise ValueError("this model only writes; expected one that speaks, as `train moshi` makes it")
    if rank is not None:
        add_adapters(moshi, rank)
    device = pick_device()
    recorded = encode_all(source, mimi.to(device))
    dialogues = RecordedDialogues(recorded, tokenizer, frames, mimi.config.frame_rate)
    written_down = all(conversation.user_words for conversation in recorded)
    recipe = LanguageRecipe(batch_size, heard=1.0 if written_down else 0.0)
    stage = Stage("finetuning", steps, rate, rate, max(moshi.config.delays), recipe=recipe)
    student = new_student(moshi, device)
    train(StageTask(student, dialogues.draw, stage, device), folder, steps, seed, warmup=min(50, steps // 5))
    return keep(moshi, tokenizer, folder, rank)


def keep(moshi: Moshi, tokenizer: TextTokenizer, folder: Path, rank: int | None) -> Moshi:
    """The trained model, undivided and merged, which the first process writes into `folder`."""
    weights = {name: whole(tensor).cpu() for name, tensor in moshi.state_dict().items()}
    trained = Moshi(moshi.config)
    if rank is not None:
        add_adapters(trained, rank, parts=tuple(name for name, _ in adapters(moshi)))
    trained.load_state_dict(weights)
    if rank is not None:
        if first():
            save_adapters(trained, folder / "lora.safetensors")
        merge(trained)
    return keep_with_tokenizer(trained, tokenizer, folder)
