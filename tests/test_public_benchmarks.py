"""Public benchmarks: lines written by hand in the published formats become questions, and other lines a message."""

import json

import pytest

from moshi_ref.evaluation.likelihood import Likelihood
from moshi_ref.evaluation.multiple_choice import Question, evaluate
from moshi_ref.evaluation.public_benchmarks import any_match, arc, hellaswag, mmlu, solved, triviaqa

ARC = {
    "id": "Made_1",
    "question": {
        "stem": "Which animal gives milk?",
        "choices": [{"text": "hen", "label": "A"}, {"text": "cow ", "label": "B"}, {"text": "bee", "label": "C"}],
    },
    "answerKey": "B",
}
HELLASWAG = {
    "ind": 1, "activity_label": "Baking bread", "ctx_a": "A woman kneads dough. [header] Next", "ctx_b": "she",
    "ctx": "A woman kneads dough. [header] Next she", "endings": ["bakes it.", "eats  the door.", "sings [step] ."],
    "label": 0, "split": "val", "source_id": "made",
}  # fmt: skip
MMLU = 'Two and two?,3,4,5,6,B\n"Which word, of these, rhymes with ""mill""?",hill,mall,mule,male,A\n'
BAKER = {"Value": "Baker", "Aliases": ["baker", "Baker"], "NormalizedValue": "baker"}
TRIVIA = {
    "Domain": "Web",
    "Data": [
        {"Question": " Who bakes bread? ", "QuestionId": "made", "Answer": BAKER},
        {"Question": "Who mills?", "Answer": {"Value": "Miller", "Aliases": []}},
    ],
}


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "file.txt"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_arc(written):
    digits = {"question": {"stem": "One?", "choices": [{"text": "a", "label": "1"}, {"text": "b", "label": "2"}]},
              "answerKey": "1"}  # fmt: skip
    found = arc(written(lines(ARC) + "\n" + lines(digits)))
    assert found[0] == Question("Question: Which animal gives milk?\nAnswer:", (" hen", " cow", " bee"), 1)
    assert found[1].choices == (" a", " b") and found[1].answer == 0


def test_hellaswag(written):
    (found,) = hellaswag(written(lines(HELLASWAG)))
    assert found.context == "Baking bread: A woman kneads dough. Next She"
    assert found.choices == (" bakes it.", " eats the door.", " sings .") and found.answer == 0


def test_mmlu(written):
    first, second = mmlu(written(MMLU))
    assert first == Question("Two and two?\nA. 3\nB. 4\nC. 5\nD. 6\nAnswer:", (" A", " B", " C", " D"), 1)
    assert second.context.startswith('Which word, of these, rhymes with "mill"?\nA. hill') and second.answer == 0
    assert solved([first]) == first.context + " B\n\n"


def test_triviaqa(written):
    found = triviaqa(written(json.dumps(TRIVIA)))
    assert found[0] == ("Question: Who bakes bread?\nAnswer:", (" Baker", " baker"))
    assert found[1] == ("Question: Who mills?\nAnswer:", (" Miller",))


def test_one_of_several_answers_is_enough():
    def scorer(pairs):
        return [Likelihood(-1.0, answer == " b") for _, answer in pairs]

    found = any_match(scorer, [("q", (" a", " b", " c")), ("r", (" a",)), ("s", (" b", " a"))])
    assert found.value == pytest.approx(2 / 3) and found.count == 3


def test_the_questions_go_through_the_same_functions(written):
    def shortest(pairs):
        return [Likelihood(-float(len(choice)), False) for _, choice in pairs]

    assert evaluate(shortest, hellaswag(written(lines(HELLASWAG)))).raw.value == 0.0  # " sings ." is shorter
    assert evaluate(shortest, mmlu(written(MMLU))).raw.value == 0.25  # four letters of one length


@pytest.mark.parametrize(
    ("reader", "text", "told"),
    [
        (arc, lines(ARC) + "no JSON\n", "line 2: expected one JSON object"),
        (arc, lines(ARC, {**ARC, "answerKey": "D"}), r"line 2: .* one of the labels \['A', 'B', 'C'\]"),
        (arc, lines({**ARC, "question": "Which?"}), 'line 1: expected "question" with a value of type dict'),
        (arc, lines([ARC]), 'line 1: expected "question"'),
        (hellaswag, lines({**HELLASWAG, "label": 3}), "line 1: expected a label from 0 to 2, got 3"),
        (hellaswag, lines({k: v for k, v in HELLASWAG.items() if k != "label"}), 'line 1: expected "label"'),
        (mmlu, MMLU + "only,three,columns\n", "line 3: .* got 3 columns, the last of them 'columns'"),
        (mmlu, "question,a,b,c,d,answer\n", "line 1: .* the last of them 'answer'"),
        (mmlu, "question,a,b,c,d,\n", "line 1: expected a question, four choices"),
        (triviaqa, "[]", 'expected "Data"'),
        (triviaqa, "{", "no JSON"),
        (triviaqa, json.dumps({"Data": [{"Question": "?"}]}), 'entry 1: expected "Answer"'),
        (triviaqa, json.dumps({"Data": [{"Question": "?", "Answer": {"Value": " ", "Aliases": []}}]}), "at least one"),
    ],
)  # fmt: skip
def test_other_files_are_refused(written, reader, text, told):
    with pytest.raises(ValueError, match=told):
        reader(written(text))


@pytest.mark.parametrize("reader", [arc, hellaswag, mmlu, triviaqa])
def test_a_missing_file(reader, tmp_path):
    with pytest.raises(FileNotFoundError, match="fetches nothing"):
        reader(tmp_path / "none")
