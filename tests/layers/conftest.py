"""Beside this file lies `mixer_cases`, which tests here and in the folders below import by that name."""
