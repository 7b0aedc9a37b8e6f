"""Stories: consistent, varied, and with an ending that only reading the story can tell from the wrong one."""

import random

import pytest

from moshi_ref.corpus.facts import HELD_OUT, MEN, WOMEN
from moshi_ref.corpus.small_world import NUMBERS, held_out_pairs, known_pairs
from moshi_ref.corpus.stories import GAP, PLOTS, Story, draw, draw_cast, exchange_roles, expand, story, tell, twins


def test_gaps():
    rng = random.Random(0)
    assert expand("[a|a] {thing}", rng, {"thing": "key"}) == "A key"
    seen = {expand("[one|two [big|small]|] dogs", rng, {}) for _ in range(100)}
    assert seen == {"One dogs", "Two big dogs", "Two small dogs", "Dogs"}


def test_capitals_and_spaces():
    slots = {"he": "she", "aside": ""}
    text = expand('{he} ran. {he} said: "yes." {he} "went on?" asked ada. {aside}\n{he} left.', random.Random(0), slots)
    assert text == 'She ran. She said: "Yes." She "Went on?" asked ada.\nShe left.'


@pytest.mark.parametrize("plot", PLOTS)
def test_every_plot_can_be_told(plot):
    for i in range(30):
        cast = draw_cast(random.Random(i), "train")
        told = tell(plot, cast, str(i))
        for text in (told.text, told.ending, told.wrong_ending):
            assert not GAP.search(text) and "{" not in text and "  " not in text and " ." not in text
            assert text[0].isupper() or text[0] == '"'
            assert text[-1] in '.!?"' and text.count('"') % 2 == 0
        assert told.ending != told.wrong_ending


@pytest.mark.parametrize("plot", PLOTS)
def test_twins_exchange_their_endings(plot):
    """So that each of the two endings is right once, and no ear for good endings helps."""
    for i in range(30):
        cast = draw_cast(random.Random(i), "test")
        first = tell(plot, cast, str(i))
        second = tell(plot, exchange_roles(cast, plot.mixed_up), str(i))
        assert (first.ending, first.wrong_ending) == (second.wrong_ending, second.ending)
        assert first.text != second.text


def test_twins_are_of_one_story():
    first, second = twins("3", "train")
    assert isinstance(first, Story) and f"{first.text} {first.ending}" in story("3", "train")
    assert first.ending == second.wrong_ending


def test_what_was_lost_is_found():
    lost = [tell(PLOTS[0], draw_cast(random.Random(i), "train"), str(i)) for i in range(20)]
    for told in lost:
        thing = told.ending.removesuffix(".").split()[-1]
        assert f"my {thing}?" in told.text and told.text.index(thing) < told.text.index("my")
        assert told.wrong_ending.removesuffix(".").split()[-1] in told.text  # the friend's thing


def test_pronouns():
    for i in range(50):
        cast = draw_cast(random.Random(i), "train")
        assert (cast["hero"] in MEN) == (cast["he"] == "he") and (cast["hero"] in WOMEN) == (cast["his"] == "her")
        assert len({cast["hero"], cast["friend"], cast["third"]}) == 3


@pytest.mark.parametrize(("split", "pairs"), [("train", known_pairs("compare")), ("test", held_out_pairs("compare"))])
def test_numbers_are_those_of_the_split(split, pairs):
    for i in range(100):
        cast = draw_cast(random.Random(i), split)
        for a, b, total in (("a", "b", "total"), ("other_a", "other_b", "other_total")):
            a, b, total = (NUMBERS.index(cast[slot]) for slot in (a, b, total))
            assert (a, b) in pairs and a + b == total
        assert cast["total"] != cast["other_total"]
        more = NUMBERS.index(cast["a"]) > NUMBERS.index(cast["b"])
        assert (cast["winner"], cast["loser"]) == ((cast["hero"], cast["friend"])[:: 1 if more else -1])


def test_the_same_key_tells_the_same_story():
    assert story("7", "train") == story("7", "train")
    assert len({story(str(i), "train") for i in range(300)}) == 300
    assert draw("7", "train")[1] != draw("7", "test")[1]


def test_stories_tell_no_held_out_fact():
    text = "\n".join(story(str(i), "train") for i in range(1500))
    for fact in HELD_OUT:
        for statement in (*fact.relation.statements, fact.relation.test_statement):
            assert fact.tell(statement) not in text


def test_a_split_that_does_not_exist():
    with pytest.raises(ValueError, match="'valid'"):
        story("0", "valid")
