"""The errors that users meet: each message says what is wrong and what to do."""


class MedSegDiffError(Exception):
    """Base of all errors that are meant for a user's eyes."""


class RequestError(MedSegDiffError):
    """The input, the options or the model cannot be used; nothing was computed."""


class JobError(MedSegDiffError):
    """The work began and failed."""


class Cancelled(MedSegDiffError):
    """The user stopped the work; nothing was written."""

    def __init__(self, message: str = "cancelled; nothing was written"):
        super().__init__(message)
