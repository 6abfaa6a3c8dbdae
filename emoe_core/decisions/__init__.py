"""The decision report: what a labelled calibration says about passing, blocking and the seconds between."""
