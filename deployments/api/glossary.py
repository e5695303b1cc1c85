"""Words of the API: what a field of some name is, wherever it stands; and what each group of routes is for."""

from __future__ import annotations

from collections.abc import Mapping

from deployments.api.models import Links

TAGS: Mapping[str, str] = {
    "sessions": "Create videos, find them, read them, pause them, end them.",
    "time machine": "Go back in a video, go on from an earlier time in another one, make it once more.",
    "prompts": "Change what a video shows: now, at a time that is still to come, or not after all.",
    "history": "What was asked of a session and what became of it.",
    "events": "The history as it happens.",
    "websocket": "Everything over one connection.",
    "media": "The picture.",
    "recording": "What is kept of the picture: exports, posters, thumbnails.",
    "operation": "Whether the service works, and on which replicas.",
}

GLOSSARY: Mapping[str, str] = {
    "at": "When it was written down: unix time in milliseconds.",
    "blend_seconds": "How long a `blend` takes.",
    "at_frame": "Not before this frame; null: as soon as possible.",
    "chunk": "Number of a chunk, the unit of generation, from 0 on.",
    "cause": "`lost`: the generator before is gone. `handed-over`: it has given the video up.",
    "chunk_frames": "Frames of each chunk but the first.",
    "code": "Stable, for programs.",
    "content": "Path of the file.",
    "data": "The entries of this page.",
    "detail": "For people: what is wrong, and what to do.",
    "entry": "An entry of the timeline.",
    "errors": "One for each field that is wrong: `where` it is, `what` is wrong, and of what `kind` that is.",
    "examples": "Prompts to begin with.",
    "first_chunk": "Number of its first chunk.",
    "first_frame": "Number of its first frame in the video.",
    "follow_ups": "Prompts to go on with.",
    "format": "Kind of the file.",
    "fps": "Frames a second.",
    "frame": "Number of a frame in the video, from 0 on.",
    "frames": "How many frames it has.",
    "gap_ms": "How much too late it was; the clock waited for it.",
    "generated_ms": "What it took on the device.",
    "has_more": "Whether more follow: go on with `next`.",
    "height": "Pixels.",
    "id": "What names it.",
    "latency_ms": "From the request, or the time that was asked for, to the fragment that holds the frame.",
    "links": "Paths of what belongs to it.",
    "media_seconds": "Time in the video.",
    "media_type": "What the file is.",
    "mode": "How the picture gets to a prompt: `recache`, `keep`, `cut` or `blend`.",
    "model": "Name of the model that makes the video.",
    "name": "Its name.",
    "pace": "`live`: made as it is watched. `offline`: as fast as the gaps of live sessions allow.",
    "problem": "What is wrong, and what to do.",
    "prompt": "What the video shows.",
    "prompt_id": "What names a prompt of its session.",
    "reason": "Why, for people.",
    "relation": "`fork`: it goes on from it. `render`: it makes it once more.",
    "restored_chunk": "It was rebuilt as it had been before this chunk; null: before `chunk`. 0: begun anew.",
    "resume": "Where to go on in another connection.",
    "seed": "The same seed and prompts give the same video.",
    "seconds": "Time in the video.",
    "session": "The session as it is now.",
    "status": "What it is in now.",
    "text": "What the video shows from then on.",
    "title": "The status in words.",
    "to_frame": "As it was before the chunk that holds this frame.",
    "token": "What steers the session.",
    "type": "What kind it is.",
    "url": "Path of the file.",
    "warnings": "What the model makes nothing of in the prompt.",
    "width": "Pixels.",
    **dict.fromkeys(Links.model_fields, "Path of this resource."),
}

PARAMETERS: Mapping[str, str] = {
    "sid": "The session's id.",
    "prompt_id": "The prompt's id.",
    "eid": "The export's id.",
    "chunk": "Number of a chunk.",
    "segment": "Number of an HLS segment.",
    "part": "Number of a part of it.",
}
