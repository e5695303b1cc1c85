"""What a scene says once a change is made: the edit of its kind, and nothing left that contradicts it."""

from __future__ import annotations

from collections.abc import Callable

from prompt_agent.paragraphs.change import Change, Edit, Kind
from prompt_agent.paragraphs.kinds import acts, additions, camera, looks, places, removal, states, swaps
from prompt_agent.paragraphs.scene import Scene

_EDITS: dict[Kind, Callable[[Scene, Change], Edit]] = {
    Kind.state: states.edit,
    Kind.stop: states.edit_end,
    Kind.style: states.edit_style,
    Kind.camera: camera.edit,
    Kind.remove: removal.edit,
    Kind.swap: swaps.edit,
    Kind.look: looks.edit,
    Kind.place: places.edit,
    Kind.add: additions.edit,
    Kind.give: additions.edit_gift,
    Kind.act: acts.edit,
    Kind.other: additions.edit_other,
}
_SETTLED = (Kind.state, Kind.stop, Kind.style, Kind.camera, Kind.remove)


def edit(scene: Scene, change: Change) -> Edit:
    """Make the change. Raises NotUnderstood where the scene has not what the change is about."""
    made = _EDITS[change.kind](scene, change)
    if change.kind not in _SETTLED:
        made = _resolved(made, scene)
    if change.also:
        more = edit(made.scene, change.also)
        return Edit(
            more.scene, (*made.news, *more.news), f"{made.added} and {more.added}", (*made.effects, *more.effects)
        )
    return made


def _resolved(made: Edit, before: Scene) -> Edit:
    """Who drives into the sunset does so at no other time of day."""
    new = {*made.news, *made.scene.sentences} - set(before.sentences)
    scene = made.scene
    said_before = states.states_said([before.text])
    for state in states.states_said(new):
        if state not in said_before:
            scene = states.resolved(scene, state, frozenset(new - set(scene.sentences[:1])), told=True)
    return Edit(scene, made.news, made.added, made.effects)
