"""What the notebooks are made with: figures, players, source listings, panels, fingerprints, the runner."""

import base64
import io
import json
import re
from datetime import datetime, timezone

import nbformat
import pytest
import soundfile
import torch
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from moshi_ref import Mimi, MimiConfig, Moshi, MoshiConfig, MoshiStream, Sampling, TextTokenizer, Word
from moshi_ref.corpus import small_world
from moshi_ref.lab import figures, plots, run
from moshi_ref.lab.conversation import Conversation, hold, side_by_side, to_frames
from moshi_ref.lab.course import CHAPTERS, GROUPS, course_links
from moshi_ref.lab.exercises import Verdict, expect, judge
from moshi_ref.lab.fingerprint import fingerprint, imported
from moshi_ref.lab.players import LARGEST, compare, player
from moshi_ref.lab.profile import Profile, profile, repository
from moshi_ref.lab.source import PACKAGE, show_source
from moshi_ref.lab.widgets import Live, question_panel, recording_panel

RATE, SIZE = 24_000, 1920


@pytest.fixture(scope="module")
def tokenizer():
    return TextTokenizer.train(small_world.sentences(), 400)


@pytest.fixture(scope="module")
def models():
    torch.manual_seed(0)
    return Moshi(MoshiConfig.tiny(400)), Mimi(MimiConfig.tiny())


@pytest.fixture
def conversation(tokenizer):
    """40 frames in which both speak, and Moshi's text has two words."""
    frames = 40
    columns = torch.randint(512, (1, 17, frames), generator=torch.Generator().manual_seed(0))
    columns[:, 0] = 3
    tokens = tokenizer.encode("seven four")
    columns[0, 0, 19 : 20 + len(tokens)] = torch.tensor([0, *tokens])
    wav = 0.1 * torch.sin(torch.arange(frames * SIZE) / 20)[None]
    return Conversation(wav, wav.flip(-1), columns, (0.01,) * frames, RATE)


def assert_picture(figure):
    assert isinstance(figure, Figure)
    png = figure._repr_png_()
    assert png.startswith(b"\x89PNG") and len(png) < 200_000


# --- Figures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("here", [(), 0, 9, 17, "quantizer", ("temporal", "depth")])
def test_the_map_of_the_system(here):
    assert_picture(figures.system_map(here))


def test_the_map_knows_its_parts():
    known = {*figures.PARTS, "streams"}
    assert all(set(chapter.parts) <= known for chapter in CHAPTERS)
    with pytest.raises(ValueError, match="'engine'"):
        figures.system_map("engine")


def test_the_map_of_the_course():
    assert [chapter.number for chapter in CHAPTERS] == list(range(18))
    assert sorted(number for numbers in GROUPS.values() for number in numbers) == list(range(18))
    assert_picture(figures.course_map())
    assert course_links(after=0).data.count("\n") == 16


def test_the_picture_of_the_readme_is_there():
    assert (repository() / "data" / "figures" / "system.png").read_bytes().startswith(b"\x89PNG")


def test_plots(conversation, tokenizer):
    words = [Word("what", 0.2, 0.5), Word("is", 0.5, 0.7)]
    assert [word.text for word in conversation.words(tokenizer)] == ["seven", "four"]
    assert_picture(plots.two_waveforms(conversation, words, conversation.words(tokenizer)))
    assert_picture(plots.token_grid(conversation.columns[0], tokenizer, start=5))
    assert_picture(plots.conversation_figure(conversation, tokenizer, words))
    assert_picture(plots.pairs_map())
    assert_picture(plots.frame_times(torch.rand(30) * 100))
    assert_picture(plots.seams(conversation.user, conversation.moshi, RATE, SIZE))
    stereo = conversation.user.repeat(2, 1)
    assert_picture(plots.recording_figure(stereo, RATE, conversation.user[0], RATE, SIZE))


def test_text_that_no_font_has_can_be_drawn():
    assert plots.readable("a$b\x06é") == r"a\$b??"


# --- Conversations --------------------------------------------------------------------------------


def test_frames_lose_nothing():
    wav = torch.randn(2, 3 * SIZE + 7)
    frames = to_frames(wav, SIZE, silence=10)
    assert frames.shape == (4, 2, 1, SIZE)
    assert torch.equal(frames.transpose(0, 1).flatten(1)[:, : wav.shape[1]], wav)


def test_hold_is_a_stream(models):
    moshi, mimi = models
    wavs = [0.1 * torch.randn(SIZE), 0.1 * torch.randn(2 * SIZE)]
    batch, greedy, seen = side_by_side(wavs, before=0.08), Sampling(0, 1), []
    together = hold(MoshiStream(moshi, mimi, 0, 2, greedy, greedy), batch, after=0.1, every=2, watch=seen.append)
    assert together.frames == 5 and [part.frames for part in seen] == [2, 4, 5]
    assert together.columns.shape == (2, 17, 5) and together.moshi.shape == (2, 5 * SIZE)
    stream = MoshiStream(moshi, mimi, 0, text=greedy, audio=greedy)
    for frame in range(5):
        reply = stream.step(together.user[1:, None, frame * SIZE : (frame + 1) * SIZE])
        assert torch.equal(reply.codes, together.columns[1:, 1:9, frame])
    assert torch.equal(mimi.encode(together.user[1:, None]), together.columns[1:, 9:])


# --- Sounds and sources ---------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2])
def test_a_player_carries_its_sound(channels):
    wav = 0.3 * torch.sin(2 * torch.pi * 440 * torch.arange(RATE * 2) / RATE).repeat(channels, 1)
    shown = player(wav if channels == 2 else wav[0], RATE, "a <tone>")._repr_html_()
    assert "a &lt;tone&gt;" in shown
    encoded = re.search('base64,([^"]+)"', shown).group(1)
    got, rate = soundfile.read(io.BytesIO(base64.b64decode(encoded)), dtype="float32", always_2d=True)
    assert rate == RATE and got.shape == (2 * RATE, channels)
    middle = slice(RATE // 2, RATE)
    error = torch.from_numpy(got.T.copy())[:, middle] - wav[:, middle]
    assert error.abs().max() < 0.1  # MP3 may move a sound by a sample


def test_players_can_be_compared():
    tone = torch.full((100,), 0.1)
    assert compare(player(tone, RATE, "one"), player(tone, RATE, "two"))._repr_html_().count("<audio") == 2


@pytest.mark.parametrize(
    ("wav", "message"),
    [
        (torch.zeros(0), "with samples"),
        (torch.zeros(3, 100), r"\(T,\) or \(2, T\)"),
        (torch.full((100,), float("nan")), "NaN"),
        (torch.full((100,), 1.5), "quieter"),
        (torch.rand(2, 60 * RATE) - 0.5, f"more than {LARGEST // 1024} KiB"),
    ],
)
def test_players_refuse(wav, message):
    with pytest.raises(ValueError, match=message):
        player(wav, RATE)


def test_show_source_reads_the_file():
    shown = show_source(MoshiStream.step_codes, Word).data
    text = re.sub("<[^>]+>", "", shown)
    lines = (PACKAGE / "moshi.py").read_text().splitlines()
    number = 1 + next(i for i, line in enumerate(lines) if "def step_codes" in line)
    assert "moshi_ref/moshi.py" in text and "moshi_ref/inner_monologue.py" in text
    assert re.search(rf"{number}\s*def step_codes", text)
    with pytest.raises(ValueError, match="defined in moshi_ref"):
        show_source(json.dumps)
    with pytest.raises(ValueError, match="defined in moshi_ref"):
        show_source(3)


# --- Panels, exercises, profile -------------------------------------------------------------------


def press(panel):
    panel.children[-1].click()
    assert not panel.children[-1].disabled


def test_the_question_panel_asks():
    asked = []
    panel = question_panel(lambda about, voice: asked.append((about.question, voice)), ["en-us+f4"])
    panel.children[0].value, panel.children[1].value = "compare", 3
    press(panel)
    assert asked == [("which is more three or six", "en-us+f4")]


def test_the_question_panel_explains(capsys):
    panel = question_panel(pytest.fail, ["en-us+f4"])
    panel.children[0].value, panel.children[1].value = "compare", 6
    press(panel)
    assert "different ones" in capsys.readouterr().out
    shown = panel._repr_mimebundle_()
    assert "kernel" in shown["text/html"] and run.WIDGET in shown


def test_the_recording_panel_reads_any_rate(capsys):
    heard = []
    panel = recording_panel(heard.append)
    press(panel)
    assert "choose a sound file" in capsys.readouterr().out
    written = io.BytesIO()
    soundfile.write(written, torch.full((8000, 2), 0.1).numpy(), 8000, format="WAV")
    for name, content in (("me.wav", written.getvalue()), ("me.mp3", b"not a sound")):
        file = {"name": name, "type": "", "size": len(content), "content": memoryview(content)}
        file["last_modified"] = datetime.now(timezone.utc)
        panel.children[0].set_trait("value", (file,))
        press(panel)
    assert [wav.shape for wav in heard] == [(RATE,)]
    shown = capsys.readouterr().out
    assert "resampled from 8000" in shown and "not a sound file" in shown


def test_a_live_picture_shows_itself(capsys):
    Live(lambda so_far: f"frame {so_far}")(3)
    assert "frame 3" in capsys.readouterr().out


def test_verdicts_teach():
    def wrong():
        expect(False, "look at the <end>.")

    def stub():
        raise NotImplementedError

    assert judge(lambda: None, "good.", ()) == Verdict(True, "good.")
    told = judge(wrong, "good.", ("first", "second", "third"))
    assert not told and "look at the &lt;end&gt;." in told._repr_html_()
    assert told._repr_html_().count("<details>") == 3
    assert "still the stub" in judge(stub, "", ()).message
    assert "ZeroDivisionError" in judge(lambda: 1 / 0, "", ()).message


def test_the_profile_is_one_switch(monkeypatch, capsys):
    monkeypatch.setenv("MOSHI_REF_PROFILE", "smoke")
    chosen = profile(seed=3)
    first = torch.rand(1)
    assert chosen.scale(smoke=1, cpu=2, gpu=3) == 1 and "profile smoke" in capsys.readouterr().out
    profile(seed=3)
    assert torch.equal(first, torch.rand(1))
    monkeypatch.setenv("MOSHI_REF_PROFILE", "fast")
    with pytest.raises(ValueError, match="smoke, cpu, gpu"):
        profile()
    assert Profile("gpu", torch.device("cpu"), 0).scale(1, 2, 3) == 3


# --- Fingerprints and the runner ------------------------------------------------------------------


@pytest.fixture
def world(tmp_path):
    """A small package and a notebook that imports a part of it."""
    package = tmp_path / "moshi_ref"
    (package / "lab").mkdir(parents=True)
    for name, text in {
        "__init__.py": "from .base import number",
        "base.py": "number = 1",
        "other.py": "number = 2",
        "lab/__init__.py": "",
        "lab/tool.py": "def late():\n    from ..other import number\n",
        "lab/aside.py": "",
    }.items():
        (package / name).write_text(text)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "words.txt").write_text("one")
    (tmp_path / "data" / "model").mkdir()
    for name in ("weights.txt", "README.md"):
        (tmp_path / "data" / "model" / name).write_text("one")
    cells = [
        new_markdown_cell("# title"),
        new_markdown_cell("not measured", metadata={"tags": ["measured"]}),
        new_code_cell('%matplotlib inline\nfrom moshi_ref.lab.tool import late\nopen("data/words.txt"), "data/model"'),
    ]
    nbformat.write(new_notebook(cells=cells), tmp_path / "00_a.ipynb")
    return tmp_path


def test_imports_are_followed(world):
    names = {path.relative_to(world / "moshi_ref").as_posix() for path in imported(
        "from moshi_ref.lab.tool import late", world / "moshi_ref")}  # fmt: skip
    assert names == {"__init__.py", "base.py", "other.py", "lab/__init__.py", "lab/tool.py"}


def test_the_fingerprint_sees_what_matters(world):
    notebook, package = world / "00_a.ipynb", world / "moshi_ref"
    seen = [fingerprint(notebook, package)]
    for path in ("moshi_ref/base.py", "moshi_ref/other.py", "data/words.txt", "data/model/weights.txt"):
        (world / path).write_text("number = 3")
        seen.append(fingerprint(notebook, package))
    notebook.write_text(notebook.read_text().replace("# title", "# other title"))
    seen.append(fingerprint(notebook, package))
    assert len(set(seen)) == 6


def test_the_fingerprint_overlooks_the_rest(world):
    notebook, package = world / "00_a.ipynb", world / "moshi_ref"
    before = fingerprint(notebook, package)
    (package / "lab" / "aside.py").write_text("changed = True")
    (world / "data" / "model" / "README.md").write_text("a better card")
    notebook.write_text(notebook.read_text().replace("not measured", "12 s"))
    assert fingerprint(notebook, package) == before


def write_notebook(path, *sources):
    cells = [new_markdown_cell("", metadata={"tags": ["measured"]}), *map(new_code_cell, sources)]
    nbformat.write(new_notebook(cells=cells), path)


def test_the_runner_keeps_outputs(tmp_path, capsys):
    path = tmp_path / "00_a.ipynb"
    write_notebook(
        path,
        "import os, sys\nx = 20\nprint(os.environ['MOSHI_REF_PROFILE'], os.getcwd())\nprint('noise', file=sys.stderr)",
        "import ipywidgets\nfrom moshi_ref.lab.widgets import Panel\nprint(object())\n"
        "Panel([], ipywidgets.Output(), f'{x + 1} widgets')",
    )
    assert run.main(["--profile", "smoke", str(path)]) == 0
    notebook = nbformat.read(path, as_version=4)
    first, second = notebook.cells[1:]
    assert (first.execution_count, second.execution_count) == (1, 2)
    assert [output.name for output in first.outputs] == ["stdout"] and "noise" in capsys.readouterr().err
    assert first.outputs[0].text.startswith("smoke ") and str(tmp_path) not in path.read_text()
    assert "0x..." in second.outputs[0].text
    assert set(second.outputs[1].data) == {"text/html", "text/plain"}
    assert "21 widgets" in second.outputs[1].data["text/html"]
    told = notebook.metadata["moshi_ref"]
    assert told["profile"] == "smoke" and told["seconds"] > 0 and told["peak_memory_mib"] > 50
    assert told["fingerprint"] == fingerprint(path) and told["torch"] == torch.__version__
    assert "| smoke | " in notebook.cells[0].source
    assert "widgets" not in notebook.metadata and list(tmp_path.iterdir()) == [path]

    run.run(path, "cpu", keep_outputs=True)
    again = nbformat.read(path, as_version=4)
    assert "| smoke | " in again.cells[0].source and "| cpu | " in again.cells[0].source
    kept = again.metadata["moshi_ref"]
    assert again.cells[1:] == notebook.cells[1:] and set(kept["runs"]) == {"smoke", "cpu"}
    assert kept["fingerprint"] == told["fingerprint"] and kept["profile"] == "smoke"


def test_the_runner_says_which_cell_failed(tmp_path, capsys):
    path = tmp_path / "00_a.ipynb"
    write_notebook(path, "x = 1", "y = x / 0")
    before = path.read_bytes()
    assert run.main([str(path)]) == 1
    shown = capsys.readouterr().err
    assert "code cell 2" in shown and "y = x / 0" in shown and "ZeroDivisionError" in shown
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_the_runner_wants_a_notebook(tmp_path, capsys):
    assert run.main([str(tmp_path / "none.ipynb")]) == 2
    assert "no notebook" in capsys.readouterr().err


def test_only_notebooks_are_found():
    assert all(re.fullmatch(r"\d\d_[a-z0-9_]+\.ipynb", path.name) for path in run.all_notebooks())
