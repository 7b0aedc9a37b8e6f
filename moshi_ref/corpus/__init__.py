"""The spoken small world: voices, questions and answers, human digits, two-channel dialogues."""
