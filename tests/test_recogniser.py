"""The recogniser: shapes, what it can learn, and what the committed one hears."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from moshi_ref.checkpoints import save
from moshi_ref.corpus.facts import FACTS
from moshi_ref.corpus.scripts import TOPICS as SCRIPTS
from moshi_ref.corpus.scripts import draw_script
from moshi_ref.corpus.small_world import DIGITS, NUMBERS, TOPICS, exchange, held_out_pairs, known_pairs
from moshi_ref.corpus.voices import MOSHI_VOICE, synthesize
from moshi_ref.evaluation.judges import SOUND_ALIKE, agreement, as_heard, script_answers, spoken_answers
from moshi_ref.evaluation.recogniser import WORDS, Recogniser, RecogniserConfig, decode, load_recogniser
from moshi_ref.training.loop import one_step
from moshi_ref.training.recogniser import (
    RECIPES,
    SPOKEN_WORDS,
    WORLDS,
    RecogniserTask,
    evaluate,
    random_script,
    random_speech,
    random_text,
    train_recogniser,
)

COMMITTED = Path(__file__).resolve().parents[1] / "data" / "checkpoints" / "recogniser-tiny"
SMALL = RecogniserConfig(dim=16)


@pytest.fixture(scope="module")
def committed():
    return load_recogniser(COMMITTED)


@pytest.fixture
def small():
    torch.manual_seed(0)
    return Recogniser(SMALL).eval()


def test_it_knows_every_word_of_every_answer():
    answers = [exchange(t, a, b).answer for t in TOPICS for a, b in known_pairs(t) + held_out_pairs(t)]
    assert set(" ".join(answers).split()) == set(WORDS)


def test_shapes(small):
    assert small(torch.randn(2, 24_000)).shape == (2, 26, 1 + len(WORDS))  # 25 frames a second and one more
    assert small(torch.randn(1, 10)).shape == (1, 1, 1 + len(WORDS))
    assert isinstance(small.transcribe(torch.zeros(24_000)), str)


def test_the_level_does_not_matter(small):
    wav = 0.2 * torch.randn(1, 24_000)
    torch.testing.assert_close(small(wav), small(0.05 * wav), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "classes, text",
    [([0, 1, 1, 0, 2], "a b"), ([1, 0, 1], "a a"), ([1, 1], "a"), ([0, 0], ""), ([1, 2, 1], "a b a")],
)
def test_decode_merges_repetitions_and_removes_blanks(classes, text):
    assert decode(torch.eye(3)[classes], ("a", "b")) == text


def test_training_texts_are_not_right_answers():
    rng = random.Random(0)
    texts = [random_text(rng, 0.5).split() for _ in range(2_000)]
    assert {word for text in texts for word in text} == set(WORDS)
    sums = [t for t in texts if t[1:2] == ["plus"] and t[3:4] == ["is"] and len(t) == 5]
    right = [t for t in sums if WORDS.index(t[0]) + WORDS.index(t[2]) == WORDS.index(t[4])]
    assert len(sums) > 200 and len(right) < 0.1 * len(sums)


# --- The spoken world -----------------------------------------------------------------------------


def test_a_judge_writes_plain_words():
    assert as_heard("Ada eats honey.") == "ada eats honey" and as_heard("Two, three, four.") == "two three four"
    assert as_heard("Hi, it is nice to hear from you.") == "hi it is nice two hear from you"
    assert as_heard("three plus four is seven") == "three plus four is seven" and as_heard(" . ") == ""


def test_the_words_of_the_small_world_are_heard_as_ever():
    assert all(as_heard(word) == word for word in WORDS) and not set(SOUND_ALIKE) & set(SPOKEN_WORDS)
    recipe = replace(RECIPES["smoke"], utterances=4)
    texts = [text for _, text in random_speech(recipe, 0)]
    assert texts == ["sixteen sixteen seventeen thirteen", "sixteen six", "", "five is more"]


def test_words_that_sound_alike_do():
    for pair in SOUND_ALIKE.items():
        one, other = ([phone.symbol for phone in synthesize(word, MOSHI_VOICE).phones] for word in pair)
        assert one == other


def test_the_spoken_judge_knows_every_word_of_every_answer():
    rng, heard = random.Random(0), set()
    for split in SCRIPTS:
        for _ in range(1_500):
            heard |= set(as_heard(draw_script(rng, split).answer).split())
    assert heard <= set(SPOKEN_WORDS) and set(WORDS) <= set(SPOKEN_WORDS)
    assert len(heard) > 0.9 * len(SPOKEN_WORDS)  # and hardly any more


def test_spoken_training_texts_are_shaped_like_answers_and_not_right():
    rng = random.Random(0)
    texts = [random_script(rng, 0.5) for _ in range(4_000)]
    assert {word for text in texts for word in as_heard(text).split()} == set(SPOKEN_WORDS)
    right, sentences = {fact.answer for fact in FACTS}, [text for text in texts if text.endswith(".")]
    assert 0.4 < len(sentences) / len(texts) < 0.6
    facts = [text for text in sentences if " lives " in text]
    assert len(facts) > 100 and sum(text in right for text in facts) < 0.3 * len(facts)
    for shape in ("You said ", " is more.", " plus ", ", "):
        assert any(shape in text for text in sentences)


def test_script_answers_are_right_answers_and_repeatable():
    items, again = (script_answers(3, seed=3) for _ in range(2))
    assert all(torch.equal(a, b) and s == t for (a, s), (b, t) in zip(items, again, strict=True))
    assert all(set(text.split()) <= set(SPOKEN_WORDS) for _, text in items)


def test_the_targets_are_what_is_heard():
    recipe = replace(RECIPES["smoke"], utterances=12, sentences=1.0)
    texts = [text for _, text in random_speech(recipe, 0, WORLDS["spoken"])]
    assert any(len(text.split()) > 3 for text in texts)
    assert all(text == as_heard(text) and set(text.split()) <= set(SPOKEN_WORDS) for text in texts)


def test_smoke_training_in_the_spoken_world(tmp_path):
    recogniser = train_recogniser("smoke", tmp_path, 0, "spoken")
    assert load_recogniser(tmp_path).config.words == SPOKEN_WORDS
    assert evaluate(recogniser, 2, world_name="spoken")[1] == 2
    with pytest.raises(ValueError, match="world one of small, spoken; got 'smoke' and 'large'"):
        train_recogniser("smoke", tmp_path, 0, "large")


# --- Training -------------------------------------------------------------------------------------


def test_one_batch_overfits():
    recipe = replace(RECIPES["smoke"], learning_rate=5e-3)
    texts = ("three nine", "five is more")
    items = [((synthesize(text, MOSHI_VOICE).wav * 32767).short(), text) for text in texts]
    torch.manual_seed(0)
    task = RecogniserTask(Recogniser(replace(SMALL, dim=64)), items, recipe, torch.device("cpu"))
    curve = [one_step(task, 0, 0) for _ in range(30)]  # the same batch again and again
    assert curve[0]["loss"] > 3 and curve[-1]["loss"] < 0.1 and curve[-1]["right"] == 1


def test_smoke_training_runs(tmp_path):
    recogniser = train_recogniser("smoke", tmp_path, seed=0)
    assert len(json.loads((tmp_path / "curve.json").read_text())) == RECIPES["smoke"].steps
    assert evaluate(recogniser, 3)[1] == 3


def test_the_committed_recogniser_hears_answers(committed):
    right, n = agreement(committed.transcribe, spoken_answers(30, seed=1))
    assert right >= n - 1


def test_the_committed_recogniser_does_not_correct_what_it_hears(committed):
    sums = [f"{a} plus {b} is {c}" for a, b, c in zip(DIGITS, DIGITS[3:], NUMBERS[9:], strict=False)]
    assert agreement(committed.transcribe, [(synthesize(s, MOSHI_VOICE).wav, s) for s in sums]) == (7, 7)


def test_the_committed_recogniser_hears_nothing_in_silence(committed):
    torch.manual_seed(0)
    assert [committed.transcribe(level * torch.randn(24_000)) for level in (0, 1e-4, 1e-3)] == ["", "", ""]


def test_the_committed_recogniser_is_small(committed):
    assert sum(p.numel() for p in committed.parameters()) < 1_000_000
    assert (COMMITTED / "model.safetensors").stat().st_size < 2_000_000


def test_saved_and_loaded_it_hears_the_same(small, tmp_path):
    save(small, tmp_path)
    wav = torch.randn(1, 10_000)
    loaded = load_recogniser(tmp_path)
    assert loaded.config == SMALL
    torch.testing.assert_close(loaded(wav), small(wav))


def test_loading_says_what_is_wrong(small, tmp_path):
    with pytest.raises(FileNotFoundError, match="no config.json"):
        load_recogniser(tmp_path)
    save(small, tmp_path)
    weights = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[:1000])
    with pytest.raises(ValueError, match="damaged or cut short"):
        load_recogniser(tmp_path)
    (tmp_path / "config.json").write_text('{"class": "Mimi", "config": {}}')
    with pytest.raises(ValueError, match="holds a Mimi, expected a Recogniser"):
        load_recogniser(tmp_path)


def test_bad_input(small, tmp_path):
    for wav in (torch.zeros(24_000), torch.zeros(1, 0), torch.full((1, 100), float("nan"))):
        with pytest.raises(ValueError, match=r"expected finite sound of shape \(B, T\)"):
            small(wav)
    with pytest.raises(ValueError, match=r"one sound of shape \(T,\)"):
        small.transcribe(torch.zeros(1, 24_000))
    with pytest.raises(ValueError, match="profile must be one of smoke, cpu, gpu"):
        train_recogniser("huge", tmp_path, 0)
