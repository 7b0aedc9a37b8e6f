"""In which words users ask aloud. A text asks for a fact in one of two ways (`facts.py`); speakers have many more.

Moshi must understand a question that it has never heard in these words. From two ways to ask it learns how those two
sound, and no more; from a dozen it learns that a few words tell the relation and one tells the subject:

    What is the job of Ada?    What work does Ada do?    Tell me, which job is that of Ada?

The phrasing that is kept for the test (`Relation.test_question`) is none of them; its single words do occur, because
a word that has never been heard cannot be understood. Answers are always in the words that Helium has read.
"""

import random

from .facts import (
    CLOSING,
    COLOUR,
    FODDER,
    FOOD,
    HOME,
    JOB,
    LOOK,
    MONTH,
    MUSIC,
    NEXT,
    NUMBER,
    OPPOSITE,
    PET,
    SHELTER,
    SOUND,
    TASK,
    WORKPLACE,
    Fact,
    Relation,
)

# relation: how one asks for it aloud, besides its own questions
SPOKEN_QUESTIONS = {
    JOB: (
        "what work does {subject} do", "what is {subject} by trade", "which job is that of {subject}",
        "what does {subject} work as", "as what does {subject} earn money", "how does {subject} make a living",
        "what did {subject} become", "which job did {subject} find", "who is {subject} at work",
        "what sort of work does {subject} do",
    ),
    HOME: (
        "where is {subject} at home", "where can I visit {subject}", "in which place does {subject} live",
        "where do I find {subject}", "where can I find the house of {subject}", "where is the home of {subject}",
        "where can one meet {subject} at home", "where did {subject} find a house",
        "which place is home to {subject}", "where must I go to see {subject}",
    ),
    COLOUR: (
        "what colour does {subject} like best", "which colour is the favourite of {subject}",
        "which colour does {subject} wear", "what colour does {subject} love", "which colour would {subject} take",
        "of all colours which does {subject} choose", "what is the colour that {subject} likes",
        "what colour is best for {subject}", "which colour would you choose for {subject}",
        "in what colour would {subject} dress",
    ),
    FOOD: (
        "which food does {subject} like", "what food would {subject} choose", "what does {subject} want for dinner",
        "what would {subject} love to eat", "which food is best for {subject}", "what does {subject} eat with joy",
        "what should I cook for {subject}", "which dish does {subject} like", "what tastes good to {subject}",
        "which food would {subject} take",
    ),
    PET: (
        "what animal has {subject} got", "what kind of animal does {subject} have", "which pet does {subject} have",
        "what pet does {subject} keep", "which animal lives with {subject}", "what kind of pet is with {subject}",
        "which animal is in the yard of {subject}", "what animal does {subject} look after",
        "which kind of animal belongs to {subject}", "who lives in the yard of {subject}",
    ),
    NUMBER: (
        "in which number does {subject} live", "which number has the house of {subject}",
        "what number does the door of {subject} have", "which house number does {subject} have",
        "what is the number of the house of {subject}", "at which number do I find {subject}",
        "which number is on the house of {subject}", "what number must I look for to visit {subject}",
        "which is the house number of {subject}", "what number does {subject} live at",
    ),
    MONTH: (
        "in what month is the birthday of {subject}", "which month was {subject} born in",
        "when does {subject} have a birthday", "in which month does {subject} grow older",
        "what is the birth month of {subject}", "which month is the birthday of {subject} in",
        "when do we have the birthday of {subject}", "in what month was {subject} born",
        "in which month is {subject} a year older", "when did {subject} come into the world",
    ),
    MUSIC: (
        "what instrument does {subject} play", "on which instrument does {subject} play", "what can {subject} play",
        "which instrument has {subject} learnt", "how does {subject} make music",
        "on what does {subject} play in the evening", "what music does {subject} play",
        "with what does {subject} make music", "which instrument is that of {subject}",
        "what is the instrument of {subject}",
    ),
    SOUND: (
        "how does the {subject} go", "what sound comes from a {subject}", "what does a {subject} say",
        "which sound does a {subject} make", "what do you hear from the {subject}", "how does the {subject} cry",
        "what is the sound of the {subject}", "how does it sound when the {subject} calls",
        "what noise does a {subject} make", "with what sound does the {subject} call",
    ),
    SHELTER: (
        "where does a {subject} spend the night", "where does the {subject} live",
        "what is the home of the {subject}", "in which place does a {subject} sleep",
        "where do you find the {subject} at night", "to which place does the {subject} go at night",
        "where is the {subject} at home", "which home does the {subject} have",
        "where does the {subject} go to sleep", "in what does the {subject} sleep",
    ),
    FODDER: (
        "what do you feed the {subject}", "what food does a {subject} like", "what does a hungry {subject} eat",
        "with what can I feed the {subject}", "what does the {subject} want to eat",
        "which food is for the {subject}", "what do I give a {subject} to eat",
        "what should one feed to a {subject}", "what does a {subject} live on", "what is it that a {subject} eats",
    ),
    WORKPLACE: (
        "at which place does the {subject} work", "where is the {subject} during the day",
        "in what place do you find a {subject}", "where does the {subject} go every day",
        "to which place does a {subject} go to work", "where must I go to meet a {subject}",
        "what is the place where a {subject} works", "where can one see the {subject} at work",
        "where does the {subject} spend all day", "which place is that of the {subject}",
    ),
    TASK: (
        "what is the work of a {subject}", "what is it that a {subject} does", "how does the {subject} work",
        "what does a {subject} do every day", "what do you see a {subject} do", "what is the {subject} busy with",
        "with what does a {subject} fill the day", "what must a {subject} do", "what can one see a {subject} do",
        "with what does the {subject} spend the day",
    ),
    LOOK: (
        "what colour is the {subject}", "what colour does the {subject} have", "which colour has the {subject}",
        "how does the {subject} look", "in what colour do you see the {subject}",
        "which colour does a {subject} have", "what is the {subject} like in colour",
        "is there a colour that the {subject} has", "what colour would you paint the {subject}",
        "of which colour is the {subject}",
    ),
    CLOSING: (
        "what day is the {subject} closed", "on what day does the {subject} not open",
        "which day is the {subject} not open", "when does the {subject} stay closed",
        "when should I not visit the {subject}", "on which day does nobody work at the {subject}",
        "when can I not go to the {subject}", "which day should one not go to the {subject}",
        "on what day is nobody at the {subject}", "what is the day when the {subject} is closed",
    ),
    NEXT: (
        "what do you say after {subject}", "what is after {subject}", "after {subject} what comes",
        "which one follows {subject}", "what comes next when it is {subject}", "what is it that follows {subject}",
        "what comes right after {subject}", "which comes after {subject}", "what is the next one after {subject}",
        "what should follow {subject}",
    ),
    OPPOSITE: (
        "what do you call the opposite of {subject}", "what is opposite to {subject}",
        "which is the opposite of {subject}", "what is the very opposite of {subject}",
        "what is the other end of {subject}", "which word is contrary to {subject}",
        "if it is not {subject} what is it", "what is not {subject}", "what word do you know for not {subject}",
        "which word is the opposite of {subject}",
    ),
}  # fmt: skip
PLAIN = 0.6  # of the questions are asked without any of these
BEFORE = ("Tell me", "Please tell me", "Say", "Hello", "Now", "Please", "I ask you", "Do you know")
AFTER = ("please", "do you know", "my friend")


def spoken_questions(relation: Relation) -> tuple[str, ...]:
    """The ways to ask aloud for a relation that may occur in training."""
    return (*relation.questions, *SPOKEN_QUESTIONS[relation])


def ask_aloud(fact: Fact, rng: random.Random) -> str:
    """A question for a fact as somebody may ask it in training."""
    question = rng.choice(spoken_questions(fact.relation)).format(subject=fact.subject)
    if rng.random() < PLAIN:
        return question[0].upper() + question[1:] + "?"
    if rng.random() < 2 / 3:
        return f"{rng.choice(BEFORE)}, {question}?"
    return f"{question[0].upper()}{question[1:]}, {rng.choice(AFTER)}?"
