"""`p2pquic doctor`: whether a call could be made from here, and what to do if not.

    system   Python, aioquic, clock, the lab's namespaces  --+
    sound    GStreamer, its plugins, sound devices         --+-->  findings  -->  command prints
    network  addresses; handshakes with servers  --+         |
                             servers, nat_mapping (pure)   --+

A check looks at one thing, has a limit of time of its own, and returns findings; it raises nothing.
"""
