"""What all runs of a job share: admission, mailbox, timers, signals, resources, documents."""
