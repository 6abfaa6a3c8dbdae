"""Pictures of scores, verdicts and words, drawn with `charts`."""
