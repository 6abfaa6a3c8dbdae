"""Pages for people: HTML in one file, in English and Japanese; markup, the look, charts made of rows, sentences."""
