"""What tests of dfly, of a plugin, or of something built on either can use: real sockets, real files, and faults on demand.

contract   BackendContract: subclass it, give two fixtures, and every promise of a backend is tested
memory     the smallest complete backend, no HTTP
lent       the tools that the core lends a backend, and a reader that is as patient as the core
origin     FaultyOrigin: a web server that goes wrong when told to; faults has what can go wrong
hub        what every hub on loopback has in common: records, faults, signed links that expire, a life as a process
swarm      a seed peer and nodes in one process; models has something to send
cluster    real processes in network namespaces, joined by links of a chosen speed
"""
