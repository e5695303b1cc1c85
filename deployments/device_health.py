"""Whether a replica's device still works, told from the sessions that broke on it."""

from __future__ import annotations


class ModelBroke(Exception):
    """Work on the device has raised, for a reason that is not known."""


class DeviceHealth:
    """One session may break anywhere. The device is at fault where two did and nothing was made since, or where one
    comes back because nobody else has it: a chunk that is made meanwhile clears it."""

    def __init__(self) -> None:
        self._broke: set[str] = set()
        self._again = False

    @property
    def broken(self) -> bool:
        return self._again or len(self._broke) > 1

    def broke(self, sid: str) -> None:
        self._broke.add(sid)

    def offered(self, sid: str) -> None:
        """To be told of every session before it is taken."""
        self._again = self._again or sid in self._broke

    def worked(self) -> None:
        self._broke.clear()
        self._again = False

    def check(self) -> None:
        """Raises ModelBroke if the device is broken."""
        if self.broken:
            raise ModelBroke("No session goes on with this generator's device; the log says how they broke.")
