"""The errors of the engine that are its caller's to mend; each says what to do instead."""


class InputError(ValueError):
    """What was asked for cannot be made; the message says what to ask for instead."""


class CheckpointError(Exception):
    """A checkpoint that cannot be used: what is wrong with it, and what to do."""


class SnapshotError(Exception):
    """A snapshot that cannot be gone on from: why, and what to do."""
