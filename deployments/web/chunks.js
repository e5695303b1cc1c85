/** Where the chunks of a video begin: `first` frames are in the first of them, `each` in every later one. */

/** The first frame of a chunk. */
export const chunkFrame = (chunk, { first, each }) => (chunk ? first + each * (chunk - 1) : 0);

/** The first frame of a chunk at `frame` or later. */
export function chunkStart(frame, { first, each }) {
  return frame <= 0 ? 0 : first + each * Math.max(0, Math.ceil((frame - first) / each));
}

/** The first frame of the chunk that holds `frame`. */
export function chunkHolding(frame, { first, each }) {
  return frame < first ? 0 : first + each * Math.floor((frame - first) / each);
}
