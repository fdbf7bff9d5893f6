"""What every hub on loopback has in common; a plugin's own fixture adds its hub's JSON and URLs.

Two origins: the hub, whose API the plugin writes, and the storage that it redirects to on signed links that expire. Both
record what is asked of them, share one limit on what leaves the machine, and go wrong when they are told to.

records    Call, Records: what was asked and sent, and which requests brought credentials to the storage
faults     Fault: what is to go wrong with an answer
contents   Content, read_files: the files of a repository
bodies     Body, Throttle: sends content
site       Site, Account, Target: what the two origins share
storage    Storage: the second origin
running    LoopbackHub: both origins in a thread, and the words that a test says to them
promises   LoopbackContract: what all of it must do, tried on a plugin's hub
command    a hub as a process of its own, for benchmarks and demos
"""

from dfly.testing.hub.bodies import Body, Throttle
from dfly.testing.hub.command import hub_parser, serve_folders
from dfly.testing.hub.contents import Content, is_binary, read_files
from dfly.testing.hub.faults import Fault, Faults
from dfly.testing.hub.records import Call, Records
from dfly.testing.hub.running import LoopbackHub
from dfly.testing.hub.site import Account, Repository, Site, Target

__all__ = [
    "Account",
    "Body",
    "Call",
    "Content",
    "Fault",
    "Faults",
    "LoopbackHub",
    "Records",
    "Repository",
    "Site",
    "Target",
    "Throttle",
    "hub_parser",
    "is_binary",
    "read_files",
    "serve_folders",
]
