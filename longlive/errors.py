"""The one error of the engine that is its caller's to mend; what is wrong with files is `CheckpointError`."""


class InputError(ValueError):
    """What was asked for cannot be made; the message says what to ask for instead."""
