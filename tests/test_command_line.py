"""The command line: what it writes, what it says about odd sounds, and how it refuses wrong files."""

import argparse
import functools
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import close, tiny_helium, tiny_mimi
from safetensors.torch import load_file, save_file
from test_audio import empty, not_finite, text, tone, without_samples
from test_checkpoints import small_moshi

from moshi_ref import __main__ as cli
from moshi_ref.checkpoints import load_helium, load_mimi, load_moshi, load_tokenizer, save
from moshi_ref.corpus.conversations import Conversation, write_conversation
from moshi_ref.corpus.spoken import spoken
from moshi_ref.corpus.utterances import utterances
from moshi_ref.evaluation import codec_report
from moshi_ref.evaluation.recogniser import Recogniser, RecogniserConfig, load_recogniser
from moshi_ref.helium import Helium, HeliumConfig
from moshi_ref.inner_monologue import Word
from moshi_ref.mimi import Mimi, MimiConfig
from moshi_ref.moshi import MoshiConfig, MoshiStream
from moshi_ref.speech_text import AHEAD, TAIL
from moshi_ref.training import moshi_ablations, recipes, sources
from moshi_ref.training.ablations import VARIANTS
from moshi_ref.training.lora import ASR_TINY
from moshi_ref.training.moshi_ablations import WHAT_IS_LEFT_OUT

ALL = ("talk", "transcribe", "speak", "encode", "decode", "train", "finetune", "evaluate")


def run(*arguments) -> int:
    return cli.main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def models(tmp_path_factory, tokenizer) -> Path:
    """A folder with random small models in it."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models")
    save(Mimi(tiny_mimi()), folder / "mimi")
    save(small_moshi(len(tokenizer)), folder / "moshi")
    tokenizer.save(folder / "moshi" / "tokenizer.model")
    save(Recogniser(RecogniserConfig(dim=8)), folder / "recogniser-tiny")
    return folder


@pytest.fixture
def talk(models, tmp_path):
    """Talks to a sound file, half a second longer than it is."""

    def function(sound, *more) -> int:
        given = ("--mimi", models / "mimi", "--moshi", models / "moshi", "--after", 0.5)
        return run("talk", sound, *given, "--out", tmp_path / "out.wav", *more)

    return function


@pytest.fixture
def encode(models, tmp_path):
    return lambda sound, *more: run("encode", sound, tmp_path / "out.codes", "--mimi", models / "mimi", *more)


@pytest.fixture
def decode(models, tmp_path):
    return lambda codes, *more: run("decode", codes, tmp_path / "out.wav", "--mimi", models / "mimi", *more)


@pytest.fixture
def sound(tmp_path) -> Path:
    soundfile.write(tmp_path / "tone.wav", tone(0.5, 24_000), 24_000)
    return tmp_path / "tone.wav"


def assert_refused(code: int, folder: Path, capsys, before: list[Path]) -> None:
    """Exit code 2, one sentence, and nothing new in the folder."""
    streams = capsys.readouterr()
    assert code == 2
    assert streams.err.startswith("error: ") and streams.err.count("\n") == 1 and streams.err.endswith("\n")
    assert streams.out == "" and sorted(folder.iterdir()) == before


# --- Help -----------------------------------------------------------------------------------------


def test_help_from_a_shell():
    done = subprocess.run([sys.executable, "-m", "moshi_ref", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""
    assert all(re.search(rf"\n    {command}\s", done.stdout) for command in ALL)


@pytest.mark.parametrize("command", ALL)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        run(command, "--help")
    assert "--mimi" in capsys.readouterr().out


def test_what_is_not_a_command_is_refused(capsys):
    for wrong in ((), ("sing",), ("train", "bert"), ("train", "mimi", "--profile", "huge"),
                  ("train", "mimi", "--variant", "no-ears")):  # fmt: skip
        with pytest.raises(SystemExit, match="2"):
            run(*wrong)
        assert "usage: python -m moshi_ref" in capsys.readouterr().err


# --- The three commands ---------------------------------------------------------------------------


def test_talk_writes_a_recording_and_a_transcript(talk, sound, tmp_path, capsys):
    assert talk(sound, "--transcript", tmp_path / "out.json") == 0
    both, rate = soundfile.read(tmp_path / "out.wav")
    assert rate == 24_000 and both.shape == (13 * 1920, 2)
    close(both[:12_000, 1], tone(0.5, 24_000), 1e-3)
    transcript, streams = json.loads((tmp_path / "out.json").read_text()), capsys.readouterr()
    assert transcript["frames"] == 13 and "13 frames, median" in streams.err
    assert streams.out.count("\n") == 1 and "error" not in streams.err and "note" not in streams.err


def test_the_same_seed_says_the_same(talk, sound, tmp_path, capsys):
    results = []
    for seed in (1, 1, 2):
        assert talk(sound, "--seed", seed, "--text-temperature", 1.0) == 0
        results.append((capsys.readouterr().out, (tmp_path / "out.wav").read_bytes()))
    assert results[0] == results[1] and results[0][0] != results[2][0] and results[0][1] != results[2][1]


def test_a_long_sound_in_pieces_is_the_same_as_whole(models, encode, decode, tmp_path, capsys):
    """25 s are two and a half pieces; the last frame is not full."""
    wav = 0.1 * torch.randn(25 * 24_000)
    soundfile.write(tmp_path / "long.wav", wav.numpy(), 24_000, "FLOAT")
    mimi = load_mimi(models / "mimi")
    with torch.inference_mode():
        codes = mimi.encode(wav[None, None])
        expected = mimi.decode(codes)[0, 0].clamp(-1, 1)
    assert encode(tmp_path / "long.wav") == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {"frames": 313, "codebooks": 3, "bits_per_second": 3 * 4 * 12.5}
    written = load_file(tmp_path / "out.codes")["codes"]
    assert torch.equal(written.long(), codes[0])
    assert decode(tmp_path / "out.codes") == 0
    back, rate = soundfile.read(tmp_path / "out.wav", dtype="float32")
    assert rate == 24_000 and back.shape == (313 * 1920,)
    close(torch.from_numpy(back), expected, 2e-4)


def test_decoding_fewer_codebooks(models, encode, decode, sound, tmp_path):
    assert encode(sound) == 0 and decode(tmp_path / "out.codes", "--codebooks", 1) == 0
    back, _ = soundfile.read(tmp_path / "out.wav", dtype="float32")
    codes = load_file(tmp_path / "out.codes")["codes"].long()
    with torch.inference_mode():
        coarse = load_mimi(models / "mimi").decode(codes[None, :1])[0, 0]
    close(torch.from_numpy(back), coarse.clamp(-1, 1), 2e-4)


def test_transcribe(models, sound, tmp_path, capsys):
    given = ("--mimi", models / "mimi", "--model", models / "moshi")
    assert run("transcribe", sound, *given, "--json", tmp_path / "out.json") == 0
    result, streams = json.loads((tmp_path / "out.json").read_text()), capsys.readouterr()
    assert result["seconds"] == 0.5 and "0.5 s, real-time factor" in streams.err and streams.out.endswith("\n")
    assert result["text"] == " ".join(word["text"] for word in result["words"])
    assert all(0 <= word["start"] < 0.5 + TAIL for word in result["words"])


def test_transcribe_by_what_comes_along(sound, capsys):
    """By default with moshi-tiny and the adapters of asr-tiny."""
    assert run("transcribe", sound) == 0
    assert "0.5 s, real-time factor" in capsys.readouterr().err


def test_speak(models, tmp_path, capsys):
    """The same seed sounds the same, and colder is something else."""
    sounds = []
    for more in ((), (), ("--seed", 1), ("--temperature", 0)):
        given = ("--mimi", models / "mimi", "--model", models / "moshi", "--out", tmp_path / "out.wav", *more)
        assert run("speak", "hello there", *given) == 0
        wav, rate = soundfile.read(tmp_path / "out.wav")
        assert rate == 24_000 and len(wav) % 1920 == 0 and len(wav) >= 24_000 * (AHEAD + TAIL)
        sounds.append(wav.tobytes())
    assert sounds[0] == sounds[1] and len(set(sounds)) == 3
    assert re.fullmatch(r"(\d+\.\d\d s\n){4}", capsys.readouterr().err)


def test_finetune(models, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = (Word("hello", 0.2, 0.5), Word("there", 0.6, 0.9))
    write_conversation(tmp_path / "one.wav", Conversation(0.1 * torch.randn(2, 40_000), words))
    given = ("--mimi", models / "mimi", "--moshi", models / "moshi", "--steps", 2, "--batch-size", 2, "--seconds", 1)
    assert run("finetune", tmp_path, *given, "--lora", 2) == 0
    assert capsys.readouterr().out == f"{Path('runs/finetune-lora-2')}\n"
    assert load_moshi("runs/finetune-lora-2").config == load_moshi(models / "moshi").config
    assert (tmp_path / "runs" / "finetune-lora-2" / "lora.safetensors").is_file()
    codec = load_mimi("runs/finetune-lora-2/mimi").state_dict()  # whose codes it has learnt
    assert all(torch.equal(codec[name], value) for name, value in load_mimi(models / "mimi").state_dict().items())


def test_a_model_with_a_codec_beside_it_is_used_with_that_one(models, sound, tmp_path):
    """It has fewer codebooks than mimi-tiny, which would be refused."""
    shutil.copytree(models / "moshi", tmp_path / "moshi")
    shutil.copytree(models / "mimi", tmp_path / "moshi" / "mimi")
    assert run("transcribe", sound, "--model", tmp_path / "moshi") == 0
    assert run("speak", "hello", "--model", tmp_path / "moshi", "--out", tmp_path / "out.wav") == 0
    assert run("transcribe", sound, "--model", models / "moshi") == 2


@pytest.mark.parametrize(
    "arguments, part",
    [
        (("speak", " ", "--out", "out.wav"), "expected words to speak"),
        (("speak", "hello", "--out", "out.text"), "out.text"),
        (("speak", "hello", "--out", "nowhere/out.wav"), "nowhere"),
        (("transcribe", "nowhere.wav"), "nowhere.wav"),
        (("transcribe", "tone.wav", "--json", "nowhere/out.json"), "nowhere"),
        (("transcribe", "tone.wav", "--model", "elsewhere"), "elsewhere"),
        (("transcribe", "tone.wav", "--lora", "nowhere"), "no file nowhere; expected adapters"),
        (("transcribe", "tone.wav", "--lora", ASR_TINY), "do not fit this model"),
        (("evaluate", "--lora", "some.safetensors"), "write: evaluate speech-text --lora FILE"),
        (("finetune", "nowhere"), "nowhere"),
        (("finetune", ".", "--steps", 0), "expected windows"),
        (("finetune", ".", "--lora", 0), "rank"),
        (("train", "moshi", "--both"), "train stages"),
        (("train", "mimi", "--no-text"), "train stages"),
        (("train", "mimi", "--bfloat16"), "train stages"),
        (("train", "moshi", "--bfloat16"), "train stages"),
        (("train", "mimi", "--variant", "no-helium"), "mimi has no variant no-helium; it has all, no-split, "),
        (("train", "moshi", "--variant", "no-split"), "moshi has no variant no-split; it has all, no-inner-monologue"),
        (("train", "helium", "--variant", "all"), "it has none"),
        (("train", "moshi", "--variant", "all", "--human", "."), "leave out --human"),
    ],
)
def test_wrong_wishes_to_the_newer_commands_are_refused(arguments, part, models, sound, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    given = ["--mimi", models / "mimi"]
    if "--model" not in arguments and arguments[0] != "train":
        given += ["--moshi" if arguments[0] in ("finetune", "evaluate") else "--model", models / "moshi"]
    before = sorted(tmp_path.iterdir())
    assert run(*arguments, *given) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: ") and part in said and sorted(tmp_path.iterdir()) == before


# --- Odd sounds -----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["talk", "encode"])
@pytest.mark.parametrize(
    "name, samples, rate, note",
    [
        ("phone.wav", tone(0.3, 8_000), 8_000, "resampled from 8000 to 24000 Hz"),
        ("stereo.wav", np.stack([tone(0.3, 24_000)] * 2, 1), 24_000, "averaged 2 channels"),
        ("short.wav", tone(0.03, 24_000), 24_000, "padded to one frame of 80 ms"),
        ("studio.flac", tone(0.3, 44_100), 44_100, "resampled from 44100 to 24000 Hz"),
    ],
)
def test_odd_sounds_are_taken_with_a_note(command, name, samples, rate, note, request, tmp_path, capsys):
    soundfile.write(tmp_path / name, samples, rate)
    assert request.getfixturevalue(command)(tmp_path / name) == 0
    assert f"note: {tmp_path / name}: {note}\n" in capsys.readouterr().err
    assert len([path for path in tmp_path.iterdir() if path.stem == "out"]) == 1


# --- Wrong files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["talk", "encode"])
@pytest.mark.parametrize(
    "make",
    [lambda path: None, Path.mkdir, empty, text, without_samples, not_finite(float("nan"))],
    ids=["missing", "folder", "empty", "text", "no samples", "NaN"],
)
def test_what_is_not_a_sound_is_refused(command, make, request, tmp_path, capsys):
    make(tmp_path / "wrong.wav")
    before = sorted(tmp_path.iterdir())
    assert_refused(request.getfixturevalue(command)(tmp_path / "wrong.wav"), tmp_path, capsys, before)


def saved(tensor: torch.Tensor, name: str = "codes"):
    return lambda path: save_file({name: tensor}, path)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: None,
        Path.mkdir,
        empty,
        text,
        saved(torch.zeros(3, 5), "other"),
        saved(torch.full((3, 5), 16)),
        saved(torch.zeros(5, 5)),
        saved(torch.zeros(3, 0)),
        saved(torch.tensor(3)),
    ],
    ids="missing folder empty text other range codebooks frames shape".split(),
)
def test_what_are_not_codes_is_refused(make, decode, tmp_path, capsys):
    make(tmp_path / "wrong.codes")
    before = sorted(tmp_path.iterdir())
    assert_refused(decode(tmp_path / "wrong.codes"), tmp_path, capsys, before)


@pytest.mark.parametrize(
    "option, value",
    [
        ("--mimi", "nowhere"),
        ("--moshi", "nowhere"),
        ("--mimi", "{models}/moshi"),
        ("--moshi", "{models}/mimi"),
        ("--out", "{folder}/nowhere/out.wav"),
        ("--out", "{folder}/out.text"),
        ("--out", "{folder}/out"),
        ("--transcript", "{folder}/nowhere/out.json"),
        ("--after", "-3"),
        ("--after", "inf"),
    ],
)
def test_wrong_options_are_refused(option, value, talk, sound, models, tmp_path, capsys):
    before = sorted(tmp_path.iterdir())
    code = talk(sound, option, value.format(models=models, folder=tmp_path))
    streams = capsys.readouterr()
    assert code == 2 and streams.err.splitlines()[-1].startswith("error: ")
    assert sorted(tmp_path.iterdir()) == before


def test_decoding_into_an_unknown_format_is_refused(models, encode, sound, tmp_path, capsys):
    assert encode(sound) == 0
    before = sorted(tmp_path.iterdir())
    capsys.readouterr()
    code = run("decode", tmp_path / "out.codes", tmp_path / "out.text", "--mimi", models / "mimi")
    assert_refused(code, tmp_path, capsys, before)


def test_models_that_do_not_fit_each_other_are_refused(models, talk, sound, tmp_path, capsys):
    for name, changes in {"fewer": {"codebooks": 2, "used_codebooks": 2}, "larger": {"entries": 32}}.items():
        save(Mimi(replace(tiny_mimi(), **changes)), tmp_path / name)
        before = sorted(tmp_path.iterdir())
        assert talk(sound, "--mimi", tmp_path / name) == 2
        assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
        assert sorted(tmp_path.iterdir()) == before


def test_a_written_file_stays_when_a_later_one_is_refused(talk, sound, tmp_path):
    (tmp_path / "out.wav").write_text("an older recording")
    text(tmp_path / "wrong.wav")
    assert talk(tmp_path / "wrong.wav") == 2
    assert (tmp_path / "out.wav").read_text() == "an older recording"


def test_ctrl_c_leaves_quietly(monkeypatch, sound, capsys):
    def interrupted(args: argparse.Namespace) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "run_encode", interrupted)
    assert run("encode", sound, "out.codes") == 130
    assert capsys.readouterr().err == ""


# --- Training and evaluation ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def workplace(cache, tmp_path, monkeypatch) -> Path:
    """An empty current folder; utterances and clips are kept for this test file alone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(recipes, "utterances", functools.partial(utterances, folder=cache))
    monkeypatch.setattr(recipes, "CACHE", cache)
    monkeypatch.setattr(sources, "spoken", functools.partial(spoken, folder=cache))
    monkeypatch.setattr(sources, "CACHE", cache)
    return tmp_path


def assert_trained(folder: Path) -> None:
    curve = json.loads((folder / "curve.json").read_text())
    assert [entry["step"] for entry in curve] == list(range(6))
    assert all(np.isfinite(entry["loss"]) for entry in curve)


def test_train_mimi(workplace, capsys):
    assert run("train", "mimi", "--profile", "smoke") == 0
    assert capsys.readouterr().out == f"{Path('runs/mimi-smoke')}\n"
    folder = workplace / "runs" / "mimi-smoke"
    mimi = load_mimi(folder)
    assert mimi.config == MimiConfig.tiny()
    halves = [*mimi.quantizer.semantic.codebooks, *mimi.quantizer.acoustic.codebooks]
    assert all(codebook.initialized == 1 for codebook in halves)
    assert mimi(0.1 * torch.randn(1, 1, 1920)).isfinite().all()
    assert_trained(folder)


@pytest.mark.parametrize("variant", ("no-split-no-distillation", "no-transformers", "adversarial-only"))
def test_train_a_mimi_with_a_part_left_out(workplace, capsys, variant):
    assert run("train", "mimi", "--profile", "smoke", "--variant", variant, "--seed", 1) == 0
    folder = Path("runs") / f"mimi-smoke-{variant}-1"
    assert capsys.readouterr().out == f"{folder}\n"
    mimi = load_mimi(workplace / folder)
    assert mimi.config == VARIANTS[variant][0]
    assert mimi(0.1 * torch.randn(1, 1, 1920)).isfinite().all()
    assert_trained(workplace / folder)


def test_train_helium_with_texts_of_ones_own(workplace, capsys):
    (workplace / "texts").mkdir()
    (workplace / "texts" / "one.txt").write_text("The cat of Ada likes xylophones.\n" * 3, encoding="utf-8")
    options = ("--profile", "smoke", "--text", workplace / "texts", "--out", workplace / "run")
    assert run("train", "helium", *options) == 0
    said = capsys.readouterr()
    assert said.out == f"{workplace / 'run'}\n"
    assert re.search(r"^duplicate +2 ", said.err, re.MULTILINE)  # what the cleaning has removed
    helium, tokenizer = load_helium(workplace / "run"), load_tokenizer(workplace / "run")
    assert helium.config == HeliumConfig.tiny(len(tokenizer))
    assert helium(torch.tensor([tokenizer.encode("What is two plus two?")])).isfinite().all()
    assert_trained(workplace / "run")


def test_texts_of_ones_own_that_are_not_there(workplace, capsys):
    assert run("train", "helium", "--profile", "smoke", "--text", workplace / "texts") == 2
    assert re.fullmatch(r"error: no folder .*texts; expected one with .txt files in it\n", capsys.readouterr().err)


def test_train_moshi(workplace, cache, tokenizer, capsys):
    """From a Helium and its tokenizer on."""
    save(Mimi(replace(tiny_mimi(), codebooks=8, used_codebooks=8, entries=512)), workplace / "mimi")
    save(Helium(HeliumConfig.tiny(len(tokenizer))), workplace / "helium")
    tokenizer.save(workplace / "helium" / "tokenizer.model")
    given = ("--mimi", workplace / "mimi", "--helium", workplace / "helium")
    assert run("train", "moshi", "--profile", "smoke", *given, "--out", workplace / "run") == 0
    assert capsys.readouterr().out == f"{workplace / 'run'}\n"
    moshi = load_moshi(workplace / "run")
    assert moshi.config.model.text_vocabulary == len(tokenizer)
    assert load_tokenizer(workplace / "run").model == tokenizer.model
    reply = MoshiStream(moshi, load_mimi(workplace / "mimi"), seed=0).step(torch.zeros(1, 1, 1920))
    assert reply.audio.isfinite().all()
    assert_trained(workplace / "run")
    assert len(list(cache.glob("clips-*.safetensors"))) == 2  # questions and answers
    assert sorted(path.name for path in workplace.iterdir()) == ["helium", "mimi", "run"]


@pytest.mark.parametrize("variant", WHAT_IS_LEFT_OUT)
def test_train_a_moshi_with_a_part_left_out(variant, workplace, tokenizer, monkeypatch, capsys):
    """It starts from Helium, but for the two that do not; one reads as well; and it talks."""
    small = small_moshi(len(tokenizer)).config
    monkeypatch.setattr(MoshiConfig, "tiny", lambda vocabulary: small)
    save(Mimi(tiny_mimi()), workplace / "mimi")
    save(Helium(replace(tiny_helium(), vocabulary=len(tokenizer))), workplace / "helium")
    tokenizer.save(workplace / "helium" / "tokenizer.model")
    given, used = ("--mimi", workplace / "mimi", "--helium", workplace / "helium"), []
    for name in ("start_from_helium", "wordless", "pack"):
        function = getattr(moshi_ablations, name)
        monkeypatch.setattr(moshi_ablations, name, lambda *a, f=function, n=name: used.append(n) or f(*a))
    assert run("train", "moshi", "--profile", "smoke", *given, "--variant", variant, "--seed", 1, "--bfloat16") == 0
    folder = Path("runs") / f"moshi-smoke-{variant}-1"
    assert capsys.readouterr().out == f"{folder}\n"
    helium = [] if variant in ("no-helium", "no-reading") else ["start_from_helium"]
    assert used == helium + {"no-inner-monologue": ["wordless"], "reading": ["pack"]}.get(variant, [])
    moshi = load_moshi(folder)
    assert moshi.config.delays[2] == (0 if variant == "no-acoustic-delay" else 1)
    reply = MoshiStream(moshi, load_mimi(folder / "mimi"), seed=0).step(torch.zeros(1, 1, 1920))
    assert reply.audio.isfinite().all()
    steps = 2 if "reading" in variant else 1
    assert [entry["step"] for entry in json.loads((folder / "curve.json").read_text())] == list(range(steps))


def test_train_stages_then_a_recogniser_and_a_voice(workplace, tokenizer, monkeypatch, capsys):
    """From a Helium on through all stages; then from that Moshi on; and what comes out listens and speaks."""
    small = small_moshi(len(tokenizer)).config
    monkeypatch.setattr(MoshiConfig, "tiny", lambda vocabulary: small)
    save(Mimi(tiny_mimi()), workplace / "mimi")
    save(Helium(replace(tiny_helium(), vocabulary=len(tokenizer))), workplace / "helium")
    tokenizer.save(workplace / "helium" / "tokenizer.model")
    given, smoke = ("--mimi", workplace / "mimi"), ("--profile", "smoke")
    assert run("train", "stages", *smoke, *given, "--helium", workplace / "helium", "--both",
               "--bfloat16") == 0  # fmt: skip
    folder = Path("runs") / "stages-smoke-both"
    assert capsys.readouterr().out == f"{folder}\n"
    moshi = load_moshi(folder)
    assert moshi.config == small and load_tokenizer(folder).model == tokenizer.model
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == [
        "finetuning", "instruction", "mimi", "posttraining", "pretraining"
    ]  # fmt: skip
    for name in ("asr", "tts"):
        assert run("train", name, *smoke, *given, "--moshi", folder) == 0
    capsys.readouterr()
    made = Path("runs") / "tts-smoke"
    assert run("speak", "hello there", "--out", "said.wav", "--model", made, *given) == 0
    assert run("transcribe", "said.wav", "--model", Path("runs") / "asr-smoke", *given) == 0


def test_train_recogniser(workplace, capsys):
    assert run("train", "recogniser", "--profile", "smoke", "--out", workplace / "run") == 0
    assert_trained(workplace / "run")
    assert load_recogniser(workplace / "run").transcribe(torch.zeros(24_000)) is not None


def test_train_recogniser_of_the_spoken_world(workplace, capsys):
    assert run("train", "recogniser", "--profile", "smoke", "--world", "spoken") == 0
    folder = Path("runs") / "recogniser-smoke-spoken"
    assert capsys.readouterr().out == f"{folder}\n" and "church" in load_recogniser(folder).config.words
    assert run("train", "helium", "--profile", "smoke", "--world", "spoken") == 2
    assert "write: train recogniser --world spoken" in capsys.readouterr().err


@pytest.fixture
def few_sounds(monkeypatch):
    """Few syllables and digits for the report on a codec."""
    few = functools.partial(codec_report.spoken_syllables, speakers=1, repetitions=2)
    monkeypatch.setattr(codec_report, "spoken_syllables", lambda seed: few(seed=seed)[:4])
    monkeypatch.setattr(codec_report, "hearing", functools.partial(codec_report.hearing, train=8, test=4, steps=2))


def test_evaluate_mimi(models, tmp_path, few_sounds, capsys):
    """One sound of each kind: every part is there, on paper and in the file."""
    judge = ("--recogniser", models / "recogniser-tiny")
    options = ("--mimi", models / "mimi", *judge, "--json", tmp_path / "results.json")
    assert run("evaluate", "mimi", "--trials", 1, *options) == 0
    results, table = json.loads((tmp_path / "results.json").read_text()), capsys.readouterr().out
    assert list(results) == ["quality", "intelligibility", "codebooks", "ABX", "hearing", "cost"]
    assert list(results["quality"]) == ["1", "2", "3"]  # of three codebooks in use
    assert list(results["intelligibility"]["held-out voices"]) == ["originals", "1", "2", "3"]
    assert len(results["codebooks"]) == 3 and results["cost"]["nominal"] == 3 * 4 * 12.5
    assert results["cost"]["algorithmic_latency_ms"] == 80
    for title in ("codebooks", "word error", "codebook, over", "ABX error", "digits heard", "bitrate 150 bits/s"):
        assert f"\n{title}" in table


def test_evaluate_mimi_without_transformers(models, tmp_path, few_sounds):
    """As the variant of this name."""
    config = load_mimi(models / "mimi").config
    save(Mimi(replace(config, transformer=replace(config.transformer, layers=0))), tmp_path)
    options = ("--mimi", tmp_path, "--recogniser", models / "recogniser-tiny", "--json", tmp_path / "results.json")
    assert run("evaluate", "mimi", "--trials", 1, *options) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert list(results) == ["quality", "intelligibility", "codebooks", "ABX", "hearing", "cost"]


def test_evaluate_mimi_on_a_recording(models, tmp_path, capsys):
    soundfile.write(tmp_path / "tone.wav", tone(1.0, 16_000), 16_000)
    assert run("evaluate", "mimi", "--mimi", models / "mimi", "--wav", tmp_path / "tone.wav") == 0
    streams = capsys.readouterr()
    assert "resampled from 16000 to 24000 Hz" in streams.err
    lines = streams.out.split("\n")
    assert lines[1].startswith("codebooks") and [line[:1] for line in lines[2:5]] == ["1", "2", "3"]


@pytest.mark.parametrize(
    "arguments, part",
    [
        (("--wav", "tone.wav"), "evaluate mimi --wav"),
        (("mimi", "--wav", "nowhere.wav"), "nowhere.wav"),
        (("mimi", "--trials", 0), "1 trial"),
        (("--minutes", 0), "1 minute"),
        (("speech-text", "--moshi", "nowhere"), "nowhere"),
        (("--recogniser", "nowhere"), "nowhere"),
        (("mimi", "--json", "nowhere/results.json"), "nowhere"),
        (("mimi", "--mimi", "nowhere"), "nowhere"),
    ],
)
def test_wrong_evaluations_are_refused(arguments, part, models, tmp_path, capsys):
    assert run("evaluate", *arguments, *(() if "--mimi" in arguments else ("--mimi", models / "mimi"))) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: ") and part in said
