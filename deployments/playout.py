"""The playout clock: when each frame of a live session is due. All times are seconds of one monotonic clock."""

from __future__ import annotations

import math


class PlayoutClock:
    """Starts at the first fragment, runs at the frame rate while somebody watches, waits for a late fragment.

    It never rushes: what a late fragment cost is not made good, every later frame is due so much later.
    """

    def __init__(self, fps: int, now: float) -> None:
        self.fps = fps
        self._started = False
        self._carried = False
        self._watchers = 0
        self._seen = False
        self._unwatched_since = now
        self._media = 0.0  # where in the video it stood
        self._since = now  # at this time

    @property
    def watched(self) -> bool:
        return self._watchers > 0

    @property
    def seen(self) -> bool:
        """Whether anybody has ever watched."""
        return self._seen

    def go_on(self, frame: int, due: float) -> None:
        """As the clock of another device by which `frame` was due: it runs until somebody comes, or a fragment is out.

        Those who watched there are on their way here.
        """
        self._started = self._carried = True
        self._media, self._since = frame / self.fps, due

    def enter(self, now: float) -> None:
        """One more watches. The first sets the clock going again."""
        self._hold(now)
        self._watchers += 1
        self._seen = True

    def leave(self, now: float) -> None:
        """One fewer watches. With the last the clock holds."""
        if not self._watchers:
            raise ValueError("nobody was watching")
        self._hold(now)
        self._watchers -= 1
        self._unwatched_since = now

    def unwatched_for(self, now: float) -> float:
        """Seconds since the last one left, or since the session was made; 0 while somebody watches."""
        return 0.0 if self.watched else now - self._unwatched_since

    def position(self, now: float) -> float:
        """Media seconds that have been due. Runs past the newest fragment when the next one is late."""
        return self._media + (now - self._since if self._started and self._runs else 0.0)

    def due(self, frame: int, now: float) -> float:
        """When `frame` is due: in the past if it was; infinite while the clock holds before it or has not started."""
        if not self._started:
            return math.inf
        ahead = frame / self.fps - self.position(now)
        return now + ahead if self._runs or ahead <= 0 else math.inf

    def publish(self, first_frame: int, now: float) -> float:
        """The next fragment is out. Gives how many seconds late: so long the clock has waited for it. 0: in time.

        Nothing is late that comes first from another device: nobody may have watched there.
        """
        media = first_frame / self.fps
        late = self.position(now) - media
        if moved := self._carried:
            self._hold(now)
        if self._started and late <= 0:
            return 0.0
        gap = late if self._started and not moved else 0.0
        self._started, self._media, self._since = True, media, now
        return gap

    @property
    def _runs(self) -> bool:
        return self.watched or self._carried

    def _hold(self, now: float) -> None:
        self._media, self._since = self.position(now), now
        self._carried = False
