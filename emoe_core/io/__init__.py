"""Files and the console."""
