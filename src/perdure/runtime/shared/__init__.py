"""What all runs of a job share."""
