"""The upstream and the load generator, in C, so that neither is the limit; compiled when they are first used."""
