"""What listener, analyzer and gateway have in common: how they are started, stand by, take over and stop."""
