"""The load harness: processes on pinned cores, a model that is cheap to ask, servers under test, and their meters."""
