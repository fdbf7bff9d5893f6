"""The command line: dfget, dfctl. Parse, call one function, render. typer and rich are imported here and nowhere else.

    dfget · dfctl    the two commands; `ctl_*` are dfctl's subcommands, one file each
    flags            every global flag: name, help, environment variable
    options          flags that plugins declare, and which plugins a command line needs
    task             runs one task between the terminal and the core: events out, Ctrl-C in, an exit code at the end
    tally            the event stream added up; what progress and the last line are drawn from
    progress · output · failures · manual · page    what is shown: on the way, at the end, when it goes wrong, on --help
    interrupt        the first Ctrl-C stops, the second kills
    logs · redaction the process's log, and the last defence against secrets in it
    units            sizes, rates and durations as people write them

Standard output carries only what was asked for (`--json` events, a dry run's list, the bytes of `-O -`); all else
goes to standard error.
"""
