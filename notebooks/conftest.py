"""Notebooks run as tests take the smallest profile, unless the environment names another."""

import os

os.environ.setdefault("MOSHI_REF_PROFILE", "smoke")
