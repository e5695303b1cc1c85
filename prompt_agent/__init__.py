"""Words in, words out: turns a few words of a viewer into the next prompt of a video."""
