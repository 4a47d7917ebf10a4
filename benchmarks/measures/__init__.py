"""One measurement a file: `NAME(servers or model, arguments)` prints its table and saves every run."""
