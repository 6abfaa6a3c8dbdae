"""What is stored and passed around: settings, reports, calibrations. Checks, and no other behaviour."""
