"""The paper's tables over the tiny world: what a prompt switch, a window and a long video do to what pictures show."""
