"""Cleaning, watched on pages whose dirt is known."""

import pytest

from moshi_ref.corpus.bloom import BloomFilter
from moshi_ref.corpus.cleaning import (
    ENGLISH,
    GOOD,
    REASONS,
    Filters,
    Report,
    blocks,
    clean,
    duplicate_filter,
    judge,
    language_score,
    measure,
    quality_score,
    read_texts,
    split_lines,
)
from moshi_ref.corpus.dirt import TEXT, make_dirty
from moshi_ref.corpus.documents import document
from moshi_ref.corpus.stories import story

# Written for this test; nothing like it is in the small world.
PROSE = [
    "The train finally left the station and rolled slowly towards the mountains. Nobody in the carriage spoke much.",
    "Plants turn light, water and carbon dioxide into sugar and oxygen; almost all life on the planet depends on it.",
    "Read the file first, and then run the tests. If they fail, the message tells you what was expected.",
]
FOREIGN = [
    "Le petit garçon marche dans la rue avec son chien et il regarde les maisons.",
    "Der kleine Junge geht mit seinem Hund durch die Straße und sieht sich die Häuser an.",
    "El niño camina por la calle con su perro y mira las casas del pueblo.",
]


@pytest.fixture(scope="module")
def pages():
    return list(make_dirty((story(f"web {i}", "train") for i in range(400)), seed=0))


@pytest.fixture(scope="module")
def filters(pages) -> Filters:
    return Filters.train([page.text for page in pages])


def test_pages_are_dirty(pages):
    kinds = {kind for page in pages for kind in page.kinds}
    assert kinds == {TEXT, "menu", "footer", "markup", "copy", "gibberish", "spam", "foreign"}
    assert all(len(page.lines) == len(page.kinds) == page.text.count("\n") + 1 for page in pages)
    assert pages[:20] == list(make_dirty((story(f"web {i}", "train") for i in range(20)), seed=0))
    before = set()
    for page in pages:
        assert page.kinds[0] != "copy" or page.lines in before
        before.add(page.lines)


def test_most_of_the_dirt_goes_and_the_text_stays(pages, filters):
    score = measure(pages, filters)
    assert score.precision > 0.97
    dirt = [counts for kind, counts in score.removed.items() if kind != TEXT]
    assert score.recall == sum(removed for removed, _ in dirt) / sum(total for _, total in dirt)
    shares = {kind: removed / total for kind, (removed, total) in score.removed.items()}
    assert shares[TEXT] < 0.05
    for kind in ("menu", "copy", "gibberish", "spam", "foreign"):
        assert shares[kind] > 0.95, kind
    assert shares["markup"] < 0.2  # lines within a good document: the quality is judged by documents


def test_near_duplicates_are_what_the_hashes_miss(pages, filters):
    """Footers with other numbers each time."""
    without = measure(pages, Filters(filters.language, filters.quality)).removed
    fuzzy = measure(pages, filters).removed
    assert fuzzy["footer"][0] > 1.1 * without["footer"][0]


def test_clean_and_its_report(pages, filters):
    report = Report()
    texts = list(clean([page.text for page in pages], filters, report))
    assert sum(report.lines.values()) == sum(len(page.lines) for page in pages)
    assert report.lines["kept"] == sum(text.count("\n") + 1 for text in texts)
    assert report.bytes["kept"] == sum(len(line.encode()) for text in texts for line in text.split("\n"))
    for reason in REASONS:
        assert report.lines[reason] > 0 and len(report.examples[reason]) == 3
        assert reason in str(report) and report.examples[reason][0][:90] in str(report)
    lines = [line for text in texts for line in text.split("\n")]
    assert len(set(lines)) == len(lines)


def test_clean_text_stays_clean(filters):
    for i in range(50):  # each alone: two stories may share a line
        told = [story(f"clean {i}", "train")]
        assert list(clean(told, Filters(filters.language, filters.quality))) == told


@pytest.mark.parametrize("line", PROSE)
def test_other_english_passes(filters, line):
    assert language_score(filters, [line]) > ENGLISH and quality_score(filters, [line]) > GOOD


@pytest.mark.parametrize("line", FOREIGN)
def test_other_languages_do_not_pass(filters, line):
    assert language_score(filters, [line]) < 0.5


def test_all_of_the_small_world_passes(filters):
    """In phrasings that the filters have not seen."""
    for i in range(100):
        lines = split_lines(document(i, 7, "test")[1])
        assert language_score(filters, lines) > ENGLISH and quality_score(filters, lines) > GOOD


def test_blocks():
    flags = [True, True, False, True, True, True, False, True]
    assert blocks(flags) == [False, False, False, True, True, True, False, False]
    assert blocks([]) == [] and blocks([True] * 3) == [True] * 3


def test_a_line_is_kept_once(filters):
    plain, seen = Filters(filters.language, filters.quality), BloomFilter(100)
    assert judge([PROSE[0], PROSE[1], PROSE[0]], plain, seen) == [None, None, "duplicate"]
    assert judge([PROSE[1], PROSE[2]], plain, seen) == ["duplicate", None]
    assert judge([], plain, seen) == []


def test_nothing_is_repeated_so_nothing_can_be_learned():
    assert duplicate_filter(PROSE) is None


def test_lines():
    assert split_lines(" one \r\n\n\ttwo\n") == ["one", "two"]


def test_own_texts(tmp_path):
    (tmp_path / "b.txt").write_text("second", encoding="utf-8")
    (tmp_path / "a.txt").write_text("\ufefffirst é", encoding="utf-8")
    (tmp_path / "c.md").write_text("not this one")
    assert list(read_texts(tmp_path)) == ["first é", "second"]


def test_own_texts_that_cannot_be_read(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        next(read_texts(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="no .txt file"):
        next(read_texts(tmp_path))
    (tmp_path / "old.txt").write_bytes(b"caf\xe9 au lait")
    with pytest.raises(ValueError, match=r"old\.txt is not UTF-8: byte 3 is 0xe9"):
        next(read_texts(tmp_path))
