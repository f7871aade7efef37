"""The lab's error for users: a sentence that says what is wrong and what to do."""


class LabError(Exception):
    """The command cannot continue; the message is one clear sentence, printed without a traceback."""
