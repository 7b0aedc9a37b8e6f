"""A conversation with a sound file: the stereo recording, the transcript, and no half-written files."""

import json
from types import SimpleNamespace

import pytest
import soundfile
import torch
from conftest import tiny_mimi
from test_checkpoints import small_moshi

from moshi_ref.checkpoints import load_mimi, load_moshi, save
from moshi_ref.inner_monologue import Word, words_to_tokens
from moshi_ref.mimi import Mimi
from moshi_ref.moshi import MoshiStream, Reply
from moshi_ref.rq_transformer import Sampling
from moshi_ref.talk import Moment, Transcript, converse, talk
from moshi_ref.tokenizer import PAD

WORDS = [Word("seven", 0.16, 0.3), Word("plus", 0.48, 0.6), Word("twelve", 0.8, 1.0)]
FRAMES = 16  # enough for the words


class Scripted:
    """Takes the place of a MoshiStream: one given text token a frame, in an even voice."""

    def __init__(self, tokens, fails_at: int | None = None):
        self.mimi, self.initial = SimpleNamespace(config=tiny_mimi()), torch.zeros(1)
        self.tokens, self.fails_at, self.steps = [int(t) for t in tokens], fails_at, 0

    def step(self, frame: torch.Tensor) -> Reply:
        if self.steps == self.fails_at:
            raise KeyboardInterrupt
        self.steps += 1
        token = self.tokens[self.steps - 1]
        return Reply(torch.full_like(frame, 0.25), torch.tensor([token]), torch.zeros(1, 3))


@pytest.fixture
def script(tokenizer) -> torch.Tensor:
    return words_to_tokens(WORDS, tokenizer, FRAMES)


def silent(piece: str) -> None:
    pass


def test_moshi_is_on_the_left_and_the_user_on_the_right(script, tokenizer, tmp_path):
    user = torch.rand(7_000) - 0.5
    talk(Scripted(script), tokenizer, user, tmp_path / "talk.wav", None, 0.2, silent)
    both, rate = soundfile.read(tmp_path / "talk.wav")
    assert rate == 24_000 and both.shape == (7 * 1920, 2)  # 7000 samples and 4800 of silence, in whole frames
    assert (both[:, 0] == 0.25).all()
    torch.testing.assert_close(torch.from_numpy(both[:7_000, 1]).float(), user, atol=1e-4, rtol=0)
    assert (both[7_000:, 1] == 0).all()


def test_the_transcript_has_every_word_with_its_time(script, tokenizer, tmp_path):
    said = []
    path = tmp_path / "talk.json"
    result = talk(Scripted(script), tokenizer, torch.zeros(FRAMES * 1920), None, path, 0.0, said.append)
    assert json.loads(path.read_text()) == result
    assert result["text"] == "seven plus twelve"
    assert result["words"] == [{"text": word.text, "start": word.start} for word in WORDS]
    assert result["frames"] == FRAMES
    assert 0 <= result["frame_ms"]["median"] <= result["frame_ms"]["p95"] and result["rtf"] >= 0
    assert said == [tokenizer.piece(token) for token in script if token > PAD]
    assert "".join(said).strip() == result["text"]


def test_the_speed_is_measured_against_real_time(tokenizer):
    record = Transcript(tokenizer, 0.08, [PAD] * 101, [i / 1000 for i in range(101)])
    result = record.as_json()
    assert result["frame_ms"] == {"median": 50.0, "p95": 95.0}
    assert result["rtf"] == pytest.approx(0.05 / 0.08)
    assert result["text"] == "" and result["words"] == []


def test_every_whole_minute_has_its_speed_and_its_memory(tokenizer):
    record = Transcript(tokenizer, frame_seconds=20.0)  # three frames a minute
    for seconds in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7):
        record.add(Moment(torch.zeros(1, 1, 1920), Reply(torch.zeros(1), torch.tensor([PAD]), torch.zeros(1)), seconds))
    minutes = record.as_json()["minutes"]
    assert [minute["median_ms"] for minute in minutes] == [200.0, 500.0]
    assert all(50 < minute["memory_mib"] < 50_000 for minute in minutes)


def test_the_same_seed_gives_the_same_conversation(tokenizer, tmp_path):
    save(Mimi(tiny_mimi()), tmp_path / "mimi")
    save(small_moshi(len(tokenizer)), tmp_path / "moshi")
    user = 0.1 * torch.randn(9_000)

    def stream(seed: int) -> MoshiStream:
        mimi, moshi = load_mimi(tmp_path / "mimi"), load_moshi(tmp_path / "moshi")
        return MoshiStream(moshi, mimi, seed, text=Sampling(1.0, 25))

    def record(seed: int, name: str) -> tuple[bytes, dict, list[str]]:
        said = []
        result = talk(stream(seed), tokenizer, user, tmp_path / name, None, 0.3, said.append)
        return (tmp_path / name).read_bytes(), result, said

    first, again, other = record(1, "a.wav"), record(1, "b.wav"), record(2, "c.wav")
    assert first[0] == again[0] != other[0]
    assert first[1]["words"] == again[1]["words"] != other[1]["words"]
    tokens = [int(moment.reply.text) for moment in converse(stream(1), user, 0.3)]
    assert first[2] == again[2] == [tokenizer.piece(token) for token in tokens if token > PAD]
    assert len(tokens) == first[1]["frames"] == 9  # 9000 samples and 7200 of silence


def test_an_interrupted_conversation_leaves_no_half_written_file(script, tokenizer, tmp_path):
    sound, words = tmp_path / "talk.wav", tmp_path / "talk.json"
    sound.write_text("an older recording")
    with pytest.raises(KeyboardInterrupt):
        talk(Scripted(script, fails_at=3), tokenizer, torch.zeros(20_000), sound, words, 0.0, silent)
    assert list(tmp_path.iterdir()) == [sound] and sound.read_text() == "an older recording"
    talk(Scripted(script), tokenizer, torch.zeros(20_000), sound, words, 0.0, silent)
    assert sorted(tmp_path.iterdir()) == [words, sound] and soundfile.info(sound).channels == 2
