"""The deterministic simulator of paid calls: one seed, one run, bit by bit.

Real are call control, routing, numbering, charging, the ledger, recovery and what makes a batch
durable, on real SQLite files. Simulated are time, both machines and their clocks, the network,
telephones and carriers, and the process: it is cut off between two writes, within a commit or
within a checkpoint, and goes on from what the disk then held.

`schedule` keeps time and the trace, `network` carries messages badly, `peers` are telephones and
carriers, `host` wires the real parts, `disk` is the store and its faults, `faults` says what goes
wrong and when, `books` checks, `months` lets the fees of DIDs come due and checks each, `prepared`
is what the store holds before, `plants` are mistakes that it must find, `world` is one seed and
`runs` many. The process that carries calls imports none of it.
"""
