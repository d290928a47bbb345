"""The `wardgate` command line: one file per group of commands.

`main.py` lists the groups and turns every error into its exit code; `performing.py` sends an operation to the running server or,
when none runs, does it in this process under the instance lock; `output.py` prints results for people or as one JSON object;
`schemas/` holds the published schema of each command's `--json` output. Groups import only what their help needs: the rest
is loaded inside the commands, so that `--help` and completion answer at once. Begin with `main.py`.
"""
