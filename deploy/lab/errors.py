"""The one error of the lab that a person sees: a sentence that says what is wrong and what to do."""


class LabError(Exception):
    """The command cannot go on; the message is one clear sentence, printed without a traceback."""
