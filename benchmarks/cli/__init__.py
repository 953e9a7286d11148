"""The command line, `vrnn-bench`: one function a verb. May import every package of the project."""
