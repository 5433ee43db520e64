"""The task names that specs and results use."""

from dataclasses import fields
from typing import Any

from hmlcore.checks import check_choice
from hmlcore.errors import unknown
from hmlcore.tasks.adding import Adding
from hmlcore.tasks.addition import Addition
from hmlcore.tasks.base import Task
from hmlcore.tasks.bytes import Bytes
from hmlcore.tasks.copy import Copy
from hmlcore.tasks.imdb import Imdb
from hmlcore.tasks.listops import ListOps
from hmlcore.tasks.mqar import MQAR
from hmlcore.tasks.needle import Needle
from hmlcore.tasks.needle_text import NeedleText
from hmlcore.tasks.overwrite import Overwrite
from hmlcore.tasks.planted import Planted
from hmlcore.tasks.recurrence import Recurrence
from hmlcore.tasks.text import Text
from hmlcore.tasks.word_problem import WordProblem

TASKS: dict[str, type[Task]] = {
    task.name: task
    for task in (
        Adding,
        Addition,
        Bytes,
        Copy,
        Imdb,
        ListOps,
        MQAR,
        Needle,
        NeedleText,
        Overwrite,
        Planted,
        Recurrence,
        Text,
        WordProblem,
    )
}


def build_task(name: str, **knobs: Any) -> Task:
    """The task `name` with the given knobs, e.g. ``build_task("copy", payload=16, delay=64)``.

    Raises :class:`~hmlcore.errors.HmlcoreError` for an unknown task or knob (listing the known ones)
    and for a value the task refuses.
    """
    check_choice("task", name, TASKS)
    known = [field.name for field in fields(TASKS[name])]
    for knob in knobs:
        if knob not in known:
            raise unknown(f"knob of task {name!r}", knob, known)
    return TASKS[name](**knobs)
