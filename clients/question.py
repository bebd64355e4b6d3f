"""A message becomes its config record, and the question in it where it is about counts."""

from __future__ import annotations

from collections.abc import Mapping

from flwr.app import ConfigRecord, Message

from fedcredit.errors import ConfigError
from fedcredit.federation.counting import Question
from fedcredit.federation.messages import CONFIG, QUESTION


def config_of(message: Message) -> ConfigRecord:
    """The config record of a message."""
    config = message.content.get(CONFIG)
    if not isinstance(config, ConfigRecord):
        raise ConfigError("message", found="no config record", expected="a task")
    return config


def question_of(config: Mapping[str, object]) -> Question | None:
    """The question of a message about counts; None in one about updates. Raises ConfigError: it is none of ours."""
    text = config.get(QUESTION)
    if text is None:
        return None
    if not isinstance(text, str):
        raise ConfigError(QUESTION, found="another value", expected="a question")
    return Question.from_json(text)
