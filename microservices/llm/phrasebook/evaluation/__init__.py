"""How good the model is: held-out cases, sets written by hand, and figures with intervals."""
