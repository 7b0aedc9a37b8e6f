"""Public benchmarks in the form of `multiple_choice.py`, read from the files that their authors publish.

    ARC         JSON Lines    multiple choice, the choices are the continuations
    HellaSwag   JSON Lines    multiple choice, the choices are the continuations
    MMLU        CSV           multiple choice, the choices are shown and their letters are the continuations
    TriviaQA    JSON          open questions, by exact match

Nothing is fetched: give the path of a file that you have. The formats are those of the authors' own descriptions and
readers, and the prompts those of EleutherAI's evaluation harness. No public file could be read where this was written,
so it is tested on lines written by hand in these formats, and no figure of the paper's Table 2 was checked with it.
"""

import csv
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from .multiple_choice import Accuracy, Question, Scorer

LETTERS = "ABCD"
BRACKETS = re.compile(r"\[.*?\]")  # headings of WikiHow, which HellaSwag has kept


def arc(path: str | Path) -> list[Question]:
    """ARC, easy or challenge (Clark et al. 2018, arXiv 1803.05457), files ARC-Easy-Test.jsonl and the like.

    A line is a question:

        {"id": "...", "question": {"stem": "...", "choices": [{"text": "...", "label": "A"}, ...]}, "answerKey": "A"}

    Labels are letters, or digits in some questions; most questions have four choices. Raises FileNotFoundError, or
    ValueError with the number of the first line that is of another form.
    """
    questions = []
    for place, row in json_lines(path):
        question, key = field(row, "question", dict, place), field(row, "answerKey", str, place)
        choices = field(question, "choices", list, place)
        labels = [field(choice, "label", str, place) for choice in choices]
        texts = [" " + field(choice, "text", str, place).strip() for choice in choices]
        if key not in labels:
            raise ValueError(f"{place}: expected as answerKey one of the labels {labels}, got {key!r}")
        context = f"Question: {field(question, 'stem', str, place).strip()}\nAnswer:"
        questions.append(Question(context, tuple(texts), labels.index(key)))
    return questions


def hellaswag(path: str | Path) -> list[Question]:
    """HellaSwag (Zellers et al. 2019, arXiv 1905.07830), file hellaswag_val.jsonl; the test file has no labels.

    A line is the beginning of a description and four ways to go on:

        {"activity_label": "...", "ctx_a": "...", "ctx_b": "...", "endings": ["...", ...], "label": 3, ...}

    ctx_b is the beginning of the sentence that the endings complete, and may be empty. Raises as `arc`.
    """
    questions = []
    for place, row in json_lines(path):
        endings, label = field(row, "endings", list, place), field(row, "label", int, place)
        if not 0 <= label < len(endings):
            raise ValueError(f"{place}: expected a label from 0 to {len(endings) - 1}, got {label}")
        begun = f"{field(row, 'ctx_a', str, place)} {field(row, 'ctx_b', str, place).capitalize()}"
        context = without_headings(f"{field(row, 'activity_label', str, place)}: {begun}")
        choices = tuple(" " + without_headings(ending) for ending in endings)
        questions.append(Question(context, choices, label))
    return questions


def mmlu(path: str | Path) -> list[Question]:
    """MMLU (Hendrycks et al. 2021, arXiv 2009.03300), one subject: a file such as test/anatomy_test.csv.

    A row has no header and six columns: question, four choices, and the letter of the right one. The choices are part
    of the context, and what is scored are the letters. The paper's figures are 5-shot: put `solved` of the first five
    questions of the subject's file in dev/ before each context. Raises FileNotFoundError, or ValueError with the
    number of the line.
    """
    questions = []
    with existing(path).open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        for row in reader:
            place = f"{Path(path).name}, line {reader.line_num}"  # of a row of several lines, the last
            if len(row) != 6 or row[5].strip() not in LETTERS or not row[5].strip():
                raise ValueError(
                    f"{place}: expected a question, four choices and one of the letters A to D, "
                    f"got {len(row)} columns, the last of them {row[-1] if row else ''!r}"
                )
            shown = "".join(f"\n{letter}. {text.strip()}" for letter, text in zip(LETTERS, row[1:5], strict=True))
            choices = tuple(f" {letter}" for letter in LETTERS)
            questions.append(Question(f"{row[0].strip()}{shown}\nAnswer:", choices, LETTERS.index(row[5].strip())))
    return questions


def triviaqa(path: str | Path) -> list[tuple[str, tuple[str, ...]]]:
    """TriviaQA (Joshi et al. 2017, arXiv 1705.03551), a file with answers such as unfiltered-web-dev.json.

    The file is one object; of each of its entries only this is read:

        {"Data": [{"Question": "...", "Answer": {"Value": "...", "Aliases": ["...", ...]}}, ...]}

    Returns pairs of a context and all its right answers, the usual one first; see `any_match`. Raises
    FileNotFoundError, or ValueError with the number of the entry, counted from 1.
    """
    try:
        whole = json.loads(existing(path).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{Path(path).name} is no JSON: {error}") from error
    pairs = []
    for number, entry in enumerate(field(whole, "Data", list, Path(path).name), start=1):
        place = f"{Path(path).name}, entry {number}"
        answer = field(entry, "Answer", dict, place)
        answers = [field(answer, "Value", str, place), *field(answer, "Aliases", list, place)]
        told = tuple(dict.fromkeys(" " + text.strip() for text in answers if text.strip()))
        if not told:
            raise ValueError(f"{place}: expected at least one answer, got none")
        pairs.append((f"Question: {field(entry, 'Question', str, place).strip()}\nAnswer:", told))
    return pairs


def any_match(scorer: Scorer, pairs: Sequence[tuple[str, Sequence[str]]]) -> Accuracy:
    """The share of contexts after which greedy generation would write one of the answers, letter by letter.

    TriviaQA's own program also ignores case, articles and punctuation, so its figures are higher than these.
    """
    scored = iter(scorer([(context, answer) for context, answers in pairs for answer in answers]))
    credits = [float(any([next(scored).greedy for _ in answers])) for _, answers in pairs]
    return Accuracy.of(credits, chance=0.0)


def solved(questions: Sequence[Question]) -> str:
    """Questions with their right answers, as examples to stand before the context of another one ("few-shot")."""
    return "".join(f"{question.context}{question.choices[question.answer]}\n\n" for question in questions)


# --- Reading --------------------------------------------------------------------------------------


def existing(path: str | Path) -> Path:
    """The path. Raises FileNotFoundError if there is no such file."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no file {path}; this library fetches nothing, so give the path of a file you have")
    return Path(path)


def json_lines(path: str | Path) -> Iterator[tuple[str, dict]]:
    """For each line that is not empty: where it stands, for messages, and what it says."""
    with existing(path).open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            place = f"{Path(path).name}, line {number}"
            if line.strip():
                try:
                    yield place, json.loads(line)
                except json.JSONDecodeError as error:
                    raise ValueError(f"{place}: expected one JSON object on each line, got {line[:40]!r}") from error


def field(row: object, name: str, kind: type, place: str):
    """row[name], which must be of this kind. Raises ValueError that says where it is missing."""
    if not isinstance(row, dict) or not isinstance(row.get(name), kind):
        got = f"{row[name]!r:.60}" if isinstance(row, dict) and name in row else f"{row!r:.60}"
        raise ValueError(f'{place}: expected "{name}" with a value of type {kind.__name__}, got {got}')
    return row[name]


def without_headings(text: str) -> str:
    """HellaSwag's text with its marks of headings removed."""
    return re.sub(r" +", " ", BRACKETS.sub("", text.replace(" [title]", ". "))).strip()
