"""What can be wrong before anything runs: one implementation for `doctor` and for the services that run engines."""
