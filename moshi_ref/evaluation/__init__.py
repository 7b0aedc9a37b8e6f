"""Judging models: does the sound say what the text says, and how sure is the number."""
