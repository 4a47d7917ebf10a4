"""One module for each family of formats; each is imported by the process that reads such a file, not before."""
