"""Analysis of where a detector fails: curves, error types, sizes of objects, single images, reliability of scores."""
